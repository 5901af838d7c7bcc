"""Signals that end a command: finished work stands, the folder is free, and the exit code is that of a shell."""

import csv
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import LINE, NET, contents, picture, said, sig

from sigcli.runs.lock import FolderLock

from repository import ROOT

SENDING = """
import os, signal
from pathlib import Path
import tiny_net

class Sending(tiny_net.Net):
    # sends its process a signal, once, at the picture of that mean
    def forward(self, x):
        if Path("send").exists() and bool(((x.mean((1, 2, 3)) - float(Path("mean").read_text())).abs() < 1e-6).any()):
            number = int(Path("send").read_text())
            Path("send").unlink()
            os.kill(os.getpid(), number)
        return super().forward(x)

def net():
    return Sending(0)
"""
COMMANDS = {
    "explain": ["explain", "in", "--method", "ig,gradient", "--set", "ig.steps=4", "--no-pictures"],
    "evaluate": ["evaluate", "in", "--method", "gradient", "--metric", "deletion", "--no-pictures"],
    "benchmark": ["benchmark", "images", "in", "--method", "gradient", "--metric", "sparseness", "--no-pictures"],
}
OURS = [one if one != "tiny_net:net" else "sending:net" for one in LINE]


@pytest.fixture
def here(nets_here, monkeypatch):
    """Five pictures; the network knows the mean of the fourth."""
    for name in ("tiny_net", "sending"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    Path("tiny_net.py").write_text(NET)
    Path("sending.py").write_text(SENDING)
    for number in range(5):
        picture(Path(f"in/{number}.png"), number)
    Path("mean").write_text(str(np.asarray(Image.open("in/3.png")).mean() / 255))
    return nets_here


def stands(folder: Path) -> list[str]:
    """Images of the table whose arrays stand; nothing half-written is there, and nobody holds the folder."""
    assert FolderLock.free(folder)
    assert not list(folder.rglob("*.part"))
    with (folder / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all((folder / Path(row["image"]).stem / f"{row['method']}.npy").is_file() for row in rows)
    return [row["image"] for row in rows if row["status"] == "ok"]


@pytest.mark.parametrize(
    ("command", "name"), [("explain", "SIGTERM"), ("evaluate", "SIGHUP"), ("benchmark", "SIGTERM")]
)
def test_a_command_ends_as_after_ctrl_c_with_the_exit_code_of_the_signal(here, command, name):
    line = [*COMMANDS[command], *OURS, "--batch-size", "1"]
    assert sig(*line, "--out", "whole").exit_code == 0
    number = getattr(signal, name)
    Path("send").write_text(str(int(number)))
    done = sig(*line, "--out", "run")
    assert done.exit_code == 128 + number, done.output
    assert f"ended by {name}: finished work is kept" in said(done)
    assert "--resume" in said(done)
    assert signal.getsignal(number) is signal.SIG_DFL
    assert set() < set(stands(Path("run"))) < {f"{n}.png" for n in range(5)}
    again = sig(*line, "--out", "run", "--resume")
    assert again.exit_code == 0, again.output
    if command == "explain":
        assert contents("run") == contents("whole")


def test_a_signal_that_is_ignored_or_handled_stays_so(here):
    heard = []
    line = [*COMMANDS["explain"], *OURS]
    for handler in (signal.SIG_IGN, lambda number, _: heard.append(number)):
        before = signal.signal(signal.SIGHUP, handler)
        try:
            Path("send").write_text(str(int(signal.SIGHUP)))
            done = sig(*line, "--out", "run", "--overwrite")
            assert signal.getsignal(signal.SIGHUP) is handler
        finally:
            signal.signal(signal.SIGHUP, before)
        assert done.exit_code == 0, done.output
        assert not Path("send").exists()
    assert heard == [signal.SIGHUP]


def started(folder: Path, child: subprocess.Popen, screen: int) -> None:
    """Read what a command shows until its table has a row."""
    os.set_blocking(screen, False)
    until = time.monotonic() + 120
    while not (folder / "results.csv").exists() or len((folder / "results.csv").read_bytes().splitlines()) < 2:
        assert child.poll() is None
        assert time.monotonic() < until
        try:
            os.read(screen, 65536)
        except BlockingIOError:
            time.sleep(0.02)


def alive(group: int) -> bool:
    """Whether there are processes of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_end_of_a_terminal_ends_the_command_and_its_workers(here):
    """Its window is closed: all processes of it get SIGHUP, and nothing can be shown any longer."""
    for number in range(5, 200):
        os.link("in/0.png", f"in/{number}.png")
    screen, theirs = pty.openpty()
    command = [sys.executable, "-m", "sigcli", *COMMANDS["explain"], *LINE, "--workers", "2", "--out", "run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(here)]), "OMP_NUM_THREADS": "1"}
    script = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", script, *command], cwd=here, env=environment, start_new_session=True,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        started(Path("run"), child, screen)
        os.close(screen)
        assert child.wait(60) == 128 + signal.SIGHUP
    finally:
        child.kill()
    assert 1 <= len(stands(Path("run"))) < 200 * 2
    until = time.monotonic() + 20
    while alive(child.pid):
        assert time.monotonic() < until, "a worker is left of its session"
        time.sleep(0.05)
