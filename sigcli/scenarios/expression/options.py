"""The options of the scenario `expression`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...options import ComputeOptions
from ..options import MethodOptions, folder_of_run, of_explain, own

METHODS = "sig,sig-walk,sig-zero=sig,walk-zero=sig-walk,zero=ig,mean=ig,random=ig,blur=ig,eg,agn,gradient"
"""IG from [SIG]'s three baselines and from a blur, which is also the baseline of `sig` and `sig-walk` here; so that no
difference is taken for the method's that is the baseline's, both stand there with black as well."""


@dataclass(frozen=True, repr=False)
class ExpressionOptions(ComputeOptions, MethodOptions):
    """Two drawn faces are compared by what they express; what fraction of each map lies on eyes, brows and mouth?

    It is [SIG]'s expression code task with drawn faces in place of private ones.
    """

    pairs: int = own(24, "Pairs of faces, half of them of one expression.")
    margin: int = own(0, "Pixels by which eyes, brows and mouth are widened before the fractions are taken.")
    method: str | Sequence[str] = of_explain("method", METHODS)
    out: str | Path | None = folder_of_run()
    resume: bool = of_explain("resume", False)
