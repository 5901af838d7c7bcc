"""Two run folders compared, file by file and byte by byte, but for what tells the time."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from pathlib import Path


def contents(folder: Path, timed: Collection[str] = ()) -> dict[str, object]:
    """Every file of a run by its name; of tables the rows without times, of the page's data all but times and names.

    Args:
        folder: of the run.
        timed: names of pictures that show times, of which only is asked whether they are there.
    """
    found: dict[str, object] = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as stream:
                rows = csv.DictReader(stream)
                found[name] = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]
        elif path.name == "data.js":
            text = path.read_text(encoding="utf-8")
            shown = json.loads(text[text.index("{") : text.rindex("}") + 1], object_hook=_untimed)
            found[name] = {**shown, "made": "", "runs": [{**run, "name": ""} for run in shown["runs"]]}
        else:
            found[name] = "drawn" if path.name in timed else path.read_bytes()
    return found


def _untimed(shown: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in shown.items() if key != "seconds"}


def differing(one: Path, other: Path, timed: Collection[str] = ()) -> list[str]:
    """Names of the files that only one folder has, or that differ."""
    left, right = contents(one, timed), contents(other, timed)
    return sorted(name for name in {*left, *right} if left.get(name) != right.get(name))
