"""Does the map depend on the model and on the class? If not, it explains neither."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from .. import draws
from ..errors import AttributionError, UsageError
from .case import Case, Measurement
from .robustness import Explain


def parameter_randomisation(
    case: Case, explain: Explain, model: nn.Module, *, stages: int = 6, similarity: str = "spearman"
) -> Measurement:
    """Cascading randomisation from the top (MPRT), Adebayo et al. 2018, section 3.1: similarity as layers are randomised.

    The layers that have weights are re-initialised from the output down, cumulatively, in as many stages as asked for.

    Args:
        case: what is measured.
        explain: the method, able to explain another model.
        model: the model whose layers are randomised; it is not changed.
        stages: points of the curve after the first.
        similarity: spearman or ssim, both of the maps' absolute values.

    Returns:
        The similarity to the first map at each fraction of randomised layers; the value is that of the fully random model.

    Raises:
        UsageError: no stages, or an unknown similarity.
        AttributionError: a model without weights, or a map that cannot be compared.
    """
    compare = _similarity(similarity)
    if stages < 1:
        raise UsageError("stages must be at least 1", given=stages)
    subject = case.subject
    layers = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    if not layers:
        raise AttributionError("the model has no layer with weights")
    edges = np.unique(np.linspace(0, len(layers), stages + 1).round().astype(int))
    first = explain(subject.x[None], subject.target)[0]
    stages_of = _randomised(model, layers[::-1], edges[1:], draws.stream(subject.seed, "parameter-randomisation"))
    curve = [1.0, *(compare(first, explain(subject.x[None], subject.target, lost)[0]) for lost in stages_of)]
    return Measurement(curve[-1], edges / len(layers), np.array(curve))


def _randomised(model: nn.Module, layers: list[str], edges: np.ndarray, seed: int) -> Iterator[nn.Module]:
    """The model with more and more layers re-initialised, from the first of the list on."""
    lost = copy.deepcopy(model)
    done = 0
    with torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        for edge in edges.tolist():
            for name in layers[done:edge]:
                _reset(lost.get_submodule(name))
            done = edge
            yield lost


def _reset(module: nn.Module) -> None:
    """Fresh weights as the layer makes them; normal with the old spread where it does not say how."""
    reset = getattr(module, "reset_parameters", None)
    with torch.no_grad():
        if callable(reset):
            reset()
            return
        for parameter in module.parameters(recurse=False):
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            parameter.normal_(0.0, spread or 0.02)


@runtime_checkable
class Asked(Protocol):
    """What targets ask about."""

    def class_of(self, target: int) -> int:
        """The class of a target; a number beyond the classes where it compares two."""
        ...

    def rivals(self, target: int, classes: int) -> list[int]:
        """The other classes that could be asked about in its place."""
        ...

    def instead(self, target: int, other: int) -> int:
        """The target that asks about another class at the same place."""
        ...


class _OfClasses:
    """Targets are classes of the whole image."""

    def class_of(self, target: int) -> int:
        return target

    def rivals(self, target: int, classes: int) -> list[int]:
        return [other for other in range(classes) if other != target]

    def instead(self, target: int, other: int) -> int:  # noqa: ARG002  regions and boxes keep their place
        return other


ASKED: Asked = _OfClasses()


def random_logit(
    case: Case, explain: Explain, classes: int, asked: Asked = ASKED, *, similarity: str = "spearman"
) -> Measurement:
    """Random logit, Sixt, Granz, Landgraf 2020, section 4: similarity to the map of another class; lower is better.

    Args:
        case: what is measured.
        explain: the method.
        classes: number of classes of the model.
        asked: what targets ask about; of a region or a box another class is asked about at the same place.
        similarity: spearman or ssim, of the maps' absolute values.

    Raises:
        UsageError: an unknown similarity.
        AttributionError: there is no other class to ask about, or a map that cannot be compared.
    """
    compare = _similarity(similarity)
    subject = case.subject
    if classes < 2:
        raise AttributionError("the model has a single output, so there is no other class")
    if asked.class_of(subject.target) >= classes:
        raise AttributionError("random-logit looks at the map of another class, and the target compares two")
    rivals = asked.rivals(subject.target, classes)
    if not rivals:
        raise AttributionError("there is no other class")
    key = draws.stream(subject.seed, subject.key, "random-logit")
    drawn = int(draws.integers(key, torch.zeros(1, dtype=torch.long), len(rivals)))
    other = asked.instead(subject.target, rivals[drawn])
    first, second = (explain(subject.x[None], target)[0] for target in (subject.target, other))
    return Measurement(compare(first, second))


def _similarity(name: str):
    if name not in _SIMILARITIES:
        raise UsageError("unknown similarity", given=name, allowed=", ".join(_SIMILARITIES))
    return _SIMILARITIES[name]


def _spearman(one: Tensor, other: Tensor) -> float:
    a, b = (np.asarray(rankdata(_flat(m).ravel())) for m in (one, other))
    if not np.ptp(a) or not np.ptp(b):
        raise AttributionError("a map is the same everywhere, so its similarity to another is undefined")
    return float(np.corrcoef(a, b)[0, 1])


def _ssim(one: Tensor, other: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) of the maps scaled to a maximum of 1."""
    from skimage.metrics import structural_similarity

    a, b = (m / max(float(m.max()), 1e-30) for m in (_flat(one), _flat(other)))
    window = min(7, min(a.shape) - 1 + min(a.shape) % 2)
    return float(cast(float, structural_similarity(a, b, data_range=1.0, win_size=window)))


def _flat(values: Tensor) -> np.ndarray:
    return values.double().sum(0).abs().cpu().numpy()


_SIMILARITIES = {"spearman": _spearman, "ssim": _ssim}
