"""Commands whose files are on remote places: what they name is brought here, and what they write is brought there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SigError, UsageError
from ..listener import Listener
from ..options import Options, table
from ..places.copies import copied
from ..places.urls import path_of_url, shown, url_of
from .stage import Stage

O = TypeVar("O", bound=Options)  # noqa: E741
COPIED = (
    "model", "weights", "class_names", "mask_certainty", "players", "baseline", "partner", "masks", "labels",
    "attributions",
)  # fmt: skip
"""Options that name a file or folder which is copied to this machine before the command begins."""


class RemoteFolder(type(Path())):
    """A run folder of a remote place where results have the path of one of this machine: as a text it is its URL."""

    url: str

    @classmethod
    def of(cls, url: str) -> RemoteFolder:
        """The folder of a URL."""
        made = cls(path_of_url(url))
        made.url = shown(url)
        return made

    def __str__(self) -> str:
        return self.url if hasattr(self, "url") else super().__str__()


def copied_files(options: O, tell: Callable[[str], object] = lambda _: None) -> O:
    """The options with copies on this machine in place of remote files.

    Raises:
        UsageError: one cannot be had.
    """
    changes: dict[str, Any] = {}
    for name in COPIED:
        url = url_of(getattr(options, name, None))
        if url is not None:
            kind = next(one.type for one in dataclasses.fields(options) if one.name == name)  # type: ignore[arg-type]
            path = copied(url, tell)
            changes[name] = path if "Path" in str(kind) else str(path)
    return options.but(**changes) if changes else options


def carried_out(function: Callable[[O, Listener], Any], options: O, listener: Listener) -> Any:
    """What a command returns, whose options may name remote places.

    Raises:
        UsageError: a remote file cannot be had, or the command writes to this machine only.
        OutputError: the remote folder of `--out` cannot be written, or holds something else.
        StoppedError: the run could not be uploaded.
    """
    options = copied_files(options, listener.note)
    url = url_of(getattr(options, "out", None))
    staging = getattr(options, "stage", None)
    if url is None:
        if staging is not None:
            raise UsageError("--stage is for a run folder on a remote place", hint="Leave it out, or give --out a URL.")
        return function(options, listener)
    if "stage" not in table(type(options)):
        hint = "Write to a folder and copy it."
        raise UsageError("this command writes to this machine only", given=f"--out {shown(url)}", hint=hint)
    _refuse_inside(url, options)
    stage = Stage(url, staging, resume=bool(getattr(options, "resume", False)), tell=listener.note)
    try:
        found = function(options.but(out=str(stage.path), stage=None), _Told(listener, stage))
    except SigError as error:
        _given_back(stage, listener)
        raise stage.told(error) from error
    except BaseException:
        _given_back(stage, listener)
        raise
    if isinstance(found, Generator):
        return _followed(found, stage, listener)
    stage.end()
    return _in_place(found, stage)


def _followed(found: Generator[Any, None, None], stage: Stage, listener: Listener) -> Generator[Any, None, None]:
    """What a command yields; the run is uploaded whole when it ends."""
    try:
        yield from found
    except GeneratorExit:
        found.close()
        stage.end()
        raise
    except SigError as error:
        _given_back(stage, listener)
        raise stage.told(error) from error
    except BaseException:
        _given_back(stage, listener)
        raise
    stage.end()


def _given_back(stage: Stage, listener: Listener) -> None:
    """Upload what a run has finished that an error ended, which is told by the error; a failure is a note."""
    try:
        stage.end()
    except SigError as failure:
        listener.note(" ".join(str(failure).split()))


def _in_place(found: Any, stage: Stage) -> Any:
    """A result that names the remote folder where it named the staging folder."""
    if getattr(found, "folder", None) != stage.path:
        return found
    folder = RemoteFolder.of(stage.url)
    if not dataclasses.is_dataclass(found):
        setattr(found, "folder", folder)  # noqa: B010  whatever a command returns
        return found
    made: Any = found
    return dataclasses.replace(made, folder=folder)


def _refuse_inside(url: str, options: Options) -> None:
    """Raise UsageError where a run would write among the remote images: the next one would explain its maps."""
    images = getattr(options, "images", None)
    every = [images] if isinstance(images, (str, Path)) else images if isinstance(images, Sequence) else []
    for one in map(url_of, every):
        if one is not None and f"{path_of_url(url)}/".startswith(f"{path_of_url(one)}/"):
            what = "the output folder is inside the folder of images"
            raise UsageError(what, given=shown(url), hint="Name one outside.")


class _Told(Listener):
    """Passes on what a command reports, with the remote folder in place of the staging folder."""

    def __init__(self, listener: Listener, stage: Stage):
        self._listener, self._stage = listener, stage

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        place = RemoteFolder.of(self._stage.url) if folder == self._stage.path else folder
        self._listener.begin(items, [self._there(text) for text in notes], place)

    def planned(self, evaluations: Mapping[str, int | None]) -> None:
        self._listener.planned(evaluations)

    def evaluated(self, images: int) -> None:
        self._listener.evaluated(images)

    def explained(self, item: Any) -> None:
        self._listener.explained(item)

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        self._listener.stage(stage, done, total, point)

    def note(self, text: str) -> None:
        self._listener.note(self._there(text))

    def _there(self, text: str) -> str:
        return text.replace(str(self._stage.path), shown(self._stage.url))
