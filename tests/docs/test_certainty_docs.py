"""Every command of docs/certainty.md, as it stands there but at a fraction of its cost."""

import re
import shlex
import shutil
import struct

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.scenarios.shap_digits import study as shap_digits

from pages import chains, commands
from repository import ROOT

DOCS = (ROOT / "docs" / "certainty.md").read_text(encoding="utf-8")
COMMANDS = commands(DOCS)
CHEAP = {
    "mnist-masked": ["--images", "2", "--steps", "2"],
    "shap-digits": ["--data", "digits", "--images", "2", "--steps", "2", "--method", "ig"],
    "two-features": ["--method", "ig", "--no-pictures"],
    "mnist": ["--data", "digits", "--images", "1", "--steps", "2", "--method", "icg,zero=ig", "--set", "steps=2"],
    "mnist-in-space": [
        "--data",
        "digits",
        "--images",
        "1",
        "--steps",
        "2",
        "--method",
        "icg,zero=ig",
        "--set",
        "steps=2",
    ],
    "imagenette": [
        "--arch",
        "small-cnn",
        "--size",
        "32",
        "--images",
        "1",
        "--method",
        "gradient",
        "--set",
        "deletion.steps=2",
    ],
    "evaluate": [],
    "burnt-snacks": ["--images", "2", "--steps", "2", "--method", "icg,zero=ig", "--set", "steps=2"],
    "local-minimum": ["--images", "2", "--steps", "2", "--method", "icg", "--set", "steps=2"],
    "train": ["--epochs", "1", "--image-size", "32"],
    "explain": ["--set", "steps=2", "--no-pictures"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIG_CACHE", str(tmp_path / "cache"))
    named = ["000.png", "001.png"]  # after two steps of training no digit is named right
    monkeypatch.setattr(shap_digits, "named_right", lambda _, held, __: (named, held.rows(np.arange(2))))
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    draw = np.random.default_rng(0)
    for name, level in (("rose", 60), ("daisy", 190)):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        for i in range(5):
            image = Image.fromarray((level + draw.integers(-40, 40, (36, 40, 3))).astype(np.uint8))
            image.save(tmp_path / "flowers" / name / f"{i}.png")
            image.save(tmp_path / "photo.jpg")
    (tmp_path / "digits").mkdir()
    for name, array in (
        ("images-idx3", draw.integers(0, 256, (60, 28, 28), dtype=np.uint8)),
        ("labels-idx1", np.arange(60, dtype=np.uint8) % 10),
    ):
        header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (tmp_path / "digits" / f"t10k-{name}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path


def test_the_page_has_its_commands():
    assert len(COMMANDS) == 14
    assert all(command.startswith("sig ") for command in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("chain", chains(COMMANDS), ids=lambda chain: chain[0])
def test_every_command_runs(chain, folder):
    for command in chain:
        words = shlex.split(command)
        kind = next(name for name in CHEAP if name in words)
        extra = CHEAP[kind] + ([] if kind == "two-features" else ["--device", "cpu"])
        if kind == "explain" and "sig" in words[words.index("--method") + 1].split(","):
            extra += ["--set", "samples=4"]
        done = CliRunner().invoke(
            app, [*words[1:], *extra, "--device", "cpu"] if kind != "two-features" else [*words[1:], *extra]
        )
        assert done.exit_code == 0, f"{command}\n{done.output}"


@pytest.mark.parametrize("picture", re.findall(r"\]\((pictures/.*?)\)", DOCS))
def test_pictures_stand_where_they_are_shown(picture):
    assert (ROOT / "docs" / picture).stat().st_size > 10_000


def test_the_table_of_two_features_is_what_the_command_prints(folder):
    shown = re.search(r"<!-- two-features -->\n```text\n(.*?)```", DOCS, re.S)[1]
    done = CliRunner().invoke(app, ["benchmark", "scenario", "two-features", "--no-pictures"])
    assert done.exit_code == 0
    printed = [line.rstrip() for line in done.output.splitlines()]
    assert all(line in printed for line in shown.splitlines())
