"""What may go wrong around a run: disks that fail, clocks, versions, images and models that change, too little memory."""

import builtins
import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image
from tiny_run import LINE, NET, contents, picture, said, sig
from torch import nn

from sigcli.attribution import pipeline, workers
from sigcli.cli.console import guarded
from sigcli.engine.memory import MemoryShortage
from sigcli.errors import StoppedError, UsageError
from sigcli.executors.line import portable_error

from repository import ROOT

EXPLAIN = ["explain", "in", "--method", "ig,gradient", "--set", "ig.steps=4", "--no-pictures", *LINE]


@pytest.fixture
def here(nets_here, monkeypatch):
    """Four pictures and a network."""
    monkeypatch.delitem(sys.modules, "tiny_net", raising=False)
    Path("tiny_net.py").write_text(NET)
    for number in range(4):
        picture(Path(f"in/{number}.png"), number)
    return nets_here


class Failing:
    """A file that opens, and of which nothing can be read."""

    def __init__(self, stream, number):
        self._stream, self._number = stream, number

    def read(self, *_):
        self._stream.close()  # Pillow leaves it open
        raise OSError(self._number, os.strerror(self._number))

    readinto = readline = read

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()


@pytest.mark.parametrize("name", ["EIO", "ESTALE"])
def test_an_image_that_the_disk_refuses_is_not_called_damaged_and_resume_tries_it_again(here, name, monkeypatch):
    assert sig(*EXPLAIN, "--out", "whole").exit_code == 0
    opened, number = io.open, getattr(errno, name)

    def open_(file, mode="r", *more, **known):
        stream = opened(file, mode, *more, **known)
        mine = not isinstance(file, int) and os.fspath(file).endswith("2.png") and "r" in mode
        return Failing(stream, number) if mine else stream

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        done = sig(*EXPLAIN, "--out", "run")
    assert done.exit_code == 1
    assert f"the image cannot be read: {os.strerror(number)} (given: in/2.png)" in said(done)
    assert "6 done, 2 failed: 2 × the image cannot be read" in said(done)
    assert "damaged" not in said(done)
    assert sig(*EXPLAIN, "--out", "run", "--resume").exit_code == 0
    assert contents("run") == contents("whole")


def test_a_clock_that_goes_backward_and_times_in_the_future_change_nothing(here, monkeypatch):
    now = [4e9]

    def back():
        now[0] -= 1000
        return now[0]

    assert sig(*EXPLAIN, "--out", "whole").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", back)
        assert sig(*EXPLAIN, "--out", "run").exit_code == 0
    assert contents("run") == contents("whole")
    for path in (*Path("in").iterdir(), *Path("run").rglob("*")):
        os.utime(path, (9e9, 9e9))
    done = sig(*EXPLAIN, "--out", "run", "--resume")
    assert "8 done (8 of them earlier), 0 failed" in said(done)
    picture(Path("in/2.png"), 9)
    os.utime("in/2.png", (1e9, 1e9))  # older than all that was made of it
    done = sig(*EXPLAIN, "--out", "run", "--resume")
    assert "8 done (6 of them earlier), 0 failed" in said(done)


@pytest.mark.parametrize("version", ["0.0.1", "99.0", None])
def test_a_run_that_another_version_began_goes_on_and_says_so(here, version):
    assert sig(*EXPLAIN, "--out", "run").exit_code == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    ours = manifest["versions"].pop("sigcli")
    if version is not None:
        manifest["versions"]["sigcli"] = version
    Path("run/manifest.json").write_text(json.dumps({**manifest, "what-it-will-have": [1]}))
    done = sig(*EXPLAIN, "--out", "run", "--resume")
    assert done.exit_code == 0
    assert f"note: sig {version or 'of an unknown version'} began this run, and this is sig {ours}" in said(done)
    assert "(8 of them earlier)" in said(done)
    assert "began this run" not in said(sig(*EXPLAIN, "--out", "run", "--resume"))


def test_images_that_go_between_listing_and_reading_fail_alone(here, monkeypatch):
    decoded = pipeline.decoded

    def later(paths, *more, **known):
        os.rename("in/2.png", "2.png")
        shutil.move("in/3.png", "3.png")
        os.mkdir("in/3.png")
        return decoded(paths, *more, **known)

    assert sig(*EXPLAIN, "--out", "whole").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "decoded", later)
        done = sig(*EXPLAIN, "--out", "run")
    assert done.exit_code == 1
    assert "4 done, 4 failed" in said(done)
    os.rename("2.png", "in/2.png")
    os.rmdir("in/3.png")
    shutil.move("3.png", "in/3.png")
    assert sig(*EXPLAIN, "--out", "run", "--resume").exit_code == 0
    assert contents("run") == contents("whole")


def saved(seed: int) -> bytes:
    """A network in a file of its own."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    program = torch.export.export(net, (torch.rand(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("n")},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


@pytest.mark.parametrize("divided", [False, True])
def test_a_model_file_that_is_replaced_during_the_run_gives_no_maps_of_two_models(here, divided, monkeypatch):
    first, other = saved(0), saved(1)
    Path("net.pt2").write_bytes(first)
    line = [one if one != "tiny_net:net" else "net.pt2" for one in EXPLAIN]
    assert sig(*line, "--out", "whole").exit_code == 0
    before = getattr(workers if divided else pipeline, "gathered" if divided else "decoded")

    def replaced(*given, **known):
        Path("net.pt2").write_bytes(other)
        return before(*given, **known)

    with monkeypatch.context() as patch:
        patch.setattr(workers if divided else pipeline, before.__name__, replaced)
        done = sig(*line, "--out", "run", *(["--workers", "2"] if divided else []))
    if divided:
        assert done.exit_code == 1
        assert "a worker has another model than the run: its weights differ (given: net.pt2)" in said(done)
        assert not list(Path("run").rglob("*.npy"))
    else:
        assert done.exit_code == 0
        assert contents("run") == contents("whole")
        refused = sig(*line, "--out", "run", "--resume")
        assert refused.exit_code == 2
        assert "weights_hash differ" in said(refused)
    Path("net.pt2").write_bytes(first)
    assert sig(*line, "--out", "run", "--resume").exit_code == 0
    assert contents("run") == contents("whole")


LIMITED = """
import resource, sys, threading
import torch, scipy.stats, PIL.Image, torchvision
from typer.testing import CliRunner
from sigcli.cli.main import app
import sigcli.attribution.explain, sigcli.engine.integrate, sigcli.attribution.run, sigcli.cli.explain
torch.set_num_threads(1)
threading.stack_size(1 << 18)  # else each thread takes 8 MB of the limit, and cannot start where a batch has the rest
line = sys.argv[1:]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), hard))
done = CliRunner().invoke(app, line)
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
print(done.exit_code, " ".join(done.output.split()))
again = CliRunner().invoke(app, [*line, "--resume"])
print(again.exit_code, " ".join(again.output.split()))
"""
WIDE = """
import torch
from torch import nn
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is Linux's")
def test_a_run_with_too_little_memory_has_smaller_batches_and_counts_what_does_not_fit(here):
    Path("wide.py").write_text(WIDE)
    for number in range(4, 8):
        picture(Path(f"in/{number}.png"), number)
    Image.new("RGB", (9000, 9000), (200, 30, 40)).save("in/large.png")  # 243 MB once decoded, and as much as an array
    line = [
        "explain",
        "in",
        "--model",
        "wide:net",
        "--image-size",
        "128",
        "--mean",
        "0",
        "--std",
        "1",
        "--method",
        "ig",
    ]
    line += ["--set", "steps=16", "--batch-size", "128", "--no-pictures", "--out", "run", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(here)]), "OMP_NUM_THREADS": "1"}
    environment["MALLOC_ARENA_MAX"] = "1"  # else each thread takes 64 MB of the limit
    command = [sys.executable, "-c", LIMITED, *line]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    limited, again = done.stdout.splitlines()
    assert limited.startswith("1 ")
    assert "memory ran out at batches of 128 images" in limited
    assert "8 done, 1 failed: 1 × there is too little memory to decode the image" in limited
    assert again.startswith("0 ")
    assert "9 done (8 of them earlier), 0 failed" in again
    with Path("run/results.csv").open(newline="") as stream:
        assert {row["status"] for row in csv.DictReader(stream)} == {"ok"}


@pytest.mark.parametrize("kind", [StoppedError, UsageError, MemoryShortage])
def test_an_error_reaches_another_process_as_it_is(kind):
    error = kind("it cannot be", given=Path("a\nb"), allowed="this or that", hint="Do that.")
    told = portable_error(error)
    assert type(told) is kind
    assert str(told) == str(error)
    assert (told.what, told.given, told.allowed, told.hint) == ("it cannot be", "a\nb", "this or that", "Do that.")


@pytest.mark.parametrize("said", ["libtorch.so: failed to map segment from shared object", "can't start new thread"])
def test_too_little_memory_for_a_library_or_a_thread_is_no_fault_of_sig(said, capsys):
    with pytest.raises(typer.Exit) as ended, guarded(debug=False):
        raise ImportError(said)
    assert ended.value.exit_code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: there is too little memory (given: ImportError: {said}).")
    assert "report" not in told
