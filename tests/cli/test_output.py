"""What commands say of themselves: folders, options that are elsewhere, names of other packages, progress."""

import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.attribution.explanation import Explanation
from sigcli.attribution.options import ExplainOptions
from sigcli.attribution.select import choose_methods, choose_metrics
from sigcli.attribution.session import DEFAULT_OUT
from sigcli.baselines import BASELINES
from sigcli.cli.explain import _lines
from sigcli.cli.main import app
from sigcli.cli.progress import _Plan
from sigcli.errors import ModelError, UsageError
from sigcli.evaluation.options import BenchmarkOptions, EvaluateOptions
from sigcli.gridworld import run as gridworld
from sigcli.gridworld.options import GridworldOptions
from sigcli.methods import METHODS
from sigcli.methods.costs import planned
from sigcli.metrics import METRICS
from sigcli.models.loading import source_of
from sigcli.options import table
from sigcli.scenarios import SCENARIOS
from sigcli.scenarios.scenario import Scenario
from sigcli.training import train
from sigcli.training.options import TrainOptions

from repository import ROOT

COMMANDS = [
    (ExplainOptions, DEFAULT_OUT), (EvaluateOptions, DEFAULT_OUT), (BenchmarkOptions, DEFAULT_OUT),
    (GridworldOptions, gridworld.DEFAULT_OUT), (TrainOptions, train.DEFAULT_OUT),
]  # fmt: skip


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.mark.parametrize(("options", "folder"), COMMANDS)
def test_help_names_the_folder_that_is_used(options, folder):
    assert table(options)["out"][0].help.startswith(f"Run folder; by default {folder}, or the next free {folder}-N.")


def test_the_same_failure_of_several_methods_is_told_once():
    def failed(image, method, text="it is truncated"):
        return Explanation(image, method, status="failed", error=text)

    told = [failed("a.png", "ig"), failed("a.png", "sig"), failed("b.png", "ig"), failed("a.png", "sig", "no layer")]
    told += [failed("a.png", "sig"), *(Explanation(f"{name}.png", "ig", note="noisy") for name in "cd")]
    assert [line for line, _ in _lines(told)] == [
        "failed: a.png (ig, sig): it is truncated",
        "failed: b.png ig: it is truncated",
        "failed: a.png sig: no layer",
        "note: c.png and 1 more, ig: noisy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("method", "saliency,saliency", "saliency is called gradient here. To run it twice"),
        ("method", "saliency,gradient", "saliency is called gradient here. To run it twice"),
        ("method", "ig,mine=gradient,mine=ig", "To run it twice"),
        ("metric", "pixel-flipping,pixel-flipping", "pixel-flipping is called morf here. To run it twice"),
    ],
)
def test_what_is_given_twice_is_shown_as_typed(kind, given, told):
    choose = choose_methods if kind == "method" else lambda names, settings: choose_metrics(names, None, settings)
    with pytest.raises(UsageError, match=f"the same {kind} was given twice") as error:
        choose(given, {})
    assert error.value.given == given
    assert str(error.value).partition("\n")[2].startswith(told)


def test_an_option_that_a_method_has_not_is_told_under_the_name_that_was_typed():
    with pytest.raises(UsageError, match="unknown option of saliency"):
        choose_methods("saliency", {"stps": "3"})


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "star.png", "--method", "sgi"], ["explain", "none.png"], ["explain", "star.png", "--cmap", "jet"],
        ["evaluate", "star.png", "--metric", "delettion"], ["explain", "--method", "sgi"],
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_first_and_alone(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("star.png")
    done = sig(*words)
    assert (done.exit_code, done.stderr.startswith("error: ")) == (2, True)
    assert len(done.stderr.splitlines()) <= 2
    assert "given: using" not in done.stderr
    assert "No images given" not in done.stderr


def test_every_command_that_explains_says_which_model_it_took(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32), "red").save("star.png")
    told, rest = "note: no --model given: the bundled 'shapes'", ["--method", "gradient", "--device", "cpu"]
    assert told in sig("explain", "star.png", *rest, "--out", "a", "--no-pictures").stderr
    measured = ["--metric", "sparseness", "--no-pictures"]
    assert told in sig("evaluate", "star.png", *rest, *measured, "--out", "b").stderr
    assert told not in sig("evaluate", "star.png", "--model", "shapes", *rest, *measured, "--out", "c").stderr
    assert told not in sig("evaluate", "b", "--metric", "entropy", "--no-pictures").stderr  # the run tells its model
    done = sig("explain", "star.png", "--target", "goldfish", *rest, "--out", "d")
    assert done.stderr.startswith("error: unknown target (given: goldfish)")
    assert "No --model given: the bundled 'shapes' is used, which recognises only drawn objects." in done.stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_help_of_a_scenario_names_its_folder(name):
    text = " ".join(sig("benchmark", "scenario", name, "--help").output.replace("│", " ").split())
    free = SCENARIOS[name].load().opened is Scenario.opened  # which takes the next free folder
    assert f"Run folder; by default sig-{name}{f', or the next free sig-{name}-N' if free else ''}." in text
    assert "ENTRY" not in text


def test_nothing_is_installed_from_an_index_that_does_not_have_it():
    texts = [path.read_text() for where in ("sigcli", "docs") for path in (ROOT / where).rglob("*.*")
             if path.suffix in (".py", ".md")]  # fmt: skip
    assert not [text for text in [*texts, (ROOT / "README.md").read_text()] if re.search(r"install\s+\S*sigcli", text)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["explain", "--samples", "64"], "--set samples=64"),
        (["explain", "--samples=64"], "--set samples=64"),
        (["evaluate", "--patch", "2"], "--set iaccuracy.patch=2"),
        (["benchmark", "images", "--steps", "3"], "--set steps=3"),
        (["benchmark", "scenario", "shapes", "--orders", "3"], "--set orders=3"),
    ],
)
def test_options_of_methods_and_metrics_are_told_how_to_be_set(arguments, told):
    done = sig(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr


@pytest.mark.parametrize("arguments", [["explain", "--nonsense", "3"], ["gridworld", "--baseline", "3"]])
def test_other_options_are_refused_as_ever(arguments):
    done = sig(*arguments)
    assert done.exit_code == 2
    assert "--set" not in done.stderr


@pytest.mark.parametrize("catalog", [METHODS, METRICS, BASELINES])
def test_what_is_called_otherwise_elsewhere_leads_to_an_entry(catalog):
    for other, here in catalog.near.items():
        assert here in catalog
        with pytest.raises(UsageError, match=re.escape(f"The nearest is '{here}'")):
            catalog[other]
    for entry in catalog.values():
        for alias in entry.aliases:
            assert catalog[alias.upper().replace("-", "_")] is entry


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Saliency", "gradient"), ("IntegratedGradients", "ig"), ("GradientShap", "gradient-shap"),
        ("SmoothGrad", "smoothgrad"),
        ("GuidedBackprop", "guided-backprop"), ("Deconvolution", "deconvolution"), ("InputXGradient", "input-x-gradient"),
        ("GradCAM", "gradcam"), ("DeepLift", "deeplift"), ("DeepLiftShap", "deepshap"), ("FeatureAblation", "occlusion"),
        ("KernelShap", "kernelshap"), ("ShapleyValueSampling", "shapley-sampling"), ("LRP", "lrp"),
        ("DeconvNet", "deconvolution"), ("GradientInput", "input-x-gradient"), ("GuidedGradCam", "guided-gradcam"),
        ("LayerGradCam", "gradcam"),
    ],
)  # fmt: skip
def test_names_of_captum_and_others_are_taken_and_told(typed, name):
    (one,) = choose_methods(typed, {})
    assert one.name == name
    assert one.note == f"{typed} is called {name} here"
    (own,) = choose_methods(name, {})
    assert own.note == ""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("salency", "'gradient' (for saliency)"),
        ("sgi", "'sig'"),
        ("GradCAM+", "'gradcam++'"),
        ("sobl", "'rise' (for sobol)"),
    ],
)
def test_misspelt_names_lead_to_the_method_that_is_meant(typed, told):
    with pytest.raises(UsageError) as error:
        choose_methods(typed, {})
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["yolov8n", "unet", "r3d_18", "raft_small", "quantized_resnet18"])
def test_models_of_another_kind_are_told_apart(name):
    with pytest.raises(ModelError, match="no model of that name can be loaded: it"):
        source_of(name)


def test_a_plan_follows_what_maps_cost():
    plan = _Plan({"sig": 256, "rise": 100}, 6)
    assert plan.total == 3 * 356
    plan.note(Explanation("a", "rise", forward_evaluations=90))
    assert plan.total == 3 * 256 + 3 * 90
    plan.note(Explanation("a", "sig", gradient_evaluations=256, resumed=True))  # made before
    assert plan.total == 2 * 256 + 3 * 90
    plan.note(Explanation("b", "sig", status="failed"))
    assert plan.total == 256 + 3 * 90
    plan.note(Explanation("c", ""))  # could not be read, by no method
    assert plan.total == 256 + 3 * 90
    assert _Plan({"lime": None}, 2).total is None


def test_what_cannot_be_told_is_not_planned():
    assert planned(METHODS["occlusion"], {"players": "superpixels:50"}) is None
    assert planned(METHODS["occlusion"], {"players": "16x16"}) is None
    assert planned(METHODS["occlusion"], {"players": "16x16"}, (224, 220)) == 14 * 14 + 1
    assert planned(METHODS["low-order-shap"], {"players": "grid:30x30"}) is None
