import pytest
import torch

from sigcli.attribution.decoding import run_names
from sigcli.attribution.select import choose_methods, choose_metrics, split_settings
from sigcli.attribution.targets import parse_target
from sigcli.errors import UsageError
from sigcli.methods import METHODS
from sigcli.methods.presets import PRESETS
from sigcli.metrics import METRICS
from sigcli.models.device import choose_device


def test_options_reach_the_methods_that_have_them():
    chosen = choose_methods("sig,ig", {"samples": "64", "ig.steps": "9", "steps": "2"})
    assert [dict(c.options) for c in chosen] == [{"samples": 64, "steps": 2}, {"steps": 9}]
    assert chosen[0].resolved()["form"] == "to-input"
    assert choose_methods(["ig"], {"steps": 5})[0].options == {"steps": 5}


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("sgi", {}, "Did you mean 'sig'"),
        ("", {}, "no method"),
        ("ig,ig", {}, "twice"),
        ("ig", {"stesp": "5"}, "Did you mean 'steps'"),
        ("ig", {"samples": "5"}, "ig has no option samples(.|\n)*Allowed: .*steps. These methods have it: sig, "),
        (
            "gradient",
            {"players": "grid:4"},
            "gradient has no option players(.|\n)*These methods have it: sig, sig-walk",
        ),
        ("gradient,ig", {"players": "grid:4"}, "gradient, ig have no option players"),
        ("ig", {"sig.samples": "5"}, "not among those chosen"),
        ("sig,ig", {"ig.samples": "5"}, "ig has no option samples"),
        ("ig", {"steps": "many"}, "an integer"),
        ("ig", {"steps": 2.5}, "wrong type"),
        ("sig", {"normalise": "maybe"}, "true or false"),
        ("sig", {"form": "to_input"}, "Did you mean 'to-input'"),
    ],
)
def test_faults_are_told(method, settings, message):
    with pytest.raises(UsageError, match=message):
        choose_methods(method, settings)


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [("ig", {}, False), ("ig", {"baseline": "mean"}, True), ("eg", {}, True), ("eg", {"baselines": "uniform"}, False),
     ("sig", {"baseline": "random"}, True)],
)  # fmt: skip
def test_what_depends_on_the_other_images(method, settings, expected):
    assert choose_methods(method, settings)[0].uses_peers is expected


def test_a_method_stands_beside_itself_under_another_name():
    chosen = choose_methods("black=ig,mean=ig,sig", {"black.baseline": "black", "mean.baseline": "mean", "steps": "3"})
    assert [(c.name, c.entry.name, dict(c.options)) for c in chosen] == [
        ("black", "ig", {"steps": 3, "baseline": "black"}), ("mean", "ig", {"steps": 3, "baseline": "mean"}),
        ("sig", "sig", {"steps": 3}),
    ]  # fmt: skip
    for bad, message in (("sig=ig", "already the name"), ("a/b=ig", "cannot be the name"), ("a=ig,A=eg", "twice"),
                         ("a=gi", "unknown method")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            choose_methods(bad, {})
    with pytest.raises(UsageError, match="not among those chosen"):
        choose_methods("black=ig", {"ig.steps": "3"})
    one, three = choose_metrics("p0=iaccuracy,p3=iaccuracy", None, {"p3.patch": "3"})
    assert (one.name, dict(one.options), three.name, dict(three.options)) == ("p0", {}, "p3", {"patch": 3})


def test_a_preset_comes_after_what_is_set():
    one, other, plain = choose_methods("sig,mine=sig,eg", {"mine.players": "grid:7x7", "mine.samples": "3"}, "paper")
    assert (one.options["players"], one.options["steps"], one.options["form"]) == ("80x80", 50, "to-input")
    assert (other.options["players"], other.options["samples"], other.options["steps"]) == ("grid:7x7", 3, 50)
    assert not plain.options
    with pytest.raises(UsageError, match="Did you mean 'paper'"):
        choose_methods("sig", {}, "papr")
    with pytest.raises(UsageError, match="no settings for these methods"):
        choose_methods("eg", {}, "paper")
    for _, methods in PRESETS.values():
        for name, options in methods.items():
            assert set(options) <= set(METHODS[name].options())


def test_targets():
    labels = ["cat", "Dog", "crane", "crane"]
    assert parse_target("dog", labels, 4) == 1
    assert parse_target("top:3", labels, 4) == ("top", 3)
    assert parse_target(2, None, 4) == 2
    for bad, message in (("4", "out of range"), ("-1", "out of range"), ("top:5", "K from 1 to 4"), ("top:0", "K from"),
                         ("cta", "Did you mean 'cat'"), ("crane", "several classes")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            parse_target(bad, labels, 4)
    with pytest.raises(UsageError, match="--class-names"):
        parse_target("cat", None, 4)


def test_devices():
    assert choose_device("cpu") == "cpu"
    mps = "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else mps)
    for bad in ("gpu", "cuda:99", "cpu:1"):
        with pytest.raises(UsageError):
            choose_device(bad)


def test_names_are_unique_and_safe(tmp_path):
    paths = [tmp_path / n for n in ("a/x.jpg", "a/x.png", "b/x.jpg", "manifest.json.jpg", "manifest.jpg")]
    names = run_names(paths)
    folders = [folder for _, folder in names]
    assert len({f.casefold() for f in folders}) == len(folders)
    assert names[0][0] == "a/x.jpg"
    assert not {"manifest.json", "results.csv"} & set(folders)


@pytest.mark.parametrize("catalog", [METHODS, METRICS])
def test_names_of_other_tools_find_their_entry(catalog):
    aliases = {alias: entry for entry in catalog.values() for alias in entry.aliases}
    assert len(aliases) > 3
    for alias, entry in aliases.items():
        assert alias in catalog
        assert alias not in list(catalog)
        assert catalog[alias] is entry


def test_results_bear_the_name_of_the_catalogue():
    (one,) = choose_methods("integrated-gradients", {"integrated-gradients.steps": "3"})
    assert (one.name, one.options) == ("ig", {"steps": 3})
    (own,) = choose_methods("saliency=gradient", {})
    assert own.name == "gradient"  # the same method, not a name of one's own
    with pytest.raises(UsageError, match="already the name of a method"):
        choose_methods("saliency=ig", {})
    with pytest.raises(UsageError, match="given twice"):
        choose_methods("saliency,gradient", {})


def test_settings_of_a_metric_go_to_it_under_every_name():
    methods, metrics = split_settings({"pixel-flipping.steps": "4", "steps": "9"}, "pixel-flipping")
    assert (methods, metrics) == ({"steps": "9"}, {"pixel-flipping.steps": "4"})
    (one,) = choose_metrics("pixel-flipping", None, metrics)
    assert (one.name, one.options) == ("morf", {"steps": 4})
