"""Workers that are actors of a Ray cluster.

Ray places them, finds out that one or its node is lost, and starts it again where there is room. What a lost one had taken
is given out again by `Division`, as among processes. Ray's own retries of a task would not do: an image that ends its actor
would take those with it that share its batch.
"""

from __future__ import annotations

import os
import pickle
import queue
import re
import threading
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError, cut
from .line import Desk, Line, Main, serve, work
from .ray_cluster import connect, leave, shares, told

_PATIENCE = 5.0
_STARTS = 3
"""How often an actor may be lost before its first question."""
_CALLS = 3
"""How often an answer is brought to an actor that cannot be reached."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """A Ray cluster, see `sigcli.executors.executor.Executor`.

    Args:
        ray: the package, connected.
        ours: the connection is ours to end.
        workers: how many actors there are to be.
        cpus: of each.
        gpus: of each.
        notes: what the user must know.
    """

    ray: Any
    ours: bool
    workers: int
    cpus: int
    gpus: int
    notes: tuple[str, ...]
    elsewhere: bool = True

    @classmethod
    def at(cls, address: str, workers: int | None, device: str) -> Cluster:
        """The cluster at an address, shared among actors.

        Raises:
            UsageError: it cannot be reached, or does not have the device.
        """
        if ":" in device:
            hint = "Ray gives each actor a GPU of its own: --device auto, cuda or cpu."
            raise UsageError("a numbered device is of one machine", given=f"--device {device}", hint=hint)
        ray, ours = connect(address)
        nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        share = shares(nodes, workers, gpus=device in ("auto", "cuda"))
        made = cls(
            ray, ours, share.workers, share.cpus, share.gpus,
            tuple(told(share, len(nodes), ray.get_runtime_context().gcs_address)),
        )  # fmt: skip
        if device == "cuda" and not share.gpus:
            made.close()
            raise UsageError("the Ray cluster has no GPU", given="--device cuda", allowed="auto, cpu")
        return made

    @property
    def threads(self) -> int | None:
        """As many as an actor has CPUs; with a GPU, what torch finds."""
        return None if self.gpus else self.cpus

    def start(self, count: int, main: Main, given: Any, desk: Desk) -> Actors:
        """Let actors work for a desk."""
        try:
            shared = self.ray.put(given)
        except Exception as error:
            raise UsageError(
                "--engine ray cannot hand an object of this program to actors", given=" ".join(str(error).split())[:300],
                hint="Name model and methods as texts, such as package.module:function.",
            ) from error  # fmt: skip
        return Actors(self, count, main, shared, desk)

    def close(self) -> None:
        """End the connection, where it is ours."""
        if self.ours:
            leave(self.ray)


class Actors:
    """Actors that work for a desk, each with a thread here that leads it; `close` ends them.

    Args:
        cluster: where.
        count: how many.
        main: what each does.
        given: what it works with, in Ray's object store.
        desk: answers them.
    """

    def __init__(self, cluster: Cluster, count: int, main: Main, given: Any, desk: Desk):
        self._ray, self._main, self._given, self._desk = cluster.ray, main, given, desk
        self._closed = False
        kind = self._ray.remote(
            num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=-1, max_task_retries=0,
            scheduling_strategy="SPREAD",
        )(Actor)  # fmt: skip
        self._actors = [kind.remote() for _ in range(count)]
        self._threads = [threading.Thread(target=self._lead, args=(one,), daemon=True) for one in range(count)]
        for thread in self._threads:
            thread.start()

    def _lead(self, number: int) -> None:
        """Answer an actor until it is finished, as often as it is lost and the desk wants it back."""
        starts = 0
        while not self._closed:
            wire = _Call(self._ray, self._actors[number], (self._main, number, self._given))
            if serve(wire, number, self._desk) or self._closed:
                return
            starts = 0 if wire.asked else starts + 1
            if (wire.asked or starts == _STARTS) and not self._desk.lost(number, wire.why):
                return

    def close(self) -> None:
        """End all."""
        self._closed = True
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)
        for thread in self._threads:
            thread.join(_PATIENCE)


class _Call:
    """The wire to an actor: an answer is a call, and what the call returns is the next question.

    Args:
        ray: the package.
        actor: its handle.
        task: what it is to do.
    """

    def __init__(self, ray: Any, actor: Any, task: tuple[Any, ...]):
        self._ray, self._actor, self._task = ray, actor, task
        self._next: Any = None
        self._answer, self.asked, self.why = b"", 0, ""

    def send(self, obj: Any, /) -> None:
        """Answer."""
        self._answer = pickle.dumps(obj)
        self._next = self._actor.step.remote(self.asked, self._answer)

    def recv(self) -> Any:
        """Wait for a question; raises EOFError where the actor is lost."""
        try:
            question = self._begun() if self.asked == 0 else self._asked_next()
        except self._ray.exceptions.RayError as error:
            self.why = _why(error)
            raise EOFError(self.why) from error
        self.asked += 1
        return pickle.loads(question)

    def _begun(self) -> bytes:
        """The first question, once Ray has placed the actor, however long that takes: it has taken nothing yet."""
        self._ray.get(self._actor.ready.options(max_task_retries=-1).remote())
        return self._ray.get(self._actor.begin.remote(*self._task))

    def _asked_next(self) -> bytes:
        """The next question. Ray must not wait for a lost actor to be placed again: what that had taken is for others."""
        for _ in range(_CALLS - 1):
            try:
                return self._ray.get(self._next)
            except self._ray.exceptions.ActorUnavailableError:  # perhaps the line was broken, and not the actor
                self._next = self._actor.step.remote(self.asked, self._answer)
        return self._ray.get(self._next)

    def close(self) -> None:
        """The actor stays until it is lost or ended."""


def _why(error: Exception) -> str:
    """What is known of a lost actor, in short."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, LookupError):
        return "its actor or the actor's node ended; Ray's logs there may tell why"
    text = " ".join(str(cause).split())
    short = re.search(r"RPC error: (.*?) rpc_code", text) or re.search(r"(The actor died because .*?)\.", text)
    return f"its actor or the actor's node ended (Ray: {short[1] if short else cut(text)})"


class Actor:
    """What runs in an actor: its work on a thread, which asks; each call brings the answer and takes the next question.

    A call is repeated where its reply did not arrive. The actor that still runs gives the same reply; one that was started
    anew says so.
    """

    def __init__(self) -> None:
        self._asked, self._question = 0, b""
        self._questions, self._answers = queue.SimpleQueue[bytes](), queue.SimpleQueue[bytes]()
        self._thread: threading.Thread | None = None

    def ready(self) -> None:
        """It is there."""

    def begin(self, main: Main, number: int, given: Any) -> bytes:
        """Start to work; returns the first question."""
        if self._thread is not None:  # given up for lost, and another has its work: Ray starts it anew
            os._exit(1)
        self._thread = threading.Thread(target=work, args=(Line(self), main, number, given), daemon=True)
        self._thread.start()
        return self._questions.get()  # the first

    def step(self, number: int, answer: bytes) -> bytes:
        """Take the answer to the question of this number; returns the next one.

        Raises:
            LookupError: it was lost and started anew since it asked, so it has asked nothing.
        """
        if self._thread is None:
            raise LookupError("it was started anew")
        if number > self._asked:
            self._answers.put(answer)
            self._asked, self._question = number, self._questions.get()
        return self._question

    def send(self, obj: Any, /) -> None:
        """Ask."""
        self._questions.put(pickle.dumps(obj))

    def recv(self) -> Any:
        """Wait for the answer."""
        return pickle.loads(self._answers.get())

    def close(self) -> None:
        """Nothing is held."""
