"""Methods that estimate the same quantity have one default baseline, and agree within their errors."""

import inspect
from collections import defaultdict

import numpy as np
import pytest
import torch

from sigcli.methods import METHODS
from sigcli.methods.presets import PRESETS

from toys import attribute, coalition_values, shapley, subject

SHAPLEY = {"sig-walk", "bshap", "shapley-sampling", "kernelshap", "low-order-shap", "linear-shap", "max-shap"}


def quantities():
    found = defaultdict(set)
    for name, entry in METHODS.items():
        if entry.properties.get("quantity"):
            found[entry.properties["quantity"]].add(name)
    return found


def test_shapley_values_are_one_quantity():
    assert quantities() == {"Shapley value": SHAPLEY}


@pytest.mark.parametrize("quantity", quantities())
def test_one_quantity_has_one_default_baseline(quantity):
    defaults = {METHODS[name].options()["baseline"].default for name in quantities()[quantity]}
    assert defaults == {"blur"}
    assert METHODS["sig"].options()["baseline"].default == "blur"
    assert METHODS["effective-shapley"].options()["baseline"].default == "blur"


def test_a_shapley_method_cannot_be_added_without_its_quantity():
    """What has coalitions, a baseline and completeness estimates the Shapley value of its players."""
    for name, entry in METHODS.items():
        options = entry.options()
        if entry.properties["complete"] and entry.properties["needs"] == "forward" and "players" in options:
            assert (entry.properties.get("quantity") == "Shapley value") == ("baseline" in options), name


def test_the_preset_keeps_the_paper_s_own():
    assert PRESETS["paper"][1]["sig"]["baseline"] == "black"
    assert inspect.signature(METHODS["ig"].load()).parameters["baseline"].default == "black"


def curved(x):
    """A score of large-scale and of single pixels, whose blurred image is far from it."""
    flat = x.flatten(1)
    weights = torch.linspace(-2, 3, flat.shape[1], dtype=x.dtype)
    return torch.stack([flat @ weights, (flat @ weights) ** 2 + 4 * flat[:, 0] * flat[:, -1]], 1)


@pytest.mark.parametrize("target", [0, 1])
def test_they_agree_on_one_image_as_they_come(target):
    """No baseline is named: six patches of 2×3 pixels, exact values from the definition with x' = blur."""
    who = subject(target=target)
    from sigcli.baselines.single import baseline

    blurred = baseline("blur", who)
    labels = METHODS["sig"].load()(who, players="2x3").players.labels
    exact = shapley(coalition_values(lambda x: curved(x)[:, target], who.x, blurred, labels))
    scale = np.abs(exact).max()
    for name in SHAPLEY - {"max-shap"} - ({"linear-shap"} if target else set()):  # no maximum, and not linear
        players = {} if name == "linear-shap" else {"players": "2x3"}
        found = attribute(curved, name, who, **players)
        values = np.bincount(labels.flatten(), found.values.sum(0).flatten(), 6)
        error = 0.0
        if found.stderr is not None:
            error = 5 * np.bincount(labels.flatten(), found.stderr.sum(0).flatten(), 6)
        assert (np.abs(values - exact) <= error + 1e-9 * scale).all(), name
        assert found.total == pytest.approx(exact.sum(), abs=1e-9)
