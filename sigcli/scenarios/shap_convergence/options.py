"""The options of the scenario `shap-convergence`."""

from dataclasses import dataclass

from ..options import ScenarioOptions, of_explain, own


@dataclass(frozen=True, repr=False)
class ShapConvergenceOptions(ScenarioOptions):
    """How fast do KernelSHAP, Shapley sampling and LIME approach a feature's exact value (Lundberg, Lee 2017, Fig. 3)?

    A decision tree is trained on all of 10 features, another where 3 of 100 matter; the value of the most important feature
    of one input is estimated, where absent features have their mean. The exact value comes from all coalitions of the
    features that the tree reads: the others are dummies.
    """

    images: int = own(200, "Replicates of each estimate, 200 in the paper.")
    seed: int = of_explain("seed", 0)
