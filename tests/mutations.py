"""Model files of every format that sig reads, very small, and ways to damage them."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

ODD = (
    None,
    True,
    -1,
    0,
    1 << 40,
    1 << 70,
    1e308,
    "",
    "x",
    "s0",
    "9" * 50,
    [],
    [None],
    {},
    {"as_int": 1},
    {"as_expr": {}},
)


class Small(nn.Module):
    """A classifier of 8×8 pixels."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(images))).mean((2, 3)))


def seeds(folder: Path) -> list[Path]:
    """One good file of each format."""
    from sigcli.models.preprocess import Preprocess
    from sigcli.models.sources.trained import Trained, build, save

    torch.manual_seed(0)
    net = Small().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(net, (torch.randn(2, 3, 8, 8),), dynamic_shapes=sizes)
        torch.export.save(program, folder / "new.pt2")
        _older(program, folder)
        torch.jit.save(torch.jit.script(net), folder / "script.pt")
        torch.jit.save(torch.jit.trace(net, torch.randn(2, 3, 8, 8)), folder / "traced.pt")
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, folder / "state.pth")
    torch.save(net.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(net.state_dict(), folder / "plain.safetensors")
    made = Trained("small-cnn", ("a", "b"), False, Preprocess(None, 16, (0.0,), (1.0,)), {"loss": 0.5})
    save(folder / "trained.safetensors", build(made), made)
    return sorted(folder.iterdir())


def _older(program: torch.export.ExportedProgram, folder: Path) -> None:
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    made = serialize(program)
    with zipfile.ZipFile(folder / "old.pt2", "w") as archive:
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
        archive.writestr("serialized_exported_program.json", made.exported_program)
        archive.writestr("serialized_state_dict.json", made.state_dict)
        archive.writestr("serialized_constants.json", made.constants)
        archive.writestr("serialized_example_inputs.pt", made.example_inputs)
    with zipfile.ZipFile(folder / "new.pt2") as good, zipfile.ZipFile(folder / "middle.pt2", "w") as archive:
        for name in good.namelist():
            if "/data/weights" not in name and "/data/constants" not in name:
                archive.writestr("m/" + name.split("/", 1)[1], good.read(name))
        archive.writestr("m/data/weights/model.pt", made.state_dict)
        archive.writestr("m/data/constants/model.pt", made.constants)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A damaged copy: bytes of the file, or one member of an archive with its checksum set right, or one JSON value."""
    if content[:2] == b"PK" and rng.random() < 0.75:
        return _in_archive(content, rng)
    if content[8:9] == b"{" and rng.random() < 0.6:
        return _in_header(content, rng)
    return _bytes(content, rng)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    made = bytearray(content)
    at = rng.randrange(len(made) + 1)
    way = rng.randrange(6)
    if way == 0:
        return bytes(made[:at])
    if way == 1:
        made[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
    elif way == 2:
        del made[at : at + rng.choice((1, 4, 100))]
    elif way == 3:
        made[at : at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f" * 2))
    else:
        for _ in range(rng.choice((1, 1, 2, 8))):
            if made:
                made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


def _in_archive(content: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    telling = [i for i, (name, _) in enumerate(files) if name.endswith((".json", ".pkl", ".py", ".pt"))]
    chosen = rng.choice(telling) if telling and rng.random() < 0.8 else rng.randrange(len(files))
    name, inner = files[chosen]
    if name.endswith(".json") and inner[:1] == b"{" and rng.random() < 0.8:
        inner = _json(inner, rng)
    elif inner[:2] == b"PK" and rng.random() < 0.8:
        inner = _in_archive(inner, rng)
    else:
        inner = rng.choice((_bytes(inner, rng), _bytes(inner, rng), b"", rng.choice(files)[1]))
    files[chosen] = (name, inner)
    if rng.random() < 0.05:
        del files[rng.randrange(len(files))]
    buffer = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if rng.random() < 0.03 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for each, text in files:
            archive.writestr(each, text)
    return buffer.getvalue()


def _in_header(content: bytes, rng: random.Random) -> bytes:
    """The JSON of safetensors, with its length set right."""
    size = int.from_bytes(content[:8], "little")
    header = _json(content[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _json(text: bytes, rng: random.Random) -> bytes:
    """One value of a JSON text replaced, removed or doubled; also of JSON within its strings."""
    try:
        tree = json.loads(text)
    except ValueError:
        return _bytes(text, rng)
    places: list[tuple[object, object]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in pairs:
            places.append((node, key))
            stack.append(value)
    if not places:
        return b"[]"
    node, key = rng.choice(places)
    value = node[key]  # type: ignore[index]
    if isinstance(value, str) and value[:1] in "{[" and rng.random() < 0.9:
        node[key] = _json(value.encode(), rng).decode("utf-8", "replace")  # type: ignore[index]
    elif rng.random() < 0.2:
        del node[key]  # type: ignore[attr-defined]
    elif rng.random() < 0.3:
        node[key] = places[rng.randrange(len(places))][0]  # type: ignore[index]
        return json.dumps(tree).encode() if not _circular(tree) else b"{"
    else:
        node[key] = rng.choice(ODD)  # type: ignore[index]
    return json.dumps(tree).encode()


def _circular(tree: object) -> bool:
    try:
        json.dumps(tree)
    except ValueError:
        return True
    return False


def outcome(path: Path) -> str:
    """What sig makes of a file: `loaded`, `refused`, or `unexpected ...`."""
    from sigcli.errors import SigError
    from sigcli.models.loading import load_model
    from sigcli.models.sources.weights import read_state_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".pth" or path.name.startswith("plain"):
                read_state_dict(path)
            else:
                load_model(str(path), resize=8, crop=8)
    except SigError as error:
        lines = str(error).splitlines()
        return "refused" if len(lines) <= 2 and all(lines) else f"unexpected message: {lines}"
    except BaseException as error:  # noqa: BLE001  that is what is sought
        return f"unexpected {type(error).__name__}: {error}"[:300]
    return "loaded"
