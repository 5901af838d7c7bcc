"""The options of a run, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..names import local
from ..options import Options, table

_SPEC = {
    "target": "target", "uncertainty": "uncertainty", "check": "completeness_check", "tolerance": "tolerance",
    "max_evaluations": "max_evaluations",
}  # fmt: skip
"""Key of the spec → option."""
_SHOWN = ("view", "signs", "scale", "cmap")
_NOT_REPEATED = "; not repeated: out, device, batch size, workers, figure, bare"


def of_manifest(
    file: Path, manifest: Mapping[str, Any], kind: type[Options], command: str
) -> tuple[dict[str, Any], str]:
    """Keys and values that repeat a run of explanations, as a file of options would have them; and what is not repeated.

    Raises:
        UsageError: the manifest of another kind of run, or of one that cannot be repeated from it.
    """
    from ..runs.manifest import wrong_form  # imports numpy, for which --help does not wait

    spec, options, names = manifest["spec"], manifest.get("options"), table(kind)
    if not isinstance(spec.get("methods"), dict) or not isinstance(options, dict) or "images" not in names:
        raise UsageError(
            f"sig {command.replace('.', ' ')} cannot repeat this run", given=file,
            allowed="the manifest.json that explain, evaluate or benchmark wrote beside results.csv; or TOML",
        )  # fmt: skip
    if wrong := wrong_form(manifest):
        raise UsageError(f"the manifest is damaged: {wrong}", given=file)
    if options.get("model") is None:
        raise UsageError("the run's model was a network of a program and cannot be loaded again", given=file)
    keys: dict[str, Any] = {name: _typed(name, value) for name, value in options.items()}
    keys |= {name: _typed(name, spec.get(key)) for key, name in _SPEC.items()}
    keys |= {name: manifest.get(name) for name in _SHOWN}
    keys |= {name: _paths(manifest.get(name)) for name in ("images", "references")}
    keys["target"] = manifest.get("target", spec["target"])
    keys["method"], keys["settings"] = _methods(file, spec["methods"])
    partner = " and the partners: name --partner" if "partners" in manifest else ""
    return {name: value for name, value in keys.items() if value is not None and name in names}, _NOT_REPEATED + partner


def _typed(name: str, value: Any) -> Any:
    """A value as a file of options would have it."""
    if name == "image_size" and isinstance(value, list):
        return "x".join(map(str, value))
    if name == "prompts" and isinstance(value, list):
        return ";".join(map(str, value))
    if name == "mask_certainty" and isinstance(value, list):
        return ",".join(map(str, value))
    return local(value) if isinstance(value, str) else value


def _paths(names: Any) -> list[str] | None:
    return None if names is None else [local(name) for name in names]


def _methods(file: Path, methods: Mapping[str, Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The text of --method, and the settings that are not the methods' own defaults.

    Raises:
        UsageError: a method was a function of a program.
    """
    from ..methods import METHODS

    settings: dict[str, Any] = {}
    for alias, known in methods.items():
        if known.get("method") not in METHODS:
            raise UsageError("a method of the run was a function of a program", given=f"{file}: {alias}")
        for option, parameter in METHODS[known["method"]].options().items():
            value = known.get(option, parameter.default)
            if value != parameter.default:
                settings[f"{alias}.{option}"] = value
    named = (alias if alias == known["method"] else f"{alias}={known['method']}" for alias, known in methods.items())
    return ",".join(named), settings
