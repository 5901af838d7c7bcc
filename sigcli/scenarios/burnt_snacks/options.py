"""The options of the scenario `burnt-snacks`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..options import RecipeOptions, RunOptions, of_explain, own

METHODS = "icg,icg-5=icg,zero=ig,mean=ig,max-distance=ig,eg,agn,sig,sig-walk,gradient"


@dataclass(frozen=True, repr=False)
class BurntSnacksOptions(RunOptions, RecipeOptions):
    """Is there a dark square? Which method points at the dark squares, and which at the light ones ([ICG] section 5.1)?

    Trains a network, which takes some minutes, and keeps it for the next time.
    """

    images: int = own(24, "Images to explain, half of them with dark squares.")
    method: str | Sequence[str] = of_explain("method", METHODS)
