"""Tables of labels: one labelling under every encoding gives one set of classes, or a refusal; never another one."""

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from sigcli.errors import UsageError
from sigcli.evaluation.evaluate import evaluate
from sigcli.evaluation.image_names import ImageNames
from sigcli.evaluation.label_table import Wanted
from sigcli.evaluation.true_classes import read_true_classes

FILES = [Path(f"/data/in/{name}") for name in ("cat/1.png", "dog/1.png", "dog/2.JPEG", "ILSVRC2012_val_00000001.JPEG")]
RUN = [str(path.relative_to("/data/in")) for path in FILES]
WORDS = ("cat", "dog", "frog", "great white shark")
DIGITS = ("1", "10", "11", "12", "2", "3", "4")  # as ImageFolder sorts them
SEPARATORS = (",", ";", "\t", "|")
FLAT = [Path(f"/data/in/{name}.png") for name in "abc"]


def read(text, files=FLAT, names=WORDS, count=None, image=None, label=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.csv")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_true_classes(path, files, names, count or len(names), Wanted(image, label))


def table(header, rows, separator=",", end="\n", quoting=csv.QUOTE_MINIMAL):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([*([header] if header else []), *rows])
    return stream.getvalue()


PATHS = {
    "as in the run": str,
    "dot": lambda name: f"./{name}",
    "backslashes": lambda name: name.replace("/", "\\"),
    "absolute": lambda name: f"/data/in/{name}",
    "another root": lambda name: f"C:\\sets\\{name}".replace("/", "\\"),
    "no suffix": lambda name: name.rpartition(".")[0],
    "another case": str.upper,
}
LABELS = {
    "index": ("class_index", lambda i, names: str(i)),
    "float": ("label_id", lambda i, names: f"{i}.0"),
    "name": ("class_name", lambda i, names: names[i]),
    "either, an index": ("label", lambda i, names: str(i)),
    "either, a name": ("class", lambda i, names: names[i]),
    "underscores": ("target", lambda i, names: names[i].upper().replace(" ", "_")),
}


@st.composite
def encodings(draw, names):
    """A labelling, and a table of it: (class of each image, text)."""
    truth = draw(st.lists(st.sampled_from(range(len(names))), min_size=len(FILES), max_size=len(FILES)))
    path, (title, label) = draw(st.sampled_from(list(PATHS.values()))), draw(st.sampled_from(list(LABELS.values())))
    columns = {draw(st.sampled_from(["image", "Filename", "ImageId", "img_path"])): [path(name) for name in RUN]}
    if draw(st.booleans()):
        columns = {title: [label(i, names) for i in truth], **columns}
    elif draw(st.booleans()):
        columns |= {name: [str(int(i == place)) for i in truth] for place, name in enumerate(names)}
    else:
        columns |= {title: [label(i, names) for i in truth]}
    if draw(st.booleans()):
        columns = {
            draw(st.sampled_from(["", "index", "Unnamed: 0", "id"])): [str(i) for i in range(len(FILES))],
            **columns,
        }
    if draw(st.booleans()):
        columns["width"] = ["224"] * len(FILES)
    if draw(st.booleans()) and "width" in columns and any(name in columns for name in names):
        del columns["width"]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    text = table(
        list(columns), rows, draw(st.sampled_from(SEPARATORS)), draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )  # fmt: skip
    if draw(st.booleans()):
        text = "# made by hand\n" + text
    encoded = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))
    return truth, encoded, columns


@settings(deadline=None, max_examples=150)
@given(encodings(WORDS))
def test_every_encoding_of_a_labelling_is_read_alike(drawn):
    truth, text, columns = drawn
    one_hot = "width" in columns and any(name in columns for name in WORDS)
    try:
        found = read(text, FILES)
    except UsageError:
        assert one_hot  # a further column of numbers
        return
    assert dict(found.classes) == dict(zip(RUN, truth, strict=True))
    assert f"{len(FILES)} of {len(FILES)} images" in found.note


@settings(deadline=None, max_examples=150)
@given(encodings(DIGITS))
def test_names_that_are_numbers_are_read_rightly_or_not_at_all(drawn):
    truth, text, columns = drawn
    try:
        found = read(text, FILES, DIGITS)
    except UsageError:
        assert not {"class_index", "class_name", "label_id"} & {*columns}  # the title says which
        return
    assert dict(found.classes) == dict(zip(RUN, truth, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "a.png,cat\nb.png,dog\n", "a.png;cat\nb.png;dog\n", "a.png cat\nb.png dog\n", "a.png 0\nb.png 1\n",
        "sep=;\nimage;label\na.png;cat\nb.png;dog\n", "# image label\na.png cat\nb.png dog\n",
        "photo,kind\na.png,cat\nb.png,dog\n",
        "id,breed\na,cat\nb,dog\n", "cat,a.png\ndog,b.png\n", "a.png,0,cat\nb.png,1,dog\n",
        "image,class\na.png,cat\nb.png,dog\nc.png,\n", "image,class\na.png,0.0\nb.png,1.0\nc.png,nan\n",
        "image,label\na.png,cat\nz.png,frog\nb.png,dog\na.png,cat\n", "image,class\nval/a.png,cat\nval/b.png,dog\n",
        "index,image,class\n0,a.png,cat\n1,b.png,dog\n0,c.png,\n", "image,category,class_index\na.png,pet,0\nb.png,dog,1\n",
        "image,label,label_name,predicted,predicted_name\na.png,0,cat,2,frog\nb.png,1,dog,2,frog\n",
        'image,caption,class\na.png,"a, b\nc",cat\nb.png,x,dog\n',
    ],
)  # fmt: skip
def test_tables_as_people_have_them(text):
    assert dict(read(text).classes) == {"a.png": 0, "b.png": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label,class\na.png,0,cat\nb.png,1,frog\n", "'label' and 'class' name different classes"),
        ("index,image,class\n1,a.png,cat\n1,b.png,cat\n0,c.png,dog\n", "--label-column index or --label-column class"),
        ("image,index\na.png,0\nb.png,1\nc.png,2\n", "numbers the rows"),
        ("index,class\n0,cat\n1,dog\n", "needs a column of images"),
        ("image,class\na.png,1\nb.png,2\nc.png,4\n", "if they count from 1, subtract 1"),
        ("image,class\na.png,cat\n./a.png,dog\n", "two labels"),
        ("image,class\nx/a.png,cat\ny/a.png,dog\n", "two labels"),
        ("image,file,class\na.png,b.png,cat\nb.png,a.png,dog\n", "--image-column image"),
        ("photo,kind\na.png,1\nb.png,0\n", "--label-column kind"),
        ("photo,kind,age\na.png,cat,1\nb.png,dog,0\n", "--label-column kind"),
        ("image,label\na.png,cat, dog\n", "needs quotes"),
        ("image,cat,dog\na.png,1,1\n", "several classes"),
        ("image,cat,bird\na.png,1,0\nb.png,0,1\n", "not all are called as the model's classes"),
        ("image,class\na.png,nan\n", "none of the images has a label"),
        ("image,class_index\na.png,1.5\n", "integer"),
        ("image,class\nz.png,cat\n", "none of the images"),
        ("image,room,class\nz.png,a,cat\n", "none of the images"),
        ("image\na.png\n", "needs a column"),
        ("", "needs a column"),
        ('{"a.png": 0, "b.png": 1}', "not a table"),
        (b"PK\x03\x04 a workbook", "Save it as CSV"),
        (b"\x00\x01\x02", "no text"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read(text)


def test_a_name_of_two_classes_is_refused_unless_an_index_says_which():
    names = ("crane", "crane", "dog")
    with pytest.raises(UsageError, match=r"indices \[0, 1\]"):
        read("image,class\na.png,crane\n", names=names)
    assert read("image,label,label_name\na.png,1,crane\n", names=names).classes == {"a.png": 1}


def test_a_column_of_digits_is_read_as_the_user_says():
    text = "image,class\na.png,10\nb.png,2\n"
    names = tuple(sorted(map(str, range(1, 13))))  # 12 classes: 1, 10, 11, 12, 2, …
    with pytest.raises(UsageError, match="index:class or --label-column name:class"):
        read(text, names=names)
    assert read(text, names=names, label="name:class").classes == {"a.png": 1, "b.png": 4}
    assert read(text, names=names, label="index:class").classes == {"a.png": 10, "b.png": 2}
    assert read("a.png,10\nb.png,2\n", names=names, label="name:2").classes == {"a.png": 1, "b.png": 4}
    assert read(text + "c.png,12\n", names=names).classes["a.png"] == 1  # no class has the index 12
    assert read(text + "c.png,0\n", names=names).classes["a.png"] == 10  # and none the name 0
    with pytest.raises(UsageError, match="no such column"):
        read(text, names=names, label="klass")


def test_indices_that_may_count_from_1_are_told():
    assert "see that they do not count from 1" in read("image,class\na.png,1\nb.png,2\nc.png,3\n").note
    assert "count from 1" not in read("image,class\na.png,1\nb.png,0\nc.png,3\n").note


def test_what_fits_is_counted_and_named():
    note = read("image,class\na.png,cat\nz.png,dog\nb.png,nan\n").note
    assert "1 of 3 images have a label (not b.png, c.png); 1 row has no class; 1 row fits no image (z.png)" in note
    assert "without suffixes" in read("image,class\na,cat\n").note
    assert "names alone" in read("image,class\nx/a.png,cat\n").note


def test_images_of_one_name_need_their_folders():
    with pytest.raises(UsageError, match="several images are called so"):
        read("image,class\n1.png,cat\n", FILES)
    assert read("image,class\ncat/1.png,cat\n2,dog\n", FILES).classes == {"cat/1.png": 0, "dog/2.JPEG": 1}
    assert ImageNames(FILES).fit("frog/2.JPEG") is None


def test_names_with_odd_bytes_and_marks_are_found():
    files = [
        Path("/in/caf\udce9.png"),
        Path("/in/b\\c.png"),
        Path("/in/e\u0301.png"),
        Path("/in/#1.png"),
        Path("/in/=1.png"),
    ]
    text = b"image,class\ncaf\xe9.png,cat\nb\\c.png,dog\n\xc3\xa9.png,frog\n#1.png,cat\n'=1.png,cat\n"
    found = read(text, files)
    assert list(found.classes.values()) == [0, 1, 2, 0, 0]


class Brightest(nn.Module):
    """Seven classes by where the picture is brightest."""

    def forward(self, x):
        return 9 * nn.functional.adaptive_avg_pool2d(x.mean(1), (1, 7)).flatten(1)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Pictures of each of seven classes, and the network that tells them apart."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for i in range(7):
        pixels = np.full((28, 28, 3), 20, np.uint8)
        pixels[:, 4 * i : 4 * i + 4] = 230
        Image.fromarray(pixels).save(f"in/p{i}.png")
    Path("names.json").write_text(json.dumps({name: i for i, name in enumerate(DIGITS)}))
    return {
        "model": Brightest(), "resize": 28, "crop": 28, "mean": 0, "std": 1, "method": "gradient", "metric": "sparseness",
        "class_names": "names.json", "pictures": False, "overwrite": True, "device": "cpu", "labels": "labels.csv",
    }  # fmt: skip


@pytest.mark.parametrize("title", ["class_name", "index,class_name", "class_index"])
def test_the_accuracy_of_a_network_that_is_right_is_1(pictures, title):
    value = (lambda i: DIGITS[i]) if "name" in title else str
    lines = [f"{f'{i % 4},' if title.startswith('index') else ''}{value(i)},p{i}.png" for i in range(7)]
    Path("labels.csv").write_text("\n".join([f"{title},image", *lines]))
    found = evaluate("in", out="out", **pictures)
    accuracy = next(row for row in found.model.summary if row["metric"] == "accuracy")
    assert (accuracy["mean"], accuracy["n"]) == (1.0, 7)


def test_a_table_that_cannot_be_read_stops_the_run_before_it_begins(pictures):
    Path("labels.csv").write_text("image,class\np0.png,1\np1.png,2\n")
    with pytest.raises(UsageError, match="can be read as indices and as names"):
        evaluate("in", out="out", **pictures)
    assert not Path("out").exists()
    found = evaluate("in", out="out", label_column="name:class", **pictures)
    assert [row["label"] for row in found.model.rows] == [0, 4]
    with pytest.raises(UsageError, match="--labels FILE"):
        evaluate("in", out="other", label_column="class", **{**pictures, "labels": None})


def test_the_models_own_table_is_a_table_of_labels(pictures):
    Path("labels.csv").write_text("image,class_name\n" + "".join(f"p{i}.png,{DIGITS[i - 1]}\n" for i in range(7)))
    first = evaluate("in", out="out", **pictures)
    again = evaluate("in", out="again", **{**pictures, "labels": "out/model.csv"})
    assert torch.equal(*(torch.tensor([row["label"] for row in one.model.rows]) for one in (first, again)))
