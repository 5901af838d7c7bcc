"""The manifest of a run: what its values depend on (the spec), its options, software, samples and notes."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..files import file_digest
from ..inputs.given import Given, Source, state_of
from ..models.model import Model
from ..models.sources import hf, openclip_names
from ..names import portable
from ..options import VIEW
from ..places.copies import origin
from ..places.remote import Remote
from ..runs.ledger import digest_of_text
from ..runs.provenance import versions
from ..views import chosen
from .select import Chosen

if TYPE_CHECKING:
    from .options import RunOptions
    from .samples import Pictures


def spec_of(options: RunOptions, samples: Pictures, model: Model, methods: list[Chosen], scorer: Any) -> dict[str, Any]:
    """What must agree between a run and its resumption: all that the values depend on."""
    spec: dict[str, Any] = {
        "model": model.name,
        "weights": origin(model.weights),
        "weights_hash": model.weights_hash,
        "preprocess": asdict(model.preprocess),
        "methods": {chosen.name: {"method": chosen.entry.name, **_named_files(chosen)} for chosen in methods},
        "target": samples.spelled(model),
        "output": scorer.output,
        "precision": scorer.precision,
        "seed": options.seed,
        "uncertainty": options.uncertainty,
        "check": options.completeness_check,
        "files": _option_files(methods),
    }
    if options.tolerance is not None:  # where a run ends depends on the view
        spec["tolerance"], spec["max_evaluations"] = options.tolerance, options.max_evaluations
        spec["view"] = chosen(options.view, options.smooth, VIEW).spec
    if model.head.kind != "logits":
        spec["head"] = model.head.kind
    if options.part is not None:
        spec["part"] = str(options.part)
    if given := [one for one in samples.sources if isinstance(one, Given)]:  # whose names tell nothing of their content
        spec["samples"] = digest_of_text(state_of(given))
    if any(chosen.uses_peers for chosen in methods):
        spec["references"] = digest_of_text(state_of(samples.compared))
    return spec | samples.spec()


def _option_files(methods: list[Chosen]) -> dict[str, str]:
    """Digest of every file that an option names (label maps, baselines): another content is another run."""
    values = {str(value) for chosen in methods for value in chosen.options.values() if isinstance(value, str)}
    files = sorted(value for value in values if Path(value).suffix and Path(value).is_file())
    return {origin(name): file_digest(name) for name in files}


def _named_files(chosen: Chosen) -> dict[str, Any]:
    """The options of a method, with the URLs of remote files that were copied."""
    return {name: origin(value) if isinstance(value, str) else value for name, value in chosen.resolved().items()}


def manifest_of(spec: dict[str, Any], options: RunOptions, samples: Pictures, model: Model) -> dict[str, Any]:
    """The manifest of a run of explanations."""
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine()
    return {
        "spec": spec,
        "options": {name: _lasting(value) for name, value in options.kept().items()} | _named_model(options, model),
        "device": f"{model.device} {device}".strip(),
        "versions": versions(),
        "classes": model.classes,
        "notes": [*samples.notes, *model.notes],
        "images": _named(samples.sources),
        "references": None if samples.references is None else [portable(str(path)) for path in samples.references],
        "view": chosen(options.view, options.smooth, VIEW).spec,
        "signs": options.signs,
        "scale": options.scale,
        "cmap": options.cmap,
        **samples.manifest(),
    }


def _named(sources: Sequence[Source]) -> list[str]:
    """Files as they are found from any folder; samples in memory by their names."""
    return [_found(one) for one in sources]


def _found(one: Source) -> str:
    if isinstance(one, Given):
        return one.name
    return str(one) if isinstance(one, Remote) else portable(os.path.abspath(one))


def _named_model(options: RunOptions, model: Model) -> dict[str, str]:
    """A model that is a folder, or has one in its name, by the whole name; nothing of any other."""
    lasting = {"hf": hf.lasting, "openclip": openclip_names.lasting}.get(model.kind)
    return {} if lasting is None else {"model": portable(lasting(str(options.model)))}


def _lasting(value: Any) -> Any:
    """An option as it holds from any folder: a file by its whole name, a network by its class."""
    if isinstance(value, torch.nn.Module):
        return None  # it cannot be had again
    if isinstance(value, (str, Path)) and origin(str(value)) != str(value):
        return origin(str(value))
    if isinstance(value, (str, Path)):
        return portable(os.path.abspath(value)) if Path(value).is_file() else str(value)
    return value
