"""Where the workers of a run are: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from ..errors import UsageError
from .line import Desk, Main
from .processes import Machine


@runtime_checkable
class Team(Protocol):
    """Workers that are under way."""

    def close(self) -> None:
        """End them, at once where they are not finished."""
        ...


@runtime_checkable
class Executor(Protocol):
    """A place that workers can be started in.

    How the items are divided, what is done with those of a lost worker, and who writes what is the same in each place: see
    `Division`, and the `Desk` that answers the workers. A place starts workers, carries what they say, finds out that one is
    lost, and starts another where the desk asks for it.
    """

    @property
    def workers(self) -> int:
        """How many there are to be."""
        ...

    @property
    def threads(self) -> int | None:
        """That each computes with, where it computes on the CPU; None for those of this process, divided."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user must know of the place."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on machines that do not see the files of this one."""
        ...

    def start(self, count: int, main: Main, given: Any, desk: Desk) -> Team:
        """Let so many workers work for a desk.

        Args:
            count: how many.
            main: what each does.
            given: what it works with.
            desk: answers them.

        Raises:
            UsageError: it holds something that cannot be handed over.
        """
        ...

    def close(self) -> None:
        """Leave the place."""
        ...


def executor_of(engine: str, *, address: str | None, workers: int | None, device: str) -> Executor:
    """The place that options name.

    Args:
        engine: `local` or `ray`.
        address: of a Ray cluster; None where none was named.
        workers: how many; None where that is not said.
        device: as the user named it.

    Raises:
        UsageError: no such place, or nobody answers there.
    """
    if workers is not None and workers < 1:
        raise UsageError("--workers must be at least 1", given=workers)
    if engine == "ray":
        from .ray_actors import Cluster

        return Cluster.at(address or "auto", workers, device)
    if address is not None:
        raise UsageError("--address is for --engine ray", given=address, hint="Add --engine ray, or leave it out.")
    return Machine(workers or 1)
