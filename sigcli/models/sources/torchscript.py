"""TorchScript: whole programs as saved by `torch.jit.save`.

A program runs what its author wrote, any torch operator. The format was not made for files from strangers: load only what
you trust.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from sigcli.errors import ModelError

from ...inspection import scripts
from ...inspection.archive import Archive
from ..checks import one_line
from ..model import Source
from .weights import hash_file, holds, refuse_weights


def matches(spec: str) -> bool:
    """Whether it names a TorchScript file, whatever its suffix."""
    return holds(spec, "torchscript")


def load(spec: str, weights: str | None, device: torch.device) -> Source:
    """Load a TorchScript program onto `device`, wherever it was saved; its text and graphs are inspected first.

    Raises:
        ModelError: the file is damaged, reaches outside tensors, needs operators that are not installed, or `--weights` was
            given.
    """
    refuse_weights(weights)
    path = Path(spec)
    with Archive(path) as archive, _copied(archive, scripts.clean_members(archive)) as copy:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated")
                module = torch.jit.load(str(copy), map_location=device)
        except Exception as error:  # torch's readers in C++ raise all sorts of exceptions on a broken program
            hint = "Save it again with torch.jit.save, or as a .pt2 with torch.export.save."
            raise ModelError(f"TorchScript cannot load the file: {one_line(error)}", given=spec, hint=hint) from error
    scripts.check_graphs(path, module)
    if not module._c._has_method("forward"):
        raise ModelError("the TorchScript program has no forward method", given=path, hint="Save the whole module.")
    return Source(module, kind="torchscript", weights="in the file", weights_hash=hash_file(spec))


@contextmanager
def _copied(archive: Archive, members: Mapping[str, bytes | str]) -> Iterator[Path]:
    """An archive of these members and no others, for as long as the context lasts: torch reads that, and not the file."""
    with tempfile.TemporaryDirectory(prefix="sig-") as aside:
        archive.copy(Path(aside) / "model.pt", members)
        yield Path(aside) / "model.pt"
