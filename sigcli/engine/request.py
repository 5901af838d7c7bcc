"""What asks a model about many images, and is told its answers: the batcher cuts it into batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor

from ..errors import SigError


@dataclass(eq=False)
class Request(ABC):
    """Items of one shape that are to go through a model, and what is made of the answers.

    Args:
        passed: how many items went through the model so far.
        seconds: their share of the time of the batches that they were in.
        error: what was raised instead, where errors are contained.
    """

    passed: int = field(default=0, init=False)
    seconds: float = field(default=0.0, init=False)
    error: SigError | None = field(default=None, init=False)

    @abstractmethod
    def __len__(self) -> int:
        """How many items there are."""

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """A tensor of an item's shape (C, H, W), type and device."""

    @property
    @abstractmethod
    def target(self) -> int:
        """What the model is asked about the items: a class, or the number of a partner."""

    def start(self) -> None:  # noqa: B027  most have nothing to prepare
        """Prepare for the first items."""

    @abstractmethod
    def write(self, items: slice, place: Tensor) -> None:
        """Write some items (k, C, H, W) into their place in a batch. The same items may be asked for again."""

    @abstractmethod
    def take(self, items: slice, *answers: Tensor) -> None:
        """Note the model's outputs for the items that were written last. Items come once each, in their order.

        The last of them may make the request longer.
        """
