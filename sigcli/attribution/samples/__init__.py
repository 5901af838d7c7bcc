"""The kinds of samples that are explained: pictures, pairs of pictures, arrays. What differs between them is told here only.

A kind of sample is a subclass of `Pictures` and a line in `samples_of`; or in `TASKS`, where the model decides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...inputs.arrays import is_array_path
from ...inputs.given import listed
from ...inputs.samples import sample_images
from .arrays import Arrays
from .boxes import BoxPictures
from .pairs import Pairs
from .pictures import Pictures
from .regions import RegionPictures

if TYPE_CHECKING:
    from ...models.model import Model
    from ..options import RunOptions

__all__ = ["Arrays", "Pairs", "Pictures", "of_task", "samples_of"]

TASKS: dict[str, type[RegionPictures | BoxPictures]] = {"regions": RegionPictures, "boxes": BoxPictures}
"""What a model's outputs are of → the kind of sample that its pictures are."""


def samples_of(options: RunOptions) -> Pictures:
    """The samples of a run: what `images` names or holds, the bundled pictures where it was left out.

    Raises:
        UsageError: no such files, or options that do not suit them.
    """
    named = listed(sample_images() if options.images is None else options.images, preprocessed=options.preprocessed)
    partner = getattr(options, "partner", None)
    if any(map(is_array_path, named)):
        return Arrays(named, options)
    return Pictures(named, options) if partner is None else Pairs(named, options, partner)


def of_task(samples: Pictures, model: Model) -> Pictures:
    """The samples as the kind that the loaded model makes of pictures; as they are where it is a classifier.

    Raises:
        UsageError: options that do not suit such a model.
    """
    kind = TASKS.get(model.task)
    return samples if kind is None else kind.of(samples, model)
