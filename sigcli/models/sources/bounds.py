"""A bound for networks that are built as a file says: one that asks for a trillion layers would be built for ever."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

from ...errors import ModelError

_ALONE = 10_000
"""Modules of a network of random weights; open_clip's largest have 1,200, transformers' of pictures some 3,000."""
_EACH, _BESIDES = 30, 1_000
"""Modules that a network may have for each tensor of its weights, and besides: most have fewer modules than tensors."""

_COUNTS = re.compile(r".*(layers?|depths?|blocks|stages|levels|num_labels)$")
_MOST = 1_000_000
"""What a configuration may count: transformers names each layer and label as it reads one, before any network is built."""


def check_counts(stated: Mapping[str, Any], file: Path) -> None:
    """Raise ModelError where a configuration counts layers or labels in numbers that no network has.

    Args:
        stated: the table in its file; parts of a network may have tables of their own in it.
        file: told to the user.
    """
    for name, value in stated.items():
        if isinstance(value, Mapping):
            check_counts(value, file)
        elif _COUNTS.fullmatch(str(name)):
            counts = value if isinstance(value, list) else [value]
            if any(isinstance(one, (int, float)) and abs(one) > _MOST for one in counts):
                raise ModelError(f"the configuration asks for too much: {name} is {value}"[:200], given=file)


@contextmanager
def bounded(tensors: int | None) -> Iterator[None]:
    """Raise ModelError where this thread builds a network of too many modules.

    Args:
        tensors: how many the weights of the network have; None where they will be random.
    """
    here, left = threading.get_ident(), _ALONE if tensors is None else _BESIDES + _EACH * tensors
    what = f"the configuration asks for more than {left:,} modules"
    more = "" if tensors is None else f", and the weights have {tensors:,} tensors"

    def count(_parent: Any, _name: str, _module: Any) -> None:
        nonlocal left
        if threading.get_ident() == here:
            left -= 1
            if left < 0:
                raise ModelError(f"{what}{more}")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
