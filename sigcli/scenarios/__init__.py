"""Scenarios: generated pictures and tables whose right answer is known, to judge attributions by.

A scenario is a pure function of (seed, index): the same picture on every machine, in any order, by any process.

Properties:
    benchmark: `module:function` of what `sig benchmark scenario NAME` does: `(*, options) -> Verdict`.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

SCENARIOS = Catalog(
    "scenario",
    [
        Entry(
            "shapes",
            "scenarios.shapes.data:draw",
            "drawn objects over textures with distractors, and the exact object mask",
            {"benchmark": "scenarios.shapes.study:shapes_verdict"},
        ),
        Entry(
            "expression",
            "scenarios.expression.data:draw",
            "drawn faces of varied identity and expression, and the exact masks of eyes, brows and mouth",
            {"benchmark": "scenarios.expression.verdict:expression_verdict"},
        ),
        Entry(
            "two-features",
            "scenarios.two_features.study:two_features",
            "is either of two features in a range? BShap, SHAP, IG and every path method, exact [ICG table 1]",
            {"benchmark": "scenarios.two_features.study:two_features"},
        ),
        Entry(
            "burnt-snacks",
            "scenarios.burnt_snacks.study:burnt_snacks",
            "is there a dark square among light ones? Baselines transfer the attribution [ICG section 5.1]",
            {"benchmark": "scenarios.burnt_snacks.study:burnt_snacks"},
        ),
        Entry(
            "local-minimum",
            "scenarios.local_minimum.study:local_minimum",
            "six components whose scores have a positive local minimum; local baselines get its sign wrong [ICG table 2]",
            {"benchmark": "scenarios.local_minimum.study:local_minimum"},
        ),
        Entry(
            "mnist",
            "scenarios.mnist.data:load",
            "digits: what damage costs in training, and which method is blind to the ground [ICG A.3.3, A.4.2]",
            {"benchmark": "scenarios.mnist.study:mnist"},
        ),
        Entry(
            "mnist-in-space",
            "scenarios.mnist.data:load",
            "digits far from their place in training: which maps show a ghost of it? [ICG Fig. 11]",
            {"benchmark": "scenarios.mnist.in_space:mnist_in_space"},
        ),
        Entry(
            "mnist-masked",
            "scenarios.mnist.data:load",
            "digits of which a quarter is not known: which maps leave it out, from any baseline? [ICG Fig. 7]",
            {"benchmark": "scenarios.mnist.masked:mnist_masked"},
        ),
        Entry(
            "shapley-regression",
            "scenarios.shapley_regression.study:shapley_regression",
            "what is each feature worth to a model trained anew on every subset of them? [Lipovetsky 2001]",
            {"benchmark": "scenarios.shapley_regression.study:shapley_regression"},
        ),
        Entry(
            "shap-convergence",
            "scenarios.shap_convergence.study:shap_convergence",
            "how fast KernelSHAP, Shapley sampling and LIME near the exact value of a tree's feature [Lundberg 2017 Fig. 3]",
            {"benchmark": "scenarios.shap_convergence.study:shap_convergence"},
        ),
        Entry(
            "shap-digits",
            "scenarios.shap_digits.study:shap_digits",
            "digits: pixels that make an 8 of what would be a 3 are masked, the change in log odds [Lundberg 2017 Fig. 5]",
            {"benchmark": "scenarios.shap_digits.study:shap_digits"},
        ),
        Entry(
            "imagenette",
            "scenarios.imagenette.study:imagenette",
            "any folder of photographs by class: trains a classifier with certainty, compares the maps [ICG A.4.1]",
            {"benchmark": "scenarios.imagenette.study:imagenette"},
        ),
    ],
)
