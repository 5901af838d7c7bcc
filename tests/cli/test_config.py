"""`--config`: options from a file."""

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sigcli.attribution.options import ExplainOptions
from sigcli.cli.config import read_config
from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.evaluation.options import BenchmarkOptions
from sigcli.gridworld.options import GridworldOptions
from sigcli.options import table
from sigcli.scenarios import SCENARIOS
from sigcli.training.options import TrainOptions

from repository import ROOT

STAR = ROOT / "sample_images" / "star.png"


def read(tmp_path, text, kind=ExplainOptions, command="explain", typed=(), name="run.toml"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_config(file, kind, command, typed)


def test_values_come_as_the_command_line_reads_them(tmp_path):
    text = (
        'method = ["sig", "ig"]\nbatch-size = 8\nimage_size = 96\nmean = [0.5, 0.4, 0.3]\ntarget = 3\nuncertainty = true\n'
        'tolerance = 1\nimages = "a.png"\nset = {steps = 4, ig = {rule = "left"}, libragrad = true}\npictures = false\n'
    )
    given, note = read(tmp_path, text)
    assert given == {
        "method": "sig,ig", "batch_size": 8, "image_size": "96", "mean": (0.5, 0.4, 0.3), "target": "3", "uncertainty": True,
        "tolerance": 1.0, "images": ["a.png"], "settings": {"steps": "4", "ig.rule": "left", "libragrad": "true"},
        "pictures": False,
    }  # fmt: skip
    assert note.endswith("method, batch-size, image-size, mean, target, uncertainty, tolerance, images, set, pictures")


def test_the_command_line_comes_before_its_table_and_that_before_the_rest(tmp_path):
    text = "seed = 1\nsmooth = 1.5\n[explain]\nseed = 2\n[evaluate]\nseed = 3\n[benchmark.images]\nseed = 4\n"
    assert read(tmp_path, text)[0] == {"seed": 2, "smooth": 1.5}
    assert read(tmp_path, text, typed=["seed"])[0] == {"smooth": 1.5}
    assert read(tmp_path, text, BenchmarkOptions, "benchmark.images")[0] == {"seed": 4, "smooth": 1.5}


def test_an_option_of_a_table_replaces_the_one_of_the_file_under_its_other_name(tmp_path):
    assert read(tmp_path, 'settings = ["steps=1"]\n[explain]\nset = ["steps=2"]\n')[0] == {"settings": {"steps": "2"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("methd = 'ig'", "methd.*Did you mean 'method'"),
        ("[explain]\nmethd = 'ig'", r"\[explain\].*methd.*Did you mean 'method'"),
        ("seed = 'one'", "seed: the value has the wrong type.*an integer"),
        ("seed = true", "seed: the value has the wrong type.*an integer"),
        ("seed = 1.5", "seed: the value has the wrong type.*an integer"),
        ("uncertainty = 1", "uncertainty: the value has the wrong type.*true or false"),
        ("method = [['ig']]", "method: the value has the wrong type"),
        ("method = 1979-05-27", "method: the value has the wrong type"),
        ("batch-size = 0", "batch-size: --batch-size must be an integer"),
        ("mean = 'a,b'", "mean: --mean needs numbers"),
        ("head = 'softmx'", "value of head.*Did you mean 'softmax'"),
        ("set = 3", "set: the value has the wrong type.*table"),
        ("set = {steps = [1, 2]}", r"set: .*steps = \[1, 2\]"),
        ("set = ['steps']", "set: --set needs NAME=VALUE"),
        ("explain = 3", "explain is no table|unknown option of sig explain"),
        ("batch_size = 1\nbatch-size = 2", "given twice"),
        ("seed = ", "cannot be read"),
        ("write = true", "unknown option of sig explain"),
        ('{"a": 1}', "not the manifest"),
        ("show = true", "--show cannot stand in .*run.toml.*It is typed: --show"),
        ("[explain]\nopen = true", r"--open cannot stand in .*\[explain\].*It is typed: --open"),
        ("json = true", "It is typed: --json"),
        ("[explian]\nseed = 1", "unknown table in .*explian.*Did you mean 'explain'"),
        ("[benchmark.image]\nseed = 1", "unknown table in .*benchmark.image.*Did you mean 'benchmark.images'"),
        ("[benchmark]\nseed = 1", "unknown table in .*benchmark.seed"),
        ("[benchmark.scenario.shpaes]\nseed = 1", "Did you mean 'benchmark.scenario.shapes'"),
        ("[benchmark]\nimages = 1", "benchmark.images is no table"),
        ("[ig]\nsteps = 4", r"no such table.*\[set.ig\]"),
        ("[explain]\n[explain.sparseness]\nnorm = 1", r"no such table.*\[set.sparseness\]"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_key(tmp_path, text, told):
    name = "run.json" if text.startswith("{") else "run.toml"
    with pytest.raises(UsageError) as error:
        read(tmp_path, text, name=name)
    import re

    assert re.search(told, " ".join(str(error.value).split()))
    assert name in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_files_that_are_none(tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    for name in ("missing.toml", "latin", "."):
        with pytest.raises(UsageError, match="of --config"):
            read_config(tmp_path / name, ExplainOptions, "explain", ())


KINDS = [ExplainOptions, BenchmarkOptions, GridworldOptions, TrainOptions]


@pytest.mark.parametrize("kind", [*KINDS, *(entry.options_class for entry in SCENARIOS.values())])
def test_every_default_can_stand_in_a_file(tmp_path, kind):
    """What a command does by itself, it does with its own defaults in a file."""
    plain = {name: one.default for name, (known, one) in table(kind).items()
             if known.command_line and type(one.default) in (str, int, float, bool)}  # fmt: skip
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in plain.items())
    given, _ = read(tmp_path, text, kind, "explain")
    assert given == plain


SPEC = {
    "methods": {"mine": {"method": "ig", "steps": 7, "baseline": "black"}, "gradient": {"method": "gradient"}},
    "target": "index:3", "check": "all", "uncertainty": True, "seed": 4,
}  # fmt: skip
OPTIONS = {"model": "shapes", "weights": None, "image_size": [96, 80], "mean": [0.5], "seed": 4}
MANIFEST = {"spec": SPEC, "options": OPTIONS, "images": ["file:///in/caf%E9.png", "/in/b.png"], "references": None,
            "view": "raw", "signs": "apart", "scale": "own", "cmap": "red-blue"}  # fmt: skip


def test_a_manifest_gives_the_options_of_its_run(tmp_path):
    given, note = read(tmp_path, json.dumps(MANIFEST), name="manifest.json")
    assert given["method"] == "mine=ig,gradient"
    assert given["settings"] == {"mine.steps": "7"}
    assert given["images"] == ["/in/caf\udce9.png", "/in/b.png"]
    assert (given["image_size"], given["mean"], given["target"]) == ("96x80", (0.5,), "index:3")
    assert (given["completeness_check"], given["uncertainty"], given["signs"], given["seed"]) == (
        "all",
        True,
        "apart",
        4,
    )
    assert "not repeated: out, device" in note
    assert "scale" not in note.partition(";")[0]
    assert read(tmp_path, json.dumps(MANIFEST), typed=["seed"], name="manifest.json")[0].keys() == given.keys() - {
        "seed"
    }


def test_another_method_is_typed_than_those_whose_options_the_file_has(tmp_path):
    """`--config manifest.json --method gradient` repeats a run with one of its methods."""
    given, note = read(tmp_path, json.dumps(MANIFEST), typed={"method": "gradient"}, name="manifest.json")
    assert "method" not in given
    assert given["settings"] == {}
    assert note.endswith("; left out, of methods that are not chosen: mine.steps")
    given, _ = read(tmp_path, json.dumps(MANIFEST), typed={"method": "mine=ig"}, name="manifest.json")
    assert given["settings"]["mine.steps"] == "7"
    text = 'method = ["ig", "sig"]\nset = {"ig.steps" = 4, "sig.samples" = 8, samples = 3, "deletion.steps" = 2}\n'
    given, note = read(tmp_path, text, typed={"method": "sig"})
    assert given["settings"] == {"sig.samples": "8", "samples": "3", "deletion.steps": "2"}
    assert "not chosen: ig.steps" in note


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spec": {"learning_rate": 1}}, "cannot repeat this run"),
        ({"options": {**OPTIONS, "model": None}}, "network of a program"),
        ({"spec": {**SPEC, "methods": {"own": {"method": "own", "function": "x"}}}}, "function of a program"),
    ],
)
def test_runs_that_cannot_be_repeated_are_told(tmp_path, change, told):
    with pytest.raises(UsageError, match=told):
        read(tmp_path, json.dumps({**MANIFEST, **change}), name="manifest.json")


def test_a_flag_of_the_file_is_switched_off_by_its_negation(tmp_path):
    (tmp_path / "run.toml").write_text("uncertainty = true\nbare = true\npictures = false\nmethod = 'gradient'\n")
    command = ["explain", str(STAR), "--config", str(tmp_path / "run.toml"), "--json", "--no-uncertainty", "--no-bare"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["spec"]["uncertainty"] is False
    result = CliRunner().invoke(app, [*command, "--uncertainty", "--out", str(tmp_path / "other")])
    assert result.exit_code == 2
    assert "--uncertainty was given twice" in result.stderr


def test_every_flag_of_a_file_has_a_negation():
    """What a file can switch on, the command line can switch off."""
    group = get_command(app)
    context = group.make_context("sig", [], resilient_parsing=True)
    for name in ("explain", "evaluate", "gridworld", "train"):
        flags = [one for one in group.get_command(context, name).params if getattr(one, "is_flag", False)]
        assert flags
        known = {opt for one in flags for opt in (*one.opts, *one.secondary_opts)}
        for one in flags:
            if one.name not in ("as_json", "debug", "opens_page", "help") and not one.opts[0].startswith("--no-"):
                assert f"--no-{one.opts[0].removeprefix('--')}" in known, (name, one.opts)
