"""The options of the scenario `two-features`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..options import MethodOptions, of_explain

METHODS = "ig,eg,agn,sig,sig-walk,gradient"


@dataclass(frozen=True, repr=False)
class TwoFeaturesOptions(MethodOptions):
    """Does either of two features lie between 0.25 and 0.5? Table 1 of [ICG], from the function itself.

    BShap and SHAP, whose values are known, stand beside the path methods that are named. No network is trained.
    """

    method: str | Sequence[str] = of_explain("method", METHODS)
