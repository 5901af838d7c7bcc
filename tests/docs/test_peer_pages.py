"""Pages for those who come from other libraries: their code runs, and all that their tables name of ours is there."""

import re

import pytest

import sigcli
import sigcli.captum
from sigcli.baselines import BASELINES
from sigcli.methods import METHODS
from sigcli.metrics import METRICS

from repository import ROOT

PAGES = ("captum", "from-quantus", "from-shap", "from-pytorch-grad-cam", "from-xplique")


def text(page):
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", text(page), re.S))
    assert code
    exec(compile(code, f"docs/{page}.md", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("page", PAGES)
def test_what_the_tables_name_is_there(page):
    ours = [
        line.split(" | ")[1] for line in text(page).splitlines() if line.startswith("| ") and line.count(" | ") > 1
    ][1:]
    cells = "\n".join(ours)
    for kind, table in (("method", METHODS), ("metric", METRICS), ("baseline", BASELINES)):
        for named in re.findall(rf'\b{kind}="([^"]+)"', cells):
            for name in named.split(","):
                assert name.partition(":")[0] in table, name
    for name in re.findall(r"`([a-z0-9+-]+)`", cells):
        assert name in METHODS or name in METRICS or name in BASELINES or name in ("found", "road"), name
    for name in re.findall(r"sigcli\.captum\.(\w+)", text(page)):
        assert hasattr(sigcli.captum, name), name
    for name in re.findall(r"sigcli\.(\w+)\(", text(page)):
        assert hasattr(sigcli, name), name


def test_the_classes_of_the_captum_page_are_there():
    for name in re.findall(r"^\| .*? \| `(\w+)\(f\)", text("captum"), re.M):
        assert hasattr(sigcli.captum, name), name


def test_links_of_the_pages_resolve():
    for page in (*PAGES, "python"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page)):
            assert (ROOT / "docs" / link).exists(), f"{page}: {link}"
