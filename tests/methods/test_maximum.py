"""`max-shap`: exact on maxima by brute force, refused elsewhere, and a method of arrays."""

import csv
from itertools import permutations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import AttributionError, UsageError

from toys import attribute, coalition_values, shapley, subject

SHAPE = (1, 2, 4)
EIGHT = torch.arange(8).reshape(2, 4)


def row(values):
    return torch.tensor(values, dtype=torch.float64).reshape(SHAPE)


def largest(x):
    return x.flatten(1).amax(1, keepdim=True).expand(-1, 3)


def bent(x):
    """The maximum of a function of each value alone, none of which is the value itself."""
    x = x.flatten(1)
    return torch.stack([torch.sin(k + x[:, k]) * (1 + k % 3) for k in range(8)], 1).amax(1, keepdim=True).expand(-1, 3)


def brute(model, x, reference, labels):
    return shapley(coalition_values(lambda images: model(images)[:, 1], x, reference, labels))


@pytest.mark.parametrize("checks", [2, 400])  # few random coalitions, and all of them
def test_a_maximum_of_the_input_is_exact_whatever_the_baseline(checks):
    x = row([0.3, 0.9, -0.2, 0.9, 0.5, -1.0, 0.1, 0.4])
    reference = row([0.6, 0.0, 0.7, -0.5, 0.5, -2.0, 0.65, 0.4])  # five players' absence counts too
    found = attribute(largest, "max-shap", subject(x), players="pixels", baseline=reference, checks=checks)
    right = brute(largest, x, reference, EIGHT)
    assert np.allclose(found.player_values.numpy(), right, atol=1e-12)
    assert (right < -1e-3).any()
    assert (right > 1e-3).any()
    assert found.completeness_gap < 1e-12
    assert found.evaluations == (256 if checks == 400 else 2 * 8 + 2 + 2)


def test_orders_by_hand():
    """Three players: the mean over all six orders of what each adds to the maximum."""
    x, r = np.array([2.0, 5.0, 3.0]), np.array([1.0, 0.0, 4.0])
    right = np.zeros(3)
    for order in permutations(range(3)):
        now = r.copy()
        for player in order:
            before = now.max()
            now[player] = x[player]
            right[player] += (now.max() - before) / 6
    image, reference = (torch.from_numpy(v).reshape(1, 1, 3) for v in (x, r))
    found = attribute(largest, "max-shap", subject(image), players="pixels", baseline=reference)
    assert np.allclose(found.player_values.numpy(), right, atol=1e-12)


def test_a_maximum_of_functions_of_one_player_each_is_exact():
    x = row([0.3, 0.9, -0.2, 2.0, 0.5, -1.0, 0.1, 0.4])
    reference = torch.full(SHAPE, -40.0, dtype=torch.float64)  # of which the functions make different numbers
    alone = torch.stack([torch.sin(k + reference.flatten()[k]) * (1 + k % 3) for k in range(8)])
    floor = row(alone.amax().item() * np.ones(8))
    model = lambda z: torch.maximum(bent(z), floor.flatten()[:1, None])  # noqa: E731
    found = attribute(model, "max-shap", subject(x), players="pixels", baseline=reference)
    assert np.allclose(found.player_values.numpy(), brute(model, x, reference, EIGHT), atol=1e-9)
    pairs = EIGHT // 2  # players of two values each
    found = attribute(model, "max-shap", subject(x), players=pairs, baseline=reference)
    assert np.allclose(found.player_values.numpy(), brute(model, x, reference, pairs), atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: x.flatten(1).sum(1, keepdim=True).expand(-1, 3),
        lambda x: x.flatten(1).amin(1, keepdim=True).expand(-1, 3),
        lambda x: x.flatten(1).sort(1).values[:, -2:-1].expand(-1, 3),  # the second largest
        lambda x: x.flatten(1).logsumexp(1, keepdim=True).expand(-1, 3),
        lambda x: largest(x) + 0.05 * (x.flatten(1)[:, :2] > 0.2).all(1, keepdim=True),  # two players together
    ],
    ids=["sum", "least", "second", "soft", "pair"],
)
def test_what_is_not_a_maximum_is_refused(model):
    x = row([0.3, 0.8, 0.6, 0.9, 0.5, 1.0, 0.1, 0.4])
    with pytest.raises(AttributionError, match="the maximum of what its players contribute"):
        attribute(model, "max-shap", subject(x), players="pixels", baseline="black", checks=300)


def test_no_checks_are_refused():
    with pytest.raises(UsageError, match="checks must be at least 1"):
        attribute(largest, "max-shap", subject(), players="2x3", checks=0)


LARGEST = """
from torch import nn

class Largest(nn.Module):
    def forward(self, x):
        return x.amax(1)
"""


def test_it_explains_arrays_of_a_hundred_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "largest_of.py").write_text(LARGEST)
    x = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.save(tmp_path / "row.npy", x)
    out = tmp_path / "out"
    arguments = ["explain", tmp_path / "row.npy", "--model", "largest_of:Largest", "--method", "max-shap", "--out", out]
    done = CliRunner().invoke(app, [str(one) for one in [*arguments, "--no-pictures"]])
    assert done.exit_code == 0, done.output
    with (out / "row" / "max-shap.csv").open(encoding="utf-8", newline="") as stream:
        values = np.array([float(one["value"]) for one in csv.DictReader(stream)])
    # The airport game over a floor of 0: each rise of the maximum is shared by all who are above it.
    right, positive = np.zeros(100), np.sort(x[x > 0].astype(float))
    for low, high in zip(np.concatenate([[0], positive[:-1]]), positive, strict=True):
        right[x > low] += (high - low) / (x > low).sum()
    assert np.allclose(values, right, atol=1e-6)
