"""`linear-shap` and `max-shap` are refused before the first image where no score of the network is of their kind."""

import numpy as np
import pytest
import torch
from torch import nn

from sigcli import explain
from sigcli.errors import UsageError

NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


class Scores(nn.Module):
    """Scores of three kinds: a linear one, a maximum, and one that is neither."""

    def __init__(self, *kinds):
        super().__init__()
        self.kinds = kinds
        self.weights = nn.Parameter(torch.randn(3, 24, 24, generator=torch.Generator().manual_seed(1)) / 24)

    def forward(self, x):
        linear = (self.weights * x).sum((1, 2, 3))
        made = {"linear": linear, "max": x.amax((1, 2, 3)), "neither": linear + linear.square()}
        return torch.stack([made[kind] for kind in self.kinds], 1)


def explained(network, method, pictures=(NOISE,), **options):
    settings = {"baseline": "black"}
    known = {"image_size": 24, "mean": 0, "std": 1, "write": False, "device": "cpu", "settings": settings, **options}
    return explain(list(pictures), model=network, method=method, **known)


@pytest.mark.parametrize(("method", "kind"), [("linear-shap", "linear"), ("max-shap", "max")])
def test_what_fits_no_class_is_refused_before_the_first_image(method, kind, tmp_path):
    others = [one for one in ("linear", "max", "neither") if one != kind]
    with pytest.raises(UsageError, match=f"(?s){method} cannot be used: .* this one is not.*bshap explains any score"):
        explained(Scores(*others, *others), method, write=True, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=r"Without .* the others run: --method ig"):
        explained(Scores(*others, *others), [method, "ig"])


@pytest.mark.parametrize(("method", "kind"), [("linear-shap", "linear"), ("max-shap", "max")])
def test_a_network_with_one_class_of_the_kind_is_not_refused(method, kind):
    network = Scores("neither", kind, "neither")
    (fits,) = explained(network, method, target=1)
    assert fits.status == "ok"
    assert float(fits.completeness_gap) < 1e-4
    (fails,) = explained(network, method, target=2)
    assert "this one is not" in fails.error
    (alone,) = explained(Scores(kind), method)  # one output
    assert alone.status == "ok"


def test_a_difference_of_two_scores_may_be_linear_where_neither_is():
    network = Scores("linear", "linear", "max")
    with pytest.raises(UsageError, match="linear-shap cannot be used"):
        explained(network, "linear-shap", output="logprob")
    (found,) = explained(network, "linear-shap", output="logprob", target="1 - 0")
    assert found.status == "ok"
