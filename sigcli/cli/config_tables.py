"""The tables of a file of options: which belong to a command, and what is told of those that belong to none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import SigError, UsageError, unknown
from ..names import printable
from ..scenarios import SCENARIOS

_TREE: dict[str, Any] = {
    "explain": None, "evaluate": None, "train": None, "gridworld": None,
    "benchmark": {"images": None, "methods": None, "scenario": dict.fromkeys(SCENARIOS)},
}  # fmt: skip
"""Commands that read a file of options; those that are groups have commands below them."""
_TYPED = ("show", "open", "json", "debug", "config", "help")
"""Options about this terminal and this call. They stand in no file, since a file is for runs that are repeated."""


def read_tables(
    file: Path, data: Mapping[str, Any], command: str, known: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys outside of tables, and those of the command's own table.

    The names of all tables are looked at, so that one that is misspelt is not passed over as another command's.

    Args:
        file: where they stand.
        data: what it holds.
        command: name of the command, its parts with dots between them.
        known: keys that are options of the command.

    Raises:
        UsageError: a table within a table that is no command's, or a value in the place of the command's table.
    """
    found: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in data.items():
        if key in _TREE and key not in known and (isinstance(value, dict) or key == command):
            own |= _own(file, value, key, command, _TREE[key])
        else:
            found[key] = value
    return found, own


def _own(file: Path, value: Any, place: str, command: str, below: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a table holds for the command: itself, or what is in the tables below it."""
    if not isinstance(value, dict):
        raise UsageError(f"{file}: {place} is no table", given=value, allowed=f"[{place}] and keys below it")
    if below is None:
        return value if place == command else {}
    made: dict[str, Any] = {}
    for key, one in value.items():
        if key not in below:
            named = [f"{place}.{name}" for name in below]
            raise unknown(f"table in {printable(str(file))}", f"{place}.{key}", named)
        made |= _own(file, one, f"{place}.{key}", command, below[key])
    return made


def misplaced(where: str, key: str, value: Any, command: str, known: Collection[str]) -> SigError:
    """What to say of a key that is no option of the command."""
    typed = key.strip("-").replace("_", "-")
    if typed in _TYPED:
        return UsageError(f"--{typed} cannot stand in {where}", given=key, hint=f"It is typed: --{typed}.")
    if isinstance(value, dict):
        from ..methods import METHODS
        from ..metrics import METRICS

        if key in METHODS or key in METRICS:
            hint = f'Options of {key} stand in set: set = {{"{key}.NAME" = VALUE}}, or a table [set.{key}].'
            return UsageError(f"no such table in {where}", given=key, hint=hint)
        return unknown(f"table in {where}", key, _names(_TREE))
    return unknown(
        f"option of sig {command.replace('.', ' ')} in {where}", key, [one.replace("_", "-") for one in known]
    )


def _names(tree: Mapping[str, Any], before: str = "") -> list[str]:
    """The tables of all commands; those of scenarios by a placeholder."""
    made: list[str] = []
    for name, below in tree.items():
        whole = f"{before}{name}"
        made += [whole] if below is None else [f"{whole}.NAME"] if name == "scenario" else _names(below, f"{whole}.")
    return made
