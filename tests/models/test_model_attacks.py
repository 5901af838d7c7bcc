"""Model files that would write a marker if anything of them ran: none appears, and each is refused in a sentence."""

import io
import json
import pickle
import sys
import warnings
import zipfile
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from sigcli.errors import ModelError
from sigcli.inspection.expressions import is_arithmetic
from sigcli.inspection.operators import target_objection
from sigcli.inspection.scripts import text_objection
from sigcli.models.sources.export import load as load_export
from sigcli.models.sources.torchscript import load as load_torchscript
from sigcli.models.sources.weights import read_state_dict

CPU = torch.device("cpu")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(images)).mean((2, 3)))


class Hostile:
    """Pickled, it writes a marker."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return exec, (f"open({self.marker!r}, 'w').close()",)


@contextmanager
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def members(content):
    """name below the root folder → content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def packed(path, files, root="net/"):
    """An archive of (name, content), also with names that stand twice."""
    with quietly(), zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            archive.writestr(root + name, content)
    return str(path)


def pickled(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def exported():
    """The members of an ordinary export with a free batch size."""
    buffer = io.BytesIO()
    with quietly():
        sizes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(Net().eval(), (torch.randn(2, 3, 8, 8),), dynamic_shapes=sizes), buffer)
    return members(buffer.getvalue())


@pytest.fixture(scope="module")
def scripted():
    """The members of an ordinary TorchScript archive."""
    buffer = io.BytesIO()
    with quietly():
        torch.jit.save(torch.jit.script(Net().eval()), buffer)
    return members(buffer.getvalue())


@pytest.fixture
def marker(tmp_path):
    """Where payloads write; it must not be there afterwards."""
    place = tmp_path / "marker"
    yield place
    assert not place.exists()


def changed(exported, change, name="models/model.json"):
    """The members with one JSON member changed in place."""
    program = json.loads(exported[name])
    change(program)
    return {**exported, name: json.dumps(program).encode()}.items()


def refuses(load, path, match="refused"):
    with pytest.raises(ModelError, match=match) as error:
        load(path, None, CPU)
    assert len(str(error.value).splitlines()) <= 2


# --- pickles in an exported program -----------------------------------------------------------------------------------

TRUTHY = [True, 1, -1, 0.5, "yes", "false", [0], [None], {"a": 0}]


@pytest.mark.parametrize("truthy", TRUTHY, ids=map(str, TRUTHY))
@pytest.mark.parametrize("part", ["weights", "constants"])
def test_anything_that_torch_takes_for_use_pickle_is_refused(exported, tmp_path, marker, part, truthy):
    prefix = {"weights": "weight_", "constants": "tensor_"}[part]

    def change(config):
        config["config"]["w"] = {
            "path_name": f"{prefix}99",
            "is_param": False,
            "use_pickle": truthy,
            "tensor_meta": None,
        }

    files = dict(changed(exported, change, f"data/{part}/model_{part}_config.json"))
    files[f"data/{part}/{prefix}99"] = pickled(Hostile(marker))
    refuses(load_export, packed(tmp_path / "n.pt2", files.items()), "pickles its weights as objects")


def test_a_payload_of_these_runs_in_torch_itself(exported, tmp_path):
    """Otherwise the tests around this one show nothing."""

    def change(config):
        config["config"]["w"] = {"path_name": "weight_99", "is_param": False, "use_pickle": 1, "tensor_meta": None}

    files = dict(changed(exported, change, "data/weights/model_weights_config.json"))
    files["data/weights/weight_99"] = pickled(Hostile(tmp_path / "ran"))
    with quietly():
        torch.export.load(packed(tmp_path / "n.pt2", files.items()))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt", "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0", "data/aotinductor/model/net.so", "models/other.pkl", "data/executorch/a",
    ],
)  # fmt: skip
def test_pickles_and_native_code_are_refused_wherever_they_lie(exported, tmp_path, marker, name):
    for content in (pickled(Hostile(marker)), pickle.dumps(Hostile(marker))):
        path = packed(tmp_path / "n.pt2", {**exported, name: content}.items())
        refuses(load_export, path, "refused|damaged|cannot be read")


@pytest.mark.parametrize(
    "name", ["data/sample_inputs/model.pt", "data/weights/model_weights_config.json", "models/model.json"]
)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("spelt", [str, str.upper])
def test_a_name_that_stands_twice_is_refused(exported, tmp_path, marker, name, order, spelt):
    twice = [(name, exported[name]), (spelt(name), pickled(Hostile(marker)))][::order]
    files = [item for item in exported.items() if item[0] != name]
    refuses(load_export, packed(tmp_path / "n.pt2", [*files, *twice]), "twice")
    refuses(load_export, packed(tmp_path / "m.pt2", [*twice, *files]), "twice")


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "data\\weights\\weight_0", "C:/out", "data//weight_0", "./out", "a\0b"]
)
def test_odd_names_in_an_archive_are_refused(exported, tmp_path, name):
    path = tmp_path / "n.pt2"
    packed(path, [*exported.items(), ("data/weights/" + "x" * len(name), b"1")])
    raw = path.read_bytes().replace(("data/weights/" + "x" * len(name)).encode(), b"data/weights/" + name.encode())
    path.write_bytes(raw)
    refuses(load_export, str(path), "refused")


def test_the_two_places_of_a_name_must_agree(exported, tmp_path, marker):
    """Python reads an archive by its directory; other readers by the headers before each member."""
    path = tmp_path / "n.pt2"
    packed(path, [*exported.items(), ("extra/aaaaaaaa", pickled(Hostile(marker)))])
    raw = path.read_bytes()
    first = raw.index(b"net/extra/aaaaaaaa")
    path.write_bytes(raw[:first] + b"net/extra/bbbbbbbb" + raw[first + 18 :])
    refuses(load_export, str(path), "two names")


def test_an_archive_in_front_of_another_is_not_read(exported, tmp_path, marker):
    hostile = tmp_path / "h.pt2"
    packed(hostile, {**exported, "data/sample_inputs/model.pt": pickled(Hostile(marker))}.items())
    good = tmp_path / "g.pt2"
    packed(good, exported.items())
    both = tmp_path / "b.pt2"
    both.write_bytes(hostile.read_bytes() + good.read_bytes())
    assert load_export(str(both), None, CPU).kind == "export"  # the last, of which a clean copy is made
    both.write_bytes(good.read_bytes() + hostile.read_bytes())
    refuses(load_export, str(both))


def old_format(exported_net, **parts):
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    made = serialize(exported_net)
    files = {
        "version": ".".join(map(str, SCHEMA_VERSION)).encode(),
        "serialized_exported_program.json": made.exported_program,
        "serialized_state_dict.json": made.state_dict,
        "serialized_constants.json": made.constants,
        "serialized_example_inputs.pt": made.example_inputs,
    }
    return {**files, **parts}.items()


def test_the_format_before_torch_2_8_loads_and_its_pickles_are_refused(tmp_path, marker):
    net = Net().eval()
    images = torch.randn(2, 3, 8, 8)
    with quietly():
        program = torch.export.export(net, (images,))
        module = load_export(packed(tmp_path / "n.pt2", old_format(program), root=""), None, CPU).module
    torch.testing.assert_close(module(images), net(images))
    for part in ("serialized_state_dict.json", "serialized_constants.json", "serialized_example_inputs.pt"):
        for thing in (Hostile(marker), {"conv.weight": Hostile(marker)}):
            with quietly():
                files = old_format(program, **{part: pickled(thing)})
            refuses(load_export, packed(tmp_path / "m.pt2", files, root=""))


def test_the_format_of_torch_2_8_loads(exported, tmp_path):
    """Weights in one pickle inside the package."""
    net = Net().eval()
    files = {
        name: content for name, content in exported.items() if not name.startswith(("data/weights", "data/constants"))
    }
    files |= {"data/weights/model.pt": pickled(dict(net.named_parameters())), "data/constants/model.pt": pickled({})}
    module = load_export(packed(tmp_path / "n.pt2", files.items()), None, CPU).module
    images = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(module(images), net(images))


# --- text of an exported program that torch runs ----------------------------------------------------------------------


def code(marker):
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def graph(program):
    return program["graph_module"]["graph"]


def tree(context_type, context):
    leaf = {"type": None, "context": None, "children_spec": []}
    return json.dumps([1, {"type": context_type, "context": context, "children_spec": [leaf]}])


def textual(marker):
    """Changes of a program's text, each of which would run or import something."""
    run, evil = code(marker), {"as_expr": {"expr_str": code(marker), "hint": {"as_int": 2}}}
    signature = lambda p: p["graph_module"]["module_call_graph"][0]["signature"]  # noqa: E731
    node = lambda p: graph(p)["nodes"][0]  # noqa: E731
    specs = lambda p: p["graph_module"]["signature"]["input_specs"]  # noqa: E731
    enum = json.dumps({"__enum__": True, "fqn": "evilmodule:X", "name": "x"})
    factory = json.dumps({"default_factory_module": "evilmodule", "default_factory_name": "X", "dict_context": []})
    text, touch = ({"name": "", "arg": {"as_string": s}, "kind": 1} for s in (str(marker), f"touch {marker}"))
    return {
        "size": lambda p: graph(p)["tensor_values"]["images"]["sizes"].__setitem__(0, evil),
        "stride": lambda p: graph(p)["tensor_values"]["images"]["strides"].__setitem__(0, evil),
        "offset": lambda p: graph(p)["tensor_values"]["images"].__setitem__("storage_offset", evil),
        "symbol": lambda p: graph(p)["sym_int_values"].__setitem__("k", evil),
        "truth": lambda p: graph(p)["sym_bool_values"].__setitem__("k", {"as_expr": {"expr_str": run}}),
        "range": lambda p: p["range_constraints"].__setitem__(run, {"min_val": 0, "max_val": 9}),
        "system": lambda p: node(p).update(target="torch.os.system", inputs=[touch]),
        "hub": lambda p: node(p).update(target="torch.hub.load", inputs=[text]),
        "load": lambda p: node(p).update(target="torch.serialization.load", inputs=[text]),
        "library": lambda p: node(p).update(target="torch.ops.load_library", inputs=[text]),
        "from_file": lambda p: node(p).update(target="torch.ops.aten.from_file.default"),
        "attrgetter": lambda p: node(p).update(target="_operator.attrgetter", inputs=[text]),
        "methodcaller": lambda p: node(p).update(target="_operator.methodcaller", inputs=[text]),
        "triton": lambda p: node(p).update(target="torch.ops.higher_order.triton_kernel_wrapper_mutation"),
        "torchbind": lambda p: node(p).update(target="torch.ops.higher_order.call_torchbind"),
        "dunder": lambda p: node(p).update(target="torch.ops.aten.relu.__class__"),
        "extension": lambda p: node(p).update(target="#x:y"),
        "node name": lambda p: node(p).update(name=f"a = {run}; b"),
        "output name": lambda p: node(p)["outputs"][0]["as_tensor"].update(name=f"a\n    {run}\n    b"),
        "input name": lambda p: graph(p)["inputs"][-1]["as_tensor"].update(name=f"x={run}"),
        "argument name": lambda p: node(p)["inputs"][0].update(name=f"x={run}, y", kind=2),
        "weight name": lambda p: specs(p)[0]["parameter"].update(parameter_name=f'a").x; {run}; getattr(self, "b'),
        "call names": lambda p: signature(p).update(forward_arg_names=[f"images={run}"]),
        "enum": lambda p: signature(p).update(out_spec=tree("builtins.list", enum)),
        "defaultdict": lambda p: signature(p).update(out_spec=tree("collections.defaultdict", factory)),
        "namedtuple": lambda p: signature(p).update(out_spec=tree("collections.namedtuple", '"evilmodule.X"')),
        "keys": lambda p: signature(p).update(out_spec=tree("builtins.dict", json.dumps([f"a={run}"]))),
        "operator": lambda p: node(p)["inputs"].append({**text, "arg": {"as_operator": "torch.os.system"}}),
        "object": lambda p: graph(p).update(custom_obj_values={"o": {"name": "o", "class_fqn": "evilmodule.X"}}),
        "number": lambda p: node(p)["inputs"][-1].update(arg={"as_int": run}),
        "device": lambda p: graph(p)["tensor_values"]["images"]["device"].update(type=run),
        "verifier": lambda p: p.update(verifiers=["evilmodule"]),
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(textual("x")))
def test_text_that_torch_would_run_is_refused(exported, tmp_path, marker, kind, monkeypatch):
    (tmp_path / "evilmodule.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass X: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = packed(tmp_path / "n.pt2", changed(exported, textual(marker)[kind]))
    refuses(load_export, path, "refused: the program")
    assert "evilmodule" not in sys.modules


def test_guards_and_notes_are_left_out(exported, tmp_path, marker):
    """Guards become Python code where sample inputs are there; notes name functions and classes."""

    def change(program):
        program["guards_code"] = [f"{code(marker)} or True"]
        for node in graph(program)["nodes"]:
            node["metadata"] = {"source_fn_stack": "x,torch.hub.load", "stack_trace": code(marker), "from_node": "["}
        program["graph_module"]["metadata"] = {"custom": code(marker)}

    module = load_export(packed(tmp_path / "n.pt2", changed(exported, change)), None, CPU).module
    assert module(torch.zeros(3, 3, 8, 8)).shape == (3, 5)


def test_a_key_twice_in_the_json_counts_once(exported, tmp_path, marker):
    config = exported["data/weights/model_weights_config.json"].decode()
    twice = config.replace('"use_pickle": false', '"use_pickle": false, "use_pickle": 1', 1)
    files = {**exported, "data/weights/model_weights_config.json": twice.encode()}
    refuses(load_export, packed(tmp_path / "n.pt2", files.items()), "pickles")


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("s0", True), ("s77*2 - 1", True), ("Max(1, s0)", True), ("(s0 + 1)//2", True), ("2**s0", True), ("s0**2", True),
        ("Symbol('s77', positive=True, integer=True)", True), ("Add(Symbol('s0'), Integer(-1))", True),
        ("Mul(Float('0.5', precision=53), ToFloat(Symbol('s1', integer=True)))", True), ("Eq(Mod(s0, 8), 0)", True),
        ("And(StrictGreaterThan(Symbol('u0', integer=True), Integer(3)), true)", True), ("s0 <= 4 and s1 > 2", True),
        ("x", False), ("open", False), ("Symbol('x')", False), ("Symbol(s0)", False), ("s0.free_symbols", False),
        ("[s0]", False), ("s0[0]", False), ("(lambda: s0)()", False), ("Max(*s0)", False), ("Max(key=s0)", False),
        ("9**9**9", False), ("(9**9)**9", False), ("LShift(1, 99999999999)", False), ("1 << 999999", False),
        ("9" * 400, False), ("'a'", False), ("s0 if s0 else s1", False), ("Float('open')", False), ("s0; s1", False),
        ("Symbol('s0', **s1)", False), ("f's0'", False), ("...", False), ("s0**...", False), ("", False), (3, False),
    ],
)  # fmt: skip
def test_the_grammar_of_symbolic_sizes(text, right):
    assert is_arithmetic(text) is right


@pytest.mark.parametrize("name", ["relu", "conv2d", "scaled_dot_product_attention", "as_strided", "__and__.Tensor"])
def test_ordinary_operators_are_allowed(name):
    assert target_objection(f"torch.ops.aten.{name}" + ("" if "." in name else ".default")) is None


# --- TorchScript --------------------------------------------------------------------------------------------------------


def rescripted(scripted, tmp_path, body, before="", extra=""):
    """The archive with lines at the beginning of `forward`, methods before it and parameters more."""
    place = next(name for name, content in scripted.items() if name.endswith(".py") and b"class Net(" in content)
    text = scripted[place].decode()
    start = text.index("  def forward(")
    at = text.index("-> Tensor:\n", start) + len("-> Tensor:\n")
    head = text[start:at].replace(") -> Tensor", f"{extra}) -> Tensor")
    made = text[:start] + before + head + body + text[at:]
    return packed(tmp_path / "n.pt", {**scripted, place: made.encode()}.items())


def test_the_plain_archive_loads(scripted, tmp_path):
    assert load_torchscript(rescripted(scripted, tmp_path, ""), None, CPU).module(torch.zeros(2, 3, 8, 8)).shape == (
        2,
        5,
    )


def test_torchscript_that_makes_files_runs_in_torch_itself(scripted, tmp_path):
    """Even before it is called: a default value is worked out while the program is loaded."""
    call = f", extra: Tensor=torch.from_file({str(tmp_path / 'ran')!r}, True, 16)"
    with quietly():
        torch.jit.load(rescripted(scripted, tmp_path, "", extra=call))
    assert (tmp_path / "ran").exists()


def scripts(marker):
    call = f'torch.from_file("{marker}", True, 16)'
    octal = "".join(f"\\{ord(letter):03o}" for letter in "from_file")
    return {
        "forward": {"body": f"    a = {call}\n"},
        "default": {"body": "", "extra": f", extra: Tensor={call}"},
        "setstate": {"body": "", "before": f"  def __setstate__(self, s: Tensor) -> None:\n    a={call}\n    return None\n"},
        "spaces": {"body": f'    a = torch . from_file("{marker}", True, 16)\n'},
        "lines": {"body": f'    a = (torch. # no\n      from_file("{marker}", True, 16))\n'},
        "ops": {"body": f'    a = ops.aten.from_file("{marker}", True, 16)\n'},
        "alias": {"body": f'    o = ops\n    a = o.image.write_file("{marker}", images)\n'},
        "image": {"body": f'    ops.image.write_file("{marker}", images)\n'},
        "save": {"body": f'    torch.save(images, "{marker}")\n'},
        "method": {"body": f'    images.save("{marker}")\n'},
        "getattr": {"body": f'    a = getattr(torch, "from_file")("{marker}", True, 16)\n'},
        "octal": {"body": f'    a = getattr(torch, "{octal}")("{marker}", True, 16)\n'},
        "joined": {"body": f'    a = getattr(torch, "from" "_file")("{marker}", True, 16)\n'},
        "joined lines": {"body": f'    a = getattr(torch, "from" # no\n      "_file")("{marker}", True, 16)\n'},
        "getattr of ops": {"body": f'    getattr(ops, "image").write_file("{marker}", images)\n'},
        "store": {"body": f'    a = __torch__.torch.classes.dist_c10d.FileStore("{marker}", 1)\n'},
        "class alias": {"body": f'    t = __torch__.torch\n    a = t.classes.dist_c10d.FileStore("{marker}", 1)\n'},
        "processes": {"body": '    a = rpc_async("x", images)\n'},
        "collective": {"body": '    a = ops.c10d.barrier(images)\n'},
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(scripts("x")))
def test_torchscript_that_reaches_outside_is_refused(scripted, tmp_path, marker, kind):
    refuses(load_torchscript, rescripted(scripted, tmp_path, **scripts(marker)[kind]), "refused: the program")


@pytest.mark.parametrize(
    "text",
    ["x = torch.relu(self.opsin)", '_0 = getattr(self.layer1, "0")', 'raise ("you may save it")', "self.save_memory"],
)
def test_names_like_these_are_not_refused(text):
    assert text_objection(text) is None


def test_objects_in_torchscript_and_its_old_format_are_refused(scripted, tmp_path, marker):
    for name in ("data.pkl", "constants.pkl"):
        path = packed(tmp_path / "n.pt", {**scripted, name: pickle.dumps(Hostile(marker))}.items())
        refuses(load_torchscript, path, "refused|damaged")
    store = b"\x80\x02c__torch__.torch.classes.dist_c10d\nFileStore\n)\x81}b."
    refuses(load_torchscript, packed(tmp_path / "n.pt", {**scripted, "data.pkl": store}.items()), "an object of")
    refuses(load_torchscript, packed(tmp_path / "n.pt", {**scripted, "model.json": b"{}"}.items()), "before torch 1.4")


# --- weights ----------------------------------------------------------------------------------------------------------


def test_hostile_weights_are_refused_in_every_wrapping(tmp_path, marker):
    state = Net().state_dict()
    for index, thing in enumerate((Hostile(marker), {"w": Hostile(marker)}, {**state, "x": Hostile(marker)})):
        for zipped in (True, False):
            path = tmp_path / f"{index}{zipped}.pt"
            torch.save(thing, path, _use_new_zipfile_serialization=zipped)
            with pytest.raises(ModelError, match=r"refused: the file pickles Python objects \(builtins\.exec\)"):
                read_state_dict(path)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(tmp_path / "plain.pkl")


def test_a_pickle_cannot_change_what_reads_it(tmp_path):
    """BUILD sets attributes of whatever lies on the stack: also of a class or function that was named."""
    from collections import Counter

    before = dict(vars(Counter))
    for name in (
        b"collections\nCounter",
        b"collections\nOrderedDict",
        b"torch._utils\n_rebuild_parameter",
        b"torch\nSize",
    ):
        content = b"\x80\x02c" + name + b"\nN}X\x06\x00\x00\x00updateK\x01s\x86b."
        path = packed(tmp_path / "w.pt", [("data.pkl", content), ("version", b"3")])
        with pytest.raises(ModelError, match="damaged"):
            read_state_dict(path)
    assert dict(vars(Counter)) == before
