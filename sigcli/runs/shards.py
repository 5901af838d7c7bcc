"""A shard of a run: `3/16` is every sixteenth image, counted by place in the sorted list of all, from the third on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..inputs.given import Given, Source

_TEXT = re.compile(r"([0-9]+)/([0-9]+)")
_EXAMPLE = "For example --shard 3/16, or --shard $SLURM_ARRAY_TASK_ID/16 with --array=1-16."


@dataclass(frozen=True)
class Shard:
    """Which part of the images a process works on.

    Args:
        number: of this shard, from 1.
        count: how many shards there are.
    """

    number: int
    count: int

    @classmethod
    def read(cls, text: str | None) -> Shard | None:
        """The shard that `--shard` names; None where it was left out.

        Raises:
            UsageError: no such shard.

        >>> Shard.read("3/16"), str(Shard(3, 16))
        (Shard(number=3, count=16), '3/16')
        """
        if text is None:
            return None
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise UsageError("--shard needs NUMBER/COUNT", given=text, hint=_EXAMPLE)
        shard = cls(int(found[1]), int(found[2]))
        if not 1 <= shard.number <= shard.count:
            allowed = f"1/{shard.count} to {shard.count}/{shard.count}" if shard.count else "a count of at least 1"
            raise UsageError("there is no such shard", given=text, allowed=allowed, hint=_EXAMPLE)
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """What the name of its run folder ends with, unless `--out` names one."""
        return f"-{self.number}-of-{self.count}"

    def places(self, paths: Sequence[Source]) -> list[int]:
        """The places of its images in a list, in the order of the list; which they are does not depend on that order.

        Raises:
            UsageError: samples in memory, or fewer images than shards.
        """
        if any(isinstance(path, Given) for path in paths):
            raise UsageError(
                "--shard divides files, not samples in memory", given=str(self), hint="Divide them yourself."
            )
        if len(paths) < self.count:
            given = f"{self}, of {len(paths)} image{'' if len(paths) == 1 else 's'}"
            raise UsageError("there are fewer images than shards", given=given, allowed=f"up to {len(paths)} shards")
        names = [os.path.abspath(path) for path in paths]
        ordered = sorted(range(len(paths)), key=names.__getitem__)
        return sorted(ordered[self.number - 1 :: self.count])


def without_shard(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of the whole run to which a shard belongs."""
    spec = {name: value for name, value in manifest["spec"].items() if name != "shard"}
    return {name: value for name, value in {**manifest, "spec": spec}.items() if name != "owns"}


def refuse_shard(manifest: Mapping[str, Any] | None, folder: object) -> None:
    """Raise UsageError where a run is only a shard and the whole is asked for."""
    shard = None if manifest is None else manifest.get("spec", {}).get("shard")
    if shard is not None:
        hint = "Merge all shards first: sig merge RUN… --out RUN."
        raise UsageError(f"the run is shard {shard} of a larger one", given=folder, hint=hint)
