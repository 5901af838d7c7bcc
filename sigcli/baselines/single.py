"""Single baselines: `(subject, argument) -> (C, H, W)` in the model's input space, for any number of channels C.

The argument is the text after the name and a colon, as in "blur:3"; None or the property `default` where there is none.

[SIG] section V compares zero, mean and random; [ICG] section 3 and Sturmfels, Lundberg, Lee 2020 ("Visualizing the impact
of feature attribution baselines") add the constant, blur, uniform, maximum-distance and Gaussian ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from .. import draws
from ..errors import AttributionError, ImageError, MisfitError, UsageError
from ..files import load_array
from ..inputs.images import read_image
from ..types import Peers, Subject
from . import BASELINES

Picture = Float[Tensor, "c h w"]


def baseline(spec: str | Tensor, subject: Subject) -> Picture:
    """The baseline x' that a text names, for a subject: (C, H, W) on the subject's device.

    Args:
        spec: a name of `BASELINES`, `name:argument`, the path of an image or a `.npy`, or the sample itself as a tensor
            that broadcasts to (C, H, W).
        subject: the image being explained.

    Raises:
        UsageError: unknown baseline, or an argument that cannot be used.
        AttributionError: a baseline that needs other images where there are none.
    """
    if isinstance(spec, Tensor):
        return _given(spec, subject)
    name, colon, argument = spec.partition(":")
    if name in BASELINES and name != "FILE":
        entry = BASELINES[name]
        wants = "argument" in entry.properties
        if wants and not colon:
            argument = entry.properties.get("default")
        if (argument is None) or (colon and (not wants or not argument)):
            form = f"{name}:{entry.properties['argument']}" if wants else name
            raise UsageError(f"baseline '{name}' has the wrong argument", given=spec, allowed=form)
    elif Path(spec).suffix:
        entry, argument = BASELINES["FILE"], spec
    else:
        raise BASELINES.unknown(spec)
    return resized_to(entry.load()(subject, argument).to(subject.x), subject.x.shape)


def _given(values: Tensor, subject: Subject) -> Picture:
    try:
        return values.to(subject.x).expand_as(subject.x)
    except RuntimeError:
        shape = tuple(subject.x.shape)
        raise UsageError(
            "the baseline does not fit", given=tuple(values.shape), allowed=f"what broadcasts to {shape}"
        ) from None


def resized_to(image: Float[Tensor, "c height width"], shape: Sequence[int]) -> Picture:
    """An image brought to another height and width (images without a crop differ in size); the same where they agree."""
    if tuple(image.shape) == tuple(shape):
        return image
    return torch.nn.functional.interpolate(image[None], tuple(shape[-2:]), mode="bilinear", antialias=True)[0]


def black(subject: Subject, _: str) -> Picture:
    """Black: 0 before normalisation."""
    return subject.low.expand_as(subject.x)


def white(subject: Subject, _: str) -> Picture:
    """White: 1 before normalisation."""
    return subject.high.expand_as(subject.x)


def zero(subject: Subject, _: str) -> Picture:
    """Zero in the model's normalised space."""
    return torch.zeros_like(subject.x)


def constant(subject: Subject, argument: str) -> Picture:
    """Every value `argument` of the pixel range 0..1; raises UsageError outside it."""
    level = number("constant", argument)
    if not 0 <= level <= 1:
        hint = f"{level:g} of 255 is constant:{level / 255:.4g}." if 1 < level <= 255 else None
        raise UsageError("baseline 'constant' is outside the pixel range", given=argument, allowed="0 to 1", hint=hint)
    return (subject.low + level * (subject.high - subject.low)).expand_as(subject.x)


def middle(subject: Subject, _: str) -> Picture:
    """The middle of the pixel range."""
    return ((subject.low + subject.high) / 2).expand_as(subject.x)


def mean(subject: Subject, _: str) -> Picture:
    """Mean over the images being explained ([SIG] section V)."""
    return peers(subject, "baseline 'mean'").mean()


def random(subject: Subject, _: str) -> Picture:
    """One random image among those being explained, never the image itself ([SIG] section V)."""
    others = other_images(subject, "baseline 'random'")
    key = draws.stream(subject.seed, subject.key, "baseline", "random")
    index = int(draws.integers(key, torch.zeros(1, dtype=torch.long), len(others)))
    return peers(subject, "baseline 'random'").image(others[index])


def uniform(subject: Subject, _: str) -> Picture:
    """Uniform noise over the pixel range, one draw."""
    return uniform_noise(subject, torch.zeros(1, dtype=torch.long))[0]


def uniform_noise(subject: Subject, indices: Tensor) -> Float[Tensor, "k c h w"]:
    """Uniform noise images over the pixel range, one per draw index, on the device of the subject."""
    key = draws.stream(subject.seed, subject.key, "baseline", "uniform")
    noise = draws.uniform16(key, indices, subject.x.numel(), subject.x.device)
    span = subject.high - subject.low
    return noise.to(subject.x.dtype).reshape(-1, *subject.x.shape).mul_(span).add_(subject.low)


def max_distance(subject: Subject, _: str) -> Picture:
    """For every value the end of the pixel range that is farther from it (Sturmfels et al. 2020)."""
    return torch.where(subject.picture < 0.5, subject.high, subject.low)


def blur(subject: Subject, argument: str) -> Picture:
    """The image under a Gaussian blur of `argument` pixels, by default a twentieth of its shorter side."""
    sigma = number("blur", argument) if argument else min(subject.x.shape[-2:]) / 20
    if sigma <= 0:
        raise UsageError("baseline 'blur' needs a SIGMA above 0, in pixels", given=argument)
    return gaussian_blur(subject.x[None], sigma)[0]


def gaussian_blur(images: Float[Tensor, "n c h w"], sigma: float) -> Float[Tensor, "n c h w"]:
    """Separable Gaussian blur with edges replicated; sigma in pixels."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    for dim, shape in ((2, (-1, 1)), (3, (1, -1))):
        pad = (radius, radius, 0, 0) if dim == 3 else (0, 0, radius, radius)
        padded = torch.nn.functional.pad(images, pad, mode="replicate")
        images = torch.nn.functional.conv2d(padded, kernel.unflatten(-1, shape), groups=images.shape[1])
    return images


def file(subject: Subject, argument: str) -> Picture:
    """An image file, prepared as the explained one is, or a `.npy` of the input's shape in the model's input space.

    Where the subject states no preparation, the image is stretched to the input's size.
    """
    path = Path(argument)
    if not path.exists():
        raise UsageError("the baseline file does not exist", given=path)
    if path.suffix.lower() == ".npy":
        return _array(path, subject)
    try:
        pixels = read_image(path).pixels
        if subject.prepare is not None:
            return subject.prepare(pixels)
    except ImageError as error:
        raise UsageError(f"the baseline cannot be used: {error.what}", given=path, hint=error.hint) from error
    channels, height, width = subject.x.shape
    picture = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    scaled = torch.from_numpy(np.array(picture.resize((width, height), Image.Resampling.BICUBIC))).to(subject.x)
    levels = scaled.reshape(height, width, -1).permute(2, 0, 1) / 255
    return subject.low + levels * (subject.high - subject.low)


def _array(path: Path, subject: Subject) -> Picture:
    try:
        values = load_array(path)
    except (OSError, ValueError) as error:
        raise UsageError("the baseline array cannot be read", given=path, hint=str(error).splitlines()[0]) from error
    if values.shape == (1, *subject.x.shape):  # a batch of one
        values = values[0]
    if values.shape != tuple(subject.x.shape) or values.dtype.kind not in "fiu":
        raise UsageError(
            f"the baseline array has shape {values.shape} and type {values.dtype}",
            given=path,
            allowed=f"numbers of shape {tuple(subject.x.shape)}, the model's input",
        )
    if values.dtype == np.uint8 and values.any():
        raise UsageError(
            "the baseline array holds bytes, which are pixels, and not the model's input", given=path,
            hint="Save it as an image, or prepare it as the model's input and save floats.",
        )  # fmt: skip
    if not np.isfinite(values).all():
        raise UsageError("the baseline array holds NaN or infinity", given=path)
    return torch.from_numpy(values).to(subject.x)


def tokens(subject: Subject, _: str) -> Picture:
    """A transformer's tokens are dropped from the attention of every block, so no image stands in their place.

    Methods of scores alone take it, and metrics as an imputation. What needs an image raises UsageError.
    """
    del subject
    raise UsageError(
        "the baseline 'tokens' is no image: a transformer's tokens are dropped from attention", allowed="another baseline",
        hint="Methods of scores alone take it: bshap, shapley-sampling, kernelshap, rise, lime, occlusion.",
    )  # fmt: skip


def peers(subject: Subject, what: str) -> Peers:
    """The subject's peers; raises MisfitError where there are none or only one."""
    if subject.peers is None or len(subject.peers) < 2:
        raise MisfitError(
            f"{what} needs at least two images", hint="Explain several images at once, or give --references FOLDER."
        )
    return subject.peers


def other_images(subject: Subject, what: str) -> list[int]:
    """Indices of the peers whose content differs from the subject; raises AttributionError where there are none."""
    others = [i for i, key in enumerate(peers(subject, what).keys()) if key != subject.key]
    if not others:
        raise AttributionError(f"{what} needs an image that differs from the one explained")
    return others


def number(name: str, text: str) -> float:
    """The number after a baseline's name; raises UsageError for anything else, NaN and infinity."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"baseline '{name}' needs a number", given=text)
    return value
