"""`sig export` as a library: a finished run in; a file, a folder or a tracker's run out. No printing."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

from ..catalog import Entry
from ..door import door
from ..errors import OutputError, UsageError, unknown
from ..listener import SILENT, Listener
from . import EXPORTS, names
from .exported import Exported
from .finished import Finished
from .options import ExportOptions


@door(ExportOptions)
def export(options: ExportOptions, listener: Listener = SILENT) -> Exported:
    """Write a finished run as a file for other tools, or log it to a tracker. The run folder stays as it is.

    Called with options as arguments, or with an `ExportOptions` and a `Listener`:

        export("sig-out", format="npz", out="maps.npz")
        export("sig-out", to="mlflow", project="birds")

    Raises:
        UsageError: no run folder, no such format, or an extra that is not installed.
        OutputError: what is to be written exists already, or cannot be written; or the tracker refuses.
    """
    entry = _chosen(options)
    run = Finished(Path(options.run))
    if entry.properties["to"] == "file":
        return _written(entry, run, options, listener)
    return check_tracker(entry.name).load()(run, options, listener)


def _chosen(options: ExportOptions) -> Entry:
    given = {"file": options.format, "tracker": options.to}
    known = [(kind, name) for kind, name in given.items() if name is not None]
    if len(known) != 1:
        allowed = f"--format {' or '.join(names('file'))}, or --to {' or '.join(names('tracker'))}"
        what = "say what to export to" if not known else "--format and --to cannot be combined"
        raise UsageError(what, allowed=allowed)
    (kind, name) = known[0]
    if name not in names(kind):
        flag = "--format" if kind == "file" else "--to"
        other = next((entry for one, entry in EXPORTS.items() if one == name), None)
        if other is not None:
            raise UsageError(f"{name} goes with {'--to' if kind == 'file' else '--format'}, not {flag}", given=name)
        raise unknown(f"value of {flag}", name, names(kind))
    if kind == "tracker" and options.out is not None:
        raise UsageError("--out is for --format; a tracker has a place of its own", given=options.out)
    return EXPORTS[name]


def check_tracker(name: str, flag: str = "--to") -> Entry:
    """The tracker of a name.

    Raises:
        UsageError: there is none, or the package that it needs is not installed.
    """
    if name not in names("tracker"):
        raise unknown(f"value of {flag}", name, names("tracker"))
    entry = EXPORTS[name]
    extra = entry.properties["extra"]
    if extra and importlib.util.find_spec(extra) is None:
        raise UsageError(
            f"{flag} {name} needs the package {extra}",
            hint=f"Install it: pip install '.[{extra}]' in the clone of sig.",
        )
    return entry


def _written(entry: Entry, run: Finished, options: ExportOptions, listener: Listener) -> Exported:
    """What an export writes, whole or not at all: it is written beside its place and renamed."""
    default = str(entry.properties["default"]).replace("NAME", run.name)
    out = Path(default if options.out is None else options.out)
    if out.resolve() == run.path.resolve() or run.path.resolve() in out.resolve().parents:
        raise UsageError("an export cannot be written into the run folder", given=out, hint="Name another --out.")
    write: Callable[[Finished, Path, Listener], int] = entry.load()
    _check_free(entry, out, overwrite=options.overwrite)
    aside = out.with_name(f".{out.name}.sig.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove(aside)
        files = write(run, aside, listener)
        _remove(out)
        aside.rename(out)
    except OSError as error:
        raise OutputError("the export cannot be written", given=out, hint=f"{error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):  # what kept it from being written may keep it from being removed
            _remove(aside)
    return Exported(entry.name, str(out), len(run.maps), files)


def _check_free(entry: Entry, out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where something stands in the way that may not be replaced."""
    if not out.exists():
        return
    if not overwrite:
        raise OutputError("the place of the export is taken", given=out, hint="Name another --out, or add --overwrite.")
    marker = entry.properties.get("marker")
    ours = out.is_file() if marker is None else (out / marker).is_file()
    if not ours:
        raise OutputError(
            "--overwrite replaces an earlier export only, and this is none", given=out, hint="Name another --out."
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
