"""`--config FILE`: options from a TOML file, or from the manifest of a run. What was typed comes before it."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UsageError, reason, unknown
from ..names import printable
from ..options import Option, Options, table
from .config_tables import misplaced, read_tables
from .repeated import of_manifest

_TEXTS = "a text, a number, or a list of these"
_ALLOWED = {int: "an integer", float: "a number", bool: "true or false", Path: "a text", str: _TEXTS, list[str]: _TEXTS}
_SET = "a table such as {steps = 50, \"ig.steps\" = 20}, or a list of texts such as 'steps=50'"


def read_config(
    file: str | Path, kind: type[Options], command: str, typed: Collection[str]
) -> tuple[dict[str, Any], str]:
    """The options of a file, without those that were typed.

    Keys are names of options, with dashes or underscores. Those in the table of the command (`[explain]`,
    `[benchmark.images]`) come before those outside of tables; tables of other commands are not looked at. Relative paths are
    taken from the working directory, as on the command line.

    Args:
        file: a TOML file, or the `manifest.json` of a run that made explanations.
        kind: the dataclass of the command's options.
        command: name of the command, its parts with dots between them.
        typed: the options that were typed, by name.

    Returns:
        Option name → value as the dataclass takes it; and a note that names them.

    Raises:
        UsageError: no such file, no TOML, an unknown key, or a value of the wrong type.
    """
    file = Path(file)
    data = _parsed(file)
    told = ""
    if _is_manifest(file, data):
        data, told = of_manifest(file, data, kind, command)
        keys = data
    else:
        keys = _keys(file, data, kind, command)
    found = _values(file, keys, kind)
    given = {name: value for name, value in found.items() if name not in typed}
    left = ""
    if isinstance(typed, Mapping) and typed.get("method") and "settings" in given:
        given["settings"], without = _of_chosen(given["settings"], found.get("method"), typed["method"])
        left = f"; left out, of methods that are not chosen: {', '.join(without)}" if without else ""
    known = table(kind)
    named = [_spelled(name, known[name][0]) for name in given if not told or given[name] != known[name][1].default]
    names = ", ".join(named) or "nothing that was not typed"
    return given, f"--config {printable(str(file))}: {names}{told}{left}"


def _parsed(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        hint = (
            f"The options of a run: --config {file / 'manifest.json'}." if (file / "manifest.json").is_file() else None
        )
        raise UsageError(f"the file of --config cannot be read: {reason(error)}", given=file, hint=hint) from None
    except UnicodeDecodeError:
        raise UsageError("the file of --config is not text in UTF-8", given=file, allowed=_FORMS) from None
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else _toml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the file of --config cannot be read: {error}", given=file, allowed=_FORMS) from None
    return found


_FORMS = "TOML, or the manifest.json of a run"


def _toml(text: str) -> dict[str, Any]:
    return import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").loads(text)


def _is_manifest(file: Path, data: Mapping[str, Any]) -> bool:
    if isinstance(data.get("spec"), dict):
        return True
    if file.suffix.casefold() == ".json":
        raise UsageError("the file of --config is not the manifest of a run", given=file, allowed=_FORMS)
    return False


def _keys(file: Path, data: Mapping[str, Any], kind: type[Options], command: str) -> dict[str, Any]:
    """Keys and values of a command: those outside of tables, then those of its own table."""
    known = _by_key(kind)
    found, table_ = read_tables(file, data, command, known)
    keys: dict[str, Any] = {}
    for place, part in (("", found), (f" [{command}]", table_)):
        seen: dict[str, str] = {}
        for key, value in part.items():
            name = key.replace("-", "_")
            if name not in known:
                raise misplaced(f"{printable(str(file))}{place}", key, value, command, known)
            if known[name] in seen:
                raise UsageError(f"{file}{place}: an option is given twice", given=f"{seen[known[name]]}, {key}")
            seen[known[name]] = key
            keys[known[name]] = value
    return keys


def _by_key(kind: type[Options]) -> dict[str, str]:
    """Keys that a file may have → names of options."""
    keys: dict[str, str] = {}
    for name, (known, _) in table(kind).items():
        if known.command_line:
            spelled = (
                [name]
                if known.argument
                else [name, *(flag.split("/")[0] for flag in known.flags if flag.startswith("--"))]
            )
            keys |= {one.lstrip("-").replace("-", "_"): name for one in spelled}
    return keys


def _of_chosen(settings: Mapping[str, Any], own: Any, typed: Any) -> tuple[dict[str, Any], list[str]]:
    """The settings without those of the file's methods that are not among the typed ones, and these."""
    names, chosen = (
        {part.partition("=")[0].strip() for part in every.split(",")} if isinstance(every, str) else set()
        for every in (own, typed)
    )
    without = [key for key in settings if key.rpartition(".")[0] in names - chosen]
    return {key: value for key, value in settings.items() if key not in without}, without


def _spelled(name: str, known: Option) -> str:
    """An option as it stands in a file."""
    return name if known.argument else known.flags[0].split("/")[0].lstrip("-")


def _values(file: Path, keys: Mapping[str, Any], kind: type[Options]) -> dict[str, Any]:
    """Values as the dataclass takes them.

    Raises:
        UsageError: a value of the wrong type, or one that cannot be read; it names file and key.
    """
    values: dict[str, Any] = {}
    for name, value in keys.items():
        known, one = table(kind)[name]
        shown = _spelled(name, known)
        try:
            values[name] = _value(known, known.kind or _plain(one.type), value)
        except UsageError as error:
            raise UsageError(
                f"{file}: {shown}: {error.what}", given=error.given, allowed=error.allowed, hint=error.hint
            ) from None
        if known.choices and values[name] not in known.choices:
            raise unknown(f"value of {shown} in {file}", str(value), known.choices)
    return values


def _plain(kind: Any) -> Any:
    from typing import get_args

    return next((one for one in get_args(kind) or (kind,) if one is not type(None)), kind)


def _value(known: Option, kind: Any, value: Any) -> Any:
    """A value for an option of the command line, which reads texts where the file may have numbers and lists."""
    if known.flags[0] == "--set":
        return _settings(known, value)
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if kind == list[str] and (plain or _is_list(value)):
        value = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    elif kind is str and (plain or _is_list(value)):
        value = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    elif kind is float and plain and not isinstance(value, str):
        value = float(value)
    elif kind in (int, bool) and type(value) is kind:
        pass
    elif not (kind is Path and isinstance(value, str)):
        raise UsageError("the value has the wrong type", given=json.dumps(value, default=str), allowed=_ALLOWED[kind])
    return value if known.read is None else known.read(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in value
    )


def _settings(known: Option, value: Any) -> dict[str, Any]:
    """The options of methods and metrics, from a table or a list of texts."""
    if isinstance(value, list) and _is_list(value) and known.read is not None:
        return known.read([str(one) for one in value])
    if not isinstance(value, dict):
        raise UsageError("the value has the wrong type", given=json.dumps(value, default=str), allowed=_SET)
    flat: dict[str, Any] = {}
    for key, one in value.items():
        inner = {f"{key}.{name}": under for name, under in one.items()} if isinstance(one, dict) else {key: one}
        flat |= inner
    wrong = next((key for key, one in flat.items() if isinstance(one, (dict, list))), None)
    if wrong is not None:
        raise UsageError("the value has the wrong type", given=f"{wrong} = {flat[wrong]}", allowed="a text or a number")
    return {key.replace("-", "_") if "." not in key else key: _text(one) for key, one in flat.items()}


def _text(value: Any) -> str:
    """A setting as it would be typed."""
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)
