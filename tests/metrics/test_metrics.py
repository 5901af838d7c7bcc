"""Metrics against slow references written from their papers' definitions, and at the points where the answer is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from torch import nn

from sigcli import draws
from sigcli.errors import AttributionError, UsageError
from sigcli.metrics import classifier, complexity, faithfulness, imputation, localisation, road, robustness, sanity
from sigcli.metrics import similarity as agreement
from sigcli.metrics import subsets as sets
from sigcli.metrics.case import Case
from sigcli.metrics.removal import Removal, follow
from sigcli.scores.classifier import ClassScore

from toys import smooth_net, subject

SIDE = 6


class Model:
    """A scorer that counts its images and batches."""

    def __init__(self, net):
        self.scorer, self.batches = ClassScore(net), []

    def outputs(self, images):
        self.batches.append(len(images))
        return self.scorer.outputs(images)


@pytest.fixture
def net():
    return smooth_net()


def case(seed: int = 0, mask=None, **more) -> Case:
    values = torch.randn(2, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Case(subject(**more), values, mask)


def run(net, plan, batch_size=7):
    (found,) = follow(Model(net), [plan.removal], batch_size=batch_size)
    return plan.finish(found)


def probability(net, image, target):
    return float(torch.softmax(net(image[None])[0], 0)[target])


def removed_in_order(one: Case, count: int, fill, ascending=False):
    """The definition: sort the pixels, set the first `count` of them."""
    image = one.subject.x.clone()
    relevance = one.values.sum(0).flatten()
    order = sorted(range(len(relevance)), key=lambda i: (relevance[i] if ascending else -relevance[i], i))
    for i in order[:count]:
        image[:, i // SIDE, i % SIDE] = fill[:, i // SIDE, i % SIDE]
    return image


def test_deletion_and_insertion_equal_a_slow_loop(net):
    one = case()
    black = torch.zeros_like(one.subject.x)
    found = run(net, faithfulness.deletion(one, imputation="black", steps=9))
    counts = [round(36 * i / 9) for i in range(10)]
    curve = [probability(net, removed_in_order(one, k, black), 1) for k in counts]
    np.testing.assert_allclose(found.curve, curve, atol=1e-12)
    assert found.value == pytest.approx(np.trapezoid(curve, np.array(counts) / 36), abs=1e-12)
    found = run(net, faithfulness.insertion(one, imputation="black", steps=36))
    curve = []
    for k in range(37):
        image = black.clone()
        kept = removed_in_order(one, k, torch.full_like(black, 9.0)) == 9.0
        image[kept] = one.subject.x[kept]
        curve.append(probability(net, image, 1))
    np.testing.assert_allclose(found.curve, curve, atol=1e-12)


@pytest.mark.parametrize(("function", "ascending"), [(faithfulness.morf, False), (faithfulness.lerf, True)])
def test_pixel_flipping_equals_a_slow_loop(function, ascending, net):
    one = case(3)
    found = run(net, function(one, imputation="white", steps=18, share=0.5))
    whole = probability(net, one.subject.x, 1)
    white = torch.ones_like(one.subject.x)
    drops = [whole - probability(net, removed_in_order(one, k, white, ascending), 1) for k in range(19)]
    assert found.value == pytest.approx(np.mean(drops), abs=1e-12)


@pytest.mark.parametrize("patch", [0, 1, 2, 3])
def test_iaccuracy_equals_its_definition(patch):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    for seed in range(3):
        with torch.no_grad():
            net[1].weight.normal_(generator=torch.Generator().manual_seed(seed))
        one = case(seed)
        found = run(net, faithfulness.iaccuracy(one, patch=patch, largest=20, steps=20))
        relevance = one.values.sum(0).flatten()
        order = sorted(range(36), key=lambda i: -relevance[i])
        image, same = one.subject.x.clone(), []
        first = int(net(image[None]).argmax())
        for k in range(21):
            same.append(int(net(image[None]).argmax()) == first)
            row, column = divmod(order[k], SIDE)
            before, after = patch // 2, patch - patch // 2
            image[:, max(0, row - before) : row + after + 1, max(0, column - before) : column + after + 1] = 0
        assert found.value == pytest.approx(np.mean(same), abs=1e-12)
        np.testing.assert_allclose(found.curve, [np.mean(same[: k + 1]) for k in range(21)], atol=1e-12)


def test_iaccuracy_with_fewer_places_is_near_the_sum():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    one = case(5)
    every = run(net, faithfulness.iaccuracy(one, largest=36, steps=36)).value
    few = run(net, faithfulness.iaccuracy(one, largest=36, steps=12)).value
    assert abs(every - few) < 0.15
    assert run(lambda x: net(x) * 0, faithfulness.iaccuracy(one, largest=36, steps=5)).value == 1


def test_results_do_not_depend_on_batches_or_company(net):
    plans = [faithfulness.deletion(case(i), steps=5) for i in range(4)] + [faithfulness.morf(case(9), steps=11)]
    alone = [run(net, plan).value for plan in plans]
    for size in (1, 3, 64):
        model = Model(net)
        together = [
            p.finish(f).value
            for p, f in zip(plans, follow(model, [p.removal for p in plans], batch_size=size), strict=True)
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-9)
        assert all(count == size for count in model.batches[:-1])
        assert sum(model.batches) == 4 * 6 + 12


def test_the_loop_reads_lazily(net):
    seen = []

    def removals():
        for i in range(6):
            seen.append(i)
            yield faithfulness.deletion(case(i), steps=3).removal

    stream = follow(Model(net), removals(), batch_size=4)
    next(stream)
    assert len(seen) <= 2


def test_correlations_equal_slow_ones(net):
    one = case(1)
    found = run(net, sets.faithfulness_correlation(one, share=0.25, samples=12))
    key = draws.stream(one.subject.seed, one.subject.key, "faithfulness-correlation")
    whole = float(net(one.subject.x[None])[0, 1])
    sums, drops = [], []
    for i in range(12):
        chosen = np.argsort(draws.words(key, i, 36), kind="stable")[:9]
        image = one.subject.x.clone()
        image.flatten(1)[:, chosen] = 0
        sums.append(float(one.values.sum(0).flatten()[chosen].sum()))
        drops.append(whole - float(net(image[None])[0, 1]))
    assert found.value == pytest.approx(pearsonr(sums, drops)[0], abs=1e-9)


def test_sets_have_their_sizes_and_a_linear_model_is_foretold_perfectly():
    w = torch.randn(2, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    linear = lambda x: torch.stack([(x * w).sum((1, 2, 3))] * 3, 1)  # noqa: E731
    one = Case(subject(), w * subject().x)
    for plan in (sets.faithfulness_correlation(one), sets.sensitivity_n(one, samples=10)):
        assert run(linear, plan).value == pytest.approx(1, abs=1e-9)
    assert run(linear, sets.infidelity(one)).value == pytest.approx(0, abs=1e-9)
    assert run(linear, sets.infidelity(one, scaled=False)).value == pytest.approx(0, abs=1e-9)
    halved = Case(subject(), w * subject().x / 2)
    assert run(linear, sets.infidelity(halved)).value == pytest.approx(0, abs=1e-9)
    assert run(linear, sets.infidelity(halved, scaled=False)).value > 1e-3
    curve = run(linear, sets.sensitivity_n(one, samples=10))
    np.testing.assert_allclose(curve.at, [1 / 36, 1 / 36, 2 / 36, 4 / 36, 7 / 36, 0.5, 29 / 36])


def test_infidelity_equals_a_slow_loop(net):
    one = case(4)
    found = run(net, sets.infidelity(one, side=0.5, samples=8, scaled=False))
    places = draws.rows(draws.stream(one.subject.seed, one.subject.key, "infidelity"), 0, 8, 2)
    whole, errors = float(net(one.subject.x[None])[0, 1]), []
    for u, v in places:
        row, column = int(u * 4), int(v * 4)
        image = one.subject.x.clone()
        image[:, row : row + 3, column : column + 3] = 0
        drop = whole - float(net(image[None])[0, 1])
        errors.append((float(one.values.sum(0)[row : row + 3, column : column + 3].sum()) - drop) ** 2)
    assert found.value == pytest.approx(np.mean(errors), rel=1e-9)


def test_irof_removes_superpixels_by_their_mean(net):
    from sigcli.players import parse

    one = case(6)
    players = parse("superpixels:9", one.subject.picture)
    labels, relevance = players.labels, one.values.sum(0)
    means = [float(relevance[labels == i].mean()) for i in range(players.n)]
    image, curve = one.subject.x.clone(), []
    whole = probability(net, image, 1)
    fill = image.mean((1, 2), keepdim=True).expand_as(image).clone()
    curve.append(1.0)
    for i in sorted(range(players.n), key=lambda i: -means[i]):
        image = torch.where(labels == i, fill, image)
        curve.append(probability(net, image, 1) / whole)
    found = run(net, sets.irof(one, segments=9))
    np.testing.assert_allclose(found.curve, curve, atol=1e-12)
    assert found.value == pytest.approx(1 - np.mean(curve), abs=1e-12)


def test_road_solves_its_linear_system(net):
    one = case()
    removed = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(1)) < 0.6
    filled = road.harmonic(one.subject.x, removed[None], 1e-13)[0].numpy()
    for y in range(SIDE):
        for x in range(SIDE):
            if not removed[y, x]:
                np.testing.assert_array_equal(filled[:, y, x], one.subject.x[:, y, x])
                continue
            total, weight = np.zeros(2), 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if (dy or dx) and 0 <= y + dy < SIDE and 0 <= x + dx < SIDE:
                        w = 1 / 6 if not dy or not dx else 1 / 12
                        total, weight = total + w * filled[:, y + dy, x + dx], weight + w
            np.testing.assert_allclose(filled[:, y, x], total / weight, atol=1e-12)
    found = [run(net, faithfulness.deletion(one, imputation="road", steps=4), batch_size=size).value for size in (1, 5)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    flat = Case(subject(torch.full((2, SIDE, SIDE), 0.4, dtype=torch.float64)), one.values)
    some = imputation.imputed("road", flat.subject)(removed[None])[0]
    assert 0 < float((some - 0.4).abs().max()) < 0.1  # a flat picture is filled with itself, and a little noise


@pytest.mark.parametrize(("height", "width"), [(9, 9), (16, 13), (37, 50)])
def test_road_in_single_precision_is_near_the_sparse_solution(height, width):
    generator = torch.Generator().manual_seed(height)
    x = torch.rand(3, height, width, generator=generator)
    order = torch.rand(height, width, generator=generator)
    block = torch.zeros(height, width, dtype=torch.bool)
    block[1:-1, 2:] = True
    removed = torch.stack([order < 0, order < 0.1, order < 0.7, order < order.quantile(0.97), block, order < 2])
    exact = road.harmonic(x.double(), removed, 1e-13)
    assert float(exact[-1].sub(x.double().mean((1, 2), keepdim=True)).abs().max()) < 1e-12
    np.testing.assert_array_equal(exact[0], x.double())
    found = road.harmonic(x, removed, 3e-4)
    assert 0 < float((found - exact).abs().max()) < 0.01
    alone = torch.cat([road.harmonic(x, one[None], 3e-4) for one in removed])
    np.testing.assert_allclose(alone, found, atol=1e-6)  # the others of a batch do not matter


def boxed() -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[1:4, 2:5] = True
    return mask


ALL_LOCAL = [
    localisation.pointing_game,
    localisation.relevance_mass,
    localisation.relevance_rank,
    localisation.top_intersection,
    localisation.roc_auc,
]


@pytest.mark.parametrize("metric", ALL_LOCAL)
def test_localisation_is_one_for_the_mask_and_none_for_its_complement(metric):
    mask = boxed()
    assert metric(Case(subject(), mask.double(), mask)).value == 1
    assert metric(Case(subject(), (~mask).double(), mask)).value == 0
    with pytest.raises(AttributionError, match="needs a mask"):
        metric(case())


@pytest.mark.parametrize("metric", ALL_LOCAL[2:])
def test_random_maps_score_at_chance(metric):
    mask = boxed()
    scores = [metric(case(seed, mask)).value for seed in range(400)]
    expected = 0.5 if metric is localisation.roc_auc else localisation.chance(case(0, mask))
    assert np.mean(scores) == pytest.approx(expected, abs=4 * np.std(scores) / 20)


def test_localisation_equals_slow_definitions():
    mask, one = boxed(), case(2, boxed())
    relevance = one.values.sum(0)
    inside, outside = relevance[mask], relevance[~mask]
    wins = [float(a > b) + 0.5 * float(a == b) for a in inside for b in outside]
    assert localisation.roc_auc(one).value == pytest.approx(np.mean(wins), abs=1e-12)
    mass = float(inside.clamp(min=0).sum() / relevance.clamp(min=0).sum())
    assert localisation.relevance_mass(one).value == pytest.approx(mass, abs=1e-12)
    top = sorted(range(36), key=lambda i: -relevance.flatten()[i])[:9]
    assert localisation.relevance_rank(one).value == pytest.approx(np.mean([mask.flatten()[i] for i in top]))
    assert localisation.pointing_game(one).value == float(mask.flatten()[top[0]])
    assert localisation.pointing_game(one, tolerance=6).value == 1
    with pytest.raises(AttributionError, match="no positive"):
        localisation.relevance_mass(Case(subject(), -torch.ones(SIDE, SIDE), mask))


def test_the_inside_outside_ratio_is_that_of_two_means_over_pixels():
    """Selvaraju 2017: a loop over pixels, by hand at three maps, and refused where it has no value."""
    mask, one = boxed(), case(2, boxed())
    sums, counts = [0.0, 0.0], [0, 0]
    for y in range(SIDE):
        for x in range(SIDE):
            inside = 1 <= y < 4 and 2 <= x < 5
            sums[inside] += max(float(one.values[:, y, x].sum()), 0.0)
            counts[inside] += 1
    assert counts == [27, 9]
    right = (sums[1] / 9) / (sums[0] / 27)
    assert localisation.inside_outside(one).value == pytest.approx(right, rel=1e-12)
    scaled = Case(subject(), 7.5 * one.values, mask)
    assert localisation.inside_outside(scaled).value == pytest.approx(right, rel=1e-12)
    known = [(torch.ones(SIDE, SIDE), 1.0), (1 + 2 * mask.double(), 3.0), ((~mask).double(), 0.0)]
    for values, ratio in known:
        assert localisation.inside_outside(Case(subject(), values, mask)).value == pytest.approx(ratio)
    for values, message in ((mask.double(), "infinite"), (-torch.ones(SIDE, SIDE), "no positive value")):
        with pytest.raises(AttributionError, match=message):
            localisation.inside_outside(Case(subject(), values, mask))


def test_complexity_at_known_points():
    single = torch.zeros(SIDE, SIDE)
    single[2, 3] = -5.0
    assert complexity.sparseness(Case(subject(), single)).value == pytest.approx(1 - 1 / 36)
    assert complexity.entropy(Case(subject(), single)).value == pytest.approx(0)
    even = Case(subject(), torch.ones(SIDE, SIDE))
    assert complexity.sparseness(even).value == pytest.approx(0, abs=1e-12)
    assert complexity.entropy(even).value == pytest.approx(np.log(36))
    values = case(1).values.sum(0).abs().flatten().numpy()
    gini = np.abs(values[:, None] - values).sum() / (2 * 36 * values.sum())
    assert complexity.sparseness(case(1)).value == pytest.approx(gini, abs=1e-12)
    with pytest.raises(AttributionError, match="zero everywhere"):
        complexity.entropy(Case(subject(), torch.zeros(SIDE, SIDE)))


def test_agreement():
    one, other = case(1), case(2)
    assert agreement.spearman(one, other) == pytest.approx(
        spearmanr(one.relevance.flatten(), other.relevance.flatten())[0]
    )
    assert agreement.spearman(one, one) == pytest.approx(1)
    assert agreement.top_overlap(one, one) == 1
    tops = [set(np.argsort(-c.relevance.flatten().numpy(), kind="stable")[:9].tolist()) for c in (one, other)]
    assert agreement.top_overlap(one, other, share=0.25) == pytest.approx(len(tops[0] & tops[1]) / 9)
    with pytest.raises(AttributionError, match="same everywhere"):
        agreement.spearman(one, Case(subject(), torch.ones(SIDE, SIDE)))


def expected_calibration_error(confidence, right, bins):
    """Eqs 2 and 3 of Guo et al. 2017, one image at a time: bin m holds the confidences in ((m - 1)/M, m/M]."""
    members = {m: [] for m in range(1, bins + 1)}
    for one, hit in zip(confidence.tolist(), right.tolist(), strict=True):
        members[math.ceil(Fraction(one) * bins)].append((one, hit))
    gaps = [abs(sum(hit for _, hit in some) - sum(one for one, _ in some)) for some in members.values()]
    return sum(gaps) / len(confidence)


@pytest.mark.parametrize("bins", [1, 10, 15, 16])
def test_calibration_equals_a_slow_loop(bins):
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0.01, 1, 200), rng.random(200) < 0.6
    confidence[:16] = np.arange(1, 17) / 16  # on the upper edges of 16 bins, which belong to them
    found = classifier.reliability(confidence, right, bins=bins)
    assert found.error == pytest.approx(expected_calibration_error(confidence, right, bins), abs=1e-12)
    if bins == 15:
        assert classifier.calibration_error(confidence, right) == found.error
    assert found.count.sum() == 200
    assert classifier.accuracy(np.array([1, 2, 2]), np.array([1, 2, 0])) == pytest.approx(2 / 3)


def gradient_of(net):
    def explain(images, target, model=None):
        leaf = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((model or net)(leaf)[:, target].sum(), leaf)
        return gradient * images

    return explain


def test_sensitivity_of_known_methods(net):
    one = case()
    steady = lambda images, target, model=None: torch.ones_like(images)  # noqa: E731
    assert robustness.max_sensitivity(one, steady).value == 0
    itself = lambda images, target, model=None: images  # noqa: E731
    greatest = robustness.max_sensitivity(one, itself, radius=0.1, samples=20).value
    assert 0 < robustness.avg_sensitivity(one, itself, radius=0.1, samples=20).value < greatest
    bound = 0.1 * (one.subject.x.numel() ** 0.5) / float(one.subject.x.norm())
    assert greatest < bound
    assert robustness.max_sensitivity(one, gradient_of(net)).value > 0
    with pytest.raises(AttributionError, match="zero everywhere"):
        robustness.max_sensitivity(one, lambda images, target, model=None: torch.zeros_like(images))


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
def test_randomised_layers_change_a_map_that_depends_on_them(similarity):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)
    ).double()
    before = [p.clone() for p in model.parameters()]
    one = case()
    found = sanity.parameter_randomisation(one, gradient_of(model), model, stages=3, similarity=similarity)
    assert found.curve[0] == 1
    assert found.value < 0.6
    np.testing.assert_allclose(found.at, [0, 1 / 3, 2 / 3, 1])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    edges = lambda images, target, model=None: images  # noqa: E731
    assert sanity.parameter_randomisation(one, edges, model, similarity=similarity).value == pytest.approx(1)
    again = sanity.parameter_randomisation(one, gradient_of(model), model, stages=3, similarity=similarity)
    np.testing.assert_array_equal(found.curve, again.curve)


def test_random_logit_tells_methods_that_ignore_the_class(net):
    one = case()
    edges = lambda images, target, model=None: images  # noqa: E731
    assert sanity.random_logit(one, edges, 3).value == pytest.approx(1)
    assert sanity.random_logit(one, gradient_of(net), 3).value < 0.95
    with pytest.raises(AttributionError, match="single output"):
        sanity.random_logit(one, edges, 1)


@pytest.mark.parametrize(
    ("values", "mask", "says"),
    [
        (torch.zeros(2, 5, 6), None, "does not have the size"),
        (torch.zeros(6), None, "does not have the size"),
        (torch.full((SIDE, SIDE), float("nan")), None, "NaN"),
        (torch.ones(SIDE, SIDE), torch.ones(3, 3, dtype=torch.bool), "mask does not have the size"),
        (torch.ones(SIDE, SIDE), torch.zeros(SIDE, SIDE, dtype=torch.bool), "mask is empty"),
        (torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE, dtype=torch.bool), "covers everything"),
    ],
)
def test_arrays_and_masks_that_cannot_be(values, mask, says):
    with pytest.raises(AttributionError, match=says):
        Case(subject(), values, mask)


def test_options_out_of_range(net):
    for make in (
        lambda: faithfulness.deletion(case(), steps=0),
        lambda: faithfulness.morf(case(), share=1.5),
        lambda: faithfulness.iaccuracy(case(), largest=0),
        lambda: faithfulness.iaccuracy(case(), patch=-1),
        lambda: faithfulness.deletion(case(), imputation="blakc"),
        lambda: sets.faithfulness_correlation(case(), samples=1),
        lambda: sets.infidelity(case(), side=2.0),
        lambda: robustness.max_sensitivity(case(), gradient_of(net), radius=0.0),
        lambda: sanity.random_logit(case(), gradient_of(net), 3, similarity="cosine"),
        lambda: localisation.top_intersection(case(0, boxed()), share=0.0),
    ):
        with pytest.raises(UsageError):
            make()


def test_a_removal_never_touches_what_it_was_given(net):
    one = case()
    x, before = one.subject.x, one.subject.x.clone()
    list(follow(Model(net), [Removal(x, 0, one.rank(), torch.tensor([0, 36]), torch.zeros_like(x))]))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "measure",
    [
        faithfulness.deletion, faithfulness.lerf, faithfulness.iaccuracy, sets.irof, localisation.pointing_game,
        localisation.relevance_rank, localisation.top_intersection,
    ],
)  # fmt: skip
def test_a_map_that_orders_nothing_is_not_measured_by_its_order(measure):
    mask = torch.arange(SIDE).expand(SIDE, SIDE) < 2
    options = {"largest": 9} if measure is faithfulness.iaccuracy else {}
    with pytest.raises(AttributionError, match="same everywhere"):
        measure(Case(case().subject, torch.zeros(SIDE, SIDE), mask), **options)


def test_a_constant_map_is_neither_like_nor_unlike_another(net):
    def explain(images, target, model=None):
        return images if target == 1 else torch.zeros_like(images)

    with pytest.raises(AttributionError, match="similarity to another is undefined"):
        sanity.random_logit(case(), explain, 3)


def test_infidelity_does_not_reward_the_opposite_map(net):
    one = case()
    opposite = Case(one.subject, -one.values)
    found = sorted(run(net, sets.infidelity(which)).value for which in (one, opposite))
    assert found[0] < 1
    assert found[1] == 1


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (1, SIDE, SIDE), (2, SIDE, SIDE)])
def test_a_map_has_the_channels_of_its_image(shape):
    assert Case(subject(), torch.ones(shape)).relevance.shape == (SIDE, SIDE)


@pytest.mark.parametrize("shape", [(5, SIDE, SIDE), (3, SIDE, SIDE), (2, 2, SIDE, SIDE), (SIDE, SIDE, 2)])
def test_maps_of_several_classes_or_images_are_not_summed(shape):
    """shap#2610, shap#750: one array of the maps of all classes."""
    with pytest.raises(AttributionError, match="channels of the image"):
        Case(subject(), torch.ones(shape))
