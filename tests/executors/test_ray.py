"""Actors of a Ray cluster, against a stand-in for Ray; one test starts Ray itself."""

from __future__ import annotations

import os
import pickle
import queue
import random
import subprocess
import sys
import threading
import time
import types

import pytest
from tiny_run import LINE, NET, contents, picture, said, sig

from sigcli.errors import UsageError
from sigcli.executors import ray_actors, ray_cluster
from sigcli.executors.division import Division
from sigcli.executors.executor import executor_of
from sigcli.executors.line import Line
from sigcli.executors.ray_actors import Actor, Cluster
from sigcli.executors.ray_cluster import connect, shares

from repository import ROOT

RAY = ("--engine", "ray")


class Lost(Exception):
    """What the stand-in raises for RayError."""


class Unreachable(Lost):
    """What it raises for ActorUnavailableError."""


class Nowhere:
    """An actor that Ray cannot place again before there is room."""

    def __init__(self, room, kind):
        self.room, self.kind = room, kind

    def ready(self):
        self.room.wait(20)

    def step(self, number, answer):
        return Unreachable("The actor X is unavailable: IOError: The actor is restarting.. It may or may not")


class Handle:
    """An actor of the stand-in: a call runs on a thread; `lose` ends it and starts it anew, as Ray does."""

    def __init__(self, kind):
        self.kind, self.actor, self.open, self.losses = kind, kind(), [], 0
        self.room = threading.Event()
        self.room.set()
        self.begin = types.SimpleNamespace(remote=self._call("begin"))
        self.step = types.SimpleNamespace(remote=self._call("step"))
        self.ready = types.SimpleNamespace(options=lambda **_: types.SimpleNamespace(remote=self._call("ready")))

    def _call(self, name):
        def remote(*arguments):
            box = queue.SimpleQueue()
            self.open.append(box)
            method = getattr(self.actor, name)
            threading.Thread(target=lambda: box.put(_tried(method, arguments)), daemon=True).start()
            return box

        return remote

    def lose(self):
        self.losses += 1
        self.actor = self.kind() if self.room.is_set() else Nowhere(self.room, self.kind)
        for box in self.open:
            box.put(
                Unreachable(
                    "The actor X is unavailable: RpcError: RPC error: Socket closed rpc_code: 14. It may or may not"
                )
            )


def _tried(method, arguments):
    try:
        return method(*arguments) or b""
    except LookupError as error:
        lost = Lost("a page of text")
        lost.cause = error
        return lost


class FakeRay:
    exceptions = types.SimpleNamespace(RayError=Lost, ActorUnavailableError=Unreachable)

    def __init__(self):
        self.actors, self.asked = [], None

    def remote(self, **asked):
        self.asked = asked

        def of(kind):
            def made():
                self.actors.append(Handle(kind))
                return self.actors[-1]

            return types.SimpleNamespace(remote=made)

        return of

    def put(self, what):
        return what

    def get(self, box):
        found = box.get(timeout=20)
        if isinstance(found, Exception):
            raise found
        return found

    def kill(self, actor, no_restart):
        actor.lose()


class Toy:
    """A desk whose items are numbers; some end the actor that takes them."""

    def __init__(self, ray, count, workers, fatal=()):
        self.ray, self.fatal = ray, dict(fatal)
        self.division = Division(count, workers=workers, window=100)
        self.found, self.given_up, self.why = {}, [], ""
        self.ended = threading.Event()

    def answer(self, worker, what, *arguments):
        if what == "more":
            return self.division.more(worker)
        if what == "take":
            place = self.division.take(worker)
            if place is not None and self.fatal.get(place, 0):
                self.fatal[place] -= 1
                self.ray.actors[worker].lose()
            return place
        place, value = arguments
        assert place not in self.found
        self.found[place] = value
        self.division.done(worker, place)
        self._look()
        return None

    def failed(self, error):
        self.why = str(error)
        self.ended.set()

    def lost(self, worker, why):
        self.why = why
        self.given_up += self.division.lost(worker)
        self._look()
        return self.division.left > 0

    def _look(self):
        if not self.division.left:
            self.ended.set()


def square(line: Line, number: int, given: int) -> None:
    """Take three at a time, as a batch does."""
    while line("more"):
        taken = []
        while len(taken) < 3 and (place := line("take")) is not None:
            taken.append(place)
        for place in taken:
            line("done", place, place * given)


def cluster(ray, **more):
    return Cluster(ray, True, 2, 1, 0, (), **more)


def carried_out(ray, desk, main=square, given=7, workers=2):
    team = cluster(ray).start(workers, main, given, desk)
    assert desk.ended.wait(20)
    desk.division.end()
    team.close()


def test_actors_do_every_item_once():
    ray = FakeRay()
    desk = Toy(ray, 40, 2)
    carried_out(ray, desk)
    assert desk.found == {i: 7 * i for i in range(40)}
    assert ray.asked == {
        "num_cpus": 1, "num_gpus": 0, "max_restarts": -1, "max_task_retries": 0, "scheduling_strategy": "SPREAD",
    }  # fmt: skip


def test_what_a_lost_actor_had_is_done_by_another_or_by_itself():
    ray = FakeRay()
    desk = Toy(ray, 30, 2, fatal={4: 1, 11: 1})
    carried_out(ray, desk)
    assert desk.found == {i: 7 * i for i in range(30)}
    assert desk.given_up == []
    assert sum(one.losses for one in ray.actors) >= 2


def test_an_item_that_ends_its_actor_twice_is_given_up_alone_and_with_rays_reason():
    ray = FakeRay()
    desk = Toy(ray, 30, 2, fatal={11: 2})
    carried_out(ray, desk)
    assert desk.given_up == [11]
    assert sorted(desk.found) == [i for i in range(30) if i != 11]
    assert "its actor or the actor's node ended" in desk.why


def test_the_others_go_on_where_a_lost_actor_cannot_be_placed_again():
    ray = FakeRay()
    desk = Toy(ray, 30, 2, fatal={4: 1})

    def take(worker, what, *arguments, answer=desk.answer):
        for one in ray.actors:
            one.room.clear()
        return answer(worker, what, *arguments)

    desk.answer = take
    carried_out(ray, desk)
    assert desk.found == {i: 7 * i for i in range(30)}
    assert sum(one.losses for one in ray.actors) == 3  # one in the middle, and both as they were ended


def broken(line: Line, number: int, given: object) -> None:
    raise ValueError("no such weights")


def test_what_an_actor_raises_is_told():
    ray = FakeRay()
    desk = Toy(ray, 3, 2)
    carried_out(ray, desk, main=broken)
    assert desk.why == "no such weights"


def test_an_actor_that_was_given_up_for_lost_ends_itself_when_it_is_asked_to_begin_again(monkeypatch):
    ended = []

    def leave(code):
        ended.append(code)
        raise SystemExit

    monkeypatch.setattr(ray_actors.os, "_exit", leave)
    actor = Actor()
    actor.begin(square, 0, 7)
    with pytest.raises(SystemExit):
        actor.begin(square, 0, 7)
    assert ended == [1]


def drawn(count):
    """Clusters of one to six nodes: CPUs and GPUs of each."""
    draw = random.Random(0)
    for _ in range(count):
        yield [(draw.randint(0, 64), draw.choice([0, 0, 1, 8])) for _ in range(draw.randint(1, 6))], draw.randint(1, 40)


def test_the_cpus_of_an_actor_are_the_most_that_let_all_have_room():
    for nodes, workers in drawn(300):
        cores = [core for core, _ in nodes]
        share = shares([{"CPU": float(core)} for core in cores], workers, gpus=True)
        assert share.workers == workers
        assert share.room == sum(core // share.cpus for core in cores)
        if sum(cores) >= workers:
            assert share.room >= workers
            assert sum(core // (share.cpus + 1) for core in cores) < workers
        else:
            assert share.cpus == 1


def test_there_is_an_actor_for_each_gpu_and_else_one_for_each_node():
    for nodes, _ in drawn(100):
        resources = [{"CPU": float(core), "GPU": float(card)} for core, card in nodes]
        cards, full = sum(card for _, card in nodes), sum(core > 0 for core, _ in nodes)
        share = shares(resources, None, gpus=True)
        assert (share.workers, share.gpus) == ((cards, 1) if cards else (max(1, full), 0))
        assert shares(resources, None, gpus=False).gpus == 0


def asks(line: Line, number: int, given: int) -> None:
    line("take")
    line("done", 5, 0)


def test_a_call_that_ray_repeats_gets_the_same_reply_and_a_new_actor_says_that_it_is_new():
    actor = Actor()
    assert pickle.loads(actor.begin(asks, 0, 7)) == ("take", ())
    answer = pickle.dumps((True, 5))
    assert [pickle.loads(actor.step(1, answer)) for _ in range(3)] == [("done", (5, 0))] * 3
    assert pickle.loads(actor.step(2, pickle.dumps((True, None)))) == ("bye", ())
    with pytest.raises(LookupError, match="started anew"):
        Actor().step(1, answer)


def test_what_ray_says_of_a_lost_actor_is_told_in_short():
    long = Lost("The actor X is unavailable: RpcError: RPC error: Socket closed rpc_code: 14. It may or may not")
    assert ray_actors._why(long) == "its actor or the actor's node ended (Ray: Socket closed)"


@pytest.mark.parametrize("address", ["foo", "ray://head:10001", "head:", ":6379", "head:99999", "head:x"])
def test_an_address_that_is_none_is_refused(address, monkeypatch):
    installed(monkeypatch, None)
    with pytest.raises(UsageError, match="--address cannot be used"):
        connect(address)


def installed(monkeypatch, init):
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=bool, init=init))


def test_a_dead_address_is_told_at_once_and_one_that_does_not_answer_in_time(monkeypatch):
    installed(monkeypatch, lambda **_: time.sleep(60))
    begun = time.monotonic()
    with pytest.raises(UsageError, match="no Ray cluster answers there"):
        connect("127.0.0.1:1")
    monkeypatch.setattr(ray_cluster, "_PATIENCE", 0.2)
    with pytest.raises(UsageError, match="no Ray cluster took us in"):
        connect("auto")
    assert time.monotonic() - begun < 10


def test_where_no_cluster_runs_two_ways_out_are_told(monkeypatch):
    def init(**_):
        raise ConnectionError("Could not find any running Ray instance.")

    installed(monkeypatch, init)
    with pytest.raises(UsageError, match=r"(?s)no Ray cluster runs on this machine.*ray start --head.*--address local"):
        connect("auto")


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = sig("explain", *RAY)
    assert done.exit_code == 2
    assert "--engine ray needs Ray" in said(done)
    assert "pip install '.[ray]'" in said(done)


def test_options_that_do_not_fit_are_refused():
    for given_, text in (
        ({"engine": "local", "address": "auto", "workers": None, "device": "cpu"}, "--address is for --engine ray"),
        ({"engine": "ray", "address": None, "workers": 0, "device": "cpu"}, "--workers must be at least 1"),
        ({"engine": "ray", "address": None, "workers": 2, "device": "cuda:1"}, "a numbered device is of one machine"),
    ):
        with pytest.raises(UsageError, match=text):
            executor_of(given_.pop("engine"), **given_)


@pytest.mark.slow
def test_ray_on_this_machine_leaves_the_folder_of_one_process(tmp_path):
    pytest.importorskip("ray")
    (line,) = [
        one for one in (ROOT / "docs" / "scale.md").read_text("utf-8").splitlines() if "--address local --out" in one
    ]
    (tmp_path / "tiny_net.py").write_text(NET)
    for number in range(4):
        picture(tmp_path / f"photos/im{number}.png", number, channel=number % 3)
    more = [*LINE, "--set", "ig.steps=3", "--no-pictures"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    environment["RAY_memory_monitor_refresh_ms"] = "0"  # it would end actors where other tests need the memory

    def run(words):
        command = [sys.executable, "-m", "sigcli", *words, *more]
        return subprocess.run(
            command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    words = line.split()[1:]
    far = run([*words, "--workers", "1", "--json"])
    assert far.returncode == 0, far.stderr
    assert far.stdout.count('"array": ') == 4
    assert all(one.startswith("{") for one in far.stdout.splitlines())
    assert "1 actor with" in far.stderr
    assert "raylet" not in far.stderr
    assert "INFO" not in far.stderr
    near = run(["explain", "photos", "--method", "ig", "--out", "near"])
    assert near.returncode == 0, near.stderr
    assert contents(tmp_path / "near") == contents(tmp_path / words[words.index("--out") + 1])
