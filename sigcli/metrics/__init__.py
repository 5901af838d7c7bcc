"""Metrics: pure functions that measure an explanation. A table of text; unit and direction stand beside the name."""

from __future__ import annotations

from ..catalog import Catalog, Entry

METRICS = Catalog(
    "metric",
    [
        Entry("completeness-gap", "metrics.reported:completeness_gap",
              "|sum of the values - score difference|, reported by explain (lower is better)",
              {"unit": "score", "higher_is_better": False}),
        Entry("relative-gap", "metrics.reported:relative_gap",
              "the completeness gap over the score difference, reported by explain (lower is better)",
              {"unit": "share", "higher_is_better": False}),
        Entry("standard-error", "metrics.reported:standard_error",
              "sampling error of the whole map, sqrt of the summed squares, reported by explain (lower is better)",
              {"unit": "score", "higher_is_better": False}),
        Entry("relative-standard-error", "metrics.reported:relative_standard_error",
              "the standard error over the map's norm, reported by explain (lower is better)",
              {"unit": "share", "higher_is_better": False}),
    ],
)  # fmt: skip
