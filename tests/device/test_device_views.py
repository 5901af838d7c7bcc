"""Views, captum's interface and Quantus's on a device that is strict about tensors of another: the CPU's figures."""

import numpy as np
import pytest
import torch
from method_networks import NETWORKS

import sigcli
from sigcli import captum

from toys import relu_net


@pytest.mark.parametrize("view", ["raw", "smooth:2", "multi:1,3", "regions"])
def test_maps_as_shown_have_the_standard_errors_of_the_cpu(view, there):
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(5))
    options = {"method": "sig,eg", "view": view, "uncertainty": True, "tolerance": 0.5, "max_evaluations": 256}
    options |= {"mean": 0, "std": 1, "batch_size": 6, "settings": {"sig.players": "grid:2x2"}}
    nets = {device: relu_net(torch.float32, 3) for device in ("cpu", there)}
    found = [sigcli.explain(images, model=net, device=device, **options) for device, net in nets.items()]
    for one, other in zip(*found, strict=True):
        assert (one.error, other.error) == ("", "")
        assert other.view == one.view
        assert other.gradient_evaluations == one.gradient_evaluations  # where a tolerance stops
        assert other.shown_standard_error == pytest.approx(one.shown_standard_error, rel=1e-3, abs=1e-6)
        np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-4 * np.abs(one.values).max())


@pytest.mark.parametrize("name", ["ShapleyIntegratedGradients", *sorted(captum.names())])
def test_classes_with_captums_interface(name, there):
    x = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    kind = getattr(sigcli if name.startswith("Shapley") else captum, name)
    drawn = name in ("EG", "ExpectedGradients", "GradientShap")  # which need references
    more = [{"baselines": (0.5 * x.flip(0)).to(device)} if drawn else {} for device in ("cpu", there)]
    here = kind(relu_net(torch.float32, 3)).attribute(x, target=1, **more[0])
    other = kind(relu_net(torch.float32, 3).to(there)).attribute(x.to(there), target=1, **more[1])
    assert other.device.type == there
    np.testing.assert_allclose(other.cpu().numpy(), here.numpy(), rtol=0, atol=1e-4 * float(here.abs().max()))


def test_the_function_for_quantus(there):
    x = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    made, _ = NETWORKS["convolutions"]
    here, other = (
        sigcli.quantus_explain(made(), x.numpy(), np.array([0, 2]), method="ig", settings={"steps": "4"}, device=device)
        for device in ("cpu", there)
    )
    np.testing.assert_allclose(other, here, rtol=0, atol=1e-4 * np.abs(here).max())
