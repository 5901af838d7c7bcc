"""`sig list`: the catalogues. Only the options of one entry need torch."""

import os
import textwrap
from dataclasses import dataclass
from typing import cast

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ..attribution.options import NetworkOptions
from ..baselines import BASELINES
from ..catalog import Catalog, Entry
from ..errors import UsageError, unknown
from ..methods import AXIOMS, METHODS
from ..metrics import METRICS
from ..options import Option, flags, option, type_text
from ..options import table as options_of
from .catalogs import CATALOGS
from .command import Screen, command
from .console import table
from .described import OptionShown, described, kind_told

_NARROW, _WIDE, _PIPE, _NAME = 100, 160, 1000, 20  # columns


@dataclass(frozen=True, repr=False)
class ListOptions(NetworkOptions):
    """The options of `sig list`; those of the model are for its layers."""

    what: str | None = option(
        None, f"{', '.join(CATALOGS)} or layers.", keyword_only=False, argument=True, metavar="WHAT", shown=False
    )
    name: str | None = option(
        None, "An entry of that list: show its options and their defaults.", keyword_only=False, argument=True,
        metavar="NAME", shown=False,
    )  # fmt: skip


@command(ListOptions, kept="")
def listing(options: ListOptions, screen: Screen) -> None:
    """List models, methods, baselines, estimators, metrics, scenarios or formats; with a name, the options of that entry.

    'sig list layers --model NAME' lists a model's layers, for --set layer=NAME; a star marks the default.

    Examples:
      sig list methods                       what --method may be, with its cost

      sig list methods sig                   one entry in full, with its options

      sig list layers --model shapes         what --set layer= may be
    """
    what, name = options.what, options.name
    if what is None:
        raise UsageError("nothing to list was given", allowed=", ".join([*CATALOGS, "layers"]))
    if what == "layers":
        _layers(options, screen)
        return
    if what not in CATALOGS:
        raise unknown("list", what, [*CATALOGS, "layers"])
    catalog = CATALOGS[what]
    if name is None:
        entries = [_record(catalog, entry) for entry in catalog.values()]
    elif what == "models" and name not in catalog:
        entries = [_network(name)]
    else:
        entries = [_details(catalog[name])]
    if what == "models" and name is None:
        entries += _torchvision()
    if screen.as_json:
        for entry in entries:
            screen.results.add(entry)
    elif name is None:
        _show(entries)
    else:
        print(entries[0]["help"])


def _layers(options: ListOptions, screen: Screen) -> None:
    from ..models.layers import model_layers

    made = table("layer", "class", "output of one image", "")
    for column in made.columns:
        column.overflow, column.no_wrap = "fold", False
    found = model_layers(
        str(options.model), weights=options.weights, size=options.image_size, resize=options.resize, crop=options.crop,
        part=options.part,
    )  # fmt: skip
    for layer, default in found:
        if screen.as_json:
            shape, has_map = list(layer.shape), layer.grid is not None
            record = {"name": layer.name, "class": layer.kind, "shape": shape, "map": has_map, "default": default}
            screen.results.add(record)
        shape = "×".join(map(str, layer.shape))
        made.add_row(escape(layer.name), layer.kind, shape, "* default" if default else "")
    if not screen.as_json:
        Console(highlight=False, emoji=False).print(made)


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
        facts = ("cost", "passes", "needs", "positive")
        record |= {fact: entry.properties[fact] for fact in facts if fact in entry.properties}
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
    from ..models import names, others

    every = {**dict.fromkeys(names(), "torchvision"), **{name: f"torchvision, {of}" for name, of in others().items()}}
    return [{"name": name, "summary": summary, "kind": "model"} for name, summary in every.items()]


def _network(name: str) -> dict[str, object]:
    from ..models import described

    return {"name": name, "options": {}, "help": described(name)}


def _details(entry: Entry) -> dict[str, object]:
    options = {
        option: {
            "default": p.default if isinstance(p.default, (int, float, str, bool)) else None,
            "type": type_text(p.annotation).replace(" | Tensor", ""),
        }
        for option, p in entry.options().items()
    }
    owner = f"{entry.name}." if entry in METRICS.values() else ""  # a bare name is an option of the methods
    if entry in BASELINES.values():  # what follows its name is no option
        shown = []
    elif entry.options_class is None:
        shown = [
            OptionShown(name, f"--set {owner}{name}={known['default']}", kind_told(str(known["type"])))
            for name, known in options.items()
        ]
    else:
        known_options = options_of(entry.options_class, entry.name).items()
        shown = [_option(name, known, field.default) for name, (known, field) in known_options]
    width = min(_paper().width, _NARROW)
    text = described(f"{entry.name}: {entry.summary}", entry.description(), shown, width)
    return {"name": entry.name, "options": options, "help": text}


def _option(name: str, known: Option, default: object) -> OptionShown:
    """An option of a command, with its default and its help."""
    shown = known.shown if isinstance(known.shown, str) else "" if default in (None, ()) else str(default)
    return OptionShown(name, f"{flags(name, known)[0]}{f' [{shown}]' if shown else ''}", told=known.help)


def _show(entries: list[dict[str, object]]) -> None:
    console = _paper()
    facts = [fact for fact in ("cost", "needs", "axioms", "unit", "better") if fact in entries[0]]
    if console.width < (_WIDE if facts else _NARROW):
        _show_narrow(entries, facts, console)
    else:
        made = table("name", "what it is", *(f"{fact} (passes)" if fact == "cost" else fact for fact in facts))
        made.show_header, made.columns[0].style = bool(facts), "bold"
        made.columns[1].overflow = "fold"
        for entry in entries:
            made.add_row(escape(str(entry["name"])), escape(_summary(entry)), *(_cell(entry, fact) for fact in facts))
        console.print(made)
    if "axioms" in facts:
        console.print("axioms: " + ", ".join(f"{name[0]} {name}" for name in AXIOMS))


def _paper() -> Console:
    """Standard output; in a pipe, where nobody's window is narrow, an entry is a line."""
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE
    return console


def _show_narrow(entries: list[dict[str, object]], facts: list[str], console: Console) -> None:
    """Entries of a few lines each, where columns would be too narrow to be read."""
    widest = min(max(len(str(entry["name"])) for entry in entries), _NAME)
    cut = False
    for entry in entries:
        lines, whole = _two_lines(entry, facts, widest, console.width)
        cut |= not whole
        for line in lines:
            console.print(line)
    if cut:
        console.print("… goes on in a wider window, or with: sig list WHAT NAME", style="dim")


def _two_lines(entry: dict[str, object], facts: list[str], widest: int, width: int) -> tuple[list[Text], bool]:
    """An entry for a window of so many columns, in as few lines as hold it; and whether that is all of it."""
    name, what = str(entry["name"]), str(entry["summary"])
    told = "; ".join(_plain_fact(entry, fact) for fact in facts if entry[fact])
    first = Text(f"{name:<{widest}}", style="bold")
    if told:
        what = what.removesuffix(f" ({entry.get('better')} is better)")
        what = also if len(also := _summary({**entry, "summary": what})) + 4 <= width else what
        rows, before = [f"  {told}", what], 4
    elif len(name) <= widest:
        before = widest + 2
        rows = textwrap.wrap(what, max(width - before, 20))
        rows = [f"  {rows[0]}", *([" ".join(rows[1:])] if rows[1:] else [])]
    else:
        rows, before = ["", what], 4
    rows = [rows[0], *(part for row in rows[1:] for part in textwrap.wrap(row, max(width - before, 20)))]
    lines = [first + Text(rows[0]), *(Text(" " * before + row) for row in rows[1:])]
    whole = all(line.cell_len <= width for line in lines)
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return lines, whole


def _plain_fact(entry: dict[str, object], fact: str) -> str:
    """A fact in words, where no heading says what it is."""
    cell = _text(entry, fact)
    if fact == "cost":
        return f"{cell} {'pass' if cell == '1' else 'passes'}"
    return f"{cell} is better" if fact == "better" else cell


def _summary(entry: dict[str, object]) -> str:
    also = ", ".join(cast(list[str], entry.get("aliases", [])))
    return f"{entry['summary']}{f' (also: {also})' if also else ''}"


def _cell(entry: dict[str, object], fact: str) -> str:
    """A fact in a column."""
    return escape(_text(entry, fact))


def _text(entry: dict[str, object], fact: str) -> str:
    """A fact as it is shown: a cost with its number where that does not stand there already."""
    if fact == "axioms":
        return _initials(entry[fact])
    text = str(entry[fact])
    if fact == "cost" and text != str(entry.get("passes", text)):
        text += f" = {entry['passes']:,}"
    return text


def _initials(axioms: object) -> str:
    """The axioms' first letters, each in its own place."""
    return "".join(name[0] if name in cast(list, axioms) else "·" for name in AXIOMS)
