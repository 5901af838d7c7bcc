"""Photograph the page of a run for README and docs/gallery.md: a desk's screen, a dark one with one image large, a phone.

Needs a Chromium (`--chromium`, else $SIG_CHROMIUM or the system's) and playwright. The run is made first, of
the four bundled photographs, which are in the public domain or CC0:

sig evaluate sample_images/{astronaut,chelsea,coffee,rocket}.jpg --model squeezenet1_1 --method sig,ig,gradcam,gradient \
    --metric deletion,insertion --out runs/photographs
python scripts/gallery_pictures.py runs/photographs
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
LOADED = "[...document.images].every(one => one.complete && one.naturalWidth > 0)"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
QUALITY = 88


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with a page")
    parser.add_argument("--chromium", default=os.environ.get("SIG_CHROMIUM") or shutil.which("chromium"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    told = parser.parse_args()
    address = (told.run / "index.html").resolve().as_uri()
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=told.chromium, args=["--no-sandbox"])
        for name, how, large in (
            ("gallery", {"viewport": DESK}, False),
            ("gallery-dark", {"viewport": DESK, "color_scheme": "dark"}, True),
            ("gallery-phone", {"viewport": PHONE, "device_scale_factor": 1.5, "is_mobile": True}, False),
        ):
            file = told.out / f"{name}.jpg"
            save(photographed(browser, address, how, large=large), file)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()


def photographed(browser: Browser, address: str, how: dict[str, Any], *, large: bool) -> bytes:
    """The page, or its second image in the large view, as PNG."""
    page = browser.new_page(**how)
    page.goto(address)
    page.wait_for_selector(".row")
    if large:
        page.locator(".row h3").nth(1).click()
        page.wait_for_selector("dialog.detail")
    settle(page)
    shot = page.screenshot()
    page.close()
    return shot


def settle(page: Page) -> None:
    """Wait until every picture stands; playwright's own waiting needs eval, which the page's policy forbids."""
    for _ in range(100):
        page.wait_for_timeout(100)
        if page.evaluate(LOADED):
            return
    raise SystemExit("pictures of the page do not load")


def save(shot: bytes, file: Path) -> None:
    """A screenshot as JPEG."""
    Image.open(io.BytesIO(shot)).convert("RGB").save(file, quality=QUALITY, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
