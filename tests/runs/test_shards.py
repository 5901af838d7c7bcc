"""A run that was divided with --shard and merged is, file by file and but for the time it took, the run of one process."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_run import LINE, NET, contents, picture, said, sig

import sigcli
import sigcli.attribution.stream
from sigcli.errors import UsageError
from sigcli.runs.shards import Shard

IMAGES = [f"in/{'ab'[i % 2]}/im{i}.png" for i in range(7)]
EXPLAIN = ["explain", "in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--batch-size", "4"]
MEASURE = ["in", *LINE, "--method", "ig,gradient", "--set", "ig.steps=3", "--metric", "deletion,sparseness,completeness-gap",
           "--set", "deletion.steps=4"]  # fmt: skip
TIMED = {"benchmark.csv", "time.png", "counts.png", "quality-cost.png"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Seven pictures of three classes in two folders, one of which cannot be read."""
    (tmp_path / "tiny_net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(IMAGES):
        picture(Path(name), number, channel=number % 3)
    Path("in/b/broken.png").write_bytes(b"no picture")
    return tmp_path


def shards(command, count=4):
    """Run every shard of a command; returns their folders."""
    for number in range(1, count + 1):
        done = sig(*command, "--shard", f"{number}/{count}", "--out", f"out/{number}")
        assert done.exit_code in (0, 1), done.output
    return [f"out/{number}" for number in range(1, count + 1)]


def benchmark_rows(folder):
    with (Path(folder) / "benchmark.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(stream)]


def same(one, other):
    (files, rows), (others, theirs) = contents(one), contents(other)
    assert sorted(files) == sorted(others)
    assert [name for name in files if files[name] != others[name] and name not in TIMED] == []
    assert rows == theirs


def test_a_shard_is_every_nth_image_of_the_sorted_list_in_whatever_order_they_were_named():
    paths = [Path(f"{name}.png") for name in "dacbe"]
    parts = [Shard(k, 2).places(paths) for k in (1, 2)]
    assert parts == [[1, 2, 4], [0, 3]]  # a c e, and d b: in the order of the list
    for part, turned in zip(parts, (Shard(k, 2).places(paths[::-1]) for k in (1, 2)), strict=True):
        assert {paths[i] for i in part} == {paths[::-1][i] for i in turned}


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="shard"):
        Shard.read(text)


def test_four_shards_of_explanations_merge_into_the_run_of_one_process(here):
    assert sig(*EXPLAIN, "--out", "whole").exit_code == 1  # the broken picture
    folders = shards(EXPLAIN)
    assert not {row["image"] for row in contents("out/1")[1]} & {row["image"] for row in contents("out/2")[1]}
    done = sig("merge", *folders[::-1], "--out", "merged")
    assert done.exit_code == 0, done.output
    assert "8 images merged" in said(done)
    same("whole", "merged")
    assert sig(*EXPLAIN, "--out", "merged", "--resume").exit_code == 1  # it is the run of the command without --shard
    same("whole", "merged")


def test_shards_see_the_images_of_the_whole_run(here):
    """A mean baseline, and the references of eg, are drawn from all images: else the maps would be others."""
    command = ["explain", "in", *LINE, "--method", "eg,mean=ig", "--set", "mean.baseline=mean", "--set", "eg.samples=6",
               "--set", "mean.steps=3", "--no-pictures"]  # fmt: skip
    sig(*command, "--out", "whole")
    sig("merge", *shards(command, 3), "--out", "merged")
    same("whole", "merged")


def test_shards_of_an_evaluation_merge_into_that_of_one_process(here):
    labels = "image,label\n" + "".join(f"{name.removeprefix('in/')},{i % 3}\n" for i, name in enumerate(IMAGES))
    Path("labels.csv").write_text(labels)
    command = ["evaluate", *MEASURE, "--labels", "labels.csv"]
    sig(*command, "--out", "whole")
    done = sig("merge", *shards(command, 2), "--out", "merged")
    assert done.exit_code == 0, done.output
    same("whole", "merged")
    assert (here / "merged/model.csv").exists()


def test_shards_of_a_benchmark_merge_into_that_of_one_process(here):
    command = ["benchmark", "images", *MEASURE, "--no-pictures"]
    sig(*command, "--out", "whole")
    assert sig("merge", *shards(command, 2), "--out", "merged").exit_code == 0
    same("whole", "merged")
    assert benchmark_rows("whole") == benchmark_rows("merged")


def test_what_does_not_belong_together_is_refused_by_name(here):
    command = [*EXPLAIN[:-2], "--no-pictures"]
    one, two, three = shards(command, 3)

    def refused(*folders, options=()):
        done = sig("merge", *folders, *options, "--out", "merged")
        assert done.exit_code == 2, done.output
        assert not Path("merged").exists()
        return said(done)

    assert "shard 2/3 missing" in refused(one, three)
    assert "shard 1/3 was named twice" in refused(one, two, three, one)
    sig(*command, "--seed", "1", "--shard", "2/3", "--out", "seed")
    assert "different runs (seed, options differ)" in refused(one, "seed", three)
    sig(*command, "--shard", "1/2", "--out", "half")
    assert "different divisions" in refused(one, two, "half")
    sig(*command, "--out", "whole")
    assert "not a shard" in refused(one, two, "whole")
    assert "no such run folder" in refused(one, two, "nowhere")
    shutil.copytree(two, "damaged")
    file = next(Path("damaged").rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:-4])
    done = sig("merge", one, "damaged", three, "--out", "merged")
    assert done.exit_code == 2
    assert "missing or damaged" in said(done)
    assert file.name in said(done)
    assert sig("merge", one, two, three, "--out", "merged").exit_code == 0  # goes on where that stopped
    same("whole", "merged")
    done = sig("merge", one, two, three, "--out", one, "--overwrite")
    assert done.exit_code == 2
    assert "one of the shards" in said(done)
    assert "shard 1/3 of a larger one" in said(sig("evaluate", one, "--metric", "sparseness"))


def test_an_unfinished_shard_is_refused_or_merged_in_part_and_completed_with_resume(here, monkeypatch):
    sig(*EXPLAIN, "--out", "whole")
    one, two = shards(EXPLAIN, 2)
    shutil.rmtree(two)
    written = sigcli.attribution.stream.write_explanation

    def stops(run, item, drawing):
        if item.image.endswith("im6.png"):
            raise OSError(28, "No space left on device")
        written(run, item, drawing)

    with monkeypatch.context() as full:
        full.setattr(sigcli.attribution.stream, "write_explanation", stops)
        assert sig(*EXPLAIN, "--shard", "2/2", "--out", two).exit_code == 1
    done = sig("merge", one, two, "--out", "merged")
    assert done.exit_code == 2
    assert "unfinished: shard 2/2" in said(done)
    done = sig("merge", one, two, "--out", "merged", "--partial")
    assert done.exit_code == 0
    assert "not finished" in said(done)
    assert sig(*EXPLAIN, "--out", "merged", "--resume").exit_code == 1
    same("whole", "merged")


def test_more_shards_than_images_and_samples_in_memory_are_refused(here):
    done = sig(*EXPLAIN, "--shard", "1/9")
    assert done.exit_code == 2
    assert "fewer images than shards" in said(done)
    with pytest.raises(UsageError, match="in memory"):
        sigcli.explain(np.zeros((2, 16, 16, 3), np.uint8), shard="1/2")
