"""`sig export`: parse, call `sigcli.export`, say where the run went."""

from __future__ import annotations

from ..interop.options import ExportOptions
from ..names import printable
from .command import Screen, command


@command(ExportOptions, kept="nothing was written")
def export(options: ExportOptions, screen: Screen) -> int:
    """Write a finished run as a file for other tools, or log it to a tracker.

    Examples:
      sig export sig-out --format npz                   sig-out.npz: every map and the table of results

      sig export sig-out --format fiftyone              a folder for FiftyOne; python sig-out-fiftyone/load.py opens it

      sig export sig-out --to mlflow --project birds    parameters, means with intervals, tables and pictures

      WANDB_MODE=offline sig export sig-out --to wandb  the same to files, for 'wandb sync'
    """
    from ..interop.export import export as carry_out
    from .progress import StageListener

    with StageListener() as listener:
        found = carry_out(options, listener)
    screen.results.add({"kind": found.kind, "where": found.where, "maps": found.maps, "files": found.files})
    maps = "" if found.maps is None else f"{found.maps} maps, "
    what = "arrays" if found.kind == "npz" else "files"
    screen.say(f"{maps}{found.files} {what} exported to {printable(found.where)}")
    return 0
