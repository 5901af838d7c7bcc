"""Existing attributions, from a run of ours or from anyone: arrays in a folder, one or several for each image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..comparisons import pair_of, target_of, told
from ..errors import AttributionError, ImageError, UsageError, unknown
from ..files import holds, load_array
from ..inputs.given import Source
from ..inputs.images import read_image
from ..names import original
from ..runs.filenames import earlier_folders, methods_of
from ..runs.folder import read_manifest, read_rows, run_names, safe_cell
from ..runs.ledger import Ledger
from .explanation import Explanation
from .samples.seen import Missing
from .session import Session

_CLASS = re.compile(r"[.]class([0-9]+(?:-[0-9]+)?)$")
_TARGET = re.compile(r"[0-9]+(-[0-9]+)?")
_UNKNOWN = {
    "classes": ("class", "the predicted one"), "regions": ("class and region", None), "boxes": ("box", None),
}  # fmt: skip
"""What is not known of an array, and what is taken then; None for what --target names."""
ONE = "map"
"""What a method is called whose array stands beside the image's name without a name of its own."""


def check_arrays(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> None:
    """Raise UsageError unless the folder is there and holds an array of some image, of every method that was named."""
    if not folder.is_dir():
        raise UsageError("no such folder of attributions", given=folder)
    there = _Arrays(folder)
    whole = {method for name, stem in there.names(session) for method in there.of(name, stem)}
    here = whole.union(*_each(session, there, None))
    for name in only or ():
        if name not in here:
            raise unknown("method of these arrays", name, sorted(here))
    if not here:
        raise UsageError(
            "no array belongs to any of the images", given=folder, allowed="<image>/<method>.npy or <image>.npy"
        )


def count(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> int:
    """How many explanations `saved` yields: of each image and method one for each class, or one that says what lacks."""
    there = _Arrays(folder)
    methods = _methods(session, there, only)
    return sum(max(1, len(of.get(method, ()))) for of in _each(session, there, only) for method in methods)


def assumed(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """What the user must know of the classes that the arrays of a folder are measured for."""
    there = _Arrays(folder)
    targets, named = ({} if _placed(session, folder) else _targets(folder, there.ledger)), _named(session)
    known: list[int | str | None] = []
    for (name, stem), of in zip(there.names(session), _each(session, there, only), strict=True):
        for method, files in of.items():
            known += [_told(targets.get(there.key(name, stem, method), {}), file)[0] for file in files]
    if named is None:
        unknown, all_of = sum(one is None for one in known), len(known)
        what, taken = _UNKNOWN[session.model.task]
        taken = f"--target {session.samples.spelled(session.model)}" if taken is None else taken
        text = f"nothing says which {what} {unknown} of {all_of} arrays explain: {taken} is taken"
        return (f"{text} (--target names another)",) if unknown else ()
    other = sum(one not in (None, named) for one in known)
    what = session.samples.label(session.model, target_of(named, session.model.classes)) or f"class {named}"
    text = f"all arrays are measured for {what}, as --target says"
    return (f"{text}, though {other} of {len(known)} were made for another class",) if other else ()


def _named(session: Session) -> int | str | None:
    """The one class that the user named, or None; a region or a box is found in each image, see `_Top`."""
    if session.model.task != "classes":
        return None
    return told(session.target, session.model.classes) if isinstance(session.target, int) else None


def _placed(session: Session, folder: Path) -> bool:
    """Whether the regions or boxes of all arrays are found anew, since the user names others than the run has."""
    if session.model.task == "classes":
        return False
    return (read_manifest(folder) or {}).get("target") != session.samples.manifest()["target"]


def _each(session: Session, there: _Arrays, only: tuple[str, ...] | None) -> list[dict[str, list[Path]]]:
    """For each image: method → its arrays, one for each class."""
    return [there.by_method(name, stem, only) for name, stem in there.names(session)]


def _methods(session: Session, there: _Arrays, only: tuple[str, ...] | None) -> list[str]:
    """Every method that some image has an array of: as they were named, as the run has them, else by name."""
    here = {method for of in _each(session, there, only) for method in of}
    ordered = [*(only or ()), *methods_of(there.manifest)]
    return [*dict.fromkeys(name for name in ordered if name in here), *sorted(here.difference(ordered))]


def saved(session: Session, folder: Path, only: tuple[str, ...] | None = None) -> Iterator[Explanation]:
    """The arrays of a folder as explanations: `<image>/<method>.npy` as a run leaves them, or `<image>.npy`.

    A target that was named holds for all. Otherwise targets come from the folder's `results.csv` or a name like
    `sig.class5.npy`, else the predicted class is taken. Of a run of several classes, each array is its method's.

    Args:
        session: its images and model.
        folder: folder of the arrays.
        only: names of methods, or None for all.
    """
    named = _named(session)
    there = _Arrays(folder)
    targets = {} if _placed(session, folder) else _targets(folder, there.ledger)
    methods = _methods(session, there, only)
    for (name, stem), path in zip(there.names(session), session.paths, strict=True):
        of = there.by_method(name, stem, only)
        top = _Top(session, path)
        for method in methods:
            if method not in of:
                yield Explanation(name, method, folder=stem, status="failed", error="no array for this image")
            for file in of.get(method, ()):
                if there.damaged(file):
                    error = f"the array {file.name} is damaged: it differs from what the run wrote"
                    yield Explanation(name, method, folder=stem, status="failed", error=error)
                    continue
                known, content = _told(targets.get(there.key(name, stem, method), {}), file)
                yield replace(_read(name, method, file, known if named is None else named, top), content=content)


def _told(targets: Mapping[int | str, str], file: Path) -> tuple[int | str | None, str]:
    """The class that an array explains, by its file's name or else as the only one of its method, and the image's hash."""
    numbered = _CLASS.search(file.stem)
    if numbered:
        target = _target(numbered[1])
        return target, targets.get(target, "")
    return next(iter(targets.items())) if len(targets) == 1 else (None, "")


def _check_target(target: int | str, classes: int) -> None:
    pair = pair_of(target_of(target, classes), classes) if isinstance(target, str) else (target, target)
    if pair is not None and max(pair) >= classes:
        raise ValueError(f"it is of class {target}, and the model has {classes}")


def _target(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _read(name: str, method: str, file: Path, target: int | str | None, top: _Top) -> Explanation:
    try:
        values = load_array(file)
        if values.dtype.kind not in "fiu":
            raise ValueError(f"its type is {values.dtype}, not numbers")
        if target is None:
            target = top()
        if top.session.model.task != "boxes":  # whose places are counted in the image
            _check_target(target, top.session.model.classes)
    except (OSError, ValueError, ImageError, AttributionError) as error:
        text = " ".join(str(error).split())
        if "pickle" in text:
            text = "it is damaged, or holds Python objects instead of numbers"
        return Explanation(name, method, status="failed", error=f"the array {file.name} cannot be used: {text}")
    return Explanation(
        name, method, target, values=values.astype(np.float32 if values.dtype.itemsize < 8 else np.float64)
    )


class _Top:
    """The target of an image for arrays of which nothing tells it, found when it is asked for.

    It is the predicted class; of a segmentation network or a detector what the run's target names in the image.
    """

    def __init__(self, session: Session, path: Source):
        self.session, self.path = session, path

    def __call__(self) -> int | str:
        session, model = self.session, self.session.model
        x = model.preprocess(read_image(self.path).pixels).to(model.device)
        if model.task == "classes":
            return int(session.classifier.outputs(x[None])[0].argmax())
        every = session.samples.targets(session.scorer, x, self.path, session.target)
        if len(every) != 1:
            raise AttributionError("an array was made for one target", given=f"{len(every)} targets")
        if isinstance(every[0], Missing):
            raise every[0].error
        return session.samples.told(every[0])


class _Arrays:
    """The arrays of a folder: of a run those that it owns, else all of anyone's."""

    def __init__(self, folder: Path):
        self.folder, self.manifest = folder, read_manifest(folder) or {}
        self.ledger = Ledger.read(folder) if self.manifest else None
        self._owned = (
            None
            if self.ledger is None
            else {folder / e.folder / n: k for e in self.ledger.entries.values() for n, k in e.files.items()}
        )
        self._folders = earlier_folders(self.manifest, {} if self.ledger is None else self.ledger.folders())
        self._rows = _rows_of(folder) if self.manifest and self.ledger is None and methods_of(self.manifest) else None

    def names(self, session: Session) -> list[tuple[str, str]]:
        """Name and folder of each image: of a run the folder that it has there."""
        return run_names(session.paths, self._folders)

    def key(self, name: str, stem: str, method: str) -> tuple[str, str]:
        """Of an image and method in what `_targets` found."""
        return safe_cell(name) if self.ledger is None else stem, method

    def by_method(self, name: str, stem: str, only: tuple[str, ...] | None = None) -> dict[str, list[Path]]:
        """Method → arrays of one image; of a run of several classes, `ig.class3` and `ig.class5` are both of `ig`."""
        known, found = methods_of(self.manifest), dict[str, list[Path]]()
        for whole, file in self.of(name, stem).items():
            method = _CLASS.sub("", whole)
            method = method if method in known else whole
            if only is None or method in only or whole in only:
                found.setdefault(method, []).append(file)
        numbers = re.compile(r"[0-9]+")
        for files in found.values():
            files.sort(key=lambda file: [int(n) for m in _CLASS.findall(file.stem) for n in numbers.findall(m)])
        return found

    def of(self, name: str, stem: str, only: tuple[str, ...] | None = None) -> dict[str, Path]:
        """Method → array of one image, by its name and folder in the run."""
        every: dict[str, Path] = {}
        anyone = original(stem)
        inside = not {".", ".."}.intersection(anyone.split("/"))
        for place in dict.fromkeys((anyone, stem) if inside else (stem,)):  # as anyone names it, and as a run does
            folder, single = self.folder / place, self.folder / f"{place}.npy"
            found = {
                path.stem: path
                for path in sorted(folder.glob("*.npy"))
                if not path.stem.endswith((".stderr", ".deviations", ".view"))
            }
            every |= {**({ONE: single} if single.exists() else {}), **found}
        return {
            method: file for method, file in every.items()
            if (only is None or method in only) and self._counts(name, method, file)
        }  # fmt: skip

    def _counts(self, name: str, method: str, file: Path) -> bool:
        """Whether a file is of the run: what another run left, or anyone put there, is not."""
        if self._owned is not None:
            return file in self._owned
        if self._rows is not None:  # of an older version, whose table is all that tells
            return (safe_cell(name), _CLASS.sub("", method)) in self._rows
        return True

    def damaged(self, file: Path) -> bool:
        """Whether an array of the run is not as it was written."""
        return self._owned is not None and not holds(file, self._owned[file])


def _rows_of(folder: Path) -> set[tuple[str, str]]:
    return {(row["image"], row["method"]) for row in read_rows(folder)[0] if row["status"] == "ok"}


def _targets(folder: Path, ledger: Ledger | None) -> dict[tuple[str, str], dict[int | str, str]]:
    """(folder, method) → target → the image's hash, by the run's ledger; else (image, method) →, by the folder's table."""
    if ledger is not None:
        told = [(one.folder, one.method, one.target, one.content) for one in ledger.entries.values()]
    else:
        rows = [row for row in read_rows(folder)[0] if row["status"] == "ok"]
        told = [(row["image"], row["method"], row["target"], row["content"]) for row in rows]
    several: dict[tuple[str, str], dict[int | str, str]] = {}
    for image, method, target, content in told:
        if _TARGET.fullmatch(target):
            several.setdefault((image, method), {})[_target(target)] = content
    return several
