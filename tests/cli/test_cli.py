"""`sig` as a user types it: files, figures, messages, exit codes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.inputs.samples import sample_images
from sigcli.options import flags
from sigcli.options import table as options_of
from sigcli.scenarios import SCENARIOS

from repository import ROOT

FAST = ["--method", "ig,sig", "--set", "steps=2", "--set", "sig.steps=1", "--set", "samples=8", "--device", "cpu"]


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with three samples in `pictures/`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for path in sorted(sample_images().glob("*.png"))[:3]:
        shutil.copy(path, tmp_path / "pictures")
    return tmp_path


def picture_size(path):
    with Image.open(path) as picture:
        return picture.size


def rows(folder):
    with (Path(folder) / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def figures(folder):
    """Every column but the wall time."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)]


@pytest.mark.slow
def test_a_run_leaves_what_the_design_lists(here):
    done = sig("explain", "pictures", *FAST, "--uncertainty", "--out", "out")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    found = rows("out")
    assert len(found) == 6
    assert {row["status"] for row in found} == {"ok"}
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["spec"]["model"] == "shapes"
    assert manifest["spec"]["methods"]["sig"]["samples"] == 8
    assert {"torch", "numpy", "sigcli"} <= set(manifest["versions"])
    for row in found:
        folder = Path("out") / Path(row["image"]).stem
        values = np.load(folder / f"{row['method']}.npy")
        assert values.dtype == np.float32
        assert values.shape == (3, 128, 128)
        assert row["label"] == Path(row["image"]).stem
        for suffix in (".png", ".overlay.png"):
            assert picture_size(folder / f"{row['method']}{suffix}")[0] > 400
        assert (folder / f"{row['method']}.stderr.npy").exists() == (row["method"] == "sig")
        assert picture_size(folder / "compare.png")[0] > 800
    assert not list(Path("out").rglob("*.part"))


def test_signs_apart_leave_a_picture_of_each(here):
    done = sig("explain", "pictures", "--method", "gradient", "--signs", "apart", "--out", "out")
    assert done.exit_code == 0, done.output
    made = {path.name for path in (here / "out" / "fish").iterdir()}
    assert {"gradient.positive.png", "gradient.negative.png", "compare.png"} <= made
    wrong = sig("explain", "pictures", "--signs", "apar")
    assert wrong.exit_code == 2
    assert "apart" in wrong.stderr


def test_json_is_one_object_per_result_and_nothing_else(here):
    done = sig("explain", "pictures/*.png", *FAST, "--json", "--no-pictures", "--out", "out")
    *records, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 6
    assert last == {"counts": {"done": 6, "resumed": 0, "failed": 0, "reasons": {}}}
    assert [float(f"{r['score']:.6g}") for r in records] == [float(r["score"]) for r in rows("out")]
    assert all(Path(r["array"]).exists() for r in records)
    assert not list(Path("out").rglob("*.png"))
    assert "written to out" in done.stderr


def test_same_seed_same_figures_whatever_the_batch_size(here):
    for name, size in (("a", 3), ("b", 50), ("c", 3)):
        assert sig("explain", "pictures", *FAST, "--out", name, "--batch-size", size, "--no-pictures").exit_code == 0
    assert figures("a") == figures("c")
    for one, two in zip(figures("a"), figures("b"), strict=True):
        for column in ("score", "standard_error"):
            assert float(one[column] or 0) == pytest.approx(float(two[column] or 0), rel=1e-5)
    for first in Path("a").rglob("*.npy"):
        one, two = np.load(first), np.load(Path("b") / first.relative_to("a"))
        assert np.linalg.norm(one - two) <= 1e-5 * np.linalg.norm(one)


def test_resume_does_only_what_is_missing_and_ends_as_if_undisturbed(here):
    command = ["explain", "pictures", *FAST, "--no-pictures"]
    assert sig(*command, "--out", "whole").exit_code == 0
    assert sig(*command, "--out", "part").exit_code == 0
    lines = Path("part/results.csv").read_text().splitlines(keepends=True)
    Path("part/results.csv").write_text("".join(lines[:3]) + lines[3][:7])
    first = Path("part/fish/ig.npy")
    before = first.stat().st_mtime_ns
    again = sig(*command, "--out", "part", "--resume", "--json")
    assert again.exit_code == 0
    *records, last = map(json.loads, again.stdout.splitlines())
    assert len(records) == 6
    assert last["counts"]["done"] == 6
    assert 0 < last["counts"]["resumed"] < 6
    assert figures("part") == figures("whole")
    assert first.stat().st_mtime_ns == before
    other = sig(*command, "--seed", 1, "--out", "part", "--resume")
    assert other.exit_code == 2
    assert "seed" in other.stderr


@pytest.mark.slow
def test_an_interrupted_process_keeps_what_is_done_and_exits_130(here):
    command = [
        sys.executable,
        "-c",
        # Tests that were started in the background pass on an ignored SIGINT, which a user's shell does not.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sigcli.__main__ import main; main()",
        "explain",
        "pictures",
        "--method",
        "gradient,sig",
        "--set",
        "samples=3000",
    ]
    child = subprocess.Popen(
        [*command, "--out", "out"],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (Path("out/results.csv").exists() and len(rows("out"))):
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, errors
    assert b"--resume" in errors
    assert len(rows("out")) >= 1


def test_negative_scores_survive_a_resumption(here):
    command = ["explain", "pictures/star.png", "--method", "gradient", "--output", "logprob", "--target", "ring",
               "--device", "cpu",
               "--no-pictures", "--out", "out"]  # fmt: skip
    if not Path("pictures/star.png").exists():
        shutil.copy(sample_images() / "star.png", "pictures")
    assert sig(*command).exit_code == 0
    before = figures("out")
    assert float(before[0]["score"]) < 0
    assert sig(*command, "--resume").exit_code == 0
    assert figures("out") == before


def test_resume_redoes_what_was_changed_or_lost(here):
    command = ["explain", "pictures", "--method", "gradient", "--device", "cpu", "--no-pictures", "--out", "out"]
    assert sig(*command).exit_code == 0
    changed, lost = Path("out/fish/gradient.npy"), Path("out/heart/gradient.npy")
    before = changed.read_bytes()
    lost.unlink()
    Image.open("pictures/fish.png").rotate(90).save("pictures/fish.png")
    assert sig(*command, "--resume").exit_code == 0
    assert lost.exists()
    assert changed.read_bytes() != before


def test_top_k_explains_each_class(here):
    image = next(Path("pictures").iterdir())
    assert sig("explain", image, *FAST, "--target", "top:2", "--out", "out").exit_code == 0
    found = rows("out")
    assert len({row["target"] for row in found}) == 2
    assert len(list(Path("out").rglob("ig.class*.npy"))) == 2
    assert len(list(Path("out").rglob("compare.class*.png"))) == 2


def test_no_paths_explain_the_bundled_samples(here):
    done = sig("explain", "--method", "gradient", "--device", "cpu", "--no-pictures")
    assert done.exit_code == 0, done.output
    assert "bundled samples" in done.stderr
    assert len(rows("sig-out")) == 10


def test_default_folder_is_never_overwritten_by_another_run(here):
    image = next(Path("pictures").iterdir())
    for method in ("gradient", "ig", "gradient"):
        assert sig("explain", image, "--method", method, "--device", "cpu", "--no-pictures").exit_code == 0
    assert {p.name for p in here.iterdir()} == {"pictures", "sig-out", "sig-out-2"}


BAD = {  # what was typed → what the message must say
    "no file": (["gone.png"], "gone.png"),
    "misspelt file": (["pictures/{first}x"], "{first}"),
    "folder without images": (["empty"], "no images"),
    "unknown model": (["pictures", "--model", "resnet5"], "resnet50"),
    "misspelt method": (["pictures", "--method", "sgi"], "Did you mean 'sig'"),
    "misspelt option": (["pictures", "--set", "stesp=3"], "steps"),
    "option without value": (["pictures", "--set", "steps"], "NAME=VALUE"),
    "weights of another network": (
        ["pictures", "--model", "squeezenet1_1", "--weights", "net.safetensors"],
        "net.safetensors",
    ),
    "target out of range": (["pictures", "--target", "99"], "0 to"),
    "unknown label": (["pictures", "--target", "stra"], "Did you mean 'star'"),
    "unwritable output": (["pictures", "--out", "net.safetensors/out"], "cannot be written"),
    "misspelt baseline": (["pictures", "--baseline", "blak"], "Did you mean 'black'"),
    "misspelt players": (["pictures", "--players", "7by7"], "grid:7x7"),
    "misspelt output": (["pictures", "--output", "logits"], "Did you mean 'logit'"),
    "no such device": (["pictures", "--device", "cuda:77"], "device"),
    "batch size": (["pictures", "--batch-size", "0"], "at least 1"),
    "pickle": (["pictures", "--model", "evil.pt"], "evil.pt"),
    "mean": (["pictures", "--mean", "red"], "numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_usage_is_one_message_and_exit_code_2(case, here):
    arguments, message = BAD[case]
    first = sorted(Path("pictures").iterdir())[0].name
    (here / "empty").mkdir()
    import torch
    from safetensors.torch import save_file

    save_file({"fc.weight": torch.zeros(3, 3)}, here / "net.safetensors")
    torch.save(torch.nn.Linear(2, 2), here / "evil.pt")
    done = sig("explain", *[a.format(first=first) for a in arguments], "--no-pictures")
    assert done.exit_code == 2, done.output
    assert message.format(first=first) in done.stderr
    assert "Traceback" not in done.output
    told = done.stderr[done.stderr.index("error") :]
    assert len(told.strip().splitlines()) <= 3
    assert not list(here.glob("sig-out*/*/*.npy"))


def test_bad_images_are_named_and_the_good_ones_done(here):
    good = next(Path("pictures").iterdir())
    Path("pictures/empty.jpg").write_bytes(b"")
    Path("pictures/text.jpg").write_text("not a picture")
    Path("pictures/cut.jpg").write_bytes(_jpeg(good)[:2000])
    done = sig("explain", "pictures", *FAST, "--out", "out", "--no-pictures")
    assert done.exit_code == 1
    status = {row["image"]: row for row in rows("out")}
    for name in ("empty.jpg", "text.jpg", "cut.jpg"):
        assert status[name]["status"] == "failed"
        assert status[name]["error"]
        assert name in done.stderr
    assert sum(row["status"] == "ok" for row in rows("out")) == 6
    assert "Traceback" not in done.output
    for name in ("empty.jpg", "text.jpg", "cut.jpg"):
        Path("pictures", name).write_bytes(_jpeg(good))
    assert sig("explain", "pictures", *FAST, "--out", "out", "--no-pictures", "--resume").exit_code == 0
    assert {row["status"] for row in rows("out")} == {"ok"}


def _jpeg(path):
    Image.open(path).convert("RGB").resize((300, 300)).save("whole.jpg")
    data = Path("whole.jpg").read_bytes()
    Path("whole.jpg").unlink()
    return data


def test_a_method_that_needs_company_is_refused_before_the_first_image(here):
    image = next(Path("pictures").iterdir())
    done = sig("explain", image, "--method", "eg,gradient", "--device", "cpu", "--out", "out", "--no-pictures")
    assert done.exit_code == 2
    assert "eg" in done.stderr
    assert "--method gradient" in done.stderr
    assert not Path("out").exists()
    with_company = sig("explain", image, "--method", "eg", "--set", "samples=4", "--references", "pictures",
                       "--device", "cpu",
                       "--out", "more", "--no-pictures")  # fmt: skip
    assert with_company.exit_code == 0, with_company.output


@pytest.mark.parametrize("what", ["models", "methods", "baselines", "metrics", "scenarios"])
def test_lists(what):
    done = sig("list", what, "--json")
    assert done.exit_code == 0
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records
    assert all(record["summary"] for record in records)
    assert sig("list", what).exit_code == 0


def test_list_of_one_method_shows_its_options():
    done = sig("list", "methods", "sig")
    assert "sizes=uniform" in done.stdout
    assert "Algorithm 1" in done.stdout
    assert sig("list", "metods").exit_code == 2


def test_debug_shows_the_traceback():
    done = sig("explain", "gone.png", "--debug")
    assert done.exit_code == 1
    assert done.exception is not None


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_listed_with_the_options_of_its_benchmark(name):
    """Not with the arguments of the function that draws its pictures."""
    listed = CliRunner().invoke(app, ["list", "scenarios", name])
    kind = SCENARIOS[name].options_class
    assert listed.exit_code == 0, listed.output
    for option, (known, _) in options_of(kind).items():
        if known.command_line:
            assert f"  {flags(option, known)[0]}" in listed.output
    assert "--overwrite" in listed.output
    shown = json.loads(CliRunner().invoke(app, ["list", "scenarios", name, "--json"]).stdout)
    assert set(shown["options"]) == set(options_of(kind))
