"""A pretend accelerator for machines that have none: CPU tensors in disguise, as strict about devices as CUDA.

Tensors on "pretend" live in ordinary memory. An operation that mixes them with CPU tensors of one or more dimensions raises,
and so does `.numpy()` without `.cpu()`. It runs autograd, modules, hooks and in-place operations, and counts what makes a
program wait for a real device: copies of its tensors to the CPU, and numbers read from them (`.item()`, `bool()`,
`.tolist()`, `float()`). It is no model of speed, streams or kernels.

It stands on torch's experimental Python backend. `arrived()` registers it, once in a process and before the first backward
pass. Code that asks torch which accelerators there are is told of none.
"""

from __future__ import annotations

import collections
import contextlib
import sys
from collections.abc import Iterator

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

NAME = "pretend"
POSSIBLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
WAITS: collections.Counter[str] = collections.Counter()
"""How often a program waited for the device, by the line that did."""
_aten = torch.ops.aten
_NUMBERS = {_aten.item.default, _aten._local_scalar_dense.default}
_CROSSING = {_aten._to_copy.default, _aten.copy_.default, *_NUMBERS}
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default}
_SIZED = {_aten.nonzero.default, _aten._unique2.default, _aten.masked_select.default}
"""The shape of the result depends on the numbers, so a program waits for them."""
_kept: list[torch.library.Library] = []
_real_tensor, _real_as_tensor = torch.tensor, torch.as_tensor


class Pretend(torch.Tensor):
    """A tensor that says it is on the pretend device; `raw` holds its numbers."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw):
        disguised = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        disguised.raw = raw
        return disguised

    def __repr__(self):
        return f"Pretend({self.raw})"

    def __len__(self):
        return self.shape[0]

    def tolist(self):
        _waited()
        return self.raw.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("can't convert pretend:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def __getitem__(self, key):
        listed = [
            torch.tensor(one) if isinstance(one, list) else one for one in (key if isinstance(key, tuple) else (key,))
        ]
        return super().__getitem__(tuple(listed) if isinstance(key, tuple) else listed[0])

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        made = self.raw.new_tensor(data, dtype=dtype, device="cpu", requires_grad=requires_grad)
        return made.to(self.device if device is None else device)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Module:
    """What `torch.pretend` would be."""

    current_device = staticmethod(lambda: 0)
    device_count = is_available = is_initialized = staticmethod(lambda: 0)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])


def arrived() -> torch.device:
    """The device; torch is told of it first, if it was not yet."""
    if not _kept:

        class Hook(backend_registration._DummyPrivateUse1Hook):
            def is_available(self) -> bool:
                return False

        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module(), Hook())
        fallback, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
        fallback.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), dispatch_key="PrivateUse1")
        for overload in ("arange", "arange.start", "arange.start_step"):
            aten.impl(overload, _arange, "PrivateUse1")
        _kept.extend([fallback, aten])
    return torch.device(NAME, 0)


@contextlib.contextmanager
def there(count: int = 1) -> Iterator[torch.device]:
    """While it is there, `torch.tensor(…, device="pretend")` and `as_tensor` work too, and `--device pretend` is taken.

    Of several, pretend:0, pretend:1, …, tensors say that they are on the first: torch's Python backend knows but one.
    """
    from sigcli.models.device import KINDS

    place = arrived()
    torch.tensor, torch.as_tensor, KINDS[NAME] = _tensor, _as_tensor, lambda: count
    try:
        yield place
    finally:
        torch.tensor, torch.as_tensor = _real_tensor, _real_as_tensor
        del KINDS[NAME]


def _arange(*bounds, dtype=None, layout=None, device=None, pin_memory=None):
    return Pretend(torch.arange(*bounds, dtype=dtype))


def _tensor(data, *args, device=None, **kwargs):
    made = _real_tensor(data, *args, **kwargs)
    return made.to(device) if device is not None and torch.device(device).type == NAME else made


def _as_tensor(data, dtype=None, device=None):
    if isinstance(data, Pretend) or (device is not None and torch.device(device).type == NAME):
        made = data if isinstance(data, torch.Tensor) else _real_tensor(data)
        return made.to(device=made.device if device is None else device, dtype=made.dtype if dtype is None else dtype)
    return _real_as_tensor(data, dtype=dtype, device=device)


def _run(func, args, kwargs):
    tensors = _tensors((args, kwargs))
    here = [t for t in tensors if isinstance(t, Pretend)]
    strangers = [t for t in tensors if not isinstance(t, Pretend) and t.dim() > 0]
    if here and strangers and func not in _CROSSING and func not in _INDEXING:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, pretend:0 and cpu! ({func})"
        )
    lands, plain = bool(here), dict(kwargs)
    if plain.get("device") is not None:
        lands = torch.device(plain["device"]).type == NAME
        plain["device"] = "cpu"
    if here and (func in _NUMBERS or func in _SIZED or (func is _aten._to_copy.default and not lands)):
        _waited()
    if func is _aten.copy_.default and isinstance(args[1], Pretend) and not isinstance(args[0], Pretend):
        _waited()
    result = func(*tree_map(_bare, args), **tree_map(_bare, plain))
    if func is _aten._local_scalar_dense.default:
        return result
    returns = func._schema.returns
    if func is _aten.copy_.default or (
        func._schema.is_mutable and returns and returns[0].alias_info is not None and returns[0].alias_info.is_write
    ):
        return kwargs.get("out", args[0] if args else None)
    return tree_map(lambda v: Pretend(v) if isinstance(v, torch.Tensor) and lands else v, result)


def _bare(value):
    return value.raw if isinstance(value, Pretend) else value


def _tensors(values):
    found = []
    tree_map(lambda v: found.append(v) if isinstance(v, torch.Tensor) else None, values)
    return found


def _waited() -> None:
    """Note the line of the package that waits for the device."""
    frame = sys._getframe(1)
    while frame is not None and "sigcli" not in frame.f_code.co_filename:
        frame = frame.f_back
    WAITS[
        "elsewhere" if frame is None else f"{frame.f_code.co_filename.rpartition('sigcli/')[2]}:{frame.f_lineno}"
    ] += 1
