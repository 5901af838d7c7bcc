"""Options of commands: a dataclass each, from which command line, Python signature, manifest and docs follow.

Adding an option is one line in one dataclass:

    seed: int = option(0, "Seed of every random draw.", panel=COMPUTE)

No torch is imported here: `sig --help` stays fast. Types of options are real objects, not texts, since typer needs them.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import UsageError, unknown

_LONGEST = 60
O = TypeVar("O", bound="Options")  # noqa: E741
MODEL, METHOD, METRIC, COMPUTE, OUTPUT = "Model", "Method", "Metric", "Computation", "Output"
PANELS = (MODEL, METHOD, METRIC, COMPUTE, OUTPUT)
"""Panels of `--help`, in their order; a command's own panel stands before them."""


@dataclass(frozen=True)
class Option:
    """Everything about an option except its name, type and default.

    Args:
        help: one or two sentences for `--help`, the docs and the docstring of the Python function.
        panel: heading of `--help` under which it stands.
        flags: its names on the command line; by default `--name`, with dashes.
        kind: its type on the command line; None for the type of the field.
        read: turns what was typed into the field's value; raises UsageError.
        metavar: placeholder of its value in `--help`.
        shown: how `--help` shows the default: a text, False for not at all, True as it is.
        kept: whether the manifest of a run keeps it, so the run's model and score can be restored.
        argument: it is an argument of the command line, without a flag.
        command_line: False for an option that only Python has.
        otherwise: what to write instead, where a value of another type is given that people of other packages try.
        was: its names in the previous version; they still work, with a note.
    """

    help: str
    panel: str = ""
    flags: tuple[str, ...] = ()
    kind: Any = None
    read: Callable[[Any], Any] | None = None
    metavar: str | None = None
    shown: str | bool = True
    kept: bool = False
    argument: bool = False
    command_line: bool = True
    choices: tuple[str, ...] = ()
    was: tuple[str, ...] = ()
    otherwise: str = ""


def option(default: Any, help: str, *, keyword_only: bool = True, **known: Any) -> Any:  # noqa: A002
    """A field of an options dataclass.

    Args:
        default: its value where it is not given; `dataclasses.MISSING` for an option that must be given.
        help: see `Option`.
        keyword_only: False for what Python code may name by its place alone.
        known: further arguments of `Option`.
    """
    return field(default=default, kw_only=keyword_only, metadata={"option": Option(help, **known)})


def option_like(options: type, name: str, default: Any, help: str | None = None) -> Any:  # noqa: A002
    """An option of another dataclass with another default, and where it is given another help."""
    known: Option = next(one for one in dataclasses.fields(options) if one.name == name).metadata["option"]
    told = known if help is None else dataclasses.replace(known, help=help)
    return field(default=default, kw_only=True, metadata={"option": told})


class Options:
    """Base of all options dataclasses. An instance knows which of its options were given, and which are defaults."""

    if not TYPE_CHECKING:  # the constructor's signature is the dataclass's

        def __new__(cls, *args: Any, **given: Any) -> Any:  # noqa: D102
            made = object.__new__(cls)
            by_place = [one.name for one in dataclasses.fields(cls) if not one.kw_only]
            object.__setattr__(made, "_given", frozenset([*by_place[: len(args)], *given]))
            return made

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, with their values: those left out are not in it."""
        known: frozenset[str] = self._given  # type: ignore[attr-defined]
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name in known}  # type: ignore[arg-type]

    def but(self: O, **changes: Any) -> O:
        """The same options with some of them given anew."""
        return type(self)(**{**self.given, **changes})

    def into(self, kind: type[O], **changes: Any) -> O:
        """Those given that another command has, too, as its options.

        Args:
            kind: the other command's dataclass of options.
            changes: further options, which come before those given.
        """
        has = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
        return kind(**{name: value for name, value in {**self.given, **changes}.items() if name in has})

    def kept(self) -> dict[str, Any]:
        """The options that the manifest of a run keeps, with their values."""
        return {name: getattr(self, name) for name, (one, _) in table(type(self)).items() if one.kept}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={short(value)}" for name, value in self.given.items())
        return f"{type(self).__name__}({given})"


@cache
def table(options: type[Options], entry: str = "") -> Mapping[str, tuple[Option, dataclasses.Field[Any]]]:
    """Every option of a command by its name, panel by panel: what is known of it, its flags filled in; and its field.

    Args:
        options: the dataclass.
        entry: the entry of a catalogue whose command it is, for helps that name it.
    """
    every = [(_flagged(one.name, one.metadata["option"], entry), one) for one in dataclasses.fields(options)]  # type: ignore[arg-type]
    every.sort(key=lambda item: PANELS.index(item[0].panel) if item[0].panel in PANELS else -1)
    return {one.name: (known, one) for known, one in every}


def _flagged(name: str, known: Option, entry: str) -> Option:
    told = known.help.replace("ENTRY", entry) if entry else known.help
    return dataclasses.replace(known, flags=flags(name, known), help=told)


def flags(name: str, known: Option) -> tuple[str, ...]:
    """The names of an option on the command line."""
    return known.flags or (f"--{name.replace('_', '-')}",)


def renamed(options: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names that they have now, where some are given by those of an older version.

    Raises:
        UsageError: an option is given by both names.
    """
    now = {
        old.removeprefix("--").replace("-", "_"): name
        for name, (known, _) in table(options).items()
        for old in known.was
    }
    for old, name in now.items():
        if old in given and name in given:
            raise UsageError(f"{old} is the old name of {name}, and both are given", hint=f"Leave {old} out.")
    return {now.get(name, name): value for name, value in given.items()}


def checked(options: O) -> O:
    """The same options, texts read as the command line reads them.

    Raises:
        UsageError: an option of the wrong type, or that is none of its choices.
    """
    return options.but(**read_options(type(options), options.given))


def read_options(kind: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name as their dataclass takes them, texts read as the command line reads them.

    Raises:
        UsageError: no such option, one of the wrong type, or one that is none of its choices.
    """
    read: dict[str, Any] = {}
    for name, value in given.items():
        known, one = table(kind)[name]
        read[name] = _read(name, known, one, value)
        if known.choices and read[name] not in known.choices:
            raise unknown(f"value of {known.flags[0]}", str(value), known.choices)
    return read


def _read(name: str, known: Option, one: dataclasses.Field[Any], value: Any) -> Any:
    """A value of the option's type, from a text where the command line would read one."""
    kinds: tuple[Any, ...] = (one.type,)
    if typing.get_origin(one.type) in (typing.Union, types.UnionType):
        kinds = typing.get_args(one.type)
    if known.read is not None and isinstance(value, str) and str not in kinds:
        return known.read([value] if known.kind == list[str] else value)
    if known.read is not None and tuple[float, ...] in kinds and isinstance(value, (int, float)):
        return (float(value),)
    plain: tuple[Any, ...] = tuple(typing.get_origin(kind) or kind for kind in kinds)
    if not all(isinstance(kind, type) and kind is not Any for kind in plain):
        return value  # networks, tensors: asked where they are used
    accepted: tuple[Any, ...] = (*plain, int) if float in plain else plain
    value = _of_python(value, {*plain})
    fits = isinstance(value, accepted) and (not isinstance(value, bool) or bool in plain or object in plain)
    if fits and (not isinstance(value, (tuple, list)) or any(_holds(kind, value) for kind in kinds)):
        return value
    wrong = f"the option {name} has the wrong type"
    raise UsageError(wrong, given=short(value), allowed=type_text(one.type), hint=known.otherwise or None)


def _of_python(value: Any, kinds: set[Any]) -> Any:
    """The number of a tensor or array of one element, a list or one of one axis as a tuple, where an option takes these."""
    shape = getattr(value, "shape", ())
    there = isinstance(shape, tuple) and hasattr(value, "tolist")
    if {int, float} & kinds and there and set(shape) <= {1}:
        return value.item()
    if tuple in kinds and not {list, Sequence} & kinds and (isinstance(value, list) or (there and len(shape) == 1)):
        return tuple(value if isinstance(value, list) else value.tolist())
    return value


def _holds(kind: Any, values: Sequence[Any]) -> bool:
    """Whether a list or tuple is of a kind, with all that it holds."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        wanted = inner[:1] * len(values) if inner[-1] is Ellipsis else inner
        return isinstance(values, tuple) and len(wanted) == len(values) and all(map(_is_of, wanted, values))
    if origin is Sequence:
        return all(_is_of(inner[0], one) for one in values)
    return isinstance(values, origin or kind)


def _is_of(kind: Any, value: Any) -> bool:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(_is_of(one, value) for one in typing.get_args(kind))
    if kind in (int, float):
        return isinstance(value, {int: Integral, float: Real}[kind]) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(kind) or kind)


def short(value: Any) -> str:
    """A value in a few words."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"<{type(value).__name__} {tuple(shape)}>"
    text = repr(value)
    return text if len(text) <= _LONGEST and "\n" not in text else f"<{type(value).__name__}>"


def type_text(kind: Any) -> str:
    """A type as a reader knows it."""
    if kind is Any:
        return "Any"
    if isinstance(kind, str):
        return kind
    if isinstance(kind, typing.ForwardRef):
        return kind.__forward_arg__
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Callable or getattr(origin, "__name__", "") == "Callable":
        return "Callable"
    if isinstance(kind, types.UnionType) or origin is typing.Union:
        return " | ".join(dict.fromkeys(map(type_text, parts)))
    name = "None" if kind is type(None) else getattr(origin or kind, "__name__", str(kind))
    inside = ", ".join("…" if part is Ellipsis else type_text(part) for part in parts)
    return f"{name}[{inside}]" if parts else name


def numbers(name: str) -> Callable[[str | None], tuple[float, ...] | None]:
    """A reader of numbers separated by commas; it raises UsageError for anything else."""

    def read(text: str | None) -> tuple[float, ...] | None:
        if text is None:
            return None
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            raise UsageError(f"--{name} needs numbers separated by commas", given=text) from None

    return read


def integer_or_auto(text: str) -> int | None:
    """An integer of at least 1, or None for `auto`; raises UsageError otherwise."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError("--batch-size must be an integer of at least 1, or auto", given=text)
    return int(text)


def assignments(texts: list[str] | None) -> dict[str, str]:
    """`--set` texts as name → value; raises UsageError for a text without `=`."""
    pairs = [text.partition("=") for text in texts or []]
    for text, (name, equals, _) in zip(texts or [], pairs, strict=True):
        if not equals or not name.strip():
            raise UsageError("--set needs NAME=VALUE", given=text)
    return {name.strip(): value.strip() for name, _, value in pairs}


def folder_name(text: str) -> str:
    """The folder of `--out`; raises UsageError for an empty name, which would be the current folder."""
    if not text.strip():
        raise UsageError("--out is empty", given=text, hint="For example --out sig-out.")
    return text


def folder_option(name: str, *, free: bool = True, more: str = "") -> Any:
    """The option `out` of a command.

    Args:
        name: name of the folder that it writes without --out; `ENTRY` in it stands for the entry of a catalogue.
        free: whether it takes the next free name where that folder holds another run.
        more: another sentence of its help.
    """
    told = f"Run folder; by default {name}{f', or the next free {name}-N' if free else ''}.{more and f' {more}'}"
    known: dict[str, Any] = {"kind": str, "read": folder_name, "metavar": "PATH", "shown": False}
    return option(None, told, panel=OUTPUT, flags=("--out", "-o"), **known)


VIEWS = "auto, raw, smooth or smooth:PIXELS, multi or multi:PIXELS,PIXELS,…, regions; several joined by + are averaged"
"""Forms of a view, see `sigcli.views`."""
VIEW = "auto"
"""The view of pictures and of metrics, unless told otherwise; docs/defaults.md says how it was chosen."""


@dataclass(frozen=True, repr=False)
class DeviceOptions(Options):
    """Where a command computes."""

    device: str = option("auto", "Device to compute on: auto, cpu, cuda, cuda:1 or mps.", panel=COMPUTE)
    seed: int = option(0, "Seed of every random draw.", panel=COMPUTE, kept=True)


@dataclass(frozen=True, repr=False)
class ComputeOptions(DeviceOptions):
    """Where and how a command computes."""

    batch_size: int | None = option(
        None, "Images per pass through the model: auto or an integer.", panel=COMPUTE, kind=str, read=integer_or_auto,
        shown="auto",
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class FolderOptions(Options):
    """Where a command writes."""

    out: str | Path | None = folder_option("sig-out")
    overwrite: bool = option(False, "Replace an earlier run in --out.", panel=OUTPUT)
    pictures: bool = option(True, "Draw PNGs.", panel=OUTPUT, flags=("--pictures/--no-pictures",))


@dataclass(frozen=True, repr=False)
class ResumeOptions(FolderOptions):
    """Where a command writes that can go on with an interrupted run."""

    resume: bool = option(False, "Continue an interrupted run.", panel=OUTPUT)
