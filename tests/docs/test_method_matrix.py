"""The page of methods is the script's, and says what the catalogue says."""

import importlib.util
import re

import torch
from torch import nn

from sigcli.methods import METHODS

from repository import ROOT


def script():
    spec = importlib.util.spec_from_file_location("method_matrix", ROOT / "scripts" / "method_matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    made, page = script(), (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert "\n".join(made.facts()) in page
    conserved = re.findall(r"^\| `(\w+)` \| (.+) \|$", made.conserved(page), re.MULTILINE)
    assert tuple(name for name, _ in conserved) == made.CONSERVING
    for name, cells in conserved[:10]:
        numbers = cells.split(" | ")
        assert all(float(numbers[i]) <= 1e-4 for i in (0, 1, 2, 5, 8)), name
    table = page.split("## Which method runs on which network")[1]
    rows = dict(re.findall(r"^\| `([\w+-]+)` \| (.*) \|$", table, re.MULTILINE))
    assert list(rows) == list(METHODS)
    reasons = re.findall(r"^- \[(\d+)\] .+$", table, re.MULTILINE)
    for cells in rows.values():
        found = cells.split(" | ")
        assert len(found) == len(made.NETWORKS)
        assert all(cell == "ok" or cell.strip("[]") in reasons for cell in found)
    # Read back, the page gives itself without a run.
    assert made.page(made.NETWORKS, tuple(METHODS), made.earlier(page), made.conserved(page)) == page
    # What asks for scores or gradients only, runs everywhere, but for methods of one kind of score or of certainty.
    kept = {n: entry.properties for n, entry in METHODS.items() if entry.properties["needs"] != "hooks"}
    free = [n for n, properties in kept.items() if not properties.get("only") and not properties.get("certainty")]
    assert all(set(rows[name].split(" | ")) == {"ok"} for name in free)


def test_outcomes_are_those_of_runs():
    made = script()
    assert made.outcome("ig", made.network("squeezenet1_1")) == "ok"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * made.SIDE**2, 9))
    assert made.outcome("gradcam", flat) == "the network has no layer with places in the image that everything passes"
    assert made.outcome("linear-shap", flat) == "ok"
    with torch.no_grad():
        flat[1].weight.zero_()
    assert made.outcome("gradient", flat) == "the map is zero or not finite"
