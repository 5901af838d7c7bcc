"""Files of class names: the same names under every form in which they are spread, or a refusal; never others."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcli.errors import ModelError
from sigcli.models.labels import read_labels, read_names

WORDS = ("tench, Tinca tinca", "goldfish", "hen's egg", "crane", "crane", "2 door car")
DIGITS = tuple(sorted(map(str, range(1, 13))))  # as ImageFolder sorts them: 1, 10, 11, 12, 2, …
PLAIN = ("cat", "dog", "frog", "horse")
WNIDS = [f"n0{1440764 + i}" for i in range(20)]


def read(text, count):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "names.txt")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_labels(path, count)


def table(rows, separator=","):
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def shuffled(names, order):
    return [(i, names[i]) for i in order]


FORMS = {
    "lines": lambda names, order: "\n".join(names) + "\n",
    "quoted lines": lambda names, order: table([[name] for name in names]),
    "titled lines": lambda names, order: "name\n" + "\n".join(names),
    "index,name": lambda names, order: table(shuffled(names, order)),
    "name,index": lambda names, order: table([(name, i) for i, name in shuffled(names, order)]),
    "titles": lambda names, order: table([("index", "name"), *shuffled(names, order)]),
    "titles, other way": lambda names, order: table(
        [("class_name", "id"), *((n, i) for i, n in shuffled(names, order))]
    ),
    "semicolons": lambda names, order: table([("index", "label"), *shuffled(names, order)], ";"),
    "tabs": lambda names, order: table(shuffled(names, order), "\t"),
    "pandas": lambda names, order: table([("", "label"), *enumerate(names)]),
    "wnids, titles": lambda names, order: table(
        [("id", "wnid", "name"), *((i, WNIDS[i], n) for i, n in shuffled(names, order))]
    ),
    "synset_words": lambda names, order: "\n".join(f"{WNIDS[i]} {name}" for i, name in enumerate(names)),
    "JSON list": lambda names, order: json.dumps(list(names)),
    "JSON index": lambda names, order: json.dumps({str(i): name for i, name in shuffled(names, order)}),
    "JSON wnids": lambda names, order: json.dumps({str(i): [WNIDS[i], name] for i, name in shuffled(names, order)}),
    "JSON config": lambda names, order: json.dumps({"id2label": {str(i): n for i, n in shuffled(names, order)}}),
    "JSON records": lambda names, order: json.dumps([{"id": i, "name": name} for i, name in shuffled(names, order)]),
    "Python dict": lambda names, order: "{" + ",\n ".join(f"{i}: {n!r}" for i, n in shuffled(names, order)) + "}",
    "Python list": lambda names, order: f"classes = {list(names)}",
    "YAML": lambda names, order: "\n".join(f"{i}: {name}" for i, name in shuffled(names, order)),
    "data.yaml": lambda names, order: "nc: 9\nnames:\n" + "\n".join(f"  {i}: {n}" for i, n in shuffled(names, order)),
}
UNIQUE = {
    "JSON name": lambda names, order: json.dumps({name: i for i, name in shuffled(names, order)}),
    "Python name": lambda names, order: str({name: i for i, name in shuffled(names, order)}),
    "spaces": lambda names, order: "\n".join(f"{i} {name}" for i, name in shuffled(names, order)),
}


@settings(deadline=None, max_examples=200)
@given(st.data(), st.sampled_from([WORDS, DIGITS, PLAIN]))
def test_every_form_gives_the_same_names(data, names):
    forms = FORMS if names is WORDS else FORMS | UNIQUE
    form = data.draw(st.sampled_from(sorted(forms)))
    order = data.draw(st.permutations(range(len(names))))
    text = forms[form](names, order)
    text += data.draw(st.sampled_from(["", "\n", "\n\n \n"]))
    if not form.startswith("JSON") and data.draw(st.booleans()):
        text = "# made by hand\n" + text
    if data.draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    assert read(text.encode(data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))), len(names)) == names


@settings(deadline=None, max_examples=100)
@given(st.data(), st.sampled_from([WORDS, DIGITS, PLAIN]))
def test_a_name_too_few_or_too_many_is_refused(data, names):
    form = data.draw(st.sampled_from(sorted(FORMS)))
    text = FORMS[form](names, range(len(names)))
    for count in (len(names) - 1, len(names) + 1, 1000):
        with pytest.raises(ModelError, match=r"label|class"):
            read(text, count)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,a\n2,b\n3,c\n", ("a", "b", "c")), ("1 a\n2 b\n3 c\n", ("a", "b", "c")), ("1,0\n10,1\n2,2\n", ("1", "10", "2")),
        ('{"1": 0, "10": 1, "2": 2}', ("1", "10", "2")), ("[7, 3, 0]", ("7", "3", "0")),
        ("#a\n#b\n#c\n", ("#a", "#b", "#c")),
        ("a\n\nb\nc\n\n", ("a", "b", "c")), ("class 0\nclass 1\nclass 2\n", ("class 0", "class 1", "class 2")),
        ("0,tench, Tinca\n1,b\n2,c\n", ("tench, Tinca", "b", "c")), ("cat: 2\ndog: 0\nb: 1\n", ("dog", "b", "cat")),
        ("'a',\n'b',\n'c',\n", ("a", "b", "c")), ("nc: 3\nnames: ['a', 'b', 'c']\n", ("a", "b", "c")),
        ("klass,art\n2,c\n0,a\n1,b\n", ("a", "b", "c")), ("art;nr.\nb;1\na;0\nc;2\n", ("a", "b", "c")),
        ("Black, white\nRed, green\nBlue\n", ("Black, white", "Red, green", "Blue")), ("0. a\n1. b\n2. c", ("a", "b", "c")),
    ],
)  # fmt: skip
def test_files_as_people_have_them(text, names):
    assert read(text, 3) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n1,0\n2,2\n", "either may be the index"), ('{"0": 1, "1": 0, "2": 2}', "either may be the index"),
        ("background\na\nb\nc\n", "The first is 'background'"),
        ("0,__background__\n1,a\n2,b\n3,c\n", "The first is '__backg"),
        ("a\nb\n", "put a line for it first"),
        ("a\n\nc\n", "class 1 has no label"), ('["a", "", "c"]', "class 1 has no label"),
        ('{"0": "a", "0": "b", "1": "c"}', "class 0 has two labels"), ("{0: 'a', 0: 'b', 1: 'c'}", "class 0 has two"),
        ("0,a\n1,b\n3,c\n", "no class 3"), ("{0: 'a', 1: 'b', 5: 'c'}", "no class 5"), ("0: a\n2: b\n2: c\n", "two labels"),
        ("label,class\na,0\nb,2\nc,3\n", "no class 3"), ("klass,art\n0,a\n1,b\n", "2 labels"),
        ("0,a,x\n1,b,x\n2,c,x\n", "several columns"),
        ("n01440766 a\nn01440765 b\nn01440764 c\n", "order of their WordNet ids"),
        ("n01440764 2 a\nn01440765 1 b\nn01440766 3 c\n", "order of their WordNet ids"), ("[1, [2]]", "another form"),
        ("{'a': [], 'b': {}}", "another form"), ("[print('x'), 'b', 'c']", "neither JSON"),
        ("{0: 'a' 1: 'b'}", "neither JSON"),
        ("café\nb\nc\n".encode("latin-1"), "cannot be read"), (b"PK\x03\x04", "Save it as CSV"),
    ],
)  # fmt: skip
def test_what_does_not_fit_or_has_two_readings_is_refused(text, message):
    with pytest.raises(ModelError, match=message):
        read(text, 3)


def test_a_single_output_has_one_name(tmp_path):
    (tmp_path / "l.txt").write_text("no\nyes\n")
    with pytest.raises(ModelError, match="what it says yes to"):
        read_labels(tmp_path / "l.txt", 1)


def test_a_note_says_how_a_table_was_read(tmp_path):
    path = tmp_path / "l.csv"
    for text, note in (
        ("a\nb\n", None), ("id,name\n1,b\n0,a\n", "names from the column 'name', indices from 'id'"),
        ("1,a\n2,b\n", "counts from 1"), ('{"a": 0, "b": 1}', "JSON, the value is the index"), ("#x\na\nb\n", "1 comments"),
    ):  # fmt: skip
        path.write_text(text)
        assert read_names(path, 2)[0] == ("a", "b")
        (found,) = read_names(path, 2)[1] or (None,)
        assert found == note if note is None else note in found
