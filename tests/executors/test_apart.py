"""Workers that do not see the run folder or the images: files are sent, or the run is refused. On threads, without Ray."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from pathlib import Path

import pytest
from tiny_run import LINE, NET, contents, picture, said, sig

from sigcli.attribution import job as jobs
from sigcli.attribution import session
from sigcli.attribution.options import ExplainOptions
from sigcli.errors import UsageError
from sigcli.executors.line import Line, serve, work
from sigcli.files import aside_of
from sigcli.runs.far import ApartRun, FarRun, far_run, marked


class End:
    """One end of a wire between threads."""

    def __init__(self, outward, inward):
        self.outward, self.inward = outward, inward

    def send(self, obj, /):
        self.outward.put(obj)

    def recv(self):
        return self.inward.get()

    def close(self):
        pass


class Threads:
    """A place whose workers are threads of this process."""

    workers, threads, notes, elsewhere = 1, 1, (), True

    def start(self, count, main, given, desk):
        there, back = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=work, args=(Line(End(there, back)), main, 0, given), daemon=True).start()
        self.leading = threading.Thread(target=serve, args=(End(back, there), 0, desk), daemon=True)
        self.leading.start()
        return self

    def close(self):
        pass


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "tiny_net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        picture(Path(f"in/im{number}.png"), number, channel=number % 3)
    return tmp_path


@pytest.fixture
def apart(here, monkeypatch):
    """Workers do not see the run folder; which kind of folder they have instead."""
    kinds = []

    def elsewhere(*folder, ask, mark):
        kinds.append(far_run(*folder, ask=ask, mark="of another folder"))
        return kinds[-1]

    monkeypatch.setattr(jobs, "far_run", elsewhere)
    return kinds


def far(monkeypatch, *command):
    """Run a command whose workers are threads."""
    with monkeypatch.context() as patch:
        patch.setattr(session, "executor_of", lambda *_, **__: Threads())
        patch.setattr(jobs.Job, "quiet", _quiet(jobs.Job.quiet))
        return sig(*command)


def _quiet(quiet):
    """A worker of its own process would have its own `executor_of`."""

    def of(self, number):
        session.executor_of = lambda *_, **__: session.Machine()
        return quiet(self, number)

    return of


def same(one, other):
    (files, rows), (others, theirs) = contents(one), contents(other)
    assert sorted(files) == sorted(others)
    assert [name for name in files if files[name] != others[name]] == []
    assert rows == theirs


def test_files_are_sent_where_the_folder_is_not_seen(apart, monkeypatch):
    command = ["explain", "in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--uncertainty"]
    near = sig(*command, "--out", "near", "--json")
    done = far(monkeypatch, *command, "--out", "far", "--json")
    assert done.exit_code == 0, done.output
    same("near", "far")
    arrays = [line for line in done.stdout.splitlines() if '"array": "far/' in line]
    assert len(arrays) == len([line for line in near.stdout.splitlines() if '"array": "near/' in line]) == 6
    for lost in ("im0/ig.npy", "im1/ig.png", "im1/compare.png", "im2/gradient.overlay.png"):
        os.unlink(Path("far", lost))
    done = far(monkeypatch, *command, "--out", "far", "--resume")
    assert done.exit_code == 0, done.output
    same("near", "far")
    assert [type(one) for one in apart] == [ApartRun, ApartRun]
    assert not any(one.path.exists() for one in apart)


def test_an_evaluation_measures_arrays_that_it_fetches(apart, monkeypatch):
    command = ["evaluate", "in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--metric",
               "deletion,sparseness", "--set", "deletion.steps=4", "--no-pictures"]  # fmt: skip
    sig(*command, "--out", "near")
    done = far(monkeypatch, *command, "--out", "far")
    assert done.exit_code == 0, done.output
    same("near", "far")
    Path("far/metrics.jsonl").unlink()  # so all is measured again, of arrays that stand
    done = far(monkeypatch, *command, "--out", "far", "--resume")
    assert done.exit_code == 0, done.output
    same("near", "far")


def test_who_sees_the_mark_writes_into_the_folder_itself(tmp_path):
    (tmp_path / "run").mkdir()
    more = ([], (".png",), frozenset())
    with marked(tmp_path / "run") as mark:
        assert type(far_run(tmp_path / "run", *more, ask=print, mark=mark)) is FarRun
        (tmp_path / "other").mkdir()
        one = far_run(tmp_path / "other", *more, ask=print, mark=mark)
        assert type(one) is ApartRun
        one.close()
    assert list((tmp_path / "run").iterdir()) == []
    assert type(far_run(tmp_path / "run", *more, ask=print, mark="")) is FarRun


def test_what_a_killed_worker_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("sig-worker-4194999-abc", f"sig-worker-{os.getpid()}-abc", "sig-worker-mine"):
        (tmp_path / name).mkdir()
    one = ApartRun(tmp_path / "run", [], (), frozenset(), print)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"sig-worker-{os.getpid()}-abc", "sig-worker-mine", one.path.name}
    one.close()


def test_a_node_without_the_images_is_named(here):
    nowhere = Path("/nowhere/a.png")
    job = jobs.Job(ExplainOptions(), [nowhere, nowhere], 1, here=str(here))
    with pytest.raises(UsageError, match=r"does not have the images \(given: /nowhere/a.png\)"):
        job.settle_in()
    jobs.Job(ExplainOptions(), [nowhere, here / "in/im0.png"], 1, here=str(here)).settle_in()


def test_an_address_needs_the_engine_and_arrays_that_exist_need_none(here):
    done = sig("explain", "in", *LINE, "--address", "auto")
    assert done.exit_code == 2
    assert "--address is for --engine ray" in said(done)
    sig("explain", "in", *LINE, "--method", "gradient", "--no-pictures", "--out", "run")
    aside_of(Path("run/seen")).write_text("what a run that was killed left")
    sig("explain", "in", *LINE, "--method", "gradient", "--no-pictures", "--out", "run", "--resume")
    assert not aside_of(Path("run/seen")).exists()
    done = sig("evaluate", "run", "--metric", "sparseness", "--engine", "ray")
    assert done.exit_code == 2
    assert "--engine does not divide arrays that exist" in said(done)
