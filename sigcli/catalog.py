"""Catalogues: one table per package whose entries are text, so listing them imports no torch.

Adding an entry is one function and one line in a table; its options are the function's keyword-only arguments, and
`--help`, `--set name=value`, the manifest and the contract tests all follow from table and signature.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .errors import SigError, UsageError, unknown
from .options import Options


@dataclass(frozen=True)
class Entry:
    """One line of a catalogue.

    Args:
        name: what a user types.
        target: `module:function`, relative to the package `sigcli`.
        summary: one line for `sig list`.
        properties: facts that other code and the tests read (for example `sampled`, `complete`).
        aliases: other names in use for it, which a user may type; results bear `name`.
    """

    name: str
    target: str
    summary: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def load(self, fact: str | None = None) -> Callable[..., Any]:
        """Import the entry's function, or the one that a property names (this may import torch)."""
        return _loaded(self.target if fact is None else self.properties[fact])

    @property
    def options_class(self) -> type[Options] | None:
        """The dataclass that the property `options` names, for entries whose options are one; this imports no torch."""
        target = self.properties.get("options")
        return None if target is None else _loaded(target)

    @property
    def unsmoothed(self) -> bool:
        """Whether the view `auto` shows a method's maps as they are: coarse ones, and those of edges."""
        return bool(self.properties.get("coarse") or self.properties.get("edges"))

    def options(self) -> Mapping[str, inspect.Parameter]:
        """The entry's options: the keyword-only parameters of its function, or the fields of its dataclass of options."""
        return _keyword_only(self.options_class or self.load())

    def description(self) -> str:
        """What the entry does: the docstring of its dataclass of options, or of its function without what code passes."""
        text = inspect.getdoc(self.options_class or self.load()) or ""
        given = re.findall(r"^    (\w+): ", text, re.M)
        for name in given:
            if name in _PASSED:
                text = re.sub(rf"^    {name}: .*\n(?:      +.*\n)*", "", text, flags=re.M)
        return re.sub(r"^Args:\n(?=\n|\Z)\n?", "", text, flags=re.M)


_PASSED = ("subject", "passes", "case", "argument", "explain", "model", "classes")
"""What functions of the catalogues are called with, which no user types."""


@cache
def _keyword_only(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _loaded(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(f"sigcli.{module}"), attribute)


class Catalog(Mapping[str, Entry]):
    """A read-only table of entries by name; two entries of one name are an error, not an overwrite.

    An alias finds its entry, and so does either with other capitals, dashes and underscores (`IntegratedGradients`).
    Iteration gives the names alone.

    Args:
        kind: what an entry is, in a word.
        entries: its lines.
        near: names of what is not here → the entry that is nearest to it, for suggestions.
    """

    def __init__(self, kind: str, entries: list[Entry], near: Mapping[str, str] | None = None):
        self.kind, self.near = kind, near or {}
        self._entries: dict[str, Entry] = {}
        self._known: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """One more line; raises ValueError where its name or an alias is taken."""
        names = (entry.name, *entry.aliases)
        for name in names:
            if name in self._known:
                raise ValueError(f"two {self.kind}s are named '{name}'")
        self._entries[entry.name] = entry
        self._known.update(dict.fromkeys(names, entry))

    def remove(self, name: str) -> None:
        """Take a line out, with its aliases."""
        entry = self._entries.pop(name)
        for known in (entry.name, *entry.aliases):
            del self._known[known]

    def __getitem__(self, name: str) -> Entry:
        if name in self._known:
            return self._known[name]
        plain = {_folded(known): entry for known, entry in self._known.items()}
        if _folded(name) in plain:
            return plain[_folded(name)]
        raise self.unknown(name)

    def unknown(self, name: str) -> SigError:
        """The error for a name that is not here; it suggests what is called so elsewhere, or something like it."""
        others = {_folded(other): here for other, here in self.near.items()}
        if _folded(name) in others:
            return UsageError(
                f"there is no {self.kind} of this name", given=name, allowed=", ".join(self._entries),
                hint=f"The nearest is '{others[_folded(name)]}'.",
            )  # fmt: skip
        names = {_folded(known): (known, entry.name) for known, entry in self._known.items()}
        names = {_folded(other): (other, here) for other, here in self.near.items()} | names
        close = difflib.get_close_matches(_folded(name), names, n=1, cutoff=0.6)
        error = unknown(self.kind, name, self._entries)
        more = f"The names: sig list {self.kind}s." if ", " not in str(error.allowed) else None
        if not close:
            return UsageError(error.what, given=name, allowed=error.allowed, hint=more)
        called, here = names[close[0]]
        also = "" if called == here else f" (for {called})"
        hint = " ".join(filter(None, [f"Did you mean '{here}'{also}?", more]))
        return UsageError(error.what, given=name, allowed=error.allowed, hint=hint)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _folded(name: str) -> str:
    """A name without capitals, dashes, underscores and spaces."""
    return re.sub("[-_ ]", "", name.casefold())


def convert(entry: Entry, settings: Mapping[str, str]) -> dict[str, Any]:
    """Turn `--set` texts into the typed options of an entry.

    Args:
        entry: the entry whose options are set.
        settings: option name → text.

    Returns:
        option name → value of the type that the function's signature states.

    Raises:
        UsageError: no such option, or a text that is not of its type.
    """
    options = entry.options()
    values: dict[str, Any] = {}
    for name, text in settings.items():
        if name not in options:
            raise unknown(f"option of {entry.name}", name, options)
        values[name] = _parse(entry, options[name], text)
    return values


def _parse(entry: Entry, parameter: inspect.Parameter, text: str) -> Any:
    hint = typing.get_type_hints(entry.load())[parameter.name]
    choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    if choices:
        if text not in choices:
            raise unknown(f"value of {entry.name}.{parameter.name}", text, choices)
        return text
    for kind in typing.get_args(hint) or (hint,):
        try:
            return _READERS[kind](text)
        except (ValueError, KeyError):
            continue
    names = " or ".join(_TYPE_NAMES.get(k, str(k)) for k in typing.get_args(hint) or (hint,))
    raise UsageError(f"option {parameter.name} of {entry.name} has the wrong type", given=text, allowed=names)


def _boolean(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _none(text: str) -> None:
    return {"none": None, "": None}[text.lower()]


_READERS: dict[Any, Callable[[str], Any]] = {bool: _boolean, int: int, float: float, str: str, type(None): _none}
_TYPE_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "none"}
