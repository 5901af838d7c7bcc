"""Preprocessing for networks that do not state theirs: read it off, try it, and report what was assumed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from sigcli.errors import ImageError, ModelError
from sigcli.inputs.given import Given, Source, is_tensor
from sigcli.inputs.images import read_image

from .checks import device_error, probe_images
from .given_values import Span, doubts, read_off
from .preprocess import COVER, Preprocess, Wishes, adapt, describe
from .wrappers.fitting import fit, refusal

Shape = tuple[int | None, int | None, int | None]

_USUAL = {
    3: Preprocess(),
    1: Preprocess(resize=28, crop=28, mean=(0.0,), std=(1.0,)),
}
_SIDES = (28, 32, 48, 64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)
_ASPECTS = (1, 3 / 4, 2 / 3, 9 / 16, 1 / 2, 4 / 5, 5 / 8, 3 / 5, 5 / 6, 1 / 3, 1 / 4)
_OTHER_CHANNELS = (2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 16)
ARRAYS = "Save the samples as float arrays (C, H, W), one .npy file each: sig explain sample.npy --model NAME."


def settle(
    module: nn.Module, shape: Shape, wishes: Wishes, device: torch.device, picture: Source | None = None,
    span: Span | None = None,
) -> tuple[nn.Module, Preprocess, tuple[str, ...]]:  # fmt: skip
    """Find preprocessing that a network accepts: the user's options first, then its stated shape, then what is usual.

    Usual is ImageNet's (resize 256, crop 224, its mean and deviation) for colour, and 28×28 pixels in 0..1 for grey. Colour
    is tried first; one value for `mean` or `std` is for all channels and says nothing of their number. Where the network
    takes no usual size, and none was asked for, that of the first picture is tried. What tensors are normalised with is read
    off their values, see `given_values`.

    Args:
        module: the network, on `device`.
        shape: (C, H, W) as far as it states them.
        wishes: the user's options.
        device: where the network is.
        picture: the first picture.
        span: of the values of all tensors among the pictures.

    Returns:
        the network, made to fit (see `fitting`), the preprocessing, and notes on what was assumed.

    Raises:
        ModelError: it takes neither colour nor grey images of the usual or wished size; the message names a size that
            it takes, where one is found.
    """
    if shape[0] not in (None, 1, 3):
        raise _no_picture(shape[0])
    reasons: list[str] = []
    for preset, notes in _candidates(shape, wishes, picture, span):
        made, fitted, reason = fit(module, _probe(preset, device))
        if reason is None:
            ready = is_tensor(picture) and preset.resize is None
            assumed = () if ready else _assumed(made, preset, shape, wishes, device)
            if ready and (wishes.mean or wishes.std):
                assumed = doubts(span, preset)
            return made, preset, (*notes, *assumed, *fitted)
        if (error := device_error(reason, device)) is not None:
            raise error
        reasons.append(f"{preset.channels}×{'×'.join(map(str, preset.size or ()))}: {reason}")
    raise ModelError(
        f"the network does not take images of the {'size asked for' if wishes.sized else 'usual size'}",
        given="; ".join(dict.fromkeys(reasons)),
        hint=_way_out(module, shape, wishes, reasons, _size_of(picture), device),
    )


def _candidates(
    shape: Shape, wishes: Wishes, picture: Source | None, span: Span | None
) -> Iterator[tuple[Preprocess, tuple[str, ...]]]:
    given = picture.picture.pixels if isinstance(picture, Given) and is_tensor(picture) else None
    if given is not None and given.shape[0] in _USUAL:
        usual = replace(_USUAL[given.shape[0]], resize=None, crop=(given.shape[1], given.shape[2]))
        told: tuple[str, ...] = ()
        if span is not None and wishes.mean is None and wishes.std is None:
            usual, note = read_off(span, usual)
            told = (note,)
        preset, notes = adapt(usual, wishes)
        yield preset, (*notes, *told)
        return
    channels = (shape[0],) if shape[0] else _order(wishes)
    for count in channels:
        yield adapt(_sized(_USUAL[count], shape, wishes), wishes)
    own = None if wishes.sized or None not in shape[1:] else _size_of(picture)
    if own is not None:
        for count in channels:
            preset, notes = adapt(Preprocess(COVER, own, _USUAL[count].mean, _USUAL[count].std), wishes)
            taken = f"the first image's size is used, {preset.text} (--image-size sets another)"
            yield preset, (*notes, f"the network does not take the usual size: {taken}")


def _size_of(picture: Source | None) -> tuple[int, int] | None:
    """(H, W) of a picture, or None where it cannot be read, which is said where it is explained."""
    try:
        if picture is None:
            return None
        return read_image(picture).size
    except ImageError:
        return None


def _probe(preset: Preprocess, device: torch.device) -> torch.Tensor:
    height, width = preset.size or (0, 0)
    return probe_images((preset.channels, height, width), device)


def _order(wishes: Wishes) -> tuple[int, ...]:
    """Colour first; three values say colour."""
    return (3,) if any(values is not None and len(values) == 3 for values in (wishes.mean, wishes.std)) else (3, 1)


def _sized(usual: Preprocess, shape: Shape, wishes: Wishes) -> Preprocess:
    """The usual preset with the crop that the program states, or with one size where the user gave one."""
    height, width = shape[1:]
    if height is not None and width is not None:
        if height != width:
            return Preprocess(COVER, (height, width), usual.mean, usual.std)
        return Preprocess(256 if (usual.channels, height) == (3, 224) else height, height, usual.mean, usual.std)
    one = wishes.crop if wishes.resize is None else wishes.resize if wishes.crop is None else None
    if one is not None and wishes.size is None:
        return Preprocess(one, one, usual.mean, usual.std)
    return usual


def _assumed(
    module: nn.Module, preset: Preprocess, shape: Shape, wishes: Wishes, device: torch.device
) -> tuple[str, ...]:
    kind = "grey" if preset.channels == 1 else "colour"
    if None not in (wishes.mean, wishes.std) and wishes.sized:
        if shape[0] is not None or preset.channels != 3 or 3 in (len(wishes.mean or ()), len(wishes.std or ())):
            return ()
        grey = adapt(_sized(_USUAL[1], shape, wishes), wishes)[0]
        if refusal(module, _probe(grey, device)) is not None:
            return ()
        return ("the network takes grey and colour input: colour is used, with the one mean and std for each channel",)
    change = "--image-size, --resize, --crop, --mean and --std change that"
    return (f"{kind} input prepared with {describe(preset)} ({change})",)


def _no_picture(channels: int | None) -> ModelError:
    return ModelError(f"the network takes {channels} channels, and pictures have 3 (colour) or 1 (grey)", hint=ARRAYS)


def _way_out(
    module: nn.Module,
    shape: Shape,
    wishes: Wishes,
    reasons: list[str],
    picture: tuple[int, int] | None,
    device: torch.device,
) -> str:
    """A size that the network takes; raises the error for another number of channels where that is what it wants."""
    for channels in (shape[0],) if shape[0] else (3, 1):
        usual = _USUAL[channels]
        for size in _sizes(reasons, picture):
            if fit(module, _probe(Preprocess(None, size, usual.mean, usual.std), device))[2] is None:
                text = f"It takes {channels}×{size[0]}×{size[1]}: try --image-size {Preprocess(None, size).text}"
                text += "" if wishes.crop is None else " without --crop"
                grey = channels == 1 and all(reason.startswith("3") for reason in reasons)
                return f"{text} with one number each for --mean and --std." if grey else f"{text}."
    for channels in _OTHER_CHANNELS:
        for reason in reasons:
            height, width = (int(side) for side in re.findall(r"\d+", reason.partition(":")[0])[1:3])
            if fit(module, probe_images((channels, height, width), device))[2] is None:
                raise _no_picture(channels)
    return (
        "Name the size that it was trained with: --image-size HEIGHTxWIDTH. "
        "If it has no size of its own, mend the error above."
    )


def _sizes(reasons: list[str], picture: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
    """Sizes to try: the picture's own, squares, and those of as many features as a linear layer asked for."""
    if picture is not None:
        yield picture
    yield from ((side, side) for side in _SIDES)
    for reason in reasons:
        tried = re.match(r"\d+×(\d+)×(\d+): .*\(\d+x(\d+) and (\d+)x\d+\)", reason)
        if tried is None:
            continue
        height, width, had, wanted = map(int, tried.groups())
        area = height * width * wanted / max(had, 1)
        for aspect in _ASPECTS:
            low, high = (area * aspect) ** 0.5, (area / aspect) ** 0.5
            if high <= 2048 and low >= 4:
                yield round(low), round(high)
                yield round(high), round(low)
