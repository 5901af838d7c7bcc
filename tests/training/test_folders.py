"""Data sets by class: parts in any case, and folders that may be parts or classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sigcli.errors import UsageError
from sigcli.training.folders import find_classes


def _fill(folder: Path, count: int = 2) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("train", "held"), [("train", "val"), ("Train", "Val"), ("TRAIN", "Test"), ("training", "Valid")]
)
def test_parts_are_known_in_any_case(tmp_path, train, held):
    for part in (train, held):
        for name in ("cat", "dog"):
            _fill(tmp_path / part / name)
    found = find_classes(tmp_path)
    assert found.classes == ("cat", "dog")
    assert {path.parent.parent.name for path, _ in found.train} == {train}
    assert {path.parent.parent.name for path, _ in found.held} == {held}


@pytest.mark.parametrize(("one", "other"), [("Train", "extra"), ("images", "test")])
def test_a_part_without_its_other_is_no_class(tmp_path, one, other):
    for part in (one, other):
        for name in ("cat", "dog"):
            _fill(tmp_path / part / name)
    with pytest.raises(UsageError, match="parts of the data"):
        find_classes(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        _fill(tmp_path / name)
    assert find_classes(tmp_path).classes == ("bus", "train")
