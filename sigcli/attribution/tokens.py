"""What a command names of a transformer's own tokens, found in the network that is loaded: players, and what is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from ..baselines import is_image
from ..errors import AttributionError, UsageError
from ..methods import METHODS
from ..models.model import Model
from ..players import TOKENS
from .select import Chosen


def tokened(model: Model, size: tuple[int, int], chosen: Chosen, *, pairs: bool = False) -> Chosen:
    """A method with the players "tokens:14x14" for "tokens", as the network has them, and for none where it drops tokens.

    Args:
        model: loaded.
        size: (height, width) of its input.
        chosen: a method with its options.
        pairs: two images are compared.

    Raises:
        UsageError: players or a baseline that are tokens, of a network whose tokens are not known or cannot be dropped; a
            method that needs an image as baseline.
    """
    spec, dropped = _players(chosen), not is_image(chosen.options.get("baseline"))
    named = isinstance(spec, str) and spec.partition(":")[0] == TOKENS
    if not named and not dropped:
        return chosen
    given = "--baseline tokens" if dropped else f"--players {spec}"
    if pairs:
        raise UsageError("tokens are those of a classifier, and a pair of images has none", given=given)
    if dropped:
        _check_scores_alone(chosen)
    rows, columns = grid_of(model, size, given, dropped=dropped)
    grid = f"{TOKENS}:{rows}x{columns}"
    if not named or spec == grid:
        return chosen
    if spec != TOKENS:
        allowed = f"{TOKENS}, which are {rows}x{columns}"
        raise UsageError("the network has other tokens", given=f"--players {spec}", allowed=allowed)
    return replace(chosen, options={**chosen.options, "players": grid})


def grid_of(model: Model, size: tuple[int, int], given: str, *, dropped: bool) -> tuple[int, int]:
    """How many tokens an image of that size has, (rows, columns).

    Raises:
        UsageError: there are none, or none that can be dropped where that is wanted; `given` is what the user typed.
    """
    try:
        return _grid(model, size, dropped=dropped)
    except AttributionError as error:
        raise UsageError(error.what, given=f"{given} with --model {model.name}", hint=error.hint) from error


def tokens_note(model: Model, chosen: Sequence[Chosen]) -> Iterator[str]:
    """Which players "tokens" are, of a network whose input has one size; nothing where that cannot be told."""
    size = model.preprocess.size
    if size is not None and any(_players(one) == TOKENS for one in chosen):
        try:
            rows, columns = _grid(model, size, dropped=False)
        except AttributionError:
            return  # refused when the methods are looked at
        yield f"players: the network's {rows}x{columns} tokens"


def _players(chosen: Chosen) -> object:
    """The players that were named; "tokens" where there are none and tokens are dropped."""
    own = TOKENS if not is_image(chosen.options.get("baseline")) and "players" in chosen.entry.options() else None
    return chosen.options.get("players", own)


def _check_scores_alone(chosen: Chosen) -> None:
    if not chosen.entry.properties.get("drops"):
        raise UsageError(
            f"{chosen.name} needs an image as baseline, and the baseline tokens is none: it drops tokens from attention",
            allowed=", ".join(name for name, entry in METHODS.items() if entry.properties.get("drops")),
        )


def module_of(model: Model) -> nn.Module:
    """The network itself, of a wrapper what it wraps; as `sigcli.engine.passes.Passes.module`."""
    return getattr(model.module, "looked_into", model.module)


def _grid(model: Model, size: tuple[int, int], *, dropped: bool) -> tuple[int, int]:
    """The network's tokens, (rows, columns); raises AttributionError where there are none, or none can be dropped."""
    from ..methods.token_masks import noise_image, token_grid, token_masks  # it traces networks, for this alone

    module = module_of(model)
    image = noise_image(module, (model.preprocess.channels, *size))
    return token_masks(module, image).tokens.size if dropped else token_grid(module, image)
