"""docs/figures.md: its commands run as they stand, and its tables are the tool's."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from sigcli.attribution.figure import WIDTHS
from sigcli.cli.main import app
from sigcli.render.maps.palette import DIVERGING, SEQUENTIAL
from sigcli.runs.predictions import COLUMNS

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_commands_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    found = commands(PAGE)
    assert len(found) == 5
    for line in found:
        few = ["--set", "sig-walk.orders=2"] if "sig-walk" in line else ["--evaluations", "4"]
        few += ["--set", "sig.samples=4", "--set", "ig.steps=2"] if "sig-walk" in line else []
        done = CliRunner().invoke(app, [*shlex.split(line)[1:], *few, "--device", "cpu"])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "figure.pdf").is_file()
    assert (tmp_path / "runs/bare/star/gradcam.bare.png").is_file()
    assert (tmp_path / "sig-out-2/coffee/compare.png").is_file()


def test_its_tables_name_what_there_is():
    named = dict(
        re.findall(r"`([a-z]+(?:-wide)?)`[^|\n]*\| ([0-9.]+) ", PAGE.split("--figure-width` takes")[1].split("## ")[0])
    )
    assert {name: float(width) for name, width in named.items()} == {k: v for k, v in WIDTHS.items() if k != "iclr"}
    assert WIDTHS["iclr"] == WIDTHS["neurips"]
    colours = re.findall(r"^\| `([\w-]+)`.*\|.*\|.*\|$", PAGE.split("| `--cmap` |")[1], re.M)
    assert colours == [*DIVERGING, *SEQUENTIAL]
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE.split("| column |")[1].split("\n\n")[0], re.M)) == COLUMNS
