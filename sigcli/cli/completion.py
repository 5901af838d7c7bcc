"""Completion of names in the shell: from the catalogues, without torch. `sig --install-completion` installs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..options import Option

Complete = Callable[[str], list[str]]


def _methods() -> Iterable[str]:
    from ..methods import METHODS

    return METHODS


def _metrics() -> Iterable[str]:
    from ..metrics import METRICS

    return METRICS


def _baselines() -> Iterable[str]:
    from ..baselines import BASELINES

    return (f"{name}:" if "argument" in entry.properties and name != "FILE" else name
            for name, entry in BASELINES.items() if name != "FILE")  # fmt: skip


def _imputations() -> Iterable[str]:
    return [*_baselines(), "road"]


def _estimators() -> Iterable[str]:
    from ..gridworld import ESTIMATORS

    return ESTIMATORS


def _classifiers() -> Iterable[str]:
    from .known_models import TORCHVISION

    return ["small-cnn", "small-cnn-any", "small-cnn-ring", "pixel-cnn", *TORCHVISION.split()]


def _models() -> Iterable[str]:
    from .known_models import OTHERS, TORCHVISION

    return ["shapes", "shapes-vit", "expression", "timm/", "hf/", "openclip/", *TORCHVISION.split(), *OTHERS.split()]


def _presets() -> Iterable[str]:
    from ..methods.presets import PRESETS

    return PRESETS


def _lists() -> Iterable[str]:
    from .catalogs import CATALOGS

    return [*CATALOGS, "layers"]


def _entries() -> Iterable[str]:
    from .catalogs import CATALOGS

    return dict.fromkeys(name for catalog in CATALOGS.values() for name in catalog)


NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "method": _methods, "against": _methods, "metric": _metrics, "baseline": _baselines, "imputation": _imputations,
    "estimators": _estimators, "arch": _classifiers, "model": _models, "preset": _presets,
    "device": lambda: ("auto", "cpu", "cuda", "mps"), "weights": lambda: ("DEFAULT", "none"),
    "what": _lists, "name": _entries,
}  # fmt: skip
"""Option or argument → the names that it may have. Layers are not here: their names need the network, and so torch."""


def completer(name: str, known: Option) -> Complete | None:
    """What completes an option's value: its choices, or names of a catalogue; None where only files may."""
    if name not in NAMES and not known.choices:
        return None

    def complete(incomplete: str) -> list[str]:
        return completed(incomplete, NAMES[name]() if name in NAMES else known.choices)

    return complete


def completed(incomplete: str, names: Iterable[str]) -> list[str]:
    """What a text may become: its part behind the last comma, or behind an alias, is completed.

    >>> completed("sig,black=i", ["sig", "ig", "icg"])
    ['sig,black=ig', 'sig,black=icg']
    """
    start = max(incomplete.rfind(","), incomplete.rfind("=")) + 1
    before, part = incomplete[:start], incomplete[start:]
    there = set(before.split(","))
    return [before + name for name in names if name.startswith(part) and name not in there]
