"""Networks of open_clip as classifiers whose classes are prompts: by name and weights, or from a folder of its own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError, UsageError

from ..checks import one_line, probe_images
from ..model import Source
from ..preprocess import Preprocess
from .bounds import bounded
from .clip import Similarity, head_of
from .hub import file_of_hub
from .image_processor import compared
from .openclip_names import PREFIX, Asked, asked_for, quiet
from .torchvision import RANDOM, seeded
from .weights import hash_state, read_state_dict

_TEXTS = (
    "text",
    "transformer",
    "token_embedding",
    "ln_final",
    "text_projection",
    "positional_embedding",
    "text_decoder",
)


class OpenSimilarity(Similarity):
    """That of an open_clip network, which has `encode_image`."""

    def features(self, pixel_values: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D), of length 1."""
        return self.inner.encode_image(pixel_values, normalize=True)


def matches(spec: str) -> bool:
    """Whether it names such a network."""
    return spec.startswith(PREFIX)


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Refuse: without prompts there is nothing to tell apart.

    Raises:
        ModelError: always.
    """
    hint = 'Name what it is to tell apart: --prompts "a photo of a cat;a photo of a dog".'
    raise ModelError("the network compares pictures with texts, and has no classes of its own", given=spec, hint=hint)


def load_for_prompts(
    spec: str,
    weights: str | None,
    device: torch.device,  # noqa: ARG001
    prompts: Sequence[str],
) -> Source:
    """Load a network with its own preprocessing; each prompt is a class, whose name it is. Texts are read once.

    Args:
        spec: `openclip/NAME:PRETRAINED`, `openclip/NAME:FILE`, `openclip/NAME` with weights, or `openclip/FOLDER` with
            `open_clip_config.json`.
        weights: None or `DEFAULT` for those that the name says, `none` for random ones, a file, or a name of weights.
        device: where it will run.
        prompts: the texts.

    Raises:
        ModelError: open_clip is not installed, no such network or weights, weights that lack a part of it, a tokenizer that
            cannot be had, or preprocessing that does more than `Preprocess` can.
        UsageError: a prompt is longer than the network reads.
    """
    package = _open_clip()
    asked = asked_for(package, spec, weights)
    network, notes = _built(package, asked)
    preprocess = _preprocess(package, network)
    texts = _tokens(package, asked.network, prompts)
    module = _similarity(network, texts, preprocess)
    head, read = head_of(len(prompts), sigmoid=getattr(network, "logit_bias", None) is not None)
    return Source(
        module,
        kind="openclip",
        weights=asked.told,
        weights_hash=hash_state(module.state_dict()),
        preprocess=preprocess,
        labels=tuple(prompts),
        notes=(*notes, *read),
        head=head,
    )


def _open_clip() -> ModuleType:
    try:
        return importlib.import_module("open_clip")
    except ImportError as error:
        hint = "Install it: pip install '.[openclip]' in the clone of sig."
        raise ModelError(f"open_clip cannot be imported: {one_line(error)}", hint=hint) from error


def _built(package: ModuleType, asked: Asked) -> tuple[Any, tuple[str, ...]]:
    """The network with these weights, in float32, and notes.

    Raises:
        ModelError: open_clip refuses, or the weights lack a part of the network, which would be random.
    """
    quick = bool(asked.stated.get("quick_gelu"))
    options = {"force_quick_gelu": quick, "force_preprocess_cfg": asked.stated or None}
    state = None if asked.weights is None else read_state_dict(asked.weights)
    try:
        with quiet(), seeded(), bounded(None if state is None else len(state)):
            network = package.create_model(asked.network, load_weights=False, pretrained_text=False, **options)
    except Exception as error:  # open_clip raises all sorts of exceptions
        raise ModelError(f"open_clip cannot build the network: {one_line(error)}", given=asked.network) from error
    if state is None:
        return network.float().eval(), (RANDOM,)
    notes = _filled(network, state, asked)
    if quick:
        notes = (*notes, "the weights were trained with QuickGELU, so the network has it")
    return network.float().eval(), notes


def _filled(network: Any, state: dict[str, Tensor], asked: Asked) -> tuple[str, ...]:
    """Fill a network from weights, in the older forms that open_clip reads as well; and notes."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    try:
        state = convert_state_dict(network, state)
        if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
        for name in ("logit_scale", "logit_bias"):
            if name in state and getattr(network, name, None) is not None:
                state[name] = state[name].reshape(getattr(network, name).shape)
        found = network.load_state_dict(state, strict=False)
    except Exception as error:  # a state dict of something else, or of other shapes
        hint = "Do the weights belong to the network?"
        raise ModelError(f"the weights do not fit: {one_line(error)}", given=asked.weights, hint=hint) from error
    if found.missing_keys:
        what = f"the weights lack {_first(found.missing_keys)} of the network, which would be random"
        raise ModelError(what, given=asked.weights, hint="Do the weights belong to the network?")
    unused = found.unexpected_keys
    return (f"weights that the network does not use are left out: {_first(unused)}",) if unused else ()


def _first(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _preprocess(package: ModuleType, network: Any) -> Preprocess:
    """The steps that open_clip takes with pictures, compared with its own.

    Raises:
        ModelError: it scales by the longer side and pads.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2

    stated = PreprocessCfg(**package.get_model_preprocess_cfg(network))
    theirs: Any = image_transform_v2(stated, is_train=False)
    high, wide = stated.size if isinstance(stated.size, (tuple, list)) else (stated.size, stated.size)
    squash = stated.resize_mode == "squash"
    mean, std = ([one] * 3 if isinstance(one, (int, float)) else one for one in (stated.mean, stated.std))
    made = Preprocess(
        (high, wide) if squash else min(high, wide),
        None if squash else high if high == wide else (high, wide),
        tuple(mean),
        tuple(std),
        "bilinear" if stated.interpolation == "bilinear" else "bicubic",
    )
    compared(theirs, f"of open_clip (resize_mode '{stated.resize_mode}')", made)
    return made


def _tokens(package: ModuleType, network: str, prompts: Sequence[str]) -> Tensor:
    """The prompts as the network reads them, (K, length)."""
    reader = _tokenizer(package, network)
    own = getattr(reader, "tokenizer", None)
    lengths = [len(own(one)["input_ids"]) if own is not None else len(reader.encode(one)) + 2 for one in prompts]
    most = int(reader.context_length)
    if max(lengths) > most:
        given = f"{max(lengths)} tokens: {prompts[lengths.index(max(lengths))]}"
        raise UsageError("a prompt is longer than the network reads", given=given, allowed=f"up to {most} tokens")
    found = reader(list(prompts))
    if len(found.unique(dim=0)) < len(prompts):
        raise UsageError("the network's tokenizer reads two prompts alike", given="; ".join(prompts))
    return found


def _tokenizer(package: ModuleType, network: str) -> Any:
    """open_clip's tokenizer: its own, or one of the hub, from the cache where it is there."""
    config = package.get_model_config(network) or {}
    outside = config.get("text_cfg", {}).get("hf_tokenizer_name")
    try:
        with quiet():
            return package.get_tokenizer(network, **({"local_files_only": True} if outside else {}))
    except Exception as error:  # open_clip raises all sorts of exceptions
        if not outside or network.startswith("local-dir:"):
            what = f"the tokenizer cannot be read: {one_line(error)}"
            raise ModelError(what, given=network, hint="The folder needs the tokenizer's files.") from error
    file_of_hub(outside, ["tokenizer.json", "tokenizer_config.json"], f"the tokenizer {outside}")  # says if it cannot
    try:
        with quiet():
            return package.get_tokenizer(network)
    except Exception as error:
        raise ModelError(f"the tokenizer cannot be read: {one_line(error)}", given=outside) from error


def _similarity(network: Any, texts: Tensor, preprocess: Preprocess) -> OpenSimilarity:
    """The network for these texts, compared with its own answer to two pictures of noise.

    Raises:
        ModelError: it does not give the similarity of features of pictures and of texts.
    """
    kind = type(network).__name__
    high, wide = preprocess.size or (224, 224)
    images = probe_images((3, high, wide), torch.device("cpu"))
    try:
        with torch.no_grad():
            module = OpenSimilarity(network, network.encode_text(texts, normalize=True))
            found = module(images)
            expected = network.get_logits(images, texts)[0] if hasattr(network, "get_logits") else found
    except Exception as error:  # foreign code raises what it likes
        what = f"{kind} does not compare pictures and texts as CLIP does: {one_line(error)}"
        raise ModelError(what) from error
    if expected.shape != found.shape or not torch.allclose(expected, found, rtol=1e-4, atol=1e-4):
        raise ModelError(f"{kind} does not compare pictures and texts as CLIP does", given="other logits")
    for name in _TEXTS:  # read already
        part = getattr(network, name, None)
        if part is not None:
            setattr(network, name, nn.Identity() if isinstance(part, nn.Module) else None)
    return module
