"""A disk that refuses: at every place where a run writes, the right words, nothing half, and `--resume` completes it.

The disk is a thin layer over the real one: of the operations that write below one folder, all from the n-th on are refused.
"""

from __future__ import annotations

import builtins
import csv
import errno
import io
import os
import pathlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import sigcli
from sigcli.attribution.explain import explain
from sigcli.cli.main import app
from sigcli.errors import OutputError, StoppedError

ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EROFS", "EDQUOT", "EACCES", "EMFILE", "EIO")}
OPTIONS = {"model": "disknet:net", "image_size": 16, "mean": (0.0,), "std": (1.0,), "device": "cpu", "method": "ig",
           "settings": {"steps": 2}, "out": "out", "uncertainty": True}  # fmt: skip
NETWORK = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3))
"""


class Disk:
    """Refuses what writes below a folder, from the n-th operation on; counts them where it refuses nothing.

    Args:
        folder: of the run.
        number: the error of the system.
        after: how many operations it takes.
    """

    def __init__(self, folder: Path, number: int = errno.ENOSPC, after: float = float("inf")):
        self.folder, self.number, self.after, self.done = str(folder.absolute()), number, after, list[str]()

    def take(self, what: str, path: object) -> None:
        if isinstance(path, int) or not os.path.abspath(os.fsdecode(path)).startswith(self.folder):
            return
        if len(self.done) >= self.after:
            raise OSError(self.number, os.strerror(self.number), os.fspath(path))
        self.done.append(f"{what} {os.path.basename(os.fsdecode(path))}")

    def install(self, patch: pytest.MonkeyPatch) -> None:
        opened = io.open

        def open_(file, mode="r", *more, **known):
            if not set(mode) & set("wax+"):
                return opened(file, mode, *more, **known)
            self.take("open", file)
            return _Refusing(opened(file, mode, *more, **known), self, file)

        def asked(function, what, place):
            def call(*arguments, **known):
                self.take(what, arguments[place])
                return function(*arguments, **known)

            return call

        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        patch.setattr(os, "replace", asked(os.replace, "replace", 1))
        patch.setattr(os, "mkdir", asked(os.mkdir, "mkdir", 0))
        kept = getattr(pathlib, "_normal_accessor", None)  # Python 3.10 has its own names of these
        if kept is not None:
            for name, function in (("open", open_), ("replace", os.replace), ("mkdir", os.mkdir)):
                patch.setattr(kept, name, function)


class _Refusing:
    """A stream whose writing may be refused."""

    def __init__(self, stream, disk, path):
        self._stream, self._disk, self._path = stream, disk, path

    def write(self, data):
        self._disk.take("write", self._path)
        return self._stream.write(data)

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        self._stream.__enter__()
        return self

    def __exit__(self, *exception):
        return self._stream.__exit__(*exception)


@pytest.fixture
def here(nets_here):
    """Two pictures and a network of one layer."""
    Path("disknet.py").write_text(NETWORK)
    Path("in").mkdir()
    for seed, name in enumerate("ab"):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(f"in/{name}.png")
    return nets_here


def tree(folder: Path) -> dict[str, bytes]:
    """What a run left: names and content, without times, dates and what depends on them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name == "results.csv":
            rows = [{**row, "seconds": ""} for row in csv.DictReader(io.StringIO(path.read_text()))]
            found[name] = repr(rows).encode()
        elif path.is_file():
            found[name] = path.read_bytes() if path.suffix in (".npy", ".png") else b""
    return found


def whole(folder: Path) -> None:
    """What stands is whole: arrays and pictures open, and every row that says ok has its array."""
    for path in folder.rglob("*.npy"):
        assert np.isfinite(np.load(path)).all()
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
    if (folder / "results.csv").exists():
        with (folder / "results.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                assert row["status"] == "ok"
                assert (folder / row["image"].removesuffix(".png") / "ig.npy").exists()


def run(folder: Path, number: int, after: float, **options) -> tuple[list[str], Exception | None]:
    """One run on a disk that takes so many operations; what was done, and how it ended."""
    disk = Disk(folder, number, after)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        try:
            explain("in", **{**OPTIONS, **options})
        except Exception as error:  # noqa: BLE001  the kind is what is tested
            return disk.done, error
    return disk.done, None


def turns(operations: list[str]) -> list[int]:
    """One operation of each kind: every file once as it is renamed, each that is added to, and a file half written."""
    first: dict[str, int] = {}
    for number, operation in enumerate(operations):
        what, name = operation.split(" ")
        if what == "replace" or (what == "write" and not name.endswith(".part")):
            first.setdefault(operation, number)
    return sorted({*first.values(), first["replace ig.npy"] - 2})


@pytest.mark.parametrize(("name", "pictures"), [*((name, False) for name in ERRORS), ("ENOSPC", True)])
def test_wherever_the_disk_refuses_finished_work_stands_and_resume_completes_it(here, name, pictures):
    out, options = here / "out", {"pictures": pictures}
    if pictures:
        Path("in/b.png").unlink()
    operations, error = run(out, 0, float("inf"), **options)
    assert error is None
    right, places = tree(out), turns(operations)
    files = {operations[place].split(" ")[1] for place in places}
    assert files >= {"manifest.json", "results.csv", "files.jsonl", "ig.npy"}
    if pictures:
        places = [place for place in places if operations[place].endswith(".png")]
        assert len(places) == len({"ig.png", "ig.overlay.png", "compare.png"})
    for after in places if name == "ENOSPC" else places[-5::3]:
        sigcli_rmtree(out)
        _, error = run(out, ERRORS[name], after, **options)
        told = f"{name} after {after}: {operations[after]}"
        assert isinstance(error, OutputError), f"{told}: {error!r}"
        assert os.strerror(ERRORS[name]) in str(error), told
        assert "report" not in str(error), told
        if out.exists():
            whole(out)
        if isinstance(error, StoppedError):
            assert "Finished work is kept: repeat the command with --resume" in str(error), told
        explain("in", **OPTIONS, **options, resume=True)
        assert tree(out) == right, told


def sigcli_rmtree(folder: Path) -> None:
    """Remove a folder and what is in it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    if folder.exists():
        folder.rmdir()


@pytest.mark.parametrize("name", ["ENOSPC", "EROFS"])
def test_the_command_says_so_in_two_lines(here, name, monkeypatch):
    arguments = ["explain", "in", "--model", "disknet:net", "--image-size", "16", "--mean", "0", "--std", "1",
                 "--method", "ig", "--set", "ig.steps=2", "--out", "out", "--device", "cpu", "--no-pictures"]  # fmt: skip
    Disk(here / "out", ERRORS[name], 22).install(monkeypatch)
    done = CliRunner().invoke(app, arguments)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert done.exit_code == 1, done.stderr
    last = done.stderr[done.stderr.index("error") :].splitlines()
    assert last[0] == "error: the run folder can no longer be written (given: out)."
    assert last[1].startswith(os.strerror(ERRORS[name]))
    assert "--resume" in last[1]
    assert len(last) == 2
    done = CliRunner().invoke(app, [*arguments, "--resume"])
    assert done.exit_code == 0, done.stderr
    assert "2 done, 0 failed" in done.stderr
    whole(here / "out")


@pytest.mark.parametrize("name", ERRORS)
def test_a_disk_that_takes_nothing_is_said_before_any_work(here, name, monkeypatch):
    monkeypatch.setattr(sigcli.attribution.pipeline, "explain_all", None)  # no work
    _, error = run(here / "out", ERRORS[name], 0)
    assert isinstance(error, OutputError)
    assert not isinstance(error, StoppedError)
    assert "cannot be written" in str(error)
    assert not (here / "out").exists()
