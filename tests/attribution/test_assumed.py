"""What is assumed of samples before the first map: partners by their stems, tensors as they are, pixels as players."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sigcli import explain
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images
from sigcli.models.preprocess import Preprocess


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
    assert "neither resized nor normalised" in _tensor_notes(x, preprocessed=True)
    with pytest.raises(UsageError, match="can be read in two ways"):
        _tensor_notes(x)
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


# References


SAMPLES = sample_images()


@pytest.fixture
def references(tmp_path):
    folder = tmp_path / "references"
    folder.mkdir()
    for name in ("heart.png", "house.png"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    return folder


def _compared(references, **options):
    return explain(SAMPLES / "star.png", **{"method": "ig", "baseline": "mean", "settings": {"steps": 2},
                                            "references": references, **options})  # fmt: skip


def test_unreadable_references_are_counted_named_and_left_out(references):
    whole = _compared(references, write=False)
    assert not any("References" in note for note in whole.notes)
    (references / "a.png").write_text("no image")
    (references / "z.png").write_bytes((SAMPLES / "star.png").read_bytes()[:200])
    found = _compared(references, write=False)
    assert [note for note in found.notes if "References" in note] == [
        "References: 2 of 4 cannot be read and are left out (a.png, z.png)."
    ]
    np.testing.assert_array_equal(found[0].values, whole[0].values)


@pytest.mark.parametrize(("kept", "told"), [(0, "none of the references can be read"), (1, "needs at least two")])
def test_references_of_which_too_few_can_be_read_are_refused_before_any_work(references, tmp_path, kept, told):
    for path in sorted(references.iterdir())[kept:]:
        path.write_text("no image")
    with pytest.raises(UsageError, match=told):
        _compared(references, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Tensors of other shapes


@pytest.mark.parametrize("wrong", [torch.rand(3, 40, 32), torch.rand(1, 32, 32), torch.rand(2, 3, 31, 31)])
@pytest.mark.parametrize("first", [True, False])
def test_tensors_of_several_shapes_are_refused_before_any_work(wrong, first, tmp_path):
    right = torch.rand(3, 32, 32)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    if first and wrong.shape[-3] == 1:
        network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UsageError, match="shape of the network's input"):
        explain([wrong, right] if first else [right, wrong], model=network, method="gradient", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_of_another_size_than_a_known_network_takes_are_refused():
    with pytest.raises(UsageError, match=r"\(3, 64, 64\): image-1.*\n.*\(3, 128, 128\)"):
        explain(torch.rand(3, 64, 64), method="gradient", write=False)


# Label maps


def _players(labels, tmp_path, method="sig", **options):
    np.save(tmp_path / "map.npy", labels)
    found = explain(SAMPLES / "star.png", method=method, players=str(tmp_path / "map.npy"), write=False,
                    settings={"samples": 2}, **options)  # fmt: skip
    return [note for note in found.notes if "every label is a player" in note]


@pytest.mark.parametrize(("void", "dtype", "told"), [
    (-1, np.int64, "-1 too (25%"), (255, np.uint8, "255 too (25%"), (65535, np.uint16, "65535 too (25%"),
    (3, np.uint8, None),
])  # fmt: skip
def test_labels_that_often_mark_no_object_are_told(void, dtype, told, tmp_path):
    labels = (np.arange(128)[:, None] // 64 * 2 + np.arange(128)[None, :] // 64).astype(dtype)
    labels[64:, 64:] = void
    notes = _players(labels, tmp_path)
    assert len(notes) == (told is not None)
    assert all(told in note for note in notes)


def test_superpixels_numbered_beyond_255_are_no_void(tmp_path):
    assert not _players(np.arange(128 * 128).reshape(128, 128) % 300, tmp_path)


# Baselines


def _based(baseline, **options):
    options = {"method": "ig", "settings": {"steps": 2}, "write": False, **options}
    found = explain(options.pop("images", SAMPLES / "star.png"), baseline=str(baseline), **options)
    return found, " ".join(note for note in found.notes if "baseline" in note)


@pytest.mark.parametrize("size", [(300, 90), (90, 300), (128, 128), (200, 200)])
@pytest.mark.parametrize("options", [{}, {"resize": 140, "crop": 100}, {"image_size": "60x80"}])
def test_an_image_is_its_own_baseline_since_both_are_prepared_alike(size, options, tmp_path):
    # right: x' = x makes every attribution 0, whatever is resized and cropped
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "wide.png")
    found, note = _based(tmp_path / "wide.png", images=tmp_path / "wide.png", **options)
    assert found[0].values is not None
    assert not found[0].values.any()
    assert "prepared as the pictures are" in note


def test_a_damaged_baseline_is_refused_before_any_work(tmp_path):
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(UsageError, match="the baseline cannot be used: not an image"):
        _based(tmp_path / "b.png")


def test_a_baseline_array_is_of_the_input_s_unit_or_refused(tmp_path):
    # the network's input is (pixel - 0.5) / 0.25, so from -2 to 2
    pixels = np.random.default_rng(0).random((3, 128, 128)).astype(np.float32)
    forms = {"zero": 0 * pixels, "share": pixels, "input": 4 * pixels - 2, "bytes": 255 * pixels, "far": 9 * pixels - 4}
    for name, values in forms.items():
        np.save(tmp_path / f"{name}.npy", values)
    for name, told in (("zero", "lies in 0..0"), ("share", "if it holds pixels in 0..1"), ("far", "leaves that range"),
                       ("input", "-2..2")):  # fmt: skip
        note = _based(tmp_path / f"{name}.npy")[1]
        assert told in note
        assert "taken as the network's input" in note
        assert ("if it holds" in note, "leaves" in note) == (name == "share", name == "far")
    np.save(tmp_path / "whole.npy", (255 * pixels).astype(np.int64))
    for name in ("bytes", "whole"):
        with pytest.raises(UsageError, match="as pixels of bytes do"):
            _based(tmp_path / f"{name}.npy")


def test_a_baseline_image_beside_tensors_of_unknown_preprocessing_is_refused():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(UsageError, match="beside tensors"):
        _based(SAMPLES / "star.png", images=torch.rand(3, 32, 32), model=network)


def test_a_tensor_as_baseline_fits_or_is_refused():
    with pytest.raises(UsageError, match="what broadcasts to"):
        explain(SAMPLES / "star.png", method="ig", settings={"baseline": torch.zeros(5, 5)}, write=False)


def test_pixels_of_a_baseline_follow_the_network_s_preparation(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2, bias=False))
    one, other = (np.random.default_rng(seed).integers(0, 256, (20, 12, 3), np.uint8) for seed in (1, 2))
    Image.fromarray(other).save(tmp_path / "b.png")
    options = {"resize": 10, "crop": 8, "mean": (0.4,), "std": (0.2,)}
    found, _ = _based(tmp_path / "b.png", images=Image.fromarray(one), model=network, target=1, **options)
    prepare = Preprocess(10, 8, (0.4,) * 3, (0.2,) * 3)
    weight = network[1].weight[1].detach().reshape(3, 8, 8)
    np.testing.assert_allclose(found[0].values, weight * (prepare(one) - prepare(other)), atol=1e-5)
