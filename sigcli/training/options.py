"""The options of `sig train`."""

from dataclasses import MISSING, dataclass
from pathlib import Path

from ..options import COMPUTE, ComputeOptions, ResumeOptions, folder_option, integer_or_auto, option

TRAINING = "Training"


@dataclass(frozen=True, repr=False)
class TrainOptions(ComputeOptions, ResumeOptions):
    """The options of `sig train`."""

    folder: str | Path = option(
        MISSING,
        "Folder with a subfolder of images per class (one image in five is held out), or with train/ and val/ of these.",
        keyword_only=False, argument=True, kind=str, metavar="FOLDER", shown=False,
    )  # fmt: skip
    arch: str = option(
        "resnet18",
        "Architecture: a torchvision classifier, small-cnn, small-cnn-any, small-cnn-ring or pixel-cnn.",
        panel=TRAINING,
    )
    preset: str | None = option(
        None, "icg: the recipe of [ICG] A.5: Xavier initialisation, Adam at 0.001, every image damaged in one of four ways.",
        panel=TRAINING, shown=False,
    )  # fmt: skip
    certainty: bool | None = option(
        None, "Train a certainty-aware network on damaged images, so icg can explain it.",
        panel=TRAINING, flags=("--certainty/--no-certainty",), shown="with --preset icg",
    )  # fmt: skip
    image_size: int = option(128, "Side of the images in pixels.", panel=TRAINING, was=("--size",))
    epochs: float = option(20.0, "Passes over the training images.", panel=TRAINING)
    learning_rate: float | None = option(
        None, "The highest learning rate.", panel=TRAINING, shown="0.002; icg: 0.001", was=("--rate",)
    )
    flip: bool = option(True, "Mirror images at random.", panel=TRAINING, flags=("--flip/--no-flip",))
    grey: bool = option(False, "Convert images to greyscale, for small-cnn.", panel=TRAINING)
    batch_size: int | None = option(
        None, "Images per training batch.", panel=COMPUTE, kind=str, read=integer_or_auto, shown="64"
    )
    out: str | Path | None = folder_option("sig-train")
