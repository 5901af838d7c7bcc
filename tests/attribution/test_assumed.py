"""What is assumed of samples before the first map: partners by their stems, tensors as they are, pixels as players."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sigcli import explain
from sigcli.errors import UsageError


@pytest.fixture
def pairs(tmp_path):
    for folder, names in (("one", ("a.png", "b.png")), ("other", ("a.bmp", "b.png"))):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            Image.fromarray(np.full((64, 64, 3), 40 * number, np.uint8)).save(tmp_path / folder / name)
    return tmp_path


def _explained(pairs, **options):
    return explain(
        pairs / "one", partner=pairs / "other", model="expression", method="gradient", write=False, **options
    )


def test_partners_without_suffixes_are_told(pairs):
    assert any("without suffixes: 1 of 2 (a.png with a.bmp)" in note for note in _explained(pairs).notes)
    (pairs / "other" / "a.bmp").rename(pairs / "other" / "a.png")
    assert not any("suffixes" in note for note in _explained(pairs).notes)


def test_one_partner_of_two_images_is_refused(pairs):
    with Image.open(pairs / "one" / "a.png") as image:
        image.save(pairs / "one" / "a.jpg")
    with pytest.raises(UsageError, match="one second image fits several images"):
        _explained(pairs)


def _tensor_notes(x, **options):
    return " ".join(explain(x, method="gradient", write=False, **options).notes)


def test_tensors_for_a_network_with_preprocessing_are_told():
    x = torch.rand(3, 128, 128)
    assert "neither resized nor normalised" in _tensor_notes(x)
    assert "neither resized" not in _tensor_notes(Image.fromarray(np.zeros((128, 128, 3), np.uint8)))


@pytest.mark.parametrize(("side", "expected"), [(16, True), (32, False)])
def test_pixels_in_place_of_patches_are_told(side, expected):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 3))
    x = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    found = explain(x, model=network, image_size=side, method="sig", write=False, settings={"samples": 2})
    assert any("each pixel is a player" in note for note in found.notes) is expected
    plain = explain(x, model=network, image_size=side, method="sig", write=False, players="4x4",
                    settings={"samples": 2})  # fmt: skip
    assert not any("each pixel is a player" in note for note in plain.notes)
