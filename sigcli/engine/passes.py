"""The model's passes for one explanation: in batches, halved where the device runs out of memory, and counted.

Methods that follow no plan (`kind` "direct") get one of these instead of a bare scorer. It never keeps more than one batch
of images, so memory does not depend on how many a method asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..baselines.single import baseline as single_baseline
from ..errors import MisfitError
from ..heads import LOGITS, Head
from ..players import Players
from ..scores.classifier import ClassScore
from ..scores.score import Score
from ..shapley.game import Game
from ..types import Subject
from .batch_size import Batches

T = TypeVar("T")
Images = Callable[[slice], Tensor]
"""Some of a sequence of images: a slice of it → (m, C, H, W)."""


@dataclass(eq=False)
class Passes:
    """A score with a batch size, and how many images went through it.

    Args:
        scorer: the score F.
        batches: how many images a pass holds; halved when the device runs out of memory.
        progress: called with the number of images of each batch.
        evaluations: images that were passed through the model so far, with or without a backward pass.
        forwards: how many of them without.
        unscored: how many of the images that were scored have no finite score.
    """

    scorer: Score
    batches: Batches = field(default_factory=lambda: Batches(16))
    progress: Callable[[int], None] | None = None
    evaluations: int = 0
    forwards: int = 0
    unscored: int = 0

    @property
    def batch_size(self) -> int:
        """Images per pass, for methods that make batches themselves."""
        return self.batches.size

    @property
    def module(self) -> nn.Module:
        """The network itself, for methods that use its layers.

        Raises:
            MisfitError: the score is of a function, not of a network.
        """
        model = self.scorer.model if isinstance(self.scorer, ClassScore) else None
        if not isinstance(model, nn.Module):
            raise MisfitError(
                "the method needs a classifier's layers, and this score is of a function, a detector or a pair of images",
                hint="Methods that need only scores or gradients work: sig, sig-walk, ig, eg, rise, lime, kernelshap, …",
            )
        return getattr(model, "looked_into", model)  # of a wrapper, what it wraps (models.aware)

    @property
    def output(self) -> str:
        """What the score is of the model's outputs: logit, prob, logprob or value."""
        return self.scorer.output if isinstance(self.scorer, ClassScore) else "logit"

    @property
    def head(self) -> Head:
        """What the model's outputs are."""
        return self.scorer.head if isinstance(self.scorer, ClassScore) else LOGITS

    def needs_logit(self, method: str) -> None:
        """Raise MisfitError unless the score is a logit."""
        if self.head.output not in ("logit", "value"):
            hint = "Load it without its last softmax or sigmoid, for example through --model package.module:function."
            raise MisfitError(f"{method} explains logits only, and the network's outputs are not logits", hint=hint)
        if self.output not in ("logit", "value"):
            raise MisfitError(
                f"{method} explains logits only", given=f"output {self.output}", hint="Use --output logit."
            )

    def precision(self, device: torch.device) -> AbstractContextManager[object]:
        """In which the network is to be run where a method runs it itself."""
        return self.scorer.autocast(device) if isinstance(self.scorer, ClassScore) else nullcontext()

    def select(self, outputs: Float[Tensor, "n k *places"], subject: Subject) -> Float[Tensor, " n"]:
        """The score in each row of outputs of a network that a method ran itself."""
        targets = _targets(subject, len(outputs))
        if isinstance(self.scorer, ClassScore):
            return self.scorer.select(outputs, targets)
        return outputs.gather(1, targets[:, None])[:, 0]

    def spent(self, images: int, *, backward: bool = True) -> None:
        """Count images that a method passed through the network itself, forward and backward or forward alone."""
        self.evaluations += images
        self.forwards += 0 if backward else images
        if self.progress:
            self.progress(images)

    def score(self, subject: Subject) -> float:
        """F(x); not counted, as the engine does not count it."""
        return float(self.scorer.scores(subject.x[None], _targets(subject, 1))[0])

    def scores(self, images: Images, count: int, subject: Subject, scorer: Score | None = None) -> Float[Tensor, " k"]:
        """F of some images at the subject's target, (count,) float64 on its device. One evaluation each.

        Another scorer may ask the same model in another way, as of images without some of its tokens.
        """
        found = torch.empty(count, dtype=torch.float64, device=subject.x.device)
        call = (scorer or self.scorer).scores
        for part, scores in self._batches(images, count, subject, call, backward=False):
            found[part] = scores.double()
        self.unscored += int((~torch.isfinite(found)).sum())
        return found

    def gradients(self, images: Images, count: int, subject: Subject) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(which, F of these images, (m,), their gradients, (m, C, H, W)), batch by batch. One evaluation each."""
        for part, (scores, gradients) in self._batches(images, count, subject, self.scorer.gradients, backward=True):
            yield part, scores, gradients

    def game(self, subject: Subject, players: Players, baseline: str | Tensor, scorer: Score | None = None) -> Game:
        """v(S) = F(b_S): the image on the members of S and the baseline elsewhere; the scorer is as for `scores`."""
        reference = single_baseline(baseline, subject)

        def play(members: np.ndarray) -> np.ndarray:
            def images(part: slice) -> Tensor:
                there = players.spread(torch.from_numpy(members[part].astype(np.float32)).to(subject.x.device))
                return torch.where(there[:, None] > 0, subject.x, reference)

            return self.scores(images, len(members), subject, scorer).cpu().numpy()

        return play

    def _batches(
        self, images: Images, count: int, subject: Subject, call: Callable[[Tensor, Tensor], T], *, backward: bool
    ) -> Iterator[tuple[slice, T]]:
        def asked(part: slice) -> T:
            x = images(part)
            return call(x, _targets(subject, len(x)))

        for part, found in self.batches.parts(count, subject.x.shape, asked):
            yield part, found
            self.spent(part.stop - part.start, backward=backward)


def _targets(subject: Subject, count: int) -> Tensor:
    return torch.full((count,), subject.target, device=subject.x.device)
