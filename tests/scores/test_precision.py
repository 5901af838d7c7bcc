"""What a precision means on a device."""

import pytest
import torch

from sigcli.scores.score import autocast

CUDA = torch.device("cuda")


def flags():
    return (
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic,
    )  # fmt: skip


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True)])
def test_fp32_on_cuda_is_no_tf32(precision, tf32):
    """torch lets cuDNN convolve in TF32 by default; the flags can be read without a GPU."""
    before = flags()
    assert before[1], "torch's default, which this is about"
    with autocast(precision, CUDA):
        assert flags() == (tf32, tf32, True)
    assert flags() == before
    with pytest.raises(RuntimeError), autocast(precision, CUDA):
        raise RuntimeError
    assert flags() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_precisions_of_a_convolution():
    torch.manual_seed(0)
    net = torch.nn.Conv2d(64, 64, 3).cuda()
    images = torch.randn(8, 64, 32, 32, device="cuda")
    exact = torch.nn.functional.conv2d(images.double(), net.weight.double(), net.bias.double())
    errors = {}
    for precision in ("fp32", "tf32", "bf16"):
        with torch.no_grad(), autocast(precision, CUDA):
            errors[precision] = float((net(images).double() - exact).abs().max())
    assert errors["fp32"] < 1e-5 < errors["tf32"] < errors["bf16"]
