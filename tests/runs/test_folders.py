"""Names and folders: any name that the file system has, stable folders, nothing claimed by a rejected command."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli import evaluate, explain, iter_explain
from sigcli.cli.main import app
from sigcli.errors import ModelError, OutputError, UsageError
from sigcli.names import escaped, original
from sigcli.runs.filenames import run_names

NAMES = st.binary(min_size=1, max_size=100).filter(
    lambda name: name not in (b".", b"..") and not {b"/"[0], 0}.intersection(name)
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(b"/".join), min_size=1, max_size=8, unique=True)


class Mean(nn.Module):
    """The mean of each channel; two classes."""

    def forward(self, x):
        return x.mean((2, 3))[:, :2] * x.amax((1, 2, 3))[:, None]


QUICK = {"model": Mean(), "image_size": 8, "mean": (0.0,), "std": (1.0,), "pictures": False}


def picture(path, seed=0):
    os.makedirs(os.path.dirname(os.fsencode(path)) or b".", exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    with open(os.fsencode(path), "wb") as stream:
        Image.fromarray(pixels).save(stream, "PNG")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sig(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def rows(folder):
    with (Path(folder) / "results.csv").open(encoding="utf-8", newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


# Names


@given(PATHS)
def test_folders_are_apart_inside_short_and_do_not_depend_on_order(paths):
    named = [Path("in") / os.fsdecode(path) for path in paths]
    names = dict(zip(named, run_names(named), strict=True))
    assert dict(zip(named[::-1], run_names(named[::-1]), strict=True)) == names
    folders = [folder for _, folder in names.values()]
    assert len({folder.casefold() for folder in folders}) == len(folders)
    for name, folder in names.values():
        assert not {"", ".", ".."}.intersection(folder.split("/"))
        assert all(len(part.encode()) <= 255 for part in folder.split("/"))
        assert len(name.encode().decode().splitlines()) == 1
        assert escaped(original(name)) == name
    for folder in folders:  # no folder stands where another's files do
        assert not any(folder.startswith(f"{other}/") and folder.endswith((".npy", ".png")) for other in folders)


@given(PATHS, PATHS)
def test_what_has_a_folder_keeps_it(before, more):
    first = [Path("/in") / os.fsdecode(path) for path in before]
    known = {os.path.abspath(path): folder for path, (_, folder) in zip(first, run_names(first), strict=True)}
    every = list(dict.fromkeys([*first, *(Path("/in") / os.fsdecode(path) for path in more)]))
    found = {os.path.abspath(path): folder for path, (_, folder) in zip(every, run_names(every, known), strict=True)}
    assert found.items() >= known.items()
    assert len(set(found.values())) == len(found)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES.map(lambda name: name.lstrip(b".") + b".png"), min_size=1, max_size=4, unique=True), st.data())
def test_a_folder_of_any_names_is_explained_and_read_back(tmp_path_factory, names, data):
    place = tmp_path_factory.mktemp("any")
    names = [name for name in names if name != b".png"] or [b"a.png"]
    for number, name in enumerate(names):
        picture(os.fsencode(place / "in") + b"/" + name, number)
    out = place / "out"
    found = explain(place / "in", method="gradient", **QUICK, out=out)
    assert [one.status for one in found] == ["ok"] * len(names)
    assert {original(one.image) for one in found} == {os.fsdecode(name) for name in names}
    arrays = {one.image: np.load(one.file) for one in found}
    again = explain(place / "in", method="gradient", **QUICK, out=out, resume=True)
    assert all(one.resumed for one in again)
    measured = evaluate(out, model=QUICK["model"], metric="sparseness", pictures=False)
    assert len(measured.values) == len(arrays)
    assert not any(value.error for value in measured.values)
    for text in ("manifest.json", "results.csv", "metrics.csv", "files.jsonl"):
        (out / text).read_text(encoding="utf-8")


def test_a_name_cannot_lead_out_of_the_run_folder(here):
    for name in ("...png", "..png"):
        picture(f"in/{name}")
    explain(["in/...png", "in/..png"], method="gradient", **QUICK, out="deep/out")
    assert sorted(path.name for path in Path("deep").iterdir()) == ["out"]
    assert len(list(Path("deep/out").glob("*/gradient.npy"))) == 2


def test_an_image_of_the_same_stem_changes_nothing_of_the_first(here):
    picture("in/a.png", 1)
    explain("in", method="gradient", **QUICK, out="out")
    before = Path("out/a/gradient.npy").read_bytes()
    picture("in/a.jpg", 2)
    found = explain("in", method="gradient", **QUICK, out="out", resume=True)
    assert {one.image: one.resumed for one in found} == {"a.png": True, "a.jpg": False}
    assert Path("out/a/gradient.npy").read_bytes() == before
    assert not np.array_equal(np.load("out/a.jpg/gradient.npy"), np.load("out/a/gradient.npy"))
    assert not any(one.error for one in evaluate("out", model=QUICK["model"], metric="sparseness").values)


def test_a_picture_beside_the_folder_renames_it_and_nothing_is_made_again(here):
    picture("in/x/a.png", 1)
    explain("in", method="gradient", **QUICK, out="out")
    picture("in/y/a.png", 2)
    found = explain("in", method="gradient", **QUICK, out="out", resume=True)
    assert {one.image: one.resumed for one in found} == {"x/a.png": True, "y/a.png": False}
    explain("in", method="gradient", **QUICK, out="whole")
    assert rows("out") == rows("whole")


# What is passed over


def test_all_that_is_passed_over_is_told_once(here):
    for name in ("in/masks/im0.png", "in/no_masks/im1.png", "in/.hidden/x.png", "in/run/im0/compare.png"):
        picture(name)
    for name in ("notes.txt", "b.csv", "c.heic", ".DS_Store"):
        (here / "in" / name).write_text("")
    (here / "in/run/manifest.json").write_text(json.dumps({"spec": {}, "versions": {}}))
    (here / "in/no_masks/up").symlink_to(here / "in")
    picture("in/another/im0/compare.png")
    (here / "in/another/manifest.json").write_text(json.dumps({"spec": {}, "versions": {}}))
    found = explain("in", method="gradient", **QUICK)
    assert [one.image for one in found] == ["masks/im0.png", "no_masks/im1.png"]
    (note,) = [note for note in found.notes if note.startswith("Left out")]
    for what in ("2 hidden (.DS_Store, .hidden/)", "2 without the suffix of an image (b.csv, notes.txt)", "1 HEIC",
                 "pillow-heif (c.heic)", "2 run folders of sig (another/, run/)", "link"):  # fmt: skip
        assert what in note


def test_masks_are_left_out_where_their_names_say_so(here):
    picture("in/a.png")
    picture("in/masks/a.png")
    found = explain("in", method="gradient", **QUICK)
    assert [one.image for one in found] == ["a.png"]
    assert any("masks/" in note for note in found.notes)


# What is claimed


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "gradcam", "settings": {"layer": "nope"}},
        {"method": "gradient,gradcam", "settings": {"gradcam.layer": "nope"}},
        {"method": "ig,rise", "settings": {"rise.samples": -5}},
        {"method": "ig", "settings": {"steps": 0}},
        {"method": "ig", "baseline": "blakc"},
        {"method": "sig", "players": "grid:99x99"},
        {"method": "sig", "settings": {"nonsense": 1}},
        {"images": "in/none.png"},
        {"model": "resnet1888"},
    ],
)
def test_a_rejected_command_leaves_nothing(here, wrong):
    picture("in/a.png")
    for command in (explain, lambda **options: evaluate(**options, metric="sparseness")):
        with pytest.raises((UsageError, ModelError)):
            command(**{"images": "in", **QUICK, "out": "out", **wrong})
        assert not Path("out").exists()
    explain("in", method="gradient", **QUICK, out="out")


def test_a_run_of_which_nothing_was_done_gives_way(here):
    (here / "bad.png").write_text("no image")
    picture("good.png")
    assert sig("explain", "bad.png", "--method", "gradient", "--no-pictures").exit_code == 1
    assert sig("explain", "good.png", "--method", "gradient", "--no-pictures").exit_code == 0
    assert [path.name for path in here.glob("sig-out*")] == ["sig-out"]
    assert rows("sig-out")[0]["image"] == "good.png"


def test_no_run_among_the_images(here):
    picture("photos/a.png")
    for out in ("photos", "photos/maps", "./photos/../photos"):
        with pytest.raises(UsageError, match="folder of images"):
            explain("photos", method="gradient", **QUICK, out=out)
    explain("photos/a.png", method="gradient", **{**QUICK, "pictures": True}, out="photos")
    found = explain("photos", method="gradient", **QUICK, out="other")
    assert [one.image for one in found] == ["a.png"]
    assert any("a/" not in note and "run of sig" in note for note in found.notes)


def test_two_runs_of_one_program_in_one_folder(here):
    picture("in/a.png")
    picture("in/b.png", 1)
    going = iter_explain("in", method="gradient", **QUICK, out="out")
    next(going)
    with pytest.raises(OutputError, match="another run of this program"):
        explain("in", method="gradient", **QUICK, out="out")
    assert len(list(going)) == 1
    assert len(explain("in", method="gradient", **QUICK, out="out")) == 2


# One more method


def test_a_method_that_is_added_ends_as_both_at_once(here):
    picture("in/a.png")
    picture("in/b.png", 1)
    explain("in", method="gradient", **QUICK, out="out")
    found = explain("in", method="ig,gradient", **QUICK, out="out", resume=True)
    assert [(one.method, one.resumed) for one in found] == [("ig", False), ("gradient", True)] * 2
    explain("in", method="ig,gradient", **QUICK, out="whole")
    assert rows("out") == rows("whole")
    for changed in ({"method": "ig"}, {"method": "gradient,ig", "settings": {"steps": 3}}, {"seed": 1}):
        with pytest.raises(OutputError, match="differ"):
            explain("in", **{"method": "ig,gradient", **QUICK, **changed}, out="out", resume=True)
