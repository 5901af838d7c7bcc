"""What is said where no model was named, or no images: what is bundled stands in, which may not be what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from .options import RunOptions

NO_IMAGES = "no images given: the bundled pictures are explained"
UNNAMED = "no --model given: the bundled 'shapes' is used, which recognises only drawn objects"


def model_named(options: RunOptions) -> bool:
    """Whether the model was named, or fits as it is: the bundled pictures are what the bundled network knows."""
    images = options.images
    return "model" in options.given or images is None or (isinstance(images, list) and not images)


def unnamed(options: RunOptions | None) -> tuple[str, ...]:
    """The notes that no model was named, or a model and no images."""
    if options is None:
        return ()
    if options.images is None and options.given.get("model", "shapes") != "shapes":
        return (NO_IMAGES,)
    return () if model_named(options) else (UNNAMED,)


@contextmanager
def classes_of(options: RunOptions) -> Iterator[None]:
    """Say of an error about classes that no model was named, where none was: they are the bundled network's."""
    try:
        yield
    except UsageError as error:
        if model_named(options):
            raise
        hint = f"{error.hint} " if error.hint else ""
        told = f"{hint}{UNNAMED[:1].upper()}{UNNAMED[1:]}."
        raise UsageError(error.what, given=error.given, allowed=error.allowed, hint=told) from None
