"""The study of drawn faces as `sig benchmark scenario expression` shows it: a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...attribution.explanation import Explanation
from ...metrics.statistics import Summary
from ..scenario import Progress, Verdict
from .study import METHODS, ExpressionStudy, carry_out_expression, prepare_expression

_HEADINGS = {"share": "share ↑", "positive_share": "of positive ↑", "outside_face": "outside the head ↓"}


def expression_verdict(
    *,
    pairs: int = 24,
    margin: int = 0,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Two drawn faces are compared by what they express; how much of each map lies on eyes, brows and mouth?

    Args:
        pairs: of faces, half of them of one expression.
        margin: pixels by which eyes, brows and mouth are widened before the shares are taken.
        method: methods, as in `explain`.
        settings: their options.
        seed: of faces and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-expression.
        resume: go on with an interrupted run.
        overwrite: replace another run in `out`.
        pictures: draw the maps and the figure.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used.
        OutputError: the folder cannot be written or holds another run.
    """
    session = prepare_expression(
        pairs=pairs, method=method, settings=settings, seed=seed, device=device, batch_size=batch_size, out=out,
        resume=resume, overwrite=overwrite, pictures=pictures,
    )  # fmt: skip
    done = 0

    def explained(_: Explanation) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("maps", done, session.items)

    return verdict_of(carry_out_expression(session, margin=margin, explained=explained))


def verdict_of(study: ExpressionStudy) -> Verdict:
    """Shares of |attribution| by method with 95 % intervals, and how far the first method is above each, pair by pair."""
    methods = list(dict.fromkeys(method for method, _ in study.summary))
    first = methods[0]
    rows = []
    for method in methods:
        row: dict[str, Any] = {"method": method}
        row |= {measure: _text(study.summary[method, measure]) for measure in _HEADINGS}
        row["minus"] = "" if method == first else _text(study.differences[first, method, "share"], signed=True)
        rows.append(row)
    return Verdict(
        title="Do maps of an expression distance lie on eyes, brows and mouth?",
        columns={"method": "method", **_HEADINGS, "minus": f"{first} minus it"},
        rows=rows,
        facts=(
            f"The network tells same from different expressions in {study.separation:.1%} of {study.checked} fresh pairs.",
            f"Eyes, brows and mouth are {study.area:.1%} of the pixels: what a map without any knowledge would put there.",
        ),
        records=[found.row() for found in study.shares],
        failed=[f"{found.image} {found.method}: {found.error}" for found in study.shares if found.error],
        folder=study.folder,
    )


def _text(found: Summary, *, signed: bool = False) -> str | None:
    if found.mean is None:
        return None
    form = "+.2f" if signed else ".2f"
    span = "" if found.low is None or found.high is None else f"\n{found.low:{form}} to {found.high:{form}}"
    return f"{found.mean:{form}}{span}"
