"""Maxima and minima beside a constant under LRP and the gradient rules, against closed forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.errors import AttributionError

from toys import attribute, subject


class Extreme(nn.Module):
    """The first class's score: what two functions of the image, a and b, and a constant come to by a minimum or maximum."""

    def __init__(self, joined):
        super().__init__()
        self.joined = joined

    def forward(self, x):
        a, b = 4 * x[:, 0], 7 * x[:, 1]
        return torch.stack([self.joined(a, b).sum((1, 2)), x.sum((1, 2, 3))], 1)


@pytest.mark.parametrize("joined", [
    lambda a, b: torch.stack([a, b, torch.full_like(a, 2.0)]).amin(0),
    lambda a, b: torch.minimum(torch.minimum(a, b), torch.tensor(2.0)),
    lambda a, b: torch.minimum(torch.stack([a, b]).amin(0), torch.full_like(a, 2.0)),
])  # fmt: skip
def test_lrp_of_an_extreme_of_two_values_and_a_constant_by_hand(joined):
    """The smaller of the two takes all, and above the cap it takes the cap."""
    who = subject(target=0)
    a, b = 4 * who.x[0], 7 * who.x[1]
    taken = torch.minimum(torch.minimum(a, b), torch.tensor(2.0))
    expected = torch.stack([torch.where(a < b, taken, 0.0), torch.where(b < a, taken, 0.0)])
    assert (taken == 2).any()
    assert (taken != 2).any()
    found = attribute(Extreme(joined), "lrp", who).values
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("joined", [
    lambda a, _: torch.maximum(a, torch.tensor(0.5)),
    lambda a, b: torch.stack([a, b, torch.full_like(a, -0.5)]).amin(0),
    lambda a, _: torch.stack([a, torch.full_like(a, 0.5)]).max(0).values,
])  # fmt: skip
def test_lrp_refuses_an_extreme_that_is_not_0_at_0(joined):
    with pytest.raises(AttributionError, match=r"LRP has no rule for (maximum|amin|max), which is not 0 at 0"):
        attribute(Extreme(joined), "lrp", subject(target=0))


def test_padding_beside_a_maximum_is_no_rectifier_and_takes_no_relevance():
    """Zeros around what is positive: the same maxima as without them."""

    class Padded(nn.Module):
        def __init__(self, pad):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last, self.pad = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 3), pad
            self.double().eval()

        def forward(self, x):
            y = functional.relu(self.first(x)) + 0.1
            y = (
                functional.max_pool2d(functional.pad(y, (1, 1, 1, 1)), 2)
                if self.pad
                else functional.max_pool2d(y, 2, padding=1)
            )
            return self.last(y.mean((2, 3)))

    for name in ("lrp", "guided-backprop"):
        maps = [attribute(Padded(pad), name, subject()).values for pad in (False, True)]
        assert maps[0].any()
        assert torch.allclose(*maps, rtol=1e-9, atol=1e-12)
