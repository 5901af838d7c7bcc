"""What `tower` checks of sigcli's functions while the tests run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import sigcli.players

from tower import checked

if TYPE_CHECKING:
    from nowhere import Unknown


@checked
def scaled(images: Float[Tensor, "N C"], by: Float[Tensor, "C"], flag: bool = False) -> Float[Tensor, "N C"]:
    return (images * by).T if flag else images * by


@checked
def counted(many: int, share: float = 1, other: Unknown = None) -> str:
    return str(many) if share else many


@checked
def rows(images: Float[Tensor, "N C"]) -> Iterator[int]:
    yield from range(len(images))


@checked
@dataclass(frozen=True)
class Pair:
    one: Float[Tensor, "N"]
    other: Float[Tensor, "N"]

    @property
    @checked
    def total(self) -> Float[Tensor, ""]:
        return self.one


def test_what_is_right_passes():
    assert scaled(torch.ones(2, 3), torch.ones(3)).shape == (2, 3)
    assert counted(2, 1, other=object()) == "2"  # an int is a float; a name only type checkers know asks nothing
    assert list(rows(torch.ones(2, 3))) == [0, 1]
    assert len(Pair(torch.ones(2), torch.ones(2)).one) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: scaled(torch.ones(2, 3), torch.ones(4)),  # C is 3 and 4
        lambda: scaled(torch.ones(2, 3, 1), torch.ones(3)),
        lambda: scaled(torch.ones(2, 3).int(), torch.ones(3)),
        lambda: scaled(torch.ones(2, 3), torch.ones(3), flag=True),  # C and N change places in what is returned
        lambda: counted("2"),
        lambda: counted(2, "1"),
        lambda: counted(2, 0),  # returns no text
        lambda: rows(torch.ones(2)),
        lambda: Pair(torch.ones(2), torch.ones(3)),
        lambda: Pair(torch.ones(2), torch.ones(2)).total,
    ],
)
def test_what_is_wrong_is_refused(call):
    with pytest.raises(TypeCheckError):
        call()


def test_the_package_is_checked():
    with pytest.raises(TypeCheckError):
        sigcli.players.parse(7, torch.ones(3, 4, 4))
