"""Recognising what a network's outputs are: logits, probabilities, or a single output for yes or no."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sigcli.errors import UsageError, unknown
from sigcli.heads import Head, Kind

_PASSED_ON = (
    "View", "Reshape", "ReshapeAlias", "UnsafeView", "Alias", "Clone", "ToCopy", "Squeeze", "Unsqueeze", "Slice", "Select",
    "Cat", "Stack", "Permute", "Transpose", "T", "Expand", "Index", "Split", "SplitWithSizes",
)  # fmt: skip
"""Operations that give their input's values in another form; a network that ends in one ends in what comes before it."""
_ENDINGS = {
    "Softmax": "softmax", "LogSoftmax": "log-softmax", "Sigmoid": "sigmoid", "LogSigmoid": "log-sigmoid",
    "Addmm": "linear", "Mm": "linear",
    "Linear": "linear", "Convolution": "linear", "ThnnConv2D": "linear", "Relu": "linear",
}  # fmt: skip
_AFFINE = ("Add", "Sub", "Rsub", "Mul", "Div", "Neg", "Mean", "Sum")
"""Operations after which what was a linear layer's still is."""
_NEAR = 1e-3
PICTURES = 6
"""How many of `probes` are as pictures are."""
_FAR = (4.0, 64.0, 1024.0)
_NO_MORE = "--output logprob explains their logarithm"
_YES = "class 0 is yes; --labels take 0 for no and 1 for yes"
_NOTES = {
    "logit": "the network has one output: it is taken as the logit of yes, whose probability is its sigmoid ({yes})",
    "probability": "the network's one output {why}: it is taken as the probability of yes and explained as it is ({yes})",
    "probabilities": "the network's outputs {why}: they are taken as probabilities and explained as they are ({more})",
    "labels": "the network's outputs {why}: they are taken as the probabilities of several labels, of which none, one or "
    "more are right, and explained as they are ({more})",
    "log-labels": "the network's outputs come from a log-sigmoid: they are taken as the log-probabilities of several "
    "labels, of which none, one or more are right, and explained as they are (--output prob explains probabilities)",
    "log-probability": "the network's one output comes from a log-sigmoid: it is taken as the log-probability of yes and "
    "explained as it is ({yes}; --output prob explains the probability)",
    "log-probabilities": "the network's outputs {why}: they are taken as log-probabilities and explained as they are "
    "(--output prob explains probabilities)",
}


AUTO = "auto"
HEADS = {
    "softmax": "logits of classes, one of which is right: their softmax are the probabilities",
    "sigmoid": "logits of labels, each of which may be right or not: their sigmoids are the probabilities",
    "single": "one output for yes or no: its sigmoid, where it is a logit, is the probability of yes",
    "probabilities": "probabilities already",
    "regression": "values without probabilities",
}
"""What a user may say that the outputs are."""

_UNREAD = "the network takes none of the trial images, so its outputs are read as logits"


def probes(
    low: Float[Tensor, "c 1 1"], high: Float[Tensor, "c 1 1"], size: tuple[int, int]
) -> Float[Tensor, "n c h w"]:
    """Images to tell heads apart: (12, C, H, W), the first `PICTURES` of them as pictures are, the others far from that.

    Pictures: black, white, two halves, two kinds of noise. The others are noise of growing size: logits, also those that
    are between 0 and 1 for pictures, leave that range there, and probabilities do not.

    Args:
        low: what black is.
        high: what white is.
        size: (H, W).
    """
    generator = torch.Generator().manual_seed(1)
    shape = (len(low), *size)
    left = (torch.arange(size[1]) < size[1] // 2).to(low).expand(shape)
    top = (torch.arange(size[0]) < size[0] // 2).to(low)[:, None].expand(shape)
    noise = torch.rand((2, *shape), generator=generator).to(low)
    shares = torch.stack([torch.zeros_like(left), torch.ones_like(left), left, top, noise[0], noise[1].square()])
    wild = torch.randn((3, *shape), generator=generator).to(low) * low.new_tensor(_FAR)[:, None, None, None]
    return torch.cat([low + shares * (high - low), wild, -wild])


def read_head(
    asked: str, stated: Head | None, module: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"],
    usual: int = PICTURES,
) -> tuple[Head, tuple[str, ...]]:  # fmt: skip
    """What the outputs are: as the user says, as the network's source states, or as they look; and what to tell of it.

    Args:
        asked: "auto", or one of `HEADS`.
        stated: what the source of the network says, or None.
        module: (N, C, H, W) → (N, K).
        images: see `recognise`.
        usual: likewise.

    Raises:
        UsageError: no such head, or one that the outputs cannot have: probabilities below 0, a softmax of one output.
    """
    if asked not in (AUTO, *HEADS):
        raise unknown("head", asked, [AUTO, *HEADS])
    found, told = (stated, ()) if stated is not None else recognise(module, images, usual)
    if asked == AUTO:
        return found, told
    with torch.no_grad():
        outputs = module(images[:usual]).double()
    head = Head(_asked(asked, found, outputs))
    other = "" if head == found else f"; without --head they would be read as {found.kind}"
    return head, (f"the outputs are read as {HEADS[asked]} (--head {asked}{other})",)


def _asked(asked: str, found: Head, outputs: Float[Tensor, "n k"]) -> Kind:
    """The kind of outputs that the user says they are; raises UsageError where they cannot be."""
    width = outputs.shape[1]
    if asked == "regression":
        return "values"
    if asked == "sigmoid":
        return "logit" if width == 1 else "label-logits"
    if asked == "single" and width == 1:
        return found.kind if found.single else "logit"
    if asked in ("single", "softmax") and (asked == "single") != (width == 1):
        needs = "one output" if asked == "single" else "several outputs: of one it is always 1"
        others = "softmax, sigmoid, regression" if asked == "single" else "single, regression"
        raise UsageError(f"--head {asked} needs {needs}", given=f"a network of {width}", allowed=others)
    if asked == "softmax":
        return "logits"
    low, high = float(outputs.min()), float(outputs.max())
    if low < -_NEAR or high > 1 + _NEAR:
        given = f"outputs from {low:.3g} to {high:.3g}"
        hint = "Use --head single, which makes it so." if width == 1 else "Use --head softmax or sigmoid."
        raise UsageError("--head probabilities needs outputs between 0 and 1", given=given, hint=hint)
    if width == 1:
        return "probability"
    return "probabilities" if bool(((outputs.sum(1) - 1).abs() <= _NEAR).all()) else "labels"


def recognise(
    module: Callable[[Tensor], Tensor], images: Float[Tensor, "n c h w"], usual: int = PICTURES
) -> tuple[Head, tuple[str, ...]]:
    """What the outputs of a network are, and a note where they are not plain logits.

    A network that ends in a linear layer or a ReLU gives logits. Otherwise the last operation (a softmax, a sigmoid) or the
    values decide: rows that sum to 1 are probabilities, values that stay in 0..1 even far from pictures are labels'.

    Args:
        module: (N, C, H, W) → (N, K).
        images: differing ones, see `probes`.
        usual: how many of the first are as the network is meant to see them.
    """
    ending, width = _ending(module, images[:2])
    kind, why = ("logit" if width == 1 else "logits"), ""
    if ending != "linear":
        at, outputs = _judged(module, images)
        if not len(at):
            return Head(kind), (_UNREAD,)  # type: ignore[arg-type]
        kind, why = _read(outputs, outputs[at < usual], ending)
    return Head(kind), note(kind, why)  # type: ignore[arg-type]


def _judged(module: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Which images the network takes with finite outputs, (m,), and these outputs, (m, K); one that raises is left out."""
    found: list[tuple[int, Tensor]] = []
    with torch.no_grad():
        try:
            found = list(enumerate(module(images).double()))
        except Exception:  # noqa: BLE001  foreign code may refuse what is no picture: each by itself
            for i in range(len(images)):
                with contextlib.suppress(Exception):
                    found.append((i, module(images[[i, i]])[0].double()))
    finite = [(i, row) for i, row in found if bool(row.isfinite().all())]
    if not finite:
        return torch.empty(0, dtype=torch.long), torch.empty(0, 0)
    return torch.tensor([i for i, _ in finite]), torch.stack([row.cpu() for _, row in finite])


def note(kind: str, why: str = "") -> tuple[str, ...]:
    """What a user is told of a kind of outputs, and why they were taken for it; nothing of plain logits."""
    text = _NOTES.get(kind)
    return () if text is None else (text.format(why=why, yes=_YES, more=_NO_MORE),)


def _read(rows: Tensor, seen: Tensor, ending: str) -> tuple[str, str]:
    """The kind of head, and the evidence in words."""
    varies = len(rows) > 1 and bool((rows - rows[0]).abs().max() > 1e-6)
    if ending == "log-sigmoid":
        return ("log-probability" if rows.shape[1] == 1 else "log-labels"), ""
    between = bool(((rows >= 0) & (rows <= 1 + _NEAR)).all())
    by_value = ending == "" and varies
    if rows.shape[1] == 1:
        if between and ending in ("sigmoid", "softmax"):
            return "probability", f"comes from a {ending}"
        return ("probability", "is between 0 and 1 whatever the input") if between and by_value else ("logit", "")
    sums = bool(((rows.sum(1) - 1).abs() <= _NEAR * rows.abs().sum(1)).all())
    if sums and bool((seen >= -_NEAR).all()) and (ending == "softmax" or by_value):
        return "probabilities", "come from a softmax" if ending == "softmax" else "sum to 1 for every image"
    normalised = bool((rows.logsumexp(1).abs() <= _NEAR).all())
    if normalised and (ending == "log-softmax" or by_value):
        return "log-probabilities", "come from a log-softmax" if ending else "are those of a log-softmax"
    if between and (ending in ("sigmoid", "softmax") or by_value):
        return "labels", f"come from a {ending}" if ending else "are between 0 and 1 whatever the input"
    return "logits", ""


def _ending(module: Callable[[Tensor], Tensor], images: Tensor) -> tuple[str, int]:
    """The last operation that makes values (softmax, log-softmax, sigmoid, linear, or nothing where that cannot be told),
    and how many outputs there are (0 where that cannot be told either).
    """
    leaf = images.detach().clone().requires_grad_()
    with torch.enable_grad(), contextlib.suppress(Exception):  # foreign code; without a graph the values decide
        outputs = module(leaf)
        found = {_last(node) for node in _sources(outputs.grad_fn)}
        return found.pop() if len(found) == 1 else "", outputs.shape[1]
    return "", 0


def _sources(node: Any) -> list[Any]:
    """The nodes that the outputs are put together from."""
    if node is None:
        return []
    if _name(node) not in _PASSED_ON:
        return [node]
    return [source for parent, _ in node.next_functions for source in _sources(parent)]


def _last(node: Any) -> str:
    if _name(node) == "Exp" and any(_name(parent) == "LogSoftmax" for parent, _ in node.next_functions):
        return "softmax"
    if _name(node) in _AFFINE:
        before = {_last(source) for parent, _ in node.next_functions for source in _sources(parent)}
        return "linear" if before == {"linear"} else ""
    return _ENDINGS.get(_name(node), "")


def _name(node: Any) -> str:
    return "" if node is None else str(node.name()).rstrip("0123456789").removesuffix("Backward").lstrip("_")
