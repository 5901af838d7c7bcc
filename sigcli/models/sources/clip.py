"""Networks of pictures and texts (CLIP, SigLIP and their kin) as classifiers: the classes are prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError, UsageError
from sigcli.heads import LOGITS, Head
from sigcli.wrapping import Wrapper

from ..checks import one_line, probe_images
from ..model import Source
from .hf import Pixels, shape_of, told_of
from .hf_folder import opened
from .hub import CONFIG
from .weights import hash_state

_LONGEST = 1000
_ONE = "there is one prompt, so its similarity has no probability: --prompts with several tells how likely each is"
_TOKENIZER = f"The folder needs the tokenizer's files beside {CONFIG}: save it there with save_pretrained."
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
_TEXTS = ("text_model", "text_projection")


class Similarity(Wrapper):
    """The scaled similarity of pictures with texts whose features are known.

    Args:
        inner: a network with `get_image_features`, `logit_scale` and perhaps `logit_bias`.
        texts: (K, D) features of the texts, of length 1.
    """

    def __init__(self, inner: Any, texts: Tensor):
        super().__init__(inner)
        self.texts: Tensor
        self.register_buffer("texts", texts)

    def features(self, pixel_values: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D), of length 1."""
        found = _features(self.inner.get_image_features(pixel_values=pixel_values))
        return found / found.norm(dim=-1, keepdim=True)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K) as the network's own logits of pictures."""
        similar = self.features(pixel_values) @ self.texts.T
        bias = getattr(self.inner, "logit_bias", None)
        return similar * self.inner.logit_scale.exp() + (0.0 if bias is None else bias)


def read_prompts(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """Prompts as they are typed, "a cat;a dog", or one by one.

    Raises:
        UsageError: none, an empty one, or one twice.

    >>> read_prompts("a photo of a cat; a dog")
    ('a photo of a cat', 'a dog')
    """
    every = prompts.split(";") if isinstance(prompts, str) else list(prompts)
    found = tuple(one.strip() for one in every)
    if not found or not all(found) or max(map(len, found)) > _LONGEST:
        allowed = f"texts of up to {_LONGEST} characters with ; between them"
        raise UsageError("--prompts holds no text, or an empty one", given=prompts, allowed=allowed)
    if len(set(found)) < len(found):
        raise UsageError("--prompts names a text twice", given=prompts)
    return found


def _check_whole(spec: str, config: Any) -> None:
    """Raise ModelError where the folder was saved of a classifier that has only the pictures' half."""
    saved = next((one for one in config.architectures or () if one.endswith("ForImageClassification")), None)
    if saved is not None:
        what = f"--prompts are for networks of pictures and texts, and the folder holds a {saved}, without texts"
        raise ModelError(what, given=spec, hint="Leave --prompts out: its classes are its own.")


def load(spec: str, weights: str | None, device: torch.device, prompts: Sequence[str]) -> Source:  # noqa: ARG001
    """Load such a network with its image processor; each prompt is a class, whose name it is. Texts are read once.

    Args:
        spec: see `sigcli.models.sources.hf.load`.
        weights: likewise.
        device: where it will run.
        prompts: the texts.

    Raises:
        ModelError: as there; a network without texts, without a tokenizer, or whose similarity is not that of CLIP.
        UsageError: a prompt is longer than the network reads.
    """
    from .image_processor import read_processor

    found = opened(spec, weights)
    package, folder, config = found.package, found.folder, found.config
    kind = package.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    if kind is None:
        what = f"--prompts are for networks of pictures and texts, and '{config.model_type}' is none"
        raise ModelError(what, given=spec, hint="Leave --prompts out: its classes are its own.")
    _check_whole(spec, config)
    network, notes = found.network(kind)
    processor = read_processor(folder, package)
    texts = _tokens(package, folder, config, prompts)
    module = _similarity(network.eval(), texts, processor.preprocess.size if processor.preprocess else None, kind)
    head, read = head_of(len(prompts), sigmoid="siglip" in config.model_type)
    return Source(
        Pixels(module, flipped=processor.flipped),
        kind="hf",
        weights=found.told,
        weights_hash=hash_state(module.state_dict()),
        preprocess=processor.preprocess,
        labels=tuple(prompts),
        shape=shape_of(getattr(config, "vision_config", config)),
        notes=(*told_of(spec, kind), *processor.notes, *notes, *read),
        head=head,
    )


def _features(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else found.pooler_output


def head_of(prompts: int, *, sigmoid: bool) -> tuple[Head, tuple[str, ...]]:
    """What the similarities are: SigLIP was trained with a sigmoid of each, the others with a softmax over texts."""
    if sigmoid:
        told = "the network was trained with a sigmoid for each text: each prompt may fit or not, whatever the others"
        return Head("label-logits" if prompts > 1 else "logit"), (told,)
    return (LOGITS, ()) if prompts > 1 else (Head("values"), (_ONE,))


def _tokens(package: ModuleType, folder: Path, config: Any, prompts: Sequence[str]) -> dict[str, Tensor]:
    """The prompts as the network reads them, (K, length) each."""
    if not any((folder / name).is_file() for name in _VOCABULARIES):  # transformers would make an empty one
        raise ModelError("the folder has no tokenizer, which reads the prompts", given=folder, hint=_TOKENIZER)
    try:
        reader = package.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises all sorts of exceptions
        raise ModelError(f"the tokenizer cannot be read: {one_line(error)}", given=folder, hint=_TOKENIZER) from error
    most = int(getattr(config, "text_config", config).max_position_embeddings)
    padding: dict[str, Any] = {"padding": True}
    if "siglip" in config.model_type:  # it was trained on texts of one length
        padding = {"padding": "max_length", "max_length": min(most, 64)}
    every = reader(list(prompts), return_tensors="pt", truncation=False, **padding)
    found = {name: every[name] for name in ("input_ids", "attention_mask") if name in every}
    lengths = [len(reader(one)["input_ids"]) for one in prompts]
    if max(lengths) > padding.get("max_length", most):
        given = f"{max(lengths)} tokens: {prompts[lengths.index(max(lengths))]}"
        raise UsageError("a prompt is longer than the network reads", given=given, allowed=f"up to {most} tokens")
    if len(found["input_ids"].unique(dim=0)) < len(prompts):
        raise UsageError("the network's tokenizer reads two prompts alike", given="; ".join(prompts))
    return found


def _similarity(network: Any, texts: dict[str, Tensor], size: tuple[int, int] | None, kind: Any) -> Similarity:
    """The network for these texts, compared with its own answer to two pictures of noise.

    Raises:
        ModelError: it does not give the similarity of features of pictures and of texts.
    """
    config = network.config
    side = getattr(getattr(config, "vision_config", config), "image_size", 224)
    high, wide = size or (side, side)
    images = probe_images((3, high, wide), torch.device("cpu"))
    try:
        with torch.no_grad():
            found = _features(network.get_text_features(**texts))
            module = Similarity(network, found / found.norm(dim=-1, keepdim=True))
            expected, made = network(pixel_values=images, **texts).logits_per_image, module(images)
    except Exception as error:  # foreign code raises what it likes
        raise ModelError(
            f"{kind.__name__} does not compare pictures and texts as CLIP does: {one_line(error)}"
        ) from error
    if expected.shape != made.shape or not torch.allclose(expected, made, rtol=1e-4, atol=1e-4):
        raise ModelError(f"{kind.__name__} does not compare pictures and texts as CLIP does", given="other logits")
    for name in _TEXTS:  # read already
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, nn.Identity())
    return module
