"""Check that a module behaves as a differentiable classifier; if not, one message says what to do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

from .steadiness import check_steady

WRAP = (
    "Wrap it in a function that returns a module giving one tensor (images, classes): --model package.module:function."
)
SIZES = "Set the input size that it was trained with: --image-size HEIGHTxWIDTH."


def probe_images(shape: tuple[int, int, int], device: torch.device, count: int = 2) -> Tensor:
    """Reproducible noise to try a network with: (count, C, H, W), standard normal."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((count, *shape), generator=generator).to(device)


def attempt(module: Callable[[Tensor], Any], images: Tensor) -> tuple[Any, str | None]:
    """Run a forward pass of foreign code: (output, None), or (None, the reason in one line)."""
    try:
        with torch.no_grad():
            return module(images), None
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code raises what it likes
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


@dataclass(frozen=True)
class Verdict:
    """What the trial of a network found.

    Args:
        classes: number of outputs.
        lacks: "gradients" → why it has none, where it has none.
        notes: what a user should know.
    """

    classes: int
    lacks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check_classifier(
    module: Callable[[Tensor], Any], sample: Tensor, pictures: Tensor | None = None, *, dense: bool = False
) -> Verdict:
    """Try a network: its scores, whether they stay the same, and its gradient.

    Args:
        module: (N, C, H, W) → (N, classes), in evaluation mode.
        sample: at least two different images (N, C, H, W).
        pictures: others, for a second look at a gradient of 0.
        dense: it gives (N, classes, H, W), a score of each class at each pixel.

    Returns:
        the number of classes, and why it has no gradient where it has none: then only methods of scores run.

    Raises:
        ModelError: the input does not fit, the output is not a tensor (N, classes) of finite floats, the network changes its
            input, or an image's score changes from call to call or with its neighbours.

    >>> check_classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)), torch.rand(2, 3, 2, 2)).classes
    5
    """
    given = sample.detach().clone()
    try:
        with torch.no_grad():
            output = module(given)
    except (Exception, SystemExit) as error:
        raise _failed(error, sample) from error
    if not torch.equal(given, sample):
        raise ModelError(
            "the network changes its input in place",
            hint="Let it start with x = x.clone(), for example in a function given as --model package.module:function.",
        )
    _check_output(output, sample, dense=dense)
    notes = check_steady(module, sample)
    reason, noted = _gradient(module, sample, pictures)
    return Verdict(output.shape[1], {"gradients": reason} if reason else {}, (*notes, *noted))


def device_error(reason: str, device: torch.device) -> ModelError | None:
    """The error for a network that needs another device, if the reason says so."""
    if not re.search(r"cuda|nvidia|same device", reason, re.IGNORECASE):
        return None
    hint = f"It may have a hard-coded device: save it again on {device.type}, or choose another --device."
    return ModelError(f"the network does not run on {device}: {reason}", hint=hint)


def _failed(error: BaseException, sample: Tensor) -> ModelError:
    reason = one_line(error)
    shape = "×".join(map(str, sample.shape[1:]))
    return device_error(reason, sample.device) or ModelError(
        f"the network does not take a {shape} input: {reason}", hint=SIZES
    )


def _check_output(output: Any, sample: Tensor, *, dense: bool) -> None:
    if not isinstance(output, Tensor):
        raise ModelError("the network must return one tensor of scores", given=_describe(output), hint=WRAP)
    if output.ndim != (4 if dense else 2) or len(output) != len(sample):
        raise ModelError(
            "the network does not return one row of class scores per image",
            given=f"shape {tuple(output.shape)} for {len(sample)} images of {tuple(sample.shape[1:])}",
            allowed=f"({len(sample)}, classes)",
            hint=WRAP,
        )
    if not output.is_floating_point():
        raise ModelError("the network must return floating-point scores", given=output.dtype, hint=WRAP)
    if not output.isfinite().all():
        raise ModelError(
            "the network gives NaN or infinite scores for ordinary input",
            hint="Its weights may be damaged or overflow in this precision: check them, or the --mean and --std.",
        )


def _gradient(
    module: Callable[[Tensor], Any], sample: Tensor, pictures: Tensor | None
) -> tuple[str | None, tuple[str, ...]]:
    """Why there is no gradient, or None; and a note where it is 0. A gradient of 0 is one: a ReLU may be off everywhere."""
    found, reason = _differentiated(module, sample)
    if found is None or found.any():
        return reason, ()
    where, everywhere = "on noise", pictures is not None
    if pictures is not None:
        shown, _ = _differentiated(module, pictures)
        everywhere = shown is not None and not shown.any()
        where += " and on plain and random pictures" if everywhere else ", not on every picture"
    zero = _zero_layer(module) if everywhere else None
    if zero is not None:
        why = f"all weights of its layer '{zero}' are 0, as of a head that was never trained"
        return None, (f"the network's gradient is exactly 0 {where}: {why}; load trained ones with --weights",)
    why = "its units may be saturated or inactive there, or its head untrained"
    return None, (f"the network's gradient is exactly 0 {where}: {why}, and maps by gradients may be 0",)


def _zero_layer(module: Callable[[Tensor], Any]) -> str | None:
    """The last layer whose weights, of two axes or more, are all 0; None where there is none."""
    parameters = module.named_parameters() if isinstance(module, nn.Module) else iter(())
    zero = [name for name, weight in parameters if weight.ndim > 1 and weight.is_floating_point() and not weight.any()]
    return zero[-1].rpartition(".")[0] or zero[-1] if zero else None


def _differentiated(module: Callable[[Tensor], Any], sample: Tensor) -> tuple[Tensor | None, str | None]:
    """The gradient of a weighted sum of the scores, or None and why there is none."""
    images = sample.detach().clone().requires_grad_()
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*autograd kernel was not registered")
            output = module(images)
            if not output.requires_grad:
                return None, "its output does not carry a gradient (no_grad, detach, rounding, or no torch)"
            # Unequal weights, since the plain sum of probabilities is 1 and has no gradient.
            weights = torch.linspace(-1.0, 2.0, output.numel(), device=output.device, dtype=output.dtype)
            (gradient,) = torch.autograd.grad((output * weights.view_as(output)).sum(), images, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001  foreign code raises what it likes
        return None, one_line(error)
    if gradient is None:
        return (
            None,
            "its output does not depend on its input by differentiable operations (detach, rounding, comparisons)",
        )
    if not gradient.isfinite().all():
        return None, "its gradient is NaN or infinite for ordinary input (sqrt, log or a division at zero)"
    return gradient, None


def _describe(output: Any) -> str:
    if isinstance(output, dict):
        return f"a dict with {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
