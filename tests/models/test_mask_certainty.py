"""The image of --mask-certainty: one area under many encodings, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sigcli.errors import UsageError
from sigcli.models.loading import load_model
from sigcli.models.wrappers.certainty import masked

AREA = np.zeros((128, 128), bool)
AREA[20:70, 40:100] = True
WHITE = Image.fromarray(AREA.astype(np.uint8) * 255)


def _palette(colours: list[int]) -> Image.Image:
    made = Image.fromarray(AREA.astype(np.uint8), "L").convert("P")
    made.putdata(AREA.astype(np.uint8).ravel().tolist())
    made.putpalette(colours + [0] * (768 - len(colours)))
    return made


@pytest.fixture(scope="module")
def model():
    return load_model("shapes")


@pytest.mark.parametrize(
    ("made", "note"),
    [
        (WHITE, None), (WHITE.convert("1"), None), (WHITE.convert("RGB"), None), (WHITE.convert("RGBA"), None),
        (Image.fromarray(AREA.astype(np.uint8)), "1 is masked"),
        (Image.fromarray(AREA.astype(np.uint8) * 15), "15 is masked"),
        (_palette([0, 0, 0, 128, 0, 0]), "1 is masked"), (_palette([0, 0, 0, 255, 255, 255]), None),
    ],
)  # fmt: skip
def test_one_area_under_many_encodings(model, tmp_path, made, note):
    made.save(tmp_path / "area.png")
    found = masked(model, tmp_path / "area.png")
    assert found.mask is not None
    assert np.array_equal(found.mask.cpu().numpy(), AREA)
    assert [note in text for text in found.notes[len(model.notes) :]] == ([] if note is None else [True])


@pytest.mark.parametrize("name", ["area.jpg", "soft.png"])
def test_edges_may_be_grey(model, tmp_path, name):
    made = WHITE if name.endswith("jpg") else WHITE.filter(ImageFilter.GaussianBlur(1))
    made.save(tmp_path / name)
    found = masked(model, tmp_path / name).mask
    assert found is not None
    assert (found.cpu().numpy() != AREA).mean() < 0.005


def _classes() -> Image.Image:
    values = AREA.astype(np.uint8) * 15
    values[100:, :] = 255
    return Image.fromarray(values)


def _cut_out() -> Image.Image:
    return Image.fromarray(np.dstack([np.full((128, 128, 3), 90, np.uint8), AREA.astype(np.uint8) * 255]))


def _photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (_classes(), "not black and white"), (_cut_out(), "transparent"), (_photograph(), "colours"),
        (_photograph().convert("L"), "not black and white"), (Image.new("L", (128, 128), 255), "not all of it"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(model, tmp_path, made, why):
    made.save(tmp_path / "area.png")
    with pytest.raises(UsageError, match=why):
        masked(model, tmp_path / "area.png")


def test_another_size_is_told(model, tmp_path):
    WHITE.resize((64, 32)).save(tmp_path / "area.png")
    assert "scaled to all of the network's input, 128x128" in masked(model, tmp_path / "area.png").notes[-1]
