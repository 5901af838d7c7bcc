"""Scenarios: questions whose right answer is known, to judge attributions by.

A scenario is a folder. `options.py` has its options, a dataclass based on one of `scenarios.options`; its docstring is what
`--help` says, and it imports no torch. `study.py` has its class, based on

    scenario.Scenario                  anything: `measure` computes, `verdict` says what was found
    comparison.Comparison              methods, with scores of each explanation and their means
    pictures.PictureComparison         methods on pictures, in one or several runs below its folder
    pictures.RunComparison             methods on pictures, where the folder itself is the run, with --resume
    pictures.EvaluatedComparison       the same, measured as `sig evaluate` does

`data.py` has its pictures or tables, which are a function of (seed, index): the same on every machine, in any order, by any
process. To add a scenario, write the folder and a line below; `sig benchmark scenario NAME` and `run_scenario` know it then.

Properties:
    options: `module:class` of the dataclass of its options.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry


def _scenario(name: str, target: str, options: str, summary: str) -> Entry:
    folder = target.rpartition(".")[0]
    return Entry(name, f"scenarios.{target}", summary, {"options": f"scenarios.{folder}.options:{options}"})


SCENARIOS = Catalog(
    "scenario",
    [
        _scenario(
            "shapes", "shapes.study:Shapes", "ShapesOptions",
            "drawn objects over textures with distractors, and the exact object mask",
        ),
        _scenario(
            "expression", "expression.study:Expression", "ExpressionOptions",
            "drawn faces of varied identity and expression, and the exact masks of eyes, brows and mouth",
        ),
        _scenario(
            "two-features", "two_features.study:TwoFeatures", "TwoFeaturesOptions",
            "is either of two features in a range? BShap, SHAP, IG and every path method, exact [ICG table 1]",
        ),
        _scenario(
            "burnt-snacks", "burnt_snacks.study:BurntSnacks", "BurntSnacksOptions",
            "is there a dark square among light ones? Baselines transfer the attribution [ICG section 5.1]",
        ),
        _scenario(
            "local-minimum", "local_minimum.study:LocalMinimum", "LocalMinimumOptions",
            "six components whose scores have a positive local minimum; local baselines get its sign wrong [ICG table 2]",
        ),
        _scenario(
            "mnist", "mnist.study:Mnist", "MnistOptions",
            "digits: what damage costs in training, and which method is blind to the ground [ICG A.3.3, A.4.2]",
        ),
        _scenario(
            "mnist-in-space", "mnist.in_space:InSpace", "InSpaceOptions",
            "digits far from their place in training: which maps show a ghost of it? [ICG Fig. 11]",
        ),
        _scenario(
            "mnist-masked", "mnist.masked:Masked", "MaskedOptions",
            "digits of which a quarter is not known: which maps leave it out, from any baseline? [ICG Fig. 7]",
        ),
        _scenario(
            "shapley-regression", "shapley_regression.study:ShapleyRegression", "ShapleyRegressionOptions",
            "what is each feature worth to a model trained anew on every subset of them? [Lipovetsky 2001]",
        ),
        _scenario(
            "shap-convergence", "shap_convergence.study:ShapConvergence", "ShapConvergenceOptions",
            "how fast KernelSHAP, Shapley sampling and LIME near the exact value of a tree's feature [Lundberg 2017 Fig. 3]",
        ),
        _scenario(
            "shap-digits", "shap_digits.study:ShapDigits", "ShapDigitsOptions",
            "digits: pixels that make an 8 of what would be a 3 are masked, the change in log odds [Lundberg 2017 Fig. 5]",
        ),
        _scenario(
            "imagenette", "imagenette.study:Imagenette", "ImagenetteOptions",
            "any folder of photographs by class: trains a classifier with certainty, compares the maps [ICG A.4.1]",
        ),
    ],
)  # fmt: skip
