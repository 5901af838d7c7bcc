"""Which classes the cells of a column stand for: indices, or names, which may be numbers themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..attribution.targets import class_names
from ..errors import UsageError, unknown
from ..files import cell_text

Kind = Literal["index", "name", "either"]
INDEX: Kind = "index"
NAME: Kind = "name"
EITHER: Kind = "either"
Cell = frozenset[int] | None
"""The classes that a cell may stand for; none of them where it is no class, several of one name, None where it is empty."""
_EMPTY = frozenset(("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-", "?"))
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:[.,]0*)?")
"""An integer, also as pandas writes it in a column with gaps: 2.0."""
_WNID = re.compile(r"n[0-9]{8}")


@dataclass(frozen=True)
class Column:
    """A column of classes, read.

    Args:
        title: what the table calls it.
        texts: its cells.
        cells: what each stands for.
        read: as what they were read.
        other: what they stand for as names, where all are indices as well as names, and of other classes.
        partial: some of its cells are other words, and another column has the classes.
    """

    title: str
    texts: Sequence[str]
    cells: Sequence[Cell]
    read: Kind
    other: Sequence[Cell] | None = None
    partial: bool = False

    @property
    def whole(self) -> bool:
        """Whether no cell is something else than a class."""
        return all(cell is None or cell for cell in self.cells)

    @property
    def tells(self) -> bool:
        """Whether any of its cells is a class."""
        return any(self.cells)


class Classes:
    """The classes of a model, as cells of a table name them.

    Args:
        names: their names, or None.
        count: how many there are.

    >>> Classes(["1", "10", "2"], 3).column("class", ["10", "nan", "2.0"], "name").cells
    [frozenset({1}), None, frozenset({2})]
    """

    def __init__(self, names: Sequence[str] | None, count: int):
        self.names, self.count = names, count
        self._known = None if names is None else class_names(tuple(names))

    def named(self, text: str) -> frozenset[int]:
        """The classes of that name; a number with decimals is also the name without them."""
        if self._known is None:
            return frozenset()
        found = self._known.find(text)
        whole = _WHOLE.fullmatch(text)
        return frozenset(found or (self._known.find(whole[1]) if whole else ()))

    def numbered(self, text: str) -> frozenset[int]:
        """The class of that index, if there is one."""
        whole = _WHOLE.fullmatch(text)
        return frozenset({int(whole[1])}) if whole and int(whole[1]) in range(self.count) else frozenset()

    def column(self, title: str, cells: Sequence[str], kind: Kind) -> Column:
        """Read a column.

        Args:
            title: what the table calls it.
            cells: its cells.
            kind: what its title says of them. "either" is an index where all cells are indices of classes, and a name where
                all are names; where all are both and differ, `other` has the second reading.
        """
        texts = [cell_text(cell.strip()) for cell in cells]
        names = {text: self.named(text) for text in set(texts)}
        full = {text for text, found in names.items() if found or text.casefold() not in _EMPTY}
        numbers = {text: self.numbered(text) for text in full}
        as_index, as_name = all(numbers.values()), all(names[text] for text in full)
        if kind == INDEX and any(names.values()) and not any(map(_WHOLE.fullmatch, full)):
            kind = NAME  # whoever calls names ids
        if kind == NAME and as_index and not any(names.values()):
            kind = INDEX
        if kind == EITHER and as_index and as_name and any(not numbers[text] <= names[text] for text in full):
            other = [names[text] if text in full else None for text in texts]
            return Column(title, texts, [numbers.get(text) for text in texts], EITHER, other)
        if kind == EITHER and (as_index or as_name):
            kind = INDEX if as_index else NAME
        known = {text: self._cell(numbers[text], names[text], kind) for text in full}
        return Column(title, texts, [known.get(text) for text in texts], kind)

    @staticmethod
    def _cell(number: frozenset[int], names: frozenset[int], kind: Kind) -> frozenset[int]:
        return number if kind == INDEX else names if kind == NAME else number | names

    def refusal(self, column: Column, row: int) -> UsageError:
        """Why a cell is no class, or not one alone."""
        text, every = column.texts[row], f"0 to {self.count - 1}"
        found = column.cells[row]
        if found:
            return UsageError("several classes have this label", allowed=f"one of the indices {sorted(found)}")
        if _WHOLE.fullmatch(text) and (column.read != NAME or self.names is None):
            whole = [int(one[1]) for one in map(_WHOLE.fullmatch, column.texts) if one]
            hint = None
            if min(whole) == 1 and max(whole) == self.count:
                hint = f"They run from 1 to {self.count}, and none is 0: if they count from 1, subtract 1 from each."
            return UsageError("label is out of range", allowed=every, hint=hint)
        if column.read == INDEX:
            return UsageError("a class index must be an integer", allowed=every)
        if self.names is None:
            hint = "Give a file of names with --class-names."
            return UsageError("the model has no class names", allowed=f"an index {every}", hint=hint)
        error = unknown("label", text, self.names)
        ids = "To read WordNet ids, give them as the names: --class-names FILE with the id of each class on a line."
        return UsageError(error.what, allowed=error.allowed, hint=ids if _WNID.fullmatch(text) else error.hint)
