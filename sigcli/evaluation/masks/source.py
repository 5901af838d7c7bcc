"""What masks come from: a folder of files, a CSV of boxes or a JSON file of COCO; all give areas by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ...errors import SigError, UsageError
from .areas import Areas
from .wanted import Wanted


class Source(ABC):
    """Masks by name, before it is known which image has which.

    Args:
        path: what --masks names.
        names: of the masks, as a folder or table has them.
        notes: what the user should know of the source.
    """

    path: Path
    names: Sequence[str]
    word = "mask"
    sized = True
    """Its masks have a size of their own."""

    @abstractmethod
    def judge(self, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, SigError]]:
        """Find what the masks of some names mean, and which cannot be used.

        Returns:
            what is assumed, a line each; and name → error.

        Raises:
            UsageError: they can be read in several ways, or what the user says does not fit them.
        """

    @abstractmethod
    def areas(self, name: str, size: tuple[int, int]) -> Areas:
        """Object and void of one mask, after all were judged; `size` (H, W) is the picture's, for masks without one."""

    def notes(self) -> list[str]:
        """What the user should know of the source itself."""
        return []

    def told(self, name: str) -> str:
        """A mask in a message."""
        return f"{self.word} {name}"

    def refuse_words(self, wanted: Wanted) -> None:
        """Refuse what the user says of values, where there are none."""
        if wanted.classes is not None or wanted.void is not None:
            raise UsageError("boxes have no classes", given=f"{self.path.name}", hint="Leave --mask-class out.")


def unusable(error: SigError) -> UsageError:
    """The error where no mask can be used, for the first one's."""
    return UsageError(f"no mask can be used: {error.what}", given=error.given, allowed=error.allowed, hint=error.hint)
