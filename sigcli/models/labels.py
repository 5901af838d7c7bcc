"""Class names from a file: one on each line, or any of the forms in `label_forms`."""

from __future__ import annotations

import re
from pathlib import Path

from sigcli.errors import ModelError
from sigcli.inputs.tables import lines_of, read_text

from .label_forms import from_literal, from_table, from_yaml
from .label_pairs import Names
from .sources.weights import check_file

_FORMS = "one label per line in the order of the classes, lines of index,label, or JSON"
_TITLES = frozenset(("name", "names", "class", "classes", "class_name", "class_names", "classname", "label", "labels"))
_BACKGROUND = frozenset(("background", "__background__", "bg", "_background_", "none", "n/a", "unlabeled", "unknown"))
_LONGEST = 1000


def read_labels(path: str | Path, classes: int) -> tuple[str, ...]:
    """Read one name for each class; see `read_names`."""
    return read_names(path, classes)[0]


def read_names(path: str | Path, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read one name for each class, and say how the file was read.

    Args:
        path: text with one label per line in class order; lines of index and name, in either order, with or without titles;
            JSON or Python: a list, `{index: name}`, `{name: index}`, `{index: [WordNet id, name]}`; lines `index: name`;
            names after WordNet ids. There may be comments (#), a byte order mark, and empty lines.
        classes: how many the network has.

    Returns:
        The names of class 0, 1, …; and a note, unless the file is plain lines.

    Raises:
        ModelError: no such file, not text, an index twice or out of range, another number of labels, or a file that can be
            read in two ways.
    """
    path = Path(path)
    check_file(path, "class-name")
    text = read_text(path, "the class-name file", error=ModelError)
    try:
        found = (
            from_literal(text, classes)
            or from_yaml(text, classes)
            or from_table(text, classes)
            or _lines(text, classes)
        )
        _check(found, classes)
    except ModelError as error:
        given = path if error.given is None else f"{path}: {error.given}"
        raise ModelError(error.what, given=given, allowed=error.allowed or _FORMS, hint=error.hint) from error
    return found.names, (f"class names from {path.name}: {found.how}",) if found.how else ()


def _lines(text: str, classes: int) -> Names:
    """One name on each line. The number of classes says whether a line with # is a comment, and whether there is a title."""
    every = [line.strip() for line in lines_of(text)]
    full = [line for line in every if line]
    plain = [line for line in full if not line.startswith("#")]
    for names, how in ((full, ""), (plain, f"lines but for {len(full) - len(plain)} comments")):
        if len(names) == classes > 1 and names[0] in _TITLES:
            hint = "Write lines of index,name if it is a class."
            raise ModelError("the first line may be a title, or the name of a class", given=names[0], hint=hint)
        if len(names) == classes:
            return Names(_bare(names), how)
        if len(names) == classes + 1 and names[0].casefold().strip("\"'") in _TITLES:
            return Names(_bare(names[1:]), f"lines below the title '{names[0]}'")
    while every and not every[-1]:
        every.pop()
    if len(every) == classes:
        raise ModelError(f"class {every.index('')} has no label", allowed="a label on each line")
    return Names(_bare(plain))


def _bare(names: list[str]) -> tuple[str, ...]:
    """Names without the quotes of CSV; without the quotes and commas of a list, where all have them."""
    bare = [name.removesuffix(",").rstrip() for name in names]
    if all(name.endswith(",") for name in names[:-1]) and len(names) > 1:
        names = bare
    if all(len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" for name in bare):
        names = bare
        if all(name[0] == "'" and "'" not in name[1:-1] for name in names):
            return tuple(name[1:-1].strip() for name in names)
    quoted = re.compile(r'"((?:[^"]|"")*)"')
    found = [quoted.fullmatch(name) for name in names]
    return tuple(f[1].replace('""', '"').strip() if f else name for f, name in zip(found, names, strict=True))


def _check(found: Names, classes: int) -> None:
    count = len(found.names)
    if count != classes:
        hint = None
        if count == classes + 1 and found.names[0].casefold() in _BACKGROUND:
            hint = f"The first is '{found.names[0]}', which the network does not have: leave it out."
        elif classes == count + 1:
            hint = "The network has one class more: if its class 0 is the background, put a line for it first."
        elif classes == 1:
            hint = "The network has a single output: name what it says yes to."
        raise ModelError(f"{count} labels for a network with {classes} classes", allowed=f"{classes} labels", hint=hint)
    for index, name in enumerate(found.names):
        if not name or len(name) > _LONGEST:
            what = f"the label of class {index} is too long" if name else f"class {index} has no label"
            raise ModelError(what, allowed=f"a label of at most {_LONGEST} characters for each class")
