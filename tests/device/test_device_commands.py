"""Commands and kinds of samples on a device that is strict about tensors of another: the CPU's figures."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import sigcli
from sigcli.cli.main import app
from sigcli.gridworld.run import run_gridworld
from sigcli.metrics import METRICS

from toys import relu_net

AREAS = ((2, 4, 12, 14), (18, 6, 28, 16))
FEW = {"steps": "4", "superpixels": "4", "subsets": "8", "samples": "3", "largest": "12"}


def small(metrics):
    """Settings for few evaluations: of the methods, and of these metrics."""
    own = {f"{name}.{option}": FEW[option] for name in metrics for option in METRICS[name].options() if option in FEW}
    return {"sig.samples": "4", **own}


class Labels(nn.Module):
    """A segmentation network: three scores at each pixel."""

    def forward(self, x):
        return {"out": torch.stack([0 * x[:, 0] + 0.1, x[:, 0] - 0.5 * x[:, 1], x[:, 1] - 0.5 * x[:, 0]], 1)}


class Boxes(nn.Module):
    """A detector: two boxes in fixed places, as sure as they are red or green."""

    num_classes = 3

    def forward(self, images):
        if not isinstance(images, list):
            raise TypeError("a list of images")
        return [self.one(image) for image in images]

    def one(self, image):
        scores = torch.stack([image[c, y0:y1, x0:x1].mean() for c, (x0, y0, x1, y1) in enumerate(AREAS)])
        there = scores > 0.05
        boxes, labels = torch.tensor(AREAS, device=image.device).float(), torch.tensor([1, 2], device=image.device)
        return {"boxes": boxes[there], "labels": labels[there], "scores": scores[there]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two classes of noise, with a red and a green square in each picture; masks; names of classes."""
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 60, (32, 32, 3)).astype(np.uint8)
        for channel, (x0, y0, x1, y1) in enumerate(AREAS):
            pixels[y0:y1, x0:x1, channel] = 150 + 30 * (number % 2)
        folder = tmp_path / "in" / ("light" if number % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    mask = np.zeros((32, 32), np.uint8)
    mask[4:14, 2:12] = 255
    (tmp_path / "masks").mkdir()
    for number in (0, 2):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "names.txt").write_text("none\nred\ngreen\n")
    return tmp_path


GAPS = {"relative-gap": 1e-3, "completeness-gap": 1e-3}
"""Small differences of large sums, in fp32."""


def close(one, other, rounding=1e-4):
    """Whether two values of a report are the same but for rounding."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=rounding, abs=1e-5, nan_ok=True)
    return one == other


def same_maps(there, source, **options):
    options = {"method": "sig,ig,occlusion", "evaluations": 12, "write": False, **options}
    here, found = (sigcli.explain(source, device=device, **options) for device in ("cpu", there))
    assert [one.error for one in (*here, *found)] == [""] * 2 * len(here)
    for one, other in zip(here, found, strict=True):
        np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-4 * np.abs(one.values).max())
        assert other.score == pytest.approx(one.score, rel=1e-4)
    assert len(here) > 0
    return found


def test_metrics(here, there):
    """All of them, but those of the label of an image, which are below."""
    pictures = sorted(map(str, (here / "in" / "dark").iterdir()))
    metrics = [name for name, entry in METRICS.items() if entry.properties["scope"] != "model"]
    values = []
    for device in ("cpu", there):
        done = sigcli.evaluate(
            pictures, model=relu_net(torch.float32, 3), method="sig,gradcam", metric=metrics, mean=0, std=1, image_size=16,
            device=device, pictures=False, out=str(here / f"run-{device}"), batch_size=6, settings=small(metrics),
            players="grid:2x2", masks="masks",
        )  # fmt: skip
        values.append([(one.image, one.method, one.metric, one.value) for one in done.values])
    assert {metric for *_, metric, value in values[0] if value is not None} == set(metrics)
    assert [one[:3] for one in values[0]] == [one[:3] for one in values[1]]
    wrong = [(*a, b[3]) for a, b in zip(*values, strict=True) if not close(a[3], b[3], GAPS.get(a[2], 1e-4))]
    assert wrong == []


def test_metrics_of_the_model(here, there):
    (here / "labels.csv").write_text("image,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(4)))
    reports = []
    for device in ("cpu", there):
        line = ["evaluate", "in", "--labels", "labels.csv", "--device", device, "--no-pictures", "--out", device]
        line += ["--metric", "information-absence,neutrality", "--method", "gradient", "--batch-size", "4"]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == 0, done.output
        with (here / device / "summary.csv").open(newline="") as stream:
            reports.append([row for row in csv.DictReader(stream) if row["metric"] in METRICS])
    names = {name for name, entry in METRICS.items() if entry.properties["scope"] == "model"}
    assert {row["metric"] for row in reports[0]} >= names - {"top-5-accuracy"}
    for one, other in zip(*reports, strict=True):
        assert all(close(*map(number_of, (one[key], other[key]))) for key in one if key != "seconds"), (one, other)


def number_of(cell):
    """A cell of a table as the number that it is, or as its text."""
    try:
        return float(cell)
    except ValueError:
        return cell


def test_a_network_with_masked_certainty(here, there):
    same_maps(there, "in/dark/0.png", mask_certainty="0.5,0,1,1", method="icg", batch_size=4)


def test_pairs(here, there):
    embed = nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 6))
    fed = {"model": embed, "mean": 0, "std": 1, "image_size": 20}
    for output in ("distance", "cosine-distance"):
        same_maps(there, "in/dark", partner="in/light/1.png", output=output, **fed)


def test_arrays(here, there):
    np.save("sample.npy", np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32))
    net = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 3))
    same_maps(
        there, "sample.npy", model=net, players="axis:0", method="sig,sig-walk,ig,bshap", baseline="zero",
        evaluations=None, settings={"samples": "6", "steps": "4", "orders": "2"},
    )  # fmt: skip


def test_segmentation(here, there):
    fed = {"model": Labels(), "mean": 0, "std": 1, "image_size": 32, "class_names": "names.txt"}
    for target in ("red", "red@5,6", "top"):
        same_maps(there, "in/dark/0.png", target=target, **fed)


def test_detection(here, there):
    same_maps(there, "in/dark/0.png", model=Boxes(), class_names="names.txt", target="red", players="grid:2x2")


def test_hugging_face(here, there):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        num_labels=3,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained("vit")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained("vit")
    same_maps(there, "in/dark/0.png", model="hf/vit", method="sig,generic-attention", players="tokens")


def test_gridworld(there):
    options = {
        "grid": "1x2",
        "reward": "r1",
        "runs": 1,
        "steps": 8,
        "samples": 16,
        "write": False,
        "estimators": "sig,sig-walk,zero,permutation,exact",
    }
    studies = [run_gridworld(device=device, **options) for device in ("cpu", there)]
    here, found = (study.cases[0].measured for study in studies)
    assert [one.estimator for one in here] == [other.estimator for other in found]
    for one, other in zip(here, found, strict=True):
        np.testing.assert_allclose(
            other.estimate.values, one.estimate.values, rtol=1e-4, atol=1e-4, err_msg=one.estimator
        )


def test_train(here, there):
    for number in range(4, 12):
        level = 60 + 130 * (number % 2)
        noise = np.random.default_rng(number).integers(-40, 40, (20, 20, 3))
        Image.fromarray((level + noise).astype(np.uint8)).save(
            here / "in" / ("dark", "light")[number % 2] / f"{number}.png"
        )
    rows = []
    for device in ("cpu", there):
        line = [
            "train",
            "in",
            "--device",
            device,
            "--out",
            f"train-{device}",
            "--arch",
            "small-cnn",
            "--grey",
            "--no-flip",
        ]
        done = CliRunner().invoke(app, [*line, "--image-size", "16", "--epochs", "2", "--batch-size", "4"])
        assert done.exit_code == 0, done.output
        with (here / f"train-{device}" / "training.csv").open(newline="") as stream:
            rows.append(list(csv.DictReader(stream)))
    assert len(rows[0]) == len(rows[1]) >= 2
    for one, other in zip(*rows, strict=True):
        for key, value in one.items():
            if key not in ("seconds", "images_per_s"):
                assert float(other[key] or 0) == pytest.approx(float(value or 0), rel=1e-4, abs=1e-4), key
