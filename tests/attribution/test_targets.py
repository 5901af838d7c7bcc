"""What a target means: an int is an index; a text is an index or a name, and refused where it is both and they differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sigcli import explain
from sigcli.attribution.targets import ClassNames, parse_target, spelled
from sigcli.attribution.wanted_boxes import parse_boxes
from sigcli.attribution.wanted_regions import parse_regions
from sigcli.errors import UsageError

DIGITS = sorted(map(str, range(1, 13)))  # as ImageFolder sorts them: 1, 10, 11, 12, 2, …
NAMES = st.lists(
    st.sampled_from([*map(str, range(8)), "cat", "Cat", "great_white shark", "a, b", "top"]), min_size=1, max_size=8
)


@given(NAMES, st.sampled_from([*map(str, range(-1, 9)), "cat", "Great White Shark", "b", "top"]))
def test_a_text_means_the_only_class_that_it_can_mean(names, text):
    """Against the definition: all readings of the text, one by one."""
    readings = {int(text)} & {*range(len(names))} if text.lstrip("-").isdigit() else set()
    for same in (str.__eq__, lambda a, b: a.casefold().replace("_", " ") == b.casefold().replace("_", " ")):
        named = {i for i, name in enumerate(names) if same(name, text)}
        if named:
            break
    named = named or {i for i, name in enumerate(names) if text in name.split(", ")}
    if text == "top":
        assert parse_target(text, names, len(names), default=True) == ("top", 1)
        if not named:
            assert parse_target(text, names, len(names)) == ("top", 1)
            return
        readings |= {-1}  # the highest score
    if len(readings | named) == 1:
        assert parse_target(text, names, len(names)) == (readings | named).pop()
    else:
        with pytest.raises(UsageError):
            parse_target(text, names, len(names))


@given(NAMES, st.integers(-2, 9))
def test_an_int_and_index_are_always_the_index(names, index):
    for target in (index, f"index:{index}"):
        if 0 <= index < len(names):
            assert parse_target(target, names, len(names)) == index
        else:
            with pytest.raises(UsageError, match="out of range"):
                parse_target(target, names, len(names))


def test_a_number_that_is_also_a_name():
    with pytest.raises(UsageError, match=r"the class named '8' and the name of class 1(.|\n)*index:10 or name:10"):
        parse_target("10", DIGITS, 12)
    assert [parse_target(one, DIGITS, 12) for one in ("index:10", "name:10", 10)] == [10, 1, 10]
    assert parse_target("12", DIGITS, 12) == 3  # beyond the last index, so it is the name
    assert parse_target("0", DIGITS, 12) == 0  # no class is called so
    assert parse_target("3", [str(i) for i in range(10)], 10) == 3  # both readings agree
    assert parse_target("3", None, 10) == 3
    with pytest.raises(UsageError, match="out of range"):
        parse_target("99", DIGITS, 12)


@pytest.mark.parametrize("bad", ["index:x", "index:", "index:1.0", "name:", "name:cow", "star,hart"])
def test_prefixes_need_what_they_say(bad):
    with pytest.raises(UsageError):
        parse_target(bad, ["star", "heart"], 2)


def test_names_of_several_classes_name_their_indices():
    with pytest.raises(UsageError, match=r"index:1 \(crane\), index:3 \(crane\)"):
        parse_target("name:crane", ["dog", "crane", "cat", "crane"], 4)
    assert parse_target("Cat", ["cat", "Cat"], 2) == 1  # exactly is more than but for case
    assert ClassNames(["tench, Tinca tinca", "crane", "crane, bird"]).find("tinca TINCA") == [0]
    assert ClassNames(["missile", "projectile, missile"]).find("projectile, missile") == [1]


def test_a_manifest_tells_a_name_from_an_index():
    assert [spelled(one, DIGITS, 12) for one in (10, "12", "index:10", "name:10", "top:2")] == [
        "10", "name:12", "index:10", "name:10", "top:2",
    ]  # fmt: skip


def test_integers_of_numpy_are_targets_and_nothing_else_is(tmp_path):
    image_file = tmp_path / "a.png"
    Image.new("RGB", (40, 40), "red").save(image_file)
    options = {"method": "gradient", "write": False, "device": "cpu"}
    (one,) = explain(image_file, target=np.int64(2), **options)
    (other,) = explain(image_file, target="index:2", **options)
    assert one.target == other.target == 2
    for wrong in (True, [2], 2.0, None, np.float32(2), np.array([2, 3])):
        with pytest.raises(UsageError, match="target"):
            explain(image_file, target=wrong, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("star@3", r"only a segmentation network has(.|\n)*--target star\."),
        ("stra@3", r"only a segmentation network has(.|\n)*--target CLASS\."),
        ("star:2", r"only a detection network finds(.|\n)*--target star\."),
        ("1:2", r"only a detection network finds(.|\n)*--target 1\."),
    ],
)
@pytest.mark.parametrize("labels", [["ring", "star"], ["star, asterisk", "ring"]])
def test_regions_and_boxes_are_told_from_unknown_names(labels, text, message):
    with pytest.raises(UsageError, match=message):
        parse_target(text, labels, 2)


def test_classes_that_are_written_like_regions_and_boxes_stay_classes():
    assert parse_target("user@host", ["user@host", "ratio 1:2"], 2) == 0
    assert parse_target("ratio 1:2", ["user@host", "ratio 1:2"], 2) == 1
    with pytest.raises(UsageError, match=r"unknown target(.|\n)*Did you mean 'user@host'"):
        parse_target("user@hots", ["user@host", "ratio 1:2"], 2)


def test_synonyms_stand_in_brackets():
    with pytest.raises(UsageError) as told:
        parse_target("Tinca", ["ring", "tench, Tinca tinca"], 2)
    assert str(told.value).endswith("Allowed: ring, tench (Tinca tinca). Did you mean 'tench'?")


@pytest.mark.parametrize(
    ("parse", "text", "other"),
    [
        (parse_regions, "cat:1", "only a detection network finds"),
        (parse_boxes, "cat@3,3", "only a segmentation network has"),
        (parse_target, "cat:1", "only a detection network finds"),
    ],
)
def test_a_target_of_another_kind_of_network_is_told_with_what_any_network_takes(parse, text, other):
    names = ["hen", "cat"]
    with pytest.raises(UsageError, match=rf"{other}(.|\n)*Name a class alone: --target cat\.") as refused:
        parse(text, names, 2)
    assert "whole image" not in str(refused.value)
