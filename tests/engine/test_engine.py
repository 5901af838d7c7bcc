from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from sigcli.engine.batch_size import auto_batch_size
from sigcli.engine.integrate import Task, integrate
from sigcli.engine.plan import Plan, Reference, endpoints, straight
from sigcli.errors import AttributionError
from sigcli.methods import METHODS
from sigcli.players import parse
from sigcli.scores.classifier import ClassScore
from sigcli.shapley.coalitions import Coalitions

from toys import attribute, smooth_net, subject


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("steps", [5, 50])
def test_ig_equals_captum_at_the_same_nodes(dtype, tolerance, steps):
    net, who = smooth_net(dtype), subject(dtype=dtype)
    plan = METHODS["ig"].load()(who, steps=steps, baseline="middle")
    # captum rounds its weights to float32 even for float64 inputs (1e-9 relative); the same weights are given to both.
    plan = replace(plan, weight=plan.weight.astype(np.float32).astype(np.float64))
    found = next(iter(integrate(ClassScore(net), [Task(who, plan)])))
    theirs = IntegratedGradients(net).attribute(
        who.x[None], torch.full_like(who.x, 0.5)[None], target=1, n_steps=steps, method="gausslegendre"
    )[0]
    assert (found.values - theirs).norm() < tolerance * theirs.norm()
    exact = attribute(net, "ig", who, steps=steps, baseline="middle")
    assert (exact.values - theirs).norm() < max(tolerance, 1e-8) * theirs.norm()


def test_the_path_that_is_visited_is_the_plan():
    seen = []

    def model(x):
        if x.requires_grad:
            seen.append(x.detach().clone())
        return x.flatten(1)[:, :3]

    who = subject()
    attribute(model, "ig", who, steps=5, rule="riemann-left", batch_size=2)
    points = torch.cat(seen)
    assert len(points) == 6  # the last batch is filled up
    for i, point in enumerate(points[:5]):
        assert torch.allclose(point, i / 5 * who.x)


def test_memory_is_halved_until_it_fits():
    net, who, sizes = smooth_net(), subject(), []

    def tight(x):
        sizes.append(len(x))
        if len(x) > 5:
            raise torch.OutOfMemoryError("no memory")
        return net(x)

    plan = METHODS["ig"].load()(who, steps=40)
    found = next(iter(integrate(ClassScore(tight), [Task(who, plan)], batch_size=32)))
    expected = attribute(net, "ig", who, steps=40)
    assert torch.allclose(found.values, expected.values, rtol=1e-12)
    assert sizes[:4] == [32, 16, 8, 4]
    assert max(sizes[3:]) == 4  # the smaller size is kept

    def none(x):
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(AttributionError, match="too little memory for one image"):
        list(integrate(ClassScore(none), [Task(who, plan)], batch_size=4))


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_every_batch_has_the_same_shape(batch_size):
    sizes, net = [], smooth_net()

    def model(x):
        if x.requires_grad:
            sizes.append(len(x))
        return net(x)

    tasks = [Task(who, METHODS["ig"].load()(who, steps=7)) for who in (subject(key=1), subject(key=2))]
    list(integrate(ClassScore(model), tasks, batch_size=batch_size))
    assert set(sizes) == {max(2, batch_size)}
    assert len(sizes) == -(-14 // batch_size)


def test_images_of_different_shapes_go_through_one_stream():
    def model(x):
        return x.sum((2, 3)).repeat(1, 2)

    images = [subject(torch.rand(2, s, s + 1, dtype=torch.float64), key=s) for s in (4, 4, 6, 5)]
    tasks = [Task(who, METHODS["ig"].load()(who, steps=3)) for who in images]
    for who, found in zip(images, integrate(ClassScore(model), tasks, batch_size=4), strict=True):
        assert torch.allclose(found.values[1], who.x[1])


@pytest.mark.parametrize("output", ["logit", "prob", "logprob"])
def test_outputs_are_what_they_say(output):
    net, who = smooth_net(), subject()
    logits = net(who.x[None])
    expected = {"logit": logits, "prob": logits.softmax(1), "logprob": logits.log_softmax(1)}[output][0, 1]
    plan = METHODS["ig"].load()(who, steps=60)
    found = next(iter(integrate(ClassScore(net, output), [Task(who, plan)])))
    assert found.score == pytest.approx(float(expected))
    assert found.relative_gap < 1e-6


def test_bf16_is_close_and_returns_the_inputs_type():
    net, who = smooth_net(torch.float32), subject(dtype=torch.float32)
    plan = METHODS["ig"].load()(who)
    full = next(iter(integrate(ClassScore(net), [Task(who, plan)])))
    half = next(iter(integrate(ClassScore(net, precision="bf16"), [Task(who, plan)])))
    assert half.values.dtype == torch.float32
    assert (half.values - full.values).norm() < 0.05 * full.values.norm()


def test_end_points_of_a_walk_cancel_and_samples_stand_for_all():
    who = subject()
    walk = endpoints(METHODS["sig-walk"].load()(who, players="2x2", baseline="black", orders=6), 1000)
    assert sorted(walk.coefficient.tolist()) == pytest.approx([-1, 1])
    plan = METHODS["sig"].load()(who, players="2x2", baseline="black", samples=200, coalitions="sampled")
    few = endpoints(plan, 16)
    assert len(few.full) <= 17
    assert few.coefficient[few.full] == pytest.approx([1])
    assert few.coefficient.sum() == pytest.approx(0)


def test_plans_check_themselves():
    one = np.ones(2)
    reference = Reference.fixed(torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="at least one point"):
        Plan(one[:0], one[:0], np.zeros(0, int), reference)
    with pytest.raises(ValueError, match="must not decrease"):
        Plan(one, one, np.zeros(2, int), reference, unit=np.array([1, 0]))
    with pytest.raises(ValueError, match="need players"):
        Plan(one, one, np.zeros(2, int), reference, start=Coalitions.empty(1, 3))


def test_position_and_movement_on_paper():
    """One segment {0} → {0, 1} of three players at α = 1/4: player 0 stands at 1, player 1 at 1/4, player 2 at 0."""
    x = torch.tensor([[[2.0, 4.0, 8.0]]], dtype=torch.float64)
    who = subject(x, target=0)
    seen = []

    def model(images):
        seen.append(images.detach().clone())
        return (images**2).sum((1, 2, 3))[:, None]

    plan = Plan(
        np.array([0.25]), np.array([0.5]), np.array([0]), Reference.fixed(torch.zeros_like(x)), players=parse("pixels", x),
        start=Coalitions.pack(np.array([[True, False, False]])), end=Coalitions.pack(np.array([[True, True, False]])),
    )  # fmt: skip
    found = next(iter(integrate(ClassScore(model), [Task(who, plan)])))
    assert seen[0][0].flatten().tolist() == [2, 1, 0]
    assert found.values.flatten().tolist() == [0, 0.5 * 2 * 1 * 4, 0]


def test_unequal_replicates_are_weighted():
    """Seven noisy lines in three replicates of 2, 2 and 3: the mean is over lines, not over replicates."""
    x = torch.ones(1, 1, 2, dtype=torch.float64)
    levels = torch.tensor([0.0, 1, 2, 3, 4, 5, 6], dtype=torch.float64)
    reference = Reference(lambda i: (x * 0)[None] + levels[i][:, None, None, None])
    plan = straight(reference, np.full((7, 1), 0.5), np.full((7, 1), 1 / 7), unit=np.array([0, 0, 1, 1, 2, 2, 2]))
    found = next(
        iter(integrate(ClassScore(lambda images: images.sum((1, 2, 3))[:, None]), [Task(subject(x, target=0), plan)]))
    )
    assert found.values.flatten().tolist() == pytest.approx([1 - 3, 1 - 3])
    means, shares = np.array([0.5, 2.5, 5.0]), np.array([2, 2, 3]) / 7
    expected = np.sqrt((shares * (means - 3) ** 2).sum() / 2)
    assert found.stderr.flatten().tolist() == pytest.approx([expected] * 2)


def test_automatic_batch_size_depends_on_the_shape_only():
    cpu = torch.device("cpu")
    scorer = ClassScore(smooth_net())
    assert auto_batch_size(scorer, (3, 224, 224), cpu) == auto_batch_size(scorer, (3, 224, 224), cpu)
    assert auto_batch_size(scorer, (3, 1024, 1024), cpu) < auto_batch_size(scorer, (3, 64, 64), cpu)
