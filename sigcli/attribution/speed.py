"""How a run's model is made to run fast: weights in bf16, and a compiled program for full batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from ..models.checks import probe_images
from ..models.model import Model
from ..scores.classifier import ClassScore
from ..scores.faster import Faster, whole_bf16

PAYS = 500_000
"""Gradient evaluations from which compiling pays on a GPU: on an H100 a ResNet-50 in bf16 gains 0.12 ms for each, and
compiling takes up to a minute."""
_SIDE = 224


def in_bf16(score: Any, model: Model) -> tuple[Any, tuple[str, ...]]:
    """The score with the weights of its network in bf16, where `--precision bf16` asks for it; or a note why not."""
    if not isinstance(score, ClassScore) or score.precision != "bf16" or not isinstance(score.model, nn.Module):
        return score, ()
    why = next(iter(model.lacks.values()), "")
    if not why:
        height, width = model.preprocess.size or (_SIDE, _SIDE)
        found, why = whole_bf16(score.model, probe_images((model.preprocess.channels, height, width), model.device))
        if found is not None:
            return replace(score, faster=found), ()
    return score, (f"bf16: the network's weights stay in fp32 and it runs under autocast, which is slower: {why}",)


def compiled(score: Any, choice: str, *, size: int, evaluations: int, device: str) -> Any:
    """The score with a compiled program for batches of that size.

    Args:
        score: what is explained.
        choice: "on", "off", or "auto": on a CUDA device, for a run of at least `PAYS` evaluations.
        size: images per gradient evaluation.
        evaluations: gradient evaluations of the run, as far as they are known.
        device: its type.
    """
    wanted = choice == "on" or (choice == "auto" and device == "cuda" and evaluations >= PAYS)
    if not wanted or not isinstance(score, ClassScore) or not isinstance(score.model, nn.Module):
        return score
    found = score.faster or Faster(score.model, score.model)
    return replace(score, faster=replace(found, size=size))


def told(score: Any, choice: str) -> tuple[str, ...]:
    """What is to be said of the compiled program by now."""
    if choice == "on" and not (isinstance(score, ClassScore) and score.faster is not None):
        return ("--compile on has no effect: only classifiers that are PyTorch modules are compiled",)
    faster = getattr(score, "faster", None)
    return (
        (f"the network could not be compiled and runs as it is: {faster.failure}",) if faster and faster.failure else ()
    )
