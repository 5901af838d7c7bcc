"""Which columns of a table name the image and its class, by their titles and by what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..inputs.tables import Rows
from .class_cells import EITHER, INDEX, NAME, Cell, Classes, Column, Kind
from .image_names import Fit, ImageNames
from .label_table import CLASSES, COUNTS, IMAGES, INDICES, NAMES, ROWS, Table, Wanted, counts, cut_table, lookup

_READ_AS: Mapping[str, Kind] = {INDEX: INDEX, NAME: NAME}


@dataclass(frozen=True)
class Reading:
    """A table of labels, read.

    Args:
        image: title of the column of images.
        names: what it calls the image of each row.
        fits: the images of the run that these are.
        columns: the columns of classes, which agree.
        cells: the class of each row.
        aside: what was not taken for the class, in words.
    """

    image: str
    names: list[str]
    fits: list[Fit | None]
    columns: list[Column]
    cells: list[Cell]
    aside: list[str]


def read_columns(ways: Mapping[str, Rows], images: ImageNames, classes: Classes, wanted: Wanted) -> Reading:
    """Find the columns of a table of labels, and read them.

    Args:
        ways: the table, cut by each separator that cuts it.
        images: those of the run.
        classes: those of the model.
        wanted: what the user said of the columns.

    Raises:
        UsageError: no such columns, several of a kind that contradict each other, or cells that are no class.
    """
    table = cut_table(ways, images, wanted)
    place, fits = _image_column(table, images, wanted)
    columns, aside = _class_columns(table, place, classes, wanted)
    names = table.cells(place)
    for column in columns:
        for row, cell in enumerate(column.cells):
            if cell is not None and not cell:
                raise _of_row(classes.refusal(column, row), names[row], column.texts[row])
    columns, cells = _merged(columns, names)
    several = next((row for row, cell in enumerate(cells) if cell and len(cell) > 1), None)
    if several is not None:
        column = next(one for one in columns if one.cells[several])
        error = classes.refusal(replace(column, cells=cells), several)
        raise _of_row(error, names[several], column.texts[several])
    columns = [column for column in columns if not column.partial]
    aside += _beside(table, place, classes, columns, cells, wanted)
    return Reading(table.titles[place], names, fits, columns, cells, aside)


def _of_row(error: UsageError, image: str, text: str) -> UsageError:
    return UsageError(f"image {image}: {error.what}", given=text, allowed=error.allowed, hint=error.hint)


def _image_column(table: Table, images: ImageNames, wanted: Wanted) -> tuple[int, list[Fit | None]]:
    """The place of the column of images, and the images that its cells name."""
    every = {place: [images.fit(cell) for cell in table.cells(place)] for place in range(len(table.titles))}
    fitting = {place: fits for place, fits in every.items() if any(fits)}
    if wanted.image is not None:
        place = lookup(table, wanted.image, "--image-column")
        pool = [place] if place in fitting else []
    else:
        titled = [place for place in fitting if table.plain(place) in IMAGES]
        others = [place for place in fitting if table.plain(place) not in NAMES | INDICES | CLASSES]
        whole = [place for place in others if any(fit is not None and fit.whole for fit in fitting[place])]
        pool = titled or whole
        if not pool and not any(
            table.plain(place) in IMAGES for place in every
        ):  # without suffixes, and without a title
            pool = [p for p in others if not (table.plain(p) in COUNTS and counts(table.cells(p)))]
    if not pool:
        raise _no_images(table, images, wanted)
    best = max(pool, key=lambda place: sum(fit is not None for fit in fitting[place]))
    for other in pool:
        if any(a and b and not {*a.images} & {*b.images} for a, b in zip(fitting[best], fitting[other], strict=True)):
            two = f"{table.titles[best]}, {table.titles[other]}"
            hint = f"Name one: --image-column {table.titles[best]}."
            raise UsageError("two columns name images of the run, and other ones in a row", given=two, hint=hint)
    return best, fitting[best]


def _no_images(table: Table, images: ImageNames, wanted: Wanted) -> UsageError:
    titled = [place for place in range(len(table.titles)) if table.plain(place) in IMAGES]
    if wanted.image is None and not titled and table.headed:
        return UsageError(
            "the labels file needs a column of images and a column of classes, and none has the images of the run",
            given=table.shown(), allowed="image,label (an index or a name)",
            hint=f"An image is called {images.names[0]}; --image-column names the column.",
        )  # fmt: skip
    place = titled[0] if wanted.image is None and titled else 0
    place = place if wanted.image is None else lookup(table, wanted.image, "--image-column")
    shown = ", ".join(table.cells(place)[:3])
    return UsageError("the labels file has none of the images", given=shown, allowed=", ".join(images.names[:3]))


def _kind(plain: str) -> Kind | None:
    """What a title says of a column of classes."""
    return NAME if plain in NAMES else INDEX if plain in INDICES else EITHER if plain in CLASSES else None


def _class_columns(table: Table, image: int, classes: Classes, wanted: Wanted) -> tuple[list[Column], list[str]]:
    """The columns of classes, and what was not taken for one, in words."""
    if wanted.label is not None:
        first, colon, title = wanted.label.partition(":")
        told = _READ_AS.get(first) if colon else None
        place = lookup(table, title if told else wanted.label, "--label-column")
        return [
            classes.column(table.titles[place], table.cells(place), told or _kind(table.plain(place)) or EITHER)
        ], []
    rest = [place for place in range(len(table.titles)) if place != image and any(table.cells(place))]
    titled: list[tuple[int, Kind]] = [(place, kind) for place in rest if (kind := _kind(table.plain(place)))]
    if not titled:
        return _untitled(table, image, rest, classes)
    columns = [classes.column(table.titles[place], table.cells(place), kind) for place, kind in titled]
    telling = [column for column in columns if column.tells or column.other]
    whole = [column for column in telling if column.other or column.whole]
    aside = [f"'{column.title}' is no class" for column in columns if telling and column not in telling]
    for column, (_, kind) in zip(columns, titled, strict=True):
        if whole and column in telling and column not in whole and kind == EITHER:  # a category beside a class
            telling[telling.index(column)] = replace(
                column, cells=[cell or None for cell in column.cells], partial=True
            )
            aside.append(f"'{column.title}' has other words than the model")
    return telling or columns[:1], aside


def _untitled(table: Table, image: int, rest: list[int], classes: Classes) -> tuple[list[Column], list[str]]:
    """The column of classes where no title says so: the only one there is, or one for each class."""
    own = [place for place in rest if table.plain(place) not in COUNTS | IMAGES]
    if len(own) > 1 and all({*table.cells(place)} <= {"0", "1", "0.0", "1.0", ""} for place in own):
        return [_one_hot(table, own, image, classes)], [f"one column for each class ({len(own)} of them)"]
    if not own and (index := [place for place in rest if table.plain(place) in ROWS]):
        title, cells = table.titles[index[0]], table.cells(index[0])
        if len(cells) > 1 and counts(cells, restarts=False):
            hint = f"If it is the class: --label-column {title}."
            raise UsageError("the only other column numbers the rows", given=title, hint=hint)
        return [classes.column(title, cells, INDEX)], []
    columns = [classes.column(table.titles[place], table.cells(place), EITHER) for place in own]
    if len(own) == 1 and (not table.headed or columns[0].read == NAME):
        return columns, []  # of numbers it cannot be known what an unknown title calls so
    fit = [column for column in columns if column.other or (column.tells and column.whole)]
    if not table.headed and fit:
        return fit, []
    hint = " ".join(f"Name it: --label-column {column.title}." for column in fit[:1])
    allowed = "image,label (an index or a name)"
    raise UsageError(
        "the labels file needs a column of classes", given=table.shown(), allowed=allowed, hint=hint or None
    )


def _one_hot(table: Table, places: list[int], image: int, classes: Classes) -> Column:
    """Columns of 0 and 1, one for each class, as one column of their titles."""
    texts: list[str] = []
    for row in table.rows:
        ones = [place for place in places if row[place] in ("1", "1.0")]
        if len(ones) > 1:
            given = f"{row[image]}: {', '.join(table.titles[place] for place in ones)}"
            raise UsageError("an image has several classes", given=given, allowed="one 1 in each row")
        texts.append(table.titles[ones[0]] if ones else "")
    lost = next((text for text in texts if text and not classes.named(text)), None)
    if lost is not None:
        what = "the labels file has a column of 0 and 1 for each class, and not all are called as the model's classes"
        raise UsageError(
            what, given=lost, hint="Give the names of the columns, in the model's order: --class-names FILE."
        )
    return classes.column("titles of the columns of 0 and 1", texts, NAME)


def _merged(columns: list[Column], names: list[str]) -> tuple[list[Column], list[Cell]]:
    """The class of each row by all columns, which must agree; one that can be read in two ways is read as the others say."""
    plain = [column for column in columns if not column.other]
    for column in (column for column in columns if column.other):
        as_name = replace(column, cells=column.other or (), read=NAME, other=None)
        as_index = replace(column, read=INDEX, other=None)
        fit = [one for one in (as_index, as_name) if plain and not _contradictions([*plain, one])]
        if not fit and not plain:
            row = next(i for i, (a, b) in enumerate(zip(as_index.cells, as_name.cells, strict=True)) if a != b)
            raise UsageError(
                f"the column '{column.title}' can be read as indices and as names, which are other classes",
                given=f"{names[row]}: {column.texts[row]}",
                hint=f"Say which: --label-column index:{column.title} or --label-column name:{column.title}.",
            )
        plain.append(fit[0] if fit else as_index)
    if wrong := _contradictions(plain):
        row, one, other = wrong
        raise UsageError(
            f"the columns '{one.title}' and '{other.title}' name different classes",
            given=f"{names[row]}: {one.texts[row]}, {other.texts[row]}",
            hint=f"Say which holds: --label-column {one.title} or --label-column {other.title}.",
        )
    cells = [[column.cells[row] for column in plain] for row in range(len(names))]
    return plain, [
        frozenset.intersection(*told) if (told := [c for c in row if c is not None]) else None for row in cells
    ]


def _contradictions(columns: list[Column]) -> tuple[int, Column, Column] | None:
    """The first row of which two columns name different classes, and these columns."""
    for place, one in enumerate(columns):
        for other in columns[:place]:
            for row, (a, b) in enumerate(zip(one.cells, other.cells, strict=True)):
                if a is not None and b is not None and not a & b:
                    return row, other, one
    return None


def _beside(
    table: Table, image: int, classes: Classes, columns: list[Column], cells: list[Cell], wanted: Wanted
) -> list[str]:
    """What a column `index` is beside one of classes: these, or numbers of rows; UsageError where it may be either."""
    used = {column.title for column in columns}
    told: list[str] = []
    for place, title in enumerate(table.titles):
        if wanted.label is not None or place == image or table.plain(place) not in ROWS or title in used:
            continue
        index = classes.column(title, table.cells(place), INDEX)
        apart = [
            r for r, (a, b) in enumerate(zip(index.cells, cells, strict=True)) if a is not None and b and not a & b
        ]
        if not apart:
            continue
        values = [cell for cell in table.cells(place) if cell]
        if not (counts(values) or len(set(values)) == len(values) or not index.whole):
            both, other = f"{title}, {columns[0].title}", columns[0]
            given = f"{table.rows[apart[0]][image]}: {both}: {index.texts[apart[0]]}, {other.texts[apart[0]]}"
            hint = f"Say which holds: --label-column {title} or --label-column {other.title}."
            raise UsageError(
                f"the columns '{title}' and '{other.title}' name different classes", given=given, hint=hint
            )
        told.append(f"'{title}' numbers the rows and is no class")
    return told
