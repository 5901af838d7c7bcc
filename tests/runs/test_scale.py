"""Many images: what is done is not looked at again, work grows as the number of rows, and a run says how it ended."""

import gc
import json
import os
import shutil
import sys
import tracemalloc
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
from sigcli.gallery.live import LivePage
from sigcli.gallery.thumbnails import small_of
from sigcli.listener import Listener
from sigcli.runs.filenames import run_names
from sigcli.runs.folder import RunFolder, open_run
from sigcli.runs.ledger import LEDGER, Entry, Ledger
from sigcli.runs.lines import Lines, Source
from sigcli.runs.packed import Packed
from sigcli.runs.predictions import PREDICTIONS
from sigcli.runs.table import FACTS, row_of

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
    "a small picture that is gone": lambda: _small("ig").unlink(),
    "a small picture that a crash has emptied": lambda: _small("gradient").write_bytes(b""),
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


def _small(method):
    """The overlay of one explanation on the page of the run."""
    entries = Ledger.read(Path("out")).entries
    found = next(one for key, one in entries.items() if key[:2] == ("im2.bmp", method))
    file = Path("out", small_of(found)[-1])
    assert file.is_file()
    return file


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


def _by_image(row):
    return row["image"]


def _opened(folder, number, *, resume):
    """A run of so many images."""
    names = [(f"{i:05d}.png", f"{i:05d}") for i in range(number)]
    manifest = {"spec": {"model": "a", "methods": {"ig": {}}}, "images": [name for name, _ in names]}
    return open_run(folder, manifest, resume=resume, images=names, page=True)


def _filled(run, which, *, files=True):
    """Put into a run what a method makes of some of its images: facts of every kind, none like another."""
    for number in which:
        name, of = run.images[number]
        run.ledger.begin(f"{of}/ig")
        if files:
            save_text(run.path / of / "ig.npy", name)
        content, score = f"{(number + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}", np.sin(number + 1.0) / 7
        known = {"ig.npy": stamp(run.path / of / "ig.npy") if files else (3200, content * 2)}
        answers = [[2, "class 2", score / 3], [0, "class 0", score / 5], [1, "class 1", score / 7]]
        facts = dict.fromkeys(FACTS) | {
            "score": score, "predicted": "class 2", "probability": score / 3, "predictions": answers, "chance": score / 3,
            "error": "", "stopped": "", "region": "", "view": "multi",
        }  # fmt: skip
        entry = Entry(name, "ig", "1", content, of, "one", "logit", facts, known)
        run.add(row_of(entry, "0.125"), entry)
        run.seal(Source(of, (852, content * 2), "c" * 16, content, ("1",)))


def _a_run(folder, number):
    """A run of so many items, opened, filled and settled, then resumed and settled, with its page each time."""
    made = _opened(folder, number, resume=False)
    live = LivePage(made, number)
    _filled(made, reversed(range(number)))
    made.settle(_by_image)
    live.end(whole=True)
    made.close()
    again = _opened(folder, number, resume=True)
    live = LivePage(again, number)
    for name, of in again.images:
        content = again.ledger.sources[of].content
        assert again.finished(name, "ig", "1", content)
        again.keep(again.rows[name, "ig", "1"])
        again.seal(again.ledger.sources[of])
    again.settle(_by_image)
    live.end(whole=True)
    again.close()


@pytest.mark.parametrize("size", [100, 400])
def test_ledger_and_table_take_work_in_proportion_to_their_rows(tmp_path, size):
    warm = calls(lambda: _a_run(tmp_path / "warm", 5))
    one, two = (calls(lambda n=n: _a_run(tmp_path / str(n), n)) for n in (size, 2 * size))
    assert two <= 2.05 * one + warm
    assert one / size < 5000


def test_a_finished_run_is_opened_and_settled_with_a_few_looks_at_each_line(tmp_path, monkeypatch):
    """Of the ledger each line is parsed as it is read; then an item is made again for its row, its answers and its card."""
    _a_run(tmp_path / "out", 20)
    page = (tmp_path / "out" / "gallery" / "data.js").read_bytes()
    looks, fields = [], Lines.fields

    def counted(self, key):
        if isinstance(key, tuple):
            looks.append(key)
        return fields(self, key)

    monkeypatch.setattr(Lines, "fields", counted)
    run = _opened(tmp_path / "out", 20, resume=True)
    live = LivePage(run, 20)
    live.look()
    assert len(looks) == 20
    assert (tmp_path / "out" / "gallery" / "data.js").read_bytes() == page  # it stands until there is more
    for key in list(run.rows):
        run.keep(run.rows[key])
    looks.clear()
    run.settle(_by_image)
    live.end(whole=True)
    assert len(looks) <= 2 * 20 + 1  # types are checked while the tests run, for which one is looked at
    run.close()


def _held(do):
    """Bytes that are held after something is done and were not before, and the most that was held meanwhile."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = do()
        gc.collect()
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return now, most


def test_what_is_held_of_an_item_and_what_its_page_takes_is_little(tmp_path):
    run, parts = _opened(tmp_path / "out", 900, resume=False), (range(100), range(100, 500), range(500, 900))
    _filled(run, parts[0], files=False)  # what is made once is made
    few, _ = _held(lambda: _filled(run, parts[1], files=False))
    assert few / len(parts[1]) < 1100
    live = LivePage(run, 900)
    _, one = _held(lambda: live.end(whole=True))
    _filled(run, parts[2], files=False)
    _, two = _held(lambda: live.end(whole=True))
    assert (two - one) / len(parts[2]) < 400  # cards are written as they are made
    run.close()


@pytest.mark.parametrize("text", [b"", b"a", b'{"image": "a.png"}', bytes(range(256)) * 40, "kätzchen\n".encode()])
def test_packed_texts_come_back(text):
    packed = Packed()
    for key, each in enumerate((b"", b'{"image": "b.png", "method": "ig"}', text, text + b"!")):
        packed[key] = each
    assert [packed[key] for key in packed] == [b"", b'{"image": "b.png", "method": "ig"}', text, text + b"!"]
    packed.keep((2,))
    assert list(packed) == [2]
    with pytest.raises(KeyError):
        packed[1]


def test_texts_of_two_threads_that_are_the_first_both_come_back():
    packed, other = Packed(), b'{"image": "b.png", "score": 0.25}'

    class Late(bytes):
        """While its beginning is looked at, another thread packs a text."""

        def __getitem__(self, part):
            packed["other"] = other
            return bytes(self)[part]

    packed["late"] = Late(b'{"method": "ig", "target": "7"}')
    assert (packed["other"], packed["late"]) == (other, b'{"method": "ig", "target": "7"}')


def _shuffled(lines):
    """Lines of a ledger in an order that a run of another version may have left: its head stays, images come last."""
    draw = np.random.default_rng(0)
    sources = [line for line in lines[1:] if line.startswith('{"source"')]
    others = [line for line in lines[1:] if not line.startswith('{"source"')]
    return [lines[0], *draw.permutation(others), *draw.permutation(sources)]


def _anyhow(lines):
    return [lines[0], *np.random.default_rng(1).permutation(lines[1:])]


def _spaced(lines):
    """As another program writes JSON."""
    return [
        json.dumps(json.loads(line), indent=None, separators=(" ,  ", ":"), ensure_ascii=False) + "\r" for line in lines
    ]


@pytest.mark.parametrize("order", [_shuffled, _anyhow, _spaced])
def test_lines_of_a_ledger_may_come_in_any_order(work, order):
    run(work, pictures=True)
    whole, file = contents("out"), Path("out", LEDGER)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("".join(f"{line}\n" for line in order(lines)), encoding="utf-8")
    run(work, pictures=True, resume=True)
    if order is not _anyhow:  # an image whose line stands above those of its files is looked at again
        assert not work.decoded
    if order is not _spaced:
        assert contents("out") == whole
    assert b"\r" not in file.read_bytes()
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] == [*map(json.loads, lines)]


def test_a_line_that_another_program_wrote_in_bytes_of_its_own_is_written_as_ours(tmp_path):
    _a_run(tmp_path, 3)
    file = tmp_path / LEDGER
    for odd in ("kätzchen".encode(), b"half \xed\xb3\xa9"):  # Python reads half a surrogate pair, and does not write it
        file.write_bytes(file.read_bytes().replace(b'"label": "one"', b'"label": "' + odd + b'"', 1))
        again = _opened(tmp_path, 3, resume=True)
        assert len(again.ledger.entries) == 3
        assert file.read_bytes().isascii()
        again.close()


@pytest.mark.parametrize(
    ("damage", "anew"),
    [
        (lambda text: text, False),
        (lambda text: text[:-1], True),  # the next line would be added to the last one
        (lambda text: text + text.splitlines(keepends=True)[1], True),
        (lambda text: text[:-9], True),
        (lambda text: text.replace(b'"00001.png"', b'"elsewhere.png"', 1), True),
    ],
)
def test_a_ledger_is_written_anew_as_a_run_opens_only_where_it_is_not_as_it_should_be(tmp_path, damage, anew):
    _a_run(tmp_path, 3)
    file = tmp_path / LEDGER
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    before = file.stat().st_ino
    again = _opened(tmp_path, 3, resume=True)
    again.close()
    assert (file.stat().st_ino != before) is anew
    assert file.read_bytes().endswith(b"\n")
    lines = file.read_bytes().splitlines()
    assert len(set(lines)) == len(lines)
    assert set(lines) <= set(whole.splitlines())


def test_answers_that_a_killed_process_did_not_tell_are_told_with_the_next(tmp_path):
    run = _opened(tmp_path / "out", 6, resume=False)
    _filled(run, range(3))
    run.close()  # killed: nothing is settled
    file = tmp_path / "out" / PREDICTIONS
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    again = _opened(tmp_path / "out", 6, resume=True)
    _filled(again, range(3, 5))
    assert file.read_text().startswith(text)
    assert len(file.read_text().splitlines()) == 1 + 3 * 5
    again.close()


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
