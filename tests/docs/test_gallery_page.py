"""The commands of docs/gallery.md, as they stand but for few pictures and evaluations."""

import shlex
import shutil

from typer.testing import CliRunner

from sigcli.cli.main import app

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
QUICK = ["--set", "sig.samples=8", "--set", "ig.steps=2", "--device", "cpu"]
COARSE = ["--set", "deletion.steps=4", "--set", "insertion.steps=4"]


def test_the_commands_leave_the_pages_that_the_text_tells_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_images").mkdir()
    for name in ("star.png", "fish.png"):
        shutil.copy(ROOT / "sample_images" / name, "sample_images")
    found = commands(PAGE)
    assert len(found) == 5
    for command in found:
        words = shlex.split(command)[1:]
        few = {"explain": QUICK, "evaluate": [*QUICK, *COARSE]}.get(words[0], [])
        done = CliRunner().invoke(app, [*words, *few])
        assert done.exit_code == 0, done.output
    for name in ("shapes/index.html", "shapes/gallery/data.js", "shapes.html", "seeds.html", "seeds-files/data.js"):
        assert (tmp_path / "runs" / name).is_file()
    for picture in ("gallery.jpg", "gallery-dark.jpg", "gallery-phone.jpg"):
        assert f"(pictures/{picture})" in PAGE
        assert (ROOT / "docs" / "pictures" / picture).stat().st_size < 400_000
