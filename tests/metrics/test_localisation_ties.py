"""Localisation under ties and with void pixels: a slow oracle over orders, symmetries, and the figures of known maps."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcli.errors import AttributionError
from sigcli.metrics import localisation
from sigcli.metrics.case import Case
from sigcli.types import Subject

METRICS = {
    "pointing-game": localisation.pointing_game,
    "pointing-game, 1 pixel off": lambda case: localisation.pointing_game(case, tolerance=1),
    "relevance-mass": localisation.relevance_mass,
    "inside-outside": localisation.inside_outside,
    "relevance-rank": localisation.relevance_rank,
    "top-intersection": lambda case: localisation.top_intersection(case, share=0.3),
    "roc-auc": localisation.roc_auc,
}


def case(values, mask, void=None) -> Case:
    values = torch.as_tensor(np.array(values, float))
    level = torch.zeros(1, 1, 1)
    as_mask = lambda area: None if area is None else torch.from_numpy(np.ascontiguousarray(area))  # noqa: E731
    subject = Subject(torch.zeros(1, *values.shape), 0, level, level + 1, 1, 0, None)
    return Case(subject, values, as_mask(mask), as_mask(void))


def measured(metric, *given_case):
    try:
        return metric(case(*given_case)).value
    except AttributionError as error:
        return error.what


@st.composite
def cases(draw, *, void=False):
    """A small map of few levels, so most values are tied; an object, and perhaps void."""
    h, w = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    levels = st.lists(st.integers(-1, 2), min_size=h * w, max_size=h * w)
    areas = draw(
        st.lists(st.integers(0, 2 if void else 1), min_size=h * w, max_size=h * w).filter(lambda a: {0, 1} <= {*a})
    )
    areas = np.array(areas).reshape(h, w)
    return np.array(draw(levels), float).reshape(h, w), areas == 1, areas == 2


TURNS = {
    "upside down": np.flipud,
    "left to right": np.fliplr,
    "a quarter": np.rot90,
    "half": lambda a: np.rot90(a, 2),
    "transposed": np.transpose,
}


@settings(max_examples=25, deadline=None)
@given(cases(void=True), st.sampled_from(sorted(TURNS)))
def test_turning_map_and_mask_together_changes_no_figure(known, turn):
    for metric in METRICS.values():
        one, other = measured(metric, *known), measured(metric, *map(TURNS[turn], known))
        assert one == (other if isinstance(other, str) else pytest.approx(other, rel=1e-12))


@settings(max_examples=25, deadline=None)
@given(cases(void=True), st.randoms(use_true_random=False))
def test_no_figure_but_the_tolerant_depends_on_where_pixels_lie(known, random):
    order = list(range(known[0].size))
    random.shuffle(order)
    for name, metric in METRICS.items():
        if "off" not in name:
            one = measured(metric, *known)
            other = measured(metric, *(area.ravel()[order].reshape(area.shape) for area in known))
            assert one == (other if isinstance(other, str) else pytest.approx(other, rel=1e-12))


@settings(max_examples=25, deadline=None)
@given(cases(void=True), st.integers(-9, 9))
def test_what_lies_on_void_counts_for_nothing(known, level):
    values, mask, void = known
    for metric in METRICS.values():
        assert measured(metric, values, mask, void) == measured(metric, np.where(void, level, values), mask, void)


@settings(max_examples=20, deadline=None)
@given(cases())
def test_no_void_is_void_nowhere(known):
    values, mask, void = known
    for metric in METRICS.values():
        assert measured(metric, values, mask) == measured(metric, values, mask, void)


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_means_over_all_orders_of_the_ties(seed):
    """Every order of seven pixels that sorts the values, one by one."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 3, (1, 7)).astype(float)
    values[0, 0] = 3 - values.max()  # not the same everywhere
    mask = np.zeros((1, 7), bool)
    mask[0, random.choice(7, 3, replace=False)] = True
    flat, inside = values.ravel(), mask.ravel()
    orders = [p for p in itertools.permutations(range(7)) if np.all(np.diff(flat[list(p)]) <= 0)]
    first = [np.array(p) for p in orders]
    one = case(values, mask)
    assert localisation.pointing_game(one).value == pytest.approx(np.mean([inside[p[0]] for p in first]))
    assert localisation.relevance_rank(one).value == pytest.approx(np.mean([inside[p[:3]].mean() for p in first]))
    for share, count in ((0.15, 1), (0.3, 2), (1, 3)):
        expected = np.mean([inside[p[:count]].mean() for p in first])
        assert localisation.top_intersection(one, share=share).value == pytest.approx(expected)


def test_maps_that_are_zero_nearly_everywhere_have_known_figures():
    """A map after a ReLU and one of superpixels; figures from orders drawn at random elsewhere."""
    mask = np.zeros((32, 32), bool)
    mask[2:12, 8:24] = True
    relu = np.zeros((32, 32))
    relu[26:30, 10:18] = np.arange(32).reshape(4, 8) + 1
    patches = np.zeros((32, 32))
    patches[8:16, :16], patches[20:28, 16:] = 2, 1
    for turn in (lambda a: a, np.flipud, np.transpose):
        one, other = (case(turn(values), turn(mask)) for values in (relu, patches))
        assert localisation.relevance_rank(one).value == pytest.approx(0.1290, abs=5e-5)
        assert localisation.top_intersection(one).value == pytest.approx(0.0601, abs=5e-5)
        assert localisation.top_intersection(other).value == pytest.approx(0.25)
        assert localisation.pointing_game(other).value == 0.25


def test_a_map_that_is_the_same_everywhere_but_on_void_ranks_nothing():
    mask, void = np.array([[1, 0, 0]], bool), np.array([[0, 0, 1]], bool)
    for metric in (localisation.pointing_game, localisation.relevance_rank, localisation.top_intersection):
        with pytest.raises(AttributionError, match="the same everywhere"):
            metric(case([[1, 1, 5]], mask, void))
    assert localisation.roc_auc(case([[1, 1, 5]], mask, void)).value == 0.5
    with pytest.raises(AttributionError, match="nothing to locate"):
        case([[1, 2, 5]], np.array([[1, 1, 0]], bool), void)
    with pytest.raises(AttributionError, match="size of the image"):
        case([[1, 2, 5]], mask, void.T)
    assert localisation.chance(case([[1, 1, 5]], mask, void)) == 0.5
