"""Preprocessing for networks that do not say how they want to be fed: ask, try, and say what was assumed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

from .checks import attempt, device_error, probe_images
from .preprocess import Preprocess, Size, Wishes, adapt, describe

Shape = tuple[int | None, int | None, int | None]

_USUAL = {
    3: Preprocess(),
    1: Preprocess(resize=28, crop=28, mean=(0.0,), std=(1.0,)),
}
_SIDES = (28, 32, 48, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)


def settle(module: nn.Module, shape: Shape, wishes: Wishes, device: torch.device) -> tuple[Preprocess, tuple[str, ...]]:
    """Find preprocessing that a network accepts: the user's options first, then its stated shape, then what is usual.

    Usual is ImageNet's (resize 256, crop 224, its mean and deviation) for colour, and 28×28 pixels in 0..1 for grey.

    Args:
        module: the network, on `device`.
        shape: (C, H, W) as far as it states them.
        wishes: the user's options.
        device: where the network is.

    Returns:
        the preprocessing, and a note on what was assumed.

    Raises:
        ModelError: it takes neither colour nor grey images of the usual or wished size; the message names a size that
            it takes, where one is found.
    """
    if shape[0] not in (None, 1, 3):
        raise ModelError(
            "the network does not take images", given=f"{shape[0]} channels", allowed="1 (grey) or 3 (RGB)"
        )
    reasons: list[str] = []
    for channels in (shape[0],) if shape[0] else _order(wishes):
        preset, notes = adapt(_sized(_USUAL[channels], shape, wishes), wishes)
        reason = _refusal(module, preset, device)
        if reason is None:
            return preset, (*notes, *_assumed(preset, wishes))
        if (error := device_error(reason, device)) is not None:
            raise error
        reasons.append(f"{channels}×{'×'.join(map(str, preset.size or ()))}: {reason}")
    raise ModelError(
        "the network does not take images of the usual size" + (" or the one asked for" if wishes else ""),
        given="; ".join(reasons),
        hint=_way_out(module, device),
    )


def _order(wishes: Wishes) -> tuple[int, ...]:
    """Colour first, unless the user's mean or deviation says grey; three values say colour."""
    given = {len(values) for values in (wishes.mean, wishes.std) if values is not None}
    if given == {3}:
        return (3,)
    return (1, 3) if given == {1} else (3, 1)


def _sized(usual: Preprocess, shape: Shape, wishes: Wishes) -> Preprocess:
    """The usual preset with the crop that the program states, or with one size where the user gave one."""
    if shape[1] is not None and shape[2] is not None:
        crop: Size = shape[1] if shape[1] == shape[2] else (shape[1], shape[2])
        resize = 256 if (usual.channels, crop) == (3, 224) else max(shape[1], shape[2])
        return Preprocess(resize, crop, usual.mean, usual.std)
    if wishes.crop is not None and wishes.resize is None:
        return Preprocess(wishes.crop, wishes.crop, usual.mean, usual.std)
    if wishes.resize is not None and wishes.crop is None:
        return Preprocess(wishes.resize, wishes.resize, usual.mean, usual.std)
    return usual


def _assumed(preset: Preprocess, wishes: Wishes) -> tuple[str, ...]:
    if None not in (wishes.mean, wishes.std) and (wishes.resize, wishes.crop) != (None, None):
        return ()
    kind = "grey" if preset.channels == 1 else "colour"
    return (f"{kind} input prepared with {describe(preset)} (--resize, --crop, --mean and --std change that)",)


def _refusal(module: nn.Module, preset: Preprocess, device: torch.device) -> str | None:
    """Why a network does not turn two such images into two rows of scores; None if it does."""
    size = preset.size
    if size is None:
        return "no input size"
    output, reason = attempt(module, probe_images((preset.channels, *size), device))
    if reason is not None:
        return reason
    scores = getattr(output, "logits", output)
    if isinstance(scores, Tensor) and scores.ndim == 2 and len(scores) != 2:
        return f"{len(scores)} rows of scores for 2 images"
    return None  # any other output is named by check_classifier


def _way_out(module: nn.Module, device: torch.device) -> str:
    for channels in (3, 1):
        for side in _SIDES:
            usual = _USUAL[channels]
            if _refusal(module, Preprocess(side, side, usual.mean, usual.std), device) is None:
                return f"It takes {channels}×{side}×{side}: try --resize {side} --crop {side}."
    return "Set the input size that it was trained with: --resize and --crop."
