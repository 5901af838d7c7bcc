"""Folders of scenarios: one that a scenario claims, and one that a run of explanations claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..runs.claims import remove_empty
from ..runs.folder import claim_folder, folder_for, manifest_or_none, output_folder, owned, refuse_strangers
from ..runs.lock import held
from ..runs.provenance import versions


def claim(name: str, spec: Mapping[str, Any], files: Sequence[str], *, out: str | Path | None, overwrite: bool) -> Path:
    """Make the folder of a scenario that writes its own tables; those of the same run stand until they are replaced."""
    manifest = {"spec": {"command": f"benchmark scenario {name}", **spec}, "versions": versions(), "images": []}
    folder = folder_for(out, f"sig-{name}", manifest)
    with held(folder):
        claim_folder(folder, manifest, files, overwrite=overwrite)
    return folder


def own_folder(
    default: str, files: Sequence[str], networks: Sequence[str], *, out: str | Path | None, overwrite: bool
) -> Path:
    """The folder of a scenario whose explanations are a run in it, checked before any training. Nothing is written.

    Args:
        default: its name where `out` is not given.
        files: tables and pictures that the scenario writes beside the run's, the first of them in any case.
        networks: files of networks that it puts there.
        out: as the user named it.
        overwrite: replace another run.

    Raises:
        UsageError: no folder that can be.
        OutputError: it holds another run, or strangers' files of these names.
    """
    folder = output_folder(default if out is None else out)
    manifest = manifest_or_none(folder)
    mine = owned(manifest)
    again = mine is None or files[0] in mine
    if manifest is not None and not again and not overwrite:
        raise OutputError(
            f"{folder} already holds another run", hint="Name another --out, or add --overwrite to replace it."
        )
    refuse_strangers(folder, files if again else (*files, *networks), overwrite=overwrite)
    return folder


@contextmanager
def unclaimed(folder: Path, networks: Sequence[str]) -> Iterator[None]:
    """Networks that are put into a folder before a run claims it are taken away again where none does."""
    before = {name for name in networks if (folder / name).exists()}
    try:
        yield
    except BaseException:
        if manifest_or_none(folder) is None:
            for name in set(networks) - before:
                (folder / name).unlink(missing_ok=True)
            remove_empty(folder)
        raise


def drop_pictures(folder: Path, files: Sequence[str]) -> None:
    """Remove the pictures of an earlier run, once its tables are replaced: until then they stand together."""
    for name in files:
        if name.endswith(".png"):
            (folder / name).unlink(missing_ok=True)
