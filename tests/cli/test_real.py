"""True ImageNet weights and photographs: what a user would see. Skipped where they are absent."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import sigcli
from sigcli.errors import ModelError

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning"),
]
FAST = {"settings": {"ig.steps": 4, "sig.samples": 8}, "method": "ig,sig", "write": False, "device": "cpu"}


@pytest.fixture(scope="module")
def weights(real) -> str:
    return str(real / "weights" / "squeezenet1_1_imagenet.pt")


def relative(one, other):
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def test_every_file_format_gives_the_same_map(real, weights, tmp_path):
    import torchvision

    net = torchvision.models.squeezenet1_1(weights=None).eval()
    net.load_state_dict(torch.load(weights, weights_only=True))
    example = torch.rand(2, 3, 224, 224)
    torch.jit.trace(net, example).save(str(tmp_path / "net.pt"))
    batch = torch.export.Dim("batch", min=1, max=512)
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=({0: batch},)), tmp_path / "net.pt2")
    from safetensors.torch import save_file

    save_file(net.state_dict(), tmp_path / "net.safetensors")
    photo = real / "images" / "koala.jpg"
    named = sigcli.explain(photo, model="squeezenet1_1", weights=weights, **FAST)
    for options in (
        {"model": str(tmp_path / "net.pt")},
        {"model": str(tmp_path / "net.pt2")},
        {"model": "squeezenet1_1", "weights": str(tmp_path / "net.safetensors")},
    ):
        for one, other in zip(sigcli.explain(photo, **options, **FAST), named, strict=True):
            assert relative(one.values, other.values) < 1e-4
            assert one.target == other.target == 105


def test_ig_equals_captum_on_the_real_network(real, weights):
    from captum.attr import IntegratedGradients

    from sigcli.inputs.images import read_image
    from sigcli.models.loading import load_model

    net = load_model("squeezenet1_1", weights=weights)
    photo = real / "images" / "koala.jpg"
    x = net.preprocess(read_image(photo).pixels)[None]
    theirs = IntegratedGradients(net.module).attribute(
        x, torch.zeros_like(x) + net.preprocess.low, target=105, n_steps=6, method="gausslegendre"
    )
    ours = sigcli.explain(photo, model="squeezenet1_1", weights=weights, method="ig", settings={"steps": 6}, write=False,
                          device="cpu", batch_size=4)  # fmt: skip
    assert relative(ours[0].values, theirs[0].numpy()) < 1e-5


def test_maps_agree_across_batch_sizes(real, weights):
    photo = real / "images" / "beagle.jpg"
    maps = [sigcli.explain(photo, model="squeezenet1_1", weights=weights, batch_size=b, **FAST) for b in (1, 7, 64)]
    for other in maps[1:]:
        for one, two in zip(maps[0], other, strict=True):
            # Kernels differ with the shape of a batch and round differently. Gradients then differ by 4e-7, but where a unit
            # stands so near the kink of its ReLU (or two entries of a pooling so near each other) that rounding decides: one
            # such unit of one of 24 points, in `features.11.squeeze_activation`, moved that point's gradient by 1.2e-4 on an
            # AMD EPYC. It reaches its field of view only (2 to 20 % of the pixels); other draws would move all by about 1.
            assert relative(two.values, one.values) < 1e-3
            off = np.sort(np.abs(two.values - one.values).ravel())
            assert np.linalg.norm(off[: int(0.75 * off.size)]) < 1e-5 * np.linalg.norm(one.values)


def test_sig_sits_on_the_object(real, weights):
    """On the photographs with masks, the object holds a larger share of SIG's positive map than of the picture."""
    from PIL import Image

    gains = []
    with (real / "images.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["mask"]]
    for row in rows[:3]:
        found = sigcli.explain(
            real / "images" / row["image"], model="squeezenet1_1", weights=weights, target=int(row["class_index"]),
            settings={"samples": 48}, write=False, device="cpu",
        )[0]  # fmt: skip
        mask = Image.open(real / "masks" / row["mask"]).convert("L")
        side = 256 / min(mask.size)
        mask = mask.resize((round(mask.width * side), round(mask.height * side)))
        left, top = (mask.width - 224) // 2, (mask.height - 224) // 2
        inside = np.asarray(mask.crop((left, top, left + 224, top + 224))) > 127
        positive = found.values.sum(0).clip(0)
        gains.append(positive[inside].sum() / positive.sum() / inside.mean())
    assert np.mean(gains) > 1.2


def test_weights_of_another_network_are_refused(real):
    with pytest.raises(ModelError, match=r"do not fit|does not fit|mismatch|missing"):
        sigcli.explain(
            real / "images" / "koala.jpg", model="resnet18", weights=str(real / "weights" / "squeezenet1_1_imagenet.pt"),
            write=False,
        )  # fmt: skip


def test_a_scripted_network_saved_on_cuda_explains_a_digit(real, tmp_path):
    import gzip

    from PIL import Image

    with gzip.open(real / "mnist" / "t10k-images-idx3-ubyte.gz") as stream:
        digits = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    Image.fromarray(digits[0]).save(tmp_path / "seven.png")
    found = sigcli.explain(
        tmp_path / "seven.png", model=str(Path(real) / "torchscript" / "mnist_cnn_scripted_cuda.pt"), crop=28, resize=28,
        mean=(0.0,), std=(1.0,), baseline="black", settings={"samples": 64, "players": "grid:7x7"},
        device="cpu", write=False,
    )[0]  # fmt: skip
    assert found.target == 7
    assert found.values.shape == (1, 28, 28)
    assert np.abs(found.values[:, digits[0] == 0]).sum() < 1e-6  # black pixels do not differ from the black baseline
