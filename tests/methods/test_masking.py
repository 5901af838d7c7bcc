"""Masks that are optimised, beside the same optimisation by autograd through the network, and where the answer is known."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.baselines.single import gaussian_blur
from sigcli.errors import AttributionError, UsageError
from sigcli.methods.masking import _spreading

from toys import attribute, smooth_net, subject


def adam(loss, mask, iterations, rate):
    """Adam, Kingma, Ba 2015, Algorithm 1, on cells that stay in 0..1."""
    mean = square = torch.zeros_like(mask)
    for t in range(1, iterations + 1):
        leaf = mask.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, t - 1), leaf)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        step = mean / (1 - 0.9**t) / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
        mask = (mask - rate * step).clamp(0, 1)
    return mask


def kept_fraction(net, who, mask, reference):
    whole = float(net(who.x[None])[0, who.target]) - float(net(reference[None])[0, who.target])
    image = reference + mask * (who.x - reference)
    return net(image[None])[0, who.target] / abs(whole)


def test_meaningful_perturbation_is_the_papers_optimisation():
    net, who, reference = smooth_net(), subject(), torch.full((2, 6, 6), 0.3, dtype=torch.float64)

    def grown(cells):
        return gaussian_blur(functional.interpolate(cells, (6, 6), mode="bilinear"), 5 / 224 * 6)[0, 0]

    def loss(cells, _):
        rough = sum(
            abs(a - b) ** 3 for lines in (cells[0, 0], cells[0, 0].T) for line in lines for a, b in pairwise(line)
        )
        return kept_fraction(net, who, grown(cells), reference) + 0.03 * (1 - cells).sum() + 0.2 * rough

    expected = 1 - grown(adam(loss, torch.ones(1, 1, 4, 4, dtype=torch.float64), 12, 0.1))
    options = {"cells": 4, "iterations": 12, "sparsity": 0.03, "smoothness": 0.2, "baseline": "constant:0.3"}
    found = attribute(net, "meaningful-perturbation", who, **options)
    assert expected.max() > 0.1
    assert torch.allclose(found.values.sum(0), expected, rtol=1e-8, atol=1e-10)
    assert torch.equal(found.values[0], found.values[1])
    assert (found.evaluations, found.gradient_evaluations) == (12, 12)


def spread(cells, size):
    """The smooth maximum in loops: of each pixel over cells at most six cells off, the edge's cells going on beyond it."""
    count, found = cells.shape[0], torch.zeros(size, size, dtype=torch.float64)
    step, reach = size / count, 21 / 224 * size
    radius = math.ceil(2 * reach / step)
    for u in range(size):
        for v in range(size):
            near = []
            for i in range(int((u + 0.5) / step) - radius, int((u + 0.5) / step) + radius + 1):
                for j in range(int((v + 0.5) / step) - radius, int((v + 0.5) / step) + radius + 1):
                    apart = math.hypot(u + 0.5 - (i + 0.5) * step, v + 0.5 - (j + 0.5) * step) / reach
                    kernel = math.exp(-2 * max(0.0, apart - 0.5) ** 2)
                    near.append(kernel * cells[min(max(i, 0), count - 1), min(max(j, 0), count - 1)])
            near = torch.stack(near)
            powers = (20 * near).exp()
            found[u, v] = (near * powers).sum() / powers.sum()
    return found


def test_extremal_masks_are_a_smooth_maximum_of_cells():
    cells = torch.rand(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = _spreading((5, 5), (20, 20), cells)(cells[None, None])
    assert torch.allclose(found, spread(cells, 20))
    level = _spreading((24, 32), (72, 96), cells)(torch.full((1, 1, 24, 32), 0.7, dtype=torch.float64))
    assert level.shape == (72, 96)
    assert float(level.max() - level.min()) < 0.02  # the edges have no part in it


def test_extremal_perturbation_is_the_papers_optimisation():
    net, who, reference = smooth_net(), subject(target=2), torch.zeros(2, 6, 6, dtype=torch.float64)
    wanted = torch.tensor([0.0] * 27 + [1.0] * 9, dtype=torch.float64)

    def loss(cells, iteration):
        mask = spread(cells[0, 0], 6)
        apart = ((mask.flatten().sort().values - wanted) ** 2).sum() / 36 if iteration else 0
        return -kept_fraction(net, who, mask, reference) + 3 * 16 ** (iteration / 5) * apart

    expected = spread(adam(loss, torch.full((1, 1, 3, 3), 0.5, dtype=torch.float64), 5, 0.05)[0, 0], 6)
    options = {"cells": 3, "iterations": 5, "area": 0.25, "weight": 3.0, "baseline": "black"}
    found = attribute(net, "extremal-perturbation", who, **options)
    assert float(expected.max() - expected.min()) > 0.05
    assert torch.allclose(found.values.sum(0), expected, rtol=1e-8, atol=1e-10)


class Corner(nn.Module):
    """The score is the mean of the upper left quarter."""

    def forward(self, x):
        half = x.shape[-1] // 2
        return torch.stack([x[..., :half, :half].mean((1, 2, 3)), -x[..., :half, :half].mean((1, 2, 3))], 1)


@pytest.mark.parametrize("method", ["meaningful-perturbation", "extremal-perturbation"])
def test_what_counts_is_found(method):
    x = 0.5 + 0.5 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"area": 0.2, "iterations": 100} if method == "extremal-perturbation" else {"iterations": 80}
    found = attribute(Corner(), method, subject(x, target=0), baseline="black", **options).values.sum(0)
    assert float(found[:16, :16].mean()) > 0.6
    assert float(found[20:].max()) < 0.1
    assert float(found[:, 20:].max()) < 0.1
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1 + 1e-9
    if method == "extremal-perturbation":
        assert float(found.mean()) == pytest.approx(0.2, abs=0.05)


def test_a_dear_mask_stays_empty():
    options = {"iterations": 20, "sparsity": 100.0, "baseline": "black"}
    found = attribute(smooth_net(), "meaningful-perturbation", subject(), **options)
    assert float(found.values.abs().max()) < 1e-12
    assert found.note.startswith("nothing is deleted")
    assert not attribute(smooth_net(), "meaningful-perturbation", subject(), **{**options, "sparsity": 0.0}).note


class Valley(nn.Module):
    """A score that rises as the image fades in any place, until little of the upper half is left: then it falls."""

    def __init__(self, top, floor):
        super().__init__()
        self.top, self.floor = top, floor

    def forward(self, x):
        upper, lower = x[:, :, :16].mean((1, 2, 3)), x[:, :, 16:].mean((1, 2, 3))
        falling, rising = 2 + self.top - upper, self.floor + (2 - self.floor) / self.top * upper
        score = torch.where(upper > self.top, falling, rising) - 0.1 * lower
        return torch.stack([score, -score], 1)


@pytest.mark.parametrize(
    ("top", "floor", "sparsity", "deleted"),
    [(0.8, 0.0, 2e-3, True), (0.3, 0.0, 2e-3, True), (0.8, 1.69, 0.05, False), (0.8, 1.9, 2e-3, False)],
    ids=["near hill", "far hill", "not worth it", "all deleted is worse"],
)
def test_where_each_first_bit_raises_the_score_the_search_begins_anew(top, floor, sparsity, deleted):
    """At x every slope is against deleting, so cells that start at 1 never leave it; the upper half is what holds it."""
    x = torch.ones(3, 32, 32, dtype=torch.float64)
    options = {"iterations": 60, "baseline": "black", "sparsity": sparsity}
    found = attribute(Valley(top, floor), "meaningful-perturbation", subject(x, target=0), **options)
    assert found.evaluations == 60
    if deleted:
        values = found.values.sum(0)
        assert not found.note
        assert float(values[:14].mean()) > 0.8
        assert float(values[18:].mean()) < 0.2
    else:
        assert float(found.values.abs().max()) == 0
        assert found.note.startswith("nothing is deleted")


@pytest.mark.parametrize("method", ["meaningful-perturbation", "extremal-perturbation"])
def test_the_image_as_its_own_baseline_is_refused(method):
    who = subject(torch.zeros(2, 6, 6, dtype=torch.float64))
    with pytest.raises(AttributionError, match="no part of it can be deleted or kept"):
        attribute(smooth_net(), method, who, baseline="black")


@pytest.mark.parametrize(
    ("method", "options"),
    [("meaningful-perturbation", {"iterations": 0}), ("meaningful-perturbation", {"cells": 0}),
     ("meaningful-perturbation", {"sparsity": -1.0}), ("meaningful-perturbation", {"rate": 0.0}),
     ("extremal-perturbation", {"area": 0.0}), ("extremal-perturbation", {"area": 1.0}),
     ("extremal-perturbation", {"weight": 0.0})],
)  # fmt: skip
def test_numbers_are_checked(method, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        attribute(smooth_net(), method, subject(), **options)
