"""Exported programs, as saved by `torch.export.save`.

A program runs what its author wrote, any operator and whatever the loader makes of the expressions in it. Pickled objects
and compiled native code inside are refused, but the format was not made for files from strangers: load only what you trust.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError

from ...inspection import packages
from ...inspection.archive import Archive
from ...inspection.packages import RE_EXPORT
from ..checks import one_line
from ..model import Source
from ..wrappers.fixed_batch import FixedBatch
from .weights import hash_file, holds, refuse_weights


def matches(spec: str) -> bool:
    """Whether it names an exported program, whatever its suffix."""
    return holds(spec, "export")


def load(spec: str, weights: str | None, device: torch.device) -> Source:
    """Load an exported program of pictures onto `device`; one with a fixed batch size is wrapped to take any.

    Raises:
        ModelError: the file is damaged, holds pickled objects or native code, calls what reaches outside tensors, takes
            other inputs than one batch of images, or `--weights` was given.
    """
    return _load(spec, weights, device, pictures=True)


def load_for_arrays(spec: str, weights: str | None, device: torch.device) -> Source:
    """The same of a program that takes samples of any shape."""
    return _load(spec, weights, device, pictures=False)


def _load(spec: str, weights: str | None, device: torch.device, *, pictures: bool) -> Source:
    refuse_weights(weights)
    path = Path(spec)
    program, module = _read_export(path, device)
    shape, inputs = _input_shape(path, program, pictures)
    notes: tuple[str, ...] = ()
    least, most = (shape[0], shape[0]) if shape[0] is not None else _batch_sizes(program)
    if most is not None:
        module = FixedBatch(module, most, least)
        sizes = f"{most}" if least == most else f"{least} to {most}"
        notes = (f"the program was exported for batches of {sizes}: others are split or padded to that",)
    return Source(
        module,
        kind="export",
        weights="in the file",
        weights_hash=hash_file(path),
        shape=(shape[1], shape[2], shape[3]) if pictures else (None, None, None),
        notes=notes,
        inputs=inputs,
    )


def _read_export(path: Path, device: torch.device) -> tuple[Any, nn.Module]:
    with Archive(path) as archive, tempfile.TemporaryDirectory(prefix="sig-") as aside:
        copy = Path(aside) / "model.pt2"
        root, members = packages.clean_members(archive, Path(aside))
        archive.copy(copy, members, root)
        reasons: list[BaseException] = []
        try:
            with _no_tracebacks(reasons):
                program = _moved(torch.export.load(str(copy)), device)
                return program, program.module()
        except Exception as error:  # the loader raises all sorts of exceptions on broken or foreign archives
            first = reasons[0] if reasons and root else error
            what = f"torch.export cannot load the file: {one_line(first)}"
            raise ModelError(what, given=path, hint=RE_EXPORT) from error


@contextmanager
def _no_tracebacks(reasons: list[BaseException]) -> Iterator[None]:
    """`torch.export.load` logs the reason with a traceback, tries the older format and gives up with another one."""

    def kept(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            reasons.append(record.exc_info[1])
        return False

    logs = [logging.getLogger(name) for name in ("torch.export", "torch.export.pt2_archive._package")]
    for log in logs:
        log.addFilter(kept)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This version of file is deprecated")
            # Some versions of torch read constants from the file's own bytes; nothing writes to them.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            yield
    finally:
        for log in logs:
            log.removeFilter(kept)


def _moved(program: Any, device: torch.device) -> Any:
    places = {value.device.type for value in [*program.state_dict.values(), *program.constants.values()]}
    if places <= {device.type}:
        return program
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, device)


def _batch_sizes(program: Any) -> tuple[int, int | None]:
    """The least and largest batch that a program says it takes; None where it sets no limit."""
    names = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    limits = program.range_constraints.get(values[0].shape[0].node.expr)
    if limits is None or not getattr(limits.upper, "is_Integer", False):
        return 1, None
    least = int(limits.lower) if getattr(limits.lower, "is_Integer", False) else 1
    return max(1, least), int(limits.upper)


def _input_shape(path: Path, program: Any, pictures: bool) -> tuple[tuple[int | None, ...], int]:
    """The shape of what a program takes, None for what is free: (N, C, H, W) of pictures; and how many of them."""
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    values = [node.meta.get("val") for node in nodes]
    if not pictures and values and all(isinstance(value, Tensor) and value.ndim > 0 for value in values):
        return tuple(size if isinstance(size, int) else None for size in values[0].shape), len(values)
    if len(values) not in (1, 2) or any(not isinstance(value, Tensor) or value.ndim != 4 for value in values):
        given = ", ".join(str(tuple(v.shape)) if isinstance(v, Tensor) else type(v).__name__ for v in values)
        what = "the program does not take one batch of images"
        allowed = "one tensor (N, C, H, W), or two for a distance of images"
        raise ModelError(what, given=given or "no input", allowed=allowed, hint=RE_EXPORT)
    for value in values:
        if value.dtype != torch.float32:
            raise ModelError("the program does not take float32 images", given=f"{path}: {value.dtype}", hint=RE_EXPORT)
    return tuple(size if isinstance(size, int) else None for size in values[0].shape), len(values)
