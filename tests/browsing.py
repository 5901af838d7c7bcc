"""The page of a run in a real Chromium, for tests: it is opened from disk, and whatever it complains of is a fault."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("SIG_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ABORTED = "net::ERR_ABORTED"  # a picture whose row went before it was there
HASTE = "const usual = window.setInterval; window.setInterval = (act, every) => usual(act, every / 60);"
"""Run before a page: what it does every twelve seconds it does every fifth of one."""


def wait(page, true):
    """Until an expression is true: Playwright's own waiting needs eval, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(true):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {true}")


def names(page):
    """The images whose rows stand in the document, in order."""
    return page.locator(".row h3").all_inner_texts()


class Visits:
    """Opens pages of a browser, and notes what they asked for and complained of.

    Args:
        browser: see playwright.
    """

    def __init__(self, browser):
        self._browser, self._pages = browser, []
        self.told, self.asked = [], []

    def __call__(self, file, *, after="", ready=".row", before="", **how):
        page = self._browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **how})
        page.set_default_timeout(20_000)
        self._pages.append(page)
        page.on("console", lambda one: self.told.append(one.text))
        page.on("pageerror", lambda one: self.told.append(str(one)))
        page.on("dialog", lambda one: self.told.append(f"dialog {one.message}"))
        page.on("request", lambda one: self.asked.append(one.url))
        page.on(
            "requestfailed",
            lambda one: one.failure == ABORTED or self.told.append(f"failed {one.url}: {one.failure}"),
        )
        if before:
            page.add_init_script(before)
        page.goto(Path(file).resolve().as_uri() + after)
        page.wait_for_selector(ready)
        return page

    def end(self):
        """Close them; nothing may have been complained of, or asked of the network."""
        for page in self._pages:
            page.close()
        assert self.told == []
        assert [url for url in self.asked if not url.startswith(("file:///", "data:"))] == []
