"""`--limit` and `--sample`: some of the images that were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..draws import stream
from ..errors import UsageError
from ..inputs.given import Source
from ..names import images_told
from ..runs.filenames import run_names

if TYPE_CHECKING:
    from .options import RunOptions


def some(sources: list[Source], options: RunOptions) -> tuple[list[Source], tuple[str, ...]]:
    """The images that `limit` or `sample` leave of those found, in their order, and a note that says how many.

    A sample is drawn from the seed and the images' names below their common folder: the order of the files and the place of
    the folder do not matter, and an image that is in a sample is in every larger one.

    Raises:
        UsageError: a number below 1, or both options.
    """
    limit, sample = options.limit, options.sample
    if limit is not None and sample is not None:
        raise UsageError("--limit and --sample cannot be used together", given=f"--limit {limit} --sample {sample}")
    for name, count in (("--limit", limit), ("--sample", sample)):
        if count is not None and count < 1:
            raise UsageError(f"{name} must be at least 1", given=count)
    if limit is not None:
        note = f"--limit {limit}: the first {limit:,} of {images_told(len(sources))}."
        note = (
            note
            if limit <= len(sources)
            else f"--limit {limit}: there are {images_told(len(sources))}, and all are taken."
        )
        return sources[:limit], (note,) if limit != len(sources) else ()
    if sample is None:
        return sources, ()
    if sample >= len(sources):
        note = f"--sample {sample}: there are {images_told(len(sources))}, and all are taken."
        return sources, (note,) if sample > len(sources) else ()
    names = [name for name, _ in run_names(sources)]
    ranked = sorted(range(len(sources)), key=lambda place: (stream(options.seed, "sample", names[place]), names[place]))
    kept = sorted(ranked[:sample])
    note = f"--sample {sample}: {sample:,} of {images_told(len(sources))}, drawn with --seed {options.seed}."
    return [sources[place] for place in kept], (note,)
