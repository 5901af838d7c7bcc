"""Metrics that remove pixels by dropping a transformer's tokens: which they are, and what the network is then asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from ..attribution.select import Chosen
from ..attribution.tokens import grid_of, module_of
from ..errors import UsageError
from ..methods.token_masks import token_masks
from ..metrics import METRICS
from ..metrics.case import Case
from ..metrics.imputation import with_tokens
from ..models.model import Model
from ..players import TOKENS
from ..scores.classifier import ClassScore


def drops(metric: Chosen) -> bool:
    """Whether a metric drops tokens."""
    return metric.resolved().get("imputation") == TOKENS


def check_drops(model: Model, metric: Chosen) -> None:
    """Raise UsageError for a metric that cannot drop tokens, or a network of which none can be dropped.

    Of a network that takes images of any size that is told of each image.
    """
    if not metric.entry.properties["drops"]:
        raise UsageError(
            f"{metric.name} removes pixels at random places, and tokens can only be dropped whole",
            given="imputation tokens",
            allowed=", ".join(name for name, entry in METRICS.items() if entry.properties["drops"]),
        )
    if (size := model.preprocess.size) is not None:
        grid_of(model, size, f"{metric.name} with imputation {TOKENS}", dropped=True)


def with_presence(case: Case) -> Case:
    """A case whose image says in one more channel which of its tokens are there."""
    return Case(with_tokens(case.subject), case.relevance, case.mask, case.void)


@dataclass(frozen=True, eq=False)
class Dropping:
    """A classifier that is also asked about images with a channel more, of which tokens are dropped.

    Args:
        scorer: the classifier.
        model: its network.
    """

    scorer: ClassScore
    model: Model

    def outputs(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """See `sigcli.metrics.case.Outputs`."""
        if images.shape[1] == self.model.preprocess.channels:
            return self.scorer.outputs(images)
        return replace(self.scorer, model=token_masks(module_of(self.model), images[:1, :-1])).outputs(images)
