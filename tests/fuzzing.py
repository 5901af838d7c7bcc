"""What sig reads of other people's files, damaged at random from a seed; used by `benchmarks/fuzz.py` and its test.

Each target is a few good files and a call that reads them. `trial` damages one and says how the call ended: `read`,
`refused` (an error of sig in one or two lines), or `unexpected …`.
"""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hostile_files import odd, picture
from mutations import _json as value_replaced
from mutations import mutated
from mutations import outcome as model_outcome
from mutations import seeds as models

Read = Callable[[Path], object]
TOKENS = [
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"-inf",
    b"99999999999999999999",
    b"4294967295",
    b"2147483648",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b'"\\ud800"',
    b"../../x",
    b"/etc/passwd",
    b"=1+1",
    b"<script>",
    b"%s",
    b"\x1b[31m",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"(" * 300,
    b"9" * 5000,
    b"a" * 70000,
    b"\xe2\x80\xae",
    b"\\",
    b"\\x",
    b"#",
    b":",
    b"index",
    b"label",
    b"image",
    b"1_0",
    b"\xd9\xa3",
    b"\xc2\xb2",
]


@dataclass(frozen=True)
class Target:
    """Good files, by path in the folder of a trial, what reads them, and which of them are damaged."""

    files: dict[str, bytes]
    read: Read
    damaged: tuple[str, ...]
    damage: Callable[[bytes, random.Random], bytes]


def damage(content: bytes, rng: random.Random) -> bytes:
    """One to three of: bits turned, a cut, a piece repeated, moved or zeroed, a nasty word, a value of JSON replaced."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = _once(content, rng)
    return content


def _once(content: bytes, rng: random.Random) -> bytes:
    way, place = rng.choice(_WAYS), rng.randrange(len(content) + 1)
    return way(content, place, rng.choice((1, 2, 4, 16, 100, 2000)), rng)


def _turned(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(min(size, 30) if made else 0):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _moved(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    rest = content[:place] + content[place + size :]
    other = rng.randrange(len(rest) + 1)
    return rest[:other] + content[place : place + size] + rest[other:]


def _filled(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    size = min(size, len(content) - place)
    return content[:place] + rng.choice((b"\0", b"\xff", b"\x7f")) * size + content[place + size :]


def _worded(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    return content[:place] + rng.choice(TOKENS) + content[place + rng.choice((0, 0, 1, 4, 20)) :]


def _cell(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    cells = [found.span() for found in re.finditer(rb"[^,;\s\"]+", content[:200_000])] or [(0, 0)]
    first, last = rng.choice(cells)
    return content[:first] + rng.choice(TOKENS) + content[last:]


_WAYS: list[Callable[[bytes, int, int, random.Random], bytes]] = [
    lambda content, place, size, rng: content[:place],
    lambda content, place, size, rng: content[: place + size] + content[place:],
    lambda content, place, size, rng: content[:place] + content[place + size :],
    _turned, _moved, _filled, _worded, _worded, _cell,
]  # fmt: skip


def _json(content: bytes, rng: random.Random) -> bytes:
    """A value of JSON replaced, or bytes as anywhere."""
    return value_replaced(content, rng) if rng.random() < 0.6 else damage(content, rng)


def damage_lines(content: bytes, rng: random.Random) -> bytes:
    """One line of JSON lines."""
    lines = content.split(b"\n")
    if rng.random() < 0.3:
        return damage(content, rng)
    place = rng.randrange(len(lines))
    lines[place] = _json(lines[place], rng) if lines[place] else rng.choice(TOKENS)
    return b"\n".join(lines)


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


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


def _command(*arguments: str) -> Read:
    def run(path: Path) -> None:
        from typer.testing import CliRunner

        from sigcli.cli.main import app

        root = path.parents[1] if path.parent.name == "out" else path.parent
        given = [one.replace("ROOT", str(root)) for one in arguments]
        ended = CliRunner().invoke(app, given)
        said = ended.stderr + ended.stdout
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        assert ended.exit_code in (0, 1, 2), ended.exit_code
        assert "unexpected" not in said, said[said.index("unexpected") :][:300]
        assert "sigcli/" not in said, said[:500]
        assert "Traceback" not in said, said[:300]
        assert sorted(one.name for one in root.iterdir()) == sorted({"in", "out"}), (
            "something stands outside of the run"
        )

    return run


def _pictures() -> dict[str, bytes]:
    found = {}
    for number, name in enumerate(("a.png", "b.png")):
        buffer = io.BytesIO()
        picture(number, 64).resize((64, 48)).save(buffer, "PNG")
        found[f"in/{name}"] = buffer.getvalue()
    return found


def _mask(form: str, mode: str = "L") -> bytes:
    from PIL import Image

    values = np.zeros((48, 64), np.uint8)
    values[10:30, 20:50] = 255 if mode == "L" else 1
    made = Image.fromarray(values)
    if mode == "P":
        made.putpalette([0, 0, 0, 200, 0, 0])
    buffer = io.BytesIO()
    made.save(buffer, form)
    return buffer.getvalue()


_CSV = [
    b"image,label\na.png,cat\nb.png,dog\nc d.png,10\n",
    b"# from a tool\nfile;class_index\nin/a.png;0\nin/b.png;2\n",
    b"a.png 1\nb.png 2\n",
    b'\xef\xbb\xbffilename\ty_true\tnote\r\na.png\t1\t"x"\r\nb.png\t0\t\r\n',
    "image,label\na.png,hen\n".encode("utf-16"),
    b",image,label\n0,a.png,cat\n1,b.png,dog\n",
    b"image|label|label_name\na.png|0|cat\n",
]
_NAMES = [
    b"cat\ndog\nhen\n10\n",
    b'["cat", "dog", "hen", "10"]',
    b'{"0": "cat", "1": "dog", "2": "hen", "3": "10"}',
    b'{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "hen"], "3": ["n04", "ten"]}',
    b"index,label\n0,cat\n1,dog\n2,hen\n3,ten\n",
    b"{0: 'cat', 1: 'dog', 2: 'hen', 3: 'ten'}",
    b"names:\n  0: cat\n  1: dog\n  2: hen\n  3: ten\n",
    b"names:\n- cat\n- dog\n- hen\n- ten\n",
    b"n02119789 kit fox\nn02100735 setter\nn02096294 terrier\nn02066245 whale\n",
]
_BOXES = [
    b"image,x0,y0,x1,y1\na.png,2,3,40,30\nb.png,1,1,9,9\nb.png,12,12,20,20\n",
    b"image,x0,y0,x1,y1,label\na,2,3,40,30,cat\nb,1,1,9,9,dog\n",
]
_COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 7,
                "segmentation": [[2, 2, 30, 2, 30, 30, 2, 30]],
                "bbox": [2, 2, 28, 28],
            },
            {
                "id": 2,
                "image_id": 2,
                "category_id": 7,
                "segmentation": {"size": [48, 64], "counts": [100, 500, 2472]},
                "iscrowd": 0,
            },
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [5, 5, 10, 10], "iscrowd": 1},
            {"id": 4, "image_id": 1, "category_id": 7, "segmentation": {"size": [48, 64], "counts": "PPYo0"}},
        ],
        "categories": [{"id": 7, "name": "cat"}],
    }
).encode()


def _run(folder: Path) -> dict[str, bytes]:
    """The files of a finished run of explanations and its evaluation, small and made once."""
    from typer.testing import CliRunner

    from sigcli.cli.main import app

    root = folder / "made"
    for name, content in _pictures().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    for command in (EXPLAIN, EVALUATE):
        given = [one.replace("ROOT", str(root)) for one in command if one != "--resume"]
        ended = CliRunner().invoke(app, given)
        assert ended.exit_code == 0, ended.output
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


EXPLAIN = (
    "explain",
    "ROOT/in",
    "--method",
    "gradient",
    "--out",
    "ROOT/out",
    "--no-pictures",
    "--resume",
    "--device",
    "cpu",
)
EVALUATE = ("evaluate", "ROOT/out", "--metric", "sparseness", "--device", "cpu", "--resume")


def targets(folder: Path, kinds: set[str] | None = None) -> dict[str, Target]:
    """What is read, by name: `kind/variant`. Models and runs are made in the folder when they are wanted."""
    found = {**_images(), **_tables(), **_objects()}
    for kind, made in {"model": _models, "hf": _hf, "run": _runs}.items():
        if kinds is None or kind in kinds:
            found |= made(folder)
    return {name: one for name, one in found.items() if kinds is None or name.partition("/")[0] in kinds}


def _images() -> dict[str, Target]:
    found = {
        f"image/{name}": Target({name: content}, _image, (name,), damage)
        for name, content in odd().items() if "folder" not in name
    }  # fmt: skip
    values = {"f4": np.ones((3, 4), "f4"), "f8": np.arange(12.0), "i8": np.arange(12), "big": np.ones((2, 2), ">f4")}
    return found | {
        f"array/{name}": Target({"a.npy": _npy(one)}, _array, ("a.npy",), damage) for name, one in values.items()
    }


def _tables() -> dict[str, Target]:
    found = {}
    for kind, texts, read in (("labels", _CSV, _labels), ("names", _NAMES, _names)):
        for number, text in enumerate(texts):
            how = _json if text[:1] in b"[{" else damage
            found[f"{kind}/{number}"] = Target({"t.csv": text}, read, ("t.csv",), how)
    return found


def _objects() -> dict[str, Target]:
    pictures = _pictures()
    found = {"coco/0": Target({**pictures, "m/b.json": _COCO}, _masks, ("m/b.json",), _json)}
    for number, text in enumerate(_BOXES):
        found[f"boxes/{number}"] = Target({**pictures, "m/b.csv": text}, _masks, ("m/b.csv",), damage)
    array = np.zeros((48, 64), bool)
    array[5:9, 5:9] = True
    masks = {
        "palette.png": _mask("PNG", "P"),
        **{form: _mask(form.upper().replace("TIF", "TIFF")) for form in ("png", "tif", "gif")},
    }
    for name, content in {**masks, "npy": _npy(array)}.items():
        file = f"m/a.{name.rpartition('.')[2]}"
        found[f"mask/{name}"] = Target({**pictures, file: content, "m/b.png": masks["png"]}, _masks, (file,), damage)
    return found


def _models(folder: Path) -> dict[str, Target]:
    (folder / "models").mkdir(exist_ok=True)
    made = models(folder / "models")
    return {
        f"model/{path.name}": Target({path.name: path.read_bytes()}, _model, (path.name,), mutated) for path in made
    }


def _runs(folder: Path) -> dict[str, Target]:
    files = _run(folder)
    ways = {
        "results.csv": damage, "files.jsonl": damage_lines, "manifest.json": _json, "metrics.jsonl": damage_lines,
        "evaluation.json": _json,
    }  # fmt: skip
    return {
        f"run/{command[0]}-{name}": Target(files, _command(*command), (f"out/{name}",), how)
        for name, how in ways.items() if f"out/{name}" in files for command in (EXPLAIN, EVALUATE)
    }  # fmt: skip


def _hf(folder: Path) -> dict[str, Target]:
    from test_hf import write

    write(folder / "hf")
    files = {f"n/{path.name}": path.read_bytes() for path in (folder / "hf").iterdir()}
    return {
        f"hf/{name}": Target(files, _network, (f"n/{name}",), _json)
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
