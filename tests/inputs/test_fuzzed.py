"""Damaged files of every kind that sig reads: some at random, and those that once ended in a traceback, a hang, a flood."""

import json
from pathlib import Path

import numpy as np
import pytest

from sigcli.errors import ImageError, SigError, UsageError, cut
from sigcli.evaluation.masks.boxes import Boxes
from sigcli.evaluation.masks.coco import Coco
from sigcli.evaluation.masks.rle import decoded, lengths
from sigcli.evaluation.true_classes import read_true_classes
from sigcli.inputs.arrays import read_array, shape_of
from sigcli.models.sources.image_processor import _interpolation

from fuzzing import targets, trial

FOUND = [  # by minutes of `benchmarks/fuzz.py`, and mended since
    ("hf/preprocessor_config.json", 11000065),
    ("hf/preprocessor_config.json", 11000781),
]
FAST = ("image", "array", "labels", "names", "boxes", "coco", "mask", "config")


@pytest.mark.parametrize("kind", FAST)
def test_damaged_files_end_in_success_or_a_sentence(kind, tmp_path):
    """A few; `benchmarks/fuzz.py` tries as many as there is time for."""
    every = list(targets(tmp_path, {kind}).items())
    found = {}
    for seed in range(max(40, len(every))):
        name, target = every[seed % len(every)]
        found[name, seed] = trial(target, seed, tmp_path / "trial")
    assert {key: told for key, told in found.items() if told not in ("read", "refused")} == {}
    if kind != "mask":  # a mask that cannot be read is told with its picture, when that is measured
        assert "refused" in found.values()


@pytest.mark.parametrize("kind", ["hf", "model"])
def test_damaged_networks_end_in_success_or_a_sentence(kind, tmp_path):
    every = targets(tmp_path, {kind})
    names = sorted(every)
    trials = [(names[seed % len(names)], seed) for seed in range(2 * len(names))]
    trials += [one for one in FOUND if one[0] in every]
    told = {(name, seed): trial(every[name], seed, tmp_path / "trial") for name, seed in trials}
    assert {key: one for key, one in told.items() if one not in ("read", "refused")} == {}
    assert "refused" in told.values()


def test_damaged_runs_end_in_success_or_a_sentence(tmp_path):
    """What reads a run without computing; `benchmarks/fuzz.py --kind run,train` tries every command and file."""
    every = targets(tmp_path, {"run"})
    quick = [
        name for name in sorted(every) if name.startswith(("run/report", "run/export", "run/fiftyone", "run/merge"))
    ]
    told = {(name, seed): trial(every[name], seed, tmp_path / "trial") for seed, name in enumerate(quick)}
    assert len(told) > 10
    assert {key: one for key, one in told.items() if one not in ("read", "refused")} == {}
    assert {"read", "refused"} <= set(told.values())


@pytest.mark.parametrize("resample", [-1, 6, 1e308, 2.5, "2"])
def test_an_image_processor_resizes_in_a_way_that_pillow_has(resample):
    with pytest.raises(ValueError, match="Pillow's go from 0 to 5"):
        _interpolation(resample)
    assert [_interpolation(one) for one in (None, 0, 3, 2.0)] == ["bilinear", "nearest", "bicubic", "bilinear"]


@pytest.mark.parametrize("kind", FAST)
def test_undamaged_files_are_read(kind, tmp_path):
    """Else the trials would show nothing."""
    for name, target in targets(tmp_path, {kind}).items():
        whole = type(target)(target.files, target.read, target.damaged, lambda content, _: content)
        # Integers are no samples; boxes of the masks' names without a suffix; YAML is not read; a label map beside a mask
        if name not in ("array/i8", "boxes/1", "names/8", "names/9", "mask/palette.png", "mask/gif"):
            assert trial(whole, 0, tmp_path / "trial") == "read", name


def test_an_empty_table_of_boxes(tmp_path):
    for content in (b"", b"\n", b"\xef\xbb\xbf"):
        (tmp_path / "b.csv").write_bytes(content)
        with pytest.raises(UsageError, match="lacks columns"):
            Boxes(tmp_path / "b.csv")


def test_boxes_as_spreadsheets_save_text(tmp_path):
    text = "image,x0,y0,x1,y1\na.png,1,2,3,4\n"
    (tmp_path / "b.csv").write_bytes(text.encode("utf-16"))
    assert Boxes(tmp_path / "b.csv").names == ["a.png"]


def coco(folder: Path, **image) -> Path:
    path = folder / "c.json"
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.png", **image}], "annotations": boxes}))
    return path


@pytest.mark.parametrize(
    "size",
    [{"height": True}, {"height": -4}, {"width": "8"}, {"height": 1 << 40, "width": 1 << 40}, {"height": 1e9}],
    ids=str,
)
def test_sizes_of_coco_that_no_picture_has(tmp_path, size):
    with pytest.raises(UsageError, match="no size that a picture can have"):
        Coco(coco(tmp_path, **size))


def test_sizes_of_coco_may_be_left_out(tmp_path):
    assert Coco(coco(tmp_path)).areas("a.png", (5, 5)).size == (5, 5)
    assert Coco(coco(tmp_path, height=6, width=7)).areas("a.png", (5, 5)).size == (6, 7)
    path = coco(tmp_path)
    path.write_text(path.read_text()[:-1] + ', "categories": 3}')
    with pytest.raises(UsageError, match="categories"):
        Coco(path)


def test_run_lengths_that_overflow_or_never_end(tmp_path):
    for counts in ([1 << 62, 1 << 62, 1 << 62, (1 << 62) + 4], [-1, 5], [1 << 70]):
        with pytest.raises(ValueError, match="do not fill"):
            decoded(counts, (2, 2))
    with pytest.raises(ValueError, match="too large"):
        lengths("o" * 100_000)
    assert decoded([1, 3], (2, 2)).sum() == 3


def test_notes_of_tables_can_be_written_whatever_the_bytes_of_their_titles(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"ima\xff,image,label\nx,a.png,cat\n\xfe,b.png,dog\n\xfd,zz\xfc.png,dog\n")
    found = read_true_classes(path, [Path("a.png"), Path("b.png")], ("cat", "dog"), 2)
    assert found.classes == {"a.png": 0, "b.png": 1}
    found.note.encode("utf-8")


def test_messages_quote_both_ends_of_a_long_text():
    text = "b" + "x" * 70_000 + "e"
    assert len(str(SigError("wrong", given=text, allowed=text, hint=text))) < 4_000
    assert cut(text)[0] + cut(text)[-1] == "be"
    path = "/".join(["folder"] * 100)
    assert path in str(SigError("wrong", given=path))


def test_a_damaged_header_of_an_array_has_no_shape_and_is_no_sample(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3, "f4"))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(3,), }", b"(3,,,, "))
    assert shape_of(tmp_path / "a.npy") is None
    with pytest.raises(ImageError, match="cannot be read"):
        read_array(tmp_path / "a.npy")
