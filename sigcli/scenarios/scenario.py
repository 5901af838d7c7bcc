"""The use case behind `sig benchmark scenario NAME`: whatever a scenario finds, as one table with a verdict. No printing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..attribution.select import Chosen, choose_methods
from ..catalog import Entry
from ..errors import OutputError, UsageError, unknown
from ..runs.folder import claim_folder, free_folder, manifest_or_none, output_folder, owned, refuse_strangers
from ..runs.provenance import versions
from . import SCENARIOS

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a scenario ends with.

    Args:
        title: what was asked, in a sentence.
        columns: of the table: column → heading; the first names the method.
        rows: of the table, one for each method; a number or a text for each column, None where there is none.
        facts: sentences above the table: the network, its checks, what was measured.
        findings: sentences below it: what the table says.
        records: the same figures and more for `--json`, one object for each.
        failed: what could not be explained, one sentence each.
        folder: of tables and figures.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    facts: Sequence[str] = ()
    findings: Sequence[str] = ()
    records: Sequence[Mapping[str, Any]] = ()
    failed: Sequence[str] = ()
    folder: Path | None = None


def benchmarks() -> list[Entry]:
    """The scenarios that `sig benchmark scenario` knows."""
    return [entry for entry in SCENARIOS.values() if "benchmark" in entry.properties]


def scenario(name: str, **options: Any) -> Verdict:
    """Carry out a scenario whose answer is known.

    Args:
        name: see `sig list scenarios`.
        options: keyword arguments of the scenario's function.

    Raises:
        UsageError: no such scenario, or an option that it does not have.
        OutputError: the folder cannot be written or holds another run.
    """
    known = {entry.name: entry for entry in benchmarks()}
    if name not in known:
        raise unknown("scenario", name, known)
    entry = known[name]
    function = replace(entry, target=entry.properties["benchmark"]).load()
    has = inspect.signature(function).parameters
    for option in options:
        if option not in has:
            allowed = ", ".join(f"--{own.replace('_', '-')}" for own in has if own != "progress")
            raise UsageError(
                f"the scenario {name} has no such option", given=f"--{option.replace('_', '-')}", allowed=allowed
            )
    return function(**options)


def path_methods(method: str | Sequence[str], settings: Mapping[str, Any]) -> list[Chosen]:
    """The chosen methods of a scenario whose inputs are no pictures; raises UsageError for one that follows no path."""
    chosen = choose_methods(method, settings)
    for one in chosen:
        if one.entry.properties["kind"] != "path":
            raise UsageError(
                "the scenario takes path methods only", given=one.entry.name, allowed="ig, eg, agn, sig, …"
            )
    return chosen


def claim(name: str, spec: Mapping[str, Any], files: Sequence[str], *, out: str | Path | None, overwrite: bool) -> Path:
    """Make the folder of a scenario that writes its own tables; those of the same run stand until they are replaced."""
    manifest = {"spec": {"command": f"benchmark scenario {name}", **spec}, "versions": versions(), "images": []}
    folder = output_folder(out) if out is not None else free_folder(f"sig-{name}", manifest, resume=False)
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
        raise


def drop_pictures(folder: Path, files: Sequence[str]) -> None:
    """Remove the pictures of an earlier run, once its tables are replaced: until then they stand together."""
    for name in files:
        if name.endswith(".png"):
            (folder / name).unlink(missing_ok=True)
