"""The page of one run folder: written while the run goes on and at its end, or at any later time from its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copyfile

from ..errors import OutputError
from ..files import going_on, is_page, write_aside, write_text
from ..names import GALLERY, PAGE
from ..runs.claims import take
from ..runs.manifest import owned, read_manifest
from .cards import Place, page_data
from .completing import complete
from .data import Data, write_script
from .paper import page
from .reading import RunFiles
from .thumbnails import file_of, prune, there

DATA = "data.js"


def write_page(run: Path, data: Data) -> tuple[int, set[str]]:
    """Write the page of a run folder: the data first, then `index.html`, which stays where it is as it would be written.

    Returns:
        How many cards it has, and the names of the small pictures that they show.
    """
    found = write_script(run / GALLERY / DATA, data)
    text, file = page("sig", f"{GALLERY}/{DATA}"), run / PAGE
    try:
        same = file.read_text(encoding="utf-8") == text
    except (OSError, UnicodeError):
        same = False
    if not same:
        write_aside(file, lambda aside: write_text(aside, text))
    return found


def publish(
    path: Path, *, pictures: bool = True, progress: Callable[[int, int], None] | None = None
) -> tuple[int, list[str]]:
    """Make the page of a run folder from its files; returns how many cards it has, and what the user should know.

    Args:
        path: the folder.
        pictures: draw the small pictures that are missing; otherwise those that are there are shown.
        progress: called with how many images were looked at, and how many there are.

    Raises:
        UsageError: it holds no run that explained images.
        OutputError: a file called `index.html` is not of the run, or the folder cannot be written.
    """
    run = RunFiles.read(path)
    take_page(path)
    without = complete(run, progress) if pictures else 0
    cards, needed = write_page(path, page_data([run], [Place()]))
    prune(path, needed)
    return cards, [*lacking(without), *run.told()]


def lacking(count: int) -> list[str]:
    """What is told of explanations that no picture could be drawn of."""
    if count < 2:
        one = "1 explanation is shown without a picture, since its array is missing or damaged."
        return [one] * count
    return [f"{count:,} explanations are shown without pictures, since their arrays are missing or damaged."]


def adopt(path: Path, shards: Sequence[Path]) -> None:
    """Make the page of a folder that shards were merged into, with their small pictures.

    Args:
        path: the folder, whose tables stand.
        shards: theirs.
    """
    with going_on(path):
        have = there(path)
        for shard in shards:
            for name in there(shard) - have:
                (path / GALLERY).mkdir(exist_ok=True)
                copyfile(file_of(shard, name), file_of(path, name))
        publish(path, pictures=False)


def take_page(path: Path) -> None:
    """Let the run of a folder own its page.

    Raises:
        OutputError: a file of that name is not of the run, or the folder cannot be written.
    """
    mine = owned(read_manifest(path))
    if mine is None and (path / PAGE).exists() and not is_page(path / PAGE):  # of a version without pages
        raise OutputError(
            f"{path} contains {PAGE}, which sig did not write",
            hint="Name another file: sig report RUN --out page.html.",
        )
    take(path, (PAGE,))
