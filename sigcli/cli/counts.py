"""How a run ended: how much was done, how much of that by an earlier run, and how much failed, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import kind_of, kind_of_text

_SHOWN = 5


@dataclass
class Counts:
    """Counts of what was done and what failed.

    >>> counts = Counts()
    >>> for error in ("", "", "the image is truncated: 12 bytes", "the image is truncated: 3 bytes"):
    ...     counts.add(error, resumed=False)
    >>> print(counts)
    2 done, 2 failed: 2 × the image is truncated
    >>> counts.record()
    {'done': 2, 'resumed': 0, 'failed': 2, 'reasons': {'the image is truncated': 2}}
    """

    done: int = 0
    resumed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, error: str, *, resumed: bool, cause: Exception | None = None) -> None:
        """One more is done, or has failed.

        Args:
            error: why it failed, in one line; empty where it is done.
            resumed: an earlier run did it.
            cause: the exception behind the error.
        """
        if error:
            self.reasons[kind_of_text(error) if cause is None else kind_of(cause)] += 1
        else:
            self.done += 1
            self.resumed += resumed

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.reasons.total()

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {**self.plain(), "reasons": dict(self.reasons.most_common())}

    def plain(self) -> Mapping[str, int]:
        """The numbers alone."""
        return {"done": self.done, "resumed": self.resumed, "failed": self.failed}

    def why(self) -> str:
        """The commonest reasons, after how many failed."""
        shown = self.reasons.most_common(_SHOWN)
        others = self.failed - sum(count for _, count in shown)
        told = [f"{count:,} × {kind}" for kind, count in shown] + ([f"{others:,} × other reasons"] if others else [])
        return f"{self.failed:,} failed" + (f": {', '.join(told)}" if told else "")

    def __str__(self) -> str:
        earlier = f" ({self.resumed:,} of them earlier)" if self.resumed else ""
        return f"{self.done:,} done{earlier}, {self.why()}"
