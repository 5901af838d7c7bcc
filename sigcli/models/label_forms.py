"""Class names in the forms in which they are spread: JSON, Python, YAML, tables with and without titles, WordNet ids."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from sigcli.errors import ModelError
from sigcli.inputs.tables import Rows, cuttings, lines_of

from .label_pairs import Names, after_wnids, counted, numbers, ordered, paired, wnids

_KEYS = (
    "id2label", "idx_to_class", "idx2label", "class_to_idx", "label2id", "names", "class_names", "classnames", "classes",
    "labels", "categories",
)  # fmt: skip
_INDEX = frozenset(
    ("index", "idx", "id", "classindex", "classidx", "classid", "labelid", "labelindex", "number", "no", "")
)
_NAME = frozenset(
    ("name", "classname", "labelname", "label", "class", "category", "categoryname", "displayname", "words")
)
_ITEM = re.compile(r"\s*[\"']?([0-9]{1,9})[\"']?\s*:\s*(.+?)\s*,?\s*")
_TITLED = re.compile(r"\s*[A-Za-z_]\w*\s*[:=]\s*(?=[\[{])")
_LINE_ITEM = re.compile(r"[\"']?[0-9]+[\"']?\s*[,;\t|]")
_SHOWN = 40


def from_literal(text: str, classes: int) -> Names | None:
    """Names from JSON, or a list or dict of Python, also one that a name is given (`classes = […]`); None for other text.

    Raises:
        ModelError: it is one, and cannot be read or used.
    """
    plain = re.sub(r"\A(?:\s*#[^\r\n]*(?:[\r\n]+|\Z))+", "", text).strip()
    plain = plain[match.end() :] if (match := _TITLED.match(plain)) else plain
    if not plain.startswith(("[", "{")) or not plain.endswith(("]", "}")):
        return None
    try:
        try:
            return _from_data(json.loads(plain, object_pairs_hook=_Pairs), classes, "JSON")
        except json.JSONDecodeError:
            with warnings.catch_warnings():  # of odd escapes
                warnings.simplefilter("ignore")
                return _from_data(_literal(ast.parse(plain, mode="eval").body), classes, "Python")
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(f"the class-name file is neither JSON nor a list or dict of Python: {error}") from error


class _Pairs(list[tuple[Any, Any]]):
    """A dict whose keys may come twice."""


def _literal(node: ast.AST) -> Any:
    if isinstance(node, ast.Dict) and all(node.keys):
        return _Pairs(
            (ast.literal_eval(key), _literal(value)) for key, value in zip(node.keys, node.values, strict=True) if key
        )
    return ast.literal_eval(node)  # type: ignore[arg-type]


def _from_data(data: Any, classes: int, what: str) -> Names:
    """Names from a list, or a dict either way round."""
    if isinstance(data, _Pairs):
        return _from_dict(data, classes, what)
    if isinstance(data, (list, tuple)) and data:
        if all(isinstance(one, _Pairs) for one in data):
            return _from_records([dict(one) for one in data], classes, what)
        if all(isinstance(one, (list, tuple)) and len(one) == 2 for one in data):
            return _from_rows([[*one] for one in data], classes, what)
        if all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in data):
            return Names(tuple(str(one).strip() for one in data), f"a {what} list")
    raise ModelError(
        f"the class-name file is {what} of another form", allowed="a list of names, {index: name} or {name: index}"
    )


def _from_dict(pairs: _Pairs, classes: int, what: str) -> Names:
    keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    known = dict(pairs)
    if (name := next((key for key in _KEYS if key in known), None)) and isinstance(known[name], (list, tuple)):
        return _from_data(known[name], classes, what)  # also `_Pairs`
    whole = numbers(keys)
    keys = keys if whole is None or what != "JSON" else whole  # JSON has no other keys than texts
    found = paired(keys, [_name(value) for value in values], classes, ("the key", "the value")) if pairs else None
    if found is None:
        raise ModelError(f"the class-name file is {what} of another form", allowed="{index: name} or {name: index}")
    return Names(found.names, f"{what}, {found.how}")


def _name(value: Any) -> Any:
    """The name that stands for a class: the last of a WordNet id and a name, synonyms with commas, or a record's name."""
    if isinstance(value, _Pairs):
        return next((v for k, v in value if re.sub(r"\W|_", "", str(k)).casefold() in _NAME), str(dict(value)))
    if isinstance(value, (list, tuple)) and value:
        rest = value[1:] if len(value) > 1 and wnids(value[:1]) else value
        return ", ".join(map(str, rest))
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _from_records(records: Sequence[Mapping[str, Any]], classes: int, what: str) -> Names:
    titles = [key for key in records[0] if all(key in record for record in records)]
    rows = [[str(record[key]) for key in titles] for record in records]
    found = _titled([str(title) for title in titles], rows, classes)
    if found is None:
        raise ModelError(f"the class-name file is {what} of another form", given=", ".join(map(str, titles))[:_SHOWN])
    return Names(found.names, f"{what}, {found.how}")


def _from_rows(rows: list[list[Any]], classes: int, what: str) -> Names:
    first, second = ([row[place] for row in rows] for place in (0, 1))
    if wnids(first):
        return after_wnids(
            first, Names(tuple(str(name).strip() for name in second), f"{what}, names after WordNet ids")
        )
    found = paired(first, second, classes, ("the first", "the second"))
    if found is None:
        raise ModelError(f"the class-name file is {what} of another form", given=str(rows[0])[:_SHOWN])
    return Names(found.names, f"{what}, {found.how}")


def from_yaml(text: str, classes: int) -> Names | None:
    """Names from lines `0: cat`, and from those below `names:`, as in a data.yaml; None for other text."""
    lines = [line for line in lines_of(text) if line.strip() and not line.lstrip().startswith("#")]
    start = next((i for i, line in enumerate(lines) if re.fullmatch(r"names\s*:\s*", line)), None)
    inline = next((line for line in lines if re.match(r"names\s*:\s*[\[{]", line)), None)
    if inline is not None and all(re.match(r"\w[\w ]*:|\s|-", line) for line in lines):
        return from_literal(inline, classes)
    if start is not None:
        lines = lines[start + 1 :]
        end = next((i for i, line in enumerate(lines) if not re.match(r"\s|-", line)), len(lines))
        lines = lines[:end]
        if lines and all(re.match(r"\s*-\s+", line) for line in lines):
            return Names(tuple(_unquoted(re.sub(r"^\s*-\s+", "", line)) for line in lines), "the list below names:")
    items = [_ITEM.fullmatch(line) for line in lines]
    if not items or not all(items):
        ends = [re.fullmatch(r"\s*(.+?)\s*:\s*([0-9]{1,9})\s*,?\s*", line) for line in lines]
        last = numbers([end[2] for end in ends if end])
        if not ends or not all(ends) or not (counted(last) or counted(last, 1)):
            return None
        names = [_unquoted(end[1]) for end in ends if end]
        return ordered(last or [], names, classes, "lines of name: index")
    found = [(int(item[1]), _unquoted(item[2])) for item in items if item]
    return ordered([i for i, _ in found], [name for _, name in found], classes, "lines of index: name")


def _unquoted(name: str) -> str:
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    return name[1:-1] if quoted else name


def from_table(text: str, classes: int) -> Names | None:
    """Names from a table: with titles, or with an index or a WordNet id on each line; None for other text.

    Raises:
        ModelError: it is a table, and it cannot be known which column is the index, or the indices do not fit.
    """
    lines = [line for line in lines_of(text) if line.strip() and not line.startswith("#")]
    ways = cuttings("\n".join(lines))
    for way, rows in ways.items():
        titles = [re.sub(r"\W|_", "", cell).casefold() for cell in rows[0]]
        if "spaces" not in way and len(titles) > 1 and {*titles} & _NAME and len(rows) > 1:
            found = _titled(rows[0], _joined(rows[1:], len(titles)), classes)
            if found is not None:
                return found
    if lines and all(map(_LINE_ITEM.match, lines)):
        return _indexed(lines, ways, classes)
    if len(lines) > 2 and all(map(_LINE_ITEM.match, lines[1:])):  # below titles that sig does not know
        return _indexed(lines[1:], {way: rows[1:] for way, rows in ways.items()}, classes)
    for way in ("commas", "semicolons", "tabs", "bars"):
        for rows in (ways.get(way, []), ways.get(way, [])[1:]):
            if rows and all(len(row) > 1 for row in rows) and numbers([row[-1] for row in rows]) is not None:
                return paired([", ".join(row[:-1]) for row in rows], [row[-1] for row in rows], classes, _PLACES)
    return _spaced(lines, classes)


_PLACES = ("the first column", "the last column")


def _indexed(lines: list[str], ways: Mapping[str, Rows], classes: int) -> Names:
    """Names after an index on every line."""
    for rows in ways.values():
        if any(len(row) < 2 for row in rows) or numbers([row[0] for row in rows]) is None:
            continue
        if max(map(len, rows)) > 2 and wnids([row[1] for row in rows]):
            made = ordered([int(row[0]) for row in rows], [", ".join(row[2:]) for row in rows], classes, _PLACES[0])
            ids = [row[1] for row in sorted(rows, key=lambda row: int(row[0]))]
            return after_wnids(ids, Names(made.names, "the first column is the index"))
        if (
            len(rows[0]) > 2
            and len({*map(len, rows)}) == 1
            and any(re.search(r"[,;]\S.*[,;]\S", line) for line in lines)
        ):
            raise ModelError(
                "the lines have several columns and no titles", given=" | ".join(rows[0])[:_SHOWN], allowed="index,name",
                hint="A name with commas in it needs quotes.",
            )  # fmt: skip
        last = [row[-1] if len(row) == 2 else ", ".join(row[1:]) for row in rows]
        made = paired([row[0] for row in rows], last, classes, _PLACES)
        if made is not None:
            return made
    raise ModelError("the class-name file has a line without index and label", allowed="lines of index,label")


def _joined(rows: Rows, width: int) -> Rows:
    """Rows of a width; UsageError where a name with commas lacks its quotes."""
    odd = next((row for row in rows if len([*filter(None, row)]) > width), None)
    if odd is not None:
        hint = "A name with the separator in it needs quotes."
        raise ModelError("a line has more cells than there are titles", given=" | ".join(odd)[:_SHOWN], hint=hint)
    return [[*row, *[""] * width][:width] for row in rows]


def _titled(titles: Sequence[str], rows: Rows, classes: int) -> Names | None:
    """Names from a table with titles; None where none of them is of names."""
    plain = [re.sub(r"\W|_", "", title).casefold() for title in titles]
    columns = [[row[place] for row in rows] for place in range(len(titles))]
    whole = [numbers(column) for column in columns]
    named = [place for place, title in enumerate(plain) if title in _NAME]
    if not named:
        return None
    name = min(named, key=lambda place: (whole[place] is not None, plain[place] not in ("name", "classname")))
    indexed = [place for place, title in enumerate(plain) if title in _INDEX and whole[place] is not None]
    indexed = indexed or [place for place in named if place != name and whole[place] is not None]
    how = f"names from the column '{titles[name]}'"
    ids = next((column for place, column in enumerate(columns) if place != name and wnids(column)), None)
    if not indexed:
        made = Names(tuple(columns[name]), f"{how}, in the order of the lines")
        return made if ids is None else after_wnids(ids, made)
    index = min(indexed, key=lambda place: (not plain[place], not plain[place].startswith(("class", "label"))))
    indices = whole[index] or []
    made = ordered(indices, columns[name], classes, f"{how}, indices from '{titles[index]}'")
    if ids is None:
        return made
    return after_wnids([one for _, one in sorted(zip(indices, ids, strict=True))], made)


def _spaced(lines: list[str], classes: int) -> Names | None:
    """Names after a WordNet id or an index and a space, or before a space and an index."""
    cut = [line.split(None, 1) for line in lines]
    if not cut or not all(len(row) == 2 for row in cut):
        return None
    first, rest = [row[0].rstrip(",:.)") for row in cut], [row[1].strip() for row in cut]
    if wnids(first):
        inner = _spaced(rest, classes) if numbers([one.split()[0] for one in rest]) is not None else None
        if inner is None:
            return after_wnids(first, Names(tuple(rest)))
        order = sorted(zip((int(one.split()[0]) for one in rest), first, strict=True))
        return after_wnids([one for _, one in order], inner)
    for found, names, how in (
        (numbers(first), rest, "each line begins with its index"),
        (numbers([line.rsplit(None, 1)[1] for line in lines]), [line.rsplit(None, 1)[0] for line in lines], "each line ends"
        " with its index"),
    ):  # fmt: skip
        if found and (counted(found) or counted(found, 1)) and len({*names}) == len(names):
            return ordered(found, names, classes, how)
    return None
