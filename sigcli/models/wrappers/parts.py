"""The one tensor of scores in what a network returns: a dataclass, a table, a tuple or a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from sigcli.errors import ModelError, unknown
from sigcli.wrapping import Wrapper

from ..checks import attempt

USUAL = "logits"
"""The part that is taken where several fit: transformers calls the scores so."""


class Part(Wrapper):
    """A network of which one part of the outputs is taken.

    Args:
        inner: what returns several tensors.
        name: the part, as `parts` names it.
    """

    def __init__(self, inner: nn.Module, name: str):
        super().__init__(inner)
        self.part = name

    def forward(self, *images: Tensor) -> Any:
        """(N, C, H, W) → (N, classes)."""
        return parts(self.inner(*images))[self.part]


def named_part(part: str | int | None) -> str | None:
    """A part as text: numbers count the parts of tuples and lists from 0."""
    return None if part is None else str(part)


def parts(output: Any) -> dict[str, Any]:
    """The parts of what a network returns, by name; those of tuples and lists by number. Of a tensor there are none."""
    if isinstance(output, Tensor):
        return {}
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items()}
    if is_dataclass(output):
        return {one.name: getattr(output, one.name) for one in fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))  # type: ignore[attr-defined]
    if isinstance(output, (tuple, list)):
        return {str(index): value for index, value in enumerate(output)}
    own = {name: value for name, value in getattr(output, "__dict__", {}).items() if not name.startswith("_")}
    return own | ({USUAL: output.logits} if hasattr(output, USUAL) else {})


def has_rows(module: nn.Module, sample: Tensor) -> bool:
    """Whether a network returns several parts of which one may be scores, a row for each image, and none is a usual map.

    Args:
        module: the network.
        sample: (N, C, H, W) images that fit it.
    """
    found = parts(attempt(module, sample)[0])
    maps = [name for name in (USUAL, "out") if isinstance(found.get(name), Tensor) and found[name].ndim == 4]
    return not maps and any(_fits(value, len(sample)) for value in found.values())


def plain_output(
    module: nn.Module, sample: Tensor, asked: str | None = None, stated: str | None = None
) -> tuple[nn.Module, tuple[str, ...]]:
    """Make a network return one tensor: the part that was asked for, else the only one that may be scores.

    Args:
        module: the network.
        sample: (N, C, H, W) images that fit it.
        asked: the part that the user names, or its number.
        stated: the part that the source of the network names, which needs no telling.

    Returns:
        the network, and a note where it was not asked which part is meant.

    Raises:
        ModelError: no such part; a part although there is one tensor only; or several parts that may be scores.
    """
    output, _ = attempt(module, sample)
    found = parts(output)
    if not found:
        if asked is not None and output is not None:
            given = f"--part {asked}"
            raise ModelError("the network returns one tensor, which has no parts", given=given, hint="Leave it out.")
        return module, ()
    kind = _with_article(type(output).__name__)
    if asked is not None:
        return Part(module, _named(asked, found, kind, len(sample))), ()
    if stated in found:
        return Part(module, stated), ()
    fitting = [name for name, value in found.items() if _fits(value, len(sample))]
    if len(fitting) > 1 and USUAL not in fitting:
        raise ModelError(
            f"the network returns {kind} with several parts that may be scores",
            given=", ".join(f"{name} {tuple(found[name].shape)}" for name in fitting),
            hint=f"Name one: --part {fitting[0]}.",
        )
    if not fitting:
        return module, ()
    name = USUAL if USUAL in fitting else fitting[0]
    why = "" if len(fitting) > 1 else ", the only part that may be scores"
    return Part(module, name), (f"the network returns {kind}: its {_told(name)} is explained{why}",)


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].casefold() in 'aeiou' else 'a'} {name}"


def _told(name: str) -> str:
    return f"part {name}" if name.isdigit() else f".{name}"


def _named(asked: str, found: Mapping[str, Any], kind: str, count: int) -> str:
    name = asked.strip().removeprefix(".")
    if name not in found:
        near = unknown("part of the outputs", asked, list(found), ModelError)
        raise ModelError(f"the network returns {kind} without such a part", given=asked, allowed=near.allowed)
    if not _fits(found[name], count):
        value = found[name]
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        fitting = [other for other, one in found.items() if _fits(one, count)]
        raise ModelError(
            "this part of the outputs is not a row of scores for each image", given=f"{asked}: {shape}",
            allowed=", ".join(fitting) or f"a tensor ({count}, classes), and the network returns none",
        )  # fmt: skip
    return name


def _fits(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 2 and len(value) == count
