"""The options of the scenario `shapley-regression`."""

from dataclasses import dataclass
from pathlib import Path

from ..options import ScenarioOptions, own


@dataclass(frozen=True, repr=False)
class ShapleyRegressionOptions(ScenarioOptions):
    """Shapley regression values (Lipovetsky, Conklin 2001; Lundberg, Lee 2017, section 2.4).

    A linear model with intercept is fitted anew on every subset S of the features by least squares. Of each feature two
    Shapley values are reported: of v(S) = R² of that model, which divides what the full model explains of the data, and
    of v(S) = f_S(x_S), which divides one row's prediction less the mean of the target.
    """

    data: str | Path | None = own(
        None, "A CSV of numbers with a heading, the target in its last column; by default scikit-learn's diabetes data.",
        kind=str, metavar="FILE", shown=False,
    )  # fmt: skip
    row: int = own(0, "The row whose prediction is explained, from 0.")
