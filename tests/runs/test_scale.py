"""Many images: what is done is not looked at again, work grows as the number of rows, and a run says how it ended."""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import contents
from torch import nn
from typer.testing import CliRunner

from sigcli import benchmark, evaluate, explain
from sigcli.cli.counts import Counts
from sigcli.cli.main import app
from sigcli.errors import ImageError, kind_of
from sigcli.files import save_text, stamp
from sigcli.listener import Listener
from sigcli.runs.filenames import run_names
from sigcli.runs.folder import RunFolder, open_run
from sigcli.runs.ledger import Entry, Ledger

SIDE = 8


class Counting(nn.Module):
    """Two classes by the mean of a channel; counts images that went through."""

    images = 0

    def forward(self, x):
        Counting.images += len(x)  # of every copy
        return x.mean((2, 3))[:, :2] * x.amax((1, 2, 3))[:, None]


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path, "BMP")


class Work(Listener):
    """What was decoded and went through the model once everything was checked."""

    def __init__(self, monkeypatch, model):
        self.model, self.decoded, self.before, self.resumed = model, Counter(), 0, Counter()
        from sigcli.attribution.samples import pictures

        read = pictures.read_image

        def counted(path):
            self.decoded[Path(path).name] += 1
            return read(path)

        monkeypatch.setattr(pictures, "read_image", counted)

    def begin(self, items, notes, folder):
        self.decoded.clear()
        self.resumed.clear()
        self.before = Counting.images

    def explained(self, item):
        self.resumed[item.image] += item.resumed

    @property
    def images(self):
        """That went through the model."""
        return Counting.images - self.before


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        picture(tmp_path / "in" / f"im{number}.bmp", number)
    return tmp_path


@pytest.fixture
def work(here, monkeypatch):
    return Work(monkeypatch, Counting())


def options(work, **more):
    net = {"model": work.model, "image_size": SIDE, "mean": (0.0,), "std": (1.0,), "device": "cpu"}
    return {"images": "in", **net, "out": "out", "pictures": False, **more}


def run(work, **more):
    from sigcli.attribution.options import ExplainOptions

    return explain(ExplainOptions(**options(work, method="gradient,ig", settings={"ig.steps": "3"}, **more)), work)


def test_what_is_done_is_neither_decoded_nor_put_through_the_model(work):
    run(work)
    assert set(work.decoded.values()) == {1}
    assert work.images > 0
    for name in sorted(os.listdir("in")):
        os.utime(Path("in", name), (1, 1))  # a time of its own makes no other image
    found = run(work, resume=True)
    assert not work.decoded
    assert work.images == 0
    assert sum(work.resumed.values()) == len(found) == 10
    assert not any(one.note for one in found)


@pytest.mark.parametrize("pictures", [False, True])
def test_what_was_passed_over_is_what_would_be_told_anew(work, pictures):
    whole = run(work, pictures=pictures)
    again = run(work, pictures=pictures, resume=True)
    assert not work.decoded
    for one, other in zip(whole, again, strict=True):
        assert one.record() == {**other.record(), "seconds": one.seconds} or one.record() == other.record()
        assert np.array_equal(one.picture, other.picture)
        assert (one.name, one.folder, one.unit, one.what(), one.content) == (
            other.name, other.folder, other.unit, other.what(), other.content,
        )  # fmt: skip
    assert set(work.decoded) == {Path(one.image).name for one in again}  # only since their pictures were asked for
    assert again.plot().size[0] > 0


CHANGES = {
    "another image of the same size and time": lambda: _changed(Path("in/im2.bmp")),
    "an array that is gone": lambda: Path("out/im2/ig.npy").unlink(),
    "an array of another content": lambda: Path("out/im2/ig.npy").write_bytes(
        Path("out/im2/ig.npy").read_bytes()[:-1] + b"x"
    ),
    "a picture that is gone": lambda: Path("out/im2/ig.overlay.png").unlink(),
    "a sheet that is gone": lambda: Path("out/im2/compare.png").unlink(),
    "a row that is gone": lambda: _without("out/results.csv", "im2.bmp,ig"),
    "a line that is gone": lambda: _without("out/files.jsonl", '"source": "im2"'),
    "a damaged line": lambda: Path("out/files.jsonl").write_text(
        Path("out/files.jsonl").read_text().replace('"source": "im2", "file": [', '"source": "im2", "file": [1, ')
    ),
}


def _changed(path):
    facts = path.stat()
    picture(path, 77)
    assert path.stat().st_size == facts.st_size
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _without(path, text):
    lines = Path(path).read_text().splitlines(keepends=True)
    assert sum(text in line for line in lines) == 1
    Path(path).write_text("".join(line for line in lines if text not in line))


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_changed_is_looked_at_and_ends_as_if_undisturbed(work, change):
    run(work, pictures=True)
    CHANGES[change]()
    run(work, pictures=True, resume=True)
    assert work.decoded == {"im2.bmp": 1}
    run(work, pictures=True, out="whole")

    assert contents("out") == contents("whole")
    run(work, pictures=True, resume=True)
    assert not work.decoded


def test_other_drawing_draws_anew_without_the_methods_and_failures_are_tried_again(work):
    run(work)
    run(work, pictures=True, resume=True)
    assert set(work.decoded.values()) == {1}
    assert work.images == 5  # for the targets
    Path("in/im9.bmp").write_bytes(b"BM")
    run(work, pictures=True, resume=True)
    assert set(work.decoded) == {"im9.bmp"}
    run(work, pictures=True, resume=True)
    assert set(work.decoded) == {"im9.bmp"}


def test_an_evaluation_and_a_benchmark_pass_over_what_is_measured(work, monkeypatch):
    from sigcli.evaluation.options import BenchmarkOptions, EvaluateOptions

    more = {"method": "ig", "settings": {"ig.steps": "3"}, "metric": "deletion,sparseness", "imputation": "black"}
    whole = evaluate(EvaluateOptions(**options(work, **more)), work)
    assert work.images > 0
    again = evaluate(EvaluateOptions(**options(work, **more, resume=True)), work)
    assert not work.decoded
    assert work.images == 0
    assert [one.value for one in again.values] == [one.value for one in whole.values]
    _changed(Path("in/im2.bmp"))
    changed = evaluate(EvaluateOptions(**options(work, **more, resume=True)), work)
    assert set(work.decoded) == {"im2.bmp"}
    differing = {a.image for a, b in zip(whole.values, changed.values, strict=True) if a.value != b.value}
    assert differing == {"im2.bmp"}
    monkeypatch.setattr("sigcli.evaluation.benchmark.warm_up", lambda session: None)
    timed = options(work, **{**more, "out": "timed"}, counts="2,5")
    benchmark(BenchmarkOptions(**timed), work)
    assert work.images > 0
    benchmark(BenchmarkOptions(**timed, resume=True), work)
    assert not work.decoded
    assert work.images == 0


# Work grows as the number of rows


def calls(do):
    """How many functions are called, Python's and C's."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


def _a_run(folder, number):
    """A run of so many items, opened, filled and settled, then resumed and settled."""
    names = [(f"{i:05d}.png", f"{i:05d}") for i in range(number)]
    manifest = {"spec": {"model": "a", "methods": {"ig": {}}}, "images": [name for name, _ in names]}

    def order(row):
        return row["image"]

    made = open_run(folder, manifest, resume=False, images=names)
    for name, of in reversed(names):
        made.ledger.begin(f"{of}/ig")
        save_text(folder / of / "ig.npy", name)
        files = {"ig.npy": stamp(folder / of / "ig.npy")}
        entry = Entry(name, "ig", "1", "c0", of, "one", "logit", {"score": 0.5}, files)
        made.add({"image": name, "method": "ig", "target": "1", "status": "ok", "seconds": "0.1"}, entry)
    made.settle(order)
    made.close()
    again = open_run(folder, manifest, resume=True, images=names)
    for name, _ in names:
        assert again.finished(name, "ig", "1", "c0")
        again.keep(again.rows[name, "ig", "1"])
    again.settle(order)
    again.close()


@pytest.mark.parametrize("size", [100, 800])
def test_ledger_and_table_take_work_in_proportion_to_their_rows(tmp_path, size):
    warm = calls(lambda: _a_run(tmp_path / "warm", 5))
    one, two = (calls(lambda n=n: _a_run(tmp_path / str(n), n)) for n in (size, 2 * size))
    assert two <= 2.05 * one + warm
    assert one / size < 4000


def test_names_take_work_in_proportion_to_the_images():
    def named(number):
        return lambda: run_names([Path("/in") / f"{i % 10}" / f"{i}.png" for i in range(number)])

    assert calls(named(2000)) <= 2.05 * calls(named(1000)) + 100


def test_no_folder_is_looked_through_for_leftovers_where_nothing_was_interrupted(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("sigcli.runs.ledger.files_in", lambda folder: looked.append(folder) or [])
    _a_run(tmp_path / "out", 5)
    assert not looked
    ledger = Ledger.read(tmp_path / "out")
    ledger.begin("00001/ig")  # and then the process is killed
    ledger.left()
    assert len(looked) == 1


# How a run ended


def test_failures_are_counted_by_kind(here):
    counts = Counts()
    for number in range(3):
        counts.add("x", resumed=False, cause=ImageError(f"the image has {number}x9 pixels", given=f"{number}.png"))
    counts.add("", resumed=True)
    counts.add("", resumed=False)
    assert str(counts) == "2 done (1 of them earlier), 3 failed: 3 × the image has N pixels"
    assert counts.record()["reasons"] == {"the image has N pixels": 3}
    assert kind_of(ValueError("3")) == "ValueError"
    for number in range(4):
        Path("in", f"bad{number}.bmp").write_bytes(b"" if number < 3 else b"no picture")
    line = ["explain", "in", "--model", "shapes", "--method", "gradient", "--no-pictures", "--out", "out", "--json"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert "5 done, 4 failed: 3 × the image file is empty, 1 × not an image" in " ".join(done.stderr.split())
    last = json.loads(done.stdout.splitlines()[-1])["counts"]
    assert (last["done"], last["resumed"], last["failed"]) == (5, 0, 4)
    assert sorted(last["reasons"].values()) == [1, 3]
    again = CliRunner().invoke(app, [*line, "--resume"])
    assert json.loads(again.stdout.splitlines()[-1])["counts"] == {**last, "resumed": 5}
    assert "5 done (5 of them earlier), 4 failed" in again.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["gridworld", "--grid", "2x2", "--runs", "1", "--steps", "1"],
        ["benchmark", "scenario", "two-features", "--method", "ig"],
        ["benchmark", "scenario", "shapes", "--images", "2", "--method", "gradient"],
        ["explain", "in", "--method", "gradient"],
        ["benchmark", "images", "in", "--method", "gradient"],
    ],
)
def test_a_second_process_in_one_folder_is_refused_whatever_the_command(here, command):
    fcntl = pytest.importorskip("fcntl")
    Path("out").mkdir()
    file = os.open("out", os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX)  # as another process holds it
    done = CliRunner().invoke(app, [*command, "--out", "out"])
    os.close(file)
    assert done.exit_code == 2, done.output
    assert "another sig process is writing" in " ".join(done.output.split())
    assert os.listdir("out") == []


def test_a_killed_change_of_the_view_is_taken_back_by_the_next_run(work, monkeypatch):
    """The folder is copied as a kill would leave it: pictures of another view stand where those of the first were."""
    run(work, pictures=True, view="raw")
    whole, seal = contents("out"), RunFolder.seal

    def copied(self, source):
        if not Path("killed").exists():
            shutil.copytree("out", "killed")
        seal(self, source)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "seal", copied)
        run(work, pictures=True, view="smooth:2", resume=True)
    assert contents("killed") != whole
    explain_again = {"pictures": True, "view": "raw", "resume": True}
    run(work, out="killed", **explain_again)
    assert contents("killed") == whole
    run(work, **explain_again)
    assert contents("out") == whole
