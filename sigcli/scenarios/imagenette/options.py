"""The options of the scenario `imagenette`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..options import RunOptions, folder_of_data, of_explain, own

METHODS = "icg,eg,zero=ig,agn,sig,sig-walk,gradient"


@dataclass(frozen=True, repr=False)
class ImagenetteOptions(RunOptions):
    """What does a classifier of photographs look at ([ICG] A.4.1, Fig. 9)?

    Trains a classifier with certainty on any folder of images by class, and compares the maps of held-out images, chosen
    at random among those that the network classifies correctly. Nothing is downloaded.
    """

    data: str | Path | None = folder_of_data(
        "Images by class: a subfolder for each class, or train/ and val/ that have them. Imagenette or any other."
    )
    arch: str = own("resnet18", "A classifier, as in 'sig train'; the paper's is resnet50, which wants a GPU.")
    image_size: int = own(128, "Side of the images in pixels.", was=("--size",))
    epochs: float = own(20.0, "How often each image is seen.")
    images: int = own(8, "Held-out images to explain.")
    method: str | Sequence[str] = of_explain("method", METHODS)
