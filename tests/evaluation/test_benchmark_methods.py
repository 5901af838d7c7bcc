"""`sig benchmark methods`: verdicts that no order changes, a better map that is found, methods left out and refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import OutputError, UsageError
from sigcli.evaluation.benchmark_tables import Spent
from sigcli.evaluation.methods_benchmark import benchmark_methods, completed
from sigcli.evaluation.methods_table import mean_ranks, methods_rows
from sigcli.evaluation.methods_words import sentences
from sigcli.evaluation.options import STANDARD, BenchmarkMethodsOptions
from sigcli.evaluation.value import MetricValue
from sigcli.listener import Listener
from sigcli.render.plots.methods import draw_methods, plot_methods

from repository import ROOT

SIDE = 12
TIMED = ("seconds", "seconds_per_image", "seconds_sd")
WEIGHTS = np.random.default_rng(7).normal(size=(3, SIDE, SIDE)).astype(np.float32)
PLAIN = {"mean": (0.0,), "std": (1.0,), "image_size": SIDE, "view": "raw"}


class Linear(nn.Module):
    """Two classes, whose scores differ by a linear function of the picture: w·x is what each pixel does."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(WEIGHTS))

    def forward(self, images):
        score = (images * self.weights).flatten(1).sum(1)
        return torch.stack([score, -score], 1)


def exact(model, inputs, targets):
    return inputs * model.weights * (1 - 2 * targets.reshape(-1, 1, 1, 1))


def noisy(model, inputs, targets):
    """The exact map under noise that the picture decides."""
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(int(1e4 * inputs.sum()) % 2**31))
    return exact(model, inputs, targets) + 3 * noise


def reversed_order(model, inputs, targets):
    return -exact(model, inputs, targets)


def pictures(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8))


def benchmark_linear(folder, method, count=10, **options):
    options = {"metric": "deletion,insertion", "imputation": "black", **options}
    settings = {"deletion.steps": 8, "insertion.steps": 8} if "settings" not in options else {}
    return benchmark_methods(
        pictures(count), model=Linear(), method=method, out=folder,
        **{"settings": settings, "pictures": False, **PLAIN, **options},
    )  # fmt: skip


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def untimed(found):
    return [{name: cell for name, cell in row.items() if name not in TIMED} for row in found]


def value(image, method, number, metric="deletion", imputation="black"):
    return MetricValue(image, method, 0, metric, imputation, number, measure=metric)


def planted(count=12, seed=0, metric="deletion"):
    """Values of four methods: `near` is level with `base`, `low` far below it and `high` far above."""
    random, found = np.random.default_rng(seed), []
    for i in range(count):
        base = random.uniform(0.4, 0.6)
        for method, shift in (("base", 0.0), ("near", random.normal(0, 0.02)), ("low", -0.2), ("high", 0.2)):
            found.append(value(f"{i}.png", method, base + shift + random.normal(0, 0.01), metric))
    return found


def verdicts(found):
    return {(row["method"], row["metric"], row["imputation"]): (row["verdict"], row["holds"]) for row in found}


@pytest.mark.parametrize(("metric", "best"), [("deletion", "low"), ("insertion", "high")])
def test_a_planted_difference_is_found_and_its_direction_is_the_metrics(metric, best):
    values = planted(metric=metric)
    found = methods_rows(values, [], [f"{i}.png" for i in range(12)], "base", 0)
    told = {row["method"]: (row["verdict"], row["holds"]) for row in found}
    worst = {"low": "high", "high": "low"}[best]
    assert told == {"base": ("", ""), "near": ("level", "no"), best: ("better", "yes"), worst: ("worse", "yes")}
    assert found[0]["method"] == best
    assert found[-1]["method"] == worst
    low = next(row for row in found if row["method"] == "low")
    mine, theirs = ([v.value for v in values if v.method == name] for name in ("low", "base"))
    assert low["difference"] == pytest.approx(np.mean(mine) - np.mean(theirs))
    assert low["difference_low"] < low["difference"] < low["difference_high"] < 0
    assert low["difference_n"] == 12
    assert low["p_value"] == pytest.approx(2 / 2**12)
    assert low["holm_p_value"] == pytest.approx(3 * 2 / 2**12)  # three comparisons


def test_the_order_of_methods_changes_no_verdict_and_the_other_side_sees_the_opposite():
    values, images = planted() + planted(seed=1, metric="insertion"), [f"{i}.png" for i in range(12)]
    found = methods_rows(values, [], images, "base", 0)
    order = sorted(values, key=lambda v: (v.metric, ("high", "near", "base", "low").index(v.method)))
    by_key = lambda rows: sorted(rows, key=lambda row: (row["metric"], row["method"]))  # noqa: E731
    assert by_key(methods_rows(order, [], images, "base", 0)) == by_key(found)
    opposite = {"better": "worse", "worse": "better", "level": "level"}
    for other in ("near", "low", "high"):
        back = verdicts(methods_rows(values, [], images, other, 0))
        for metric in ("deletion", "insertion"):
            forth = verdicts(found)[other, metric, "black"][0]
            assert back["base", metric, "black"][0] == opposite[forth]


def test_two_images_or_a_metric_of_no_method_say_nothing():
    found = methods_rows(planted(2), [], ["0.png", "1.png"], "base", 0)
    assert {row["verdict"] for row in found} == {""}
    assert all(row["p_value"] is None for row in found)
    (told,) = sentences(found, "base")
    assert told == "Nothing can be said about differences: an interval takes 3 images, and the methods share 2 images."
    alone = methods_rows([v for v in planted() if v.method == "base"], [], [], "base", 0)
    assert sentences(alone, "base") == ["There is no other method than base, so there is nothing to compare."]
    failed = [v if v.method != "low" else value(v.image, "low", None) for v in planted()]
    row = next(row for row in methods_rows(failed, [], [], "base", 0) if row["method"] == "low")
    assert (row["mean"], row["verdict"], row["mean_rank"], row["evaluations_per_map"]) == (None, "", None, None)


def test_ranks_by_hand():
    """Over images that all have; ties share; metrics that are no map's, or that have a failure everywhere, do not count."""
    groups = {
        ("a", "deletion", "black"): {"1": 0.1, "2": 0.3, "3": 9.0},
        ("b", "deletion", "black"): {"1": 0.3, "2": 0.1},
        ("c", "deletion", "black"): {"1": 0.5, "2": 0.5},
        ("a", "roc-auc", ""): {"1": 0.9},
        ("b", "roc-auc", ""): {},
        ("c", "roc-auc", ""): {"1": 0.8},
        ("a", "seed-stability", ""): {"1": 0.0},
        ("b", "seed-stability", ""): {"1": 1.0},
    }
    kinds = {name: name for name in ("deletion", "roc-auc", "seed-stability")}
    assert mean_ranks(groups, kinds) == {"a": (1.5 + 1) / 2, "b": 1.5, "c": (3 + 2) / 2}


def test_costs_are_per_map_and_per_image():
    values = [value(image, "base", 0.5) for image in ("a", "b", "c")]
    (row,) = methods_rows(
        values, [Spent("a", "base", 1.0, 10, 2), Spent("b", "base", 3.0, 14)], ["a", "b", "c"], "base", 0
    )
    assert (row["evaluations_per_map"], row["seconds_per_image"]) == (13.0, 2.0)
    assert (row["gradient_evaluations"], row["forward_evaluations"]) == (24, 2)


def test_sentences_say_what_holds_for_which_imputation():
    def row(method, imputation, verdict, holds="no"):
        return {
            "method": method, "metric": "deletion", "imputation": imputation, "verdict": verdict, "holds": holds,
            "difference_n": 20,
        }  # fmt: skip

    found = [row("sig", "black", "", ""), row("sig", "blur", "", "")]
    found += [row("ig", "black", "worse", "yes"), row("ig", "blur", "worse", "yes")]
    found += [row("eg", "black", "better"), row("eg", "blur", "worse", "yes")]
    found += [row("cam", "black", "worse"), row("cam", "blur", "level")]
    found += [row("rise", "black", "level"), row("rise", "blur", "level")]
    first, second = sentences(found, "sig")
    assert first == (
        "deletion (black, blur): sig is better than ig*, eg (blur*), cam (black); worse than eg (black); level with rise."
    )
    assert "over 20 images: 5 of 8 leave out zero" in second
    assert "* marks the 3 that hold" in second
    worse = [one | {"verdict": "worse", "holds": "yes"} for one in found if one["verdict"]]
    assert sentences(worse, "sig")[0] == "deletion (black, blur): sig is better than all 4 others*."
    few = sentences([one | {"difference_n": 9} for one in found], "sig")
    assert "take them as hints" in few[-1]


def test_the_exact_order_of_a_linear_network_is_found_best_and_a_twin_level(tmp_path):
    methods = {"noisy": noisy, "exact": exact, "backward": reversed_order, "twin": exact}
    found = benchmark_linear(tmp_path / "out", methods, against="exact")
    assert found.against == "exact"
    assert [row["method"] for row in found.rows][-1] == "backward"
    told = verdicts(found.rows)
    for metric in ("deletion", "insertion"):
        assert told["noisy", metric, "black"] == told["backward", metric, "black"] == ("worse", "yes")
        twin = next(row for row in found.rows if (row["method"], row["metric"]) == ("twin", metric))
        assert (twin["verdict"], twin["difference"], twin["p_value"], twin["holds"]) == ("level", 0.0, 1.0, "no")
    ranks = {row["method"]: row["mean_rank"] for row in found.rows}
    assert ranks["exact"] == ranks["twin"] == 1.5
    turned = benchmark_linear(tmp_path / "turned", dict(reversed(methods.items())), against="exact")
    assert verdicts(turned.rows) == told
    written = rows(tmp_path / "out" / "methods.csv")
    assert [row["method"] for row in written] == [row["method"] for row in found.rows]
    assert list(written[0]) == list(found.rows[0])


def test_figures_of_many_methods_and_of_one(tmp_path):
    images = [f"{i}.png" for i in range(12)]
    values = (
        planted() + planted(metric="insertion") + [value(image, "base", 1.0, "seed-stability", "") for image in images]
    )
    values += [value(image, "failed", None) for image in images]
    costs = [Spent(image, v.method, 0.1 * len(v.method), 50) for image in images for v in values[:4]]
    for name, some in (("many", values), ("one", [v for v in values if v.method == "base"])):
        (tmp_path / name).mkdir()
        draw_methods(methods_rows(some, costs, images, "base", 0), tmp_path / name)
        for file in ("methods.png", "methods-cost.png"):
            with Image.open(tmp_path / name / file) as picture:
                assert np.asarray(picture.convert("L")).std() > 5
    nothing = [v for v in values if v.method == "failed"]
    draw_methods(methods_rows(nothing, [], images, "failed", 0), tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert plot_methods(methods_rows(values, [], images, "base", 0), None).size[0] > 300


class Heard(Listener):
    """Keeps the notes of the beginning, and which explanations were made anew."""

    def __init__(self):
        self.notes, self.made = [], []

    def begin(self, items, notes, folder):
        self.notes = list(notes)

    def explained(self, item):
        if not item.resumed:
            self.made.append((item.image, item.method))


def test_resume_makes_nothing_again_and_ends_the_same(tmp_path):
    first = benchmark_linear(tmp_path / "out", {"exact": exact, "noisy": noisy}, count=5)
    measured = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    (tmp_path / "out" / "methods.csv").unlink()
    heard = Heard()
    again = benchmark_linear(tmp_path / "out", {"exact": exact, "noisy": noisy}, count=5, resume=True, listener=heard)
    assert heard.made == []
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == measured
    assert untimed(again.rows) == untimed(first.rows)
    assert len(rows(tmp_path / "out" / "methods.csv")) == len(first.rows)


def test_stability_over_seeds_is_1_without_draws_and_below_with_them(tmp_path):
    settings = {"rise.samples": 20, "rise.cells": 3}
    found = benchmark_linear(
        tmp_path / "out", "gradient,rise", 4, metric="seed-stability", imputation=None, settings=settings
    )
    mean = {row["method"]: row["mean"] for row in found.rows}
    assert mean["gradient"] == 1.0
    assert -0.5 < mean["rise"] < 0.99
    assert [row["mean_rank"] for row in found.rows] == [None, None]


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("star", "heart", "house"):
        shutil.copy(ROOT / "sample_images" / f"{name}.png", tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


CHEAP = {
    "samples": 4, "steps": 2, "orders": 1, "kernelshap.players": "grid:2x2", "lime.players": "grid:2x2", "budget": 20,
    "sig.players": "grid:2x2", "sig-walk.players": "grid:2x2",
}  # fmt: skip


def standard(images, model, **options):
    heard = Heard()
    given = BenchmarkMethodsOptions(
        images, model=model, metric="sparseness", settings=CHEAP, pictures=False, **{**PLAIN, **options}
    )
    return benchmark_methods(given, heard), heard.notes


def test_methods_of_the_standard_set_that_cannot_be_used_are_left_out_with_a_note(tmp_path):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)).eval()
    found, notes = standard(pictures(1), flat, out=tmp_path / "one")
    used = list(dict.fromkeys(row["method"] for row in found.rows))
    every = [name.partition("=")[0] for name in STANDARD.split(",")]
    left = {note.partition(" is left out: ")[0] for note in notes if " is left out: " in note}
    assert set(used) | left == set(every)
    assert left == {"mean", "eg", "gradient-shap", "gradcam"}  # a single picture, and no layer with places
    assert not found.evaluation.folder.joinpath("curves.csv").exists()
    assert all(row["mean"] is not None for row in found.rows)
    with pytest.raises(UsageError, match="nothing can be compared with gradcam"):
        standard(pictures(1), flat, out=tmp_path / "two", against="gradcam")
    assert not (tmp_path / "two").exists()


def test_what_depends_on_other_options(here):
    def given(**options):
        changed, notes = completed(BenchmarkMethodsOptions("in", **options))
        return changed, notes

    plain, notes = given()
    assert not notes
    assert plain.settings == {"black.baseline": "black", "mean.baseline": "mean", "blur.baseline": "blur"}
    assert (plain.metric, plain.imputation) == ("deletion,insertion,seed-stability", "black,mean,blur,road")
    assert given(method="black=ig", settings={"black.baseline": "white"})[0].settings == {"black.baseline": "white"}
    assert not given(method="black=idgi")[0].settings
    assert given(masks="m")[0].metric == "deletion,insertion,seed-stability,roc-auc,pointing-game,relevance-mass"
    assert given(masks="m", metric="sparseness")[0].metric == "sparseness"
    assert given(metric="sparseness")[0].imputation is None
    assert given(settings={"deletion.imputation": "white"})[0].imputation is None
    assert given(imputation="white")[0].imputation == "white"
    alone, notes = completed(BenchmarkMethodsOptions("in/star.png"))
    assert alone.imputation == "black,blur,road"
    assert "mean is left out" in notes[0]
    others = BenchmarkMethodsOptions("in/star.png", references="in")
    assert completed(others)[0].imputation == "black,mean,blur,road"


def test_every_map_costs_the_same_but_for_numbers_that_were_set(tmp_path):
    method = {"ig": "ig", "rise": "rise", "lime": "lime", "exact": exact}
    own = {"lime.samples": 40, "lime.players": "grid:3x3", "rise.cells": 3}
    spent = []
    for name, options in (("usual", {}), ("named", {"evaluations": 20, "settings": {"rise.cells": 3}})):
        heard = Heard()
        given = {"metric": "sparseness", "imputation": None, "settings": own, "listener": heard, **options}
        found = benchmark_linear(tmp_path / name, method, 2, **given)
        spent.append({row["method"]: row["evaluations_per_map"] for row in found.rows})
        assert any("every map costs up to 256" in note and "lime has samples=40" in note for note in heard.notes) == (
            name == "usual"
        )
    assert 230 <= spent[0]["ig"] <= 258
    assert 230 <= spent[0]["rise"] <= 258
    assert 38 <= spent[0]["lime"] <= 42
    assert all(16 <= spent[1][one] <= 22 for one in ("ig", "rise", "lime"))
    with pytest.raises(UsageError, match="told twice"):
        benchmark_linear(tmp_path / "twice", method, 2, settings=own, evaluations=20)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "sig,ig", "against": "gradcam"}, "not among those chosen"),
        ({"method": "sig,ig", "against": "igg"}, "not among those chosen"),
        ({"timing": "apart"}, "timing"),
        ({"method": "sig,sig"}, "same method was given twice"),
        ({"counts": "2"}, "unknown option of benchmark_methods"),
        ({"metric": "roc-auc"}, "masks"),
        ({"method": "gradcam", "model": Linear(), "metric": "sparseness", "against": "sig"}, "not among"),
        ({"settings": {"sig.nothing": 1}}, "unknown option"),
    ],
)
def test_wrong_usage_before_anything_is_computed(here, options, says):
    with pytest.raises(UsageError, match=says):
        benchmark_methods("in", out="out", **options)
    assert not Path("out").exists()


def test_files_of_others_stay(here):
    Path("mine").mkdir()
    Path("mine/methods.csv").write_text("mine")
    with pytest.raises(OutputError, match="sig did not write"):
        benchmark_methods("in", method="gradient,ig", out="mine")
    assert Path("mine/methods.csv").read_text() == "mine"


def test_a_reference_may_be_named_as_elsewhere(here):
    options = {"metric": "sparseness", "image_size": 32, "pictures": False}
    found = benchmark_methods(
        "in", method="ig,gradient", settings={"steps": 2}, against="saliency", out="out", **options
    )
    assert found.against == "gradient"
    assert "gradient is" in " ".join(found.sentences)


def test_the_screen_holds_at_80_columns_and_json_is_the_table(here, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    arguments = [
        "benchmark",
        "methods",
        "in",
        "--method",
        "sig,black=ig,gradcam",
        "--image-size",
        "32",
        "--no-pictures",
    ]
    cheap = ["deletion.steps=2", "insertion.steps=2", "sig.samples=2", "black.steps=2", "sig.players=grid:4x4"]
    arguments += [word for one in cheap for word in ("--set", one)]
    done = CliRunner().invoke(app, [*arguments, "--out", "out", "--json"])
    assert done.exit_code == 0, done.output
    *records, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["values"]["failed"] == 0
    assert len(records) == len(rows("out/methods.csv")) == 3 * 9
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr).splitlines()
    table = [line.rstrip() for line in shown if re.match(r"(method|sig \(reference\)|black|gradcam) ", line)]
    assert len(table) >= 4 * 2
    assert max(map(len, table)) <= 80
    assert any("seed-stability" in line for line in table)
    for mean in (f"{record['mean']:.3f}" for record in records):
        assert any(mean in line for line in table)
    assert (
        sum(bool(re.match(r"(deletion|insertion) \(black, mean, blur, road\): sig is ", line)) for line in shown) == 2
    )


def test_the_page_names_every_column():
    page = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8").split("## Which method is best here?")[1]
    for column in methods_rows(planted(3), [], [], "base", 0)[0]:
        assert f"`{column}`" in page, column
