import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sigcli.errors import OutputError
from sigcli.runs.folder import free_folder, open_run, safe_cell, save_array
from sigcli.runs.ledger import Entry
from sigcli.runs.table import COLUMNS

SPEC = {"spec": {"model": "a", "seed": 0}, "images": ["a.jpg"]}


def row(image, method="ig", target="1", status="ok"):
    return {"image": image, "method": method, "target": target, "status": status, "score": "0.5", "seconds": "0.1"}


def read(path: Path):
    with (path / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def entry(image, method="ig", target="1", **more):
    facts = {"score": 0.5, "gradient_evaluations": 1}
    return Entry(image, method, target, "c0", Path(image).stem, "one", "logit", facts, {}, **more)


def test_rows_are_there_at_once_and_settle_into_order(tmp_path):
    run = open_run(tmp_path / "out", SPEC, resume=False)
    run.add(row("b.jpg"), entry("b.jpg"))
    run.add(row("a.jpg"), entry("a.jpg"))
    assert [r["image"] for r in read(run.path)] == ["b.jpg", "a.jpg"]
    run.settle(lambda r: r["image"])
    assert [r["image"] for r in read(run.path)] == ["a.jpg", "b.jpg"]
    assert tuple(read(run.path)[0]) == tuple(COLUMNS)


def test_resume_takes_what_is_done_and_forgets_what_failed_or_tore(tmp_path):
    run = open_run(tmp_path / "out", SPEC, resume=False)
    run.add(row("a.jpg"), entry("a.jpg"))
    run.add(row("b.jpg", status="failed"))
    with (run.path / "results.csv").open("a") as stream:
        stream.write("c.jpg,ig,1,,0.")  # a write that was cut short
    run.close()
    again = open_run(tmp_path / "out", SPEC, resume=True)
    assert [r["image"] for r in again.rows.values()] == ["a.jpg"]
    assert again.finished("a.jpg", "ig", "1", "c0")
    assert not again.finished("a.jpg", "ig", "2", "c0")
    assert not again.finished("a.jpg", "ig", "1", "c1")  # of another image
    assert [r["image"] for r in read(run.path)] == ["a.jpg"]
    assert not again.notes


def test_another_run_is_neither_resumed_nor_overwritten_by_accident(tmp_path):
    run = open_run(tmp_path / "out", SPEC, resume=False)
    run.add(row("a.jpg"), entry("a.jpg"))
    run.close()
    other = {**SPEC, "spec": {"model": "b", "seed": 0}}
    for resume in (True, False):
        with pytest.raises(OutputError, match=r"model.* differ"):
            open_run(tmp_path / "out", other, resume=resume)
    assert len(read(run.path)) == 1
    assert not read(open_run(tmp_path / "out", other, resume=False, overwrite=True).path)


def test_the_default_folder_is_the_next_free_one(tmp_path):
    stem = str(tmp_path / "sig-out")
    assert free_folder(stem, SPEC, resume=False) == Path(stem)
    run = open_run(Path(stem), SPEC, resume=False)
    assert free_folder(stem, SPEC, resume=False) == Path(stem)
    other = {**SPEC, "images": ["b.jpg"]}
    assert free_folder(stem, other, resume=False) == Path(f"{stem}-2")  # somebody is writing there
    run.close()
    assert free_folder(stem, other, resume=False) == Path(stem)  # nothing was done there
    run.add(row("a.jpg"), entry("a.jpg"))
    assert free_folder(stem, {**SPEC, "images": ["b.jpg"]}, resume=False) == Path(f"{stem}-2")
    assert free_folder(stem, SPEC, resume=True) == Path(stem)
    with pytest.raises(OutputError, match="no run of this command"):
        free_folder(stem, {"spec": {"model": "b"}}, resume=True)


def test_unwritable_and_unreadable_folders(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        open_run(tmp_path / "file" / "out", SPEC, resume=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        open_run(tmp_path / "out", SPEC, resume=True)


def test_arrays_are_float32_and_leave_nothing_aside(tmp_path):
    save_array(tmp_path / "a" / "x.npy", np.arange(6.0).reshape(1, 2, 3))
    assert np.load(tmp_path / "a" / "x.npy").dtype == np.float32
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.npy"]


def test_cells_cannot_be_formulas(tmp_path):
    assert safe_cell("@cmd") == "'@cmd"
    run = open_run(tmp_path, SPEC, resume=False)
    run.add(row('=HYPERLINK("x"),\n.jpg'))
    assert read(tmp_path)[0]["image"] == '\'=HYPERLINK("x"),\n.jpg'
    owns = ["files.jsonl", "manifest.json", "predictions.csv", "results.csv"]
    assert json.loads((tmp_path / "manifest.json").read_text()) == {**SPEC, "owns": owns}
