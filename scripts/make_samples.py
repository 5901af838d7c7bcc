"""Write `sample_images/`: six generated pictures with masks, four photographs, and where they come from.

    python scripts/make_samples.py [--out sample_images]

Needs scikit-image, whose package holds the photographs; nothing is downloaded.
"""

# ruff: noqa: E402  (the path must be set before the imports that read it)

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sigcli.models.networks.shapes import MEAN, STD, load
from sigcli.scenarios.shapes.data import CLASSES, ShapesPicture, draw

SEED = 2024
PICTURES = {"fish": 11, "flower": 4, "heart": 5, "house": 13, "spiral": 15, "star": 3}
LEAST = 0.98  # what the bundled network must give the right class

PHOTOGRAPHS = {
    "astronaut": (
        "Eileen Collins, astronaut; NASA Great Images, https://flic.kr/p/r9qvLn",
        "public domain (no known copyright restrictions)",
    ),
    "chelsea": ("Chelsea the cat, by Stefan van der Walt", "CC0"),
    "coffee": ("A cup of coffee, by Rachel Michetti, courtesy of Pikolo Espresso Bar", "CC0"),
    "rocket": (
        "Launch of DSCOVR on Falcon 9, by SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820/",
        "public domain (released by SpaceX)",
    ),
}

PAGE = """# Where the sample images come from

## Drawn

Drawn by `sigcli.scenarios.shapes.data.draw` and written by `scripts/make_samples.py`; in `masks/` is, under the same name,
the exact mask of the object: white where it covers at least half of the pixel. They belong to this project and have its
licence.

| file | class | call | the bundled network gives the class |
|---|---|---|---|
{drawn}

## Photographs

From the package scikit-image {version} (`skimage.data`), whose documentation states source and licence as below; stored
as JPEG, not cropped.

| file | what and by whom | licence |
|---|---|---|
{photographs}
"""


def confidence(picture: ShapesPicture) -> float:
    """The probability that the bundled network gives the right class."""
    net, _ = load()
    x = torch.from_numpy(picture.image).permute(2, 0, 1)[None].float() / 255
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return net(x).softmax(dim=1)[0, picture.label].item()


def write_drawn(out: Path) -> list[str]:
    """Write pictures and masks; returns their lines of the table."""
    lines = []
    for name, index in PICTURES.items():
        label = CLASSES.index(name)
        picture = draw(SEED, index, label=label)
        sure = confidence(picture)
        if sure < LEAST:
            raise SystemExit(f"{name}: the network gives it {sure:.3f}; choose another index than {index}")
        Image.fromarray(picture.image).save(out / f"{name}.png", optimize=True)
        Image.fromarray(picture.mask.astype(np.uint8) * 255).convert("1").save(out / "masks" / f"{name}.png")
        lines.append(f"| `{name}.png` | {name} | `draw({SEED}, {index}, label={label})` | {sure:.3f} |")
    return lines


def write_photographs(out: Path) -> list[str]:
    """Write the photographs; returns their lines of the table."""
    lines = []
    for name, (what, licence) in PHOTOGRAPHS.items():
        image = Image.fromarray(getattr(skimage.data, name)())
        image.thumbnail((640, 640), Image.Resampling.LANCZOS)
        image.save(out / f"{name}.jpg", quality=90, optimize=True)
        lines.append(f"| `{name}.jpg` | {what} | {licence} |")
    return lines


def main() -> None:
    """Write everything into one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "sample_images")
    out = parser.parse_args().out
    (out / "masks").mkdir(parents=True, exist_ok=True)
    drawn, photographs = write_drawn(out), write_photographs(out)
    page = PAGE.format(drawn="\n".join(drawn), photographs="\n".join(photographs), version=skimage.__version__)
    (out / "SOURCES.md").write_text(page, encoding="utf-8")
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {len(drawn)} drawn, {len(photographs)} photographs, {total} bytes")


if __name__ == "__main__":
    main()
