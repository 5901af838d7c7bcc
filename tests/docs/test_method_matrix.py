"""The page of methods is the script's, says what the catalogue says, and no cell of it is a traceback."""

import importlib.util
import re
import sys

import pytest
import torch
from torch import nn

from sigcli.methods import METHODS

from repository import ROOT

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made():
    """The script; the other one that it imports lies beside it."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        spec = importlib.util.spec_from_file_location("method_matrix", ROOT / "scripts" / "method_matrix.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return module


def test_the_page_says_what_the_catalogue_says(made):
    assert "\n".join(made.facts()) in PAGE
    assert len(made.NETWORKS) == len(set(made.NETWORKS)) == 24
    # Read back, the page gives itself without a run; so every network has every method and a layer.
    assert made.page(made.NETWORKS, tuple(METHODS), made.earlier(PAGE), made.conserved(PAGE)) == PAGE


def test_what_deeplift_and_lrp_conserve(made):
    conserved = re.findall(r"^\| `(\w+)` \| (.+) \|$", "\n".join(made.conserved(PAGE)), re.MULTILINE)
    assert tuple(name for name, _ in conserved) == made.CONSERVING
    for name, cells in conserved[:10]:
        numbers = cells.split(" | ")
        assert all(float(numbers[i]) <= 1e-4 for i in (0, 1, 2, 5, 8)), name


def test_every_cell_is_a_map_or_a_sentence_for_users(made):
    found = made.earlier(PAGE)
    assert set(found) == {(method, name) for method in ("", *METHODS) for name in made.NETWORKS}
    reasons = {cell for (method, _), cell in found.items() if method and cell != "ok"}
    # Foreign errors are told as "… raised TypeError: …" with a line of ours; maps of zeros and NaN are faults too.
    strange = [one for one in reasons if re.search(r"raised|Error|sigcli/|line \d|[Nn]a[Nn]|map is 0|^\[|^$", one)]
    assert not strange
    # What asks for scores or gradients only runs everywhere, but for methods of one kind of score or of certainty.
    kept = {n: entry.properties for n, entry in METHODS.items() if entry.properties["needs"] != "hooks"}
    free = [n for n, properties in kept.items() if not properties.get("only") and not properties.get("certainty")]
    assert not [key for key, cell in found.items() if key[0] in free and cell != "ok"]
    # A detector's layers are not looked into; elsewhere the CAM family has a layer with a map, and gives one.
    for name in made.NETWORKS:
        there = found["", name].startswith("`")
        assert there is (name not in made.FAMILIES["Segmentation and detection"][1:])
        assert (found["gradcam", name] == "ok") is there


def test_attention_runs_where_tokens_have_it_and_nowhere_else(made):
    found, methods = (
        made.earlier(PAGE),
        [n for n, entry in METHODS.items() if entry.properties.get("only") == "attention"],
    )
    assert "attention-rollout" in methods
    for name in (*made.FAMILIES["Vision transformers"], "timm/vit_tiny_r_s16_p8_224"):
        assert {found[method, name] for method in methods} == {"ok"}, name
    for name in (*made.FAMILIES["Convolutional networks"], *made.FAMILIES["Segmentation and detection"], "swin_t"):
        assert "ok" not in {found[method, name] for method in methods}, name


def test_outcomes_are_those_of_runs(made):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * made.SIDE**2, 9))
    with torch.no_grad():
        flat[1].weight[4], flat[1].bias[4] = 0, 1e3  # the class of every image, whatever it shows
    asked = {"model": flat, "image_size": made.SIDE, "mean": (0.5,), "std": (0.25,)}
    found = made.outcomes({**asked, "target": 2}, ["ig", "gradcam", "linear-shap", "icg"])
    assert found == {
        "": "the network has no layer with places in the image that everything passes",
        "gradcam": "the network has no layer with places in the image that everything passes",
        "icg": "the method needs a certainty-aware model, and this one is not",
        "ig": "ok",
        "linear-shap": "ok",
    }
    assert made.outcomes(asked, ["gradient"])["gradient"] == "the map is 0 everywhere"
    refused = made.outcomes({"model": "resnet81"}, ["gradient", "rise"])
    assert refused == {"": "unknown model", "gradient": "unknown model", "rise": "unknown model"}


def test_a_limited_run_keeps_the_rest(made, tmp_path, monkeypatch):
    page, ran = tmp_path / "methods.md", []

    def outcomes(model, methods):
        ran.append((model["model"], tuple(methods)))
        return {"": "`one`, 1×2×2", **dict.fromkeys(methods, "not today")}

    monkeypatch.setattr(made, "outcomes", outcomes)
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["", "--out", str(page), "--only", "rise,ig", "--networks", "resnet18"])
    made.main()
    assert ran == [("resnet18", ("ig", "rise"))]
    before, after = made.earlier(PAGE), made.earlier(page.read_text(encoding="utf-8"))
    changed = {key: cell for key, cell in after.items() if cell != before[key]}
    assert changed == {
        ("ig", "resnet18"): "not today",
        ("rise", "resnet18"): "not today",
        ("", "resnet18"): "`one`, 1×2×2",
    }
    monkeypatch.setattr(sys, "argv", ["", "--out", str(page), "--networks", "resnet81"])
    with pytest.raises(SystemExit):
        made.main()


def test_a_part_of_a_page_that_does_not_exist_is_refused(made, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["method_matrix.py", "--only", "gradcam", "--out", str(tmp_path / "none.md")])
    with pytest.raises(SystemExit) as refused:
        made.main()
    assert refused.value.code == 2
    assert "none.md does not exist: leave them out" in capsys.readouterr().err
