"""Pictures, each explained alone: what is particular to this kind of sample, and what the other kinds begin from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...catalog import Entry
from ...comparisons import pair_of, target_of, told
from ...errors import AttributionError, UsageError
from ...files import file_digest
from ...inputs.assumed import Assumed
from ...inputs.given import Given, Source, is_tensor, listed
from ...inputs.images import find_images, read_image
from ...inputs.left_out import LeftOut, listed_names
from ...inputs.picture import Picture
from ...models import MODELS
from ...models.given_values import span_of
from ...models.loading import load_model
from ...models.model import Model, Reading
from ...models.preprocess import describe
from ...models.sources.clip import read_prompts
from ...models.wrappers.certainty import masked, shown
from ...names import printable
from ...scores.classifier import ClassScore
from ...scores.distance import DISTANCES
from .. import readings
from ..select import Chosen
from ..some import some
from ..targets import Targets
from ..tokens import tokened, tokens_note
from ..unnamed import classes_of
from ..wanted import Wanted, compares, parse_wanted, spelled_wanted
from .seen import UNSEEN, Missing, Seen

if TYPE_CHECKING:
    from ..options import RunOptions


class Pictures:
    """The samples of a run and how they are treated. Other kinds of samples are subclasses.

    Args:
        named: what the user named or gave.
        options: options of the run.

    Raises:
        UsageError: no such files, or options that do not suit the samples.
    """

    pairs = False
    unseen: Seen = UNSEEN
    """The words for maps of samples that were not looked at."""
    classes = 0
    """Of the model, once the target is known."""

    def __init__(self, named: Sequence[str | Source], options: RunOptions):
        partner = getattr(options, "partner", None)
        self.options, self.left_out = options, LeftOut([partner] if isinstance(partner, (str, Path)) else ())
        self.sources, self.some = some(self.find(named), options)
        self.assumed, others, ready = Assumed(), options.references, options.preprocessed
        self.references = None if others is None else self.find(listed(others, preprocessed=ready))
        self.check()

    @property
    def compared(self) -> list[Source]:
        """The samples that means and random baselines are made of."""
        return self.sources if self.references is None else self.references

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must know of the search; nothing where the bundled samples are explained."""
        return self.some if self.options.images is None else (*self.left_out.notes, *self.some)

    def find(self, named: Sequence[str | Source]) -> list[Source]:
        """The samples that files, folders and patterns stand for."""
        return find_images(named, self.left_out)

    def check(self) -> None:
        """Raise UsageError for options that do not suit these samples, as far as the command alone shows."""
        output, model = self.options.output, self.options.model
        embeds = isinstance(model, str) and model in MODELS and MODELS[model].properties["pairs"]
        if output in DISTANCES or embeds:
            what = f"output '{output}'" if output in DISTANCES else f"the network '{model}' embeds images and"
            hint = "Name it with --partner FILE (--references are images for means and random baselines)."
            raise UsageError(f"{what} needs a second image", hint=hint)

    def methods(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The methods with the defaults that suit these samples; raises UsageError for a method that does not."""
        return list(chosen)

    def model(self, chosen: Sequence[Chosen], device: str) -> Model:
        """The model, loaded as the options say and tried.

        Raises:
            ModelError, UsageError: it cannot be had, or does not suit samples or methods.
        """
        o = self.options
        tensors = [one for one in self.sources if is_tensor(one)]
        loaded = load_model(
            o.model, weights=o.weights, device=device, size=o.image_size, resize=o.resize, crop=o.crop, mean=o.mean,
            std=o.std, class_names=o.class_names, pair=self.pairs, picture=(tensors or self.sources)[0],
            span=span_of(tensors), reading=self.reading,
        )  # fmt: skip
        if 0 < len(tensors) < len(self.sources) and loaded.preprocess.resize is None:
            raise UsageError(
                "pictures beside tensors need a network whose preprocessing is known",
                hint="Explain them apart, or prepare the pictures yourself and give tensors.",
            )
        self.fit(loaded)
        readings.check_tensors(span_of(tensors), loaded.preprocess, o)
        notes = (*loaded.notes, *self._assumed(loaded, chosen, tensors))
        loaded = replace(loaded, notes=notes)
        return loaded if o.mask_certainty is None else masked(loaded, o.mask_certainty)

    @property
    def reading(self) -> Reading:
        """How the outputs are to be read; raises UsageError for prompts that are none."""
        o = self.options
        return Reading(o.head, o.part, None if o.prompts is None else read_prompts(o.prompts))

    @property
    def every(self) -> list[Source]:
        """All that goes into the network: what is explained, and what it is compared with."""
        return [*self.sources, *(self.references or ())]

    def fit(self, model: Model) -> None:
        """Raise UsageError where tensors do not have the shape of the network's input, which is that of the first one."""
        preprocess, shapes = model.preprocess, dict[tuple[int, ...], list[str]]()
        for one in self.every:
            if isinstance(one, Given) and is_tensor(one) and not preprocess.takes(one.picture.pixels.shape):
                shapes.setdefault(one.picture.pixels.shape, []).append(one.name)
        if shapes:
            given = "; ".join(f"{shape}: {listed_names(names)}" for shape, names in shapes.items())
            wanted = (preprocess.channels, *(preprocess.size or ("H", "W")))
            raise UsageError(
                "tensors do not have the shape of the network's input", given=given,
                allowed=f"({', '.join(map(str, wanted))})",
                hint="Bring all to one size, or explain each size in a call of its own.",
            )  # fmt: skip

    def _assumed(self, model: Model, chosen: Sequence[Chosen], tensors: Sequence[Source]) -> Iterator[str]:
        """What is assumed of tensors in memory, of files that methods are given, and of players finer than pixels."""
        given = (self.options.mean, self.options.std)
        if tensors and model.preprocess.resize is not None and given == (None, None):
            yield (
                "tensors are used as they are, as the network's input: neither resized nor normalised "
                f"({describe(model.preprocess)})"
            )
        yield from readings.of_pictures(chosen, model.preprocess, tensors=bool(tensors))
        if (size := model.preprocess.size) is not None:
            fine = [one.name for one in chosen if _fitted(size, one) is not one]
            if fine:
                of = f"{size[0]}x{size[1]}"
                yield f"{', '.join(fine)}: each pixel is a player, since patches do not fit into the input of {of}"
            yield from tokens_note(model, chosen)

    def scorer(self, model: Model) -> Any:
        """The score that is explained; raises UsageError for an output that the model does not have."""
        compared = compares(self.target(model), model.classes)
        output = model.head.in_force(self.options.output)
        return ClassScore(model.module, output, self.options.precision, model.head, compared)

    def target(self, model: Model) -> Wanted:
        """What is explained of each sample."""
        self.classes = model.classes
        default = "target" not in self.options.given
        with classes_of(self.options):
            return parse_wanted(self.options.target, model.labels, model.classes, default=default)

    def spelled(self, model: Model) -> str:
        """The target for a manifest: another target has another text."""
        return spelled_wanted(self.options.target, model.labels, model.classes)

    def spec(self) -> dict[str, Any]:
        """Facts on which the values depend, besides those of every run."""
        mask, prompts = self.options.mask_certainty, self.options.prompts
        facts = {} if mask is None else {"mask_certainty": file_digest(mask)}
        return facts if prompts is None else {**facts, "prompts": list(read_prompts(prompts))}

    def manifest(self) -> dict[str, Any]:
        """Further facts for the manifest."""
        return {}

    def suits(self, method: Entry) -> bool:  # noqa: ARG002  arrays ask
        """Whether a method of the catalogue explains such samples."""
        return True

    def read(self, source: Source) -> Picture:
        """One sample; raises ImageError. `assumed` learns what was assumed of it."""
        picture = read_image(source)
        self.assumed.add(picture)
        return picture

    def beside(self, source: Source) -> str:  # noqa: ARG002  arrays have names
        """A digest of what stands in a file beside a sample and is shown with it; empty where nothing is."""
        return ""

    def fitted(self, model: Model, picture: Picture, chosen: Chosen) -> Chosen:
        """A method with its options for one sample: default players are never finer than pixels."""
        size = model.preprocess.size or picture.size
        return _fitted(size, tokened(model, size, chosen, pairs=self.pairs))

    def tokened(self, model: Model, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The methods with tokens named as the network has them; of one that takes any size they are told by `fitted`.

        Raises:
            UsageError: a network without them, or a method that needs an image in their place.
        """
        size = model.preprocess.size
        return list(chosen) if size is None else [tokened(model, size, one, pairs=self.pairs) for one in chosen]

    def targets(self, scorer: Any, x: Tensor, source: Source, wanted: Wanted) -> Sequence[int | Missing]:
        """The targets of one sample: those that were named, or the classes of the highest score.

        A target that is named and that the sample does not have is `Missing`.

        Raises:
            AttributionError: the model gives NaN or infinity.
        """
        outputs = scorer.outputs(x[None])[0]
        if not torch.isfinite(outputs).all():
            raise AttributionError("the model gives NaN or infinity for this image")
        if isinstance(source, Given) and source.target is not None:
            return Targets.of([readings.class_of(source.target, len(outputs))], outputs)
        if isinstance(wanted, int):
            return Targets.of([wanted], outputs)
        found = outputs.topk(wanted[1]).indices.tolist() if isinstance(wanted[0], str) else list(wanted)
        return Targets.of(found, outputs)  # type: ignore[arg-type]

    def told(self, target: int) -> int | str:
        """The target as results name it, where the score numbers targets in another way."""
        return told(target, self.classes)

    def number(self, scorer: Any, x: Tensor, source: Source, target: int | str) -> int:  # noqa: ARG002  regions look
        """A target as the score numbers it, from how results name it.

        Raises:
            AttributionError: the sample has no such region or box.
        """
        return target_of(target, self.classes)

    def told_region(self, target: int) -> str:  # noqa: ARG002  regions and boxes have one
        """The part of the sample that the score is of, in a few words; empty where it is of the whole."""
        return ""

    def region(self, target: int, size: tuple[int, int]) -> np.ndarray | None:  # noqa: ARG002
        """The part of an image of size (H, W) that the score is of, bool (H, W); None where it is of the whole."""
        return None

    def of_target(self, seen: Seen, target: int) -> Seen:  # noqa: ARG002  regions belong to targets
        """What is seen of a sample, for one of its targets."""
        return seen

    def label(self, model: Model, target: int) -> str:
        """The target's name, empty where it has none."""
        pair = pair_of(target, model.classes)
        if pair is not None:
            return " − ".join(printable(model.label(one)) for one in pair)
        return printable(model.labels[target]) if model.labels else ""

    def seen(self, model: Model, picture: Picture, chosen: Sequence[Chosen], source: Source) -> Seen:  # noqa: ARG002
        """What the model sees of a sample."""
        return Seen(shown(model, picture.pixels))


def _fitted(size: tuple[int, int], chosen: Chosen) -> Chosen:
    """A method whose default players are not finer than the pixels of an image of that size."""
    own = chosen.entry.options().get("players")
    named = own is None or "players" in chosen.options
    grid = None if own is None or named else re.fullmatch(r"grid:(\d+)x(\d+)", str(own.default))
    if grid is None or (int(grid[1]) <= size[0] and int(grid[2]) <= size[1]):
        return chosen
    return replace(chosen, options={**chosen.options, "players": "pixels"})
