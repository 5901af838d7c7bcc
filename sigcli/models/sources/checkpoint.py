"""What a file of weights holds: tensors in tables, and which of them are a network's, whatever they were wrapped in.

Training scripts nest a state dict in tables ("state_dict", "model") beside optimisers and arguments, and put words before
and into its names (`module.`, `_orig_mod.`, `model.`). Here the network's own names decide: where all of them follow one
prefix, that is the place of its weights. No list of prefixes is needed; words decide only what may lie beside them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sigcli.errors import ModelError

from ...inspection.archive import shown
from ...inspection.foreign import Foreign
from ...inspection.pickles import Outline, Strange

State = dict[str, Tensor]
Words = tuple[str, ...]

WHOLE = "."
"""What the weights at the top of a file are called."""
_INSERTED = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_fpw_module")
)
"""Words that torch's wrappers (DataParallel, compile, FSDP, …) put before or into names."""
_USUAL = re.compile(
    r"((ema|best|averaged|swa|shadow)_)?(model_?|net_?|network_?)?(state(_?dict)?|weights|params|parameters)?(_(ema|best|swa))?"
    r"|(model|net|network)_(ema|swa)|ema|swa|shadow|averaged(_model)?"
)
"""Words of tables and attributes that hold a whole network."""
_AVERAGED = re.compile(r"(^|_)(ema|swa|averaged|shadow|polyak)(_|$)", re.IGNORECASE)
_BESIDE = re.compile(
    r"n_averaged|criterion.*|criteria|.*loss(es)?|loss_.*|.*_loss_.*|.*metrics?|metric_.*|class_?weights?|pos_?weights?"
    r"|total_ops|total_params"
    r"|((train|val(id(ation)?)?|test)_?)?(acc|accuracy|f1|auc|auroc|precision|recall|confmat|kappa|ece|top_?\d)(_.*)?",
    re.IGNORECASE,
)
"""Words of what a training script keeps beside a network: losses and their weights, metrics, counters."""
_OPTIMISER = re.compile(r"optim.*|.*scheduler.*|(grad_?)?scaler|callbacks|loops|rng.*|.*optimi[sz]er.*", re.IGNORECASE)
_DEPTH, _TABLES = 8, 2000


@dataclass(frozen=True, eq=False)
class Entry:
    """A tensor in a file.

    Args:
        table: the names of the tables that it lies in, from the outside.
        name: its name there.
        value: the tensor, or what it is instead.
    """

    table: Words
    name: str
    value: Any

    @cached_property
    def words(self) -> Words:
        """All words of its place."""
        return (*self.table, *self.name.split("."))

    @property
    def text(self) -> str:
        """Its name as a message gives it."""
        return shown(self.name)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The tensor's shape."""
        return tuple(self.value.shape) if isinstance(self.value, Tensor) else None

    @property
    def layer(self) -> bool:
        """Whether it may be a layer's weights, which take part in what a network computes: numbers along two axes."""
        value = self.value
        return not isinstance(value, Tensor) or (value.is_floating_point() and sum(n > 1 for n in value.shape) > 1)


@dataclass(frozen=True, eq=False)
class Part:
    """Tensors of a file that may be a network's.

    Args:
        place: the words before the network's names.
        state: the network's name → tensor; names that it does not have as they stand in the file.
        fits: how many of the network's names are there.
        left: names of tensors beside it that are no part of a network.
        further: names of others beside it, which may be.
        strange: names of tensors that are none, with their kind.
        torn: names that stand for two different tensors.
    """

    place: Words
    state: State
    fits: int
    left: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a user calls it."""
        return shown(".".join(self.place)) or WHOLE

    @property
    def averaged(self) -> bool:
        """Whether its name says that it is an average over the steps of training."""
        return any(_AVERAGED.search(word) for word in self.place)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was read of a file.

    Args:
        path: the file.
        entries: its tensors.
        asked: the part that the user asks for, or None.
        objects: the first Python object in it, by the name of its class; None without.
        optimiser: whether it holds an optimiser's state.
        notes: what was done to it.
    """

    path: Path
    entries: tuple[Entry, ...]
    asked: str | None = None
    objects: str | None = None
    optimiser: bool = False
    notes: tuple[str, ...] = field(default=())

    def renamed(self, rename: Callable[[str], str]) -> Checkpoint:
        """The same with other names."""
        return replace(self, entries=tuple(Entry(e.table, rename(e.name), e.value) for e in self.entries))

    def parts(self, names: Collection[str]) -> list[Part]:
        """Where the file holds a network's names, the most complete first; of nearly as complete ones up to eight.

        Args:
            names: those of the network's state dict.
        """
        found: list[Part] = []
        for own in _spellings(names):
            words = [own.read(e.words) for e in self.entries]
            counts = Counter(w[:cut] for w in words for cut in range(len(w)) if w[cut:] in own.names)
            most = max(counts.values(), default=0)
            near = sorted((p for p in counts if counts[p] > 0.8 * most), key=lambda p: (-counts[p], len(p)))[:8]
            tables = [_below(place, self.entries, words) for place in near]
            found += [_part(place, i, tables, self.entries, own) for i, place in enumerate(near)]
        return sorted(found, key=lambda part: -part.fits)[:8]

    def main(self) -> State:
        """The largest table of tensors, with words before all of its names taken off: what it is without a network.

        Raises:
            ModelError: it holds no table of tensors alone, or one of a kind that no network takes.
        """
        from ...inspection.saved import SAVE_STATE

        self.check()
        sizes = Counter(e.table for e in self.entries)
        table = max(sizes, key=lambda t: (not any(map(_AVERAGED.search, t)), sizes[t]))
        found = {e.name: e.value for e in self.entries if e.table == table}
        strange = next((f"{shown(n)} is {v.kind}" for n, v in found.items() if isinstance(v, Strange)), None)
        if strange is not None:
            what = f"the file holds a tensor that no network takes: {strange}"
            raise ModelError(what, given=self.path, hint=SAVE_STATE)
        kept = {n: v for n, v in found.items() if not any(map(_BESIDE.fullmatch, n.split(".")))} or found
        plain = {".".join(_plain(tuple(n.split(".")))): v for n, v in kept.items()}
        kept = plain if len(plain) == len(kept) and "" not in plain else kept
        while all(n.startswith(("model.", "net.")) for n in kept):
            kept = {n.partition(".")[2]: v for n, v in kept.items()}
        return kept

    def check(self) -> None:
        """Raise ModelError where there are no tensors by name: the message says what there is."""
        from ...inspection.saved import SAVE_STATE, objects

        if self.entries:
            return
        if self.objects is not None:
            raise objects(self.path, self.objects)
        if self.optimiser:
            what = "the file holds an optimiser's state and no network's weights"
            raise ModelError(what, given=self.path, hint="Name the file with the network's state dict.")
        raise ModelError("the file holds no state dict (names and tensors)", given=self.path, hint=SAVE_STATE)


def opened(content: Any, path: Path, asked: str | None) -> Checkpoint:
    """A checkpoint of what a file holds, its tensors still as outlines where it was pickled.

    Args:
        content: tables, tensors and others.
        path: the file.
        asked: the part that the user asks for.
    """
    entries: list[Entry] = []
    objects: list[str] = []
    for table, name, value in _walk(content):
        if isinstance(value, Foreign):
            objects.append(value.name)
        else:
            entries.append(Entry(table, name, value))
    optimiser = _is_optimiser(content) or (
        isinstance(content, dict) and any(isinstance(k, str) and _OPTIMISER.fullmatch(k) for k in content)
    )
    return Checkpoint(path, tuple(entries), asked, objects[0] if objects else None, optimiser)


def _walk(content: Any) -> Iterator[tuple[Words, str, Any]]:
    """(tables, name, value) of all tensors by name, and of foreign objects; optimisers are left out."""
    if isinstance(content, Foreign):
        yield (), "", content
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen = 0
    while waiting:
        table, here = waiting.pop(0)
        if _is_optimiser(here) or len(table) > _DEPTH or (seen := seen + 1) > _TABLES:
            continue
        for key, value in _items(here):
            if isinstance(value, (Tensor, Outline, Strange, Foreign)):
                yield table, key, value
            elif isinstance(value, (dict, list, tuple)) and not _OPTIMISER.fullmatch(key):
                waiting.append(((*table, key), value))


def _items(here: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a table or list by their names: other keys may be of any size, and name no weight."""
    if isinstance(here, dict):
        yield from ((key, value) for key, value in here.items() if isinstance(key, str))
    elif isinstance(here, (list, tuple)):
        yield from ((str(i), value) for i, value in enumerate(here) if isinstance(value, dict))


def _is_optimiser(here: Any) -> bool:
    return isinstance(here, dict) and "param_groups" in here and "state" in here


@dataclass(frozen=True, eq=False)
class _Own:
    """A network's names by their words, and how words are read for it."""

    names: dict[Words, str]
    read: Callable[[Words], Words]


def _spellings(names: Collection[str]) -> Iterator[_Own]:
    """A network's names without what wrappers insert; then also without words before all of them."""
    read = _plain
    own = {read(tuple(name.split("."))): name for name in names}
    if len(own) < len(names):  # it has parts of its own that are called as a wrapper's
        read = tuple
        own = {tuple(name.split(".")): name for name in names}
    yield _Own(own, read)
    while own and all(len(words) > 1 for words in own) and len({words[0] for words in own}) == 1:
        own = {words[1:]: name for words, name in own.items()}
        yield _Own(own, read)


def _plain(words: Words) -> Words:
    """Words without those that wrappers insert, and of weight norm in one of its two spellings."""
    kept = tuple(word for word in words if word not in _INSERTED)
    if len(kept) > 2 and kept[-3] == "parametrizations" and kept[-1] in ("original0", "original1"):
        return (*kept[:-3], f"{kept[-2]}_{'gv'[int(kept[-1][-1])]}")
    return kept


Below = list[tuple[Words, Entry]]


def _below(place: Words, entries: Collection[Entry], words: list[Words]) -> Below:
    """The tensors whose words begin with a place, by the words after it."""
    cut = len(place)
    return [(w[cut:], e) for w, e in zip(words, entries, strict=True) if w[:cut] == place and len(w) > cut]


def _part(place: Words, at: int, tables: list[Below], entries: Collection[Entry], own: _Own) -> Part:
    """The part at a place, `tables[at]`, beside the others."""
    whole = tables[at]
    copies = {id(e) for other in tables if _is_copy(whole, other, own) for _, e in other}
    own_tables = {e.table for words, e in whole if words in own.names}
    spans = any(len(own.read(table)) > len(place) for table in own_tables)  # tables of parts: {"encoder": …, "head": …}
    here = [
        (words, e)
        for words, e in whole
        if words in own.names or (id(e) not in copies and (spans or e.table in own_tables))
    ]
    values, torn = dict[str, Any](), list[str]()
    for words, e in here:
        name = own.names.get(words, ".".join(words))
        if name in values and not _equal(values[name], e.value):
            torn.append(shown(name))
        values[name] = e.value
    lacked = set(values) - set(own.names.values())
    loose = {name for name in lacked if any(map(_BESIDE.fullmatch, name.split(".")))}
    usual = all(map(_USUAL.fullmatch, place))
    known = {id(e) for _, e in here} | copies
    beside = [e for e in entries if id(e) not in known and (not usual or e.table in own_tables)]
    further = [e.text for e in beside if _is_further(e, usual=usual)]
    kept = {name: value for name, value in values.items() if name not in loose}
    return Part(
        place,
        {name: value for name, value in kept.items() if isinstance(value, Tensor)},
        fits=len(set(values) & set(own.names.values())),
        left=tuple(sorted(map(shown, loose)) + [e.text for e in beside if e.text not in further]),
        further=tuple(further),
        strange=tuple(f"{shown(name)} is {v.kind}" for name, v in kept.items() if isinstance(v, Strange)),
        torn=tuple(torn),
    )


def _is_copy(here: Below, other: Below, own: _Own) -> bool:
    """Whether another place holds the same network's tensors: an average of them, a teacher's."""
    shapes = [{words: e.shape for words, e in table if words in own.names} for table in (here, other)]
    return here is not other and shapes[0] == shapes[1]


def _is_further(e: Entry, *, usual: bool) -> bool:
    """Whether a tensor beside a network may be a layer after it, so that explaining the network alone would be wrong."""
    known = any(map(_BESIDE.fullmatch, e.words))
    return not known and (e.layer or not usual)


def _equal(one: Any, other: Any) -> bool:
    return (
        isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    )
