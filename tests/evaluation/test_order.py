"""Order and company: what is found of a picture is the same wherever it stands in a run, beside noise and blank pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli.attribution.decoding import ImageSet
from sigcli.attribution.explain import explain
from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.evaluation.evaluate import evaluate
from sigcli.inputs.images import read_image
from sigcli.methods import METHODS
from sigcli.metrics import METRICS
from sigcli.models.preprocess import Preprocess

SIDE = 16
ORDERS = (["noise", "disc", "blank", "black"], ["disc", "black", "noise", "blank"], ["blank", "noise", "black", "disc"])
PLAIN = {"image_size": (SIDE, SIDE), "mean": (0.0,), "std": (1.0,), "device": "cpu", "pictures": False}

QUICK = ["sig", "ig", "eg", "gradient", "smoothgrad", "gradcam", "guided-backprop", "occlusion", "rise", "lime"]
OTHERS = {name for name, e in METHODS.items() if e.properties.get("certainty") or e.properties.get("only")}
REST = [name for name in METHODS if name not in QUICK and name not in OTHERS]
UNCHANGED = {"meaningful-perturbation", "extremal-perturbation"}
"""Methods that compare an image with its blur, and refuse one that no blur changes."""


def network() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def picture(name: str, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    if name == "noise":
        return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    if name == "disc":
        disc = (y - 6) ** 2 + (x - 9) ** 2 < 16
        return np.where(disc[..., None], [220, 40, 30], [20, 90, 160]).astype(np.uint8)
    return np.full((side, side, 3), 128 if name == "blank" else 0, np.uint8)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Four pictures with masks: noise, a disc, and two of one colour."""
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[2:11, 5:14] = 255
    for folder in ("in", "masks"):
        Path(folder).mkdir()
    for name in ORDERS[0]:
        Image.fromarray(picture(name)).save(f"in/{name}.png")
        Image.fromarray(mask).save(f"masks/{name}.png")
    return tmp_path


def named(order):
    return [f"in/{name}.png" for name in order]


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """The same to rounding: of scores, whose differences a map is."""
    return bool(np.abs(one - other).max() <= 2e-3 * max(np.abs(one).max(), 1e-6))


@pytest.mark.parametrize("names", [QUICK, pytest.param(REST, marks=pytest.mark.slow)], ids=["quick", "rest"])
def test_no_map_depends_on_where_its_picture_stands(here, names):
    less = {"samples": 34, "steps": 4, "players": "grid:4x4", "budget": 200, "iterations": 4}
    settings = {f"{m}.{o}": v for m in names for o, v in less.items() if o in METHODS[m].options()}
    settings |= (
        {"low-order-shap.players": "grid:3x3"} if "low-order-shap" in names else {}
    )  # it asks for all 2^n coalitions
    found = []
    for order, size in ((["noise", "disc", "blank"], 16), (["blank", "disc", "noise"], 11)):
        run = explain(
            named(order), model=network(), method=names, settings=settings, write=False, batch_size=size, **PLAIN
        )
        assert len(run) == len(order) * len(names)
        found.append({(item.image, item.method): item for item in run})
    for key, first in found[0].items():
        other = found[1][key]
        assert (first.status, first.error, first.target) == (other.status, other.error, other.target), key
        assert first.status != "ok" or alike(first.values, other.values), key
    failed = {method for (_, method), item in found[0].items() if item.status != "ok"}
    assert failed <= UNCHANGED
    assert all(found[0]["disc.png", method].status == "ok" for method in UNCHANGED & set(names))


def test_no_metric_depends_on_where_its_picture_stands(here):
    names = [name for name, entry in METRICS.items() if entry.properties["scope"] != "model"]
    known = {name: METRICS[name].options() for name in names}
    settings = {f"{m}.steps": 6 for m in names if "steps" in known[m]} | {
        f"{m}.samples": 6 for m in names if "samples" in known[m]
    }
    found = []
    for number, (order, size) in enumerate(((["noise", "disc", "blank"], 16), (["blank", "disc", "noise"], 11))):
        run = evaluate(
            named(order), model=network(), method="sig,gradient", metric=names, masks="masks", out=f"out{number}",
            settings={**settings, "sig.samples": 12, "sig.players": "grid:4x4"}, batch_size=size, **PLAIN,
        )  # fmt: skip
        found.append({value.key: value for value in run.values})
    assert found[0].keys() == found[1].keys()
    for key, first in found[0].items():
        other = found[1][key]
        assert first.error == other.error, key
        assert first.value == other.value or first.value == pytest.approx(other.value, rel=1e-3, abs=1e-5), key
    whole = {metric for (image, method, _, metric, _), v in found[0].items() if image == "disc.png" and not v.error}
    assert whole == set(names)


@pytest.mark.parametrize("method", ["lime", "sig"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_picture_without_superpixels_is_named_wherever_it_stands(here, order, method):
    """SLIC finds none in noise; first in the run it was taken for a mistake in the command, and nothing was explained."""
    settings = {"players": "superpixels:10", "samples": 20}
    run = explain(named(order), model=network(), method=method, settings=settings, write=False, **PLAIN)
    failed = {item.image: item.error for item in run if item.status != "ok"}
    assert set(failed) == {"noise.png"}
    assert "no superpixels" in failed["noise.png"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_mistake_is_a_mistake_whatever_stands_first(here, order):
    for settings in ({"samples": -5}, {"players": "grid:99x99"}, {"players": "hexagons"}, {"sizes": "none"}):
        with pytest.raises(UsageError):
            explain(named(order), model=network(), method="sig", settings=settings, write=False, **PLAIN)
    with pytest.raises(UsageError, match="layer"):
        explain(named(order), model=network(), method="gradcam", settings={"layer": "9"}, write=False, **PLAIN)
    for setting in ("irof.segments", "random-logit.similarity", "parameter-randomisation.stages"):
        metric, given = setting.partition(".")[0], "cosine" if "similarity" in setting else 0
        with pytest.raises(UsageError):
            evaluate(
                named(order), model=network(), method="gradient", metric=metric, settings={setting: given}, out="out",
                **PLAIN,
            )  # fmt: skip


@pytest.mark.parametrize("sides", [(16, 16, 16), (16, 24, 24), (24, 16, 16), (16, 24, 8)])
def test_the_images_to_compare_with_have_one_order_and_one_size(here, sides):
    """The size is that of most, not that of the first; of a tie the larger."""
    names = ["noise", "disc", "blank"]
    for name, side in zip(names, sides, strict=True):
        Image.fromarray(picture(name, side)).save(f"in/{name}.png")
    free = Preprocess(None, None, (0.0,) * 3, (1.0,) * 3)
    sets = [ImageSet([Path(p) for p in named(order)], free) for order in (names, names[::-1], names[1:] + names[:1])]
    assert len({tuple(one.keys()) for one in sets}) == 1
    expected = max(set(sides), key=lambda side: (sides.count(side), side))
    for one in sets:
        assert tuple(one.mean().shape) == (3, expected, expected)
        assert torch.equal(one.mean(), sets[0].mean())
        assert all(torch.equal(one.image(i), sets[0].image(i)) for i in range(3))
    assert {read_image(Path(p)).key for p in named(names)} == set(sets[0].keys())


@pytest.mark.parametrize(("side", "channels"), [(8, 3), (16, 3), (28, 1), (16, 1)])
def test_default_metrics_work_on_small_networks(tmp_path, monkeypatch, side, channels):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("disc", "noise"):
        Image.fromarray(picture(name, side)).save(f"in/{name}.png")
    (tmp_path / f"tiny{side}{channels}.py").write_text(
        f"import torch\nfrom torch import nn\ndef build():\n    torch.manual_seed(0)\n"
        f"    return nn.Sequential(nn.Flatten(), nn.Linear({channels * side * side}, 4))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    done = CliRunner().invoke(
        app,
        ["evaluate", "in", "--model", f"tiny{side}{channels}:build", "--image-size", str(side), "--mean", "0", "--std", "1",
         "--set", "sig.samples=8", "--set", "ig.steps=4", "--no-pictures", "--device", "cpu", "--out", "out"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "16 values, 0 failed" in done.output
    told = [line for line in done.output.splitlines() if "largest" in line]
    assert len(told) == (side * side < 500), done.output
    if told:
        assert f"an image has {side * side} pixels, so largest is {side * side} and not 500" in told[0]


def test_a_run_folder_keeps_the_order_of_its_methods(here):
    """Sorted, the paired differences changed their sign."""
    explain(named(ORDERS[0]), model="shapes", method="smoothgrad,b=ig,gradient", settings={"samples": 4, "steps": 2},
            out="run", pictures=False, device="cpu")  # fmt: skip
    found = evaluate("run", metric="entropy,sparseness", pictures=False)
    assert list(dict.fromkeys(value.method for value in found.values)) == ["smoothgrad", "b", "gradient"]
    assert list(dict.fromkeys(value.metric for value in found.values)) == ["entropy", "sparseness"]
    assert list(dict.fromkeys(value.image for value in found.values)) == [f"{name}.png" for name in ORDERS[0]]
    expected = [("smoothgrad", "b"), ("smoothgrad", "gradient"), ("b", "gradient")]
    assert list(dict.fromkeys((row["method"], row["minus"]) for row in found.pairs)) == expected
    assert [(one.method, one.other) for one in found.agreement] == expected
    chosen = evaluate("run", metric="entropy", method="gradient,smoothgrad", pictures=False)
    assert list(dict.fromkeys(value.method for value in chosen.values)) == ["gradient", "smoothgrad"]
