"""`--limit` and `--sample`: which images a run takes; `--labels folders`: their classes by folder."""

from pathlib import Path

import pytest

from sigcli.attribution.options import ExplainOptions
from sigcli.attribution.some import some
from sigcli.errors import UsageError
from sigcli.evaluation.label_folders import folder_classes

EVERY = [Path(f"in/{name}/{number}.png") for name in ("cat", "dog") for number in range(20)]


def names(**options):
    return some(EVERY, ExplainOptions(**options))


@pytest.mark.parametrize("count", [1, 7, 39])
def test_a_sample_does_not_depend_on_order_or_place_and_is_part_of_every_larger_one(count):
    found, (note,) = names(sample=count)
    assert len(found) == count
    assert found == [one for one in EVERY if one in set(found)]
    backwards, _ = some(EVERY[::-1], ExplainOptions(sample=count))
    assert set(backwards) == set(found)
    moved, _ = some([Path("/other/place") / one for one in EVERY], ExplainOptions(sample=count))
    assert moved == [Path("/other/place") / one for one in found]
    assert set(found) < set(names(sample=count + 1)[0]) or count == 39
    assert f"{count} of 40 images, drawn with --seed 0" in note


def test_another_seed_draws_others():
    assert names(sample=10)[0] != names(sample=10, seed=1)[0]


def test_every_image_is_drawn_about_as_often():
    drawn = [one for seed in range(400) for one in names(sample=10, seed=seed)[0]]
    assert all(60 < drawn.count(one) < 145 for one in EVERY)  # 100 expected, standard deviation 8.7


def test_a_limit_takes_the_first():
    found, (note,) = names(limit=3)
    assert (found, note) == (EVERY[:3], "--limit 3: the first 3 of 40 images.")
    assert names(limit=40) == names(sample=40) == names() == (EVERY, ())
    for option in ("limit", "sample"):
        assert names(**{option: 41}) == (EVERY, (f"--{option} 41: there are 40 images, and all are taken.",))


@pytest.mark.parametrize("options", [{"limit": 0}, {"sample": -1}, {"limit": 1, "sample": 1}])
def test_what_cannot_be_taken_is_refused(options):
    with pytest.raises(UsageError, match=r"--limit|--sample"):
        names(**options)


def test_classes_are_the_folders_names():
    found = folder_classes([Path("in/cat/1.png"), Path("in/Dog/1.png"), Path("in/odd/2.png")], ["dog", "cat"], 2)
    assert dict(found.classes) == {"cat/1.png": 1, "Dog/1.png": 0}
    assert "2 of 3 images" in found.note
    assert "1 folder is called as none (odd)" in found.note


def test_a_strange_folder_costs_only_its_own_images():
    """One that is called as two classes, none at all, or a number beside names, is told; the others are read."""
    folders = ["crane", "dog", "cat", "2", "odd", "nan"]
    classes = ["crane", "dog", "cat", "crane"]
    found = folder_classes([Path("in") / one / "1.png" for one in folders], classes, 4)
    assert dict(found.classes) == {"dog/1.png": 1, "cat/1.png": 2, "2/1.png": 2}
    assert "3 of 6 images lie in a folder called as a class" in found.note
    assert "2 folders are called as none (nan, odd)" in found.note
    assert "1 folder is called as several classes (crane)" in found.note
    assert "1 folder is read as the index of a class (2)" in found.note


def test_indices_can_be_folders():
    assert dict(folder_classes([Path("in/0/1.png"), Path("in/2/1.png")], None, 3).classes) == {
        "0/1.png": 0,
        "2/1.png": 2,
    }


@pytest.mark.parametrize(
    ("folders", "classes", "told"),
    [
        (["cats"], ["cat", "dog"], "folder 'cats': unknown label(.|\n)*Did you mean 'cat'"),
        (["crane"], ["crane", "crane"], "several classes have this label"),
        (["0", "1"], ["1", "0"], "as indices and as names"),
        (["none"], ["cat"], "no folder is called as a class"),
    ],
)
def test_folders_that_are_no_classes_are_refused(folders, classes, told):
    with pytest.raises(UsageError, match=told):
        folder_classes([Path("in") / one / "1.png" for one in folders], classes, len(classes))
