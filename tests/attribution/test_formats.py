"""Every output format, by the contract of the table: the files it names are there, and end as its line says."""

import numpy as np
import pytest

from sigcli.attribution.drawing import Drawing, Page
from sigcli.attribution.explanation import Explanation
from sigcli.attribution.formats import FORMATS, drawn, endings
from sigcli.attribution.samples.arrays import ArraySeen
from sigcli.attribution.samples.pairs import PairSeen
from sigcli.attribution.samples.seen import Seen
from sigcli.runs.filenames import item_file

GREY = np.full((16, 24, 3), 100, np.uint8)
SAMPLE = np.arange(6, dtype=np.float32)
SEEN = {
    "picture": Seen(GREY),
    "pair": PairSeen(GREY, GREY[:, :16]),
    "array": ArraySeen(None, SAMPLE, np.arange(6), tuple("abcdef")),
}
CASES = [(name, kind) for name, entry in FORMATS.items() for kind in entry.properties["of"]]


def page(kind: str) -> Page:
    shape = (6,) if kind == "array" else (3, 16, 24)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    item = Explanation(
        "a.png", "mine", 1, label="cat", score=2.0, values=values, stderr=np.abs(values), seen=SEEN[kind], name="mine",
        deviations=None if kind == "array" else values[:2],
    )  # fmt: skip
    return Page(item, Drawing(signs="apart", saved=True, bare=True))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_writer_names_its_files_and_keeps_to_its_endings(name, kind, tmp_path):
    entry = FORMATS[name]
    names = entry.load()(tmp_path, page(kind))
    assert names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    ends = [file.removeprefix("mine") for file in names]
    assert set(ends) <= set(entry.properties["endings"])
    fits = item_file(["mine"], endings())
    assert all(fits.fullmatch(file) for file in names)


def test_every_kind_of_sample_has_values_and_a_picture():
    for kind in SEEN:
        suited = [entry for entry in FORMATS.values() if kind in entry.properties["of"]]
        assert {entry.properties["drawn"] for entry in suited} == {True, False}


def test_what_is_drawn_is_told_from_what_is_computed_by_its_ending():
    computed = {
        end for entry in FORMATS.values() if not entry.properties["drawn"] for end in entry.properties["endings"]
    }
    assert not any(end.endswith(drawn()) for end in computed)
    assert set(drawn()) | computed == set(endings())
