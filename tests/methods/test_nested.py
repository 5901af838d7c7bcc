"""Longer runs begin with the draws of shorter ones, so a run can go on until its map is exact enough."""

import numpy as np
import pytest
import torch

from sigcli.engine.plan import Plan
from sigcli.errors import AttributionError, BudgetError
from sigcli.methods import METHODS
from sigcli.methods.growing import BLOCKS, PATIENCE, REPLICATES, Aim, grows
from sigcli.methods.run import Job, explain_all
from sigcli.scores.classifier import ClassScore
from sigcli.shapley.groups import GROUPS, deviations, group_of, groups_of, stratified_deviations

from toys import attribute, relu_net, subject

OPTIONS = {
    "sig": {"baseline": "black", "players": "2x2", "coalitions": "sampled", "form": "both"},
    "sig-walk": {"baseline": "black", "players": "2x2", "coalitions": "sampled"},
    "eg": {"baselines": "uniform"},
    "rise": {"cells": 3},
    "lime": {"players": "2x2"},
    "shapley-sampling": {"players": "2x2", "baseline": "black"},
    "qii": {"players": "2x2", "baselines": "uniform"},
}
AIMS = {"sig": 0.08, "eg": 0.16, "agn": 0.16, "smoothgrad": 0.2, "rise": 0.3, "lime": 0.25, "qii": 0.4}
GROWING = [name for name, entry in METHODS.items() if grows(entry)]


def norm(values, apart):
    return float(apart.square().sum().sqrt() / values.norm())


def grown(net, name, tolerance, *, batch_size=16, most=10**6, seeds=(0,), **options):
    jobs = [Job(METHODS[name], options, subject(seed=s), s, Aim(tolerance, most, norm)) for s in seeds]
    every = explain_all(jobs, ClassScore(net), batch_size=batch_size, check=1, contain=False)
    return [found for _, found in every]


def read(stopped):
    why, _, told = stopped.partition(": ")
    option, _, count = told.partition("=")
    return why, option, int(count)


@pytest.mark.parametrize("name", [name for name in GROWING if METHODS[name].properties["kind"] == "path"])
@pytest.mark.parametrize("replicates", [2, 3, 20])
def test_points_of_a_run_are_the_first_of_a_longer_one(name, replicates):
    option, block = BLOCKS[METHODS[name].properties["grows"]]
    load, options = METHODS[name].load(), OPTIONS.get(name, {})
    short, long = (load(subject(), **options, **{option: block * replicates * times}) for times in (1, 2))
    assert isinstance(short, Plan)
    k = len(short)
    assert len(long) == 2 * k
    assert np.array_equal(long.alpha[:k], short.alpha)
    assert np.array_equal(long.unit[:k], short.unit)
    assert long.units == 2 * short.units
    np.testing.assert_allclose(long.weight[:k], short.weight / 2, rtol=1e-12)
    for ends in ("start", "end"):
        one, other = getattr(short, ends), getattr(long, ends)
        assert one is None or np.array_equal(one.bits, other.bits[: len(one)])
    drawn = torch.arange(min(16, short.segments))
    assert torch.equal(short.reference.sample(drawn), long.reference.sample(drawn))


@pytest.mark.parametrize("name", GROWING)
def test_a_run_that_went_on_is_the_run_of_that_length(name):
    """Values, errors, deviations, cost and gap are those of a fixed run, whatever the batch size and its company."""
    net, options = relu_net(), OPTIONS.get(name, {})
    one, other = (grown(net, name, AIMS.get(name, 0.15), batch_size=size, seeds=(0, 1), **options) for size in (7, 40))
    for seed, found in enumerate(one):
        why, option, count = read(found.stopped)
        assert why == "tolerance"
        fixed = attribute(net, name, subject(seed=seed), batch_size=16, **options, **{option: count})
        for again in (found, other[seed]):
            for what in ("values", "stderr", "deviations"):
                mine, right = getattr(again, what), getattr(fixed, what)
                torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-9 * float(right.abs().max()))
            assert again.evaluations == fixed.evaluations
            assert again.completeness_gap == pytest.approx(fixed.completeness_gap, abs=1e-9)
        assert norm(found.values.sum(0), found.deviations) <= AIMS.get(name, 0.15)


def test_a_run_ends_soon_after_it_is_exact_enough():
    """Looks are so close together that the draws after the error is small enough are a tenth of the run at most."""
    net = relu_net()
    (found,) = grown(net, "sig", 0.05, **OPTIONS["sig"])
    count = read(found.stopped)[2]
    assert count > 2 * 16 * REPLICATES
    before = int(count * (1 - 2 / PATIENCE)) // 16 * 16
    shorter = attribute(net, "sig", subject(), samples=before, **OPTIONS["sig"])
    assert norm(shorter.values.sum(0), shorter.deviations) > 0.05 * (1 - 1.5 / PATIENCE)


def test_no_run_costs_more_than_it_may():
    for most in (256, 500, 1000):
        (found,) = grown(relu_net(), "sig", 1e-6, most=most, **OPTIONS["sig"])
        assert read(found.stopped) == ("max-evaluations", "samples", most // 32 * 16)
        assert most - 32 < found.evaluations <= most
    with pytest.raises(BudgetError, match="256 or more"):
        grown(relu_net(), "sig", 0.1, most=255, **OPTIONS["sig"])


def test_what_has_no_error_cannot_have_a_tolerance():
    with pytest.raises(AttributionError, match="takes no tolerance"):
        grown(relu_net(), "sig", 0.1, **OPTIONS["sig"], normalise=True)
    (found,) = grown(relu_net(), "sig", 0.1, **{**OPTIONS["sig"], "coalitions": "all"})
    assert found.stopped == ""  # nothing is random


def test_errors_at_the_end_are_what_was_asked_for():
    """Over 40 seeds, against 30 times as many draws: stopping where the error looks small makes little bias."""
    net, tolerance, seeds = relu_net(), 0.08, range(40)
    truth = attribute(net, "sig", subject(seed=10**6), samples=64 * 100, batch_size=1024, check=0, **OPTIONS["sig"])
    found = grown(net, "sig", tolerance, batch_size=512, seeds=seeds, **OPTIONS["sig"])
    right = truth.values.sum(0)
    true = [float((one.values.sum(0) - right).norm() / right.norm()) for one in found]
    told = [norm(one.values.sum(0), one.deviations) for one in found]
    assert all(error <= tolerance for error in told)
    assert np.sqrt(np.square(true).mean()) == pytest.approx(np.sqrt(np.square(told).mean()), rel=0.2)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33, 100, 1000])
def test_groups_of_replicates_halve_in_number_where_there_are_too_many(count):
    places = [group_of(i, count) for i in range(count)]
    assert places == sorted(places)
    assert places[-1] + 1 == groups_of(count) <= GROUPS
    assert count < GROUPS or groups_of(count) > GROUPS // 2
    longer = [group_of(i, 2 * count) for i in range(count)]
    assert all(longer[i] == longer[j] for i in range(count) for j in range(i) if places[i] == places[j])


def test_deviations_tell_the_variance_of_a_mean():
    """Of 40 replicates, in groups; and of draws without repetition from strata, of which one is nearly used up."""
    rng = np.random.default_rng(3)
    told = [np.square(deviations(rng.normal(0, 2, (40, 3)))).sum(0) for _ in range(400)]
    np.testing.assert_allclose(np.mean(told), 4 / 40, rtol=0.05)
    parts, taken = [rng.normal(0, 1, 60), rng.normal(3, 5, 40)], (30, 36)
    told, sums = [], []
    for _ in range(1500):
        drawn = [rng.choice(part, k, replace=False) / k for part, k in zip(parts, taken, strict=True)]
        sums.append(sum(one.sum() for one in drawn))
        terms, stratum = np.concatenate(drawn)[:, None], np.repeat([0, 1], taken)
        told.append(np.square(stratified_deviations(terms, stratum, np.array([0.5, 0.9]))).sum())
    np.testing.assert_allclose(np.mean(told), np.var(sums), rtol=0.1)
