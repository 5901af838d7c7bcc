"""The options of the scenario `local-minimum`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...options import COMPUTE, DeviceOptions, option
from ..options import SCORE, MethodOptions, of_explain, own

METHODS = "icg,zero=ig,mean=ig,eg,agn,sig,sig-walk,gradient"


@dataclass(frozen=True, repr=False)
class LocalMinimumOptions(DeviceOptions, MethodOptions):
    """Which method agrees with what each of six components is known to contribute ([ICG] section 5.2)?

    Path methods stand beside exact BShap. At 1200 steps the network is right in 95 of 100 inputs, about as [ICG]'s (93);
    at 6000, in 99, and then knows so well on which side of the boundary an input is that certainty itself decides.
    """

    images: int = own(100, "Inputs to explain, besides the one of table 2.")
    steps: int = own(1200, "Training steps of the network.")
    method: str | Sequence[str] = of_explain("method", METHODS)
    output: str = of_explain("output", "prob", help=SCORE)
    device: str = option("auto", "auto, cpu or cuda; auto is the CPU, since the network is tiny.", panel=COMPUTE)
