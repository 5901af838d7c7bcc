"""What a network of transformers does: classifies images, labels their pixels, or finds boxes; and its class for that."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from sigcli.errors import ModelError

CLASSES, REGIONS, BOXES = "classes", "regions", "boxes"
_TABLES = {
    CLASSES: "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
    REGIONS: "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING",
    BOXES: "MODEL_FOR_OBJECT_DETECTION_MAPPING",
}
_QUERIES = ("MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING", "MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING")
_OWN = "Return scores (N, classes, H, W) from a function of yours: --model package.module:function."


def kind_of(package: ModuleType, config: Any, folder: Path) -> tuple[Any, str]:
    """The class of networks for a configuration, and its task.

    It is what `architectures` names. Where that names none of them, the classifier is tried, then the others.

    Raises:
        ModelError: a network of pictures and texts, one that gives masks of queries, or one of another task.
    """
    stated = list(getattr(config, "architectures", None) or ())
    found = {task: _listed(package, table, config) for task, table in _TABLES.items()}
    named = [(one, task) for task, kinds in found.items() for one in kinds if one.__name__ in stated]
    if named:
        return named[0]
    texts = package.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    if texts is not None and (not found[CLASSES] or texts.__name__ in stated):
        hint = 'Name what it is to tell apart: --prompts "a photo of a cat;a photo of a dog".'
        raise ModelError(
            "the network compares pictures with texts, and has no classes of its own", given=folder, hint=hint
        )
    queries = [one for table in _QUERIES for one in _listed(package, table, config)]
    if queries and (not any(found.values()) or any(one.__name__ in stated for one in queries)):
        what = "the network gives masks and a class for each, not a score of every class at every pixel"
        raise ModelError(what, given=f"{folder} ({', '.join(stated) or queries[0].__name__})", hint=_OWN)
    for task, kinds in found.items():
        if kinds:
            return kinds[0], task
    what = f"transformers has no image classifier, segmentation network or detector of the kind '{config.model_type}'"
    raise ModelError(what, given=f"{folder} ({', '.join(stated) or 'no architecture'})")


def _listed(package: ModuleType, table: str, config: Any) -> tuple[Any, ...]:
    found = getattr(package, table, {}).get(type(config), None)
    if found is None:
        return ()
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)
