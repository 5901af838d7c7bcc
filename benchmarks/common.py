"""What the benchmarks share: the models they measure on, and how they report."""

from __future__ import annotations

import csv
import datetime
import os
import platform
from pathlib import Path

import torch

from sigcli.models.loading import load_model
from sigcli.models.model import Model

BUNDLED = ("shapes", "shapes-vit")
ROOT = Path(__file__).resolve().parent.parent
REAL = Path(os.environ.get("SIG_REAL_DATA", ROOT.parent / "shared" / "real"))


def model(name: str, device: str) -> Model:
    """A torchvision network with true weights where there are some here, and random ones otherwise (speed is the same).

    Bundled networks have their own.
    """
    file = REAL / "weights" / f"{name}_imagenet.pt"
    weights = str(file) if file.exists() else None if name in BUNDLED else "none"
    return load_model(name, weights=weights, device=device)


def machine(device: str) -> str:
    name = (
        torch.cuda.get_device_name() if device.startswith("cuda") else f"{platform.machine()}, {os.cpu_count()} cores"
    )
    return f"{name}, torch {torch.__version__}"


def report(out: Path | None, rows: list[dict[str, object]]) -> None:
    """Print rows, and append them to a CSV with the date."""
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    new = not out.exists()
    with out.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, ["date", *rows[0]], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows({"date": datetime.date.today().isoformat(), **row} for row in rows)
