"""Which of torch's operators a program from a file may call: arithmetic of tensors, and nothing outside them."""

from __future__ import annotations

import importlib
import re
from typing import Any

import torch

NAMESPACES = ("aten", "prims", "torchvision", "quantized_decomposed")
"""Namespaces of operators that an exported program may call."""
SCRIPT_NAMESPACES = (*NAMESPACES, "prim", "quantized", "_quantized", "prepacked", "mkldnn", "sparse")
"""Namespaces of operators that a TorchScript program may call."""

OUTSIDE = frozenset(
    {"from_file", "save", "read_file", "write_file", "load_tensor", "rpc_async", "rpc_sync", "rpc_remote"}
)
"""Names of operators that reach files or other processes, in whatever namespace."""

_UNCHECKED = r"(?:_test_\w+|_foobar|set_|_sparse\w*_unsafe|_nested_view\w*|_cudnn_init\w*|_cslt\w+|_make_dep_token)"
WORDS = re.compile(rf"(?<!\w )\b({'|'.join(sorted(OUTSIDE))}|{_UNCHECKED})\b", re.ASCII)
"""The names of all these operators in a program's text; behind another word they are prose, not a name."""

_FILE_ARGUMENT = re.compile(r"file|path|folder|directory|url|library|address|pointer|_ptr$")
_BUILTIN = {
    "_operator": "getitem add mul sub truediv ge le gt lt eq ne floordiv mod and_ or_ not_ pow neg abs lshift rshift pos",
    "math": "ceil floor trunc sqrt",
    "torch": "sym_int sym_float sym_ite sym_max sym_min sym_not sym_sqrt sym_sum _sym_sqrt",
    "torch._C": "_set_grad_enabled",
    "torch.amp.autocast_mode": "_enter_autocast _exit_autocast",
    "torch.ops.higher_order": "cond wrap_with_set_grad_enabled wrap_with_autocast",
}  # fmt: skip
_PLAIN = frozenset(f"{place}.{name}" for place, names in _BUILTIN.items() for name in names.split())


def objection(namespace: str, name: str, schema: Any = None, allowed: tuple[str, ...] = NAMESPACES) -> str | None:
    """Why a program may not call an operator, in words; None where it may.

    Args:
        namespace: such as `aten`.
        name: without overload.
        schema: its signature, where it is at hand.
        allowed: the namespaces that may be called.

    >>> objection("aten", "relu"), objection("aten", "from_file")
    (None, 'aten::from_file reaches outside the network')
    """
    full = f"{namespace}::{name}"
    if namespace not in allowed:
        return f"{full} is not an operator of tensors"
    arguments = [(argument.name, str(argument.type)) for argument in schema.arguments] if schema is not None else []
    named = any("str" in kind and _FILE_ARGUMENT.search(argument) for argument, kind in arguments)
    if name in OUTSIDE or named:
        return f"{full} reaches outside the network"
    if re.fullmatch(_UNCHECKED, name) or any("Storage" in kind for _, kind in arguments):
        return f"{full} reads memory without a check"
    return None


def target_objection(target: str) -> str | None:
    """Why an exported program may not call `target`, in words; None where it may.

    >>> target_objection("torch.ops.aten.relu.default"), target_objection("_operator.getitem")
    (None, None)
    >>> target_objection("torch.os.system")
    'torch.os.system is not an operator of tensors'
    """
    if target in _PLAIN:
        return None
    match = re.fullmatch(
        r"torch\.ops\.([a-z]\w*)\.(_?[A-Za-z]\w*|__i?(?:and|or|xor|lshift|rshift)__)\.([A-Za-z]\w*)", target, re.ASCII
    )
    if match is None or match[1] not in NAMESPACES:
        return f"{target} is not an operator of tensors"
    schema = _schema(match[1], match[2], match[3])
    return f"{target} is not installed here" if schema is None else objection(match[1], match[2], schema)


def _schema(namespace: str, name: str, overload: str) -> Any:
    registering = {"torchvision": "torchvision", "quantized_decomposed": "torch.ao.quantization.fx._decomposed"}
    if namespace in registering:
        importlib.import_module(registering[namespace])
    found = getattr(getattr(getattr(torch.ops, namespace), name, None), overload, None)
    return found._schema if isinstance(found, torch._ops.OpOverload) else None
