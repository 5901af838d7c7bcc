"""Arrays of features: rows of tables, embeddings, spectra, graphs; each is explained as one row (1, 1, F)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ... import players
from ...baselines import BASELINES
from ...baselines.single import number
from ...catalog import Entry
from ...errors import ImageError, UsageError
from ...files import file_digest
from ...inputs import arrays
from ...inputs.given import Source
from ...inputs.picture import Picture
from ...methods import METHODS
from ...models.heads import note
from ...models.model import Model
from ...models.wrappers.rows import load_array_model
from ..drawing import Drawing
from ..readings import of_players
from ..select import Chosen
from .bars import draw_features, write_feature_sheet
from .pictures import Pictures
from .seen import ARRAY, Seen

if TYPE_CHECKING:
    from ..explanation import Explanation

_PLAYERS, _BASELINE = "features", "zero"
_OF_DRAWINGS = {
    "significant": False,
    "save_view": False,
    "signs": "together",
    "scale": "own",
    "bare": False,
    "cmap": "red-blue",
    "figure": None,
    "figure_width": None,
}
"""Options of how maps are drawn, and their defaults: arrays are drawn as bars."""
_OF_PICTURES = ("image_size", "resize", "crop", "mean", "std", "partner", "prompts", "view", "smooth", "mask_certainty")


@dataclass(frozen=True, eq=False)
class ArraySeen(Seen):
    """An array and its players.

    Args:
        picture: none.
        sample: the array, of any shape.
        parts: the player of each value, in its shape.
        names: names of the players, or None.
    """

    sample: np.ndarray | None = None
    parts: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    kind = ARRAY
    per = "feature"

    @property
    def shape(self) -> tuple[int, ...] | None:
        """That of the array."""
        return None if self.sample is None else self.sample.shape

    @property
    def players(self) -> np.ndarray | None:
        """All methods of a run over arrays are summarised by the players of the first that has any."""
        return self.parts

    def draw(self, item: Explanation, path: Path) -> None:
        """Draw the bars of one explanation."""
        draw_features(path, item)

    def draw_sheet(self, ready: Sequence[Explanation], drawing: Drawing, heading: str, path: Path) -> None:
        """Draw the bars of all methods side by side."""
        del drawing
        write_feature_sheet(path, ready, heading)


class Arrays(Pictures):
    """Arrays of floats: what of a command fits them, and what a method is given in place of texts about pictures."""

    unseen = ArraySeen()

    def find(self, named: Sequence[str | Source]) -> list[Source]:
        """The `.npy` files that files, folders and patterns stand for, and samples in memory."""
        return arrays.find_arrays(named, self.left_out)

    def check(self) -> None:
        """Raise UsageError for the first option that was set and is about pictures."""
        super().check()
        for name in _OF_PICTURES:
            value = getattr(self.options, name, None)
            if value is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for images; arrays go into the network unchanged", given=value,
                    hint="Leave it out, and scale the array before saving it.",
                )  # fmt: skip
        for name, default in _OF_DRAWINGS.items():
            if getattr(self.options, name, default) != default:
                raise UsageError(f"--{name.replace('_', '-')} is for maps of images; arrays are drawn as bars")

    def methods(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The methods with defaults that suit arrays: every feature a player, and 0 for what is missing.

        Raises:
            UsageError: a method or an option that is about pictures.
        """
        return [self._method(one) for one in chosen]

    def _method(self, one: Chosen) -> Chosen:
        if not self.suits(one.entry):
            suited_to = ", ".join(name for name, entry in METHODS.items() if self.suits(entry))
            raise UsageError(f"{one.entry.name} is a method for images only", allowed=suited_to)
        known = one.entry.options()
        if one.options.get("baselines") == "uniform":
            raise UsageError("baselines=uniform draws noise over the pixel range, and arrays have no pixel range")
        suited = {"players": _PLAYERS, "baseline": _BASELINE}
        options = {**{name: value for name, value in suited.items() if name in known}, **one.options}
        if isinstance(options.get("baseline"), str) and not str(options["baseline"]).endswith(arrays.SUFFIX):
            baseline(options["baseline"], ())
        return replace(one, options=options)

    def suits(self, method: Entry) -> bool:
        """Whether a method also explains arrays."""
        return bool(method.properties.get("arrays"))

    def model(self, chosen: Sequence[Chosen], device: str) -> Model:
        """The model of a run over arrays, tried out on the first that can be read.

        Raises:
            ImageError: none of the arrays can be read.
            UsageError: two shapes with the same number of values, or several shapes and a method that compares arrays with
                each other.
        """
        o = self.options
        shapes = self._shapes(chosen)
        loaded = load_array_model(
            o.model, [self._first()], shapes, weights=o.weights, device=device, class_names=o.class_names,
            targeted="target" in o.given, reading=self.reading,
        )  # fmt: skip
        loaded = replace(loaded, notes=(*loaded.notes, *of_players(chosen)))
        if loaded.head.kind != "logit" or o.output == "logit":
            return loaded
        # With a single output, the probability that it stands for is explained.
        return replace(loaded, notes=(*loaded.notes, *note("logit")))

    def _shapes(self, chosen: Sequence[Chosen]) -> dict[int, tuple[int, ...]]:
        sources = [*self.sources, *(self.references or ())]
        shapes = {source: shape for source in sources if (shape := arrays.shape_of(source))}
        by_size: dict[int, tuple[int, ...]] = {}
        for source, shape in shapes.items():
            size = int(torch.Size(shape).numel())
            if by_size.setdefault(size, shape) != shape:
                given = f"{by_size[size]} and {shape} ({source})"
                raise UsageError(
                    "two arrays have different shapes but the same number of values",
                    given=given,
                    hint="Explain them in separate runs.",
                )
        peers = next((one.name for one in chosen if one.uses_peers), None)
        if peers is not None and len(by_size) > 1:
            given = ", ".join(map(str, by_size.values()))
            raise UsageError(f"{peers} needs arrays of one shape, and these have several", given=given)
        return by_size

    def _first(self) -> torch.Tensor:
        """The first array that can be read, (1, 1, F); raises the last one's ImageError where none can."""
        failure: ImageError | None = None
        for source in self.sources:
            try:
                return torch.from_numpy(arrays.read_array(source).pixels).reshape(1, 1, -1)
            except ImageError as error:
                failure = error
        raise failure or UsageError("no arrays found")

    def read(self, source: Source) -> Picture:
        """One array; raises ImageError."""
        return arrays.read_array(source)

    def beside(self, source: Source) -> str:
        """A digest of the file of its players' names, empty where it has none."""
        file = players.names_file(Path(source))
        return file_digest(file) if file.is_file() else ""

    def fitted(self, model: Model, picture: Picture, chosen: Chosen) -> Chosen:
        """A method with its players and baseline as tensors for one array."""
        del model
        options: dict[str, Any] = dict(chosen.options)
        shape = picture.pixels.shape
        if isinstance(options.get("players"), str):
            options["players"] = players.of_array(options["players"], shape)
        if isinstance(options.get("baseline"), str):
            options["baseline"] = baseline(options["baseline"], shape)
        return replace(chosen, options=options)

    def tokened(self, model: Model, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The methods; an array has no tokens."""
        del model
        return list(chosen)

    def seen(self, model: Model, picture: Picture, chosen: Sequence[Chosen], source: Source) -> Seen:
        """The array and its players."""
        del model, source
        spec = next((str(one.options["players"]) for one in chosen if "players" in one.options), _PLAYERS)
        shape = picture.pixels.shape
        parts = players.of_array(spec, shape).reshape(shape).numpy()
        names = players.names_of(picture.path, int(parts.max()) + 1, shape, spec)
        return ArraySeen(None, picture.pixels, parts, names)


def baseline(spec: str, shape: Sequence[int]) -> str | torch.Tensor:
    """A baseline for an array: a text that means the same there, or the values of a `.npy` file or a number as (1, 1, F).

    Raises:
        UsageError: a baseline of pictures, or a file of another shape.
    """
    if spec.endswith(arrays.SUFFIX):
        try:
            values = arrays.read_array(spec).pixels
        except ImageError as error:
            raise UsageError(f"the baseline cannot be used: {error.what}", given=spec, hint=error.hint) from error
        if values.shape != tuple(shape):
            given = f"{spec}: {values.shape}"
            raise UsageError("the baseline has another shape", given=given, allowed=f"{tuple(shape)}")
        return torch.from_numpy(values).reshape(1, 1, -1)
    name = spec.partition(":")[0]
    if name not in BASELINES or not BASELINES[name].properties.get("arrays"):
        suited = ", ".join(one for one, entry in BASELINES.items() if entry.properties.get("arrays"))
        allowed = f"{suited} or an array FILE.npy of the sample's shape"
        raise UsageError(f"baseline '{spec}' is for images", allowed=allowed)
    value = spec.partition(":")[2]
    if name == "constant" and value:  # of pictures it is a fraction of the pixel range
        return torch.full((1, 1, math.prod(shape)), number(name, value))
    return spec
