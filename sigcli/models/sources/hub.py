"""Folders of the Hugging Face hub by name: from the cache where they are complete, else downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sigcli.errors import ModelError

from ..checks import one_line

CONFIG = "config.json"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(@[\w./-]+)?")
_TEXTS = ["*.json", "*.txt", "*.model"]
_WAIT = 10
"""Seconds for the hub's answer."""


def is_name(text: str) -> bool:
    """Whether the hub may have a model of that name: OWNER/NAME, also with @REVISION."""
    return _NAME.fullmatch(text) is not None and ".." not in text


def fetched(name: str, *, weights: bool = True) -> Path:
    """The folder of a model of the hub on this machine.

    Args:
        name: OWNER/NAME, or OWNER/NAME@REVISION.
        weights: its weights are needed, too.

    Raises:
        ModelError: it is not in the cache, and the hub cannot be asked or has no such model.
    """
    import huggingface_hub as hub

    repository, _, revision = name.partition("@")
    asked: dict[str, Any] = {"repo_id": repository, "revision": revision or None}
    try:
        kept = Path(hub.snapshot_download(**asked, local_files_only=True))
    except (OSError, ValueError):
        kept = None
    if kept is not None and (kept / CONFIG).is_file() and (not weights or holds_weights(kept)):
        return kept
    try:
        # One question without retries first: the library's own downloads ask six times, for half a minute.
        known = hub.HfApi().model_info(repository, revision=revision or None, timeout=_WAIT)
        names = {one.rfilename for one in known.siblings or ()}
        safe = any(one.endswith(".safetensors") for one in names)
        kinds = [] if not weights else ["model*.safetensors"] if safe else ["pytorch_model*.bin"]
        return Path(hub.snapshot_download(**asked, allow_patterns=[*_TEXTS, *kinds]))
    except Exception as error:
        raise _missing(name, kept, error) from error


def file_of_hub(repository: str, names: Sequence[str], given: str) -> Path:
    """A file of a repository of the hub on this machine: the first of these names that is there.

    Args:
        repository: OWNER/NAME.
        names: of the file, the preferred first.
        given: what the user named.

    Raises:
        ModelError: it is not in the cache, and the hub cannot be asked or has no such file.
    """
    import huggingface_hub as hub

    for name in names:
        kept = hub.try_to_load_from_cache(repository, name)
        if isinstance(kept, str):
            return Path(kept)
    try:
        known = hub.HfApi().model_info(repository, timeout=_WAIT)
        there = {one.rfilename for one in known.siblings or ()}
        name = next(one for one in names if one in there)
        return Path(hub.hf_hub_download(repository, name))
    except StopIteration:
        raise ModelError(f"the hub's {repository} has none of {', '.join(names)}", given=given) from None
    except Exception as error:
        raise _missing(repository, None, error, given) from error


def holds_weights(folder: Path) -> bool:
    """Whether a folder has weights, in one file or in pieces."""
    return any((folder / f"{one}{end}").is_file() for one in (SAFE, PICKLED) for end in ("", ".index.json"))


def _missing(name: str, kept: Path | None, error: Exception, given: str | None = None) -> ModelError:
    reason, kind = one_line(error), type(error).__name__
    known = {
        "RepositoryNotFoundError": "the hub has no such model, or it is private",
        "GatedRepoError": "the hub gives it only to those who accepted its terms",
        "RevisionNotFoundError": "the hub's model has no such revision",
        "OfflineModeIsEnabled": "the hub may not be asked (HF_HUB_OFFLINE is set)",
    }.get(kind, f"the hub cannot be asked ({reason})")
    where = "is not in the cache" if kept is None else "is not complete in the cache"
    hint = "Fetch it where there is a connection (hf download NAME), or name a folder that save_pretrained wrote."
    if given is not None:
        hint = f"Fetch it where there is a connection (hf download {name}), or name a file or folder."
    return ModelError(f"the model {where}, and {known}", given=given or f"hf/{name}", hint=hint)
