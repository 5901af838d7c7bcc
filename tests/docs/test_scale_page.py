"""docs/scale.md: its commands run as they stand, and its costs are those of the measured rates."""

from __future__ import annotations

import csv
import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from sigcli.attribution.select import choose_methods
from sigcli.cli.main import app
from sigcli.methods.costs import planned

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
(JOB,) = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
RATES = ROOT / "benchmarks" / "results" / "gpu-h100-2026-11-26.csv"
IMAGENET = 1_281_167
CHEAP = ["--set", "ig.steps=2", "--device", "cpu", "--no-pictures"]


def run(line):
    done = CliRunner().invoke(app, [*shlex.split(line)[1:], *([] if " merge " in line else CHEAP)])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_its_commands_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        shutil.copy(ROOT / "sample_images" / "star.png", tmp_path / "photos" / f"{number}.png")
    for line in commands(PAGE):
        run(line)
    (command,) = [line for line in JOB.splitlines() if line.startswith("sig ")]
    for task in "12":
        run(command.replace("$SLURM_ARRAY_TASK_ID", task).replace("--workers 8", "--workers 1"))
    (merge,) = re.findall(r"`(sig merge .*?)`", PAGE.split("## Slurm")[1])
    shutil.rmtree("maps")
    run(merge)
    assert len((tmp_path / "maps/results.csv").read_text().splitlines()) == 5


def test_the_costs_of_imagenet_follow_from_the_measured_rates():
    with RATES.open(newline="", encoding="utf-8") as stream:
        rates = {
            row["method"]: float(row["ours_per_s"])
            for row in csv.DictReader(stream)
            if row["what"] == "rate over bare loop" and row["model"] == "resnet50" and row["precision"] == "bf16"
        }
    rows = re.findall(r"^\| ([\w-]+) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M)
    assert len(rows) == 4
    for method, evaluations, rate, maps, hours in rows:
        (chosen,) = choose_methods(method, {}, None)
        cost = planned(chosen.entry, chosen.resolved(), (224, 224))
        assert int(evaluations) == cost
        assert float(rate) == rates[method]
        assert float(maps) == pytest.approx(rates[method] / cost, abs=0.05)
        assert float(hours) == pytest.approx(IMAGENET * cost / rates[method] / 3600, abs=0.05)
