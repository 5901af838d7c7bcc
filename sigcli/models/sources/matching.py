"""Choosing, among the parts of a checkpoint, the weights of one network: all of them, in one way only, or an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

from ...inspection.archive import shown
from ...inspection.saved import SAVE_STATE
from .checkpoint import Checkpoint, Entry, Part, State

_UNUSED = "num_batches_tracked"  # written only by BatchNorm since torch 0.4.1; nothing reads it in evaluation mode
_SIGNS = (
    (
        "flat_param",
        "they are FSDP's flattened parameters",
        "Save a full state dict: FSDP.state_dict_type(model, StateDictType.FULL_STATE_DICT).",
    ),
    (
        "_packed_params",
        "they are a quantised network's",
        "Save the network before it is quantised, or export it: torch.export.save.",
    ),
    (
        "zero_point",
        "they are a quantised network's",
        "Save the network before it is quantised, or export it: torch.export.save.",
    ),
    (
        "weight_orig",
        "they were saved with spectral norm or pruning",
        "Take that off before saving: remove_spectral_norm(layer), prune.remove(layer, 'weight').",
    ),
    (
        "original",
        "they were saved with a parametrization",
        "Take it off before saving: torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight').",
    ),
    ("lora_A", "they are LoRA adapters", "Merge them into the network before saving: merge_and_unload()."),
)
"""(word in a name, what it says of the file, what to do)."""
_TRAINED = "Name the network that they were trained with."
_FUNCTION = "Name the network that has them all, as a function of yours: --model package.module:function."
_CHANGED = "If the network was changed before training, name the changed one: --model package.module:function."

Advise = Callable[[State], str | None]


@dataclass(frozen=True)
class Chosen:
    """The weights of a network.

    Args:
        state: the network's name → tensor.
        notes: what was left out or taken instead of something else.
    """

    state: State
    notes: tuple[str, ...] = ()


def choose(
    file: Checkpoint,
    network: nn.Module,
    name: str,
    *,
    outline: Callable[[State], nn.Module] | None = None,
    advise: Advise = lambda _: None,
) -> Chosen:
    """The one part of a file that holds a network's weights.

    Args:
        file: what was read.
        network: the network, for its names; its values are not read.
        name: what it is called.
        outline: the network as a part asks for it (number of classes), where that can be changed.
        advise: what to do with weights that are another network's.

    Raises:
        ModelError: none fits, or several that differ.
    """
    file.check()
    names = _tensors(network)
    file = folded(file, names)
    made = outline or (lambda _: network)
    parts = file.parts(names) if file.asked is None else _asked(file, file.parts(names))
    fitting = [part for part in parts if _fits(_tensors(made(part.state)), part)]
    if not fitting:
        raise _none(file, parts, names, made, name, advise)
    part, note = _one(file, fitting)
    left = [text for text in part.left if text not in ("n_averaged", "module.n_averaged")]
    what = (f"left out of the weights file, as no part of the network: {_list(left)}",) if left else ()
    return Chosen(part.state, (*file.notes, *note, *what))


def load_into(module: nn.Module, state: State, path: str | Path, name: str) -> None:
    """Fill a network with weights, all of them or none.

    Raises:
        ModelError: names or shapes differ; the message shows a few of each.
    """
    check_fits(module, state, path, name)
    module.load_state_dict(state, strict=False)


def check_fits(module: nn.Module, state: Mapping[str, Tensor], path: str | Path, name: str) -> None:
    """Hold the names and shapes of weights against a network's.

    Raises:
        ModelError: they differ; the message shows a few of each.
    """
    wrong = _wrong(_tensors(module), state)
    if wrong:
        what = f"the weights are not those of {name}: {wrong}"
        raise ModelError(what, given=path, hint=_TRAINED)


def outputs(own: Mapping[str, Tensor], state: Mapping[str, Tensor], usual: int) -> int | None:
    """How many outputs weights are for: shapes may differ from a network's only as one other number against its `usual`.

    Returns:
        that number; `usual` where the shapes are equal; None where they differ in another way.

    >>> outputs({"w": torch.zeros(1000, 4)}, {"w": torch.zeros(7, 4)}, 1000)
    7
    """
    found = set()
    for key, value in own.items():
        theirs = state.get(key)
        if theirs is not None and theirs.shape != value.shape:
            if theirs.shape[1:] != value.shape[1:] or value.ndim == 0 or theirs.ndim == 0 or value.shape[0] != usual:
                return None
            found.add(theirs.shape[0])
    return found.pop() if len(found) == 1 else (None if found else usual)


def folded(file: Checkpoint, names: Mapping[str, Tensor]) -> Checkpoint:
    """The checkpoint with weight norm worked out, w = g·v/‖v‖ (Salimans and Kingma 2016, equation 2), for a network without.

    Args:
        file: what was read.
        names: the network's tensors by name.
    """
    if any(key.endswith(("_g", ".original0")) for key in names):
        return file
    found = {(e.table, e.name): e for e in file.entries}
    changed: dict[tuple[tuple[str, ...], str], Entry | None] = {}
    for (table, key), e in found.items():
        plain, other = _direction(key)
        v = found.get((table, other))
        if plain is None or v is None or not _is_norm(e, v) or (table, plain) in found:
            continue
        g = e.value.float()
        axes = [i for i in range(v.value.ndim) if g.ndim == 0 or g.shape[i] == 1]
        value = (v.value.float() * (g / torch.linalg.vector_norm(v.value.float(), dim=axes, keepdim=True))).to(
            v.value.dtype
        )
        changed |= {(table, key): Entry(table, plain, value), (table, other): None}
    entries = [changed.get(place, e) for place, e in found.items()]
    note = ("weight norm is worked out: the network is used with w = g·v/‖v‖",) if changed else ()
    return replace(file, entries=tuple(e for e in entries if e is not None), notes=(*file.notes, *note))


def _direction(key: str) -> tuple[str | None, str]:
    """Of a length's name: the weight's, and the direction's."""
    if key.endswith("_g"):
        return key[:-2], f"{key[:-2]}_v"
    if key.endswith(".original0"):
        head, _, weight = key.removesuffix(".original0").rpartition("parametrizations.")
        return head + weight, key.removesuffix("0") + "1"
    return None, ""


def _is_norm(g: Entry, v: Entry) -> bool:
    one, other = g.value, v.value
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or not other.is_floating_point():
        return False
    if one.ndim == 0:
        return True
    differ = [a != b for a, b in zip(one.shape, other.shape, strict=False)]
    return one.ndim == other.ndim and all(a in (1, b) for a, b in zip(one.shape, other.shape, strict=True)) and (
        sum(a > 1 for a in one.shape) <= 1 and (any(differ) or other.numel() == other.shape[0])
    )  # fmt: skip


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network's state; modules may keep other things there (`_extra_state`)."""
    return {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}


def _fits(own: Mapping[str, Tensor], part: Part) -> bool:
    return not (part.further or part.strange or part.torn or _wrong(own, part.state))


def _wrong(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps weights from being a network's: a few names of each kind, nothing where they fit."""
    here = {_place(value) for key, value in own.items() if key in state} - {None}  # tied weights are saved once
    missing = [
        key
        for key, value in own.items()
        if key not in state and not key.endswith(_UNUSED) and _place(value) not in here
    ]
    extra = [key for key in state if key not in own]
    both = [(key, own[key], value) for key, value in state.items() if key in own]
    other = [f"{key} {tuple(v.shape)} instead of {tuple(o.shape)}" for key, o, v in both if v.shape != o.shape]
    other += [f"{key} complex instead of real" for key, o, v in both if v.is_complex() and not o.is_complex()]
    other += [
        f"{key} of whole numbers ({str(v.dtype).removeprefix('torch.')})" for key, o, v in both if _whole(key, o, v)
    ]
    found = [_some("missing", missing), _some("unexpected", extra), _some("of another shape or type", other)]
    return "; ".join(text for text in found if text)


def _whole(key: str, own: Tensor, value: Tensor) -> bool:
    real = value.is_floating_point() or value.is_complex()
    return own.is_floating_point() and not real and not key.endswith(_UNUSED)


def _place(value: Tensor) -> tuple[int, tuple[int, ...]] | None:
    """Where its numbers lie in memory; None where that says nothing."""
    return None if value.device.type == "meta" or not value.numel() else (value.data_ptr(), tuple(value.shape))


def _asked(file: Checkpoint, parts: list[Part]) -> list[Part]:
    asked = str(file.asked)
    taken = [part for part in parts if part.name == asked or part.name.startswith(f"{asked}.")]
    if parts and not taken:
        allowed = ", ".join(dict.fromkeys(part.name for part in parts))
        raise ModelError("the weights file has no such part", given=f"{file.path}:{asked}", allowed=allowed)
    return [replace(part, left=(*part.left, *part.further), further=()) for part in taken]  # the user says what it is


def _one(file: Checkpoint, fitting: list[Part]) -> tuple[Part, tuple[str, ...]]:
    """The part to take: the only one, or that of the last step where the others are averages over steps."""
    different = [part for i, part in enumerate(fitting) if not any(_same(part, before) for before in fitting[:i])]
    plain = [part for part in different if not part.averaged]
    first, others = (plain or different)[0], [part.name for part in different]
    if len(different) > 1 and (len(plain) != 1):
        raise ModelError(
            f"the weights file holds several sets of weights that fit and differ: {', '.join(others)}",
            given=file.path, hint=f"Say which: --weights '{file.path}:{others[0]}'.",
        )  # fmt: skip
    if len(different) > 1:
        averaged = next(part.name for part in different if part.averaged)
        taken = f"the weights file holds {' and '.join(others)}: {first.name} is taken"
        return first, (f"{taken} (--weights '{file.path}:{averaged}' takes the averaged weights)",)
    if first.averaged and file.asked is None:
        return first, (f"the averaged weights ({first.name}) of the file are taken: no others fit",)
    return first, ()


def _same(one: Part, other: Part) -> bool:
    keys = [key for key in one.state.keys() | other.state.keys() if not key.endswith(_UNUSED)]
    pairs = [(one.state.get(key), other.state.get(key)) for key in keys]
    return all(a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def _none(
    file: Checkpoint,
    parts: list[Part],
    names: Mapping[str, Tensor],
    made: Callable[[State], nn.Module],
    name: str,
    advise: Advise,
) -> ModelError:
    """Why no part fits: what is the matter with the most complete one, and a way out that is true."""
    if not parts:
        why = f"{_some('missing', list(names))}; the file has {_list([e.text for e in file.entries])}"
        return _other(file, name, why, advise)
    closest = parts[0]
    if closest.torn or closest.strange:
        what = "the file holds a tensor that no network takes: " + "".join(closest.strange[:1])
        what = f"the file holds two different tensors for {closest.torn[0]}" if closest.torn else what
        return ModelError(what, given=file.path, hint=SAVE_STATE)
    own = _tensors(made(closest.state))
    wrong = _wrong(own, closest.state)
    if not wrong:
        what = f"beside {name} the weights file holds what may be further layers: {_list(closest.further)}"
        hint = f"{_FUNCTION} To explain without them: --weights '{file.path}:{closest.name}'."
        return ModelError(what, given=file.path, hint=hint)
    head = _head(own, closest.state)
    if head is not None:
        what = f"the head of the weights has {head[1]} outputs, that of {name} has {head[0]} ({head[2]})"
        return ModelError(
            what, given=file.path, hint=f"Make the network with {head[1]} outputs; all other weights fit."
        )
    fit = sum(key in closest.state and closest.state[key].shape == value.shape for key, value in own.items())
    if fit == len(own) and any(_whole(key, value, closest.state[key]) for key, value in own.items()):
        return ModelError(f"weights in whole numbers, as quantised networks have them: {wrong}", given=file.path,
                          hint="Save the network before it is quantised, or export it: torch.export.save.")  # fmt: skip
    extra = [key for key in closest.state if key not in own]
    if fit == len(own) and extra and wrong == _some("unexpected", extra):
        what = f"all tensors of {name} are in the weights file, and others that it does not have: {_list(extra)}"
        return ModelError(what, given=file.path, hint=_FUNCTION)
    hint = _CHANGED if 2 * fit > len(own) else _TRAINED
    return _other(file, name, f"{fit} of its {len(own)} tensors fit; {wrong}", advise, hint)


def _other(file: Checkpoint, name: str, why: str, advise: Advise, otherwise: str = _TRAINED) -> ModelError:
    what = f"the weights are not those of {name}: {why}"
    for sign, reason, hint in _SIGNS:
        if any(sign in e.name.split(".")[-1] or f".{sign}" in f".{e.name}" for e in file.entries):
            return ModelError(f"{what}; {reason}", given=file.path, hint=hint)
    try:
        hint = advise(file.main())
    except ModelError as error:
        return error
    return ModelError(what, given=file.path, hint=hint or otherwise)


def _head(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[int, int, str] | None:
    """(ours, theirs, name) where weights fit but for the number of outputs of one layer."""
    other = {key: value for key, value in own.items() if key in state and state[key].shape != value.shape}
    sizes = {value.shape[0] for value in other.values() if value.ndim}
    if len(sizes) != 1 or len({key.rpartition(".")[0] for key in other}) != 1:
        return None
    usual = sizes.pop()
    theirs = outputs(own, state, usual)
    whole = theirs is not None and not _wrong({k: v for k, v in own.items() if k not in other},
                                              {k: v for k, v in state.items() if k not in other})  # fmt: skip
    return (usual, theirs, shown(next(iter(other)))) if whole and theirs is not None else None


def _list(names: list[str] | tuple[str, ...], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


def _some(kind: str, keys: list[str], limit: int = 2) -> str:
    return f"{kind} {_list([shown(key) for key in keys], limit)}" if keys else ""
