"""Masks of every encoding: one object has one meaning or none; and everything is found out before the first map."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from sigcli import evaluate
from sigcli.errors import AttributionError, UsageError
from sigcli.evaluation.masks.areas import Areas, seen
from sigcli.evaluation.masks.located import Masks, open_masks
from sigcli.evaluation.masks.names import match
from sigcli.evaluation.masks.rle import decoded, lengths
from sigcli.evaluation.masks.wanted import read_wanted
from sigcli.models.preprocess import Preprocess

SIDE = 32
AS_IT_IS = Preprocess(resize=None, crop=None, mean=(0.0,) * 3, std=(1.0,) * 3)
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128, 64, 0, 0]
VOC += [7, 9, 11] * (255 - len(VOC) // 3) + [224, 224, 192]


def palette(numbers, colours):
    numbers = np.asarray(numbers, np.uint8)
    made = Image.frombytes("P", numbers.shape[::-1], numbers.tobytes())
    made.putpalette(colours)
    return made


def bordered(inside, number):
    """Class numbers with a border of void one pixel wide."""
    grown = np.zeros_like(inside)
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        grown |= np.roll(inside, (dy, dx), (0, 1))
    return np.where(inside, number, np.where(grown, 255, 0)).astype(np.uint8)


def coloured(inside, on, off=(0, 0, 0)):
    return np.where(inside[..., None], np.uint8(on), np.uint8(off))


def cut_out(inside, mode="RGBA"):
    noise = np.random.default_rng(0).integers(0, 256, (*inside.shape, 4), np.uint8)
    noise[..., 3] = inside * 255
    return Image.fromarray(np.ascontiguousarray(noise[..., [0, 3]]) if mode == "LA" else noise)


def run_lengths(inside):
    """Counts column by column, the first of what is out."""
    flat = inside.T.ravel()
    counts = [0] if flat[0] else []
    return counts + [len(list(group)) for _, group in itertools.groupby(flat)]


def packed(counts):
    """COCO's text of run lengths, from its definition: differences, then five bits a character."""
    text = ""
    for i, count in enumerate(counts):
        number, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, number = number & 31, number >> 5
            more = number != -1 if bits & 16 else number != 0
            text += chr(48 + bits + 32 * more)
    return text


def coco(inside, segmentation, **more):
    high, wide = inside.shape
    annotation = {"id": 1, "image_id": 7, "category_id": 17, "segmentation": segmentation, **more}
    return {
        "images": [{"id": 7, "file_name": "a.png", "height": high, "width": wide}], "annotations": [annotation],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }  # fmt: skip


def squares(inside):
    """Every pixel as a polygon."""
    return [
        [x, y, x + 1, y, x + 1, y + 1, x, y + 1]
        for y, x in zip(*map(np.ndarray.tolist, np.nonzero(inside)), strict=True)
    ]


def grey(values, kind=np.uint8):
    return Image.fromarray(np.asarray(values, kind))


READ = {
    "1.png": Image.fromarray,
    "0-255.png": lambda m: grey(m * 255),
    "0-1.png": grey,
    "class 15.png": lambda m: grey(m * 15),
    "palette.png": lambda m: palette(m * 8, VOC),
    "palette black white.png": lambda m: palette(m, [0, 0, 0, 255, 255, 255]),
    "palette grey.png": lambda m: palette(m * 255, [i for i in range(256) for _ in range(3)]),
    "16 bits.png": lambda m: grey(m * 65535, np.uint16),
    "16 bits, class 3.png": lambda m: grey(m * 3, np.uint16),
    "rgb.png": lambda m: Image.fromarray(coloured(m, (255, 255, 255))),
    "red on black.png": lambda m: Image.fromarray(coloured(m, (192, 0, 0))),
    "cut-out.png": cut_out,
    "grey cut-out.png": lambda m: cut_out(m, "LA"),
    "opaque.png": lambda m: grey(m * 255).convert("RGBA"),
    "a.tif": lambda m: grey(m * 255),
    "a.pbm": Image.fromarray,
    "a.gif": lambda m: palette(m, [0, 0, 0, 255, 255, 255]),
    "bool.npy": lambda m: m,
    "0-1.npy": lambda m: m.astype(np.int64),
    "0-1 and one axis more.npy": lambda m: m[None].astype(np.uint8),
    "class 200.npy": lambda m: m.astype(np.uint8) * 200,
    "floats.npy": lambda m: m.astype(np.float32),
    "twice as large.png": lambda m: grey(np.kron(m, np.ones((2, 2))) * 255),
    "numbers.json": lambda m: coco(m, {"size": m.shape, "counts": run_lengths(m)}),
    "text.json": lambda m: coco(m, {"size": m.shape, "counts": packed(run_lengths(m))}),
    "polygons.json": lambda m: coco(m, squares(m)),
}
"""Encodings that say what is the object."""
UNCLEAR = {
    "class 15 and void.png": lambda m: grey(bordered(m, 15)),
    "palette and void.png": lambda m: palette(bordered(m, 8), VOC),
    "only void.png": lambda m: palette(m * 255, VOC),
    "palette white black.png": lambda m: palette(~m, [255, 255, 255, 0, 0, 0]),
    "three greys.png": lambda m: grey(np.where(m, 255, np.where(bordered(m, 1) > 0, 128, 0))),
    "two classes.png": lambda m: grey(np.where(m, 1, np.where(bordered(m, 1) > 0, 2, 0))),
    "trimap 1 2 3.png": lambda m: grey(np.where(m, 1, np.where(bordered(m, 1) > 0, 3, 2))),
    "red on white.png": lambda m: Image.fromarray(coloured(m, (192, 0, 0), (255, 255, 255))),
    "fractions.npy": lambda m: np.where(m, 0.9, 0.2),
    "compressed classes.jpg": lambda m: grey(m * 15),
    "signs.npy": lambda m: np.where(m, 1, -1),
}
"""Encodings that do not."""
MAYBE = {"a.jpg": lambda m: grey(m * 255), "a.webp": lambda m: grey(m * 255).convert("RGB")}
"""Compressed: read where the object is large enough to be known from its noise."""


def placed(folder, file, made):
    """An image and its mask in a folder, and what --masks names."""
    masks = folder / file.replace(".", "-")
    masks.mkdir()
    Image.new("RGB", (SIDE, SIDE)).save(folder / "a.png")
    path = masks / f"a{file[file.rindex('.') :]}"
    if isinstance(made, dict):
        path.write_text(json.dumps(made))
        return path
    if isinstance(made, np.ndarray):
        np.save(path, made)
    else:
        made.save(path)
    return masks


def located(folder, masks, *said, preprocess=AS_IT_IS, names=("a.png",)):
    found = Masks(open_masks(masks), read_wanted(*(said or (None, None))))
    found.fit([folder / name for name in names], preprocess)
    return found


def object_of(folder, masks, *said):
    return located(folder, masks, *said).of("a.png", folder / "a.png", AS_IT_IS)


@st.composite
def objects(draw):
    """Two rectangles, which may overlap, with room for a border."""
    found = np.zeros((SIDE, SIDE), bool)
    for _ in range(2):
        y, x = draw(st.tuples(st.integers(2, 20), st.integers(2, 20)))
        h, w = draw(st.tuples(st.integers(1, 10), st.integers(1, 10)))
        found[y : y + h, x : x + w] = True
    return found


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(objects())
def test_one_object_under_all_encodings_is_one_object_or_refused(tmp_path_factory, inside):
    folder = tmp_path_factory.mktemp("encodings")
    for file, make in {**READ, **UNCLEAR, **MAYBE}.items():
        masks = placed(folder, file, make(inside))
        try:
            found, void = object_of(folder, masks)
        except UsageError:
            assert file not in READ, file
            continue
        assert file not in UNCLEAR, file
        assert void is None
        assert np.array_equal(found.numpy(), inside), file


@pytest.mark.parametrize(
    ("file", "said", "void"),
    [
        ("class 15 and void.png", (15, None), True),
        ("class 15 and void.png", ("15", "none"), False),
        ("class 15 and void.png", (None, 255), True),
        ("palette and void.png", ("8", None), True),
        ("palette and void.png", ("any", None), True),
        ("only void.png", ("255", None), False),
        ("palette white black.png", ("0", None), False),
        ("three greys.png", ("255", None), False),
        ("three greys.png", ("255", "128"), True),
        ("two classes.png", ("1", None), False),
        ("trimap 1 2 3.png", ("1", "3"), True),
        ("red on white.png", ("#c00000", None), False),
        ("signs.npy", ("1", None), False),
    ],
)
def test_what_is_unclear_can_be_said(tmp_path, file, said, void):
    inside = np.zeros((SIDE, SIDE), bool)
    inside[8:20, 10:22] = True
    found, left_out = object_of(tmp_path, placed(tmp_path, file, UNCLEAR[file](inside)), *said)
    assert np.array_equal(found.numpy(), inside)
    border = bordered(inside, 1) == 255
    assert (left_out is not None) == void
    assert left_out is None or np.array_equal(left_out.numpy(), border)


@pytest.mark.parametrize(
    ("values", "said", "error"),
    [
        ([[0, 8, 255]], ("15", None), "no mask has class 15"),
        ([[0, 128, 255]], ("128", None), "nothing says whether 255 is void"),
        ([[0, 8, 12]], (None, None), "several classes"),
        ([[0, 1]], ("cat", None), "cannot be read"),
        ([[0, 1]], ("any,1", None), "stands alone"),
        ([[0, 1]], ("1,", None), "names no class"),
        ([[0, 1]], (None, "one"), "cannot be read"),
        ([[0, 0]], (None, None), "all are 0"),
        ([[1, 1]], (None, None), "no pixel is 0"),
    ],
)
def test_what_cannot_be_known_or_meant_is_refused(tmp_path, values, said, error):
    masks = placed(tmp_path, "a.png", grey(np.kron(values, np.ones((12, 12)))))
    with pytest.raises(UsageError, match=error):
        object_of(tmp_path, masks, *said)


def test_one_meaning_holds_for_all_masks_of_a_run(tmp_path):
    """A mask of 0 and 255 among masks of 0 and 1 is no mask of white; class 2 in another file makes two classes."""
    masks = placed(tmp_path, "a.png", grey(np.eye(SIDE)))
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "b.png")
    names = ("a.png", "b.png")
    grey(np.eye(SIDE)).save(masks / "b.png")
    found = located(tmp_path, masks, names=names)
    assert found.notes == ["masks: class 1 is the object, the only value besides 0"]
    for other in (255, 2):
        grey(np.eye(SIDE) * other).save(masks / "b.png")
        with pytest.raises(UsageError, match="several ways"):
            located(tmp_path, masks, names=names)
    found = located(tmp_path, masks, "any", None, names=names)
    assert all(bool(found.of(name, tmp_path / name, AS_IT_IS)[0].any()) for name in names)
    Image.fromarray(np.eye(SIDE) > 0).save(masks / "b.png")  # object or not: the same as 1 of the other
    located(tmp_path, masks, names=names)
    grey(np.eye(SIDE) * 7).save(masks / "a.png")
    with pytest.raises(UsageError, match="some masks are object or not"):
        located(tmp_path, masks, names=names)


def test_palettes_that_differ_are_refused(tmp_path):
    masks = placed(tmp_path, "a.png", palette(np.eye(SIDE), VOC))
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "b.png")
    palette(np.eye(SIDE), [0, 0, 0, 1, 2, 3]).save(masks / "b.png")
    with pytest.raises(UsageError, match="different palettes"):
        located(tmp_path, masks, names=("a.png", "b.png"))


def test_greys_of_few_bits_are_numbers_of_classes(tmp_path):
    """Pillow shows class 1 of a PNG of 2 bits as grey 85."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 2, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"".join(bytes([0, one]) for one in (0b00000000, 0b00011000, 0b00011000, 0))))
    masks = placed(tmp_path, "a.png", grey(np.eye(4)))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (masks / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b""))
    found, _ = object_of(tmp_path, masks, "1", None)
    assert np.argwhere(found.numpy()).tolist() == [[1, 1], [2, 1]]


def test_soft_edges_end_at_one_half(tmp_path):
    from scipy.ndimage import gaussian_filter

    disc = np.hypot(*(np.indices((SIDE, SIDE)) - 15.5)) < 9
    soft = np.round(gaussian_filter(disc * 255.0, 0.8))
    masks = placed(tmp_path, "a.png", grey(soft))
    found = located(tmp_path, masks)
    assert np.array_equal(found.of("a.png", tmp_path / "a.png", AS_IT_IS)[0].numpy(), soft > 127)
    assert "above half" in found.notes[0]
    ramp = np.tile(np.linspace(0, 255, SIDE), (SIDE, 1))
    grey(ramp).save(masks / "a.png")
    with pytest.raises(UsageError, match="several classes"):
        located(tmp_path, masks)


def test_object_and_void_follow_the_picture_to_the_networks_input():
    """Squares of 16 pixels: more than half void is void, else what there is as much of as ground."""
    area = np.zeros((4, 8), bool)
    void = np.zeros((4, 8), bool)
    area[:, :2] = True  # left half of the left square, and of the right one a quarter, half of which is void
    area[:2, 4:6] = True
    void[2:, 4:8] = True
    void[1, 7] = True
    small = Preprocess(resize=(1, 2), crop=None, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="box")
    inside, left_out = seen(Areas(area, void), small)
    assert (inside.tolist(), left_out.tolist()) == ([[True, False]], [[False, True]])
    area[:, 2] = True
    void[2, 4:8] = False  # a quarter void and one sixteenth; of the rest 4 are object, 7 ground
    inside, left_out = seen(Areas(area, void), small)
    assert (inside.tolist(), left_out.tolist()) == ([[True, False]], [[False, False]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=60))
def test_run_lengths_of_coco_follow_their_definition(flat):
    inside = np.array(flat[: len(flat) // 3 * 3]).reshape(3, -1)
    counts = run_lengths(inside)
    for given_counts in (counts, packed(counts)):
        assert np.array_equal(decoded(given_counts, inside.shape), inside)
    assert lengths(packed(counts)) == counts


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=30))
def test_long_run_lengths_survive(counts):
    assert lengths(packed(counts)) == counts


def test_a_known_text_of_run_lengths():
    """Worked by hand: 37 is 5 with more, then 1; the fourth number is the difference from the second."""
    assert lengths("U1") == [37]
    assert lengths("0222") == [0, 2, 2, 4]
    for wrong in ("~", "U"):
        with pytest.raises(ValueError, match="run lengths"):
            lengths(wrong)
    with pytest.raises(ValueError, match="do not fill"):
        decoded([1, 2], (2, 2))


def test_polygons_hold_the_pixels_whose_centres_they_hold():
    from sigcli.evaluation.masks.coco import polygon

    corners = [(1.2, 0.7), (9.4, 2.1), (6.3, 8.8), (5.2, 4.4)]

    def inside(x, y):
        crossings = 0
        for (x0, y0), (x1, y1) in itertools.pairwise([*corners, corners[0]]):
            if (y0 > y) != (y1 > y):
                crossings += x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        return crossings % 2 == 1

    expected = [[inside(x + 0.5, y + 0.5) for x in range(12)] for y in range(10)]
    assert polygon([v for corner in corners for v in corner], (10, 12)).tolist() == expected
    with pytest.raises(ValueError, match="three corners"):
        polygon([1, 2, 3, 4], (5, 5))


def test_categories_and_crowds_of_coco(tmp_path):
    inside = np.zeros((SIDE, SIDE), bool)
    inside[4:9, 4:9] = True
    content = coco(inside, squares(inside))
    masks = placed(tmp_path, "a.json", content)
    dog = {"id": 2, "image_id": 7, "category_id": 18, "bbox": [20, 20, 5, 3]}
    crowd = {"id": 3, "image_id": 7, "category_id": 17, "iscrowd": 1, "bbox": [0, 8, 32, 2]}
    content["annotations"] += [dog, crowd]
    masks.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="several categories"):
        object_of(tmp_path, masks)
    for name in ("cat", 17):
        found = located(tmp_path, masks, name, None)
        area, void = found.of("a.png", tmp_path / "a.png", AS_IT_IS)
        assert np.array_equal(area.numpy(), inside)
        expected = np.zeros((SIDE, SIDE), bool)
        expected[8:10] = True
        assert np.array_equal(void.numpy(), expected & ~inside)
        assert "1 crowd region" in found.notes[0]
    area, _ = object_of(tmp_path, masks, "dog", None)
    assert (int(area.sum()), bool(area[20:23, 20:25].all())) == (15, True)
    area, _ = object_of(tmp_path, masks, "any", None)
    assert int(area.sum()) == 25 + 15
    with pytest.raises(UsageError, match="no category"):
        object_of(tmp_path, masks, "horse", None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"images": []}, "no image has a mask"),
        ({"images": [{"id": 7}]}, "lack id, file_name"),
        ({"images": 3}, "not COCO's"),
        ({"annotations": [{"image_id": 8, "category_id": 17}]}, "does not list"),
        ({"annotations": [{"image_id": 7, "category_id": 17}]}, "has no 'bbox'"),
        ({"annotations": [{"image_id": 7, "category_id": 17, "segmentation": [[1, 2, 3]]}]}, "three corners"),
        (
            {"annotations": [{"image_id": 7, "category_id": 17, "segmentation": {"size": [9, 9], "counts": [81]}}]},
            "of 9x9",
        ),
        ({"annotations": []}, "no object"),
    ],
)
def test_broken_files_of_coco_are_refused(tmp_path, change, error):
    inside = np.eye(SIDE) > 0
    content = {**coco(inside, squares(inside)), **change}
    if not content["images"]:
        content["annotations"] = []
    with pytest.raises(UsageError, match=error):
        object_of(tmp_path, placed(tmp_path, "a.json", content))


def test_a_picture_turned_by_exif_has_a_mask_drawn_before_or_after(tmp_path):
    high, wide = 20, 30
    upright = np.zeros((high, wide), bool)
    upright[2:8, 3:25] = True
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turned
    Image.new("RGB", (high, wide)).save(tmp_path / "a.png", exif=exif)
    (tmp_path / "masks").mkdir()
    for stored in (upright, np.rot90(upright)):
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "masks" / "a.png")
        found = located(tmp_path, tmp_path / "masks")
        assert np.array_equal(found.of("a.png", tmp_path / "a.png", AS_IT_IS)[0].numpy(), upright)
        assert any("EXIF" in note for note in found.notes) == (stored.shape != upright.shape)
    exif[0x0112] = 3
    Image.new("RGB", (wide, high)).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(upright).save(tmp_path / "masks" / "a.png")
    found = located(tmp_path, tmp_path / "masks")
    assert np.array_equal(found.of("a.png", tmp_path / "a.png", AS_IT_IS)[0].numpy(), upright)
    assert any("as drawn on the pictures as they are shown" in note for note in found.notes)


def test_sizes_that_do_not_fit_are_named_before_the_work(tmp_path):
    for name in "abc":
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    masks = tmp_path / "masks"
    masks.mkdir()
    square = np.zeros((64, 64), bool)
    square[20:40, 20:40] = True
    Image.fromarray(square).save(masks / "a.png")
    Image.fromarray(square[:, :50]).save(masks / "b.png")
    Image.fromarray(square[16:48, 16:48]).save(masks / "c.png")  # as large as what is left of the picture
    cropped = Preprocess(resize=40, crop=32)
    found = located(tmp_path, masks, preprocess=cropped, names=("a.png", "b.png", "c.png"))
    assert any(note.startswith("2 of 3 masks cannot be used: b.png: ") for note in found.notes)
    for name, error in (("b.png", "50x64 pixels, its image 64x64"), ("c.png", "only the part that the model sees")):
        with pytest.raises(AttributionError, match=error):
            found.of(name, tmp_path / name, cropped)
    away = np.zeros((64, 64), bool)
    away[:3, :3] = True
    Image.fromarray(away).save(masks / "b.png")
    found = located(tmp_path, masks, preprocess=cropped, names=("a.png", "b.png", "c.png"))
    assert any("no object in the part that the model sees" in note for note in found.notes)


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["a.jpg"], ["a"], {"a.jpg": "a"}),
        (["x/a.jpg", "y/a.jpg"], ["y/a", "x/a"], {"x/a.jpg": "x/a", "y/a.jpg": "y/a"}),
        (["x/a.jpg", "y/b.jpg"], ["a", "b"], {"x/a.jpg": "a", "y/b.jpg": "b"}),
        (["a.jpg"], ["train/a"], {"a.jpg": "train/a"}),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"], {"a.jpg": "a.jpg", "a.png": "a.png"}),
        (["a.jpg", "a.png"], ["a.jpg", "a"], {"a.jpg": "a.jpg", "a.png": "a"}),
        (["1.0.png", "1.png"], ["1.0", "1"], {"1.0.png": "1.0", "1.png": "1"}),
        (["x/a.jpg"], [".\\x\\a.jpg"], {"x/a.jpg": ".\\x\\a.jpg"}),
        (["caf\u00e9.jpg"], ["cafe\u0301"], {"caf\u00e9.jpg": "cafe\u0301"}),
        (["a\\\\b.png"], ["a\\b"], {"a\\\\b.png": "a\\b"}),
        (["000009.jpg", "a.jpg"], ["000009_dog", "a_mask"], {}),
        (["x/a.jpg", "b.jpg"], ["x/a", "y/a"], {"x/a.jpg": "x/a"}),
    ],
)
def test_a_mask_belongs_to_the_image_of_its_name(images, masks, expected):
    assert match(images, masks)[0] == expected


@pytest.mark.parametrize(
    ("images", "masks", "error"),
    [
        (["a.jpg", "a.png"], ["a"], "one mask fits several images"),
        (["x/a.jpg", "y/a.jpg"], ["a"], "one mask fits several images"),
        (["a.jpg"], ["x/a", "y/a"], "several masks fit one image"),
    ],
)
def test_names_that_fit_twice_are_refused(images, masks, error):
    with pytest.raises(UsageError, match=error):
        match(images, masks)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A picture of noise, a network that takes it as it is, and a map of noise."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    for folder in ("images", "maps", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save("images/a.png")
    np.save("maps/a.npy", random.normal(size=(SIDE, SIDE)).astype(np.float32))
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 3))
    metric = "roc-auc,relevance-mass,relevance-rank,pointing-game"
    return {
        "model": network,
        "resize": SIDE,
        "crop": SIDE,
        "mean": 0.0,
        "std": 1.0,
        "metric": metric,
        "pictures": False,
    }


@pytest.mark.parametrize("file", ["class 15 and void.png", "palette and void.png"])
def test_void_is_left_out_of_object_and_ground(here, tmp_path, file):
    """Figures from scikit-learn and sorting, on the pixels of object and ground; and refused where nothing is said."""
    inside = np.zeros((SIDE, SIDE), bool)
    inside[6:18, 8:24] = True
    UNCLEAR[file](inside).save("masks/a.png")
    with pytest.raises(UsageError, match="255 may be the object, or void"):
        evaluate("images", attributions="maps", masks="masks", out="out", **here)
    assert not (tmp_path / "out").exists()
    number = int(np.asarray(Image.open("masks/a.png"))[6, 8])
    values = np.load("maps/a.npy").astype(float)
    for said, known in ((None, bordered(inside, 1) != 255), ("none", np.ones_like(inside))):
        found = evaluate(
            "images", attributions="maps", masks="masks", mask_class=number, mask_void=said, out=f"out-{said}", **here
        )
        v, m = values[known], inside[known]
        expected = {
            "roc-auc": roc_auc_score(m, v), "relevance-mass": v.clip(0)[m].sum() / v.clip(0).sum(),
            "relevance-rank": m[np.argsort(-v)[: m.sum()]].mean(), "pointing-game": float(m[v.argmax()]),
        }  # fmt: skip
        assert {one.metric: one.value for one in found.values} == pytest.approx(expected, rel=1e-9)


def test_masks_that_fit_nothing_are_an_error_before_the_work(here, tmp_path):
    grey(np.eye(SIDE)).save("masks/a_mask.png")
    with pytest.raises(UsageError, match="no image has a mask"):
        evaluate("images", method="gradient", masks="masks", out="out", **here)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="say what masks mean"):
        evaluate("images", method="gradient", mask_class=3, out="out", **{**here, "metric": "sparseness"})
    for name in ("empty", "only"):
        (tmp_path / name).mkdir()
    (tmp_path / "only" / "coco.json").write_text("{}")
    for folder, error in (("empty", "no masks"), ("only", "Name the file itself"), ("nowhere", "no such folder")):
        with pytest.raises(UsageError, match=error):
            evaluate("images", method="gradient", masks=folder, out="out", **here)


def test_boxes_that_are_fractions_are_refused(tmp_path):
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1\na.png,0.1,0.2,0.5,0.6\n")
    with pytest.raises(UsageError, match="fractions"):
        open_masks(tmp_path / "boxes.csv")


def test_boxes_of_several_classes_in_an_image_are_refused(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x0,y0,x1,y1,class\na.png,0,0,5,6,dog\na.png,2,2,5,6,cat\n")
    with pytest.raises(UsageError, match="several classes") as error:
        open_masks(path)
    assert "cat, dog" in str(error.value)
    for rows in ("a.png,0,0,5,6,dog\na.png,2,2,5,6,dog", "a.png,0,0,5,6,dog\nb.png,2,2,5,6,cat"):
        path.write_text(f"image,x0,y0,x1,y1,class\n{rows}\n")
        masks = open_masks(path)
        assert "a.png" in masks.names
        notes, _ = masks.judge(masks.names, read_wanted(None, None))
        assert any("whatever their class (cat, dog)" in note for note in notes) == ("cat" in rows)
