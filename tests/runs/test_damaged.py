"""Run folders whose files are of another form than sig writes: refused in words, or counted as not there."""

import base64
import json
import os
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sigcli.attribution.options import ExplainOptions
from sigcli.errors import OutputError, UsageError
from sigcli.evaluation.measured import RECORD, Measured, read_record
from sigcli.evaluation.options import EvaluateOptions
from sigcli.evaluation.reopen import reopened
from sigcli.files import save_array
from sigcli.gallery.tables import Table
from sigcli.interop.finished import array_of
from sigcli.interop.npz import _column
from sigcli.models.preprocess import Preprocess, restored
from sigcli.options import read_options
from sigcli.runs.claims import output_folder
from sigcli.runs.ledger import Ledger
from sigcli.runs.lines import entry_of
from sigcli.runs.manifest import read_manifest, wrong_form
from sigcli.runs.passed_over import file_stamp
from sigcli.runs.table import COLUMNS
from sigcli.warned import FEW, few_of_each

from made_runs import manifest

WRONG = [
    ("images", 3), ("images", ["a.png", 7]), ("options", []), ("versions", "1"), ("notes", [[]]), ("classes", -1),
    ("classes", "3"), ("references", {}), ("cmap", None), ("spec.methods", "ig"), ("spec.methods", {"ig": 3}),
    ("spec.methods", {"ig": {"method": []}}), ("spec.preprocess", 1.5), ("spec.seed", "x"), ("spec.shard", 2),
]  # fmt: skip
ENTRY = {
    "image": "a.png", "method": "ig", "target": "1", "content": "0", "folder": "a", "label": "cat", "output": "logit",
    "facts": {"score": 1.5}, "files": {"ig.npy": [10, "0"]}, "drawn": "", "players": "",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_a_manifest_of_another_form_is_refused_where_a_run_is(tmp_path, name, value):
    found = manifest([tmp_path / "a.png"], ["ig"])
    assert wrong_form(found) == ""
    part, _, key = name.rpartition(".")
    (found[part] if part else found)[key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    assert read_manifest(tmp_path) is None  # someone else's
    (tmp_path / "files.jsonl").write_text('{"sig": 1, "run": "0"}\n')
    with pytest.raises(OutputError, match=r"cannot be read") as told:
        read_manifest(tmp_path)
    assert name in str(told.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "x"), ("mean", ["a", "b", "c"]), ("resize", 1.5), ("model", ["shapes"]), ("head", 3), ("colour", "red"),
     ("image_size", [3, 4, 5]), ("prompts", [1])],
)  # fmt: skip
def test_options_in_a_manifest_are_checked_as_those_of_a_call_are(tmp_path, name, value):
    (tmp_path / "a.png").touch()
    found = manifest([tmp_path / "a.png"], ["ig"]) | {"options": {"model": "shapes", "mean": [0.5], "std": [1]}}
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    assert reopened(EvaluateOptions(images=str(tmp_path)))[0].mean == (0.5,)
    found["options"][name] = value
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(UsageError, match="manifest of the run is damaged"):
        reopened(EvaluateOptions(images=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", ("a", "b", "c")),
        ("std", (True,)),
        ("prompts", (1, 2)),
        ("image_size", (3, 4, 5)),
        ("image_size", ("a", 2)),
    ],
)
def test_what_an_option_holds_is_checked_too(name, value):
    with pytest.raises(UsageError, match=f"option {name} has the wrong type"):
        read_options(ExplainOptions, {name: value})


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, tuple])
def test_means_may_be_a_list_or_tensor_as_normalize_takes_them(kind):
    given = {"mean": kind([0.5, 0.25, 1.0]), "std": kind([0.5]), "image_size": kind([32, 48])}
    assert read_options(ExplainOptions, given) == {"mean": (0.5, 0.25, 1), "std": (0.5,), "image_size": (32, 48)}


def test_numbers_of_numpy_are_numbers():
    good = {"mean": (np.float32(0.5), 0, 1.0), "image_size": (np.int64(3), 4), "prompts": ["a", "b"]}
    assert read_options(ExplainOptions, good)["mean"] == (0.5, 0, 1)


@pytest.mark.parametrize(
    "known",
    [None, 3, {"side": 3}, {"resize": "big"}, {"resize": 1e9}, {"crop": [1, 2, 3]}, {"crop": 10**9}, {"mean": ["a"] * 3},
     {"std": 1}, {"std": [0.0] * 3}, {"interpolation": []}, {"mean": [0.5]}, {"mean": [float("nan")] * 3}],
    ids=str,
)  # fmt: skip
def test_preprocessing_of_a_manifest_of_another_form_counts_as_none(known):
    assert restored(known) is None
    asked = Preprocess(resize="cover", crop=(8, 6), cover=(9, 7))
    assert restored(json.loads(json.dumps(vars(asked)))) == asked


def test_exports_refuse_damaged_maps_and_tables(tmp_path):
    save_array(tmp_path / "a.npy", np.ones((3, 4, 4)))
    assert array_of(tmp_path / "a.npy").sum() == 48
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-5])
    with pytest.raises(OutputError, match="damaged"):
        array_of(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="float"):
        _column("seconds", ["[]"])


def test_a_table_without_a_column_has_it_empty(tmp_path):
    (tmp_path / "results.csv").write_text("picture,method\na.png,ig\n")
    (row,) = Table(tmp_path / "results.csv", COLUMNS)
    assert (row["image"], row["target"], row["method"]) == ("", "", "ig")


@pytest.mark.parametrize(
    "changed",
    [{"facts": []}, {"facts": {}}, {"facts": {"score": None}}, {"facts": {"view": [1]}}, {"files": ["ig.npy"]},
     {"files": {"ig.npy": [1]}}, {"label": 3}],
    ids=str,
)  # fmt: skip
def test_lines_of_another_form_count_as_not_written(tmp_path, changed):
    assert entry_of(ENTRY).image == "a.png"
    (tmp_path / "files.jsonl").write_text('{"sig": 1, "run": "0"}\n' + json.dumps(ENTRY | changed) + "\n")
    found = Ledger.read(tmp_path)
    assert found is not None
    assert (len(found.entries), found.unreadable) == (0, 1)
    (tmp_path / "files.jsonl").write_text('{"sig": 1, "run": "0", "endings": 3}\n')
    assert Ledger.read(tmp_path) is None


def test_a_partition_of_a_ledger_is_no_bomb(tmp_path):
    ledger = Ledger(tmp_path, "0")
    name = ledger.keep_players(np.arange(6).reshape(2, 3))
    assert ledger.players(name).tolist() == [[0, 1, 2], [3, 4, 5]]
    bomb = base64.b64encode(zlib.compress(bytes(1 << 26))).decode()
    for line in ({"shape": [2, 3], "labels": bomb}, {"shape": [1 << 70], "labels": bomb}, {"shape": 3, "labels": bomb}):
        ledger.labels[name] = {"players": name, **line}
        found = ledger.players(name)
        assert found is None or found.shape == (2, 3)  # of the bomb, what the shape promises


def test_the_record_of_a_shard_that_is_not_as_it_was_written_is_refused(tmp_path):
    Measured([], [("a.png", "ig", "sig", 0.5, 0.25)], None, [], 0).record(tmp_path, pictures=False, counts=(2,))
    assert read_record(tmp_path).alike == {"a.png": [("a.png", "ig", "sig", 0.5, 0.25)]}
    whole = (tmp_path / RECORD).read_text()
    (tmp_path / RECORD).write_text(whole + "[" * 100_000 + "\n")
    with pytest.raises(ValueError, match="too deeply"):
        read_record(tmp_path)
    for damaged in (
        whole.replace("0.25", "[0.2]"),
        whole.replace("[2]", "[3]"),
        whole.rsplit("\n", 2)[0] + "\n",
        "3\n",
    ):
        assert damaged != whole
        (tmp_path / RECORD).write_text(damaged)
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_record(tmp_path)


def test_a_file_that_is_larger_than_any_image_is_not_read_to_its_end(tmp_path):
    """A terabyte that takes no place on the disk; it is refused when it is to be decoded."""
    path = tmp_path / "huge.png"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert file_stamp(path) is None
    path.write_bytes(b"small")
    assert file_stamp(path)[0] == 5


def test_a_file_that_grows_while_it_is_read_has_no_stamp(tmp_path, monkeypatch):
    path = tmp_path / "growing.png"
    path.write_bytes(bytes(3000))
    monkeypatch.setattr("sigcli.runs.passed_over._PART", 1000)
    monkeypatch.setattr("sigcli.runs.passed_over._MOST", 4000)
    opened = Path.open

    def growing(self, *args, **known):
        stream = opened(self, *args, **known)
        read = stream.read

        class Grows:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                stream.close()

            def read(self, count):
                with opened(path, "ab") as end:
                    end.write(bytes(1000))
                return read(count)

        return Grows()

    monkeypatch.setattr(Path, "open", growing)
    assert file_stamp(path) is None


def test_a_link_to_nowhere_is_no_output_folder(tmp_path):
    for target in ("loop", "nowhere"):
        os.symlink(tmp_path / target, tmp_path / "loop")
        with pytest.raises(UsageError, match="leads nowhere"):
            output_folder(tmp_path / "loop")
        (tmp_path / "loop").unlink()


def test_of_warnings_of_one_place_the_first_are_shown_and_the_rest_counted(capsys):
    shown = []
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
        with few_of_each():
            for number in range(2000):
                warnings.warn_explicit(f"number {number}", UserWarning, "net.py", 7)
            warnings.warn_explicit("other", UserWarning, "net.py", 8)
    assert shown == [*(f"number {number}" for number in range(FEW)), "other"]
    assert f"{2000 - FEW:,} more warnings from one place" in capsys.readouterr().err
