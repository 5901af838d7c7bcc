"""`sig train`: folders, the loop with damage, checkpoints, and files that load as models."""

import ast
import csv
import json
import os
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

import sigcli.training.loop
import sigcli.training.train
from sigcli.attribution.explain import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError, OutputError, UsageError
from sigcli.models.loading import load_model
from sigcli.models.networks.certainty import CertaintyAware, Components, PixelCNN, SmallCNN
from sigcli.models.preprocess import Preprocess
from sigcli.models.sources import trained
from sigcli.models.sources.trained import HEADER, Trained
from sigcli.training.folders import Decoded, batches, find_classes
from sigcli.training.loop import Held, Recipe, _level, _partly_damaged, _stops, net_of, preset_recipe, train
from sigcli.training.train import train as train_folder

from repository import ROOT

SMALL = ["--arch", "small-cnn", "--grey", "--image-size", "16", "--epochs", "2", "--batch-size", "16", "--no-flip"]
ARCHS = ["resnet18", "mobilenet_v3_small", "vgg11", "densenet121", "googlenet", "shufflenet_v2_x0_5"]
OWN = [net(3, certainty=True) for net in (SmallCNN, partial(SmallCNN, pool="any"), PixelCNN, Components)]
CHANGES = [
    {"arch": "os.system"}, {"classes": 3}, {"classes": ["a"]}, {"preprocess": {"resize": 0}}, {"preprocess": {"x": 1}},
]  # fmt: skip
MADE = Trained("small-cnn", ("dark", "light"), True, Preprocess(16, 16, (0.5,), (0.25,)), {"accuracy": 1.0})


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """Two classes of 20 pictures each: dark ones and light ones."""
    root = tmp_path_factory.mktemp("shades")
    draw = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        (root / name).mkdir()
        for i in range(20):
            Image.fromarray((level + draw.integers(-40, 40, (20, 24, 3))).astype(np.uint8)).save(
                root / name / f"{i}.png"
            )
    return root


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


class TestFolders:
    def test_one_in_five_is_held_out_of_each_class(self, shades):
        found = find_classes(shades)
        assert found.classes == ("dark", "light")
        assert [label for _, label in found.held] == [0] * 4 + [1] * 4
        assert not {path for path, _ in found.held} & {path for path, _ in found.train}
        assert len(found.held) + len(found.train) == 40
        assert find_classes(shades).held == found.held
        assert find_classes(shades, seed=1).held != found.held

    def test_train_and_val_are_taken_as_they_are(self, shades, tmp_path):
        (tmp_path / "train").symlink_to(shades)
        for name in ("dark", "light"):
            (tmp_path / "val" / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (9, 9)).save(tmp_path / "val" / name / f"{i}.png")
        found = find_classes(tmp_path)
        assert (len(found.train), len(found.held)) == (40, 4)
        (tmp_path / "val" / "light").rename(tmp_path / "val" / "bright")
        with pytest.raises(UsageError, match=r"different classes.*bright, light"):
            find_classes(tmp_path)

    def test_no_classes(self, tmp_path):
        with pytest.raises(UsageError, match="no such folder"):
            find_classes(tmp_path / "none")
        with pytest.raises(UsageError, match=r"at least two classes.*0 of them"):
            find_classes(tmp_path)

    def test_batches_see_every_image_once_in_an_epoch(self):
        data = Decoded(
            torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 9, 9), torch.arange(40), []
        )
        batch = batches(data, 8, 8, flip=True, seed=0)
        seen = torch.cat([batch(step)[1] for step in range(5)])
        assert sorted(seen.tolist()) == list(range(40))
        images, labels = batch(7)
        assert images.shape == (8, 1, 8, 8)
        assert torch.equal((images[:, 0, 0, 0] * 255).round().long(), labels)
        assert torch.equal(batch(7)[1], labels)
        assert not torch.equal(batch(8)[1], labels)


@pytest.mark.slow
class TestLoop:
    def data(self, step):
        labels = torch.arange(16) % 2
        generator = torch.Generator().manual_seed(step)
        return 0.2 + 0.5 * labels[:, None, None, None] + 0.2 * torch.rand(16, 1, 8, 8, generator=generator), labels

    def run(self, tmp_path, steps=12, **options):
        net = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")
        return train(net, self.data, Held(*self.data(99)), Recipe(steps=steps), **options), net

    def test_it_learns(self, tmp_path):
        points, net = self.run(tmp_path, steps=40)
        assert points[-1].accuracy == 1.0
        assert points[-1].loss < points[0].loss
        assert 0.5 < points[-1].damaged <= 1.0
        assert not net.module.training

    def test_interrupted_and_resumed_is_the_same(self, tmp_path):
        whole, net = self.run(tmp_path)

        class Stopped(Exception):
            pass

        def stop(step, steps, point):
            if step == 8:
                raise Stopped

        with pytest.raises(Stopped):
            self.run(tmp_path, checkpoint=tmp_path / "c.safetensors", progress=stop)
        points, other = self.run(tmp_path, checkpoint=tmp_path / "c.safetensors", resume=True)
        assert [p.step for p in points] == [p.step for p in whole]
        assert all(torch.equal(a, b) for a, b in zip(net.module.parameters(), other.module.parameters(), strict=True))
        with pytest.raises(OutputError, match="checkpoint belongs to another training"):
            self.run(tmp_path, steps=13, checkpoint=tmp_path / "c.safetensors", resume=True)
        (tmp_path / "c.safetensors").write_bytes(b"no checkpoint")
        with pytest.raises(OutputError, match="checkpoint cannot be read"):
            self.run(tmp_path, checkpoint=tmp_path / "c.safetensors", resume=True)

    @pytest.mark.parametrize("preset", [None, "icg"])
    def test_a_checkpoint_holds_tensors_and_one_text(self, tmp_path, preset):
        """Weights and both moments of every one of them, as they were: what Adam needs to go on exactly."""
        recipe, kept, file = preset_recipe(preset, steps=6), [], tmp_path / "c.safetensors"
        net = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")

        def stop(step, steps, point):
            if step == 4:
                kept.append({name: value.clone() for name, value in net.module.state_dict().items()})
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(net, self.data, Held(*self.data(99)), recipe, checkpoint=file, progress=stop)
        found = load_file(file)
        names = [name for name, _ in net.module.named_parameters()]
        assert sum(name.startswith("net/") for name in found) == len(kept[0])
        for name, value in kept[0].items():
            assert torch.equal(found[f"net/{name}"], value)
        for number, parameter in enumerate(dict(net.module.named_parameters())[name] for name in names):
            assert found[f"optimizer/{number}/exp_avg"].shape == parameter.shape
            assert float(found[f"optimizer/{number}/step"]) == 4
        whole = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")
        train(whole, self.data, Held(*self.data(99)), recipe)
        other = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")
        train(other, self.data, Held(*self.data(99)), recipe, checkpoint=file, resume=True)
        both = zip(whole.module.parameters(), other.module.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in both)

    @pytest.mark.parametrize("name", ["net/features.0.bias", "optimizer/3/exp_avg_sq"])
    def test_a_checkpoint_that_lacks_something_is_refused(self, tmp_path, name):
        file = tmp_path / "c.safetensors"
        net = net_of(trained.build(MADE), (0.5,), (0.25,), certainty=True, device="cpu")
        train(net, self.data, Held(*self.data(99)), Recipe(steps=3), checkpoint=file)
        with safe_open(file, framework="pt") as opened:
            told = opened.metadata()
        left = {key: value for key, value in load_file(file).items() if key != name}
        assert len(left) < len(load_file(file))
        save_file(left, file, metadata=told)
        with pytest.raises(OutputError, match="checkpoint cannot be read"):
            train(net, self.data, Held(*self.data(99)), Recipe(steps=3), checkpoint=file, resume=True)

    def test_a_batch_is_partly_whole_and_partly_unknown(self):
        images, _ = self.data(0)
        damaged, certainty = _partly_damaged(
            images, Recipe(whole=0.25, unknown=0.125), torch.Generator().manual_seed(0)
        )
        assert torch.equal(damaged[:4], images[:4])
        assert bool((certainty[:4] == 1).all())
        assert bool((certainty[-2:] == 0).all())
        assert not torch.equal(damaged[-2:], images[-2:])
        between = certainty[4:-2]
        assert bool(((between > 0) & (between < 1)).any())

    def test_the_rate_rises_and_falls(self):
        levels = [_level(i / 100) for i in range(101)]
        assert max(levels) == pytest.approx(1, abs=0.01)
        assert levels[0] == pytest.approx(0.1)
        assert levels[-1] == pytest.approx(0.01)
        assert max(_stops(500)) == 500
        assert len(_stops(3000)) <= 25


class TestNetworks:
    @pytest.mark.parametrize("arch", ARCHS)
    def test_any_torchvision_classifier_takes_a_certainty(self, arch):
        net = trained.build(Trained(arch, ("a", "b", "c"), True, Preprocess(64, 64)))
        assert isinstance(net, CertaintyAware)
        assert net.merge[0].weight.shape == (64, 4, 1, 1)
        x, sure = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
        with torch.no_grad():
            for _ in range(3):
                net.train()(
                    x
                )  # batch norms see some data: with fresh ones a signal dies on its way through so many layers
        net.eval()
        assert net(x).shape == (2, 3)
        assert torch.allclose(net(x), net(x, sure))
        assert not torch.equal(net(x), net(x, 0 * sure))

    def test_fresh_weights_follow_the_seed(self):
        one, again, other = (next(trained.build(MADE, seed=s).parameters()) for s in (0, 0, 1))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    @pytest.mark.parametrize("net", OWN)
    def test_small_ones_have_centred_logits(self, net):
        logits = net.eval()(torch.rand(4, 1, 12, 12), torch.rand(4, 1, 12, 12))
        assert logits.shape == (4, 3)
        assert logits.mean(1).abs().max() < 1e-6

    @pytest.mark.parametrize("net", [SmallCNN(2, pool="any"), PixelCNN(2)])
    def test_evidence_anywhere_counts_alike(self, net):
        net.eval()
        one = torch.zeros(1, 1, 64, 64)
        other = one.clone()
        one[..., 24:28, 24:28] = 1
        other[..., 36:40, 28:32] = 1
        assert torch.allclose(net(one), net(other), atol=1e-5)

    def test_a_pixel_meets_its_certainty_before_its_neighbours(self):
        net = PixelCNN(2, certainty=True).eval()
        with torch.no_grad():
            plain, one = torch.rand(1, 2, 12, 12), torch.zeros(1, 2, 12, 12)
            one[..., 5, 8] = 0.5
            moved = (net.each(plain + one) - net.each(plain)).abs().amax(1)[0] > 0
        assert moved.nonzero().tolist() == [[2, 4]]  # its block of 2×2

    def test_a_network_without_convolution_is_refused(self):
        with pytest.raises(UsageError, match="does not begin with a convolution"):
            CertaintyAware(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
        with pytest.raises(UsageError, match="RGB pictures only"):
            trained.build(Trained("resnet18", ("a", "b"), True, Preprocess(64, 64, (0.5,), (0.25,))))
        with pytest.raises(UsageError, match="Did you mean 'resnet18'"):
            trained.build(Trained("resnet81", ("a", "b"), True, Preprocess(64, 64)))


class TestFiles:
    def test_a_file_loads_as_a_model(self, tmp_path):
        net = trained.build(MADE).eval()
        trained.save(tmp_path / "net.safetensors", net, MADE)
        model = load_model(str(tmp_path / "net.safetensors"))
        assert (model.kind, model.labels, model.certainty, model.classes) == ("trained", ("dark", "light"), True, 2)
        assert model.preprocess == MADE.preprocess
        x = torch.rand(2, 1, 16, 16)
        assert torch.allclose(model.module(x), net(x), atol=1e-5)
        with pytest.raises(ModelError, match="brings its own weights"):
            load_model(str(tmp_path / "net.safetensors"), weights="none")

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_header_that_was_changed_is_refused(self, tmp_path, change):
        path = tmp_path / "net.safetensors"
        trained.save(path, trained.build(MADE), MADE)
        with safe_open(path, "pt") as file:
            header = {**json.loads(file.metadata()[HEADER]), **change}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(state, path, metadata={HEADER: json.dumps(header)})
        with pytest.raises(ModelError):
            load_model(str(path))

    def test_bare_weights_are_still_told_apart(self, tmp_path):
        save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
        assert trained.read_header(tmp_path / "w.safetensors") is None
        with pytest.raises(ModelError, match="state dict"):
            load_model(str(tmp_path / "w.safetensors"))


@pytest.mark.slow
class TestCommand:
    def test_train_then_explain(self, shades, tmp_path):
        done = sig("train", shades, *SMALL, "--epochs", "6", "--certainty", "--out", tmp_path / "net", "--json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["classes"] == ["dark", "light"]
        assert told["accuracy"] >= 0.75
        assert 0 <= told["information_absence"] <= 1
        assert "information absence" in done.stderr
        with (tmp_path / "net" / "training.csv").open() as stream:
            assert len(list(csv.DictReader(stream))) >= 3
        assert (tmp_path / "net" / "training.png").stat().st_size > 10_000
        assert not (tmp_path / "net" / "checkpoint.safetensors").exists()
        found = explain(
            shades / "light" / "0.png", model=told["file"], method="icg,ig,sig,gradient", device="cpu", write=False,
            settings={"steps": 3, "sig.samples": 4},
        )  # fmt: skip
        assert [item.status for item in found] == ["ok"] * 4
        assert found[0].values.shape == (1, 16, 16)

    def test_without_certainty_icg_says_what_to_do(self, shades, tmp_path):
        found = train_folder(
            shades, arch="small-cnn", grey=True, image_size=16, epochs=1, batch_size=16, device="cpu", out=tmp_path / "n",
            pictures=False,
        )  # fmt: skip
        assert set(found.figures) == {"accuracy"}
        assert repr(found).startswith("Training(2 classes, held-out accuracy ")
        assert found.plot(tmp_path / "curves.png").size == found.plot().size
        assert all(point.damaged is None for point in found.points)
        with pytest.raises(UsageError, match="sig train FOLDER"):
            explain(shades / "light" / "0.png", model=str(found.file), method="icg", write=False)

    def test_after_the_end_resume_says_so_and_trains_nothing(self, shades, tmp_path, monkeypatch):
        line = ["train", shades, *SMALL, "--out", tmp_path / "net"]
        with monkeypatch.context() as broken:
            broken.setattr(
                sigcli.training.train.Training, "plot", lambda *_: 1 / 0
            )  # as killed before its curves are drawn
            assert sig(*line).exit_code == 1
        stopped = (tmp_path / "net" / "network.safetensors").read_bytes()
        assert sig(*line, "--resume").exit_code == 0
        assert (tmp_path / "net" / "network.safetensors").read_bytes() == stopped
        before = {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()}
        assert sorted(before) == ["manifest.json", "network.safetensors", "training.csv", "training.png"]
        monkeypatch.setattr(sigcli.training.loop, "train", lambda *_, **__: 1 / 0)
        done = sig(*line, "--resume")
        assert done.exit_code == 0, done.output
        assert "is finished: nothing is left to do" in " ".join(done.stderr.split())
        assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == before

    def test_a_second_process_in_the_folder_is_refused(self, shades, tmp_path):
        fcntl = pytest.importorskip("fcntl")
        (tmp_path / "net").mkdir()
        file = os.open(tmp_path / "net", os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX)  # what another process would hold
        done = sig("train", shades, *SMALL, "--out", tmp_path / "net")
        os.close(file)
        assert done.exit_code == 2
        assert "another sig process is writing" in done.stderr
        assert not list((tmp_path / "net").iterdir())

    def test_images_that_cannot_be_read_are_named(self, shades, tmp_path):
        import shutil

        shutil.copytree(shades, tmp_path / "data")
        (tmp_path / "data" / "dark" / "broken.png").write_bytes(b"no picture")
        done = sig("train", tmp_path / "data", *SMALL, "--out", tmp_path / "net", "--no-pictures")
        assert done.exit_code == 1
        assert "left out" in done.stderr
        assert "broken.png" in done.stderr

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [("--image-size", 4, "size is out of range"), ("--epochs", 0, "epochs must be above 0"),
         ("--learning-rate", 2, "rate must be"),
         ("--batch-size", 2, "at least 4 images"), ("--arch", "resnet19", "unknown architecture")],
    )  # fmt: skip
    def test_wrong_use(self, shades, tmp_path, option, value, message):
        done = sig("train", shades, *SMALL, option, value, "--out", tmp_path / "net")
        assert done.exit_code == 2
        assert message in done.stderr


def _class(folder, name, count, size=20):
    (folder / name).mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_folders_and_sizes_that_cannot_be_trained_on(tmp_path):
    _class(tmp_path / "few", "a", 3)
    _class(tmp_path / "few", "b", 3)
    _class(tmp_path / "broken", "a", 9)
    (tmp_path / "broken" / "b").mkdir()
    for i in range(9):
        (tmp_path / "broken" / "b" / f"{i}.png").write_bytes(b"nothing")
    for folder, options, says in (
        ("few", {"arch": "small-cnn", "image_size": 16}, "too few"),
        ("broken", {"arch": "small-cnn", "image_size": 16}, "class has no readable"),
        ("few", {"arch": "vit_b_16", "image_size": 100}, "cannot take pictures of 100"),
        ("few", {"arch": "alexnet", "image_size": 32}, "cannot take pictures of 32"),
    ):
        with pytest.raises(UsageError, match=says):
            train_folder(
                tmp_path / folder,
                **options,
                certainty=True,
                epochs=1,
                device="cpu",
                out=tmp_path / options["arch"] / folder,
            )


def test_the_package_never_calls_torch_load():
    for file in (ROOT / "sigcli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func)
            assert called != "torch.load", f"{file}, line {node.lineno}"


@pytest.mark.parametrize(
    ("parts", "right"),
    [
        (("Train", "Val"), True), (("Training", "Testing"), True), (("train", "dev"), True),
        (("seg_train", "seg_test"), False), (("split1", "split2"), False), (("cats", "dogs"), None),
    ],
)  # fmt: skip
def test_parts_of_the_data_are_no_classes(tmp_path, parts, right):
    """fastai#1552: the folder of test images became a class."""
    for part in parts:
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (4, 4)).save(tmp_path / part / name / f"{number}.png")
    if right is False:
        with pytest.raises(UsageError, match="parts of the data"):
            find_classes(tmp_path)
        return
    found = find_classes(tmp_path)
    assert (found.classes, len(found.held)) == ((("a", "b"), 6) if right else (("cats", "dogs"), 2))
