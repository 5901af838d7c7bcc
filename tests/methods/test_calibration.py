"""Standard errors are the size of the errors: polynomial scores, whose expected values are added up by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from toys import attribute, subject

H, W = 3, 4
LABELS = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 4, 4]])
N = 5
X = torch.rand(1, H, W, generator=torch.Generator().manual_seed(4), dtype=torch.float64) + 0.2
_MATRIX = torch.randn(H * W, H * W, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
Q, LINEAR = (_MATRIX + _MATRIX.T) / 2, torch.linspace(-1, 1, H * W, dtype=torch.float64)


CUBE = torch.linspace(0.6, -0.4, H * W, dtype=torch.float64)


def quadratic(images):
    """F(y) = yᵀQy + lᵀy for class 1."""
    y = images.flatten(1)
    score = ((y @ Q) * y).sum(1) + y @ LINEAR
    return torch.stack([0 * score, score], 1)


def cubic(images):
    """F(y) = yᵀQy + lᵀy + (cᵀy)³, so that an order and its reverse do not cancel."""
    return quadratic(images) + torch.tensor([0.0, 1.0]) * (images.flatten(1) @ CUBE)[:, None] ** 3


def line(start, end):
    """Integrated gradients of the cubic from one point to another, (H·W,)."""
    a, b = start @ CUBE, end @ CUBE
    return (end - start) * (Q @ (start + end) + LINEAR + CUBE * (a * a + a * b + b * b))


def sig(form):
    x, total = X.flatten(), torch.zeros(H * W, dtype=torch.float64)
    for k in range(N):
        for members in itertools.combinations(range(N), k):
            there = torch.isin(LABELS, torch.tensor(members, dtype=torch.long)).flatten() * x
            part = line(there, x) if form == "to-input" else line(there, x) + line(0 * x, there)
            total += part / (N * math.comb(N, k))
    return total


def shapley_values():
    """Of each pixel as a player: a product of pixels is shared evenly among those in it."""
    x, a = X.flatten(), CUBE * X.flatten()
    values = x * (Q @ x + LINEAR) + a**3
    for i, j in itertools.permutations(range(H * W), 2):
        values[i] += 1.5 * (a[i] ** 2 * a[j] + a[i] * a[j] ** 2)
    for i, j, k in itertools.permutations(range(H * W), 3):
        values[i] += a[i] * a[j] * a[k]
    return values


def expected(mean, variance):
    """E of the quadratic's integrated gradients from references of independent pixels of this mean and variance."""
    x, mean = X.flatten(), torch.as_tensor(mean, dtype=torch.float64).flatten()
    return (x - mean) * (Q @ (x + mean) + LINEAR) - Q.diagonal() * variance


RIGHT = {
    "sig": lambda o: sig(o.get("form", "to-input")),
    "sig-walk": lambda _: shapley_values(),
    "eg": lambda _: expected(0.5, 1 / 12),
    "gradient-shap": lambda _: expected(0.5, 1 / 12),
    "agn": lambda o: expected(X, o["sigma"] ** 2),
    "smoothgrad": lambda _: 2 * Q @ X.flatten() + LINEAR,
    "shapley-sampling": lambda _: shapley_values(),
    "bshap": lambda _: shapley_values(),
}
GAME = {"players": LABELS, "baseline": "black"}
WALK = {"players": "pixels", "baseline": "black"}
CASES = [
    ("sig", {**GAME, "samples": 128, "coalitions": "sampled", "form": "both"}, 8),
    ("sig", {**GAME, "samples": 129, "coalitions": "sampled", "form": "to-input"}, 8),
    ("sig", {**GAME, "samples": 31, "form": "both"}, 7),  # spread over all 31 coalitions, in pairs of halves
    ("sig", {**GAME, "samples": 62, "form": "to-input"}, 8),
    ("sig-walk", {**WALK, "orders": 24}, 12),
    ("sig-walk", {**WALK, "orders": 9, "gradients": "inside"}, 5),
    ("eg", {"samples": 128, "baselines": "uniform"}, 8),
    ("gradient-shap", {"samples": 32, "baselines": "uniform"}, 32),
    ("agn", {"samples": 128, "sigma": 0.4}, 8),
    ("smoothgrad", {"samples": 16, "sigma": 0.3}, 16),
    ("shapley-sampling", {**WALK, "orders": 24}, 12),
    ("bshap", {**WALK, "budget": 68}, 3),
]
T975 = {3: 4.303, 5: 2.776, 7: 2.365}
"""97.5 % points of Student's t: one degree of freedom less than replicates; of pairs of halves as many as pairs."""


@pytest.mark.parametrize(("method", "options", "replicates"), CASES)
def test_the_truth_lies_within_the_standard_errors_as_often_as_it_should(method, options, replicates):
    """±1.96 of them hold .90 to .98 where there are eight replicates or more; with fewer, Student's t says how many."""
    right, model = RIGHT[method](options), cubic if "baseline" in options else quadratic
    off, claimed = [], []
    for seed in range(60):
        found = attribute(model, method, subject(X, seed=seed), batch_size=512, check=0, **options)
        off.append((found.values.flatten() - right).numpy())
        claimed.append(found.stderr.flatten().numpy())
    off, claimed = np.array(off), np.array(claimed)
    moves = np.abs(off).max(0) > 1e-9
    off, claimed = off[:, moves], claimed[:, moves]
    ratio = math.sqrt(np.square(claimed).sum() / np.square(off).sum())
    assert 0.85 < ratio < 1.2
    wide = 1.96 if replicates >= 8 else T975[replicates]
    held = float((np.abs(off) <= wide * claimed).mean())
    assert 0.875 < held < 0.985, (held, ratio)
    bias = off.mean(0) / (off.std(0, ddof=1) / math.sqrt(len(off)))
    assert np.sqrt(np.square(bias).mean()) < 2  # unbiased
