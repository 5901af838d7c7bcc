"""A Ray cluster: how it is reached, and how its GPUs and CPUs are shared among actors."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError

_PATIENCE = 12.0
"""Seconds that a cluster has to take us in; Ray itself would try for minutes."""
_KNOCK = 3.0
_LOCAL = "--address local starts Ray on this machine alone."


@dataclass(frozen=True)
class Share:
    """What each actor asks for.

    Args:
        workers: how many actors there are to be.
        cpus: of each.
        gpus: of each.
        room: how many the cluster has room for as it is.
    """

    workers: int
    cpus: int
    gpus: int
    room: int


def shares(nodes: Sequence[Mapping[str, float]], workers: int | None, *, gpus: bool) -> Share:
    """How a cluster is shared among actors: one for each GPU, or each with an equal number of CPUs where there is none.

    Args:
        nodes: the resources of each node, as Ray names them.
        workers: how many actors; None for one for each GPU or, without GPUs, as many as there are nodes with a CPU.
        gpus: whether GPUs are wanted where there are any.

    >>> shares([{"CPU": 16, "GPU": 2}, {"CPU": 16, "GPU": 2}], None, gpus=True)
    Share(workers=4, cpus=1, gpus=1, room=4)
    >>> shares([{"CPU": 16}, {"CPU": 8}], 3, gpus=True)
    Share(workers=3, cpus=8, gpus=0, room=3)
    """
    cores, cards = [int(one.get("CPU", 0)) for one in nodes], [int(one.get("GPU", 0)) for one in nodes]
    if gpus and any(cards):
        each = 1 if all(core >= card for core, card in zip(cores, cards, strict=True)) else 0
        return Share(workers or sum(cards), each, 1, sum(cards))
    count = workers or max(1, sum(core > 0 for core in cores))
    fitting = [each for each in range(1, max([1, *cores]) + 1) if sum(core // each for core in cores) >= count]
    cpus = max(fitting, default=1)
    return Share(count, cpus, 0, sum(core // cpus for core in cores))


def connect(address: str) -> tuple[Any, bool]:
    """Ray, connected to a cluster; and whether the connection is ours, to be ended by `leave`.

    Args:
        address: `auto` for the one that this machine belongs to, HOST:PORT of its head, or `local` to start one of this
            machine alone.

    Raises:
        UsageError: Ray is not installed, or nobody answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise UsageError(
            "--engine ray needs Ray", hint="Install it: pip install '.[ray]' in the clone of sig."
        ) from error
    if ray.is_initialized():  # by the program that called us: it is theirs to end
        return ray, False
    if address == "local":
        _enter(ray, address, include_dashboard=False)
        return ray, True
    found: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: found.append(_entered(ray, address)), daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if not found:
        raise UsageError(f"no Ray cluster took us in within {_PATIENCE:.0f} seconds", given=address, hint=_LOCAL)
    if isinstance(found[0], Exception) and not isinstance(found[0], UsageError):
        told = str(found[0]).strip().split("\n")[0][:300]
        if told.startswith("Could not find any running Ray instance"):
            hint = f"Start one with 'ray start --head', or name its head: --address HOST:PORT. {_LOCAL}"
            raise UsageError("no Ray cluster runs on this machine", hint=hint) from found[0]
        hint = "The command must run on a node of the cluster, with the same versions of Ray and Python."
        raise UsageError(f"the Ray cluster cannot be used: {told.rstrip('.')}", given=address, hint=hint) from found[0]
    if found[0] is not None:
        raise found[0]
    return ray, True


def _entered(ray: Any, address: str) -> BaseException | None:
    """What kept us from a cluster."""
    try:
        if address != "auto":
            _knock(address)
        _enter(ray, address)
    except BaseException as error:  # noqa: BLE001  Ray ends the process where it gives up
        return error
    return None


def _enter(ray: Any, address: str, **more: Any) -> None:
    """Connect without a word: what fails is told by our own errors, and the actors' output stays in Ray's logs."""
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
    _print(False)  # it would print a page for each actor that is lost


def leave(ray: Any) -> None:
    """End the connection, and the cluster where it was started for it."""
    ray.shutdown()
    _print(True)


def _print(wanted: bool) -> None:
    """Whether Ray prints what its nodes report; it has no public switch for that."""
    inside: Any = importlib.import_module("ray._private.worker")
    if hasattr(inside, "_worker_logs_enabled"):
        inside._worker_logs_enabled = wanted


def _knock(address: str) -> None:
    """Raise UsageError where nobody listens at an address: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16 or "/" in host:
        client = "A client's address (ray://…) is none: run the command on a node of the cluster."
        raise UsageError(
            "--address cannot be used", given=address, allowed="auto, local, or HOST:PORT of the cluster's head",
            hint=client if "/" in host else None,
        )  # fmt: skip
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except OSError as error:
        told = error.strerror or str(error)
        hint = f"{told[:1].upper()}{told[1:]}. 'ray status' on its head tells whether it runs. {_LOCAL}"
        raise UsageError("no Ray cluster answers there", given=address, hint=hint) from error


def told(share: Share, nodes: int, address: str) -> list[str]:
    """What the user must know of a cluster."""
    each = f"{share.gpus} GPU" if share.gpus else f"{share.cpus} CPU{'s' if share.cpus > 1 else ''}"
    counted = f"{share.workers} actors" if share.workers > 1 else "1 actor"
    notes = [f"Ray at {address}: {nodes} node{'s' if nodes > 1 else ''}, {counted} with {each} each"]
    if share.room < share.workers:
        notes.append(f"the cluster has room for {share.room} of {share.workers} actors now; the others wait for it")
    return notes
