"""`sig list`: the catalogues. Only the options of one entry need torch."""

from __future__ import annotations

import inspect
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..baselines import BASELINES
from ..catalog import Catalog, Entry
from ..errors import unknown
from ..gridworld import ESTIMATORS
from ..methods import AXIOMS, METHODS
from ..metrics import METRICS
from ..models import MODELS
from ..scenarios import SCENARIOS
from . import options as o
from .answers import Answers, answers
from .console import guarded

CATALOGS: dict[str, Catalog] = {
    "models": MODELS,
    "methods": METHODS,
    "baselines": BASELINES,
    "estimators": ESTIMATORS,
    "metrics": METRICS,
    "scenarios": SCENARIOS,
}


def listing(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="models, methods, baselines, estimators, metrics, scenarios or layers."),
    ],
    name: Annotated[str | None, typer.Argument(help="One entry: its options, with defaults and meaning.")] = None,
    model: o.Model = "shapes",
    weights: o.Weights = None,
    size: o.Size = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Show what there is: models, methods, baselines, estimators, metrics, scenarios; with a name, that entry's options.

    'sig list layers --model NAME' shows a model's layers, for --set layer=NAME; a star marks the one taken by default.
    """
    with guarded(debug), answers(as_json) as results:
        if what == "layers":
            _layers(model, weights, size, resize, crop, results if as_json else None)
            return
        if what not in CATALOGS:
            raise unknown("list", what, [*CATALOGS, "layers"])
        catalog = CATALOGS[what]
        entries = [_record(catalog, entry) for entry in catalog.values()] if name is None else [_details(catalog[name])]
        if what == "models" and name is None:
            entries += _torchvision()
        if as_json:
            for entry in entries:
                results.add(entry)
        elif name is None:
            _show(entries)
        else:
            typer.echo(entries[0]["help"])


def _layers(
    model: str, weights: str | None, size: str | None, resize: int | None, crop: int | None, results: Answers | None
) -> None:
    from ..models.layers import model_layers

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("layer", "class", "output of one image", ""):
        table.add_column(column, overflow="fold")
    for layer, default in model_layers(model, weights=weights, size=size, resize=resize, crop=crop):
        if results is not None:
            record = {
                "name": layer.name,
                "class": layer.kind,
                "shape": list(layer.shape),
                "map": layer.grid is not None,
            }
            results.add({**record, "default": default})
        shape = "×".join(map(str, layer.shape))
        table.add_row(escape(layer.name), layer.kind, shape, "* default" if default else "")
    if results is None:
        Console(highlight=False, emoji=False).print(table)


def _record(catalog: Catalog, entry: Entry) -> dict[str, object]:
    form = entry.properties.get("argument")
    shown = entry.name if form is None or entry.name == "FILE" else f"{entry.name}:{form}"
    record: dict[str, object] = {
        "name": shown,
        "summary": entry.summary,
        **({"aliases": list(entry.aliases)} if entry.aliases else {}),
        **({"kind": catalog.kind} if not form else {}),
    }
    if catalog is METHODS:
        record |= {fact: entry.properties[fact] for fact in ("cost", "needs")}
        record["axioms"] = list(entry.properties["axioms"])
        record["source"] = entry.summary.rpartition("[")[2].rstrip("]")
    if catalog is METRICS:
        higher = entry.properties["higher_is_better"]
        record |= {
            "unit": entry.properties["unit"],
            "better": {True: "higher", False: "lower", None: "neither"}[higher],
        }
        record["source"] = entry.summary.rpartition("[")[2].rstrip("]") if "[" in entry.summary else ""
    return record


def _torchvision() -> list[dict[str, object]]:
    from ..models import names

    return [{"name": name, "summary": "torchvision", "kind": "model"} for name in names()]


def _details(entry: Entry) -> dict[str, object]:
    options = {
        option: {
            "default": p.default if isinstance(p.default, (int, float, str, bool)) else None,
            "type": str(p.annotation).replace(" | Tensor", ""),
        }
        for option, p in entry.options().items()
    }
    heading = f"{entry.name}: {entry.summary}\n"
    owner = f"{entry.name}." if entry in METRICS.values() else ""  # a bare name is an option of the methods
    lines = [f"  --set {owner}{option}={value['default']}   ({value['type']})" for option, value in options.items()]
    text = "\n".join(
        [heading, inspect.getdoc(entry.load()) or "", *(["", "Options and defaults:"] if lines else []), *lines]
    )
    return {"name": entry.name, "options": options, "help": text}


def _show(entries: list[dict[str, object]]) -> None:
    facts = [fact for fact in ("cost", "needs", "axioms", "unit", "better") if fact in entries[0]]
    table = Table(box=None, show_header=bool(facts), header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("what it is")
    for fact in facts:
        table.add_column(f"{fact} (passes)" if fact == "cost" else fact)
    for entry in entries:
        cells = [escape(_initials(entry[fact]) if fact == "axioms" else str(entry[fact])) for fact in facts]
        also = ", ".join(cast(list[str], entry.get("aliases", [])))
        summary = f"{entry['summary']}{f' (also: {also})' if also else ''}"
        table.add_row(escape(str(entry["name"])), escape(summary), *cells)
    console = Console(highlight=False, emoji=False)
    console.print(table)
    if "axioms" in facts:
        console.print("axioms: " + ", ".join(f"{name[0]} {name}" for name in AXIOMS), soft_wrap=True)


def _initials(axioms: object) -> str:
    """The axioms' first letters, each in its own place."""
    return "".join(name[0] if name in cast(list, axioms) else "·" for name in AXIOMS)
