"""Runs over arrays: what of a command fits them, and what a method is given in place of texts that are about pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ImageError, UsageError
from ...inputs import arrays
from ...inputs.images import Picture
from ...methods import METHODS
from ...models.heads import note
from ...models.model import Model
from ...models.preprocess import Preprocess
from ...models.wrappers.certainty import shown
from ...models.wrappers.rows import ArrayInput, load_array_model
from ..select import Chosen

_PLAYERS, _BASELINE = "features", "zero"


def check_options(**given: Any) -> None:
    """Raise UsageError for options of a command that are about pictures: the first that was set."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is about pictures, and arrays go into the network as they are", given=value,
                hint="Leave it out; scale the array itself before it is saved.",
            )  # fmt: skip


def for_arrays(methods: Sequence[Chosen]) -> list[Chosen]:
    """The methods with defaults that suit arrays: every feature a player, and 0 for what is missing.

    Raises:
        UsageError: a method or an option that is about pictures.
    """
    chosen = []
    for one in methods:
        if not one.entry.properties.get("arrays"):
            suited_to = ", ".join(name for name, entry in METHODS.items() if entry.properties.get("arrays"))
            raise UsageError(f"{one.entry.name} is a method for pictures", allowed=suited_to)
        known = one.entry.options()
        if one.options.get("baselines") == "uniform":
            raise UsageError("baselines=uniform is noise over the range of pixels, and arrays have none")
        suited = {"players": _PLAYERS, "baseline": _BASELINE}
        options = {**{name: value for name, value in suited.items() if name in known}, **one.options}
        if isinstance(options.get("baseline"), str) and not str(options["baseline"]).endswith(arrays.SUFFIX):
            arrays.baseline(options["baseline"], ())
        chosen.append(replace(one, options=options))
    return chosen


def load_for(
    model: str,
    paths: Sequence[Path],
    methods: Sequence[Chosen],
    references: Sequence[Path] | None,
    **options: Any,
) -> Model:
    """The model of a run over arrays, tried out on the first that can be read.

    Args:
        model: as the user named it.
        paths: of the samples.
        methods: those chosen.
        references: arrays for means and random baselines, or None for those explained.
        options: of `load_array_model`.

    Raises:
        ImageError: none of the arrays can be read.
        UsageError: two shapes of as many values, or several shapes where methods compare arrays with each other.
    """
    shapes = {path: shape for path in [*paths, *(references or ())] if (shape := arrays.shape_of(path))}
    by_size: dict[int, tuple[int, ...]] = {}
    for path, shape in shapes.items():
        size = int(torch.Size(shape).numel())
        if by_size.setdefault(size, shape) != shape:
            given = f"{by_size[size]} and {shape} ({path})"
            raise UsageError("two shapes of as many values", given=given, hint="Explain them in runs of their own.")
    peers = next((one.name for one in methods if one.uses_peers), None)
    if peers is not None and len(by_size) > 1:
        given = ", ".join(map(str, by_size.values()))
        raise UsageError(f"{peers} compares arrays with each other, which have several shapes", given=given)
    return load_array_model(model, [_first(paths)], by_size, **options)


def _first(paths: Sequence[Path]) -> torch.Tensor:
    """The first array that can be read, (1, 1, F); raises the last one's ImageError where none can."""
    failure: ImageError | None = None
    for path in paths:
        try:
            return torch.from_numpy(arrays.read_array(path).pixels).reshape(1, 1, -1)
        except ImageError as error:
            failure = error
    raise failure or UsageError("no arrays there")


def told(model: Model, output: str) -> Model:
    """The model with a note on its single output, where the probability that it stands for is explained."""
    if model.head.kind != "logit" or output == "logit":
        return model
    return replace(model, notes=(*model.notes, *note("logit")))


def shown_of(model: Model, loaded: Picture, methods: Sequence[Chosen]) -> Mapping[str, Any]:
    """What of a file goes into its explanations: the picture that the model saw, or the array and its players.

    All methods of a run over arrays are told by the players of the first that has any.
    """
    if not isinstance(model.preprocess, ArrayInput):
        return {"picture": shown(model, loaded.pixels)}
    spec = next((str(one.options["players"]) for one in methods if "players" in one.options), _PLAYERS)
    shape = loaded.pixels.shape
    players = arrays.players(spec, shape).reshape(shape).numpy()
    return {
        "sample": loaded.pixels,
        "players": players,
        "names": arrays.names(loaded.path, int(players.max()) + 1, shape, spec),
    }


def _no_finer(preprocess: Preprocess, loaded: Picture, chosen: Chosen) -> Chosen:
    own = chosen.entry.options().get("players")
    grid = (
        re.fullmatch(r"grid:(\d+)x(\d+)", str(own.default))
        if own is not None and "players" not in chosen.options
        else None
    )
    height, width = preprocess.size or (loaded.pixels.shape[0], loaded.pixels.shape[1])
    if grid is None or (int(grid[1]) <= height and int(grid[2]) <= width):
        return chosen
    return replace(chosen, options={**chosen.options, "players": "pixels"})


def fitted(preprocess: Preprocess, loaded: Picture, chosen: Chosen) -> Chosen:
    """A method with its players and baseline for one array; for pictures as it is, but that default players are never finer
    than pixels.
    """
    if not isinstance(preprocess, ArrayInput):
        return _no_finer(preprocess, loaded, chosen)
    options, shape = dict(chosen.options), loaded.pixels.shape
    if isinstance(options.get("players"), str):
        options["players"] = arrays.players(options["players"], shape)
    if isinstance(options.get("baseline"), str):
        options["baseline"] = arrays.baseline(options["baseline"], shape)
    return replace(chosen, options=options)
