"""What goes wrong in one place stays there: networks that raise, too little memory, odd names, numbers that are none."""

import csv
import errno
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import sigcli
from sigcli.attribution.explain import explain
from sigcli.cli.console import guarded
from sigcli.cli.main import app
from sigcli.engine.batch_size import Batches
from sigcli.engine.failures import contained
from sigcli.engine.integrate import Task, integrate, outcomes
from sigcli.engine.memory import is_out_of_memory
from sigcli.errors import SigError, StoppedError
from sigcli.evaluation.evaluate import evaluate
from sigcli.files import stopped
from sigcli.methods import METHODS
from sigcli.methods.run import checked
from sigcli.names import escaped, local, original, portable, printable
from sigcli.records import json_text
from sigcli.runs.folder import append_row, cell_text, open_run, safe_cell
from sigcli.scores.classifier import ClassScore
from sigcli.scores.distance import PairDistance

from toys import Images, smooth_net, subject

SEEN = {"resize": 16, "crop": 16, "mean": (0.0,) * 3, "std": (1.0,) * 3, "device": "cpu", "pictures": False}
NET = """
import os, torch
from torch import nn
class Net(nn.Module):
    # three classes: the means of the colours
    def __init__(self, kind):
        super().__init__(); self.kind, self.scale = kind, nn.Parameter(torch.tensor(4.0))
    def forward(self, x):
        if self.kind == "loud": print("python"); os.write(1, b"descriptor\\n")
        if self.kind == "picky" and bool((x[:, 0].mean((1, 2)) > .7).any()): raise KeyError("too red\\nto see")
        if self.kind == "tight" and len(x) > 3: raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        if self.kind == "spread": x = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
        return self.scale * (x * x).mean((2, 3))
def plain(): return Net("")
def loud(): print("at load"); return Net("loud")
def picky(): return Net("picky")
def tight(): return Net("tight")
def spread(): return Net("spread")
def conv():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with networks in `faultnet.py` and three pictures, of which the second is red."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "faultnet", raising=False)
    Path("faultnet.py").write_text(NET)
    Path("in").mkdir()
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        picture(f"in/{name}", number, red=number == 1)
    return tmp_path


def picture(path, seed, red=False):
    pixels = np.random.default_rng(seed).integers(0, 200, (16, 16, 3), np.uint8)
    pixels[:, :, 0] |= 192 * red
    with open(path, "wb") as stream:
        Image.fromarray(pixels).save(stream, "PNG")


def rows(folder):
    with (Path(folder) / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class TestOneBatchOfMany:
    def tasks(self, count=4, steps=5):
        x = torch.rand(count, *subject().x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        whole = [subject(one, key=key) for key, one in enumerate(x)]
        return [Task(who, METHODS["ig"].load()(who, steps=steps)) for who in whole]

    @pytest.mark.parametrize("batch_size", [4, 16, 64])
    def test_the_others_get_exactly_what_they_get_undisturbed(self, batch_size):
        net, tasks = smooth_net(torch.float32), self.tasks()
        bad = tasks[1].subject.x

        def picky(x):
            # every point of the second image's path is a multiple of it
            for one in x.detach():
                share = float((one * bad).sum() / bad.square().sum())
                if share and torch.allclose(one, share * bad, atol=1e-6):
                    raise KeyError("what a face")
            return net(x.float()).double()

        expected = list(integrate(ClassScore(lambda x: net(x.float()).double()), tasks, batch_size=batch_size))
        found = list(outcomes(ClassScore(picky), tasks, batch_size=batch_size))
        assert [isinstance(one, SigError) for one in found] == [False, True, False, False]
        assert "the model raised KeyError: 'what a face'" in str(found[1])
        for one, other in zip(found, expected, strict=True):
            assert isinstance(one, SigError) or torch.equal(one.values, other.values)

    def test_a_library_call_raises_what_the_model_raises(self):
        def model(x):
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            list(integrate(ClassScore(model), self.tasks(1)))

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_interruptions_pass_through(self, error):
        def model(x):
            raise error

        with pytest.raises(error):
            list(outcomes(ClassScore(model), self.tasks(2)))

    def test_a_kept_failure_lets_go_of_tensors_and_closes_nothing(self):
        import weakref

        seen = []

        def model(x):
            inner = x * 2
            seen.append(weakref.ref(inner))
            raise ValueError("no")

        found = list(outcomes(ClassScore(model), self.tasks(2)))
        assert all(isinstance(one, SigError) for one in found)
        again = [contained(one) for one in found]
        assert again == found
        assert not any(ref() is not None for ref in seen)
        assert found[0].__cause__.__traceback__ is not None


class TestMemory:
    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried"),
            RuntimeError("CUDA error: out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
            OSError(errno.ENOMEM, "Cannot allocate memory"), RuntimeError("std::bad_alloc"),
        ],
    )  # fmt: skip
    def test_every_kind_is_known(self, error):
        assert is_out_of_memory(error)

    @pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("out of memory"), None])
    def test_other_errors_are_none(self, error):
        assert not is_out_of_memory(error)

    def test_one_large_image_leaves_the_size_for_the_others(self):
        batches = Batches(8)

        def none(part):
            raise MemoryError

        with pytest.raises(SigError, match="one image"):
            list(batches.parts(8, (3, 4, 4), none))
        assert batches.size == 8

    @pytest.mark.parametrize("method", ["ig", "gradient", "occlusion", "gradient-shap", "blur-ig"])
    def test_a_network_for_three_images_gives_the_same_maps(self, here, method):
        maps = [
            [item.values for item in explain("in", model=f"faultnet:{name}", method=method, write=False, **SEEN)]
            for name in ("plain", "tight")
        ]
        for one, other in zip(*maps, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)

    def test_curves_and_labels_too(self, here):
        Path("true.csv").write_text("image,label\na.png,0\nb.png,0\nc.png,1\n")
        options = {"method": "gradient", "metric": "deletion,lerf,morf", "labels": "true.csv", **SEEN}
        one, other = (evaluate("in", model=f"faultnet:{n}", out=n, **options) for n in ("plain", "tight"))
        assert [f.value for f in one.values] == pytest.approx([f.value for f in other.values], rel=1e-5)
        assert not any(f.error for f in other.values)
        assert [r["confidence"] for r in one.model.rows] == pytest.approx([r["confidence"] for r in other.model.rows])


class TestOneImage:
    def test_it_is_named_and_the_rest_goes_on(self, here):
        found = explain("in", model="faultnet:picky", method="gradient,ig,rise,occlusion", out="out", **SEEN)
        assert [item.status for item in found] == ["ok"] * 4 + ["failed"] * 4 + ["ok"] * 4
        written = rows("out")
        assert [row["status"] for row in written] == [item.status for item in found]
        assert {row["error"] for row in written if row["image"] == "b.png"} == {
            "the model raised KeyError: 'too red\\nto see'."
        }
        alone = explain(["in/a.png", "in/c.png"], model="faultnet:picky", method="gradient,ig", write=False, **SEEN)
        for one in alone:
            (same,) = [item for item in found if (item.image, item.method) == (one.image, one.method)]
            assert np.array_equal(one.values, same.values)

    def test_its_altered_forms_fail_in_the_metrics_alone(self, here):
        Path("true.csv").write_text("image,label\na.png,0\nb.png,0\nc.png,1\n")
        found = evaluate(
            "in", model="faultnet:picky", method="gradient", metric="deletion,sparseness", imputation="white",
            labels="true.csv", out="out", **SEEN,
        )  # fmt: skip
        by = {(f.image, f.metric): f.error for f in found.values}
        assert by["a.png", "sparseness"] == by["c.png", "sparseness"] == ""
        assert by["a.png", "deletion"].startswith("the model raised KeyError")
        assert by["b.png", "sparseness"].startswith("no explanation: the model raised KeyError")
        assert {row["image"] for row in found.model.rows} == {"a.png", "c.png"}
        assert "KeyError" in found.model.missing["b.png"]

    def test_debug_shows_the_line_of_the_network(self, here):
        options = ["--model", "faultnet:picky", "--resize", "16", "--crop", "16", "--mean", "0,0,0", "--std", "1,1,1"]
        done = CliRunner().invoke(app, ["explain", "in", *options, "--method", "gradient", "--out", "o", "--debug"])
        assert done.exit_code == 1, done.output
        assert "raise KeyError" in done.stderr
        assert "faultnet.py" in done.stderr


class TestNumbersThatAreNone:
    def test_a_baseline_without_a_score_is_told(self, here):
        black = {"model": "faultnet:spread", "method": "ig,kernelshap", "baseline": "black", "out": "out"}
        ig, shap = explain("in/a.png", **black, **SEEN)
        assert ig.status == "ok"
        assert ig.completeness_gap is None
        assert "the baseline has no finite score" in ig.error
        assert shap.status == "failed"
        assert "score" in shap.error
        assert "gradient" not in shap.error
        (again, _) = explain("in/a.png", **black, resume=True, **SEEN)
        assert (again.resumed, again.error) == (True, ig.error)

    def test_a_gradient_is_blamed_where_it_is_the_gradient(self):
        who = subject(torch.zeros(1, 2, 2, dtype=torch.float64), target=0)
        root = ClassScore(lambda x: x.flatten(1).sqrt())
        (found,) = integrate(root, [Task(who, METHODS["gradient"].load()(who))])
        with pytest.raises(SigError, match="gradient of the model"):
            checked(METHODS["gradient"], found)

    def test_json_has_null_for_them(self):
        text = json_text({"a": float("nan"), "b": [float("inf"), 1.5], "c": "x\udce9"})
        assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": "x\\xe9"}


NAMES = [
    b"plain.png", b"caf\xe9.png", "café.png".encode(), rb"caf\xe9.png", b"new\nline.png", b"re\rturn.png",
    b"red\x1b[31m.png", b"=1+1.png", b"'=1+1.png", b"''=1+1.png", b"[red]x[bold].png", "turn\u202egnp.png".encode(),
    b"c1\xc2\x9b.png", b"$\\frac$.png", b"tab\there.png", b"-x.png", b"a,\"b.png",
]  # fmt: skip


class TestNames:
    @pytest.mark.parametrize("name", [os.fsdecode(name) for name in NAMES] + ["\ud800", "\\\\n\\", "\\x41"])
    def test_they_are_printable_and_come_back(self, name):
        shown = escaped(name)
        assert original(shown) == name
        assert shown.encode("utf-8").decode() == shown
        assert not set(shown) & {*map(chr, range(32)), "\x7f", "\x9b", "\u202e"}
        assert cell_text(safe_cell(shown)) == shown
        assert not safe_cell(shown).startswith(("=", "+", "-", "@"))

    def test_no_two_become_one(self):
        cells = {safe_cell(escaped(os.fsdecode(name))) for name in NAMES}
        assert len(cells) == len(NAMES)
        assert printable("a\\b") == "a\\b"  # messages leave a backslash

    def test_paths_are_portable(self):
        for name in map(os.fsdecode, NAMES):
            text = portable(f"/in/{name}")
            text.encode("utf-8")
            assert local(text) == f"/in/{name}"

    def test_a_folder_of_them_is_explained_measured_and_resumed(self, here):
        Path("odd").mkdir()
        for number, name in enumerate(NAMES):
            picture(b"odd/" + name, number)
        options = {"model": "faultnet:plain", "method": "gradient", "out": "out", **SEEN}
        found = explain("odd", **options)
        assert {item.status for item in found} == {"ok"}
        assert sorted(original(item.image) for item in found) == sorted(map(os.fsdecode, NAMES))
        assert [cell_text(row["image"]) for row in rows("out")] == [item.image for item in found]
        json.loads(Path("out/manifest.json").read_text(encoding="utf-8").encode("utf-8"))
        again = explain("odd", resume=True, **options)
        assert [(item.image, item.resumed) for item in again] == [(item.image, True) for item in found]
        measured = evaluate("out", metric="sparseness", pictures=False)
        assert {figure.error for figure in measured.values} == {""}
        assert [figure.image for figure in measured.values] == [item.image for item in found]


class TestWhoIsToBlame:
    def test_what_a_score_cannot_do_with_outputs_is_the_models(self):
        (no_gradient,) = outcomes(ClassScore(lambda x: x.detach().flatten(1)), TestOneBatchOfMany().tasks(1))
        assert str(no_gradient).startswith("the model raised RuntimeError: element 0 of tensors does not require grad")
        (too_few,) = outcomes(ClassScore(lambda x: x.mean((1, 2, 3))[:, None]), TestOneBatchOfMany().tasks(1))
        assert str(too_few).startswith("the model raised RuntimeError: index 1 is out of bounds")

    def test_what_a_distance_of_images_does_is_the_models(self):
        pairs = PairDistance(lambda one, other: one.detach().sum((1, 2, 3)), Images(subject().x[None]))
        (found,) = outcomes(pairs, [Task(subject(target=0), METHODS["ig"].load()(subject(target=0)))])
        assert str(found).startswith("the model raised")

    @pytest.mark.parametrize(
        ("method", "file", "name"),
        [
            ("rise", "methods/perturbation.py", "on_pixels"), ("gradcam", "methods/cam.py", "on_pixels"),
            ("ig", "engine/accumulate.py", "spread_positions"), ("sig", "engine/accumulate.py", "accumulate"),
        ],
    )  # fmt: skip
    def test_a_fault_of_ours_is_told_with_its_line(self, here, monkeypatch, method, file, name):
        def broken(*_, **__):
            return {}["ours"]

        # a function with a fault, as if it stood in that file
        code = broken.__code__.replace(co_filename=str(Path(sigcli.__file__).parent / file))
        monkeypatch.setattr(f"sigcli.{file[:-3].replace('/', '.')}.{name}", types.FunctionType(code, {}))
        (item,) = explain("in/a.png", model="faultnet:conv", method=method, write=False, **SEEN)
        assert re.match(rf"the method \(sigcli/{file}, line \d+\) raised KeyError: 'ours'", item.error)


class TestOutput:
    OPTIONS = ("--model", "faultnet:loud", "--resize", "16", "--crop", "16", "--mean", "0,0,0", "--std", "1,1,1")

    def sig(self, *arguments, **more):
        code = "from sigcli.__main__ import main; main()"
        command = [sys.executable, "-c", code, *arguments, "--method", "gradient", "--json", "--no-pictures"]
        return subprocess.run(command, text=True, check=False, stderr=subprocess.PIPE, **more)

    def test_json_holds_nothing_but_json(self, here):
        done = self.sig("explain", "in", *self.OPTIONS, stdout=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        *found, last = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["image"] for one in found] == ["a.png", "b.png", "c.png"]
        assert last["counts"]["done"] == 3
        assert {"python", "descriptor", "at load"} <= set(done.stderr.splitlines())

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_output_is_said_and_work_is_kept(self, here):
        with open("/dev/full", "w") as full:
            done = self.sig("explain", "in", *self.OPTIONS, stdout=full)
        assert done.returncode == 1
        assert "error: standard output cannot be written" in done.stderr
        assert "Traceback" not in done.stderr
        assert all(Path("sig-out", row["image"][0], "gradient.npy").exists() for row in rows("sig-out"))

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_list_that_cannot_be_printed_keeps_nothing(self):
        code = "from sigcli.__main__ import main; main()"
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-c", code, "list", "methods"]
            done = subprocess.run(command, text=True, check=False, stderr=subprocess.PIPE, stdout=full)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "kept" not in done.stderr

    def test_a_reader_that_leaves_ends_it_without_a_word(self, here):
        read, write = os.pipe()
        os.close(read)
        done = self.sig("explain", "in", *self.OPTIONS, stdout=write)
        os.close(write)
        assert done.returncode == 141
        assert "error" not in done.stderr
        assert "Traceback" not in done.stderr
        assert all(Path("sig-out", row["image"][0], "gradient.npy").exists() for row in rows("sig-out"))
        again = self.sig("explain", "in", *self.OPTIONS, "--out", "sig-out", "--resume", stdout=subprocess.PIPE)
        assert again.returncode == 0, again.stderr
        assert len(again.stdout.splitlines()) - 1 == len(rows("sig-out")) == 3

    @pytest.mark.parametrize("arguments", [["--help"], ["list", "methods"], ["list", "baselines", "blur"]])
    def test_help_and_lists_do_too(self, arguments):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "sigcli", *arguments]
        done = subprocess.run(command, check=False, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, b"")

    def test_streams_that_were_closed_before_the_start(self):
        sig = f"{sys.executable} -m sigcli list baselines"
        closed = subprocess.run(f"{sig} >&-", shell=True, check=False, capture_output=True)
        assert closed.returncode == 1
        assert closed.stderr.startswith(b"error: ")
        assert b"Traceback" not in closed.stderr
        assert subprocess.run(f"{sig} 2>&-", shell=True, check=False, stdout=subprocess.PIPE).returncode == 0

    def test_another_pipe_that_breaks_is_told(self, tmp_path, monkeypatch):
        with (tmp_path / "said").open("w") as said:
            monkeypatch.setattr(sys, "stdout", said)
            monkeypatch.setattr(sys, "stderr", said)
            with pytest.raises(typer.Exit) as ended, guarded(debug=False):
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # of a loader's process, say
        assert ended.value.exit_code == 1
        assert "Broken pipe" in (tmp_path / "said").read_text()

    def test_a_row_is_written_whole_or_not_at_all(self, tmp_path, monkeypatch):
        file = tmp_path / "metrics.csv"
        append_row(file, {"a": "1"}, first=True)
        before = file.read_bytes()
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
        try:
            with pytest.raises(StoppedError, match="can no longer be written"):
                append_row(file, {"a": "x" * 50}, first=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.read_bytes() == before

    def test_a_missing_file_elsewhere_is_named_and_the_run_can_be_resumed(self, tmp_path):
        """As where an upgrade took away a file of the package: it said "No such file or directory" of the run folder."""
        font = str(tmp_path / "package" / "font.ttf")
        (tmp_path / "run").mkdir()
        error = stopped(tmp_path / "run", FileNotFoundError(errno.ENOENT, "No such file or directory", font))
        assert font in error.hint
        assert "--resume" in error.hint
        gone = stopped(tmp_path / "out", FileNotFoundError(errno.ENOENT, "No such file or directory"))
        assert "--resume" not in gone.hint

    def test_a_folder_that_is_taken_away_is_not_made_anew(self, tmp_path):
        run = open_run(tmp_path / "out", {"spec": {}, "images": []}, resume=False)
        (tmp_path / "out").rename(tmp_path / "away")
        with pytest.raises(OSError, match="removed or renamed"):
            run.add({"image": "a", "method": "ig", "target": "1", "status": "ok"})
        with pytest.raises(StoppedError, match="can no longer be written"):
            run.settle(lambda row: row["image"])
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("columns", [40, 70, 80, 200])
def test_no_table_loses_a_name_or_a_digit_in_a_narrow_window(here, monkeypatch, columns):
    """At 70 columns the image's name was cut to nothing; what has no room is left out by name."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "a photograph of the second kind.png"
    Path("in/a.png").rename(f"in/{name}")
    common = [
        "--model",
        "faultnet:plain",
        "--image-size",
        "16",
        "--mean",
        "0",
        "--std",
        "1",
        "--no-pictures",
        "--out",
        "out",
    ]
    done = CliRunner().invoke(app, ["explain", "in", "--method", "gradient,smoothgrad", *common])
    assert done.exit_code == 0, done.output
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    table = plain[plain.index("image ") :].splitlines()
    assert all(len(line) <= columns for line in table if "too narrow" not in line and "written to" not in line)
    width = table[0].index("method")
    assert name.replace(" ", "") in "".join(line[:width] for line in table[1:]).replace(" ", "")
    assert ("too narrow" in plain) == (columns < 200)
    for row in rows("out"):
        if row["image"] == "b.png":
            assert f"{float(row['score']):.3f}" in plain
    metrics = "sparseness,entropy,relevance-mass".rpartition(",")[0]
    done = CliRunner().invoke(app, ["evaluate", "out", "--metric", metrics, "--no-pictures"])
    assert done.exit_code == 0, done.output
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    with open("out/summary.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if not row["minus"]:
                assert f"{float(row['ci_low']):.3f} to {float(row['ci_high']):.3f}" in plain
                assert row["method"] in plain
