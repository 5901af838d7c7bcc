"""The options of the scenarios `mnist`, `mnist-in-space` and `mnist-masked`, and what those on digits share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..options import SCORE, PictureOptions, RecipeOptions, RunOptions, folder_of_data, of_explain, own

METHODS = "zero=ig,middle=ig,agn,icg,mean=ig,eg,sig,sig-walk"
IN_SPACE = "agn,icg,eg,mean=ig,zero=ig,sig,sig-walk"
MASKED = "icg,zero=ig,one=ig"


@dataclass(frozen=True, repr=False)
class DigitOptions(RecipeOptions):
    """What scenarios on digits have."""

    data: str | Path | None = folder_of_data(
        "A folder with MNIST's files, itself or in MNIST/raw; by default scikit-learn's digits, enlarged."
    )


@dataclass(frozen=True, repr=False)
class MnistOptions(RunOptions, DigitOptions):
    """What does damage cost in training, and which method is blind to the ground of a digit ([ICG] A.3.3, A.4.2)?

    The same network is trained with damaged inputs and without; held-out digits are explained.
    """

    images: int = own(20, "Held-out digits to explain, classes in turn.")
    steps: int = own(2500, "Training steps of each network, with damage and without.")
    method: str | Sequence[str] = of_explain("method", METHODS)


@dataclass(frozen=True, repr=False)
class InSpaceOptions(RunOptions, DigitOptions):
    """Digits trained at the left, explained far from there: which maps show a ghost of the training ([ICG] A.4.2)?"""

    images: int = own(8, "Held-out digits to explain, each at the left and far from it.")
    steps: int = own(600, "Training steps of the network.")
    method: str | Sequence[str] = of_explain("method", IN_SPACE)


@dataclass(frozen=True, repr=False)
class MaskedOptions(PictureOptions, DigitOptions):
    """Does an area that the network cannot rely on lose its attribution, from every baseline ([ICG] A.3.1, Fig. 7)?

    Digits are explained with the upper right quarter at a certainty of 0, and as they are. Beside the chosen methods stands
    the sum of `zero` and `one`, Integrated Gradients from black and from white (Fig. 7E), which the paper sets beside ICG.
    """

    images: int = own(20, "Held-out digits to explain, classes in turn.")
    steps: int = own(2500, "Training steps of the network, the one of the scenario mnist.")
    method: str | Sequence[str] = of_explain("method", MASKED)
    output: str = of_explain("output", "logit", help=SCORE)
