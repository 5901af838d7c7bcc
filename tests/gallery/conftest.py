"""A headless Chromium, and pages in it."""

from pathlib import Path

import pytest

from browsing import CHROMIUM, Visits


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[browser]'")
    if not Path(CHROMIUM).exists():
        pytest.skip("needs chromium, or SIG_CHROMIUM")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Opens pages, and afterwards looks at what they asked for and complained of."""
    visits = Visits(browser)
    yield visits
    visits.end()
