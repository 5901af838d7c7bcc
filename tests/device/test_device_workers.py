"""Workers and Ray's actors on a device that is strict about tensors of another: the CPU's values."""

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_run import LINE, NET, picture, table

from sigcli.attribution.job import Job
from sigcli.attribution.options import ExplainOptions

import pretend
from repository import ROOT

STARTED = """
import os, sys
if os.environ.get("PRETEND") and "sigcli" not in sys.modules:
    import pretend
    pretend.arrived()
    kept = pretend.there(2)
    kept.__enter__()
"""
"""Python runs it first, in workers as well: they must know the device before they choose one."""
SEEN = """
import os
from pathlib import Path
import tiny_net

class Seen(tiny_net.Net):
    # writes down who works on which device, and ends one worker once
    def forward(self, x):
        worker = Path("seen", f"{os.getpid()} {x.device} {type(x).__name__}")
        if not worker.exists():
            worker.touch()
        if os.path.exists("kill") and len(x) == 1 and os.getpid() != int(os.environ["LEADER"]):
            os.remove("kill")
            os._exit(9)
        return super().forward(x)

def net():
    return Seen(0)
"""
pytestmark = pytest.mark.skipif(not pretend.POSSIBLE, reason="this torch has no backends written in Python")


def test_workers_go_round_the_devices_of_a_kind_and_share_one_that_is_named():
    def places(device):
        return [Job(ExplainOptions(device=device), [], 1).device(number) for number in range(5)]

    with pretend.there(2):
        assert places("pretend") == ["pretend:0", "pretend:1", "pretend:0", "pretend:1", "pretend:0"]
        assert places("pretend:1") == ["pretend:1"] * 5
    with pretend.there(1):
        assert places("pretend") == ["pretend"] * 5
    assert places("cpu") == ["cpu"] * 5


@pytest.fixture
def here(nets_here):
    """Six pictures, and what the workers of a run import."""
    for name, text in (("tiny_net", NET), ("seen_net", SEEN), ("sitecustomize", STARTED)):
        Path(f"{name}.py").write_text(text)
    Path("seen").mkdir()
    for number in range(6):
        picture(Path(f"in/{number}.png"), number, channel=number % 3)
    return nets_here


def run(device, *words):
    """A command in a process of its own, which knows the device; how it ended."""
    line = ["pretend" if one == "cpu" and device else "seen_net:net" if one == "tiny_net:net" else one for one in LINE]
    paths = os.pathsep.join([str(Path.cwd()), str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "PRETEND": device, "OMP_NUM_THREADS": "1", "LEADER": "0"}
    environment |= {"RAY_memory_monitor_refresh_ms": "0"}
    script = (
        "import os, runpy; os.environ['LEADER'] = str(os.getpid()); runpy.run_module('sigcli', run_name='__main__')"
    )
    command = [sys.executable, "-c", script, *words, *line]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)


def maps(folder):
    return {str(path.relative_to(folder)): np.load(path) for path in sorted(Path(folder).rglob("*.npy"))}


def same(folder, other):
    ours, theirs = maps(folder), maps(other)
    assert list(ours) == list(theirs)
    assert len(ours) >= 6
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, atol=1e-6)
    assert [row["image"] for row in table(folder)] == [row["image"] for row in table(other)]


def devices():
    """Processes by the class of the tensors they saw."""
    found = [path.name.split() for path in Path("seen").iterdir()]
    return {kind: {number for number, _, one in found if one == kind} for _, _, kind in found}


EXPLAIN = ["explain", "in", "--method", "sig,gradient,rise", "--set", "sig.samples=8", "--set", "rise.samples=8"]
EXPLAIN += ["--set", "sig.players=grid:2x2", "--no-pictures"]
BENCHMARK = ["benchmark", "images", "in", "--method", "ig,gradient", "--set", "ig.steps=4", "--metric", "deletion"]


def test_explain_by_workers_of_which_one_is_killed(here):
    assert run("", *EXPLAIN, "--out", "near").returncode == 0
    Path("kill").touch()
    done = run("yes", *EXPLAIN, "--workers", "2", "--out", "far")
    assert done.returncode == 0, done.stderr
    assert not Path("kill").exists()
    same("far", "near")
    assert len(devices()["Pretend"]) >= 3  # the leader, a worker, another in place of the one that was killed


def values(folder):
    with Path(folder, "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["metric"] == "deletion"]
    return {(row["image"], row["method"]): float(row["value"]) for row in rows}


@pytest.mark.slow
def test_benchmark_by_workers_and_by_two_actors_of_ray(here):
    line = [*BENCHMARK, "--no-pictures"]
    assert run("", *line, "--out", "near").returncode == 0
    ray = ["--engine", "ray", "--address", "local"] if find_spec("ray") else []
    for folder, engine in {"far": [], "farther": ray}.items():
        done = run("yes", *line, *engine, "--workers", "2", "--out", folder)
        assert done.returncode == 0, done.stderr
        same(folder, "near")
        ours, theirs = values(folder), values("near")
        assert ours.keys() == theirs.keys()
        assert list(ours.values()) == pytest.approx([theirs[key] for key in ours], rel=1e-4)
        if not ray:
            break
