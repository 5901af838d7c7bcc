"""The options of the scenario `shapes`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..options import RunOptions, of_explain

METHODS = (
    "sig,sig-walk,icg,black=ig,mean=ig,blur=ig,eg,agn,gradient,input-x-gradient,smoothgrad,gradient-shap,blur-ig,guided-ig,"
    "idgi,xrai,gradcam,gradcam++,layercam,xgradcam,hirescam,eigencam,fullgrad,guided-backprop,deconvolution,guided-gradcam,deeplift,deepshap,lrp,occlusion,rise,lime,kernelshap,"
    "shapley-sampling"
)


@dataclass(frozen=True, repr=False)
class ShapesOptions(RunOptions):
    """Do the maps lie on the object that the class can be told from, and nothing else can?

    The images are drawn anew; the bundled network has not seen them. Maps are smoothed by 2 % of the side.
    """

    method: str | Sequence[str] = of_explain("method", METHODS, shown="all that fit")
