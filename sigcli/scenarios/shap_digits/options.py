"""The options of the scenario `shap-digits`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..mnist.options import DigitOptions
from ..options import PictureOptions, of_explain, own

METHODS = "deeplift,shap=kernelshap,lime,ig,icg,sig,sig-walk"


@dataclass(frozen=True, repr=False)
class ShapDigitsOptions(PictureOptions, DigitOptions):
    """Which maps know the pixels that make an 8 of what would be a 3 (Lundberg, Lee 2017, Fig. 5)?

    Held-out digits that the network rightly calls an 8 are explained for 8 and for 3. Of the pixels that are not black,
    those that speak more for 8 than for 3 become black, the largest difference first, 157 at most. What is reported is by
    how much the log odds of 8 against 3, the difference of their logits, fall.
    """

    images: int = own(20, "Digits to explain.")
    steps: int = own(1000, "Training steps of the network.")
    method: str | Sequence[str] = of_explain("method", METHODS)
