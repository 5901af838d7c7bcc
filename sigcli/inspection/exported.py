"""The text of an exported program, read by its grammar and written anew.

`torch.export.load` pastes names into Python code, evaluates symbolic expressions, imports what a container's description
names and calls what an operator's name resolves to. Here each of them is held against what an export writes; torch gets a
program of these parts and no others. Guards, sample inputs, stack traces and other notes are left out: they add nothing to
the scores.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from .expressions import is_arithmetic
from .operators import target_objection

Reader = Callable[[Any], Any]


class OddProgramError(Exception):
    """A part of a program that no export writes; `str` says which, as the end of a sentence."""


class BrokenProgramError(Exception):
    """A program whose text cannot be read."""


def clean_program(text: bytes) -> bytes:
    """An exported program's JSON with nothing in it that could run.

    Raises:
        OddProgramError: it holds anything but what an export writes.
        BrokenProgramError: it is not JSON.
    """
    try:
        return json.dumps(_program(parse(text))).encode()
    except RecursionError as error:
        raise BrokenProgramError("its text is nested too deeply") from error


def parse(text: bytes | str) -> Any:
    """JSON of an archive, or of a text in it; raises BrokenProgramError where it is not JSON."""
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise BrokenProgramError("its text is not JSON") from error


def clean_payload(text: bytes, path_name: re.Pattern[str]) -> dict[str, dict[str, Any]]:
    """What a `.pt2` says of its weights or constants: name → its file and its layout there.

    Raises:
        OddProgramError: one is pickled, lies in a file of another name, or is described in another way than exports do.
    """
    try:
        return _payload(parse(text), path_name)
    except RecursionError as error:
        raise BrokenProgramError("its text is nested too deeply") from error


def _payload(content: Any, path_name: re.Pattern[str]) -> dict[str, dict[str, Any]]:
    found = _record(config=_mapping(_text, _anything))(content)["config"]
    if any(isinstance(entry, dict) and entry.get("use_pickle") for entry in found.values()):
        raise OddProgramError("pickles its weights as objects, which could run code")
    entry = _record(
        path_name=_matching(path_name, "file name"), is_param=_boolean, use_pickle=_boolean, tensor_meta=_META
    )
    return {_fqn(name): entry(value) for name, value in found.items()}


# --- the grammar: each reader returns what it read, cleaned, or raises ---------------------------------------------------


def _fail(what: str, value: Any) -> OddProgramError:
    text = repr(value)
    return OddProgramError(f"holds a {what} that no export writes: {text if len(text) <= 60 else text[:57] + '...'}")


def _anything(value: Any) -> Any:
    return value


def _instance(kind: type, what: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _fail(what, value)
        return value

    return read


def _matching(pattern: re.Pattern[str], what: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _fail(what, value)
        return value

    return read


_boolean = _instance(bool, "truth value")
_RESERVED = frozenset(["self", "torch", "device", "inf", "nan", "fx_pytree", "pytree", "math"])


def _integer(value: Any) -> int:
    """A 64-bit integer, signed or unsigned: torch holds no other."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
        raise _fail("number", value)
    return value


def _text(value: Any) -> str:
    """A text that can be written: JSON can also spell halves of characters (surrogates), which no encoding takes."""
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _fail("text", value)
    return value


def _name(value: Any) -> str:
    """A Python identifier: it is pasted into the code of the graph."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) or len(value) > 1000:
        raise _fail("name", value)
    if keyword.iskeyword(value) or value in _RESERVED or value.startswith("__"):
        raise _fail("name", value)
    return value


_FQN = re.compile(r"[A-Za-z0-9_][\w\-/:]*(\.[\w\-/:]+)*")


def _fqn(value: Any) -> str:
    """Where a weight lies in the network, such as `layer1.0.conv.weight`: pasted into code as well."""
    _matching(_FQN, "name of a weight")(value)
    if "__" in re.sub(r"(?<=[A-Za-z0-9])__(?=[A-Za-z0-9])", "", value) or len(value) > 1000:
        raise _fail("name of a weight", value)
    return value


def _number(value: Any) -> Any:
    if type(value) is float or (isinstance(value, str) and value in ("Infinity", "-Infinity", "NaN")):
        return value
    return _integer(value)


def _listed(item: Reader) -> Reader:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _fail("list", value)
        return [item(each) for each in value]

    return read


def _mapping(key: Reader, item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _fail("table", value)
        return {key(each): item(content) for each, content in value.items()}

    return read


def _record(more: dict[str, Reader] | None = None, /, **fields: Reader) -> Reader:
    """The named fields, all of which must be there, and `more` where they are; others are left out."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not set(fields) <= set(value):
            raise _fail("part", value)
        there = {name: field for name, field in (more or {}).items() if name in value}  # older torch knows not all
        return {name: field(value[name]) for name, field in {**fields, **there}.items()}

    return read


def _always(content: Any) -> Reader:
    """Something that is left out: `content` stands in its place."""
    return lambda _: content


def _union(**kinds: Reader) -> Reader:
    """One of several kinds, as {kind: value}."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1 or (kind := next(iter(value))) not in kinds:
            raise _fail("value", value)
        return {kind: kinds[kind](value[kind])}

    return read


def _or_none(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def _expression(value: Any) -> str:
    """Arithmetic of symbols: sympy evaluates it as Python."""
    if not is_arithmetic(value):
        raise _fail("size", value)
    return value


def _symbolic(field: str, plain: Reader) -> Reader:
    hint = _or_none(_union(as_int=_integer, as_bool=_boolean, as_float=_number))
    return _union(as_expr=_record({"hint": hint}, expr_str=_expression), **{field: plain})


# --- the schema of an exported program (torch/_export/serde/schema.py) -----------------------------------------------------


_device = _record({"index": _or_none(_integer)}, type=_matching(re.compile("cpu|cuda|mps|xpu|hpu|mtia"), "device"))
_INT, _FLOAT, _BOOL = _symbolic("as_int", _integer), _symbolic("as_float", _number), _symbolic("as_bool", _boolean)
_META = _record(
    dtype=_integer, sizes=_listed(_INT), requires_grad=_boolean, device=_device, strides=_listed(_INT), storage_offset=_INT,
    layout=_integer,
)  # fmt: skip
_TENSOR = _record(name=_name)
_SYM_INT = _union(as_name=_name, as_int=_integer)
_SYM_FLOAT = _union(as_name=_name, as_float=_number)
_SYM_BOOL = _union(as_name=_name, as_bool=_boolean)
_OPTIONAL = _union(as_tensor=_TENSOR, as_none=_boolean)
_INPUT: dict[str, Reader] = {
    "as_none": _boolean, "as_tensor": _TENSOR, "as_int": _integer, "as_float": _number, "as_string": _text,
    "as_bool": _boolean, "as_sym_int": _SYM_INT, "as_sym_float": _SYM_FLOAT, "as_sym_bool": _SYM_BOOL,
}  # fmt: skip
_ARGUMENT = _union(
    **_INPUT,
    as_tensors=_listed(_TENSOR), as_ints=_listed(_integer), as_floats=_listed(_number), as_strings=_listed(_text),
    as_sym_ints=_listed(_SYM_INT), as_sym_floats=_listed(_SYM_FLOAT), as_sym_bools=_listed(_SYM_BOOL),
    as_scalar_type=_integer, as_memory_format=_integer, as_layout=_integer, as_device=_device, as_bools=_listed(_boolean),
    as_optional_tensors=_listed(_OPTIONAL), as_optional_tensor=_OPTIONAL, as_complex=_record(real=_number, imag=_number),
    as_int_lists=_listed(_listed(_integer)), as_nested_tensors=_listed(_listed(_TENSOR)),
    as_graph=lambda value: _record(name=_name, graph=_graph)(value),  # noqa: PLW0108  a graph holds arguments
)  # fmt: skip


def _target(value: Any) -> str:
    reason = target_objection(_text(value))
    if reason is not None:
        raise OddProgramError(f"calls what it may not: {reason}")
    return value


def _node(value: Any) -> dict[str, Any]:
    more = {"is_hop_single_tensor_return": _or_none(_boolean), "name": _or_none(_name)}
    return _record(
        more, target=_target, inputs=_listed(_named_argument), outputs=_listed(_ARGUMENT), metadata=_always({})
    )(value)  # fmt: skip


_keyword = _matching(re.compile(r"([A-Za-z_]\w*)?", re.ASCII), "argument name")


def _named_argument(value: Any) -> dict[str, Any]:
    return _record({"kind": _or_none(_integer)}, name=_keyword, arg=_ARGUMENT)(value)


def _no_objects(value: Any) -> dict[str, Any]:
    if value:
        raise OddProgramError("refers to objects that are not tensors")
    return {}


def _graph(value: Any) -> dict[str, Any]:
    more = {
        "is_single_tensor_return": _boolean,
        "custom_obj_values": _no_objects,
        "sym_float_values": _mapping(_name, _FLOAT),
    }
    return _record(
        more, inputs=_listed(_union(**_INPUT)), outputs=_listed(_union(**_INPUT)), nodes=_listed(_node),
        tensor_values=_mapping(_name, _META), sym_int_values=_mapping(_name, _INT), sym_bool_values=_mapping(_name, _BOOL),
    )(value)  # fmt: skip


_CONSTANT = _union(as_none=_boolean, as_int=_integer, as_float=_number, as_string=_text, as_bool=_boolean)
_INPUT_SPEC = _union(
    user_input=_record(arg=_union(**_INPUT)),
    parameter=_record(arg=_TENSOR, parameter_name=_fqn),
    buffer=_record(arg=_TENSOR, buffer_name=_fqn, persistent=_boolean),
    tensor_constant=_record(arg=_TENSOR, tensor_constant_name=_fqn),
    constant_input=_record(name=_name, value=_CONSTANT),
)
_OUTPUT_SPEC = _union(
    user_output=_record(arg=_union(**_INPUT)),
    loss_output=_record(arg=_TENSOR),
    buffer_mutation=_record(arg=_TENSOR, buffer_name=_fqn),
    parameter_mutation=_record(arg=_TENSOR, parameter_name=_fqn),
    user_input_mutation=_record(arg=_TENSOR, user_input_name=_name),
)


def _tree(value: Any) -> str:
    """How inputs or outputs are nested, as JSON in text: tuples, lists and tables by names; torch imports others."""
    version, node = _pair(parse(_text(value)))
    return json.dumps([_integer(version), _tree_node(node)])


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise _fail("description of inputs", value)
    return value[0], value[1]


def _tree_node(value: Any) -> dict[str, Any]:
    made = _record(type=_anything, context=_anything, children_spec=_listed(_tree_node))(value)
    kind, context = made["type"], made["context"]
    if kind is None and context is None:
        return made
    if kind in ("builtins.tuple", "builtins.list") and context == "null":
        return made
    if kind in ("builtins.dict", "collections.OrderedDict") and isinstance(context, str):
        return {**made, "context": json.dumps(_listed(_name)(parse(context)))}
    raise OddProgramError(f"takes or returns a {kind}, which is none of tuple, list, dict or tensor")


_SIGNATURE = _record(
    {"forward_arg_names": _or_none(_listed(_name))},
    inputs=_listed(_union(**_INPUT)),
    outputs=_listed(_union(**_INPUT)),
    in_spec=_tree,
    out_spec=_tree,
)
_CALL = _record(fqn=_matching(re.compile(""), "name of the whole"), signature=_SIGNATURE)


def _whole(value: Any) -> list[Any]:
    """The first call says how the network is called; those of its parts serve only to take it apart."""
    return [_CALL(_listed(_anything)(value)[0])] if value else []


_GRAPH_MODULE = _record(
    {"metadata": _always({}), "treespec_namedtuple_fields": _always({})},
    graph=_graph,
    signature=_record(input_specs=_listed(_INPUT_SPEC), output_specs=_listed(_OUTPUT_SPEC)),
    module_call_graph=_whole,
)
_program = _record(
    {
        "verifiers": _listed(_matching(re.compile("TRAINING|ATEN"), "dialect")),
        "torch_version": _matching(re.compile(r"[\w.+<=\-]{1,60}"), "version"),
        "guards_code": _always([]),
    },
    graph_module=_GRAPH_MODULE,
    opset_version=_mapping(_name, _integer),
    range_constraints=_mapping(_expression, _record(min_val=_or_none(_integer), max_val=_or_none(_integer))),
    schema_version=_record(major=_integer, minor=_integer),
)
