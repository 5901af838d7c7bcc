"""Which mask belongs to which image: by its whole name, else by its path without the suffix, else by its file name alone."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ...errors import UsageError
from ...inputs.images import IMAGE_SUFFIXES
from ...names import original, printable
from .meaning import some

Keys = Callable[[str], set[str]]


def match(images: Sequence[str], masks: Iterable[str]) -> tuple[dict[str, str], int]:
    """Image → mask, and how many were found by their file name alone, whatever their folders.

    Args:
        images: names as a run has them: relative to the folder that all share, escaped.
        masks: names as a folder or table has them, with or without the images' suffix.

    Raises:
        UsageError: two masks fit one image, or one mask fits two images and none of them by its whole name.
    """
    left_images, left_masks = list(images), list(masks)
    found: dict[str, str] = {}
    alone = 0
    for number, (of_image, of_mask) in enumerate(_LEVELS):
        more = _matched(left_images, left_masks, of_image, of_mask)
        found |= more
        alone += len(more) if number >= _ALONE else 0
        used = {*more.values()}
        left_images = [name for name in left_images if name not in more]
        left_masks = [name for name in left_masks if name not in used]
    return {name: found[name] for name in images if name in found}, alone


def _matched(images: Sequence[str], masks: Sequence[str], of_image: Keys, of_mask: Keys) -> dict[str, str]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in masks:
        for key in of_mask(name):
            by_key[key].append(name)
    users: dict[str, list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    for image in images:
        fits = {name: None for key in of_image(image) for name in by_key.get(key, ())}
        if len(fits) > 1:
            raise UsageError(
                "several masks fit one image", given=f"{image}: {some([printable(name) for name in fits])}",
                hint="Leave one in the folder of --masks, or give both the images' own folders.",
            )  # fmt: skip
        for name in fits:
            found[image] = name
            users[name].append(image)
    for name, several in users.items():
        if len(several) > 1:
            raise UsageError(
                "one mask fits several images", given=f"{printable(name)}: {some(several)}",
                hint="Name masks as whole images are called, with folder and suffix: a/star.jpg.png for a/star.jpg.",
            )  # fmt: skip
    return found


def _exact(name: str) -> set[str]:
    return {posixpath.normpath(name)}


def _loose(name: str) -> set[str]:
    """The ways in which a table may write a name: as it is, escaped as in a run, or with the separators of Windows."""
    return {posixpath.normpath(one) for one in (name, original(name), name.replace("\\", "/"))}


def _image(name: str) -> set[str]:
    return _exact(original(name))


def _files(names: set[str]) -> set[str]:
    return {unicodedata.normalize("NFC", posixpath.basename(name)) for name in names}


def _or_stems(names: set[str]) -> set[str]:
    """Names, and without the suffix of an image."""
    parts = map(posixpath.splitext, names)
    return names | {stem for stem, suffix in parts if suffix.lower() in IMAGE_SUFFIXES}


def _image_stems(name: str) -> set[str]:
    return {posixpath.splitext(one)[0] for one in _image(name)}


_LEVELS: tuple[tuple[Keys, Keys], ...] = (
    (_image, _exact),
    (_image, _loose),
    (_image_stems, lambda name: _or_stems(_exact(name))),
    (_image_stems, lambda name: _or_stems(_loose(name))),
    (lambda name: _files(_image(name)), lambda name: _files(_loose(name))),
    (lambda name: _files(_image_stems(name)), lambda name: _files(_or_stems(_loose(name)))),
)
_ALONE = 4
