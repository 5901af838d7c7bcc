"""What a run owns, and what becomes of it: overwritten, repeated, interrupted, damaged, or beside files of others.

The right state of a folder is that of an undisturbed run of the same command, file by file, but for the wall time.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import LINE, NET, SIDE, contents, picture, said, sig, table

import sigcli.attribution.explain
import sigcli.attribution.pipeline
import sigcli.attribution.session
import sigcli.attribution.writers
import sigcli.evaluation.evaluate
from sigcli.attribution.options import ExplainOptions
from sigcli.errors import OutputError, SigError, UsageError
from sigcli.runs.folder import open_run, run_names
from sigcli.runs.ledger import Entry

from repository import ROOT

MODEL = {"model": "tiny_net:net", "resize": SIDE, "crop": SIDE, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
QUICK = {**MODEL, "device": "cpu"}


def quick(options):
    """Few evaluations for the methods that are run."""
    few = {"ig": {"ig.steps": 3}, "sig": {"sig.samples": 4}}
    names = options["method"].split(",") if "model" in options else []
    found = {key: value for name in names for key, value in few.get(name, {}).items()}
    return {**options, "settings": found} if found else options


def explain(images, **options):
    return sigcli.attribution.explain.explain(images, **quick(options))


def evaluate(images, **options):
    return sigcli.evaluation.evaluate.evaluate(images, **quick(options))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two pictures in `in/`, of the classes 0 and 1, and the module of a small network."""
    (tmp_path / "tiny_net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("tiny_net", None)
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        picture(Path(f"in/im{number}.png"), number, channel=number)
    return tmp_path


def same(one, other):
    (files, rows), (others, theirs) = contents(one), contents(other)
    assert sorted(files) == sorted(others)
    assert [name for name in files if files[name] != others[name]] == []
    assert rows == theirs


# Overwriting


def test_an_overwritten_run_leaves_nothing_that_is_measured_as_the_new_one(here):
    explain("in", method="ig,gradient", **QUICK, out="out", uncertainty=True)
    evaluate("out", metric="sparseness")
    explain("in", method="ig", **{**QUICK, "model": "tiny_net:other"}, out="out", overwrite=True)
    explain("in", method="ig", **{**QUICK, "model": "tiny_net:other"}, out="fresh")
    same("out", "fresh")
    found = evaluate("out", metric="sparseness")
    assert {f.method for f in found.values} == {"ig"}


THEIRS = ["gradient.csv", "gradient.class99.npy", "gradient.overlay.png", "compare.class7.png", "compare.png"]


@pytest.mark.parametrize("name", THEIRS)
def test_files_of_others_in_the_folder_of_an_image_stay(here, name):
    explain("in", method="gradient", **QUICK, out="out", pictures=False)
    theirs = Path("out/im0") / name
    theirs.write_text("mine")
    sheet = name.startswith("compare")  # no work stands in the way of a sheet: the run goes on without it, and says so
    for options in ({"resume": True}, {"resume": True, "pictures": False}, {}):
        goes_on = sheet and "resume" in options
        with contextlib.nullcontext() if goes_on else pytest.raises(OutputError, match=f"im0/{name}"):
            found = explain("in", method="gradient", **{**QUICK, "out": "out", **options})
            assert any(name in note for note in found.notes)
        assert theirs.read_text() == "mine"
    # Every run may write sheets, and only one with this method its files.
    with pytest.raises(OutputError) if name.startswith("compare") else contextlib.nullcontext():
        explain("in", method="ig", **{**QUICK, "model": "tiny_net:other"}, out="out", overwrite=True, pictures=False)
    assert theirs.read_text() == "mine"


def test_another_run_replaces_no_file_of_others_in_the_folder_of_an_image(here):
    explain("in", method="gradient", **QUICK, out="out", pictures=False)
    Path("out/im0/ig.npy").write_text("mine")
    with pytest.raises(OutputError, match=r"im0/ig\.npy"):
        explain("in", method="ig", **QUICK, out="out", overwrite=True)
    assert Path("out/im0/ig.npy").read_text() == "mine"
    assert Path("out/im0/gradient.npy").exists()


@pytest.mark.parametrize("name", ["files.jsonl", "metrics.jsonl", "evaluation.json", "agreement.csv", "FILES.jsonl"])
@pytest.mark.parametrize("deep", [False, True])
def test_images_that_are_called_as_files_of_a_run(here, name, deep):
    picture(Path(f"in/{name}/a.png" if deep else f"in/{name}.png"), 5)
    explain("in", method="ig", **QUICK, out="out", pictures=False)
    found = evaluate("out", metric="sparseness")
    assert [row["status"] for row in table("out")] == ["ok"] * 3
    assert [figure.error for figure in found.values] == [""] * 3
    explain("in", method="ig", **QUICK, out="out", pictures=False, resume=True)


def test_arrays_that_a_run_does_not_own_are_not_measured_as_its_own(here):
    explain("in", method="ig", **QUICK, out="out", pictures=False)
    np.save("out/im0/theirs.npy", np.ones((3, SIDE, SIDE), np.float32))
    assert {f.method for f in evaluate("out", metric="sparseness").values} == {"ig"}
    with pytest.raises(UsageError, match="theirs"):
        evaluate("out", metric="sparseness", method="theirs")
    assert Path("out/im0/theirs.npy").exists()
    explain("in", method="gradient", **QUICK, out="out", overwrite=True, pictures=False)
    assert Path("out/im0/theirs.npy").exists()
    assert not Path("out/im0/ig.npy").exists()


def test_an_overwriting_that_was_killed_says_which_run_the_folder_holds(here, monkeypatch):
    explain("in", method="ig", **QUICK, out="out")
    monkeypatch.setattr("sigcli.runs.folder.opened", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("killed")))
    with pytest.raises(RuntimeError):
        explain("in", method="gradient", **QUICK, out="out", overwrite=True)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    assert list(json.loads(Path("out/manifest.json").read_text())["spec"]["methods"]) == ["gradient"]
    assert not list(Path("out").rglob("*.npy"))
    explain("in", method="gradient", **QUICK, out="out", resume=True)
    explain("in", method="gradient", **QUICK, out="fresh")
    same("out", "fresh")


# Files of others


@pytest.mark.parametrize("name", ["results.csv", "files.jsonl", "metrics.jsonl", "manifest.json", "im0/ig.npy", "im1"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_never_replaced(here, name, overwrite):
    theirs = Path("out") / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text('{"name": "my extension", "version": 3}')
    run = evaluate if name == "metrics.jsonl" else explain
    more = {"metric": "sparseness"} if run is evaluate else {}
    with pytest.raises(OutputError, match="sig did not write") as error:
        run("in", method="ig", **QUICK, **more, out="out", overwrite=overwrite)
    assert name in str(error.value)
    assert theirs.read_text() == '{"name": "my extension", "version": 3}'
    assert [p for p in Path("out").rglob("*") if p.is_file()] == [theirs]


def test_a_table_put_into_a_run_is_not_replaced_by_its_evaluation(here):
    explain("in", method="ig", **QUICK, out="out", pictures=False)
    Path("out/summary.csv").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"summary\.csv"):
            evaluate("out", metric="sparseness", overwrite=overwrite)
    assert Path("out/summary.csv").read_text() == "mine"


def test_other_files_stay_where_names_do_not_clash(here):
    Path("out/im0").mkdir(parents=True)
    for name in ("notes.txt", "im0/notes.txt", ".mine.part"):
        (Path("out") / name).write_text("mine")
    for model in ("net", "other"):
        explain("in", method="ig", **{**QUICK, "model": f"tiny_net:{model}"}, out="out", overwrite=True, pictures=False)
    assert all((Path("out") / name).read_text() == "mine" for name in ("notes.txt", "im0/notes.txt", ".mine.part"))


@pytest.mark.parametrize("command", ["explain", "evaluate"])
@pytest.mark.parametrize("out", ["", "  ", ".", "in/..", "tiny_net.py", "tiny_net.py/out", "in\0x"])
def test_an_output_folder_that_cannot_be_one(here, command, out):
    before = sorted(here.rglob("*"))
    for extra in ([], ["--overwrite"], ["--resume"]):
        done = sig(command, "in", *LINE, "--method", "gradient", "--out", out, *extra)
        assert done.exit_code == 2, done.output
        assert "unexpected" not in done.output
    with pytest.raises(SigError):
        explain("in", method="gradient", **QUICK, out=out)
    assert [p for p in sorted(here.rglob("*")) if "__pycache__" not in str(p)] == [
        p for p in before if "__pycache__" not in str(p)
    ]


@pytest.mark.parametrize("command", [["gridworld"], ["train", "in"], ["benchmark", "scenario", "two-features"],
                                     ["benchmark", "images", "in"]])  # fmt: skip
def test_no_command_takes_an_output_folder_without_a_name(here, command):
    done = sig(*command, "--out", "")
    assert done.exit_code == 2
    assert "--out" in said(done)


# Repeating


def test_a_repeated_run_keeps_its_table_until_it_is_done(here, monkeypatch):
    explain("in", method="ig,gradient", **QUICK, out="out")
    explain("in", method="ig,gradient", **QUICK, out="whole")
    before = Path("out/results.csv").read_bytes()
    draw, seen = sigcli.attribution.writers.save_array, []

    def interrupted(path, values):
        seen.append(Path("out/results.csv").read_bytes())
        if len(seen) > 1:
            raise KeyboardInterrupt
        draw(path, values)

    monkeypatch.setattr(sigcli.attribution.writers, "save_array", interrupted)
    done = sig("explain", "in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--out", "out")
    assert done.exit_code == 130
    assert "finished work is kept" in said(done)
    monkeypatch.setattr(sigcli.attribution.writers, "save_array", draw)
    assert seen[0] == before
    assert table("out") == table("whole")
    explain("in", method="ig,gradient", **QUICK, out="out", resume=True)
    same("out", "whole")


def test_a_repeated_measurement_keeps_its_tables_until_it_is_done(here, monkeypatch):
    evaluate("in", method="ig", metric="sparseness,entropy", **QUICK, out="out")
    names = ("metrics.csv", "summary.csv", "evaluation.json", "table.png", "results.csv", "metrics.jsonl")
    before = {name: Path("out", name).read_bytes() for name in names}
    monkeypatch.setattr("sigcli.evaluation.cache.Kept.add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluate("in", method="ig", metric="sparseness,entropy", **QUICK, out="out")
    found = {name: Path("out", name).read_bytes() for name in names}
    assert [name for name in names if name != "results.csv" and found[name] != before[name]] == []


# Interruptions


def test_a_resumed_run_has_the_pictures_of_an_undisturbed_one(here):
    options = {"method": "sig,ig", "uncertainty": True, **QUICK}
    explain("in", **options, out="whole")
    explain("in", **options, out="out", pictures=False)
    explain("in", **options, out="out", resume=True)
    same("out", "whole")
    Path("out/im0/compare.png").unlink()
    Path("out/im1/compare.png").write_bytes(Path("out/im1/compare.png").read_bytes()[:900])
    Path("out/im0/sig.overlay.png").unlink()
    Path("out/im0/sig.stderr.png").write_bytes(b"")
    for name in (
        ".0123456789abcdef.sig.part",
        "im1/.0123456789abcdef.sig.part",
        "im0/ig.png.part",
        "im0/.sig.npy.part",
    ):
        (Path("out") / name).write_bytes(b"half")
    found = explain("in", **options, out="out", resume=True)
    assert all(item.resumed for item in found)
    same("out", "whole")
    explain("in", **options, out="out", resume=True, smooth=3.0)
    explain("in", **options, out="smooth", smooth=3.0)
    same("out", "smooth")


def test_a_resumed_run_with_another_scale_has_other_sheets_and_no_other_files(here):
    options = {"method": "ig,gradient", "target": 0, **QUICK}
    explain("in", **options, out="whole", scale="common")
    explain("in", **options, out="out")
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("im*/*") if path.name != "compare.png"}
    assert Path("out/im0/compare.png").read_bytes() != Path("whole/im0/compare.png").read_bytes()
    explain("in", **options, out="out", resume=True, scale="common")
    same("out", "whole")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("fails", ["save_array", "save_png", "write_sheet"])
def test_wherever_a_run_stops_it_goes_on_to_the_same_files(here, monkeypatch, fails):
    options = {"method": "sig,ig", **QUICK}
    explain("in", **options, out="whole")
    places = {"save_png": "render", "save_array": "attribution.writers", "write_sheet": "attribution.stream"}
    place, name = importlib.import_module(f"sigcli.{places[fails]}"), fails
    right = getattr(place, name)
    for stop in range(4):
        calls = iter(range(100))

        def stopped(*arguments, calls=calls, stop=stop):
            if next(calls) == stop:
                raise KeyboardInterrupt
            return right(*arguments)

        monkeypatch.setattr(place, name, stopped)
        with contextlib.suppress(KeyboardInterrupt):
            explain("in", **options, out=f"out{stop}")
        monkeypatch.setattr(place, name, right)
        explain("in", **options, out=f"out{stop}", resume=True)
        same(f"out{stop}", "whole")


@pytest.mark.slow
def test_killed_processes_leave_folders_that_become_whole(here):
    for number in range(2, 6):
        picture(Path(f"in/im{number}.png"), number)
    line = ["evaluate", "in", *LINE, "--method", "ig,gradient", "--metric", "deletion", "--set", "deletion.steps=4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{here}"}
    child = subprocess.Popen([sys.executable, "-m", "sigcli", *line, "--out", "out"], env=environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(Path("out").rglob("compare.png")):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert sig(*line, "--out", "out", "--resume").exit_code == 0
    assert sig(*line, "--out", "whole").exit_code == 0
    same("out", "whole")


# What is no longer so


def by_hand(name):
    """The class of a picture of `in/`, by NumPy from the network's definition: tanh(x·w)·3 + mean of each channel·4."""
    pixels = np.asarray(Image.open(f"in/{name}"), np.float32).transpose(2, 0, 1) / 255
    weights = torch.randn(3, 3 * SIDE**2, generator=torch.Generator().manual_seed(0)).numpy() * 0.05
    return str(int((np.tanh(weights @ pixels.ravel()) * 3 + pixels.mean((1, 2)) * 4).argmax()))


def test_rows_and_files_of_images_that_changed_or_are_gone_go(here):
    options = {"method": "ig", **QUICK}
    explain("in", **options, out="out")
    before = by_hand("im1.png")
    assert [row["target"] for row in table("out")] == [by_hand("im0.png"), before]
    picture(Path("in/im1.png"), 5, channel=2)
    Path("in/im0.png").unlink()
    explain("in", **options, out="out", resume=True)
    assert [(row["image"], row["target"]) for row in table("out")] == [("im1.png", by_hand("im1.png"))]
    assert by_hand("im1.png") != before
    assert not Path("out/im0").exists()
    explain("in", **options, out="fresh")
    same("out", "fresh")


def test_files_of_a_target_that_is_no_longer_the_top_go(here):
    options = {"method": "ig", "target": "top:2", **QUICK}
    explain("in", **options, out="out")
    picture(Path("in/im0.png"), 9, channel=2)
    explain("in", **options, out="out", resume=True)
    explain("in", **options, out="fresh")
    same("out", "fresh")


def test_an_explanation_that_fails_now_leaves_no_files_of_before(here):
    options = {"method": "ig", **QUICK}
    explain("in", **options, out="out")
    Path("in/im0.png").write_bytes(b"no picture")
    explain("in", **options, out="out", resume=True)
    assert [row["status"] for row in table("out")] == ["failed", "ok"]
    assert not Path("out/im0").exists()


# Damage


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_spreadsheet(path):
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    spot = rows[0].index("seconds")
    for row in rows[1:]:
        row[spot] = row[spot].replace(".", ",")
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)


DAMAGE = {
    "half an array": lambda: half(Path("out/im0/ig.npy")),
    "100 bytes": lambda: Path("out/im0/ig.npy").write_bytes(Path("out/im0/ig.npy").read_bytes()[:100]),
    "a bit of an array": lambda: Path("out/im0/ig.npy").write_bytes(Path("out/im0/ig.npy").read_bytes()[:-1] + b"\x99"),
    "no standard error": lambda: Path("out/im0/sig.stderr.npy").unlink(),
    "a spreadsheet": lambda: as_spreadsheet(Path("out/results.csv")),
    "half a table": lambda: half(Path("out/results.csv")),
    "no table": lambda: Path("out/results.csv").unlink(),
    "NUL in the table": lambda: Path("out/results.csv").write_bytes(b"\0" * 200),
    "another table": lambda: Path("out/results.csv").write_text("a,b\n1,2\n3\n"),
    "no UTF-8": lambda: Path("out/results.csv").write_bytes(b"\xff\xfe\x80,\n\x80"),
    "a cell of 200,000": lambda: Path("out/results.csv").write_text("image,method\n" + "x" * 200_000 + ",ig\n"),
    "half a ledger": lambda: half(Path("out/files.jsonl")),
    "no ledger": lambda: Path("out/files.jsonl").unlink(),
    "a ledger of zeros": lambda: Path("out/files.jsonl").write_bytes(b"\0" * 500),
    "lists in the ledger": lambda: Path("out/files.jsonl").write_bytes(
        Path("out/files.jsonl").read_bytes() + b'[1]\n{"image": 3}\n{"sheet": "../x"}\n'
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_state_is_made_again(here, what):
    command = ["explain", "in", *LINE, "--method", "sig,ig", "--set", "sig.samples=4", "--uncertainty"]
    assert sig(*command, "--out", "out").exit_code == 0
    assert sig(*command, "--out", "whole").exit_code == 0
    DAMAGE[what]()
    done = sig(*command, "--out", "out", "--resume")
    assert done.exit_code == 0, done.output
    assert "note:" in done.output
    same("out", "whole")


def test_a_ledger_cannot_name_files_outside(here):
    options = {"method": "ig", **QUICK}
    explain("in", **options, out="out", pictures=False)
    ledger = Path("out/files.jsonl")
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join([*lines, lines[-1].replace('"im1"', '"../in"').replace("ig.npy", "im0.png")]) + "\n")
    Path("in/im2.png").write_bytes(Path("in/im0.png").read_bytes())
    explain("in", **{**options, "seed": 4}, out="out", overwrite=True, pictures=False)
    assert Path("in/im0.png").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "null", "\0\0", '{"spec": 3}', '{"spec": {"methods": 3}, "images": [4]}']
)
def test_a_damaged_manifest_is_one_sentence_and_can_be_overwritten(here, text):
    command = ["explain", "in", *LINE, "--method", "ig", "--no-pictures"]
    assert sig(*command, "--out", "out").exit_code == 0
    assert sig(*command, "--out", "whole").exit_code == 0
    Path("out/manifest.json").write_text(text)
    for arguments in ([*command, "--out", "out"], [*command, "--out", "out", "--resume"], ["evaluate", "out"]):
        done = sig(*arguments)
        assert done.exit_code in (1, 2), done.output
        assert "unexpected" not in done.output
    done = sig(*command, "--out", "out", "--overwrite")
    assert done.exit_code == 0, done.output
    same("out", "whole")


@pytest.mark.parametrize(
    "line", [b"{", b"\0\0\0", b"[]", b"null", b'{"digest": "x"}', b'{"digest": 3, "value": "a"}', b"\xff\xfe", b"3\r"]
)
def test_damaged_figures_are_measured_again(here, line):
    command = ["evaluate", "in", *LINE, "--method", "ig", "--metric", "deletion,sparseness", "--no-pictures"]
    assert sig(*command, "--out", "out").exit_code == 0
    assert sig(*command, "--out", "whole").exit_code == 0
    kept = Path("out/metrics.jsonl").read_bytes().split(b"\n")
    Path("out/metrics.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join([kept[0], line, *kept[2:]]))
    for name in ("summary.csv", "curves.csv", "evaluation.json", "metrics.csv"):
        Path("out", name).write_bytes(b"\xff;;{")
    done = sig(*command, "--out", "out", "--resume")
    assert done.exit_code == 0, done.output
    assert "damaged lines" in said(done)
    same("out", "whole")


def test_a_damaged_array_of_a_run_is_not_measured(here):
    explain("in", method="ig", **QUICK, out="out", pictures=False)
    values = np.load("out/im0/ig.npy")
    np.save("out/im0/ig.npy", values * 2)
    errors = {f.image: f.error for f in evaluate("out", metric="sparseness").values}
    assert "damaged" in errors["im0.png"]
    assert not errors["im1.png"]


# Others at the same time, and of another time


def test_two_processes_do_not_write_in_one_folder(here):
    fcntl = pytest.importorskip("fcntl")
    explain("in", method="ig", **QUICK, out="out", pictures=False)
    file = os.open("out", os.O_RDONLY)
    fcntl.flock(file, fcntl.LOCK_EX)  # what another process would hold
    for command in (["explain", "in", "--method", "ig", "--set", "ig.steps=3", "--out", "out"], ["evaluate", "out"]):
        done = sig(
            *command,
            *(LINE if command[0] == "explain" else ()),
            *(["--metric", "sparseness"] if command[0] == "evaluate" else ()),
        )
        assert done.exit_code == 2
        assert "another sig process is writing" in said(done)
    os.close(file)
    explain("in", method="ig", **QUICK, out="out", pictures=False)


def of_an_older_version(folder):
    (folder / "files.jsonl").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["owns"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_runs_of_an_older_version_are_measured_and_replaced_and_not_resumed(here):
    options = {"method": "ig,gradient", **QUICK}
    explain("in", **options, out="out")
    of_an_older_version(here / "out")
    np.save("out/im0/before.npy", np.ones((3, SIDE, SIDE), np.float32))  # of a run that it had overwritten
    assert {f.method for f in evaluate("out", metric="sparseness").values} == {"ig", "gradient"}
    with pytest.raises(OutputError, match="older version"):
        explain("in", **options, out="out", resume=True)
    explain("in", **{**options, "seed": 3, "method": "ig"}, out="out", overwrite=True)
    explain("in", **{**options, "seed": 3, "method": "ig"}, out="fresh")
    Path("out/im0/before.npy").unlink()
    same("out", "fresh")


# Many images


def test_the_work_around_the_maps_is_linear(tmp_path):
    """Lines of Python that opening, sorting and looking up take: eight times as many images, eight times as many lines."""

    def lines(count):
        names = [(f"{i:06d}.JPEG", f"{i:06d}") for i in range(count)]
        manifest = {"spec": {"methods": {"ig": {}}}, "images": [f"/data/{name}" for name, _ in names]}
        run = open_run(tmp_path / f"{count}", manifest, resume=False, images=names)
        for name, folder in names:
            row = {"image": name, "method": "ig", "target": "3", "status": "ok", "seconds": "0.100"}
            run.add(row, Entry(name, "ig", "3", "c", folder, "", "logit", {"score": 1.0}, {}))
        run.close()
        steps = 0

        def count_lines(*_):
            nonlocal steps
            steps += 1
            return count_lines

        places = {name: i for i, (name, _) in enumerate(names)}
        sys.settrace(count_lines)
        try:
            run.settle(lambda row: places[row["image"]])
            again = open_run(
                tmp_path / f"{count}", manifest, resume=True, images=run_names([Path(p) for p in manifest["images"]])
            )
            found = [again.finished(name, "ig", "3", "c") for name, _ in names]
        finally:
            sys.settrace(None)
        assert all(found)
        return steps

    assert lines(160) < 10 * lines(20)


def test_places_of_rows_are_looked_up(here):
    session = sigcli.attribution.session.prepare(ExplainOptions("in", method="ig,gradient", **QUICK, out="out"))
    work = sigcli.attribution.pipeline.Work(session)
    rows = [{"image": f"im{i}.png", "method": m, "target": "1"} for i in (0, 1) for m in ("ig", "gradient")]
    assert [work.place(row) for row in rows] == [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)]
    work.names = None  # nothing is listed again for each row
    assert work.place(rows[3]) == (1, 1, 1)
    session.run.close()
