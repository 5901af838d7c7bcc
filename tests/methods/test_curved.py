"""Blur IG, Guided IG, IDGI and GradientSHAP: completeness, and slow versions of what the authors published."""

import numpy as np
import pytest
import torch

from sigcli import draws
from sigcli.baselines.single import gaussian_blur
from sigcli.errors import UsageError

from toys import attribute, smooth_net, subject


def gradient(net, x, target=1):
    leaf = torch.as_tensor(x).clone().requires_grad_()
    return torch.autograd.grad(net(leaf[None])[0, target], leaf)[0]


@pytest.mark.parametrize("name", ["blur-ig", "guided-ig"])
def test_the_gap_closes_with_the_steps(name):
    net, who = smooth_net(), subject()
    gaps = [attribute(net, name, who, steps=steps).completeness_gap for steps in (10, 100, 400)]
    assert gaps[2] < gaps[0] / 10
    assert gaps[2] < 2e-2


def test_blur_ig_is_the_integral_along_blurred_images():
    net, who, steps, widest = smooth_net(), subject(), 12, 2.5
    found = attribute(net, "blur-ig", who, steps=steps, sigma=widest, batch_size=5)
    blurred = lambda s: gaussian_blur(who.x[None], s)[0] if s > 1e-6 else who.x  # noqa: E731
    expected = sum(
        gradient(net, blurred(widest * (1 - (i + 0.5) / steps)))
        * (blurred(widest * (1 - (i + 1) / steps)) - blurred(widest * (1 - i / steps)))
        for i in range(steps)
    )
    assert torch.allclose(found.values, expected)
    assert found.total == pytest.approx(float((net(who.x[None]) - net(blurred(widest)[None]))[0, 1]))
    with pytest.raises(UsageError, match="sigma must be above 0"):
        attribute(net, "blur-ig", who, sigma=0.0)


def test_idgi_is_complete_and_equals_a_slow_loop():
    net, who, steps = smooth_net(), subject(), 11
    found = attribute(net, "idgi", who, steps=steps, baseline="middle", batch_size=4)
    assert found.completeness_gap < 1e-12
    points = [0.5 + i / steps * (who.x - 0.5) for i in range(steps + 1)]
    scores = [float(net(p[None])[0, 1]) for p in points]
    expected = torch.zeros_like(who.x)
    for i in range(steps):
        g = gradient(net, points[i])
        expected += g**2 / (g**2).sum() * (scores[i + 1] - scores[i])
    assert torch.allclose(found.values, expected)


def authors_guided_ig(net, end, start, steps, fraction, most):
    """The authors' published `guided_ig_impl`, in numpy."""
    x, total, attr = start.copy(), np.abs(end - start).sum(), np.zeros_like(end)
    for step in range(steps):
        actual = gradient(net, torch.from_numpy(x)).numpy()
        g = actual.copy()
        alpha = (step + 1.0) / steps
        low, high = max(alpha - most, 0.0), min(alpha + most, 1.0)
        x_min, x_max = start + (end - start) * low, start + (end - start) * high
        target = total * (1 - (step + 1) / steps)
        gamma = np.inf
        while gamma > 1.0:
            old = x.copy()
            place = (x - start) / (end - start)
            x[place < low] = x_min[place < low]
            current = np.abs(x - end).sum()
            if np.isclose(target, current, rtol=1e-9, atol=1e-9):
                attr += (x - old) * actual
                break
            g[x == x_max] = np.inf
            threshold = np.quantile(np.abs(g), fraction, method="lower")
            s = (np.abs(g) <= threshold) & (g != np.inf)
            room = (np.abs(x - x_max) * s).sum()
            gamma = (current - target) / room if room > 0 else np.inf
            x[s] = x_max[s] if gamma > 1.0 else (x + gamma * (x_max - x))[s]
            attr += (x - old) * actual
    return attr


@pytest.mark.parametrize(("steps", "fraction", "distance"), [(7, 0.25, 0.02), (15, 0.1, 0.3), (5, 0.5, 1.0)])
def test_guided_ig_equals_the_authors(steps, fraction, distance):
    net, who = smooth_net(), subject()
    found = attribute(net, "guided-ig", who, baseline="middle", steps=steps, fraction=fraction, distance=distance)
    expected = authors_guided_ig(net, who.x.numpy(), np.full(who.x.shape, 0.5), steps, fraction, distance)
    assert np.allclose(found.values.numpy(), expected, rtol=1e-8, atol=1e-10)
    assert found.gradient_evaluations == steps
    with pytest.raises(UsageError, match=r"in 0\.\.1"):
        attribute(net, "guided-ig", who, distance=2.0)


def test_gradient_shap_equals_a_slow_loop_and_tends_to_expected_gradients():
    net, who, k = smooth_net(), subject(), 10
    found = attribute(net, "gradient-shap", who, samples=k, sigma=0.1, baselines="uniform", batch_size=3)
    key = draws.stream(who.seed, who.key, "gradient-shap", "uniform")
    alpha = draws.rows(draws.stream(key, "alpha"), 0, k, 1)[:, 0]
    noise = draws.normal16(draws.stream(key, "noise"), torch.arange(k), 72).double().reshape(k, 2, 6, 6) * 0.1
    from sigcli.baselines.single import uniform_noise

    terms = []
    for i in range(k):
        r, e = uniform_noise(who, torch.tensor([i]))[0], who.x + noise[i]
        terms.append((e - r) * gradient(net, r + alpha[i] * (e - r)))
    assert torch.allclose(found.values, torch.stack(terms).mean(0))
    assert torch.allclose(found.stderr, torch.stack(terms).std(0) / k**0.5)
    many, eg = (attribute(net, name, who, samples=2000) for name in ("gradient-shap", "eg"))
    assert (many.values - eg.values).norm() < 4 * many.standard_error
