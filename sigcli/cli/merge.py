"""`sig merge`: parse, call `sigcli.merge`, show progress and what was merged."""

from __future__ import annotations

from ..evaluation.options import MergeOptions
from ..names import images_told, printable
from .command import Screen, command


@command(MergeOptions, kept="what was copied is kept; repeat the command to continue")
def merge(options: MergeOptions, screen: Screen) -> int:
    """Join the shards of a run that was divided with --shard: the folder that one process would have left.

    Examples:
      sig explain photos/ --shard 1/2 --out out/1             on one machine

      sig explain photos/ --shard 2/2 --out out/2             on another

      sig merge out/1 out/2 --out out/all
    """
    from ..evaluation.merge import merge as carry_out
    from .progress import StageListener

    with StageListener() as listener:
        found = carry_out(options, listener)
    screen.results.add({
        "folder": str(found.folder), "images": found.images, "done": found.done, "failed": found.failed,
        "notes": found.notes,
    })  # fmt: skip
    for note in found.notes:
        screen.say(f"note: {note}")
    told = f"{found.done} of {images_told(found.images)}" if found.done < found.images else images_told(found.images)
    screen.say(f"{told} merged, {found.failed} maps failed; written to {printable(str(found.folder))}/")
    return 0
