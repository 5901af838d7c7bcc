"""The commands of docs/config.md and docs/terminal.md run as they stand, and do what the pages say."""

import re
import shlex
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app

from pages import commands
from repository import ROOT

CHEAP = ["--device", "cpu", "--no-pictures"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "by-class/star", "by-class/fish"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("star", "fish"):
        shutil.copy(ROOT / "sample_images" / f"{name}.png", tmp_path / "photos")
        shutil.copy(ROOT / "sample_images" / f"{name}.png", tmp_path / "by-class" / name)
    return tmp_path


def run(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    told = []
    for name, content in re.findall(r"<!-- file: (.*?) -->\n```toml\n(.*?)```", text, re.S):
        with open(name, "w") as stream:
            stream.write(content)
    for command in commands(text):
        words = shlex.split(command)[1:]
        done = CliRunner().invoke(app, [*words, *(CHEAP if words[0] in ("explain", "evaluate") else [])])
        assert done.exit_code == 0, (command, done.output)
        told.append(done)
    return told


def test_a_file_gives_options_and_a_manifest_repeats_its_run(place):
    first, *_, again, _ = run("config.md")
    assert "note: --config run.toml: images, method, seed, set" in first.stderr
    assert "not repeated" in again.stderr
    arrays = [sorted(place.glob(f"{folder}/*/*.npy")) for folder in ("sig-out", "again")]
    assert len(arrays[0]) == 4
    assert all(np.array_equal(np.load(one), np.load(other)) for one, other in zip(*arrays, strict=True))
    assert not (place / "other" / "star" / "gradient.npy").exists()


def test_the_terminal_page(place):
    shown, first, drawn, measured, *_ = run("terminal.md")
    assert "note: --show shows no pictures" in shown.stderr
    assert "--limit 1: the first 1 of 2 images" in first.stderr
    assert "--sample 1: 1 of 2 images" in drawn.stderr
    assert "model: accuracy 1.000" in measured.stderr
