"""What the values of tensors that a program gave say of their normalisation, and the unit of `--mean` and `--std`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sigcli.errors import UsageError
from sigcli.inputs.given import Given, Source, is_tensor

from .preprocess import Preprocess, Wishes

_LARGEST = 2.0
"""Beyond it a mean or deviation cannot be of pixels in 0..1."""
BYTE = 255.0
MANY = 64.0
"""Tensors of pixels in 0..255 reach at least so far."""
_MARGIN = 0.05
"""Share of the pixel range by which values may lie outside it, as after noise or an attack."""


@dataclass(frozen=True)
class Span:
    """From where to where the values of all tensors reach together: what is read off them does not depend on their order."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low + 0:.4g}..{self.high + 0:.4g}"  # + 0: no "-0"


def span_of(sources: Sequence[Source]) -> Span | None:
    """The span of the tensors among the samples; None where there are none."""
    values = [one.picture.pixels for one in sources if isinstance(one, Given) and is_tensor(one)]
    return Span(min(float(v.min()) for v in values), max(float(v.max()) for v in values)) if values else None


def read_off(span: Span, usual: Preprocess) -> tuple[Preprocess, str]:
    """The normalisation that tensors seem to have, and a note on it.

    Values that all lie in 0..1 are pixels that nobody normalised, as are values up to 255: once the mean is subtracted, no
    photograph is without negative values. Anything else is taken as normalised in the usual way.

    Args:
        span: of the tensors.
        usual: what is assumed otherwise.
    """
    channels = usual.channels
    known = replace(usual, mean=(0.0,) * channels, std=(1.0,) * channels)
    other = "mean=…, std=… if they are normalised"
    if span.low >= 0 and span.high <= 1:
        return (
            known,
            f"tensors are used as they are, and taken as pixels in 0..1, where they all lie, so black is 0: {other}",
        )
    if span.low >= 0 and MANY <= span.high <= BYTE:
        known = replace(known, std=(1 / BYTE,) * channels)
        return (
            known,
            f"tensors are used as they are, and taken as pixels in 0..255, where they all lie, so black is 0: {other}",
        )
    black, mean, std = float(usual.low.min()), f"{usual.mean[0]:g}, …", f"{usual.std[0]:g}, …"
    told = (
        f"tensors are used as they are, and taken as normalised with mean {mean} and std {std}, so black is {black:.2f}"
    )
    doubt = f"; but they lie in {span}, outside pixels of that kind" if outside(span, usual) else ""
    return usual, f"{told}{doubt}: mean=0, std=1 for tensors in 0..1"


def doubts(span: Span | None, preset: Preprocess) -> tuple[str, ...]:
    """A note where tensors do not seem to be normalised with the mean and deviation that are known."""
    if span is None:
        return ()
    low, high = float(preset.low.min()), float(preset.high.max())
    if not two_readings(span, preset) and not outside(span, preset):
        return ()
    return (
        f"the tensors lie in {span}, but pixels of this mean and std in {Span(low, high)}: "
        "tensors go into the network as they are, so normalise them first, or give pictures",
    )


def two_readings(span: Span, preset: Preprocess) -> bool:
    """Whether tensors may be pixels in 0..1 that nobody has normalised, though they might be the network's input as well."""
    return span.low >= 0 and span.high <= 1 and float(preset.low.min()) <= -0.5


def outside(span: Span, preset: Preprocess) -> bool:
    """Whether values lie clearly outside those of pixels that are prepared in that way."""
    low, high = float(preset.low.min()), float(preset.high.max())
    margin = _MARGIN * (high - low)
    return span.low < low - margin or span.high > high + margin


def in_unit_range(wishes: Wishes) -> tuple[Wishes, tuple[str, ...]]:
    """Mean and deviation for pixels in 0..1, where they were given for pixels in 0..255; and a note that says so.

    Raises:
        UsageError: one of them is for pixels in 0..1 and the other is not, or they are for neither.

    >>> in_unit_range(Wishes(mean=(127.5,), std=(255.0,)))[0]
    Wishes(resize=None, crop=None, mean=(0.5,), std=(1.0,), size=None)
    """
    mean, std = wishes.mean or (), wishes.std or ()
    if all(abs(value) <= _LARGEST for value in (*mean, *std)):
        return wishes, ()
    mixed = (any(m > _LARGEST for m in mean) and any(0 < s < 1 for s in std)) or any(0 < abs(m) <= 1 for m in mean)
    if mixed or not all(0 <= value <= BYTE for value in (*mean, *std)):
        raise UsageError(
            "--mean and --std are not of one unit", given=f"{_text(mean) or 'no mean'} and {_text(std) or 'no std'}",
            allowed="both for pixels in 0..1, such as 0.485 and 0.229, or both in 0..255, such as 123.675 and 58.395",
        )  # fmt: skip
    found = replace(wishes, mean=_divided(wishes.mean), std=_divided(wishes.std))
    told = " and ".join(
        f"{name} {_text(values)}" for name, values in (("mean", found.mean), ("std", found.std)) if values is not None
    )
    return found, (f"--mean and --std are taken as those of pixels in 0..255: {told} where pixels are 0..1",)


def _divided(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(value / BYTE for value in values)


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
