"""The options of the scenario `shapes`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...options import VIEWS
from ..options import RunOptions, of_explain

METHODS = (
    "sig,sig-walk,icg,black=ig,mean=ig,blur=ig,eg,agn,gradient,input-x-gradient,smoothgrad,gradient-shap,blur-ig,guided-ig,"
    "idgi,xrai,attention-rollout,attention-gradient,generic-attention,transformer-attribution,gradcam,gradcam++,layercam,xgradcam,hirescam,eigencam,fullgrad,guided-backprop,deconvolution,guided-gradcam,deeplift,deepshap,lrp,occlusion,rise,lime,kernelshap,"
    "shapley-sampling,kernelshap-tokens=kernelshap"
)


@dataclass(frozen=True, repr=False)
class ShapesOptions(RunOptions):
    """Do the maps lie on the object that the class can be told from, and nothing else can?

    The images are drawn anew; the bundled networks have not seen them. Without --method all methods are measured that
    the network allows, and the others are named. Maps are looked at as by `sig evaluate`.
    """

    method: str | Sequence[str] = of_explain("method", METHODS, shown="all that fit")
    model: str = of_explain(
        "model", "shapes", help="shapes, shapes-vit, or another network of the same twelve classes."
    )
    weights: str | None = of_explain("weights")
    view: str | None = of_explain("view", help=f"How maps are smoothed before they are measured and drawn: {VIEWS}.")
