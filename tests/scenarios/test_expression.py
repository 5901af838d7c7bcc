"""Drawn faces: what is known of them holds; the bundled network follows the expression; the benchmark measures rightly."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sigcli
from sigcli.cli.main import app as command
from sigcli.errors import ModelError, UsageError
from sigcli.models.loading import load_model
from sigcli.models.networks.expression import WEIGHTS, load
from sigcli.scenarios import SCENARIOS
from sigcli.scenarios.expression import pairs as app
from sigcli.scenarios.expression.data import NAMES, PARTS, Face, draw
from sigcli.scenarios.expression.face_parts import EXPRESSIONS, PARAMETERS
from sigcli.scenarios.expression.options import METHODS
from sigcli.scenarios.expression.study import Expression

from repository import ROOT

FAST = ["--method", "ig,sig", "--set", "ig.steps=4", "--set", "samples=8", "--device", "cpu"]


def sig(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def table(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- faces


def test_a_face_is_a_function_of_seed_and_index():
    one, again, other = draw(3, 5), draw(3, 5), draw(3, 6)
    assert np.array_equal(one.image, again.image)
    assert all(np.array_equal(one.parts[name], again.parts[name]) for name in PARTS)
    assert not np.array_equal(one.image, other.image)
    assert SCENARIOS["expression"].load() is Expression


@pytest.mark.parametrize("label", range(len(NAMES)))
def test_every_expression_has_its_parts_on_the_face(label):
    for index in range(4):
        face = draw(9, index, label=label)
        assert face.label == label
        assert np.abs(face.expression - EXPRESSIONS[NAMES[label]]).max() <= 0.15
        assert len(face.expression) == len(PARAMETERS)
        for name in PARTS:
            assert face.parts[name].any()
            assert (face.parts[name] & face.face).sum() > 0.8 * face.parts[name].sum(), name
        rows = {name: np.nonzero(face.parts[name])[0].mean() for name in PARTS}
        assert rows["brows"] < rows["eyes"] < rows["mouth"]
        assert 0.01 < face.mask.mean() < 0.15


def test_only_the_parts_change_with_the_expression():
    """Two expressions of one person in one picture differ on the parts of the one or the other, and nowhere else."""
    one, other = draw(4, 2, label=1), draw(4, 2, label=3)
    changed = np.abs(one.image.astype(int) - other.image.astype(int)).max(2) > 12
    near = np.zeros_like(changed)
    for face in (one, other):
        rows, columns = np.nonzero(face.mask)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near[np.clip(rows + dy, 0, 95), np.clip(columns + dx, 0, 95)] = True
    assert changed.any()
    assert not (changed & ~near).any()


def test_a_smile_and_a_frown_are_drawn_so():
    def corners(label):
        rows, columns = np.nonzero(draw(4, 2, label=NAMES.index(label)).parts["mouth"])
        edge = (columns <= columns.min() + 2) | (columns >= columns.max() - 2)
        return rows[edge].mean() - rows[~edge].mean()

    assert corners("happy") < 0 < corners("sad")


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"index": -1}, {"size": 8}, {"label": 7}, {"label": -1}, {"identity": -2}]
)
def test_arguments_out_of_range_are_named(wrong):
    with pytest.raises(UsageError, match="Allowed"):
        draw(**{"seed": 0, "index": 0, **wrong})


# --- the network


def test_the_bundled_network_is_small_and_tells_its_training():
    assert WEIGHTS.stat().st_size < 1_000_000
    _, threshold = load()
    assert 0.3 < threshold < 2
    model = load_model("expression", pair=True)
    assert model.classes == 6
    assert any(f"{threshold:.2f}" in note for note in model.notes)


def test_it_tells_same_from_different_on_persons_it_never_saw():
    net, threshold = load()
    pairs = [app.faces(7, 500 + number) for number in range(80)]
    x = torch.stack([torch.from_numpy(face.image).permute(2, 0, 1).float() for pair in pairs for face in pair])
    with torch.no_grad():
        one, other = net((x / 255 - 0.5) / 0.25).unflatten(0, (-1, 2)).unbind(1)
    said = (one - other).norm(dim=1) <= threshold
    same = torch.tensor([first.label == second.label for first, second in pairs])
    assert float((said == same).float().mean()) >= 0.95


def test_distance_follows_the_expression_and_not_the_person():
    net, _ = load()

    def code(index, label, identity):
        picture = torch.from_numpy(draw(21, index, label=label, identity=identity).image).permute(2, 0, 1).float()
        with torch.no_grad():
            return net((picture[None] / 255 - 0.5) / 0.25)[0]

    person, expression = [], []
    for index in range(12):
        label = index % len(NAMES)
        base = code(index, label, index)
        person.append(float((base - code(index + 100, label, index + 50)).norm()))
        expression.append(float((base - code(index + 100, (label + 1) % len(NAMES), index)).norm()))
    assert np.mean(person) < 0.5 * np.mean(expression)


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="network 'expression'"):
        load(tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match="no random weights"):
        load_model("expression", weights="none", pair=True)


def test_the_training_script_ends_in_time_and_writes_what_loads(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import train_expression as script

    for name, value in {"FACES": 96, "KEPT": 60, "FRESH": 60, "STEPS": 3}.items():
        monkeypatch.setattr(script, name, value)

    class Here:
        def imap(self, work, jobs):
            return map(work, jobs)

    data = script.faces(Here(), 0, 64, mixed=True)
    net, steps = script.train(data, 0, 1.0)
    assert steps == 3
    distances, same = script.pairs(script.embedded(net, data[0]), data[2], 0)
    cut = script.threshold(distances, same)
    right = ((distances <= cut) == same).float().mean()
    assert right >= max(float(same.float().mean()), 1 - float(same.float().mean())) - 1e-6
    sys.modules.pop("train_expression")


# --- the benchmark


def test_shares_of_known_maps():
    face = draw(0, 0)
    mask = face.mask.astype(float)
    assert app.shares_of(mask, face)["share"] == pytest.approx(1)
    assert app.shares_of(mask, face)["outside_face"] == pytest.approx(0)
    even = app.shares_of(np.full((96, 96), 3.0), face)
    assert even["share"] == pytest.approx(face.mask.mean())
    assert even["outside_face"] == pytest.approx(1 - (face.face | face.mask).mean())
    assert app.shares_of(np.ones((96, 96)), face, 2)["share"] > even["share"]
    mixed = app.shares_of(2 * mask - 1, face)
    assert mixed["positive_share"] == pytest.approx(1)
    assert mixed["share"] == pytest.approx(even["share"])
    assert "positive_share" not in app.shares_of(-mask, face)
    assert sum(even[name] for name in PARTS) == pytest.approx(even["share"], rel=0.05)


def test_the_command_and_the_use_case_name_the_same_methods():
    named = {one.partition("=")[0] for one in METHODS.split(",")}
    assert {key.partition(".")[0] for key in Expression.defaults} <= named


def test_pairs_are_half_of_one_expression_and_of_persons_the_network_never_saw():
    pairs = [app.faces(0, number) for number in range(8)]
    assert [one.label == other.label for one, other in pairs] == [True, False] * 4
    assert isinstance(pairs[0][0], Face)
    assert app._STREAM not in (0, 1, 2**20)


def test_the_benchmark_leaves_tables_faces_and_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sigcli.scenarios.expression.study._CHECKED", 20)
    done = sig("benchmark", "scenario", "expression", "--pairs", "3", *FAST, "--out", "out", "--json")
    assert done.exit_code == 0, done.output
    assert "same from different" in done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    found = table("out/shares.csv")
    assert len(records) == len(found) == 6
    for row in found:
        number = int(Path(row["image"]).stem)
        first, _ = app.faces(0, number)
        values = np.load(f"out/{number:03d}/{row['method']}.npy")
        relevance = np.abs(values.astype(float).sum(0))
        assert float(row["share"]) == pytest.approx(relevance[first.mask].sum() / relevance.sum(), rel=1e-4)
        assert row["pair"] == ("same" if number % 2 == 0 else "different")
    summary = {(row["method"], row["minus"], row["measure"]): row for row in table("out/summary.csv")}
    shares = [float(row["share"]) for row in found if row["method"] == "sig"]
    assert float(summary["sig", "", "share"]["mean"]) == pytest.approx(np.mean(shares), rel=1e-4)
    others = [float(row["share"]) for row in found if row["method"] == "ig"]
    assert float(summary["sig", "ig", "share"]["mean"]) == pytest.approx(np.mean(shares) - np.mean(others), abs=1e-4)
    assert (
        float(summary["sig", "", "share"]["ci_low"]) <= np.mean(shares) <= float(summary["sig", "", "share"]["ci_high"])
    )
    assert Path("out/shares.png").stat().st_size > 10_000
    assert Path("out/000/compare.png").exists()
    again = sig("benchmark", "scenario", "expression", "--pairs", "3", *FAST, "--out", "out", "--resume")
    assert again.exit_code == 0, again.output
    assert table("out/shares.csv") == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shapez"], "expression"),
        (["expression", "--pairs", "1"], "at least 2"),
        (["expression", "--pairs", "2", "--margin", "99", "--method", "gradient"], "0 to 10"),
        (["expression", "--method", "nothing"], "unknown method"),
    ],
)
def test_wrong_usage_is_named(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = sig("benchmark", "scenario", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_distance_is_explained_from_python(tmp_path):
    from PIL import Image

    first, second = app.faces(0, 1)
    for name, face in (("a", first), ("b", second)):
        Image.fromarray(face.image).save(tmp_path / f"{name}.png")
    found = sigcli.explain(
        tmp_path / "a.png", partner=tmp_path / "b.png", model="expression", method="sig-walk", write=False,
        players="grid:4x4", settings={"orders": 2}, device="cpu",
    )  # fmt: skip
    assert found[0].relative_gap < 1e-3
    assert found[0].score < 0
