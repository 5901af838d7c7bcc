"""The scenario `expression`: do maps of an expression distance lie on what expresses? No printing.

It is [SIG]'s expression code task with drawn faces in place of private ones. Two faces of different persons are compared by
the bundled network, whose distance follows the expression; every method says which pixels of the first face brought the
pair closer or parted it. Eyes, brows and mouth are known to the pixel, and nothing else of a face tells its expression.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...metrics.statistics import SHARE, Summary, paired
from ..comparison import Measure
from ..pictures import Explained, RunComparison, written
from ..scenario import Verdict
from .data import NAMES, PARTS
from .options import ExpressionOptions
from .pairs import faces, separated, shares_of, widened

MEASURES = {
    "share": "fraction of |attribution| on eyes, brows and mouth",
    "positive_share": "fraction of the positive attribution there",
    "outside_face": "fraction of |attribution| outside the head",
}
_CHECKED = 200


class Expression(RunComparison[Any]):
    """The scenario `expression`: pairs of faces, alternately of the same and of different expressions."""

    options: ExpressionOptions
    files = ("shares.csv", "summary.csv", "shares.png")
    measures = {
        "share": Measure("share ↑"), "positive_share": Measure("of positive ↑"),
        "outside_face": Measure("outside the head ↓"),
    }  # fmt: skip
    defaults = {
        "sig-zero.baseline": "black", "walk-zero.baseline": "black", "zero.baseline": "black", "mean.baseline": "mean",
        "random.baseline": "random", "blur.baseline": "blur",
    }  # fmt: skip

    def check(self) -> None:
        """Raise UsageError for too few pairs, or too wide a margin."""
        super().check()
        if self.options.pairs < 2:
            raise UsageError("the scenario expression needs at least 2 pairs", given=self.options.pairs)
        if not 0 <= self.options.margin <= 10:
            raise UsageError("margin is out of range", given=self.options.margin, allowed="0 to 10 pixels")

    def run_options(self) -> dict[str, Any]:
        """Draw the faces."""
        o, here = self.options, self.folder / "faces"
        self.pairs = {f"{number:03d}.png": faces(o.seed, number) for number in range(o.pairs)}
        for place, name in enumerate(("first", "second")):
            written(list(self.pairs), [pair[place].image for pair in self.pairs.values()], here / name)
        images = [here / "first" / name for name in self.pairs]
        return {"images": images, "partner": here / "second", "model": "expression", "pictures": o.pictures}

    def score(self, explained: Iterator[Explained]) -> None:
        """A row for each pair and method."""
        margin = self.options.margin
        for item, values in explained:
            first, second = self.pairs[Path(item.image).name]
            found = {} if values is None else shares_of(values, first, margin)
            self.scores.append({
                "image": item.image, "pair": "same" if first.label == second.label else "different",
                "first": NAMES[first.label], "second": NAMES[second.label],
                "distance": float("nan") if item.score is None else -item.score, "method": item.method,
                **{name: found.get(name) for name in (*MEASURES, *PARTS)},
                "area": float(widened(first.mask, margin).mean()), "error": item.error,
            })  # fmt: skip
        self.separation = separated(self.session.model, self.options.seed, _CHECKED)

    @cached_property
    def differences(self) -> dict[tuple[str, str, str], Summary]:
        """(method, other, measure) → mean of method - other over pairs, with its interval."""
        by = {
            (name, measure): {
                row["image"]: row[measure] for row in self.scores if row["method"] == name and row[measure] is not None
            }
            for name in self.methods
            for measure in MEASURES
        }
        return {
            (one, other, measure): paired(by[one, measure], by[other, measure], seed=self.options.seed, within=SHARE)
            for measure in MEASURES
            for one in self.methods
            for other in self.methods
            if one != other
        }

    def verdict(self) -> Verdict:
        from .figure import draw_shares

        area, first, columns = float(np.mean([row["area"] for row in self.scores])), self.methods[0], self.measures
        found = [((method, ""), measure, one) for (method, measure), one in self.means.items()]
        found += [((one, other), measure, gain) for (one, other, measure), gain in self.differences.items()]
        summary = [
            {"method": method, "minus": other, "measure": measure,
             "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
            for (method, other), measure, one in found
        ]  # fmt: skip
        return self.compared(
            "Do maps of an expression distance lie on eyes, brows and mouth?",
            columns={
                "method": "method",
                **{m: one.heading for m, one in columns.items()},
                "minus": f"{first} minus it",
            },
            facts=(
                f"The network tells same from different expressions in {self.separation:.1%} of {_CHECKED} fresh pairs.",
                f"Eyes, brows and mouth are {area:.1%} of the pixels: what a map without any knowledge would put there.",
            ),
            tables={self.files[0]: self.scores, self.files[1]: summary},
            figures={self.files[2]: lambda path: draw_shares(self.means, area, MEASURES, path)},
        )

    def cells(self, method: str) -> dict[str, Any]:
        """Means with 95 % intervals, and how far the first method is above this one, pair by pair."""
        first = self.methods[0]
        minus = "" if method == first else _text(self.differences[first, method, "share"], signed=True)
        return {**{measure: _text(self.means[method, measure]) for measure in MEASURES}, "minus": minus}


def _text(found: Summary, *, signed: bool = False) -> str | None:
    if found.mean is None:
        return None
    form = "+.2f" if signed else ".2f"
    span = "" if found.low is None or found.high is None else f"\n{found.low:{form}} to {found.high:{form}}"
    return f"{found.mean:{form}}{span}"
