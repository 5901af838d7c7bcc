"""What a network's outputs are, and how probabilities are read off them: the one place that knows of softmax and sigmoid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from .comparisons import pair_of
from .errors import UsageError, unknown

Kind = Literal[
    "logits", "log-probabilities", "probabilities", "labels", "label-logits", "log-labels", "logit", "probability",
    "log-probability", "values",
]  # fmt: skip
_LEAST = 1e-7
"""A probability of 1 is read as this much less where the logarithm of its complement is needed."""


NO_CLASSES = "the network's outputs are values, not classes, so they have no probabilities"
OTHER_HEAD = "Say what they are if that is wrong: --head softmax, sigmoid or single"


@dataclass(frozen=True)
class Head:
    """The reading of a network's outputs (N, K).

    Args:
        kind: "logits": a softmax makes them probabilities of K classes, one of which is right. "log-probabilities" and
            "probabilities": the network ends in a log-softmax or a softmax. "labels": K probabilities, each of a label that
            may be right or not. "logit" and "probability": a single output for yes or no, before or after a sigmoid.
            "log-labels" and "log-probability": the logarithms of "labels" and of "probability", of a network that ends in
            a log-sigmoid. "label-logits": what a sigmoid makes "labels". "values": of a regression, without probabilities.

    >>> Head("logit").probability(torch.zeros(1, 1))
    tensor([[0.5000]])
    """

    kind: Kind = "logits"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("kind of outputs", self.kind, get_args(Kind))

    @property
    def single(self) -> bool:
        """Whether there is one output, for yes or no."""
        return self.kind in ("logit", "probability", "log-probability")

    @property
    def output(self) -> str:
        """What the outputs are as they stand: logit, prob, logprob or value."""
        if self.kind in ("logits", "logit", "label-logits"):
            return "logit"
        if self.kind == "values":
            return "value"
        return "logprob" if self.kind.startswith("log-") else "prob"

    @property
    def _of_sigmoids(self) -> bool:
        return self.kind in ("log-labels", "log-probability")

    @property
    def _apart(self) -> bool:
        """Whether each output has a probability of its own."""
        return self.single or self.kind == "label-logits"

    def _check(self) -> None:
        if not self.asks:
            raise UsageError(NO_CLASSES, hint=f"{OTHER_HEAD}.")

    def in_force(self, asked: str) -> str:
        """The output that is explained where `asked` is: there are no logits after a softmax or a sigmoid.

        Raises:
            UsageError: a probability of values, or a value of classes.
        """
        if self.kind == "values" and asked in ("prob", "logprob"):
            raise UsageError(NO_CLASSES, given=f"--output {asked}", allowed="value", hint=f"{OTHER_HEAD}.")
        if asked == "value" and self.kind != "values":
            raise UsageError("the outputs are of classes", given="--output value", allowed="logit, prob, logprob")
        return self.output if asked == "logit" else asked

    @property
    def several(self) -> bool:
        """Whether each output is a label that may be right or not."""
        return self.kind in ("labels", "label-logits", "log-labels")

    @property
    def asks(self) -> bool:
        """Whether there are answers with probabilities; of a regression there are none."""
        return self.kind != "values"

    def score(self, outputs: Float[Tensor, "n k"], output: str) -> Float[Tensor, "n k"]:
        """The scores of all classes: logit (the outputs as they are), prob or logprob.

        Raises:
            UsageError: an unknown output.
        """
        if output == "prob":
            return self.probability(outputs)
        if output == "logprob":
            return self.log_probability(outputs)
        if output not in ("logit", "value"):
            raise UsageError("unknown output", given=output, allowed="logit, prob, logprob")
        return outputs

    def probability(self, outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """The probability of each output's class or label; raises UsageError for values, which have none."""
        self._check()
        if self.output == "prob":
            return outputs
        if self._of_sigmoids:
            return outputs.exp()
        return outputs.sigmoid() if self._apart else outputs.softmax(1)

    def log_probability(self, outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """The logarithm of `probability`, in nats; that of the smallest positive number where a probability is 0."""
        self._check()
        if self.output == "prob":
            return outputs.clamp(min=torch.finfo(outputs.dtype).tiny).log()
        if self._of_sigmoids:
            return outputs
        return logsigmoid(outputs) if self._apart else outputs.log_softmax(1)

    def value(self, outputs: Float[Tensor, "n k"], target: int) -> Float[Tensor, " n"]:
        """The output at a target; where that compares two classes, the difference of theirs. See `sigcli.comparisons`."""
        pair = pair_of(target, outputs.shape[1])
        return outputs[:, target] if pair is None else outputs[:, pair[0]] - outputs[:, pair[1]]

    def chance(self, outputs: Float[Tensor, "n k"], target: int) -> Float[Tensor, " n"]:
        """The probability of a target; where that compares two classes, that of the first if it is one of the two."""
        pair = pair_of(target, outputs.shape[1])
        if pair is None:
            return self.probability(outputs)[:, target]
        logs = self.log_probability(outputs)
        return (logs[:, pair[0]] - logs[:, pair[1]]).sigmoid()

    def chosen(self, outputs: Float[Tensor, "n k"], target: int) -> Int64[Tensor, " n"]:
        """The answer of highest probability; where a target compares two classes, the likelier of the two."""
        pair = pair_of(target, outputs.shape[1])
        if pair is None:
            return self.predicted(outputs)
        return torch.where(self.value(outputs, target) > 0, *outputs.new_tensor(pair, dtype=torch.long))

    def layer(self) -> nn.Module | None:
        """The layer that makes the outputs probabilities, or None where they are."""
        if self.output in ("prob", "value"):
            return None
        return nn.Sigmoid() if self._apart else nn.Softmax(1)

    def classes(self, outputs: int) -> int:
        """How many answers an image may have: with a single output no (0) and yes (1)."""
        return 2 if self.single else outputs

    def answers(self, outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n m"]:
        """The probability of each answer: as `probability`, with a single output of no and yes, (N, 2)."""
        found = self.probability(outputs)
        return torch.cat([1 - found, found], 1) if self.single else found

    def predicted(self, outputs: Float[Tensor, "n k"]) -> Int64[Tensor, " n"]:
        """The answer of highest probability; with a single output 1 (yes) above one half."""
        if self.single:
            even = {"logit": 0.0, "probability": 0.5, "log-probability": math.log(0.5)}[self.kind]
            return (outputs[:, 0] > even).long()
        return outputs.argmax(1)

    def distributions(self, outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n g m"]:
        """Log-probabilities of g independent questions with m answers each: one of K classes, or K of yes and no."""
        self._check()
        if self._of_sigmoids:
            return torch.stack([outputs, torch.log1p(-outputs.exp().clamp(max=1 - _LEAST))], 2)
        if self.kind not in ("labels", "label-logits", "logit", "probability"):
            return self.log_probability(outputs)[:, None]
        if self.kind in ("logit", "label-logits"):
            return torch.stack([logsigmoid(outputs), logsigmoid(-outputs)], 2)
        return torch.stack([self.log_probability(outputs), self.log_probability(1 - outputs)], 2)


LOGITS = Head()
