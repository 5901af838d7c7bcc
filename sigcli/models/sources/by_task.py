"""torchvision's networks by name that are no classifiers: from a name and weights to a network, as all kinds share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torchvision
from torch import nn

from ..model import Source
from .checkpoint import State
from .matching import choose, load_into
from .torchvision import ANY_CLASSES, NO_WEIGHTS, RANDOM, downloaded, entries, member_of, recognised, resized, seeded
from .weights import hash_network, hash_state, place_of_weights, read_checkpoint

Options = Callable[[str, State | None], dict[str, Any]]
Made = Callable[..., Source]


@dataclass(frozen=True)
class Kind:
    """What is particular to a kind of networks.

    Args:
        models: torchvision's module of them.
        word: what such a network is called.
        classes_in: (name, weights) → how many classes they are for.
        fed: a torchvision weights entry → how its input is prepared, in words.
        made: (name, network, weights in words, their digest, labels=, member=, notes=) → the source; `member` is the
            torchvision entry that the weights are of, or None.
        options: (name, weights or None) → further options to build it with.
        assumed: (name) → notes on what a file of weights does not say, where no torchvision entry has these weights.
        names_assumed: what is told of class names that are assumed.
    """

    models: ModuleType
    word: str
    classes_in: Callable[[str, State], int]
    fed: Callable[[Any], str]
    made: Made
    options: Options = lambda _name, _state: {}
    assumed: Callable[[str], tuple[str, ...]] = lambda _name: ()
    names_assumed: str = ""

    def names(self) -> list[str]:
        """The names of all of them, sorted."""
        return torchvision.models.list_models(module=self.models)

    def load(self, name: str, weights: str | None) -> Source:
        """Build one, with weights downloaded, read from a file, or random.

        Raises:
            ModelError: unknown weights, a download that failed, or a file with another network's weights.
        """
        choice = (weights or "DEFAULT").rsplit("::", 1)[-1]
        if choice.lower() == NO_WEIGHTS:
            module = self.build(name, usual(name))
            return self.made(name, module, NO_WEIGHTS, hash_state(module.state_dict()), notes=(RANDOM,))
        member = member_of(name, choice)
        if member is None:
            return self._from_file(name, choice)
        state, labels = downloaded(name, member), tuple(member.meta["categories"])
        module = self.build(name, len(labels), state)
        load_into(module, state, member.url, name)
        return self.made(name, module, member.name, hash_state(state), labels=labels, member=member)

    def details(self, name: str) -> str:
        """What is known of one: its size, its weights and how they are fed."""
        every, lines = entries(name), []
        for weights in every:
            mark = " (DEFAULT)" if weights == every.DEFAULT else ""
            lines.append(f"  {weights.name}{mark}: {self.fed(weights)}; {len(weights.meta['categories'])} classes")
        size = f"{every.DEFAULT.meta['num_params'] / 1e6:.1f} million parameters"
        return "\n".join([f"{name}: torchvision {self.word}, {size}", "", "--weights:", *lines, *ANY_CLASSES])

    def build(self, name: str, classes: int, state: State | None = None) -> nn.Module:
        """The network for a number of classes, with random weights that are always the same."""
        options = self.options(name, state)
        with seeded():
            return torchvision.models.get_model(
                name, weights=None, weights_backbone=None, num_classes=classes, **options
            )

    def outline(self, name: str, classes: int, state: State | None = None) -> nn.Module:
        """The network for its names and shapes only."""
        with torch.device("meta"):
            return self.build(name, classes, state)

    def _from_file(self, name: str, weights: str) -> Source:
        path, _ = place_of_weights(weights)
        whole = usual(name)

        def outline(state: State) -> nn.Module:
            return self.outline(name, self.classes_in(name, state), state)

        chosen = choose(read_checkpoint(weights), self.outline(name, whole), name, outline=outline)
        classes = self.classes_in(name, chosen.state)
        module = self.build(name, classes, chosen.state)
        load_into(module, chosen.state, path, name)
        known = recognised(name, path)
        notes = () if known else self.assumed(name)
        notes += (self.names_assumed.format(classes),) if not known and classes == whole else ()
        labels = tuple(entries(name).DEFAULT.meta["categories"]) if classes == whole else None
        told = (*notes, *chosen.notes, *resized(classes, whole, name))
        return self.made(name, module, weights, hash_network(module), labels=labels, member=known, notes=told)


def usual(name: str) -> int:
    """How many classes torchvision's own weights of a network are for."""
    return len(entries(name).DEFAULT.meta["categories"])
