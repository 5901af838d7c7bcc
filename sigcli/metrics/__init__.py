"""Metrics: pure functions that measure an explanation. A table of text; unit and direction stand beside the name.

Properties:
    scope: what is measured. "map": a `Case`; the function returns a value, or a plan for the shared loop of removals.
        "method": a `Case`, and the method, which is run again. "model": the model, on all images.
    takes: what else the function is given, by name and in this order. Of a method: "explain", "drawn", "module", "classes",
        "asked".
        Of a model: `sigcli.evaluation.labelled` and `sigcli.evaluation.certainty` say what there is.
    pixels: its option that counts pixels, which is more than small images have.
    column: the metric is a column of `results.csv` of this name, which the explanation itself reports.
    needs: "mask" where the object's mask is needed.
    classes: it measures a probability or the predicted class, which a regression does not have.
    unit: unit of the value.
    higher_is_better: its direction; None where neither is better.
    along: axis of its curve, empty where it has none.
    range: least and greatest value that it can have, which no interval leaves.
    heights: the same of its curve.
    edition: counts how often the definition changed, so that no value of an older one is taken for a new one.
    drops: takes the imputation "tokens": it removes pixels in the map's order, and not any at random.
    interval: "wilson" where each image is right or wrong, so its mean is a fraction of right answers among images.
"""

from __future__ import annotations

import math

from ..catalog import Catalog, Entry

_ALONG = {
    "deletion": "share of the pixels removed", "insertion": "share of the pixels inserted",
    "morf": "share of the pixels removed", "lerf": "share of the pixels removed", "iaccuracy": "pixels removed",
    "irof": "share of the superpixels removed", "sensitivity-n": "share of the pixels in a set",
    "parameter-randomisation": "share of the layers randomised",
}  # fmt: skip


_FREE = (0.0, math.inf)
_RANGES = {
    "share": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "hit": (0.0, 1.0),
    "index": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
}
_OWN_RANGES = {  # where the unit does not tell
    "relative-gap": _FREE,
    "relative-standard-error": _FREE,
    "infidelity": _FREE,
    "morf": (-1.0, 1.0),
    "lerf": (-1.0, 1.0),
    "irof": (-math.inf, 1.0),
}
_EDITIONS = {"pointing-game": 1, "relevance-rank": 1, "top-intersection": 1}  # ties: once by position, now their mean
_OF_CLASSES = frozenset((
    "deletion", "insertion", "morf", "lerf", "iaccuracy", "irof", "random-logit", "accuracy", "top-5-accuracy",
    "calibration-error", "information-absence", "neutrality",
))  # fmt: skip
_DROPPING = frozenset(["deletion", "insertion", "morf", "lerf", "iaccuracy", "irof"])
_HEIGHTS = {"irof": _FREE}  # the curve is the probability over the first one, the value what it leaves of 1


def _entry(  # noqa: PLR0917
    name: str, target: str, summary: str, scope: str, unit: str, higher: bool | None, needs: str = "",
    *, aliases: tuple[str, ...] = (), takes: tuple[str, ...] = (), column: str = "", interval: str = "",
    pixels: str = "",
) -> Entry:  # fmt: skip
    direction = {True: " (higher is better)", False: " (lower is better)", None: ""}[higher]
    range_ = _OWN_RANGES.get(name) or _RANGES.get(unit, _FREE)
    properties = {
        "scope": scope, "takes": takes, "column": column, "interval": interval, "pixels": pixels, "unit": unit,
        "higher_is_better": higher, "needs": needs, "classes": name in _OF_CLASSES, "along": _ALONG.get(name, ""),
        "range": range_, "heights": _HEIGHTS.get(name, range_), "edition": _EDITIONS.get(name, 0),
        "drops": name in _DROPPING,
    }  # fmt: skip
    return Entry(name, f"metrics.{target}", summary + direction, properties, aliases)


METRICS = Catalog(
    "metric",
    [
        _entry("completeness-gap", "case:reported",
               "|sum of the values - score difference|, reported by explain",
               "map", "score", False, column="completeness_gap"),
        _entry("relative-gap", "case:reported",
               "the completeness gap divided by the score difference, reported by explain",
               "map", "share", False, column="relative_gap"),
        _entry("standard-error", "case:reported",
               "sampling error of the whole map, square root of the summed squares, reported by explain",
               "map", "score", False, column="standard_error"),
        _entry("relative-standard-error", "case:reported",
               "the standard error divided by the map's norm, reported by explain",
               "map", "share", False, column="relative_standard_error"),
        _entry("deletion", "faithfulness:deletion",
               "area under the probability as the most relevant pixels are removed [Petsiuk 2018]",
               "map", "probability", False),
        _entry("insertion", "faithfulness:insertion",
               "area under the probability as the most relevant pixels are inserted [Petsiuk 2018]",
               "map", "probability", True),
        _entry("morf", "faithfulness:morf",
               "pixel-flipping, most relevant first: mean drop of the probability (AOPC) [Samek 2017]",
               "map", "probability", True,
               aliases=("pixel-flipping",)),
        _entry("lerf", "faithfulness:lerf",
               "pixel-flipping, least relevant first: mean drop of the probability [Samek 2017]",
               "map", "probability", False),
        _entry("iaccuracy", "faithfulness:iaccuracy",
               "fraction of steps at which the prediction survives the removal of the most relevant pixels [Liu 2024]",
               "map", "share", False, pixels="largest"),
        _entry("irof", "subsets:irof",
               "area over the curve as superpixels are removed in order of relevance [Rieger 2020]", "map", "share", True),
        _entry("faithfulness-correlation", "subsets:faithfulness_correlation",
               "correlation of the map's sums over random pixels with the drops of the score [Bhatt 2020]",
               "map", "correlation", True),
        _entry("sensitivity-n", "subsets:sensitivity_n",
               "the same for sets of 1 to 80 % of the pixels, mean over sizes [Ancona 2018]",
               "map", "correlation", True),
        _entry("infidelity", "subsets:infidelity",
               "unexplained fraction of the score's drops, when the map's sums over squares predict them [Yeh 2019]",
               "map", "share", False),
        _entry("max-sensitivity", "robustness:max_sensitivity",
               "greatest relative change of the map near the image [Yeh 2019]",
               "method", "ratio", False, takes=("explain",)),
        _entry("avg-sensitivity", "robustness:avg_sensitivity",
               "mean relative change of the map near the image [Bhatt 2020]",
               "method", "ratio", False, takes=("explain",)),
        _entry("seed-stability", "robustness:seed_stability",
               "rank correlation of the map with that of the next seed",
               "method", "correlation", True, takes=("explain", "drawn")),
        _entry("sparseness", "complexity:sparseness", "Gini index of |attribution| [Chalasani 2020]", "map", "index", True),
        _entry("entropy", "complexity:entropy",
               "entropy of |attribution|, normalised to sum to 1 [Bhatt 2020]", "map", "nats", False,
               aliases=("complexity",)),
        _entry("parameter-randomisation", "sanity:parameter_randomisation",
               "similarity to the map of the model with randomised layers (MPRT) [Adebayo 2018]",
               "method", "correlation", False,
               aliases=("mprt", "parameter-randomization",), takes=("explain", "module")),
        _entry("random-logit", "sanity:random_logit",
               "similarity to the map of another class [Sixt 2020]", "method", "correlation", False,
               takes=("explain", "classes", "asked")),
        _entry("accuracy", "classifier:accuracy",
               "fraction of the images that the model classifies correctly; reported with --labels",
               "model", "share", True, takes=("predicted", "labels"), interval="wilson"),
        _entry("top-5-accuracy", "classifier:top_accuracy",
               "fraction of the images whose class is among the model's top five; reported with --labels",
               "model", "share", True, takes=("ranked", "labels"), interval="wilson"),
        _entry("calibration-error", "classifier:calibration_error",
               "expected calibration error, 15 bins; reported with --labels [Guo 2017]", "model", "probability", False,
               aliases=("ece",), takes=("confidence", "right")),
        _entry("information-absence", "certainty:information_absence",
               "mean change of the prediction at certainty 0, in total variation [ICG 2022 A.3.1]",
               "model", "probability", False, takes=("network", "images", "head", "size")),
        _entry("neutrality", "certainty:neutrality",
               "largest difference between the prediction at certainty 0 and the class frequencies [ICG 2022 A.3.1]",
               "model", "probability", False, takes=("network", "images", "class_shares", "head", "size")),
        _entry("pointing-game", "localisation:pointing_game",
               "whether the most relevant pixel lies on the object; of tied ones the fraction [Zhang 2018]",
               "map", "hit", True, "mask", interval="wilson"),
        _entry("relevance-mass", "localisation:relevance_mass",
               "fraction of the positive attribution on the object [Arras 2022]", "map", "share", True, "mask"),
        _entry("inside-outside", "localisation:inside_outside",
               "mean positive attribution inside the box or mask, divided by that outside [Selvaraju 2017]",
               "map", "ratio", True, "mask"),
        _entry("relevance-rank", "localisation:relevance_rank",
               "fraction of the top K pixels that lie on the object, which has K pixels [Arras 2022]",
               "map", "share", True, "mask"),
        _entry("top-intersection", "localisation:top_intersection",
               "fraction of the top 5 % of pixels that lie on the object [Theiner 2022]", "map", "share", True, "mask"),
        _entry("roc-auc", "localisation:roc_auc",
               "probability that a pixel of the object outranks one beside it [Fawcett 2006]",
               "map", "probability", True, "mask"),
    ],
    {
        "aopc": "morf", "region-perturbation": "morf", "selectivity": "morf", "pixel-perturbation": "morf", "road": "morf",
        "road-most-relevant-first": "morf", "road-least-relevant-first": "lerf", "auc-deletion": "deletion",
        "deletion-auc": "deletion", "insertion-auc": "insertion", "mu-fidelity": "faithfulness-correlation",
        "faithfulness-estimate": "faithfulness-correlation", "monotonicity": "faithfulness-correlation",
        "average-drop": "morf", "average-increase": "morf", "average-sensitivity": "avg-sensitivity",
        "average-stability": "avg-sensitivity", "local-lipschitz-estimate": "max-sensitivity", "stability":
        "max-sensitivity", "effective-complexity": "entropy", "gini": "sparseness", "attribution-localisation":
        "relevance-mass", "auc": "roc-auc", "iou": "top-intersection", "energy-pointing-game": "relevance-mass",
        "focus": "relevance-mass", "top-k-intersection": "top-intersection", "completeness": "completeness-gap",
        "efficient-mprt": "parameter-randomisation", "smooth-mprt": "parameter-randomisation",
        "model-parameter-randomisation": "parameter-randomisation", "relative-input-stability": "max-sensitivity",
    },
)  # fmt: skip
