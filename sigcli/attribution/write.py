"""The files of explanations in a run folder: those of each format, then the row; and the sheet over all methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..files import Stamp, stamp
from ..gallery.thumbnails import Names, draw, has_small
from ..render import save_png
from ..render.maps.palette import DEFAULT_NAME
from ..runs.folder import RunFolder, stopped
from ..runs.ledger import Entry, digest_of
from .drawing import Drawing, Page, done_of
from .explanation import Explanation, failed
from .formats import FORMATS
from .sheets import targets_sheet


def write_explanation(run: RunFolder, item: Explanation, drawing: Drawing) -> None:
    """Write the files of one explanation, and then its row."""
    run.check()
    if item.values is None:
        run.add(item.row())
        return
    base, page = run.path / item.folder, Page(item, drawing)
    run.ledger.begin(f"{item.folder}/{item.name}")
    names, pictures = _written(base, page, drawn=False), _pictures(base, page)
    _draw_small(run, page)
    players = run.ledger.keep_players(item.players if item.seen.players is None else None)
    run.add(item.row(), Entry(
        item.image, item.method, str(item.target), item.content, item.folder, item.label, item.output,
        item.kept(), _stamps(base, [*names, *pictures]),
        _drawn(item, drawing) if pictures else "", players,
    ))  # fmt: skip


def mend_pictures(run: RunFolder, item: Explanation, drawing: Drawing) -> None:
    """Draw what an earlier run left undrawn, or drew otherwise, of an explanation whose arrays stand."""
    entry, of = run.ledger.entries[item.image, item.method, str(item.target)], _drawn(item, drawing)
    new = ("region", "view", "shown_standard_error", "predicted", "probability", "predictions", "chance")
    facts = {**entry.facts, **{name: item.kept()[name] for name in new}}
    now = replace(entry, label=item.label, facts=facts)
    if not drawing.pictures or run.drawn(entry, of):
        if now != entry:
            run.own(now)
        if drawing.pictures and not has_small(run.path, _names(item)):
            _draw_small(run, Page(_reload(run, item), drawing))
        return
    base = run.path / item.folder
    arrays = {name: known for name, known in entry.files.items() if not run.is_picture(name)}
    run.ledger.begin(f"{item.folder}/{item.name}")
    page = Page(_reload(run, item), drawing)
    pictures = _pictures(base, page)
    _draw_small(run, page)
    run.own(replace(now, files={**arrays, **_stamps(base, pictures)}, drawn=of))


def write_sheet(run: RunFolder, items: Sequence[Explanation], drawing: Drawing, heading: str) -> None:
    """Write `compare.png` of one image and target, unless it stands: all methods that succeeded, side by side."""
    done = done_of(items)
    if not done:
        return
    name = f"{done[0].folder}/compare{done[0].name.removeprefix(done[0].method)}.png"
    if name in run.foreign:
        return
    of = digest_of(heading, drawing.scale, [(item.method, _drawn(item, drawing)) for item in done])
    if not drawing.pictures:
        if all(item.resumed for item in items):
            run.sheet_stands(name, None)
        return
    if run.sheet_stands(name, of):
        return
    ready = [_reload(run, item) for item in done]
    run.ledger.begin(name.removesuffix(".png"))
    ready[0].seen.draw_sheet(ready, drawing, heading, run.path / name)
    run.add_sheet(name, of)


def write_targets_sheet(run: RunFolder, items: Sequence[Explanation], drawing: Drawing, heading: str) -> None:
    """Write `compare.png` of an image whose several targets are explained, unless it stands: all targets and methods."""
    done = done_of(items)
    if len({item.target for item in done}) < 2 or done[0].seen.picture is None:
        return
    name = f"{done[0].folder}/compare.png"
    if name in run.foreign:
        return
    of = digest_of(heading, "targets", [(item.method, str(item.target), _drawn(item, drawing)) for item in done])
    if not drawing.pictures:
        if all(item.resumed for item in items):
            run.sheet_stands(name, None)
        return
    if run.sheet_stands(name, of):
        return
    run.ledger.begin(name.removesuffix(".png"))
    save_png(targets_sheet([_reload(run, item) for item in done], drawing, heading), run.path / name)
    run.add_sheet(name, of)


def landed(run: RunFolder, item: Explanation | None, jobs: list[Future[None]]) -> Iterator[Explanation]:
    """Wait for the files of an explanation, and yield it; of a sheet alone, nothing.

    Raises:
        OutputError: they could not be written.
    """
    for job in jobs:
        try:
            job.result()
        except OSError as error:
            raise stopped(run.path, error) from error
        except Exception as error:
            if item is None:
                raise
            # A map that cannot be drawn is one failed item.
            item = failed(item, error, "its picture cannot be drawn: ")
            run.add(item.row())
    if item is not None:
        yield item


def _draw_small(run: RunFolder, page: Page) -> None:
    """The small pictures of an explanation for the page of the run, where it has one."""
    item, drawing = page.item, page.drawing
    if not (drawing.gallery and drawing.pictures) or item.seen.picture is None:
        return
    limit, table = page.dress.get("limit"), drawing.palette.table(page.shown, turned=item.turned)
    draw(run.path, _names(item), page.shown, page.picture, limit=limit, turned=item.turned, table=table)


def _names(item: Explanation) -> Names:
    return Names.of(item.folder, item.name, item.content)


def _pictures(base: Path, page: Page) -> list[str]:
    return _written(base, page, drawn=True) if page.drawing.pictures else []


def _written(base: Path, page: Page, *, drawn: bool) -> list[str]:
    """Write the formats that suit an explanation, pictures or the others; returns the names of the files."""
    kind = page.item.seen.kind
    suited = (entry for entry in FORMATS.values() if kind in entry.properties["of"])
    return [name for entry in suited if entry.properties["drawn"] == drawn for name in entry.load()(base, page)]


def _stamps(base: Path, names: Sequence[str]) -> dict[str, Stamp]:
    return {name: stamp(base / name) for name in names}


def _drawn(item: Explanation, drawing: Drawing) -> str:
    """A digest of all that the pictures of an explanation depend on, besides what identifies the item."""
    seen = item.seen
    return digest_of(
        item.image,
        item.what(),
        item.facts(),
        item.unit,
        item.names,
        drawing.of(item).spec,
        drawing.signs,
        *([drawing.significant] if drawing.significant else ()),
        *(["saved"] if drawing.saved else ()),
        *(["bare"] if drawing.bare else ()),
        *([drawing.cmap] if drawing.cmap != DEFAULT_NAME else ()),
        item.ends,
        item.turned,
        item.content,
        [entry.name for entry in FORMATS.values() if entry.properties["drawn"] and seen.kind in entry.properties["of"]],
    )


def _reload(run: RunFolder, item: Explanation) -> Explanation:
    """Read back what an earlier run left, so the pictures of a resumed run show what those of a whole one do."""
    if item.values is not None:
        return item
    entry = run.ledger.entries[item.image, item.method, str(item.target)]
    values, stderr, apart = (
        np.load(run.path / item.folder / name, allow_pickle=False) if name in entry.files else None
        for name in (f"{item.name}.npy", f"{item.name}.stderr.npy", f"{item.name}.deviations.npy")
    )
    players = item.seen.players if item.seen.players is not None else run.ledger.players(entry.players)
    return replace(item, values=values, stderr=stderr, deviations=apart, players=players)
