"""From what a user typed after `--model` to a checked classifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sigcli.catalog import Entry
from sigcli.errors import ModelError, UsageError, unknown
from sigcli.heads import LOGITS, Head
from sigcli.inputs.given import Source as Sample

from . import MODELS, NAME, names, others
from .checks import check_classifier, device_error, one_line, probe_images
from .detection import detector_model, is_detector
from .device import place_of
from .fold import freeze, prepare
from .given_values import Span, doubts, in_unit_range
from .heads import PICTURES, probes, read_head
from .labels import read_names
from .model import AS_FOUND, Model, Reading, Source
from .preprocess import Preprocess, Size, Wishes, adapt, describe, parse_size
from .settling import settle
from .sources.factory import given_network
from .sources.hub import CONFIG
from .sources.torchvision import IMAGENET_ASSUMED, fitting, imagenet_labels, what_else
from .sources.weights import is_there, read_state_dict, sniff
from .wrappers.certainty import Aware, takes_certainty
from .wrappers.dense import Averaged, Dense, dense_output
from .wrappers.fitting import Listed, refusal
from .wrappers.fixed_batch import LACKS, FixedBatch
from .wrappers.parts import Part, has_rows, named_part, plain_output
from .wrappers.twins import Twin, check_twin, fitted, inputs_of

_FREE_SIZE = 224
_LISTED = "Classifiers, segmentation networks and detectors: sig list models."
_OWN = "sig list models; another as a function of yours: --model package.module:function."
_OTHER_KINDS = {
    "finds objects": f"Known detectors: {_OWN}",
    "labels every pixel": f"Known segmentation networks: {_OWN}",
}
_BESIDE = re.compile(r"(.+)\s*[:,;=@\s]\s*([^:,;=@\s]+)")
"""A name and something after it; of several such cuts the last, since functions have a colon of their own."""
_PLACES = ("/local-dir", "/hf-hub")
"""After these timm and open_clip take a folder, or a name of the hub."""
_TAKING_FILES = ("torchscript", "export", "trained", "openclip")
"""Sources whose names are files, or may have a file in them."""
_FILE = re.compile(r"\.(pt|pth|pt2|ts|torchscript|jit|safetensors|bin|ckpt|onnx|h5|keras|pkl|pickle)$", re.IGNORECASE)


def load_model(
    spec: str | nn.Module = "shapes",
    *,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    resize: int | None = None,
    crop: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    size: str | Size | None = None,
    class_names: str | Path | None = None,
    pair: bool = False,
    picture: str | Sample | None = None,
    span: Span | None = None,
    reading: Reading = AS_FOUND,
) -> Model:
    """Load a classifier, settle how it is fed, check that it behaves, and make it ready for many gradient passes.

    Args:
        spec: `shapes`, `shapes-vit` or `expression` (bundled), a torchvision name, a TorchScript or `.pt2` file,
            `timm/NAME`, `hf/NAME` or a folder, `openclip/NAME:PRETRAINED`, or `package.module:function`; or a network, of
            which a copy is taken.
        weights: for named networks: `DEFAULT`, a torchvision weights name, `none` (random), or a file.
        device: where to run.
        resize: shorter side in pixels, instead of what the weights ask for.
        crop: side of the central crop in pixels, likewise.
        mean: per channel (or one for all), where pixels are 0..1; or 0..255, which its values tell.
        std: per channel (or one for all), likewise.
        size: size of the network's input, a number of pixels or HEIGHTxWIDTH ("60x80"): the picture is scaled until it fills
            that, or to `resize`, and cropped at its centre. In place of `crop`.
        class_names: a file with class names, see `sigcli.models.labels.read_names`.
        pair: distances of two images are wanted: the network may take two images (it comes as a `Twin`) or give embeddings.
        picture: the first that will be explained; its size is tried where the network takes no usual size.
        span: of the values of all tensors that will be explained.
        reading: how its outputs are to be read.

    Returns:
        the model; its `notes` say what was assumed.

    Raises:
        ModelError: nothing of that name, no weights, or it is not a classifier of images.
        UsageError: a device that is not there, or preprocessing values that make no sense.

    >>> model = load_model("squeezenet1_1", weights="none")
    >>> model.classes, model.preprocess.crop
    (1000, 224)
    """
    place = place_of(device)
    source, known = _source(spec, weights, place, reading.prompts)
    if source.embeds and not pair:
        raise _no_classifier(spec)
    wishes, unit = in_unit_range(Wishes(resize, crop, mean, std, parse_size(size)))
    first = Path(picture) if isinstance(picture, str) else picture
    part, module = named_part(reading.part), _placed(source, place)
    if is_detector(source, module, place):
        if pair:
            raise _no_distance("finds boxes", spec)
        return detector_model(name_of(spec), source, module, wishes, place, class_names)
    fed = _settled(module, source, wishes, place, pair=pair, first=first, span=span, part=part)
    fed.notes = (*unit, *fed.notes)
    return _judged(
        spec, source, fed, place, known=known, pair=pair, class_names=class_names,
        stated=_stated(source, part, known=known), head=reading.head,
    )  # fmt: skip


@dataclass(eq=False)
class _Fed:
    """A network whose input is settled: images of that size go in, and a row of outputs for each comes out."""

    module: nn.Module
    preprocess: Preprocess
    sample: Tensor
    notes: tuple[str, ...]


def _placed(source: Source, place: torch.device) -> nn.Module:
    """The network on the device, frozen before any trial run: batch norms in training mode would learn from it."""
    try:
        module = source.module.to(place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        what = f"the network cannot be moved to {place}: {one_line(error)}"
        raise ModelError(what, hint="Choose another --device.") from error
    freeze(module)
    return module


def _stated(source: Source, part: str | None, *, known: bool) -> Head | None:
    """What the source says of its outputs, None where they are to be looked at."""
    stated = source.head if part in (None, source.part) else None
    return LOGITS if stated is None and known and part is None else stated


def _no_classifier(spec: str | nn.Module) -> ModelError:
    return ModelError(
        "the network has no classifier: its outputs are features, not classes", given=name_of(spec),
        hint="Name weights with a classifier (sig list models NAME), or explain a distance: --partner FILE.",
    )  # fmt: skip


def _settled(
    module: nn.Module, source: Source, wishes: Wishes, place: torch.device, *,
    pair: bool, first: Sample | None, span: Span | None, part: str | None,
) -> _Fed:  # fmt: skip
    """Find out how the network is fed, and wrap it where it does not take batches of images or give rows of outputs."""
    module, paired = fitted(module, source.inputs or inputs_of(module), pair=pair)
    if source.preprocess is not None:
        preprocess, notes = adapt(source.preprocess, wishes)
        notes += doubts(span, preprocess)
    else:
        module, preprocess, notes = settle(module, source.shape, wishes, place, first, span)
    height, width = preprocess.size or (_FREE_SIZE, _FREE_SIZE)
    sample = probe_images((preprocess.channels, height, width), place)
    dense: nn.Module | None = None
    unpacked: tuple[str, ...] = ()
    if source.preprocess is not None:
        _check_fit(module, sample, source.preprocess, wishes)
    elif part is not None or not has_rows(module, sample):
        dense, unpacked = dense_output(module if part is None else Part(module, part), sample)
    module, unpacked = (dense, unpacked) if dense else plain_output(module, sample, part, source.part)
    paired += check_twin(module, sample) if isinstance(module, Twin) else ()
    return _Fed(module, preprocess, sample, (*notes, *paired, *unpacked))


def _judged(
    spec: str | nn.Module, source: Source, fed: _Fed, place: torch.device, *,
    known: bool, pair: bool, class_names: str | Path | None, stated: Head | None, head: str,
) -> Model:  # fmt: skip
    """Check the network, find out what its outputs are, and make it ready."""
    preprocess, sample, dense = fed.preprocess, fed.sample, isinstance(fed.module, Dense)
    if dense and pair:
        raise _no_distance("labels every pixel", spec)
    trials = probes(preprocess.low.to(place), preprocess.high.to(place), (sample.shape[-2], sample.shape[-1]))
    verdict = check_classifier(fed.module, sample, trials[:PICTURES], dense=dense)
    if stated == LOGITS and verdict.classes == 1:
        stated = None
    whole = Averaged(fed.module) if dense else fed.module
    outputs, read = (LOGITS, ()) if pair else read_head(head, stated, whole, trials)
    lacks = dict(verdict.lacks)
    if lacks or (isinstance(fed.module, FixedBatch) and source.kind != "export"):
        lacks["hooks"] = lacks.get("gradients", LACKS.format("images"))
    elif isinstance(fed.module, Listed):
        lacks["hooks"] = "it takes a list of images"
    module = prepare(fed.module, sample)
    certainty = not pair and not dense and takes_certainty(module)
    names, named = (None, ()) if pair else _labels(source, verdict.classes, class_names, known=known)
    return Model(
        name=name_of(spec),
        module=Aware(module, preprocess.channels) if certainty else module,
        preprocess=preprocess,
        labels=names,
        classes=verdict.classes,
        weights_hash=source.weights_hash,
        kind=source.kind,
        weights=source.weights,
        device=place,
        notes=(*source.notes, *fed.notes, *verdict.notes, *read, *named),
        certainty=certainty,
        head=outputs,
        lacks=lacks,
        task="regions" if dense else "classes",
    )


def _no_distance(does: str, spec: str | nn.Module) -> ModelError:
    what = f"the network {does}: it has no embedding and no distance of two images"
    return ModelError(what, given=name_of(spec), hint="Explain what it sees: leave --partner out.")


def _check_fit(module: nn.Module, sample: Tensor, own: Preprocess, wishes: Wishes) -> None:
    """Raise ModelError where a network that states its preprocessing does not take what the user asked for."""
    reason = refusal(module, sample) if wishes.sized else None
    if reason is not None:
        raise device_error(reason, sample.device) or ModelError(
            f"the network does not take images of the size asked for: {reason}", given="×".join(map(str, sample.shape[1:])),
            hint=f"Its weights ask for {describe(own)}: leave --image-size, --resize and --crop out.",
        )  # fmt: skip


def source_of(spec: str) -> Entry:
    """The source that a user means: the first in the table to which the text fits.

    Raises:
        ModelError: none of them, with the nearest right name, or why a file is none.

    >>> [source_of(spec).name for spec in ("timm/resnet18", "mynets:build", "shapes")]
    ['timm', 'factory', 'shapes']
    """
    if apart := _weights_beside(spec):
        raise apart
    for entry in MODELS.values():
        possible = entry.properties["form"] != NAME or spec.isidentifier()  # else torchvision is imported for nothing
        if possible and entry.load("matches")(spec):
            return entry
    if is_there(spec) or "/" in spec or _FILE.search(spec):
        raise _no_program(Path(spec))
    what = what_else(spec)
    if what is not None:
        near = spec.removeprefix("quantized_")
        hint = f"Its float form works: --model {near}." if near in names() else _OTHER_KINDS.get(what, _LISTED)
        raise ModelError(f"no model of that name can be loaded: it {what}", given=spec, hint=hint)
    error = unknown("model", spec, ["shapes", "shapes-vit", "expression", *names(), *others()], ModelError)
    hint = error.hint or "The names and forms: sig list models."
    raise ModelError(error.what, given=error.given, allowed=error.allowed, hint=hint)


def _weights_beside(spec: str) -> ModelError | None:
    """The error for a network and its weights in one text, `resnet18:net.pth`; None for another text."""
    found = _BESIDE.fullmatch(spec)
    if found is None or is_there(spec) or not (is_there(found[2]) or _FILE.search(found[2])):
        return None
    name, file = found[1].rstrip(" :,;=@"), found[2]
    if name.endswith(_PLACES):
        return None
    sources = (entry for entry in MODELS.values() if entry.name not in _TAKING_FILES)
    if not any(
        entry.load("matches")(name) for entry in sources if entry.properties["form"] != NAME or name.isidentifier()
    ):
        return None
    hint = f"Give the file apart: --model {name} --weights '{file}'."
    return ModelError("--model names the network alone, without a file of weights", given=spec, hint=hint)


def _source(
    spec: str | nn.Module, weights: str | None, device: torch.device, prompts: Sequence[str] | None
) -> tuple[Source, bool]:
    """What a loader found, and whether what its outputs are is known."""
    if isinstance(spec, nn.Module):
        if prompts is not None:
            raise _no_texts(spec)
        return given_network(spec, weights), False
    entry = source_of(spec)
    if prompts is not None:
        if entry.properties["prompts"] is None:
            raise _no_texts(spec)
        return entry.load("prompts")(spec, weights, device, prompts), True
    return entry.load()(spec, weights, device), entry.properties["known"]


def _no_texts(spec: str | nn.Module) -> UsageError:
    hint = "Leave --prompts out, or name a CLIP model: --model hf/NAME or openclip/NAME:PRETRAINED."
    what = "--prompts are for networks of pictures and texts"
    return UsageError(what, given=f"--model {name_of(spec)}", hint=hint)


def _no_program(path: Path) -> ModelError:
    """Why a file is not a model."""
    from ..inspection.packages import RE_EXPORT

    if sniff(path) == "unknown":
        allowed = "TorchScript (torch.jit.save) or an exported program (torch.export.save)"
        return ModelError("not a model file", given=path, allowed=allowed, hint=RE_EXPORT)
    if (path.parent / CONFIG).is_file():
        hint = f"The folder has a {CONFIG}, as Hugging Face's have: --model '{path.parent}'."
        raise ModelError("the file holds weights (a state dict) without their network", given=path, hint=hint)
    fits = fitting(read_state_dict(path))
    which = f" (it fits {' or '.join(fits)})" if fits else ""
    return ModelError(
        f"the file holds weights (a state dict) without their network{which}",
        given=path,
        hint=f"Name the network: --model {fits[0] if fits else 'NAME'} --weights '{path}'.",
    )


def name_of(spec: str | nn.Module) -> str:
    """What a model is called: as the user named it, or by the class of a network that was given."""
    return spec if isinstance(spec, str) else type(spec).__name__


def _labels(
    source: Source, classes: int, path: str | Path | None, *, known: bool
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    if path is not None:
        return read_names(path, classes)
    if source.labels is not None and len(source.labels) == classes:
        return source.labels, ()
    if classes == 1000 and not known:
        return imagenet_labels(), (IMAGENET_ASSUMED,)
    return None, ()
