"""Which metrics and labels a loaded model allows, checked before any folder is touched."""

from __future__ import annotations

from collections.abc import Sequence

from ..attribution.samples import Pictures
from ..attribution.select import Chosen
from ..attribution.wanted import compares
from ..errors import UsageError
from ..heads import NO_CLASSES, OTHER_HEAD
from ..models.model import KINDS, Model
from .dropped import drops
from .options import MeasureOptions


def check_masks(metrics: Sequence[Chosen], model: Model, *, given: bool) -> None:
    """Raise UsageError for metrics of a given object, where none is given and the score is not of a part of the image."""
    lacking = [one.name for one in metrics if one.entry.properties["needs"] == "mask" and not given]
    if lacking and model.task == "classes":
        verb = "needs" if len(lacking) == 1 else "need"
        raise UsageError(f"{', '.join(lacking)} {verb} masks of the objects", hint="Give their folder with --masks.")


def check_task(metrics: Sequence[Chosen], options: MeasureOptions, model: Model) -> None:
    """Raise UsageError for what is of classes of the whole image where the score is of a region or a box."""
    if model.task == "classes":
        return
    given = f"--model {model.name}, {KINDS[model.task]}"
    if options.labels is not None:
        what = "--labels are classes of whole images, and this network has none"
        hint = "Masks of the objects may be given with --masks."
        raise UsageError(what, given=given, hint=hint)
    dropping = next((one.name for one in metrics if drops(one)), None)
    if dropping is not None:
        raise UsageError(f"{dropping} cannot drop tokens: that is for classifiers", given=given)


def check_compared(metrics: Sequence[Chosen], samples: Pictures, model: Model) -> None:
    """Raise UsageError for a metric of the other classes, where there are none or the target compares two."""
    lacking = next((one.name for one in metrics if one.entry.name == "random-logit"), None)
    if lacking is None or samples.pairs:
        return
    if model.task == "classes" and model.classes == 1:
        what = f"{lacking} looks at the map of another class, and the network has a single output"
        raise UsageError(what, given=f"--model {model.name}", hint="Leave it out.")
    if compares(samples.target(model), model.classes):
        hint = "Leave it out, or explain one class."
        raise UsageError(f"{lacking} looks at the map of another class, and the target compares two", hint=hint)


def check_classes(metrics: Sequence[Chosen], options: MeasureOptions, model: Model) -> None:
    """Raise UsageError for what is of probabilities and classes where the model's outputs are values."""
    if model.head.asks:
        return
    if options.labels is not None:
        raise UsageError(f"--labels are of classes, and {NO_CLASSES}", given=options.labels, hint=f"{OTHER_HEAD}.")
    lacking = [one.name for one in metrics if one.entry.properties["classes"]]
    if lacking:
        kept = ",".join(one.name for one in metrics if one.name not in lacking) or "faithfulness-correlation"
        hint = f"Measure what needs none: --metric {kept}. {OTHER_HEAD}."
        raise UsageError(f"{', '.join(lacking)} cannot be measured: {NO_CLASSES}", hint=hint)
