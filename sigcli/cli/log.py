"""`--log mlflow|wandb`: a run is logged when it is done, as `sig export RUN --to …` does it."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..errors import OutputError, StoppedError, UsageError
from ..names import printable
from ..options import Options
from ..places.urls import url_of
from .command import Screen


def log_run(folder: Path | None, screen: Screen) -> None:
    """With --log, log a finished run; say where it went.

    Raises:
        StoppedError: the tracker refuses it; the run stands, and the message says how to log it again.
    """
    if screen.log is None or folder is None:
        return
    from ..interop.export import export
    from ..interop.options import ExportOptions
    from .progress import StageListener

    name, project = parts(screen.log)
    asked = ExportOptions(folder, to=name)
    try:
        with StageListener() as listener:
            found = export(asked if project is None else asked.but(project=project), listener)
    except (OutputError, UsageError) as error:
        named = "" if project is None else f" --project {shlex.quote(project)}"
        again = f"sig export {shlex.quote(str(folder))} --to {name}{named}"
        hint = f"{error.hint or ''} The run is whole in {folder}/. Log it with: {again}".strip()
        raise StoppedError(f"the run was not logged: {error.what}", given=error.given, hint=hint) from error
    screen.say(f"{found.files} files logged to {printable(found.where)}")


def check_log(options: Options, screen: Screen) -> None:
    """Raise UsageError where --log cannot log a run: no such tracker, its package is missing, or the run is elsewhere."""
    if screen.log is None:
        return
    from ..interop.export import check_tracker

    name, _ = parts(screen.log)
    check_tracker(name, flag="--log")
    if url_of(getattr(options, "out", None)) is not None:
        hint = "Name a folder of this machine as --out, or leave --log out and log a copy of the run: sig export COPY --to …"
        raise UsageError(
            "--log takes a run folder of this machine", given=f"--out {getattr(options, 'out', '')}", hint=hint
        )


def parts(text: str) -> tuple[str, str | None]:
    """Tracker and project of `--log TRACKER[:PROJECT]`; raises UsageError for an empty project.

    >>> parts("mlflow"), parts("wandb:birds")
    (('mlflow', None), ('wandb', 'birds'))
    """
    name, colon, project = text.partition(":")
    if colon and not project.strip():
        raise UsageError("--log names no project", given=text, hint="For example --log mlflow:birds, or --log mlflow.")
    return name.strip(), project.strip() or None
