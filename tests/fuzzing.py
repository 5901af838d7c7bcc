"""What sig reads of other people's files, damaged at random from a seed; used by `benchmarks/fuzz.py` and its test.

Each target is a few good files and a call that reads them. `trial` damages one and says how the call ended: `read`,
`refused` (an error of sig in one or two lines), or `unexpected …`.
"""

from __future__ import annotations

import random
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from damage import damage, json_damage
from fuzzed_runs import configs, runs, trainings
from good_files import BOXES, COCO, CSV, NAMES, mask, npy, pictures

from hostile_files import odd
from mutations import mutated
from mutations import outcome as model_outcome
from mutations import seeds as models

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """Good files, by path in the folder of a trial, what reads them, and which of them are damaged."""

    files: dict[str, bytes]
    read: Read
    damaged: tuple[str, ...]
    damage: Callable[[bytes, random.Random], bytes]


def _image(path: Path) -> None:
    from sigcli.inputs.images import read_image

    found = read_image(path).pixels
    assert found.dtype == np.uint8, found.dtype
    assert found.ndim == 3, found.shape


def _array(path: Path) -> None:
    from sigcli.errors import UsageError
    from sigcli.inputs.arrays import read_array, shape_of
    from sigcli.players import read_labels

    shape_of(path)
    try:
        read_labels(path)
    except UsageError as error:
        _one_sentence(error)
    assert np.isfinite(read_array(path).pixels).all()


def _one_sentence(error: Exception) -> None:
    lines = str(error).splitlines()
    assert 1 <= len(lines) <= 2, lines
    assert all(map(str.strip, lines)), lines
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for line in lines for c in line), lines
    assert sum(map(len, lines)) < 6000, sum(map(len, lines))
    str(error).encode()


IMAGES = [Path("in/a.png"), Path("in/b.png"), Path("in/c d.png")]
CLASSES = ("cat", "dog", "hen", "10")


def _labels(path: Path) -> None:
    from sigcli.evaluation.true_classes import read_true_classes

    found = read_true_classes(path, IMAGES, CLASSES, len(CLASSES))
    assert set(found.classes.values()) <= set(range(len(CLASSES)))
    found.note.encode()


def _names(path: Path) -> None:
    from sigcli.models.labels import read_names

    names, notes = read_names(path, len(CLASSES))
    assert len(names) == len(CLASSES)
    assert all(isinstance(name, str) for name in names)
    " ".join(notes).encode("utf-8", "strict")


def _masks(path: Path) -> None:
    """The masks of a folder, table or JSON file, for the pictures of 64 × 48 beside them."""
    from sigcli.evaluation.masks.located import Masks, open_masks
    from sigcli.evaluation.masks.wanted import read_wanted
    from sigcli.models.preprocess import Preprocess

    folder = path.parent if path.suffix not in (".csv", ".json") else path
    masks = Masks(open_masks(folder), read_wanted(None, None))
    images = [path.parent.parent / "in" / "a.png", path.parent.parent / "in" / "b.png"]
    masks.fit(images, Preprocess(resize=32, crop=32))
    " ".join(masks.notes).encode()


def targets(folder: Path, kinds: set[str] | None = None) -> dict[str, Target]:
    """What is read, by name: `kind/variant`. Models and runs are made in the folder when they are wanted.

    A trial is to be in the folder `trial` of the same.
    """
    found = {**_images(), **_tables(), **_objects()}
    for kind, made in {"model": _models, "hf": _hf}.items():
        if kinds is None or kind in kinds:
            found |= made(folder)
    for kind, known in {"run": runs, "config": configs, "train": trainings}.items():
        if kinds is None or kind in kinds:
            found |= {name: Target(*parts) for name, parts in known(folder).items()}
    return {name: one for name, one in found.items() if kinds is None or name.partition("/")[0] in kinds}


def _images() -> dict[str, Target]:
    found = {
        f"image/{name}": Target({name: content}, _image, (name,), damage)
        for name, content in odd().items() if "folder" not in name
    }  # fmt: skip
    values = {"f4": np.ones((3, 4), "f4"), "f8": np.arange(12.0), "i8": np.arange(12), "big": np.ones((2, 2), ">f4")}
    return found | {
        f"array/{name}": Target({"a.npy": npy(one)}, _array, ("a.npy",), damage) for name, one in values.items()
    }


def _tables() -> dict[str, Target]:
    found = {}
    for kind, texts, read in (("labels", CSV, _labels), ("names", NAMES, _names)):
        for number, text in enumerate(texts):
            how = json_damage if text[:1] in b"[{" else damage
            found[f"{kind}/{number}"] = Target({"t.csv": text}, read, ("t.csv",), how)
    return found


def _objects() -> dict[str, Target]:
    images = pictures()
    found = {"coco/0": Target({**images, "m/b.json": COCO}, _masks, ("m/b.json",), json_damage)}
    for number, text in enumerate(BOXES):
        found[f"boxes/{number}"] = Target({**images, "m/b.csv": text}, _masks, ("m/b.csv",), damage)
    array = np.zeros((48, 64), bool)
    array[5:9, 5:9] = True
    masks = {
        "palette.png": mask("PNG", "P"),
        **{form: mask(form.upper().replace("TIF", "TIFF")) for form in ("png", "tif", "gif")},
    }
    for name, content in {**masks, "npy": npy(array)}.items():
        file = f"m/a.{name.rpartition('.')[2]}"
        found[f"mask/{name}"] = Target({**images, file: content, "m/b.png": masks["png"]}, _masks, (file,), damage)
    return found


def _models(folder: Path) -> dict[str, Target]:
    (folder / "models").mkdir(exist_ok=True)
    made = models(folder / "models")
    return {
        f"model/{path.name}": Target({path.name: path.read_bytes()}, _model, (path.name,), mutated) for path in made
    }


def _hf(folder: Path) -> dict[str, Target]:
    from hf_folders import write

    write(folder / "hf")
    files = {f"n/{path.name}": path.read_bytes() for path in (folder / "hf").iterdir()}
    return {
        f"hf/{name}": Target(files, _network, (f"n/{name}",), json_damage)
        for name in ("config.json", "preprocessor_config.json")
    }


def _network(path: Path) -> None:
    from sigcli.models.loading import load_model

    load_model(str(path.parent), device="cpu")


def _model(path: Path) -> None:
    from sigcli.errors import ModelError

    told = model_outcome(path)
    if told == "refused":
        raise ModelError("refused")
    assert told == "loaded", told


def trial(target: Target, seed: int, folder: Path) -> str:
    """Damage one file of a target as the seed says, read it, and say how that ended; see above."""
    from sigcli.errors import SigError

    rng = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in target.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    chosen = rng.choice(target.damaged)
    (folder / chosen).write_bytes(target.damage(target.files[chosen], rng))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder / chosen)
    except SigError as error:
        try:
            _one_sentence(error)
        except Exception as wrong:  # noqa: BLE001
            return f"unexpected message: {wrong!r}"[:400]
        return "refused"
    except BaseException as error:  # noqa: BLE001  that is what is sought
        return f"unexpected {type(error).__name__}: {error}"[:400]
    return "read"
