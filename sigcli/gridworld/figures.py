"""The figures of a GridWorld study: those of [SIG], redrawn from our data, and the game itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from ..metrics.statistics import CORRELATION, mean_interval
from ..render.plots.panels import panels
from .game_figure import draw_games
from .study import Measured, grouped

if TYPE_CHECKING:
    from .results import CaseResult, Study

_FAMILIES = {
    "#9a9a9a": ("zero", "mean", "random", "eg"),
    "#d1495b": ("sig", "sig-algorithm1", "sig-from-default", "sig-both", "sig-effective"),
    "#7a1022": ("sig-walk",),
    "#2b6ca3": ("effective", "permutation", "kernelshap"),
    "#222222": ("exact",),
}
_COLOUR = {name: colour for colour, names in _FAMILIES.items() for name in names}
_LINES = {
    "zero": ("#bdbdbd", "-"), "mean": ("#969696", "--"), "random": ("#636363", ":"), "eg": ("#8a8a8a", "-."),
    "sig": ("#d1495b", "-"), "sig-algorithm1": ("#d1495b", ":"), "sig-from-default": ("#e58b96", "-."),
    "sig-both": ("#e58b96", "--"), "sig-effective": ("#a8323f", "-."), "sig-walk": ("#7a1022", "-"),
    "effective": ("#8db8dc", "-"), "permutation": ("#2b6ca3", "-"), "kernelshap": ("#123a5e", "-"),
}  # fmt: skip


_FLOOR = 1e-3


def draw_study(study: Study, folder: Path) -> None:
    """Write game.png, standin.png, spearman.png, error.png, timing.png, segments.png and, where swept, sweep.png."""
    cases = study.cases
    draw_games([case.trained.condition for case in cases], folder / "game.png")
    draw_standins(cases, folder / "standin.png")
    draw_spearman(cases, study.estimators, folder / "spearman.png")
    if any(case.curve for case in cases):
        draw_error(cases, folder / "error.png")
    draw_timing(cases, folder / "timing.png")
    draw_segments(cases, folder / "segments.png")
    if study.swept:
        draw_sweep(cases, study.swept, folder / "sweep.png")


def draw_standins(cases: Sequence[CaseResult], path: Path) -> None:
    """Exact Shapley values of the reward and of every network, by player ([SIG] Fig. 8)."""
    with panels(path, len(cases), size=(5.6, 3.3), title="Does the network stand in for the reward?") as axes:
        for axis, case in zip(axes, cases, strict=True):
            condition, checks = case.trained.condition, case.trained.checks
            order = np.argsort(condition.shapley, kind="stable")
            places = np.arange(len(order))
            axis.bar(places, condition.shapley[order], color="#d9d9d9", label="reward, exact", width=0.85)
            for check in checks:
                label = "networks, exact" if check is checks[0] else None
                axis.plot(places, check.estimate.values[order], ".", color="#d1495b", ms=3.5, alpha=0.6, label=label)
            axis.axhline(0, color="#888888", lw=0.7)
            players = condition.world.players
            axis.set_xticks(places, [str(players[i]) for i in order], rotation=90, fontsize=7)
            least = min(check.pearson for check in checks)
            rank = mean_interval([check.spearman for check in checks]).mean
            told = "no correlation: all values are equal"
            if rank is not None and not np.isnan(least):
                told = f"Pearson at least {np.floor(least * 1e4) / 1e4:.4f}, mean Spearman {rank:.3f}"
            axis.set_title(f"{condition.title}: {told}", fontsize=9)
            axis.grid(axis="x", visible=False)
            axis.set_ylabel("Shapley value")
            axis.legend(loc="best")


def draw_spearman(cases: Sequence[CaseResult], estimators: Sequence[str], path: Path) -> None:
    """Rank correlation with the reward's Shapley values: every run, the mean and its 95 % interval ([SIG] Fig. 3)."""
    height = 0.8 + 0.26 * len(estimators)
    title = "Rank correlation with the exact Shapley values of the reward (mean, 95 % interval, every run)"
    with panels(path, len(cases), size=(5.6, height), title=title) as axes:
        lowest = min([-0.05, *(m.spearman for case in cases for m in case.measured if not np.isnan(m.spearman))])
        for axis, case in zip(axes, cases, strict=True):
            groups = grouped(case.measured)
            for place, ((name, _), found) in enumerate(groups.items()):
                values = [m.spearman for m in found]
                interval = mean_interval(values, CORRELATION)
                if interval.mean is None:
                    axis.text(0.02, place, "all values equal", va="center", fontsize=7)
                    continue
                axis.barh(place, interval.mean, color=_COLOUR[name], height=0.72, alpha=0.85)
                if interval.low is not None and interval.high is not None:
                    span = [[interval.mean - interval.low], [interval.high - interval.mean]]
                    axis.errorbar(interval.mean, place, xerr=span, color="#222222", lw=1.1, capsize=2.5)
                shake = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
                axis.plot(values, place + shake, ".", color="white", mec="#444444", mew=0.5, ms=4.5)
                axis.text(1.03, place, f"{interval.mean:.2f}", va="center", fontsize=8)
            axis.set_yticks(range(len(groups)), [name for name, _ in groups])
            axis.invert_yaxis()
            axis.set_xlim(lowest - 0.03, 1.17)
            axis.axvline(0, color="#888888", lw=0.7)
            axis.set_title(f"{case.trained.condition.title}, {case.effort}")
            axis.grid(axis="y", visible=False)


def _line(axis: Axes, name: str, points: Iterable[tuple[float, list[float]]], least: float = -np.inf) -> None:
    """Mean with its 95 % interval as a band, over the points whose mean is known; a log axis shows no band below `least`."""
    known = [(x, mean_interval(values, (0.0, np.inf))) for x, values in points]
    known = [(x, interval) for x, interval in known if interval.mean is not None]
    if not known:
        return
    colour, style = _LINES[name]
    x = [place for place, _ in known]
    axis.plot(x, np.array([i.mean for _, i in known], float), style, color=colour, lw=1.6, marker="o", ms=3, label=name)
    low = [i.mean if i.low is None else max(i.low, least) for _, i in known]
    high = [i.mean if i.high is None else i.high for _, i in known]
    axis.fill_between(x, np.array(low, float), np.array(high, float), color=colour, alpha=0.15, lw=0)


def draw_error(cases: Sequence[CaseResult], path: Path) -> None:
    """Error against budget, both on log axes: what more evaluations buy, and where a method's own bias stops them."""
    title = (
        "Error of each estimate against the network's own exact Shapley values (relative L2); lines that leave the panel "
        "below are exact, having taken all coalitions"
    )
    with panels(path, len(cases), size=(5.0, 3.4), title=title) as axes:
        for axis, case in zip(axes, cases, strict=True):
            names = list(dict.fromkeys(m.estimator for m in case.curve))
            groups = grouped(sorted([*case.measured, *case.curve], key=lambda m: m.budget))
            for name in names:
                points = [
                    (np.mean([m.estimate.evaluations for m in f]), f) for (n, _), f in groups.items() if n == name
                ]
                _line(axis, name, [(float(x), [m.error for m in found]) for x, found in points], _FLOOR)
            axis.set_xscale("log")
            axis.set_yscale("log")
            means = [float(np.mean([m.error for m in found])) for (name, _), found in groups.items() if name in names]
            axis.set_ylim(bottom=max(_FLOOR, 0.5 * min(means, default=_FLOOR)))
            axis.set_title(case.trained.condition.title)
            axis.set_xlabel("evaluations of the network")
            axis.set_ylabel("relative error")
        axes[0].legend(ncols=2)


def draw_timing(cases: Sequence[CaseResult], path: Path) -> None:
    """Running time of each estimator ([SIG] Table 2), networks trained beforehand."""
    names = list(dict.fromkeys(m.estimator for case in cases for m in case.measured))
    with panels(
        path, len(cases), size=(5.6, 0.8 + 0.24 * len(names)), title="Running time per explanation, median over runs"
    ) as axes:
        for axis, case in zip(axes, cases, strict=True):
            groups = {name: found for (name, _), found in grouped(case.measured).items()}
            seconds = {name: 1e3 * float(np.median([m.seconds for m in found])) for name, found in groups.items()}
            for place, (name, value) in enumerate(seconds.items()):
                axis.plot(value, place, "o", color=_COLOUR[name], ms=6)
                ratio = f", {value / seconds['zero']:.1f} × zero" if "zero" in seconds and name != "zero" else ""
                axis.text(value * 1.2, place, f"{value:.1f} ms{ratio}", va="center", fontsize=7)
            axis.set_xscale("log")
            axis.set_xlim(min(seconds.values()) / 1.5, max(seconds.values()) * 12)
            axis.set_yticks(range(len(seconds)), list(seconds))
            axis.invert_yaxis()
            axis.set_xlabel("milliseconds")
            axis.set_title(f"{case.trained.condition.title}, {case.effort}")
            axis.grid(axis="y", visible=False)


def draw_segments(cases: Sequence[CaseResult], path: Path) -> None:
    """IG along one player's segment beside the marginal difference ([ES] B.2.2, Theorem 3)."""
    title = (
        "One player's segment S → S ∪ i: Integrated Gradients beside v(S ∪ i) - v(S); they are equal but for quadrature "
        "error at the network's kinks"
    )
    with panels(path, len(cases), size=(3.6, 3.5), columns=4, title=title) as axes:
        for axis, case in zip(axes, cases, strict=True):
            segments = case.segments
            for (steps, values), style in zip(
                segments.integral.items(), ({"c": "#e58b96", "s": 10}, {"c": "#7a1022", "s": 6}), strict=False
            ):
                worst = float(np.abs(values - segments.marginal).max())
                node = "node" if steps == 1 else "nodes"
                axis.scatter(
                    segments.marginal,
                    values,
                    label=f"{steps} {node}, off by at most {worst:.2g}",
                    lw=0,
                    alpha=0.75,
                    **style,
                )
            ends = [float(segments.marginal.min()), float(segments.marginal.max())]
            axis.plot(ends, ends, color="#888888", lw=0.8, zorder=0)
            axis.set_xlabel("v(S ∪ i) - v(S)")
            axis.set_ylabel("IG of player i")
            axis.set_title(case.trained.condition.title)
            axis.legend(loc="upper left", handletextpad=0.1, borderpad=0)


def draw_sweep(cases: Sequence[CaseResult], swept: str, path: Path) -> None:
    """1 - Spearman against the number of samples N or the fraction of coalitions Q ([SIG] Figs 4, 10, 11)."""
    what = "evaluations N" if all(case.protocol == "equal" for case in cases) else "baselines N"
    label = what if swept == "samples" else "share Q of the coalitions that the network saw"
    with panels(path, len(cases), size=(5.4, 3.4), title=f"Rank error against {label}") as axes:
        for axis, case in zip(axes, cases, strict=True):
            names = list(dict.fromkeys(m.estimator for point in case.sweep for m in point.measured))
            for name in names:
                _line(axis, name, [(point.value, _rank_errors(point.measured, name)) for point in case.sweep])
            if swept == "samples":
                axis.set_xscale("log")
                axis.set_xticks([p.value for p in case.sweep], [f"{p.value:g}" for p in case.sweep])
                axis.xaxis.set_minor_formatter(NullFormatter())
            worst = [_rank_errors(point.measured, name) for point in case.sweep for name in names]
            axis.set_ylim(
                0, min(2.0, 1.1 * max([0.1, *(float(np.nanmean(e)) for e in worst if not np.isnan(e).all())]))
            )
            axis.set_title(case.trained.condition.title)
            axis.set_xlabel(label)
            axis.set_ylabel("1 - Spearman")
        axes[-1].legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _rank_errors(measured: list[Measured], name: str) -> list[float]:
    return [1 - m.spearman for m in measured if m.estimator == name]
