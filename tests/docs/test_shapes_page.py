"""docs/shapes.md: its commands run, and each of its tables has every method or says why not."""

import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.scenarios.shapes.options import METHODS
from sigcli.scenarios.shapes.study import MEASURES

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "shapes.md").read_text(encoding="utf-8")
TABLES = re.findall(r"```text\n(Do the maps lie.*?)```", PAGE, re.S)
FEW = ["--images", "1", "--method", "gradient,gradcam", "--no-pictures", "--device", "cpu"]
CHEAP = ["--device", "cpu", "--no-pictures", "--set"]


@pytest.mark.parametrize("command", commands(PAGE))
def test_every_command_runs(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    words = shlex.split(command)[1:]
    fewer = "kernelshap.budget=140" if "kernelshap" in command else "sig.samples=4"
    done = CliRunner().invoke(app, [*words, *(FEW if words[0] == "benchmark" else [*CHEAP, fewer])])
    assert done.exit_code == 0, done.output


def test_there_is_a_table_for_each_network():
    assert [re.search(r"The network ([\w-]+) is right", table)[1] for table in TABLES] == ["shapes", "shapes-vit"]


@pytest.mark.parametrize("table", TABLES)
def test_each_table_has_every_method_or_says_why_not(table):
    rows = re.findall(r"^([\w+-]+) +(\d\.\d\d(?: \(\d\.\d\d–\d\.\d\d\))?(?: +|$)){5}", table, re.M)
    left_out = re.findall(r"^([\w+-]+) is left out: .{20,}", table, re.M)
    every = [one.partition("=")[0] for one in METHODS.split(",")]
    assert sorted([name for name, _ in rows] + left_out) == sorted(every)
    assert all(f"{heading}: best" in table for heading in MEASURES.values())
