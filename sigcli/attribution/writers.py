"""The writers of `sigcli.attribution.formats`: each writes the files of one format for one explanation, and names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import render
from ..files import save_array
from .drawing import Page
from .samples.bars import draw_features, write_table


def array(base: Path, page: Page) -> list[str]:
    """`<method>.npy`, and where standard errors are kept `<method>.stderr.npy` and `<method>.deviations.npy`."""
    item, names = page.item, [f"{page.item.name}.npy"]
    save_array(base / names[0], page.values)
    if item.stderr is not None:
        names.append(f"{item.name}.stderr.npy")
        save_array(base / names[1], item.stderr)
    if item.deviations is not None:
        names.append(f"{item.name}.deviations.npy")
        save_array(base / names[-1], item.deviations)
    return names


def feature_table(base: Path, page: Page) -> list[str]:
    """`<method>.csv`, and where the players have names `<method>.html`."""
    return write_table(base, page.item)


def heatmap(base: Path, page: Page) -> list[str]:
    """`<method>.png`."""
    name = f"{page.item.name}.png"
    render.save_png(page.heatmap(), base / name)
    return [name]


def overlay(base: Path, page: Page) -> list[str]:
    """`<method>.overlay.png`, and where signs are drawn apart `<method>.positive.png` and `<method>.negative.png`."""
    names = [f"{page.item.name}.overlay.png"]
    render.save_png(page.overlay(), base / names[0])
    for sign, image in page.signs() if page.drawing.signs == "apart" else ():
        names.append(f"{page.item.name}.{sign}.png")
        render.save_png(image, base / names[-1])
    return names


def bare(base: Path, page: Page) -> list[str]:
    """`<method>.bare.png` where that is asked for: the map alone, of its own size."""
    if not page.drawing.bare:
        return []
    name = f"{page.item.name}.bare.png"
    render.save_png(page.bare(), base / name)
    return [name]


def uncertainty(base: Path, page: Page) -> list[str]:
    """`<method>.stderr.png` where standard errors are kept."""
    image = page.uncertainty()
    if image is None:
        return []
    name = f"{page.item.name}.stderr.png"
    render.save_png(image, base / name)
    return [name]


def seen_array(base: Path, page: Page) -> list[str]:
    """`<method>.view.npy`, and where deviations are kept `<method>.view.stderr.npy`: (H, W), channels summed, not faded."""
    if not page.drawing.saved:
        return []
    names = [f"{page.item.name}.view.npy"]
    shown = page.drawing.seen(page.item, page.values, page.picture)
    save_array(base / names[0], shown.astype(np.float32))
    if page.error is not None:
        names.append(f"{page.item.name}.view.stderr.npy")
        save_array(base / names[1], page.error.astype(np.float32))
    return names


def bars(base: Path, page: Page) -> list[str]:
    """`<method>.png`: the features or players of an array."""
    name = f"{page.item.name}.png"
    draw_features(base / name, page.item)
    return [name]
