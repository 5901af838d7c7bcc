"""A run folder as the input of an evaluation: its images, its model and its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..catalog import Entry
from ..errors import UsageError
from ..methods import METHODS
from ..models.model import Model
from ..names import local
from ..options import Options, read_options, renamed, table
from ..places.urls import url_of
from ..runs.folder import MANIFEST, manifest_or_none, read_manifest
from ..runs.placed import copied_files
from ..runs.shards import refuse_shard
from .options import MeasureOptions

M = TypeVar("M", bound=MeasureOptions)


def run_folder(images: Any) -> Path | None:
    """The run folder, where that is all that was named."""
    named = [images] if isinstance(images, (str, Path)) else list(images) if isinstance(images, Sequence) else []
    if len(named) != 1 or not isinstance(named[0], (str, Path)):
        return None
    folder = Path(named[0])
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    return folder if manifest is not None and "methods" in manifest.get("spec", {}) else None


def methods_of(folder: Path) -> dict[str, Entry] | None:
    """The catalogue's methods of the run that wrote these arrays, by their names in it; None where no run did."""
    made = run_folder(folder)
    spec = (read_manifest(made) or {})["spec"]["methods"] if made is not None else None
    if not isinstance(spec, dict):
        return None
    return {name: METHODS[facts["method"]] for name, facts in spec.items() if facts.get("method") in METHODS}


def loading(folder: Path) -> tuple[list[str | Path], dict[str, Any]]:
    """Images of a run, and the options of `explain` that its model was loaded and its scores were made with.

    Raises:
        UsageError: its images are no longer where they were, or it was made before runs kept their options.
    """
    manifest: Mapping[str, Any] = read_manifest(folder) or {}
    options = manifest.get("options")
    if "partners" in manifest or "arrays" in manifest:
        raise UsageError(
            "only explanations of classified images can be measured", given=folder,
            hint="A pair has a distance and no classes; an array has no pixels.",
        )  # fmt: skip
    if not isinstance(options, dict):
        raise UsageError(
            "the run does not say how its model was loaded", given=folder,
            hint=f"Name images and model: sig evaluate IMAGES --model NAME --attributions {folder}.",
        )  # fmt: skip
    named = [local(name) for name in manifest["images"] if isinstance(name, str)]
    images = [name if url_of(name) else Path(name) for name in named]
    lost = [path for path in images if isinstance(path, Path) and not path.exists()]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UsageError(
            "images of the run are missing", given=f"{lost[0]}{more}",
            hint=f"Name them: sig evaluate IMAGES --attributions {folder}.",
        )  # fmt: skip
    stated = {"target": manifest["target"]} if "target" in manifest else {}  # of regions and boxes
    return images, {key: _given(value) for key, value in {**options, **stated}.items()}


def _given(value: Any) -> Any:
    """An option as `explain` takes it, from how a manifest holds it."""
    if isinstance(value, str):
        return local(value)
    return tuple(value) if isinstance(value, list) else value


def _read_options(kind: type[Options], kept: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options that a manifest keeps, by the names that they have now.

    Raises:
        UsageError: the manifest holds something else; it names the file.
    """
    known = renamed(kind, kept)
    strange = [name for name in known if name not in table(kind)]
    try:
        if strange:
            raise UsageError(f"there is no option {strange[0]}")
        if not isinstance(known.get("model"), (str, type(None))):
            raise UsageError("the option model has the wrong type")
        return read_options(kind, known)
    except UsageError as error:
        hint = f"Name images and model: sig evaluate IMAGES --model NAME --attributions {folder}."
        raise UsageError(
            f"the manifest of the run is damaged: {error.what}", given=folder / MANIFEST, hint=hint
        ) from error


def check_model(folder: Path, model: Model) -> None:
    """Raise UsageError where the run was made with other weights."""
    spec = (read_manifest(folder) or {}).get("spec", {})
    if spec.get("weights_hash") != model.weights_hash:
        raise UsageError(
            "the model's weights differ from those of the run", given=f"{model.name}, {model.weights}",
            hint="To measure its arrays with another model, give the images and --attributions.",
        )  # fmt: skip


def reopened(options: M) -> tuple[M, Path | None, Path | None]:
    """The options, with those of a run whose folder was named; that folder; and the folder of arrays, if there is one."""
    arrays = getattr(options, "attributions", None)
    run = run_folder(options.images) if arrays is None else None
    existing = run if arrays is None else Path(arrays)
    if existing is not None:
        refuse_shard(manifest_or_none(existing), existing)
        for name, usual in (("shard", None), ("workers", None), ("engine", "local"), ("address", None)):
            if (value := getattr(options, name, usual)) != usual:
                hint = f"Give --{name} to the command that explains and measures images."
                raise UsageError(f"--{name} does not divide arrays that exist", given=value, hint=hint)
    if run is None:
        return options, None, None if arrays is None else Path(arrays)
    images, kept = loading(run)
    given = {**_read_options(type(options), kept, run), "out": str(run), **options.given}
    if given.get("model") is None:
        raise UsageError(
            "the run used a network in memory", given=run, hint="Name it: evaluate(folder, model=network)."
        )
    return copied_files(type(options)(**{**given, "images": images})), run, run
