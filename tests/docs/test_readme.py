"""Every command and every Python block of README.md and of the pages it is continued on, run as they stand there."""

import re
import shlex
import shutil

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.gridworld import ESTIMATORS
from sigcli.methods import METHODS
from sigcli.metrics import METRICS

from pages import chains, commands
from repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTINUED = ("docs/explain.md", "docs/gridworld.md", "docs/runs.md", "docs/tutorial.md", "docs/which-method.md")
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", *CONTINUED)}
TEXT = "\n".join(PAGES.values())
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning"),
]
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines() if line.strip()]
SIG = [command for command in dict.fromkeys(commands(TEXT)) if command.startswith("sig ")]
CHAINS = chains(SIG)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)
CHEAP = {"samples": 4, "steps": 2, "orders": 2}
CURVES = ("deletion", "insertion", "lerf", "iaccuracy")
_FEW = ["--images", "2", "--device", "cpu", "--no-pictures"]
SCENARIOS = {
    "two-features": ["--method", "ig", "--no-pictures"],
    "shapes": [*_FEW, "--method", "icg,gradient", "--set", "icg.steps=2"],
    "burnt-snacks": [*_FEW, "--steps", "2", "--method", "icg", "--set", "steps=2"],
    "mnist": [*_FEW, "--steps", "2", "--method", "icg", "--set", "steps=2"],
    "mnist-in-space": [*_FEW, "--steps", "2", "--method", "icg", "--set", "steps=2"],
    "local-minimum": [*_FEW, "--steps", "2", "--method", "icg", "--set", "steps=2"],
    "expression": ["--pairs", "2", "--method", "gradient", "--device", "cpu", "--no-pictures"],
}


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A folder as README speaks of it, and torchvision's download replaced by random weights of the right shapes."""
    few = shutil.ignore_patterns(
        "house*", "spiral*", "flower*", "rocket*"
    )  # three drawn ones and three photographs are left
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images", ignore=few)
    (tmp_path / "photos").mkdir()
    for name in ("chelsea", "coffee"):
        source = next((ROOT / "sample_images").glob(f"{name}.*"))
        shutil.copy(source, tmp_path / "photos" / f"{name}.jpg")
    shutil.copy(tmp_path / "photos" / "chelsea.jpg", tmp_path / "photo.jpg")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    torch.jit.trace(net.eval(), torch.rand(1, 3, 96, 96)).save(str(tmp_path / "net.pt"))
    (tmp_path / "mynets.py").write_text(
        "import torch\n\ndef build():\n    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),"
        " torch.nn.Linear(48, 5))\n"
    )
    monkeypatch.setenv("SIG_CACHE", str(tmp_path / "cache"))
    for kind in ("rose", "daisy"):
        (tmp_path / "flowers" / kind).mkdir(parents=True)
        for i in range(5):
            picture = Image.fromarray(np.random.default_rng(i).integers(0, 255, (36, 40, 3), dtype=np.uint8))
            picture.save(tmp_path / "flowers" / kind / f"{i}.jpg")
    (tmp_path / "labels.csv").write_text("image,label\nchelsea.jpg,3\ncoffee.jpg,star\n")
    for name, text in re.findall(r"<!-- file: (.*?) -->\n```python\n(.*?)```", TEXT, re.S):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def downloaded(self, *_, **__):
        name = {"ResNet18_Weights": "resnet18", "SqueezeNet1_1_Weights": "squeezenet1_1"}[type(self).__name__]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same at every call, as a download is
            return torchvision.models.get_model(name, weights=None).state_dict()

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", downloaded)
    return tmp_path


def cheaper(arguments):
    """The same command at a fraction of its cost: numbers after --set stay what they are in name and form."""
    known = {
        "sig": ("samples", "steps"),
        "ig": ("steps",),
        "sig-walk": ("orders",),
        "eg": ("samples",),
        "agn": ("samples",),
        "rise": ("samples",),
        "lime": ("samples",),
    }
    if "--tolerance" in arguments or "--evaluations" in arguments:  # says itself how long it runs
        return [*arguments, "--device", "cpu", "--image-size", "64"]
    named = next((arguments[i + 1] for i, a in enumerate(arguments) if a == "--method"), "sig").split(",")
    extra = [
        f"{one.partition('=')[0]}.{option}={CHEAP[option]}"
        for one in named
        for option in known.get(one.rpartition("=")[2], ())
    ]
    return [*arguments, "--device", "cpu", *(part for text in extra for part in ("--set", text))]


def coarser(arguments):
    """The same measurement with fewer points on its curves."""
    usual = "deletion,insertion" if arguments[:2] == ["benchmark", "methods"] else ""
    measured = next((arguments[i + 1] for i, a in enumerate(arguments) if a == "--metric"), usual).split(",")
    return [*arguments, *(part for metric in CURVES if metric in measured for part in ("--set", f"{metric}.steps=6"))]


def kind_of(command):
    """The command that a line runs: explain, benchmark methods, …"""
    first, second, *_ = [*shlex.split(command)[1:], ""]
    return f"{first} {second}" if first == "benchmark" else first


FIRST = {kind_of(command): command for command in reversed(SIG)}
OF_PICTURES = ("--signs", "--uncertainty", "--target", "--figure", "--mask-certainty", "runs/coffee")


def undrawn(command, arguments):
    """The command without its pictures, unless it is about them or the first of its kind: that one draws them all."""
    draws = kind_of(command) in ("explain", "evaluate", "benchmark images", "benchmark methods", "gridworld")
    about = kind_of(command) == "explain" and any(word in command for word in OF_PICTURES)
    if not draws or about or command == FIRST[kind_of(command)]:
        return arguments
    return [*arguments, "--no-pictures"]


def test_the_readme_has_the_two_lines_and_commands():
    assert [line for line in README.splitlines() if line.startswith("pip install ")] == SHELL[:2]
    assert len(SIG) > 10
    assert sorted(command for chain in CHAINS for command in chain) == sorted(SIG)


def test_the_readme_counts_what_there_is():
    assert f"{len(METHODS) - 1} other methods" in README
    assert f"{len(METRICS)} metrics" in README
    assert f"{len(ESTIMATORS)} estimators" in README


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0])
def test_every_command_runs(chain, newcomer):
    for command in chain:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "explain":
            arguments = cheaper(arguments)
        if "resnet18" in arguments and "," in command:  # several methods; one alone takes the size of the weights
            arguments += ["--image-size", "96"]
        if arguments[0] in ("evaluate", "benchmark") and arguments[1] != "scenario":
            named = "--out" in arguments
            made = "--attributions" in arguments or arguments[1].startswith("runs/")
            arguments = coarser(arguments if made else cheaper(arguments))
            arguments = arguments if named else [*arguments, "--out", f"measured/{chain.index(command)}"]
        if arguments[:2] == ["benchmark", "scenario"]:
            arguments += SCENARIOS[arguments[2]]
        if arguments[0] == "train":
            arguments += ["--epochs", "1", "--image-size", "32", "--device", "cpu"]
        if arguments[0] == "gridworld":
            arguments += ["--runs", "1", "--steps", "20", "--samples", "100", "--out", f"runs/{chain.index(command)}"]
            arguments += [] if "--grid" in arguments else ["--grid", "2x2"]
        done = CliRunner().invoke(app, undrawn(command, arguments))
        assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"


@pytest.mark.parametrize("block", range(len(PYTHON)))
def test_every_python_block_runs(block, newcomer):
    exec(compile(PYTHON[block], f"README block {block}", "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_and_link_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


def test_the_table_of_output_is_the_tools(newcomer):
    """What README shows is what the command prints, wall times aside."""
    match = re.search(r"<!-- output: (.*?) -->\n```text\n(.*?)```", README, re.S)
    assert match
    done = CliRunner().invoke(
        app, [*shlex.split(match[1])[1:], "--device", "cpu", "--no-pictures"], env={"COLUMNS": "120"}
    )
    assert done.exit_code == 0

    def facts(text):
        return [
            line.replace("%", "").replace(">", "").split()[1:-1]
            for line in text.splitlines()
            if line.startswith("star.png")
        ]

    for told, real in zip(facts(match[2]), facts(done.stderr), strict=True):
        assert told[:2] == real[:2]
        assert [float(word) for word in told[2:]] == pytest.approx([float(word) for word in real[2:]], abs=0.06)
    assert len(facts(match[2])) == 4
