"""The page of 5,000 images in headless Chromium: time until it is open, until a filter and a sort are done, memory, faults.

A run of four methods is made up: tables, predictions, true classes, some failures, hostile names, and small pictures. It is
written by the package's own code, and opened from disk. Times are the browser's own, from the start of the navigation to the
second frame after the rows stand, and from a filter's event to the second frame after it; beside each stands the processor
time of the page's process, which other work on the machine does not lengthen. Memory is what that process has for itself
(PSS): once open, after racing through the list, and after ten seconds of rest. With `--axe` (axe.min.js of the npm package
axe-core), faults of accessibility are counted: list and large view, wide and narrow, light and dark.

python benchmarks/gallery.py --axe package/axe.min.js --out benchmarks/results/gallery-cpu.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sigcli.files import figure
from sigcli.gallery.publishing import publish
from sigcli.gallery.thumbnails import Names, file_of
from sigcli.runs.table import COLUMNS

METHODS = ("sig", "ig", "gradcam", "gradient")
CLASSES = [f"class {number}" for number in range(200)]
HOSTILE = ("<script>alert(1)</script>", "a\"b'c & <b>.png", "javascript:alert(1)", "100 %23 #?.png", "\\u202egnp.exe")
BETWEEN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def jpeg(draw: np.random.Generator) -> bytes:
    """A picture as large as a small one of a photograph."""
    coarse = draw.integers(0, 255, (14, 14, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((224, 224), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=84)
    return stream.getvalue()


def make(run: Path, images: int) -> None:
    """A run folder with everything that the page reads."""
    draw, dice = np.random.default_rng(0), random.Random(0)
    pictures = [jpeg(draw) for _ in range(64)]
    names = [HOSTILE[n] if n < len(HOSTILE) else f"{dice.choice(CLASSES)}/{n:05d}.jpg" for n in range(images)]
    manifest = {
        "spec": {"model": "resnet50", "output": "logit", "methods": {name: {"method": name} for name in METHODS}},
        "images": [f"/photos/{name}" for name in names], "versions": {"sigcli": "made up"}, "owns": ["manifest.json"],
    }  # fmt: skip
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "gallery").mkdir()
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        best = dice.sample(CLASSES, 5)
        shares = sorted((dice.random() / 2 for _ in range(5)), reverse=True)
        told += [{"image": name, "rank": k + 1, "class": best[k], "probability": shares[k]} for k in range(5)]
        judged.append({"image": name, "label_name": best[dice.random() < 0.2], "predicted_name": best[0],
                       "confidence": shares[0], "correct": int(dice.random() < 0.8)})  # fmt: skip
        for method in METHODS:
            failed = number % 97 == 5
            rows.append({
                "image": name, "method": method, "target": CLASSES.index(best[0]), "label": best[0], "output": "logit",
                "score": figure(dice.gauss(8, 3)), "seconds": figure(dice.random()), "gradient_evaluations": 256,
                "relative_gap": figure(dice.random()), "shown_standard_error": figure(dice.random()),
                "status": "failed" if failed else "ok", "content": f"{number:016x}",
                "error": "the image is damaged: image file is truncated" if failed else "",
            })  # fmt: skip
            metrics.append({"image": name, "method": method, "target": CLASSES.index(best[0]), "metric": "deletion",
                            "imputation": "blur", "value": figure(dice.random())})  # fmt: skip
            if not failed:
                folder = name.rsplit(".", 1)[0] if name.endswith(".jpg") else name
                known = Names.of(folder, method, f"{number:016x}")
                for one in (known.photo, known.map, known.overlay):
                    file_of(run, one).write_bytes(dice.choice(pictures))
    tables = (("results.csv", rows, list(COLUMNS)), ("predictions.csv", told, None), ("model.csv", judged, None),
              ("metrics.csv", metrics, None))  # fmt: skip
    for file, found, columns in tables:
        with (run / file).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns or list(found[0]))
            writer.writeheader()
            writer.writerows(found)


def pages() -> list[Path]:
    """In /proc, the page processes of the browsers that this one has started."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (one / "cmdline").read_bytes() and _descends(int(one.name), os.getpid()):
                found.append(one)
        except (OSError, ValueError):
            continue
    return found


def memory() -> float:
    """MiB that the largest page process has for itself."""
    found = []
    for one in pages():
        lines = (one / "smaps_rollup").read_text().splitlines()
        found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return max(found)


def processor() -> float:
    """Milliseconds of processor time that the page processes have taken so far."""
    ticks = 0
    for one in pages():
        cells = (one / "stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(cells[11]) + int(cells[12])
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, of: int) -> bool:
    while pid > 1 and pid != of:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return pid == of


def opened(browser: Browser, address: str) -> tuple[Page, float]:
    """The page, and milliseconds until its rows stood."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(".row")
    return page, page.evaluate(BETWEEN)


def spent(page: Page, act: str) -> float:
    """Milliseconds from an event to the second frame after it."""
    return page.evaluate(
        f"async () => {{ const begun = performance.now(); {act}; return await ({BETWEEN})() - begun; }}"
    )


def typed(query: str, value: str, event: str) -> str:
    fired = f"one.dispatchEvent(new Event({event!r}, {{bubbles: true}}))"
    return f"{{ const one = document.querySelector({query!r}); one.value = {value!r}; {fired}; }}"


ACTS = {
    "filter_ms": typed(".pick select", "class 7", "change"),
    "unfilter_ms": typed(".pick select", "", "change"),
    "search_ms": typed("#search", "00", "input"),
    "unsearch_ms": typed("#search", "", "input"),
    "sort_ms": typed(".pick:has([value='seconds']) select", "metric:deletion blur", "change"),
    "slider_ms": typed("#blend", "80", "input"),
}


def faults(browser: Browser, address: str, axe: Path) -> dict[str, int]:
    """Faults of accessibility that axe-core finds, by how serious it calls them."""
    found: dict[str, int] = {}
    for width, scheme in ((1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.goto(address)
        page.wait_for_selector(".row")
        page.evaluate(axe.read_text())
        for act in ("", "document.querySelector('#tab-metrics')?.click()", "document.querySelector('#tab-failed')?.click()",
                    "document.querySelector('#tab-about').click()", "document.querySelector('#tab-images').click()",
                    "document.querySelector('.row').click()"):  # fmt: skip
            page.evaluate(act or "0")
            page.wait_for_timeout(250)
            for fault in page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]:
                found[fault["impact"]] = found.get(fault["impact"], 0) + len(fault["nodes"])
                where, what = f"{width} {scheme} after {act or 'opening'}", fault["nodes"][0]["html"][:160]
                print(f"  {fault['impact']} at {where}: {fault['id']}: {what}")
        page.close()
    return found


def measured(address: str, rounds: int, axe: Path | None) -> dict[str, Any]:
    """Medians of rounds, each in a browser of its own."""
    each: dict[str, list[float]] = {}
    asked: set[str] = set()
    errors: list[str] = []
    with sync_playwright() as playwright:
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page, ready = opened(browser, address)
            each.setdefault("open_ms", []).append(ready)
            each.setdefault("open_cpu_ms", []).append(processor())
            each.setdefault("memory_open_mib", []).append(memory())
            page.on("request", lambda one: asked.add(one.url.split(":", 1)[0]))
            page.on("console", lambda one: errors.append(one.text))
            page.on("pageerror", lambda one: errors.append(str(one)))
            for name, act in ACTS.items():
                before = processor()
                each.setdefault(name, []).append(spent(page, act))
                each.setdefault(name.replace("_ms", "_cpu_ms"), []).append(processor() - before)
            for step in range(60):
                page.evaluate(f"scrollTo(0, document.body.scrollHeight * {step} / 60)")
                page.wait_for_timeout(60)
            each.setdefault("rows_in_document", []).append(page.evaluate("document.querySelectorAll('.row').length"))
            each.setdefault("heap_mib", []).append(page.evaluate("performance.memory.usedJSHeapSize") / 2**20)
            each.setdefault("memory_mib", []).append(memory())
            page.wait_for_timeout(10_000)
            each.setdefault("memory_rest_mib", []).append(memory())
            browser.close()
        found: dict[str, Any] = {name: round(statistics.median(values), 1) for name, values in each.items()}
        found |= {"errors": len(errors), "requests_to": "+".join(sorted(asked)) or "nothing"}
        if axe is not None:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            counts = faults(browser, address, axe)
            found |= {f"axe_{kind}": counts.get(kind, 0) for kind in ("critical", "serious", "moderate", "minor")}
            browser.close()
    for error in errors:
        print("  console:", error)
    return found


def main(make_run: Callable[[Path, int], None] = make) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--run", type=Path, help="where the run is kept, for another measurement")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.run or Path(folder) / "run"
        if not run.exists():
            make_run(run, given.images)
        begun = time.perf_counter()
        publish(run, pictures=False)
        written = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in (run / "index.html", run / "gallery" / "data.js"))
        row = {
            "images": given.images,
            "methods": len(METHODS),
            "page_mb": round(size / 1e6, 2),
            "write_s": round(written, 2),
        }
        report(given.out, [{**row, **measured((run / "index.html").resolve().as_uri(), given.rounds, given.axe)}])


if __name__ == "__main__":
    main()
