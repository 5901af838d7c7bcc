"""Results of a whole study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..render.shown import through_file
from .segments import Segments
from .study import Measured, Trained

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """One value of a swept parameter.

    Args:
        value: value of the parameter: a number of evaluations, or a fraction of the coalitions.
        coverage: fraction of the coalitions that the networks saw.
        measured: the estimates there.
    """

    value: float
    coverage: float
    measured: list[Measured]


@dataclass(frozen=True, eq=False)
class CaseResult:
    """Results of a study in one condition.

    Args:
        trained: the game, its networks, and how well they stand in for it.
        budget: evaluations given to each estimator.
        measured: every estimate at that budget.
        curve: estimates at other budgets.
        sweep: estimates for each value of the swept parameter.
        segments: marginal differences beside IG along one player's segment, for the first network.
        protocol: "equal" evaluations for all, or "paper", where the budget is a number of baselines.
    """

    trained: Trained
    budget: int
    measured: list[Measured]
    curve: list[Measured]
    sweep: list[SweepPoint]
    segments: Segments
    protocol: str = "equal"

    @property
    def effort(self) -> str:
        """What the budget means, for titles."""
        if self.protocol == "equal":
            return f"{self.budget} evaluations each"
        return f"SIG from {self.budget} baselines"


@dataclass(frozen=True, eq=False)
class Study:
    """All conditions of a study.

    Args:
        cases: one per grid and reward.
        estimators: their names, in order.
        swept: "samples", "coverage" or None.
        folder: where tables and figures were written, or None.
    """

    cases: list[CaseResult] = field(default_factory=list)
    estimators: tuple[str, ...] = ()
    swept: str | None = None
    folder: Path | None = None

    def __repr__(self) -> str:
        games = ", ".join(case.trained.condition.title for case in self.cases)
        return (
            f"Study({games}: {len(self.estimators)} estimators, folder={str(self.folder) if self.folder else None!r})"
        )

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw the rank correlation with the exact Shapley values, as spearman.png has it; also written to `path`."""
        from .figures import draw_spearman

        return through_file(path, lambda file: draw_spearman(self.cases, self.estimators, file))
