"""Draw the picture of each method's page: one bundled picture, the map over it and the map alone.

python scripts/method_pictures.py                     # all methods
python scripts/method_pictures.py --only sig,gradcam  # some
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import sigcli
from sigcli.attribution.drawing import Drawing, Page
from sigcli.attribution.explanation import Explanation
from sigcli.methods import METHODS
from sigcli.render.maps import paint

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures" / "methods"
PICTURE = "sample_images/star.png"
SIDE, QUALITY, LARGEST = 180, 90, 40_000
REFUSED = {"linear-shap": "it explains linear models only", "max-shap": "it explains scores that are a maximum only"}
"""Methods that explain no network, and why."""
FEWER = {
    "rise": {"samples": 1000},
    "lime": {"samples": 400},
    "shapley-sampling": {"orders": 8},
    "bshap": {"budget": 400},
    "kernelshap": {"budget": 400},
    "qii": {"samples": 4},
    "meaningful-perturbation": {"iterations": 100},
    "extremal-perturbation": {"iterations": 100},
}
"""Settings below the defaults where these take long."""


def model_of(method: str) -> str:
    """The bundled network that a method is shown on."""
    return "shapes-vit" if METHODS[method].properties.get("only") == "attention" else "shapes"


def command(method: str) -> str:
    """What a user types for the map in the picture."""
    model = "" if model_of(method) == "shapes" else f" --model {model_of(method)}"
    references = " --references sample_images" if _compares(method) else ""
    settings = "".join(f" --set {key}={value}" for key, value in FEWER.get(method, {}).items())
    return f"sig explain {PICTURE} --method {method}{model}{references}{settings}"


def _compares(method: str) -> bool:
    return method in ("eg", "deepshap", "gradient-shap", "qii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods, with commas")
    parser.add_argument("--missing", action="store_true", help="only methods without a picture")
    told = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for method in told.only.split(",") if told.only else METHODS:
        target = FOLDER / f"{method}.jpg"
        if method in REFUSED or (told.missing and target.exists()):
            continue
        references = {"references": str(ROOT / "sample_images")} if _compares(method) else {}
        (found,) = sigcli.explain(
            str(ROOT / PICTURE), model=model_of(method), method=method, settings=FEWER.get(method, {}), write=False,
            device="cpu", **references,
        )  # fmt: skip
        if found.values is None:
            raise SystemExit(f"{method}: {found.error}")
        sheet = _drawn(found)
        for quality in range(QUALITY, 40, -10):  # maps of single pixels take more bytes
            sheet.save(target, quality=quality, subsampling=0, optimize=True)
            if target.stat().st_size < LARGEST:
                break
        print(f"{method}: {found.seconds:.1f} s, {target.stat().st_size / 1000:.0f} kB", flush=True)


def _drawn(item: Explanation) -> Image.Image:
    """The overlay and the map side by side."""
    page = Page(item, Drawing())
    limit = paint.symmetric_limit(page.shown)
    parts = (
        paint.overlay(page.picture, page.shown, limit, (SIDE, SIDE)),
        paint.paint(page.shown, limit, (SIDE, SIDE)),
    )
    sheet = Image.new("RGB", (2 * SIDE + 8, SIDE), "white")
    for place, part in enumerate(parts):
        sheet.paste(Image.fromarray(np.asarray(part)), (place * (SIDE + 8), 0))
    return sheet


if __name__ == "__main__":
    main()
