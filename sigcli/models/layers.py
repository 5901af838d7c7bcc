"""The use case behind `sig list layers`: what layers a model has, and which of them the CAM family takes by itself."""

from __future__ import annotations

from ..errors import AttributionError, ModelError
from ..methods.folded import unfolded
from ..methods.places import Layer, last_layer, layers
from .loading import load_model, source_of
from .model import Reading
from .wrappers.certainty import looked_into

_FREE_SIZE = 224


def model_layers(
    model: str = "shapes",
    *,
    weights: str | None = None,
    device: str = "cpu",
    size: str | int | tuple[int, int] | None = None,
    resize: int | None = None,
    crop: int | None = None,
    part: str | int | None = None,
) -> list[tuple[Layer, bool]]:
    """The layers of a model that return one tensor, in the order in which they finish, and whether each is the default.

    Functions that everything passes are among them, as `layer:function`, where they are not a layer's result.

    Args:
        model: as in `sigcli.explain`.
        weights: as there; without them a named network is made with random ones, since its layers are the same.
        device: where to run it.
        size: as there.
        resize: as there.
        crop: as there.
        part: as there.

    Raises:
        ModelError: a model that cannot be loaded, or a program without layers.

    >>> [layer.name for layer, default in model_layers("shapes") if default]
    ['features.18']
    """
    if weights is None and source_of(model).properties["details"] is not None:
        weights = "none"  # which layers there are does not depend on weights: nothing is downloaded
    loaded = load_model(
        model, weights=weights, device=device, size=size, resize=resize, crop=crop, reading=Reading(part=part)
    )
    if loaded.task == "boxes":
        raise ModelError("a detector's layers are not looked into: its boxes are made beside them", given=model)
    module, shape = (
        unfolded(looked_into(loaded)),
        (loaded.preprocess.channels, *(loaded.preprocess.size or (_FREE_SIZE, _FREE_SIZE))),
    )
    try:
        found = layers(module, shape)
    except AttributionError as error:
        raise ModelError(error.what, given=model, hint=error.hint) from error
    try:
        chosen = last_layer(module, shape).name
    except AttributionError:  # a network of linear layers has none
        chosen = None
    return [(layer, layer.name == chosen) for layer in found]
