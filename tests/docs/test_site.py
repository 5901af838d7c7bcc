"""The site: links and anchors of the sources, generated pages, and a strict build where MkDocs is installed."""

import importlib
import inspect
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import sigcli
from sigcli.methods import METHODS
from sigcli.metrics import METRICS
from sigcli.scenarios import SCENARIOS

from repository import ROOT

DOCS = ROOT / "docs"
SOURCES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"])
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUTSIDE = ("http://", "https://", "mailto:")


@pytest.fixture(scope="module")
def scripts():
    """A module of scripts/ by name; they import each other as neighbours."""
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "scripts"))


def prose(text):
    """A page without its blocks and spans of code, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(text):
    """The anchors of a page's headings, as GitHub and as Python-Markdown make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"[`*]", "", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip()))
    return found


def broken(text, folder, pages=()):
    """Links of a page to files or anchors that are not there; `pages` are there, too."""
    wrong = []
    for link in LINK.findall(prose(text)):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve()
        if link.startswith(OUTSIDE) or target in pages:
            continue
        there = target.exists() if path else True
        known = text if not path else target.read_text(encoding="utf-8") if there and target.suffix == ".md" else ""
        if not there or (anchor and anchor not in anchors(known)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", SOURCES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_of_a_source_resolve(page):
    assert not broken(page.read_text(encoding="utf-8"), page.parent)


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path):
    (tmp_path / "a.md").write_text("# Here\n")
    text = "[a](a.md) [a](a.md#here) [b](b.md) [c](a.md#there) `[d](d.md)`"
    assert broken(text, tmp_path) == ["b.md", "a.md#there"]


def test_the_navigation_has_every_page():
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"^ +- (?:.*: )?([\w-]+\.md)$", told, re.M)) - {"index.md"}
    there = {page.name for page in DOCS.glob("*.md")}
    assert named == there, f"bring the nav of mkdocs.yml up to date: {sorted(named ^ there)}"


def test_the_reference_has_a_page_for_everything(scripts):
    made = scripts("reference_pages")
    pages = made.pages()
    for folder, catalogue in (("methods", METHODS), ("metrics", METRICS), ("scenarios", SCENARIOS)):
        for entry in catalogue.values():
            text = pages[f"reference/{folder}/{made.slug(entry.name)}.md"]
            assert text.startswith(f"# {entry.name}\n")
            for option in entry.options() if folder != "scenarios" else ():
                assert f"| `{option}` |" in text
    assert len(pages) == len(METHODS) + len(METRICS) + len(SCENARIOS) + 3
    there = {(DOCS / name).resolve() for name in pages}
    wrong = {name: broken(text, (DOCS / name).parent, there) for name, text in pages.items()}
    assert not {name: links for name, links in wrong.items() if links}


def test_the_reference_sends_no_reader_into_the_code(scripts):
    """A name of a module is no page; docstrings of methods and metrics name pages (docs/…), which become links."""
    pages = scripts("reference_pages").pages()
    assert not {name: found for name, text in pages.items() if (found := re.findall(r"`sigcli\.[\w.]+`", text))}


def test_calls_in_tables_break_and_names_do_not(scripts):
    marked = scripts("site_hooks").calls_marked
    call, name = "GradientShap(f).attribute(x, refs, n_samples=64)", "--max-evaluations"
    table = f"<td><code>{call}</code> and <code>{name}</code></td>"
    assert marked(table) == f'<td><code class="call">{call}</code> and <code>{name}</code></td>'
    assert marked(f"<p><code>{call}</code></p>") == f"<p><code>{call}</code></p>"


def test_a_page_of_a_method_shows_its_picture(scripts):
    pages, pictures = scripts("reference_pages").pages(), scripts("method_pictures")
    for name in METHODS:
        text = pages[f"reference/methods/{scripts('reference_pages').slug(name)}.md"]
        shown = f"(../../pictures/methods/{name}.jpg)" in text
        assert shown != (name in pictures.REFUSED), name


@pytest.mark.parametrize("entry", [*METHODS.values(), *METRICS.values()], ids=lambda entry: entry.name)
def test_every_option_says_what_it_is(scripts, entry):
    read = scripts("docstrings")
    told = read.entries(read.sections(inspect.getdoc(entry.load()) or "").get("Args", ""))
    assert not [name for name in entry.options() if not told.get(name, "").strip()]


def test_a_page_of_a_method_says_what_we_measured(scripts):
    page = scripts("reference_pages").pages()["reference/methods/gradcam.md"]
    assert "ReLU(Σ_k α_k A_k)" in page
    assert "| `shapes`, 24 drawn pictures | ROC AUC 0.98 (0.98–0.99) | pointing game 0.79 (0.60–0.91)" in page
    assert re.search(r"\| SqueezeNet 1.1, \d+ photographs, blur imputation \| deletion ↓", page)
    assert "level with `sig`" in page


def test_every_method_has_an_equation_and_a_small_picture(scripts):
    notes, pictures = scripts("method_notes").NOTES, scripts("method_pictures")
    assert set(notes) == set(METHODS)
    assert all(note.equation and note.trust.endswith(".") for note in notes.values())
    files = {path.stem: path.stat().st_size for path in pictures.FOLDER.glob("*.jpg")}
    assert set(files) == set(METHODS) - set(pictures.REFUSED)
    assert max(files.values()) < 40_000
    assert sum(files.values()) < 3_000_000


def test_the_page_of_python_names_is_current(scripts):
    made = scripts("api_page")
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert made.page() == text, "run python scripts/api_page.py"
    for name in sigcli.__all__:
        assert name.startswith("__") or f"sigcli.{name}" in text, name


def test_python_names_name_nothing_that_a_reader_cannot_find():
    public = {"sigcli.captum", "sigcli.errors", *(f"sigcli.{name}" for name in sigcli.__all__)}
    for name in re.findall(r"`(sigcli\.[\w.]+)`", (DOCS / "api.md").read_text(encoding="utf-8")):
        assert name in public or name.startswith("sigcli.errors."), f"{name}: say it in words, or see docs/NAME.md"


def test_the_first_page_is_the_readme_seen_from_docs(scripts):
    hooks = scripts("site_hooks")
    text = hooks.first_page()
    assert "](pictures/first.jpg)" in text
    assert "](docs/" not in text
    assert "[sources](../sample_images/SOURCES.md)" in text
    assert "sources (`sample_images/SOURCES.md`)" in hooks.inside(text, "index.md")
    assert hooks.inside("[a](../README.md#start)", "tutorial.md") == "[a](index.md#start)"
    assert "[GridWorld](gridworld.md)" in hooks.inside(text, "index.md")


def test_lists_stand_apart_and_code_is_left_alone(scripts):
    apart = scripts("site_hooks").lists_apart
    assert apart("Some text:\n* one\n  more\n* two") == "Some text:\n\n* one\n  more\n* two"
    assert apart("```\ntext\n* one\n```") == "```\ntext\n* one\n```"


def test_the_verdicts_cover_the_papers_and_name_what_there_is():
    page = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    parts = dict(zip(["SIG", "ES", "ICG", "SHAP"], re.split(r"^## ", page, flags=re.M)[1:], strict=True))
    figures = {"SIG": range(2, 14), "ES": range(2, 10), "ICG": range(2, 12), "SHAP": range(3, 6)}
    for paper, wanted in figures.items():
        rows = [line for line in parts[paper].splitlines() if line.startswith("| ")]
        firsts = " ".join(row.split(" | ")[0] for row in rows)
        numbers = {int(n) for n in re.findall(r"\b(\d+)", re.sub(r"Table \d+", "", firsts))}
        assert set(wanted) <= numbers, paper
        tables = {int(n) for n in re.findall(r"Table (\d)", firsts)}
        assert paper not in ("SIG", "ICG") or tables == {1, 2}
        for row in rows[1:]:
            if "---" not in row:
                assert re.search(r"holds|does not hold|not checkable|nothing to check", row.rsplit(" | ", 1)[-1]), row
    for name in re.findall(r"sig benchmark scenario ([\w-]+)", page):
        assert name in SCENARIOS
    for named in re.findall(r"--method ([\w,-]+)", page):
        assert set(named.split(",")) <= set(METHODS)
    for named in re.findall(r"--metric ([\w-]+)", page):
        assert named in METRICS


def test_the_citation_names_the_licence_and_the_paper():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert text.startswith("cff-version: 1.2.0\n")
    assert "license: MIT" in text
    assert "Rethink Baseline of Integrated Gradients" in text


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_for_nothing_from_outside(tmp_path):
    pytest.importorskip("material", reason="the extra `docs` is not installed: pip install '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {str(path.relative_to(tmp_path / "site")): path for path in Path(tmp_path / "site").rglob("*.html")}
    assert {"index.html", "tutorial.html", "reference/methods/gradcam-plus-plus.html"} <= set(pages)
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]*?(?:src|href)=[\"']?([^\"' >]+)", text)
        assert not [url for url in loaded if url.startswith(("http:", "https:", "//"))], name
        assert "unpkg.com" not in text, name
