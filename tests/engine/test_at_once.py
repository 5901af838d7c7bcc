"""What is summed at once on a GPU is what is summed point by point on a CPU."""

import pytest
import torch

from sigcli.engine import accumulate

from toys import attribute, relu_net, subject

METHODS = {
    "ig": {"steps": 20},
    "sig": {"samples": 12, "players": "2x2"},
    "sig-walk": {"orders": 8, "players": "2x2"},
    "eg": {"samples": 12, "baselines": "uniform"},
}


@pytest.mark.parametrize("batch", [3, 16])
@pytest.mark.parametrize("method", METHODS)
def test_sums_of_batches_are_sums_of_points(method, batch, monkeypatch):
    x = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    in_turn = attribute(relu_net(), method, subject(x), batch_size=batch, **METHODS[method])
    monkeypatch.setattr(accumulate, "_in_order", lambda device: False)
    calls = []
    sums = accumulate._sums
    monkeypatch.setattr(accumulate, "_sums", lambda terms: calls.append(terms.shape[:2].numel()) or sums(terms))
    at_once = attribute(relu_net(), method, subject(x), batch_size=batch, **METHODS[method])
    assert sum(calls) >= 12
    assert max(calls) <= batch + 1  # with what was summed before
    torch.testing.assert_close(at_once.values, in_turn.values)
    if in_turn.stderr is not None:
        torch.testing.assert_close(at_once.stderr, in_turn.stderr)
        torch.testing.assert_close(at_once.deviations, in_turn.deviations)
