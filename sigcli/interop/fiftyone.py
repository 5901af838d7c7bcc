"""A run as a folder for FiftyOne. Nothing of FiftyOne is imported: the folder holds a script that loads it there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..inputs.images import read_image
from ..listener import Listener
from ..models.preprocess import Preprocess, restored
from ..runs.table import FACTS
from .finished import Finished, Map, array_of

SAMPLES, SCRIPT = "samples.json", "load.py"
_RESERVED = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "source", "media_type", "group")
_LOADER = '''"""Load this folder into FiftyOne: python load.py, or `from load import dataset; dataset()`.

`sig export` wrote it.
"""

import json
from pathlib import Path

import fiftyone as fo

HERE = Path(__file__).resolve().parent


def samples():
    """One FiftyOne sample for each picture, with a heatmap for each method."""
    for known in json.loads((HERE / "samples.json").read_text(encoding="utf-8"))["samples"]:
        sample = fo.Sample(filepath=str(HERE / known["filepath"]), source=known["source"])
        for name, found in known["maps"].items():
            sample[name] = fo.Heatmap(map_path=str(HERE / found["map_path"]), range=found["range"], **found["facts"])
            sample[f"{name}_target"] = fo.Classification(label=found["label"])
        yield sample


def dataset(name=None):
    """The FiftyOne dataset; a name keeps it in FiftyOne's database."""
    made = fo.Dataset(name, persistent=name is not None)
    made.add_samples(list(samples()))
    return made


if __name__ == "__main__":
    fo.launch_app(dataset()).wait()
'''


def fiftyone(run: Finished, out: Path, listener: Listener) -> int:
    """Write pictures, heatmaps, `samples.json` and `load.py`; returns the number of files.

    Pictures are what the network saw of each image (resized and cropped), so heatmaps lie on them pixel by pixel. A heatmap
    is the map summed over channels as 8-bit grey: 0 to 255 is -limit to limit, and 127.5 is 0; `limit`, its largest
    magnitude, is among the facts.

    Raises:
        UsageError: an image is no longer where it was, or maps are not of pictures.
    """
    maps, samples, files = run.maps, [], 2
    display, named = _display(run), _fields(dict.fromkeys(one.field for one in maps))
    (out / "pictures").mkdir(parents=True)
    for number, (_, group) in enumerate(groupby(maps, key=lambda one: one.entry.folder), 1):
        every = list(group)
        first = every[0]
        name = f"pictures/{number:06d}.png"
        Image.fromarray(display.display(read_image(_source(first)).pixels)).save(out / name)
        known = dict(_maps(out, number, every, named))
        samples.append({"filepath": name, "source": str(first.source), "image": first.entry.image, "maps": known})
        files += 1 + len(known)
        listener.stage("writing", number, len({one.entry.folder for one in maps}))
    text = json.dumps({"run": run.name, "parameters": run.parameters(), "samples": samples}, indent=1)
    (out / SAMPLES).write_text(text + "\n", encoding="utf-8")
    (out / SCRIPT).write_text(_LOADER, encoding="utf-8")
    return files


def _display(run: Finished) -> Preprocess:
    """How pictures were brought to the network, for what it saw of them."""
    found = restored(run.manifest["spec"].get("preprocess"))
    if found is None or any(one in run.manifest for one in ("arrays", "partners")):
        raise UsageError("FiftyOne shows maps of pictures, and the run's are none", given=run.path)
    return found


def _source(one: Map) -> Path:
    if one.source is None or not one.source.is_file():
        raise UsageError(
            "an image of the run is missing",
            given=one.source or one.entry.image,
            hint="Put it back where the run found it.",
        )
    return one.source


def _maps(out: Path, number: int, every: list[Map], named: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in every:
        field = named[one.field]
        path = f"heatmaps/{field}/{number:06d}.png"
        values = array_of(one.file)
        if values.ndim != 3:
            raise UsageError("FiftyOne shows maps of pictures, and this is none", given=one.file)
        flat = values.astype(np.float64).sum(0)
        limit = float(np.abs(flat).max()) or 1.0
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint((flat / limit + 1) * 127.5).astype(np.uint8)).save(out / path)
        facts = {name: value for name in FACTS if (value := one.entry.facts.get(name)) not in (None, "")}
        told = {"method": one.entry.method, "target": one.entry.target, "output": one.entry.output, "limit": limit}
        label = one.entry.label or one.entry.target
        yield field, {"map_path": path, "range": [0, 255], "label": label, "facts": {**told, **facts}}


def _fields(names: Iterable[str]) -> dict[str, str]:
    """Names of maps → names that FiftyOne takes for fields: letters, digits and _, none twice and none of its own.

    >>> _fields(["ig", "my-map", "my_map", "tags", "3d"])
    {'ig': 'ig', 'my-map': 'my_map', 'my_map': 'my_map_', 'tags': 'map_tags', '3d': 'map_3d'}
    """
    found: dict[str, str] = {}
    for name in names:
        text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
        text = text if text[:1].isalpha() and text not in _RESERVED else f"map_{text}"
        while text in found.values() or text.removesuffix("_target") in found.values():
            text += "_"
        found[name] = text
    return found
