"""What a file of `torch.save` or TorchScript holds, without unpickling anything of it.

The pickle is run by a reader that knows containers, numbers, text and tensors. A tensor becomes an `Outline`: where its
numbers lie and how they are strided, to be held against the bytes that are there. Any other object is an error before it is
made.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from .foreign import Foreign, refused, stand_in
from .numbers import NUMBERS, QUANTISED, STORAGES

_VIEW_LIMIT = 64 << 20  # bytes that a tensor may seem to have beyond its storage (by strides of zero)
_COUNT_LIMIT = 1 << 62  # numbers and steps between them, which torch holds in 64 bits
_AXES = 64  # of a tensor; torch's own loops take no more
_KEY_PARTS = 1000  # of a table's key that is a tuple; hashing recurses without end
_NO_SHAPE = "a tensor whose shape or strides are no numbers that a tensor can have"

_OPCODES = (
    "PROTO", "FRAME", "STOP", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "MARK", "POP", "POP_MARK", "DUP",
    "BINPERSID", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "BININT",
    "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS",
)  # fmt: skip
_TORCHBIND = ("__torch__.torch.classes.quantized", "__torch__.torch.classes.rnn", "__torch__.torch.classes.sparse")


class ForeignObjectError(Exception):
    """A pickle that would make objects of a class or function which no file of weights needs; `str` is its name."""


class BrokenPickleError(Exception):
    """A pickle that does not hold together."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers in the file: its name there, their type, how many, and whether it is a quantised one."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Outline:
    """A tensor in a file: a storage, the type of its numbers, how it is laid out in them, and whether it is a parameter."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    parameter: bool = False
    gradient: bool = False

    def check(self) -> None:
        """Raise BrokenPickleError where it reaches outside its storage, or is far larger than that."""
        self.check_in(self.storage.nbytes)

    def check_in(self, nbytes: int) -> None:
        """Raise BrokenPickleError where it reaches outside `nbytes` bytes, or is far larger than these."""
        whole = (self.offset, *self.size, *self.stride)
        if not all(map(_is_count, whole)):  # such numbers are not shown: they may be of any type and length
            raise BrokenPickleError(_NO_SHAPE)
        if len(self.size) != len(self.stride) or len(self.size) > _AXES:
            raise BrokenPickleError(f"a tensor with {len(self.size)} sizes and {len(self.stride)} strides")
        if prod(max(size, 1) for size in self.size) >= _COUNT_LIMIT:
            raise BrokenPickleError(f"a tensor of shape {self.size} is larger than any file")
        count, last = 1, self.offset
        for size, stride in zip(self.size, self.stride, strict=True):
            count, last = count * size, last + max(size - 1, 0) * stride
        if count and (last + 1) * self.dtype.itemsize > nbytes:
            raise BrokenPickleError(f"a tensor of shape {self.size} needs more numbers than the file holds")
        if count * self.dtype.itemsize > nbytes + _VIEW_LIMIT:
            raise BrokenPickleError(f"a tensor of shape {self.size} repeats {nbytes} bytes over and over")

    def tensor(self, numbers: Tensor) -> Tensor:
        """The tensor, as a view of its storage's bytes (nbytes,) uint8."""
        whole = numbers[: len(numbers) // self.dtype.itemsize * self.dtype.itemsize]
        flat = whole.view(self.dtype) if len(whole) else torch.empty(0, dtype=self.dtype)
        laid = flat.as_strided(self.size, self.stride, self.offset)
        return torch.nn.Parameter(laid, requires_grad=self.gradient) if self.parameter else laid


@dataclass(frozen=True, slots=True)
class Strange:
    """A tensor of a kind that no network here takes: sparse, quantised, without numbers, of a subclass."""

    kind: str


def describe(stream: Any, *, script: bool = False, lenient: bool = False) -> tuple[Any, list[Outline]]:
    """Read one pickle from where `stream` stands to its end.

    Args:
        stream: a readable binary file, or mmap.
        script: whether it is TorchScript's, which names classes of the program in the archive (they are not made).
        lenient: let a `Foreign` stand for each object of a foreign class, instead of an error; functions stay refused.

    Returns:
        what it holds, with an `Outline` for a tensor; and all outlines.

    Raises:
        ForeignObjectError: it names a class or function beyond these.
        BrokenPickleError: it is damaged.
    """
    try:
        reader = _Reader(stream, script, lenient)
        return reader.load(), reader.outlines
    except (ForeignObjectError, BrokenPickleError):
        raise
    except Exception as error:  # a broken pickle raises all sorts of exceptions
        raise BrokenPickleError("what it says of its tensors cannot be read") from error


_ORIGINAL: dict[int, Any] = pickle._Unpickler.dispatch


class _Reader(pickle._Unpickler):
    """Python's reader in Python, whose table of operations can be cut down to those that torch writes."""

    dispatch: ClassVar[dict[int, Any]] = {
        ord(getattr(pickle, name)): _ORIGINAL[ord(getattr(pickle, name))] for name in _OPCODES
    }

    def __init__(self, stream: Any, script: bool, lenient: bool):
        super().__init__(stream, encoding="utf-8")
        self.script, self.lenient, self.outlines, self.classes = script, lenient, [], {}

    @property
    def _top(self) -> list[Any]:
        """The values since the last mark; the reader of Python keeps them to itself."""
        return vars(self)["stack"]

    def load_reduce(self) -> None:
        """Call a function; TorchScript hands an enumeration its bare value."""
        stack = self._top
        arguments = stack.pop()
        if (name := refused(stack[-1])) is not None:
            raise ForeignObjectError(name)
        stack[-1] = stack[-1](*(arguments if isinstance(arguments, tuple) or not self.script else (arguments,)))

    dispatch[ord(pickle.REDUCE)] = load_reduce

    def load_build(self) -> None:
        """Give an object its attributes: none of a table (torch notes versions of modules there), and of no tensor."""
        state, made = self._top.pop(), self._top[-1]
        if isinstance(made, _Inert):
            made.state = state
        elif type(made) is not dict and not isinstance(made, Foreign):
            raise BrokenPickleError("attributes of what has none")

    dispatch[ord(pickle.BUILD)] = load_build

    def load_setitem(self) -> None:
        """Put one value into a table."""
        _key(self._top[-2])
        _ORIGINAL[ord(pickle.SETITEM)](self)

    dispatch[ord(pickle.SETITEM)] = load_setitem

    def load_setitems(self) -> None:
        """Put values into a table."""
        for key in self._top[::2]:
            _key(key)
        _ORIGINAL[ord(pickle.SETITEMS)](self)

    dispatch[ord(pickle.SETITEMS)] = load_setitems

    def load_additems(self) -> None:
        """Put members into a set."""
        for key in self._top:
            _key(key)
        _ORIGINAL[ord(pickle.ADDITEMS)](self)

    dispatch[ord(pickle.ADDITEMS)] = load_additems

    def find_class(self, module: str, name: str, /) -> Any:
        module = "builtins" if module == "__builtin__" else module
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name in (STORAGES | QUANTISED):
            return (STORAGES | QUANTISED)[name]
        if module == "torch" and isinstance(getattr(torch, name, None), (torch.dtype, torch.layout, torch.qscheme)):
            return getattr(torch, name)
        if full in (
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_tensor_v3",
        ):
            return self.outline
        if full in _STRANGE:
            return _Maker(lambda *_: Strange(_STRANGE[full]))
        if self.script and module.startswith("__torch__") and (not _torchbind(full) or full.startswith(_TORCHBIND)):
            return self.classes.setdefault(full, type("Inert", (_Inert,), {}))
        if self.script and module == "torch.jit._pickle":
            return _Maker(_kept)
        if self.lenient:
            return self.classes.setdefault(full, stand_in(full))
        raise ForeignObjectError(full)

    def persistent_load(self, pid: Any, /) -> Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or dtype not in NUMBERS or type(key) is not str or not _is_count(count):
            raise BrokenPickleError("a storage that is none")
        if any(v is not None for v in view):
            raise BrokenPickleError("storages inside storages, as torch wrote them before 0.4")
        return Storage(key, dtype, count)

    def outline(self, storage: Storage, offset: Any, size: Any, stride: Any, *more: Any) -> Outline | Strange:
        """A tensor; `_rebuild_tensor_v3` states a type of its own in the end."""
        if not isinstance(storage, Storage) or (len(more) > 3 and isinstance(more[3], dict) and more[3]):
            raise BrokenPickleError("a tensor without a storage, or one that is conjugated")
        dtype = next((m for m in more if isinstance(m, torch.dtype)), storage.dtype)
        if dtype not in NUMBERS:
            return Strange(f"of type {dtype}")
        size, stride = tuple(size), tuple(stride)
        if not all(map(_is_count, (offset, *size, *stride))):
            raise BrokenPickleError(_NO_SHAPE)
        made = Outline(storage, dtype, offset, size, stride)
        self.outlines.append(made)
        return made


class _Inert:
    """Stands for an object of a class in a TorchScript archive: keeps what it is given."""

    def __init__(self, *values: Any):
        self.values, self.state = values, None


class _Maker:
    """A function that a pickle may call; it cannot be changed by it, as a bare function or class could (BUILD)."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]):
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> None:
        raise BrokenPickleError("a function that is changed")

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _COUNT_LIMIT


def _key(value: Any) -> Any:
    """A key of a table or member of a set that can be hashed: a deep tuple, or one that holds itself often, cannot."""
    parts = [value]
    for part in parts:
        if isinstance(part, tuple):
            parts.extend(part)
        if len(parts) > _KEY_PARTS:
            raise BrokenPickleError("a name in it is nested too deeply")
        if isinstance(part, (Outline, Storage)):
            raise BrokenPickleError("a tensor that is a name")
    return value


def _table(items: Any = ()) -> dict[Any, Any]:
    """A dict of any sort: their own kinds have attributes and methods that a file could replace (BUILD)."""
    pairs: Iterable[Any] = items.items() if isinstance(items, dict) else items
    return {_key(key): value for key, value in pairs}


def _torchbind(full: str) -> bool:
    return full.startswith("__torch__.torch.classes")


def _kept(*arguments: Any) -> Any:
    return arguments[0] if arguments else None


def _parameter(data: Any, gradient: Any = False, *_: Any) -> Any:
    """A parameter, which a state dict holds where somebody kept the module's own (`dict(net.named_parameters())`)."""
    if not isinstance(data, Outline):
        return data
    if type(gradient) is not bool or (gradient and not (data.dtype.is_floating_point or data.dtype.is_complex)):
        raise BrokenPickleError(f"a parameter of {data.dtype} with a gradient")
    return replace(data, parameter=True, gradient=gradient)


def _with_type(function: Any, _kind: Any, arguments: Any, *_: Any) -> Any:
    """`_rebuild_from_type_v2`: a tensor or parameter that also carries attributes, which are left out."""
    return function(*arguments)


def _named(name: str) -> Callable[..., str]:
    return lambda *_: name


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _Maker(_table),
    "collections.Counter": _Maker(_table),
    "collections.defaultdict": _Maker(lambda *_: {}),
    "builtins.set": _Maker(lambda items=(): {_key(item) for item in items}),
    "builtins.complex": _Maker(complex),
    "torch.Size": _Maker(lambda items=(): tuple(items)),
    "torch.device": _Maker(_named("device")),
    "torch.serialization._get_layout": _Maker(_named("layout")),
    "_codecs.encode": _Maker(lambda text, _="latin1": text.encode("latin1")),
    "torch._utils._rebuild_parameter": _Maker(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Maker(_parameter),
    "torch._tensor._rebuild_from_type_v2": _Maker(_with_type),
    "torch.Tensor": "Tensor",
    "torch._C._TensorBase": "Tensor",
    "torch.nn.parameter.Parameter": "Parameter",
    "torch.nn.parameter.Buffer": "Buffer",
}
_STRANGE = {
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_nested_tensor": "nested",
    "torch._utils._rebuild_qtensor": "quantised",
    "torch._utils._rebuild_meta_tensor_no_storage": "meta (without numbers)",
    "torch._utils._rebuild_wrapper_subclass": "of a subclass",
    "torch._utils._rebuild_device_tensor_from_numpy": "of another device",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "of another device",
    "torch._export.serde.serialize._reconstruct_fake_tensor": "fake (without numbers)",
}
