"""A run that processes divide is that of one process, but for the time; a lost worker loses nothing but its image."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tiny_run import LINE, NET, contents, picture, said, sig

import sigcli
from sigcli.attribution.options import ExplainOptions
from sigcli.attribution.pipeline import Work
from sigcli.attribution.session import prepare
from sigcli.attribution.workers import given_up
from sigcli.errors import AttributionError, UsageError
from sigcli.executors.division import Division

FATAL = """

class Fatal(Net):
    def forward(self, x):
        import os
        ends = abs(x.detach()[:, :, 0, 0] * 255 - torch.tensor([201.0, 55, 7])).max(1).values < 0.1
        if x.requires_grad and bool(ends.any()):
            os._exit(7)
        return super().forward(x)


def fatal():
    return Fatal(0)
"""
WORKERS = ("--workers", "2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Six pictures, one of which cannot be read."""
    (tmp_path / "tiny_net.py").write_text(NET + FATAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        picture(Path(f"in/im{number}.png"), number, channel=number % 3)
    Path("in/broken.png").write_bytes(b"no picture")
    return tmp_path


def same(one, other, but=frozenset()):
    (files, rows), (others, theirs) = contents(one), contents(other)
    assert sorted(files) == sorted(others)
    assert [name for name in files if files[name] != others[name] and name not in but] == []
    assert rows == theirs


def test_each_item_is_taken_once_and_the_rest_is_shared_towards_the_end():
    division = Division(8, workers=2, window=100)
    first = []
    while (number := division.take(0)) is not None:
        first.append(number)
    assert first == [0, 1, 2]  # and not all eight, since the other worker is as fast
    assert division.take(1) == 3
    for number in first:
        division.done(0, number)
    assert division.more(0)
    assert division.take(0) == 4


def test_nobody_is_further_ahead_than_the_window():
    division = Division(100, workers=1, window=4)
    assert [division.take(0) for _ in range(5)] == [0, 1, 2, 3, None]
    for number in (1, 2, 3):
        division.done(0, number)
    assert division.take(0) is None  # 0 is not done
    division.done(0, 0)
    division.passed(3)
    assert division.take(0) == 4


def test_what_a_lost_worker_had_is_taken_again_alone_and_given_up_the_second_time():
    division = Division(3, workers=1, window=9)
    assert [division.take(0), division.take(0)] == [0, 1]
    assert division.lost(0) == []
    assert division.take(0) == 2
    assert division.take(0) is None  # what was lost is not mixed with what was not
    division.done(0, 2)
    assert division.take(0) == 0
    assert division.take(0) is None
    assert division.lost(0) == [0]
    assert division.take(0) == 1
    division.done(0, 1)
    assert not division.more(0)


def test_who_has_nothing_waits_for_what_another_may_lose():
    division = Division(1, workers=2, window=9)
    assert division.take(0) == 0
    found = []
    thread = threading.Thread(target=lambda: found.append((division.more(1), division.take(1))))
    thread.start()
    division.lost(0)
    thread.join(5)
    assert found == [(True, 0)]


@pytest.mark.slow
def test_two_workers_leave_the_folder_of_one_process(here):
    command = ["explain", "in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3"]
    assert sig(*command, "--out", "one").exit_code == 1  # the broken picture
    done = sig(*command, *WORKERS, "--out", "two")
    assert done.exit_code == 1, done.output
    assert "10 done, 2 failed" in said(done)
    same("one", "two")
    for name in ("im1.png", "im4.png"):  # a run of one process goes on with two
        os.unlink(Path("one", name.removesuffix(".png"), "ig.npy"))
    assert sig(*command, *WORKERS, "--out", "one", "--resume").exit_code == 1
    same("one", "two")


@pytest.mark.slow
def test_an_image_that_ends_its_worker_twice_fails_with_its_reason_and_alone(here):
    from PIL import Image

    Image.new("RGB", (16, 16), (201, 55, 7)).save("in/im2.png")
    line = [one.replace("tiny_net:net", "tiny_net:fatal") for one in LINE]
    command = [
        "explain",
        "in",
        *line,
        "--method",
        "occlusion,gradient",
        "--set",
        "occlusion.players=8x8",
        "--no-pictures",
    ]
    done = sig(*command, *WORKERS, "--out", "two")
    assert done.exit_code == 1, done.output
    rows = {(row["image"], row["method"]): row for row in contents("two")[1]}
    assert len(rows) == 12
    bad = {key for key, row in rows.items() if row["status"] != "ok"}
    assert {image for image, _ in bad} == {"broken.png", "im2.png"}
    assert "lost twice: it ended with exit code 7" in rows["im2.png", "gradient"]["error"]
    assert [row["image"] for row in contents("two")[1]] == sorted(row["image"] for row in contents("two")[1])


def test_what_was_finished_of_an_image_that_is_given_up_stays(here):
    options = {
        "images": "in/im0.png", "model": "tiny_net:net", "resize": 16, "crop": 16, "mean": (0, 0, 0), "std": (1, 1, 1),
        "device": "cpu",
    }  # fmt: skip
    (made,) = sigcli.explain(**options, method="ig", out="run")
    session = prepare(ExplainOptions(**options, method="ig,gradient", out="run", resume=True))
    one, other = given_up(session, 0, AttributionError("its worker was lost"))
    session.run.settle(Work(session).place)
    session.close()
    assert (one.method, one.status, one.target, one.score) == ("ig", "ok", made.target, made.score)
    assert (other.method, other.status, other.error) == ("gradient", "failed", "its worker was lost.")
    assert [(row["method"], row["status"]) for row in contents("run")[1]] == [("ig", "ok"), ("gradient", "failed")]
    assert Path("run/im0/ig.npy").is_file()


@pytest.mark.slow
def test_an_evaluation_of_two_workers_is_that_of_one_process(here):
    labels = "image,label\n" + "".join(f"im{i}.png,{i % 3}\n" for i in range(5))
    Path("labels.csv").write_text(labels)
    command = ["in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--metric",
               "deletion,sparseness,completeness-gap", "--set", "deletion.steps=4"]  # fmt: skip
    sig("evaluate", *command, "--labels", "labels.csv", "--out", "one")
    done = sig("evaluate", *command, "--labels", "labels.csv", *WORKERS, "--out", "two")
    assert done.exit_code == 1, done.output
    same("one", "two")
    sig("benchmark", "images", *command, "--no-pictures", "--out", "bench1")
    sig("benchmark", "images", *command, "--no-pictures", *WORKERS, "--out", "bench2")
    same("bench1", "bench2", but={"benchmark.csv"})


def test_a_number_of_workers_below_one_and_what_cannot_be_handed_over_are_refused(here):
    done = sig("explain", "in", *LINE, "--workers", "0")
    assert done.exit_code == 2
    assert "--workers must be at least 1" in said(done)
    with pytest.raises(UsageError, match="hand an object of this program"):
        sigcli.explain(
            ["in/im0.png", "in/im1.png"], model="tiny_net:net", resize=16, crop=16, mean="0,0,0", std="1,1,1",
            device="cpu", method={"mine": lambda model, inputs, targets: inputs}, workers=2,
        )  # fmt: skip
