"""The figures that every explanation carries, as functions of it; None where a method makes no such claim."""

from __future__ import annotations

from ..types import Attribution


def completeness_gap(attribution: Attribution) -> float | None:
    """|Σ values − total| in the score's unit (Sundararajan et al. 2017, Proposition 1; MATH.md for the sampled methods)."""
    return attribution.completeness_gap


def relative_gap(attribution: Attribution) -> float | None:
    """The completeness gap over |total|."""
    return attribution.relative_gap


def standard_error(attribution: Attribution) -> float | None:
    """sqrt(Σ stderr²) in the score's unit, from the spread between independent replicates."""
    return attribution.standard_error


def relative_standard_error(attribution: Attribution) -> float | None:
    """The standard error over sqrt(Σ values²)."""
    return attribution.relative_standard_error
