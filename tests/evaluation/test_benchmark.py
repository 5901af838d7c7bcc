"""`sig benchmark images`: nested samples in one order, prefix statistics, times that add up, failures counted."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.attribution.explanation import Explanation
from sigcli.cli.main import app
from sigcli.errors import OutputError, UsageError
from sigcli.evaluation.benchmark import benchmark, choose_counts, order_images
from sigcli.evaluation.benchmark_tables import Spent, benchmark_rows, spent
from sigcli.evaluation.evaluate import evaluate
from sigcli.evaluation.value import MetricValue

from repository import ROOT

DOCS = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
NAMES = ("star", "heart", "house", "fish", "flower")
OPTIONS = {
    "method": "sig,black=ig,gradient",
    "metric": "deletion,sparseness",
    "imputation": "black",
    "settings": {"sig.samples": 8, "black.steps": 3, "deletion.steps": 4},
    "image_size": 64,
}
COLUMNS = (
    *(
        "count",
        "method",
        "metric",
        "imputation",
        "unit",
        "better",
        "mean",
        "ci_low",
        "ci_high",
        "interval",
        "n",
        "failed",
    ),
    *("seconds", "seconds_per_image", "seconds_sd", "gradient_evaluations", "forward_evaluations"),
)
TIMED = ("seconds", "seconds_per_image", "seconds_sd")
ARGUMENTS = ["--method", "ig", "--metric", "sparseness", "--set", "ig.steps=2", "--no-pictures"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Five bundled pictures in the folder `in`."""
    (tmp_path / "in").mkdir()
    for name in NAMES:
        shutil.copy(ROOT / "sample_images" / f"{name}.png", tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def untimed(path):
    return [{name: cell for name, cell in row.items() if name not in TIMED} for row in rows(path)]


@pytest.mark.slow
def test_a_prefix_is_an_evaluation_of_exactly_these_images(here):
    found = benchmark("in", counts=[3, 4], **OPTIONS, out="out")
    assert len(found.images) == 4
    assert [row["count"] for row in found.rows] == [3] * 6 + [4] * 6
    for count in (3, 4):
        alone = evaluate(
            [f"in/{name}" for name in found.images[:count]], **OPTIONS, out=f"alone{count}", pictures=False
        )
        for row in (row for row in found.rows if row["count"] == count):
            expected = alone.summary[row["method"], row["metric"], row["imputation"]]
            assert (row["mean"], row["ci_low"], row["ci_high"]) == pytest.approx(
                (expected.mean, expected.low, expected.high), rel=1e-4
            )
            assert (row["n"], row["failed"]) == (expected.n, 0) == (count, 0)
    for name in ("time", "counts", "quality-cost", "curves"):
        with Image.open(f"out/{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert tuple(rows("out/benchmark.csv")[0]) == COLUMNS


def test_times_and_evaluations_are_the_sums_of_the_rows_of_results(here):
    found = benchmark("in", counts="1,3", **OPTIONS, out="out", pictures=False)
    results = rows("out/results.csv")
    assert [r["image"] for r in results] == [name for name in found.images for _ in range(3)]
    for row in found.rows:
        mine = [r for r in results if r["method"] == row["method"] and r["image"] in found.images[: row["count"]]]
        assert row["seconds"] == pytest.approx(sum(float(r["seconds"]) for r in mine), abs=0.0005 * len(mine) + 1e-9)
        assert row["seconds"] > 0
        assert row["seconds_per_image"] == pytest.approx(row["seconds"] / row["count"])
        assert row["gradient_evaluations"] == {"sig": 8, "black": 3, "gradient": 1}[row["method"]] * row["count"]


@pytest.mark.slow
def test_a_method_timed_alone_does_not_pay_for_another(here, monkeypatch):
    """A method that sleeps in every gradient is charged for it, and its cheap neighbour is not ([SIG] Fig. 9)."""
    from sigcli.scores.classifier import ClassScore

    sizes, plain = [], ClassScore.gradients

    def slow(self, images, targets):
        sizes.append(len(images))
        time.sleep(0.05 * len(images))
        return plain(self, images, targets)

    monkeypatch.setattr(ClassScore, "gradients", slow)
    options = {"method": "ig,gradient", "metric": "sparseness", "settings": {"ig.steps": 24}, "batch_size": 32}
    options["device"] = "cpu"  # where a batch of one image has a twin
    alone = benchmark("in", counts=[2], out="alone", pictures=False, **options)
    assert set(sizes[2:]) == {24, 2}  # after the warm-up: each explanation in a batch of its own size
    times = {row["method"]: row for row in alone.rows}
    assert times["ig"]["seconds_per_image"] > 24 * 0.05
    assert times["gradient"]["seconds_per_image"] < 12 * 0.05
    found = [float(row["seconds"]) for row in rows("alone/results.csv") if row["method"] == "ig"]
    assert times["ig"]["seconds_sd"] == pytest.approx(np.std(found, ddof=1), abs=2e-3)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    shared = benchmark("in", counts=[2], out="shared", pictures=False, timing="shared", **options)
    for one, other in zip(alone.rows, shared.rows, strict=True):
        assert one["mean"] == pytest.approx(other["mean"], rel=1e-4)
    with pytest.raises(UsageError, match="timing"):
        benchmark("in", timing="apart", **options)


def test_the_order_depends_on_seed_and_names_only():
    paths = [Path(f"/photos/{i:02d}.jpg") for i in range(40)]
    order = order_images(paths, 0)
    assert sorted(order) == paths != order
    assert order_images(paths[::-1], 0) == order != order_images(paths, 1)
    assert [p.name for p in order_images([Path("elsewhere") / p.name for p in paths], 0)] == [p.name for p in order]
    assert order_images(paths[7:], 0) == [path for path in order if path not in paths[:7]]  # others keep their order


def test_first_halves_are_fair_samples():
    """Over seeds every image is as often in the first half as outside it: no place in the alphabet is favoured."""
    paths = [Path(f"/photos/{i:02d}.jpg") for i in range(20)]
    often = dict.fromkeys(paths, 0)
    for seed in range(400):
        for path in order_images(paths, seed)[:10]:
            often[path] += 1
    assert all(150 < times < 250 for times in often.values())  # 200 ± 5 standard deviations


@pytest.mark.slow
def test_same_seed_same_table_and_more_images_go_on_with_resume(here):
    options = {**OPTIONS, "pictures": False}
    benchmark("in", counts="3,4", **options, out="a", seed=3)
    files = [f"in/{name}.png" for name in reversed(NAMES)]
    benchmark(files, counts=(3, 4), **options, out="b", seed=3, batch_size=5)
    for one, other in zip(untimed("a/benchmark.csv"), untimed("b/benchmark.csv"), strict=True):
        for name in ("mean", "ci_low", "ci_high"):  # another batch size may move the last digits
            assert float(one.pop(name)) == pytest.approx(float(other.pop(name)), rel=1e-3, abs=1e-6)
        assert one == other
    before = {(r["image"], r["method"]): r["seconds"] for r in rows("a/results.csv")}
    grown = benchmark("in", counts="3,4,5", **options, out="a", seed=3, resume=True)
    after = {(r["image"], r["method"]): r["seconds"] for r in rows("a/results.csv")}
    assert before.items() <= after.items()
    assert len(after) == 15
    assert [row["count"] for row in grown.rows] == [3] * 6 + [4] * 6 + [5] * 6
    again = benchmark("in", counts="3,4,5", **options, out="c", seed=3)
    assert untimed("c/benchmark.csv") == untimed("a/benchmark.csv")
    assert again.images == grown.images


def test_failed_images_are_counted_and_have_no_time(here):
    (here / "in" / "broken.png").write_bytes(b"not a picture")
    arguments = ["benchmark", "images", "in", "--counts", "6", *ARGUMENTS, "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", "out"])
    assert done.exit_code == 1, done.output
    record, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["counts"]["failed"] == 1
    assert (record["count"], record["n"], record["failed"], record["gradient_evaluations"]) == (6, 5, 1, 10)
    assert record["seconds_per_image"] == pytest.approx(record["seconds"] / 5)
    assert "failed: broken.png" in done.stderr
    assert "[5 of 6]" in done.stderr
    (here / "bad").mkdir()
    (here / "bad" / "broken.png").write_bytes(b"not a picture")
    done = CliRunner().invoke(app, ["benchmark", "images", "bad", *ARGUMENTS[:-1], "--out", "none", "--json"])
    assert done.exit_code == 1, done.output
    record, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["counts"]["failed"] == 1
    assert (record["mean"], record["seconds"], record["n"], record["failed"]) == (None, None, 0, 1)
    assert not list(Path("none").glob("*cost.png"))


def test_rows_of_prefixes_by_hand():
    """Two images of three: means and sums that can be added up in the head; one metric failed for one image."""
    figure = lambda image, value, error="": MetricValue(  # noqa: E731
        image, "ig", 0, "sparseness", "", value, error=error, measure="sparseness"
    )
    figures = [figure("a", 1.0), figure("b", None, "constant"), figure("c", 4.0)]
    costs = [Spent("a", "ig", 0.5, 10), Spent("b", "ig", 1.5, 10), Spent("c", "ig", 1.0, 10)]
    one, two = benchmark_rows(figures, costs, ["a", "b", "c"], (2, 3), 0)
    assert (one["mean"], one["n"], one["failed"], one["seconds"], one["seconds_per_image"]) == (1.0, 1, 1, 2.0, 1.0)
    assert (two["mean"], two["n"], two["failed"], two["seconds"], two["gradient_evaluations"]) == (2.5, 2, 1, 3.0, 30)
    assert spent(Explanation("a", "ig", status="failed", error="x")) is None


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ("3,2", "increasing"),
        ("2,2", "increasing"),
        ("2,6", "exceeds the number of images"),
        ("2,many", "must be integers"),
        ("0,2", "must be integers"),
        ("-1", "must be integers"),
        ("1.5", "must be integers"),
        ("", "must be integers"),
        ("2,,3", "must be integers"),
        ([], "no counts"),
        ([True], "wrong type"),
    ],
)
def test_wrong_counts_before_anything_is_computed(counts, says, here):
    with pytest.raises(UsageError, match=says):
        benchmark("in", counts=counts, model="no-such-model", out="out")
    assert not Path("out").exists()


def test_counts_by_default_double_up_to_all_images():
    assert choose_counts(None, 1000) == (125, 250, 500, 1000)
    assert choose_counts(None, 10) == (2, 3, 5, 10)
    assert [choose_counts(None, n) for n in (1, 2, 3)] == [(1,), (2,), (2, 3)]
    assert choose_counts(" 300, 500,1000 ", 1000) == (300, 500, 1000)


def test_other_wrong_usage(here):
    with pytest.raises(UsageError, match="unknown option of benchmark"):
        benchmark("in", attributions="in", out="out")
    (here / "mine").mkdir()
    (here / "mine" / "benchmark.csv").write_text("mine")
    with pytest.raises(OutputError, match="sig did not write"):
        benchmark("in", **OPTIONS, out="mine")
    done = CliRunner().invoke(app, ["benchmark", "images", "in", "--counts", "2,9"])
    assert (done.exit_code, "up to 5" in done.stderr) == (2, True)


def test_a_table_on_a_terminal_and_lines_in_a_pipe(here, monkeypatch):
    arguments = ["benchmark", "images", "in", "--counts", "1,3", *ARGUMENTS, "--out", "out"]
    piped = CliRunner().invoke(app, arguments)
    assert piped.exit_code == 0, piped.output
    assert piped.stdout == ""
    lines = [line for line in piped.stderr.splitlines() if re.match(r"\d+ images, ", line)]
    assert [line.split(":")[0] for line in lines] == ["1 images, ig", "3 images, ig"]
    assert re.search(r"s/image, .* images/s, 6 evaluations; sparseness ↑ 0\.\d{3} \(-?0\.\d{3} to", lines[1])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    shown = CliRunner().invoke(app, [*arguments, "--overwrite"])
    assert shown.exit_code == 0, shown.output
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.stderr)
    assert re.search(r"images +method +seconds +s/image +images/s", plain)


def test_names_in_the_figure_cover_neither_each_other_nor_the_points():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Text

    from sigcli.render.plots.names import Mark, plan_names, write_names

    figure = Canvas(figsize=(4.0, 3.0), dpi=100)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xscale("log")
    axis.set_xlim(0.01, 10)
    axis.set_ylim(0, 1)
    marks = [
        Mark(name, 1.0 + 0.05 * i, 0.5, 0.4, 0.6, "#222222") for i, name in enumerate(("black", "mean", "smoothgrad"))
    ]
    marks += [Mark("sig-walk", 8.0, 0.5, 0.3, 0.7, "#222222"), Mark("gradient", 0.012, 0.98, 0.9, 1.0, "#222222")]
    write_names(axis, plan_names(axis, marks, size=(4.0, 3.0)))
    for text in axis.texts:
        text.update_positions(renderer)
    boxes = {text.get_text(): Text.get_window_extent(text, renderer) for text in axis.texts}  # without the leader
    assert set(boxes) == {mark.name for mark in marks}
    for name, box in boxes.items():
        assert box.x0 >= 0 <= box.y0
        assert box.x1 <= 400
        assert box.y1 <= 300
        assert not any(box.overlaps(other) for other_name, other in boxes.items() if other_name != name)
        assert not any(box.contains(*axis.transData.transform((mark.x, mark.y))) for mark in marks)


def commands(text):
    """Lines of the shell blocks of a page, continued ones joined."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.startswith("sig ")]


CHEAP = (
    "--set samples=2 --set steps=2 --set deletion.steps=2 --set insertion.steps=2 --device cpu --no-pictures "
    "--image-size 64"
)


@pytest.mark.slow
def test_every_command_of_the_page_runs(here):
    few = shutil.ignore_patterns("*.jpg", "house*", "spiral*")
    shutil.copytree(ROOT / "sample_images", "sample_images", ignore=few)
    found = commands(DOCS)
    assert len(found) >= 3
    for command in (one for one in found if " scenario " not in one):  # those have tests of their own
        fewer = re.sub(r"--counts [\d,]+", lambda match: "--counts 2," + str(2 + match[0].count(",")), command)
        orders = ["--set", "sig-walk.orders=1"] if "sig-walk" in command else []
        done = CliRunner().invoke(app, [*shlex.split(fewer)[1:], *shlex.split(CHEAP), *orders])
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"


@pytest.mark.slow
def test_the_script_of_the_page_runs_in_a_shell(here):
    (script,) = re.findall(r"<!-- script -->\n```bash\n(.*?)```", DOCS, re.S)
    (here / "photos").mkdir()
    for name in NAMES[:2]:
        shutil.copy(f"in/{name}.png", "photos")
    python = f'sig() {{ "{sys.executable}" -m sigcli "$@" {CHEAP}; }}\n'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", python + script], capture_output=True, text=True, check=False, env=environment, cwd=here
    )
    assert done.returncode == 0, done.stderr
    best = done.stdout.split()
    assert best[0] in ("sig", "black"), done.stdout + done.stderr
    assert {row["method"] for row in rows("runs/shapes/benchmark.csv")} == {"sig", "black"}


def test_the_python_of_the_page_runs(here):
    (here / "sample_images").mkdir()
    for name in NAMES[:4]:
        shutil.copy(f"in/{name}.png", "sample_images")
    (block,) = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    cheap = 'settings={"samples": 2, "steps": 2, "deletion.steps": 2}, pictures=False, out="runs'
    exec(compile(block.replace('out="runs', cheap), "docs/benchmark.md", "exec"), {})
    assert len(rows("runs/python/benchmark.csv")) == 4


def test_pictures_and_columns_of_the_page():
    for target in re.findall(r"\]\(([^)#]+)\)", DOCS):
        path = ROOT / "docs" / target
        assert path.exists(), target
        assert path.suffix != ".png" or path.stat().st_size < 300_000
    for column in COLUMNS:
        assert f"`{column}`" in DOCS
