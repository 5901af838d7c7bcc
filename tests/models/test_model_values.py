"""Values out of model files of wrong types and ranges: each ends in one sentence, or is read as it stands."""

import copy
import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from sigcli.errors import ModelError
from sigcli.inspection.exported import BrokenProgramError, OddProgramError, clean_payload, clean_program
from sigcli.inspection.packages import _PARTS
from sigcli.models.labels import read_labels
from sigcli.models.preprocess import Preprocess
from sigcli.models.sources.matching import load_into
from sigcli.models.sources.trained import HEADER, Trained, build, read_header
from sigcli.models.sources.weights import hash_state, read_state_dict

from mutations import outcome

# --- pickles, written operation by operation ----------------------------------------------------------------------------

LONG = b"\x8b" + struct.pack("<i", 5000) + b"\x7f" * 5000
"""A whole number of 12,000 digits."""
DEEP = b")" + b"\x85" * 100_000
"""A tuple in a tuple in a tuple ..."""
DOUBLED = b"N" + b"2\x86" * 60
"""A tuple of twice a tuple of twice ...: 2**60 parts in 120 bytes."""
TABLE = b"ccollections\nOrderedDict\n)R"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


ZERO, ONE, FOUR, FIRST = number(0), number(1), number(4), text("0")


def tensor(kind="Float", count=4, size=FOUR, stride=ONE, offset=ZERO, key=FIRST, dtype=""):
    """A tensor of a storage; `dtype` is that of `_rebuild_tensor_v3`."""
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + key + text("cpu")
    storage += (number(count) if isinstance(count, int) else count) + b"tQ"
    made = f"ctorch._utils\n_rebuild_tensor_v{3 if dtype else 2}\n".encode() + b"(" + storage + offset
    made += b"(" + size + b"t(" + stride + b"t\x89" + TABLE + (f"ctorch\n{dtype}\n".encode() if dtype else b"")
    return made + b"tR"


def parameter(value, gradient=b"\x88"):
    return b"ctorch._utils\n_rebuild_parameter\n(" + value + gradient + TABLE + b"tR"


def table(*pairs):
    return b"}" + b"".join((text(key) if isinstance(key, str) else key) + value + b"s" for key, value in pairs)


def pickled(path, content, numbers=bytes(16)):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02" + content + b".")
        archive.writestr("w/data/0", numbers)
    return path


DAMAGED = {
    "two types": table(("a", tensor(count=3, size=number(3))), ("b", tensor("Long", 1, number(1)))),
    "two types of one width": table(("a", tensor()), ("b", tensor("Int"))),
    "two lengths": table(("a", tensor()), ("b", tensor(count=3, size=number(3)))),
    "gradient of truth values": table(("a", parameter(tensor("Bool")))),
    "gradient of whole numbers": table(("a", parameter(tensor("Long", 2, number(2))))),
    "gradient of any type": table(("a", parameter(tensor(), LONG))),
    "deep name": table((DEEP, tensor())),
    "doubled name": table((DOUBLED, tensor())),
    "deep name in a table made from pairs": b"ccollections\nOrderedDict\n(]((" + DEEP + b"NtetR",
    "doubled member of a set": b"cbuiltins\nset\n(](" + DOUBLED + b"etR",
    "deep size": table(("a", tensor(size=DEEP))),
    "long size": table(("a", tensor(size=LONG))),
    "long stride": table(("a", tensor(stride=LONG))),
    "long offset": table(("a", tensor(offset=LONG))),
    "doubled stride": table(("a", tensor(stride=DOUBLED))),
    "long count": table(("a", tensor(count=LONG))),
    "number for a key": table(("a", tensor(key=LONG))),
    "doubled key": table(("a", tensor(key=DOUBLED))),
    "attributes of a tensor": table(("a", tensor() + table(("dtype", number(5)), ("x", number(1))) + b"b")),
    "fields of a tensor": table(("a", tensor() + b"](" + number(5) * 7 + b"eb")),
    "a size of nothing and too much": table(("a", tensor(size=number(0) + (b"\x8a\x08" + b"\xff" * 7 + b"\x1f") * 2,
                                                         stride=number(1) * 3))),
    "axes": table(("a", tensor(size=number(1) * 100, stride=number(1) * 100))),
}  # fmt: skip


@pytest.mark.parametrize("wrong", DAMAGED)
def test_values_in_a_pickle_have_a_type_and_a_range(tmp_path, wrong):
    path = pickled(tmp_path / "w.pth", DAMAGED[wrong])
    with pytest.raises(ModelError, match="the file is damaged"):
        read_state_dict(path)


@pytest.mark.parametrize("name", [LONG, number(3), b"N", b")", b"\x88"], ids=["long", "3", "None", "()", "True"])
def test_names_of_weights_are_text(tmp_path, name):
    with pytest.raises(ModelError, match="no state dict"):
        read_state_dict(pickled(tmp_path / "w.pth", table((name, tensor()))))


def test_a_name_of_half_a_character_is_read_and_hashed(tmp_path):
    half = b"X\x03\x00\x00\x00\xed\xa0\x80"  # as pickle writes U+D800
    state = read_state_dict(pickled(tmp_path / "w.pth", table((half, tensor()))))
    assert list(state) == ["\ud800"]
    assert len(hash_state(state)) == 64


@pytest.mark.parametrize("kind", ["quint8", "bits8", "uint4", "float4_e2m1fn_x2"])
def test_numbers_of_a_type_without_arithmetic_are_named(tmp_path, kind):
    path = pickled(tmp_path / "w.pth", table(("a", tensor("Byte", 16, dtype=kind))))
    with pytest.raises(ModelError, match=f"no network takes: a is of type torch.{kind}"):
        read_state_dict(path)


@pytest.mark.parametrize("method", ["values", "items", "get", "__class__", "_metadata"])
def test_attributes_of_a_table_do_not_replace_its_methods(tmp_path, method):
    content = TABLE + text("a") + tensor() + b"s" + table((method, number(5))) + b"b"
    state = read_state_dict(pickled(tmp_path / "w.pth", content, struct.pack("<4f", 1, 2, 3, 4)))
    assert {name: value.tolist() for name, value in state.items()} == {"a": [1, 2, 3, 4]}


def test_an_empty_tensor_of_a_broken_number_is_empty(tmp_path):
    """Five bytes hold no float64, and none is asked for."""
    content = table(("a", tensor("Byte", 5, number(0), dtype="float64")))
    found = read_state_dict(pickled(tmp_path / "w.pth", content))["a"]
    assert (found.dtype, tuple(found.shape)) == (torch.float64, (0,))


@pytest.mark.parametrize("keys", [b"](" + LONG + b"e", b"](" + DEEP + b"e", b"](Ne"], ids=["long", "deep", "none"])
def test_the_names_of_old_storages_are_text(tmp_path, keys):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(4)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    start = content.rindex(b"\x80\x02]")
    path.write_bytes(content[:start] + b"\x80\x02" + keys + b"." + content[-24:])
    with pytest.raises(ModelError, match="damaged: it does not say where its numbers are"):
        read_state_dict(path)


def test_complex_weights_do_not_lose_a_part_in_silence(tmp_path):
    net = torch.nn.Linear(2, 2)
    state = {"weight": torch.ones(2, 2, dtype=torch.complex64), "bias": torch.zeros(2)}
    with pytest.raises(ModelError, match="weight complex instead of real"):
        load_into(net, state, tmp_path / "w.pth", "linear")


# --- the header of `sig train` --------------------------------------------------------------------------------------------

MADE = Trained("small-cnn", ("a", "b"), False, Preprocess(16, 16, (0.5,) * 3, (0.25,) * 3), {"accuracy": 1.0})
GOOD = {
    "version": 1, "arch": "small-cnn", "classes": ["a", "b"], "certainty": False, "figures": {"accuracy": 1.0},
    "preprocess": {
        "resize": 16, "crop": 16, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear",
    },
}  # fmt: skip
NAN, INF = float("nan"), float("inf")
NOT_SIZES = [
    "",
    "x",
    [],
    {},
    [NAN],
    [INF],
    [16],
    [16, 16, 16],
    [16, "x"],
    0,
    -1,
    [16, 0],
    16.0,
    True,
    NAN,
    INF,
    2**63,
    10**12,
]
NOT_NUMBERS = ["x", None, [], {}, 0.5, [0.5, 0.5], [0.5] * 4, ["x"] * 3, [None] * 3, [True] * 3, [NAN] * 3, [INF] * 3,
               [1e40] * 3, [10**400] * 3, [[]] * 3]  # fmt: skip
WRONG = [
    *((("preprocess", "crop"), value) for value in NOT_SIZES),
    *((("preprocess", "resize"), value) for value in [*NOT_SIZES, "cove"]),
    *((("preprocess", "mean"), value) for value in NOT_NUMBERS),
    *((("preprocess", "std"), value) for value in [*NOT_NUMBERS, [0.0] * 3, [-1.0] * 3, [1e-45] * 3]),
    *((("preprocess", "interpolation"), value) for value in (None, "x", [], {}, 5)),
    *((("preprocess", "more"), 5),), *((("preprocess",), value) for value in (None, [], "x", {}, 5)),
    *((("arch",), value) for value in (None, "", 5, [], {}, ["small-cnn"], "\ud800")),
    *((("classes",), value) for value in (None, [], {}, "ab", 2, [1, 2], ["a", None], ["a", ""], ["a", "\ud800"], [["a"]])),
    *((("certainty",), value) for value in (None, 0, 1, "false", [], {})),
    *((("figures",), value) for value in (None, [], "x", {"a": "x"}, {"a": 10**30}, {"a": [[[[[1]]]]]})),
    *((("version",), value) for value in (None, 2, True, "1", 1.0, [])),
]  # fmt: skip


def header(path, place=(), value=None, *, drop=False):
    """A file whose header has another value at one place, or lacks it."""
    content = copy.deepcopy(GOOD)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if place:
        inner[place[-1]] = value
    if drop:
        del inner[place[-1]]
    save_file(build(MADE).state_dict(), path, metadata={HEADER: json.dumps(content)})
    return path


def test_a_good_header_is_read_as_it_stands(tmp_path):
    assert read_header(header(tmp_path / "n.safetensors")) == MADE
    for place, value, found in (
        (("preprocess", "resize"), "cover", "cover"), (("preprocess", "resize"), None, None),
        (("preprocess", "resize"), [8, 4096], (8, 4096)), (("preprocess", "mean"), [0, 1, -2], (0.0, 1.0, -2.0)),
    ):  # fmt: skip
        assert getattr(read_header(header(tmp_path / "n.safetensors", place, value)).preprocess, place[1]) == found
    points = {"accuracy": NAN, "points": [{"step": 1, "loss": 0.5, "damaged": None}]}
    assert read_header(header(tmp_path / "n.safetensors", ("figures",), points)).figures["points"] == points["points"]
    assert outcome(header(tmp_path / "n.safetensors")) == "loaded"


def test_values_in_a_header_have_a_type_and_a_range(tmp_path):
    for place, value in WRONG:
        path = header(tmp_path / "n.safetensors", place, value)
        with pytest.raises(ModelError, match=f"does not say how its network is built: .*{place[-1]}"):
            read_header(path)


def test_nothing_may_lack_in_a_header(tmp_path):
    for place in [*((key,) for key in GOOD), *(("preprocess", key) for key in GOOD["preprocess"])]:
        with pytest.raises(ModelError, match=f"does not say how its network is built: .*{place[-1]}"):
            read_header(header(tmp_path / "n.safetensors", place, drop=True))
    for content in ("", "5", "null", "[]", "{", '"x"', "[" * 100_000, "9" * 5000):
        save_file({"w": torch.ones(1)}, tmp_path / "n.safetensors", metadata={HEADER: content})
        with pytest.raises(ModelError, match="does not say how its network is built"):
            read_header(tmp_path / "n.safetensors")


# --- exported programs and labels -----------------------------------------------------------------------------------------

HALF = "\ud800"


@pytest.fixture(scope="module")
def program():
    """The JSON of a small exported program."""
    from torch._export.serde.serialize import serialize

    exported = torch.export.export(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)), (torch.rand(1, 3, 2, 2),)
    )
    return json.loads(serialize(exported).exported_program)


@pytest.mark.parametrize("value", [HALF, f'[1, "{HALF}"]', "", "x", "9" * 5000, "[" * 5000, 5, None, "[1]",
                                   f'[1, {{"type": "builtins.dict", "context": "{HALF}", "children_spec": []}}]',
                                   '[1, {"type": "builtins.dict", "context": "\\ud800", "children_spec": []}]',
                                   '[1, {"type": "builtins.dict", "context": 5, "children_spec": []}]'])  # fmt: skip
def test_trees_of_inputs_are_text_of_json(program, value):
    for spec in ("in_spec", "out_spec"):
        changed = copy.deepcopy(program)
        changed["graph_module"]["module_call_graph"][0]["signature"][spec] = value
        with pytest.raises((OddProgramError, BrokenProgramError)):
            clean_program(json.dumps(changed).encode())


def test_texts_and_numbers_of_a_program_have_a_range(program):
    clean_program(json.dumps(program).encode())
    for change in (
        lambda p: p["graph_module"]["graph"]["nodes"][0].update(target=HALF),
        lambda p: p["graph_module"]["graph"]["nodes"][0]["inputs"][0].update(arg={"as_string": HALF}),
        lambda p: p["graph_module"]["graph"]["nodes"][0]["inputs"][0].update(arg={"as_int": 10**4000}),
        lambda p: p["graph_module"]["graph"]["nodes"][0]["inputs"][0].update(arg={"as_float": 10**400}),
        lambda p: p["schema_version"].update(major=-(1 << 70)),
    ):
        changed = copy.deepcopy(program)
        change(changed)
        with pytest.raises(OddProgramError):
            clean_program(json.dumps(changed).encode())


def test_a_payload_of_half_characters_or_too_deep_is_refused():
    for config in ({HALF: {}}, {"w": {"path_name": HALF}}, {"w": json.loads("[" * 900 + "]" * 900)}):
        with pytest.raises((OddProgramError, BrokenProgramError)):
            clean_payload(json.dumps({"config": config}).encode(), _PARTS[0][1])


@pytest.mark.parametrize(
    "lines", ["'1',a\n'0',b", '"1,a\n0",b', '0,"a\n1,b', "9" * 5000 + ",a\n1,b", "0,a\n1," + "b" * 200_000]
)
def test_odd_tables_of_labels_are_named(tmp_path, lines):
    (tmp_path / "labels.csv").write_text(lines)
    with pytest.raises(ModelError, match="label"):
        read_labels(tmp_path / "labels.csv", 2)
