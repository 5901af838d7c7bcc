"""Examples of `--help` do what they say: those that need only bundled networks and pictures are run, line by line."""

import csv
import re
import shlex
import shutil

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sigcli.cli.main import app

from repository import ROOT

ELSEWHERE = {
    r"resnet50": "its weights are downloaded",
    r"--counts 300": "needs hundreds of photographs",
    r"^sig train |imagenette|scenario (?!two-features)": "networks are trained, which takes minutes",
    r"^sig gridworld": "networks are trained, which takes minutes; tests/gridworld has smaller ones",
    r"mlflow|wandb": "needs a tracker; tests/interop has pretended ones",
    r"^sig view": "it serves until it is stopped; tests/gallery has it",
    r"^sig explain$": "256 passes for each of ten pictures; README's first command is such a one",
    r"^sig doctor": "run in test_completion_doctor",
}
"""What is not run here, and why. Every other example is, also those that are added."""


def examples():
    """Command line → where it stands, of all commands."""
    found, waiting = {}, [((), get_command(app))]
    while waiting:
        words, one = waiting.pop()
        for line, _ in one.examples:
            found.setdefault(line, words)
        if hasattr(one, "list_commands"):
            waiting += [((*words, name), one.get_command(None, name)) for name in one.list_commands(None)]
    return found


LINES = [line for line in examples() if not any(re.search(pattern, line) for pattern in ELSEWHERE)]


def sig(line):
    return CliRunner().invoke(app, shlex.split(line)[1:])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the examples name: photographs, a run, and two runs to compare."""
    made = tmp_path_factory.mktemp("examples")
    (made / "photos").mkdir()
    for name in ("star.png", "heart.png"):
        shutil.copy(ROOT / "sample_images" / name, made / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for run, seed in (("sig-out", 0), ("before", 0), ("after", 1)):
            done = sig(f"sig explain photos/ --method gradient --seed {seed} --no-pictures --out {run} --device cpu")
            assert done.exit_code == 0, done.output
    return made


def test_most_reasons_fit_and_many_examples_are_run():
    assert all(any(re.search(pattern, line) for line in examples()) for pattern in ELSEWHERE)
    assert len(LINES) >= 12


@pytest.mark.slow
def test_examples_run_in_their_order(place, monkeypatch):
    """One after another in one folder, as they stand in the help: `sig merge` joins what the line above it has made."""
    monkeypatch.chdir(place)
    order = sorted(LINES, key=lambda line: list(examples()).index(line))
    for line in order:
        shorter = f"{line} --set sig.samples=4" if line.startswith("sig explain photos/ --shard") else line
        done = sig(shorter)
        assert done.exit_code == 0, f"{line}\n{done.output}"
    left = ["sig-out.npz", "sig-out-fiftyone/load.py", "page.html", "tuning.html", "sig-out/metrics.csv"]
    for file in left:
        assert (place / file).is_file(), file
    with (place / "out" / "all" / "results.csv").open(newline="") as stream:
        assert {row["image"] for row in csv.DictReader(stream)} == {"star.png", "heart.png"}
