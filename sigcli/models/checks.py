"""Does this module behave as a differentiable classifier? If not, one clear message with the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

WRAP = (
    "Wrap it in a function that returns a module giving one tensor (images, classes): --model package.module:function."
)
SIZES = "Set the input size and channels it was trained with: --resize, --crop, --mean, --std."


class Logits(nn.Module):
    """A module whose output object carries the scores in `.logits`, made to return them."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes)."""
        return self.inner(images).logits


def probe_images(shape: tuple[int, int, int], device: torch.device, count: int = 2) -> Tensor:
    """Reproducible noise to try a network with: (count, C, H, W), standard normal."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((count, *shape), generator=generator).to(device)


def attempt(module: Callable[[Tensor], Any], images: Tensor) -> tuple[Any, str | None]:
    """Run a forward pass of foreign code: (output, None), or (None, the reason in one line)."""
    try:
        with torch.no_grad():
            return module(images), None
    except Exception as error:  # noqa: BLE001  foreign code raises what it likes
        return None, one_line(error)


def one_line(error: BaseException) -> str:
    """The telling line of an exception: TorchScript and downloads bury it under tracebacks.

    >>> one_line(ValueError("no such layer"))
    'no such layer'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("RuntimeError:", "AssertionError:"))]
    line = (marked or lines or [type(error).__name__])[-1 if marked else 0]
    line = line.removeprefix("RuntimeError: ").removeprefix("AssertionError: ").rstrip(".")
    return line if len(line) <= 200 else line[:197] + "..."


def plain_output(module: nn.Module, sample: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """Make a module return one tensor where that can be done without guessing.

    Outputs with a tensor `.logits` (as Hugging Face's) are unpacked, with a note; anything else is left for
    `check_classifier` to name.

    Args:
        module: the network.
        sample: (N, C, H, W) images that fit it.
    """
    output, _ = attempt(module, sample)
    if isinstance(getattr(output, "logits", None), Tensor):
        return Logits(module), (f"the network returns a {type(output).__name__}: its .logits are explained",)
    return module, ()


def check_classifier(module: Callable[[Tensor], Any], sample: Tensor) -> int:
    """Try one forward and one gradient pass, and count the classes.

    Args:
        module: (N, C, H, W) → (N, classes), in evaluation mode.
        sample: at least two different images (N, C, H, W).

    Returns:
        the number of classes.

    Raises:
        ModelError: the input does not fit, the output is no tensor (N, classes) of finite floats, it is not
            differentiable by its input, or an image's score changes from call to call or with its neighbours.

    >>> check_classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)), torch.rand(2, 3, 2, 2))
    5
    """
    images = sample.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            output = module(images)
    except Exception as error:
        raise _failed(error, sample) from error
    _check_output(output, sample)
    _check_gradient(output, images)
    _check_steady(module, sample, output.detach())
    return output.shape[1]


def device_error(reason: str, device: torch.device) -> ModelError | None:
    """The error for a network that insists on another device, if that is what the reason says."""
    if not re.search(r"cuda|nvidia|same device", reason, re.IGNORECASE):
        return None
    hint = f"It may have a device written into it: save it again on {device.type}, or choose another --device."
    return ModelError(f"the network does not run on {device}: {reason}", hint=hint)


def _failed(error: Exception, sample: Tensor) -> ModelError:
    reason = one_line(error)
    shape = "×".join(map(str, sample.shape[1:]))
    if "in-place" in reason:
        return ModelError(
            "the network changes its input in place, so it cannot be differentiated",
            hint="Let it start with x = x.clone(), for example in a function given as --model package.module:function.",
        )
    return device_error(reason, sample.device) or ModelError(
        f"the network does not take a {shape} input: {reason}", hint=SIZES
    )


def _check_output(output: Any, sample: Tensor) -> None:
    if not isinstance(output, Tensor):
        raise ModelError("the network must return one tensor of scores", given=_describe(output), hint=WRAP)
    if output.ndim != 2 or len(output) != len(sample):
        raise ModelError(
            "the network does not return one row of class scores per image",
            given=f"shape {tuple(output.shape)} for {len(sample)} images of {tuple(sample.shape[1:])}",
            allowed=f"({len(sample)}, classes)",
            hint=f"{SIZES} If it is no classifier: {WRAP[0].lower()}{WRAP[1:]}",
        )
    if not output.is_floating_point():
        raise ModelError("the network must return floating-point scores", given=output.dtype, hint=WRAP)
    if not output.isfinite().all():
        raise ModelError(
            "the network gives NaN or infinite scores for ordinary input",
            hint="Its weights may be damaged or overflow in this precision: check them, or the --mean and --std.",
        )


def _check_gradient(output: Tensor, images: Tensor) -> None:
    gradient = None
    if output.requires_grad:
        try:
            # Unequal weights, since the plain sum of probabilities is 1 and has no gradient.
            weights = torch.linspace(-1.0, 2.0, output.numel(), device=output.device, dtype=output.dtype)
            (gradient,) = torch.autograd.grad((output * weights.view_as(output)).sum(), images, allow_unused=True)
        except RuntimeError as error:
            raise ModelError(f"the network cannot be differentiated: {one_line(error)}", hint=WRAP) from error
    if gradient is None or not gradient.any():
        raise ModelError(
            "the network is not differentiable with respect to its input",
            hint="Remove no_grad, detach, argmax and rounding from its forward pass, or save it without them.",
        )
    if not gradient.isfinite().all():
        raise ModelError(
            "the network's gradient is NaN or infinite for ordinary input",
            hint="Look for sqrt, log or a division at zero in its forward pass.",
        )


def _check_steady(module: Callable[[Tensor], Any], sample: Tensor, output: Tensor) -> None:
    """Every attribution needs the score of an image to be a function of that image alone."""
    with torch.no_grad():
        alone = module(sample[:1])
        if _same(alone, output[:1]):
            return
        steady = _same(module(sample), output)
    if steady:
        what = "the network's score of an image depends on the other images in the batch"
    else:
        what = "the network gives different scores for the same images from call to call"
    raise ModelError(what, hint="It was saved in training mode: call .eval() before saving it.")


def _same(scores: Tensor, others: Tensor) -> bool:
    """Equal but for rounding: layers in training mode differ by far more."""
    return scores.shape == others.shape and bool((scores - others).abs().max() <= 1e-2 * others.abs().max())


def _describe(output: Any) -> str:
    if isinstance(output, dict):
        return f"a dict with {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
