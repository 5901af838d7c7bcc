"""The scenarios on digits and on folders of photographs: data, known answers of the scores, and the commands, tiny."""

import csv
import gzip
import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.metrics.statistics import Summary
from sigcli.models.networks.certainty import SmallCNN
from sigcli.scenarios.imagenette import network as imagenette
from sigcli.scenarios.imagenette import scores as photographs
from sigcli.scenarios.imagenette.study import Imagenette
from sigcli.scenarios.mnist import data as digits
from sigcli.scenarios.mnist import moved as mnist_in_space
from sigcli.scenarios.mnist import network as digit_nets
from sigcli.scenarios.mnist import scores, shared
from sigcli.scenarios.mnist import study as plain
from sigcli.scenarios.mnist.data import SIDE, Digits
from sigcli.scenarios.mnist.in_space import InSpace
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shapes import data as shapes
from sigcli.training.loop import Point


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 200 of the bundled digits, in MNIST's format."""
    folder = tmp_path_factory.mktemp("data")
    write(folder, "t10k", digits.load().train.rows(np.arange(200)))
    return folder


@pytest.fixture
def quick(data):
    return ["--data", data, "--images", 2, "--steps", 2, "--device", "cpu"]


@pytest.fixture(autouse=True)
def cache(networks_cache):
    return networks_cache


def sig(*arguments):
    return CliRunner().invoke(app, ["benchmark", "scenario", *map(str, arguments)])


def table(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def some_digits(count, seed=0):
    draw = np.random.default_rng(seed)
    return Digits(draw.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8), np.arange(count) % 10)


def write(folder, stem, found, *, dot="-", packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, form, array in (("images", "idx3", found.images), ("labels", "idx1", found.labels.astype(np.uint8))):
        name = f"{stem}-{kind}{dot}{form}-ubyte"
        content = idx(array)
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


class TestDigits:
    def test_the_bundled_ones_have_the_shape_of_mnist(self):
        split = digits.load()
        assert (len(split.train), len(split.held)) == (1297, 500)
        for part in (split.train, split.held):
            assert part.images.dtype == np.uint8
            assert set(part.labels.tolist()) == set(range(10))
            edge = np.ones((SIDE, SIDE), bool)
            edge[4:24, 4:24] = False
            assert (part.images[:, edge] == 0).all()
            assert part.images.max() == 255
        assert digits.load().digest() == split.digest()

    def test_enlarged_digits_keep_their_light(self):
        small = np.random.default_rng(0).integers(0, 17, (3, 8, 8)).astype(float)
        large = digits.as_mnist(small)[:, 4:24, 4:24] / 255
        assert np.allclose(large.mean((1, 2)), small.mean((1, 2)) / 16, atol=0.03)

    @pytest.mark.parametrize("packed", [False, True])
    def test_an_idx_file_gives_its_bytes_back(self, tmp_path, packed):
        array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
        content = idx(array)
        assert content[:8] == bytes([0, 0, 8, 3, 0, 0, 0, 2])
        (tmp_path / "file").write_bytes(gzip.compress(content) if packed else content)
        assert np.array_equal(digits.read_idx(tmp_path / "file"), array)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "no idx file"), (b"\0\0\x0d\1\0\0\0\1....", "no idx file"), (b"\0\0\x08\3\0", "no idx file"),
         (b"\0\0\x08\1\0\0\0\5ab", "another length"), (b"\x1f\x8bno gzip", "cannot be read")],
    )  # fmt: skip
    def test_other_files_are_refused(self, tmp_path, content, message):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UsageError, match=message):
            digits.read_idx(tmp_path / "file")

    @pytest.mark.parametrize(
        ("place", "dot", "packed"), [(".", "-", False), ("MNIST/raw", "-", True), ("raw", ".", True)]
    )
    def test_both_parts_in_each_layout(self, tmp_path, place, dot, packed):
        train, test = some_digits(40), some_digits(20, 1)
        write(tmp_path / place, "train", train, dot=dot, packed=packed)
        write(tmp_path / place, "t10k", test, dot=dot, packed=packed)
        split = digits.load(tmp_path)
        assert np.array_equal(split.train.images, train.images)
        assert sorted(map(bytes, split.held.images)) == sorted(map(bytes, test.images))
        assert "40 digits to train on, 20 held out" in split.told

    def test_a_test_set_alone_is_split(self, tmp_path):
        whole = some_digits(50)
        write(tmp_path, "t10k", whole)
        split = digits.load(tmp_path)
        assert (len(split.train), len(split.held)) == (45, 5)
        both = [*map(bytes, split.train.images), *map(bytes, split.held.images)]
        assert sorted(both) == sorted(map(bytes, whole.images))
        assert "test set alone" in split.told
        assert np.array_equal(digits.load(tmp_path).held.images, split.held.images)
        label = {bytes(image): label for image, label in zip(whole.images, whole.labels, strict=True)}
        assert all(label[bytes(i)] == n for i, n in zip(split.held.images, split.held.labels, strict=True))

    def test_folders_that_do_not_do(self, tmp_path):
        with pytest.raises(UsageError, match="no such folder"):
            digits.load(tmp_path / "none")
        with pytest.raises(UsageError, match="no MNIST files"):
            digits.load(tmp_path)
        write(tmp_path / "a", "t10k", some_digits(50))
        (tmp_path / "a" / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(UsageError, match=r"(?s)must be there both.*t10k-labels"):
            digits.load(tmp_path / "a")
        write(tmp_path / "b", "train", Digits(some_digits(50).images, np.arange(49)))
        with pytest.raises(UsageError, match="label each"):
            digits.load(tmp_path / "b")
        write(tmp_path / "c", "train", Digits(some_digits(50).images, np.arange(50)))
        with pytest.raises(UsageError, match="labels 0 to 9"):
            digits.load(tmp_path / "c")

    def test_the_real_test_set(self, real):
        split = digits.load(real / "mnist")
        assert (len(split.train), len(split.held)) == (9000, 1000)
        assert 0.1 < (split.train.images > 127).mean() < 0.15
        assert np.bincount(split.held.labels).min() > 60


class TestNetworks:
    def test_batches_follow_the_seed_and_roam(self):
        found = some_digits(70)
        one, again, other = (digit_nets.batches(found, width=SIDE, seed=seed) for seed in (0, 0, 1))
        assert torch.equal(one(3)[0], again(3)[0])
        assert not torch.equal(one(3)[0], other(3)[0])
        images, labels = digit_nets.batches(found, width=84, seed=0)(0)
        assert images.shape == (64, 1, SIDE, 84)
        assert bool((images[..., SIDE:] == 0).all())
        assert labels.shape == (64,)

    def test_a_ring_is_exactly_translation_invariant_and_zeros_are_not(self):
        torch.manual_seed(0)
        x = torch.zeros(3, 1, SIDE, 84)
        x[..., :SIDE] = torch.rand(3, 1, SIDE, SIDE)
        certainty = torch.rand(3, 1, SIDE, 84)
        for padding, pool, most in (("circular", "mean", 1e-6), ("circular", "max", 1e-6), ("zeros", "mean", None)):
            net = SmallCNN(10, 1, certainty=True, pool=pool, padding=padding).eval()
            with torch.no_grad():
                moved = [net(x.roll(left, 3), certainty.roll(left, 3)) for left in (0, 44)]
            apart = float((moved[0] - moved[1]).abs().max())
            assert apart < most if most else apart > 5e-6

    def test_pictures_are_moved_exactly(self):
        found = some_digits(3)
        left, away = mnist_in_space.placed(found, 0), mnist_in_space.placed(found, mnist_in_space.AWAY)
        assert left.shape == (3, SIDE, mnist_in_space.WIDTH)
        assert np.array_equal(np.roll(left, mnist_in_space.AWAY, 2), away)
        assert np.array_equal(left[..., :SIDE], found.images)
        assert (left[..., SIDE:] == 0).all()
        tensor = digit_nets.tensors(found, width=84, left=44)
        assert np.array_equal(np.rint(tensor[:, 0].numpy() * 255), away)


class TestScores:
    def test_ground_is_what_is_black(self):
        image = np.zeros((4, 4), np.uint8)
        image[0] = 9
        assert scores.ground_share((image > 0).astype(float), image) == 0
        assert scores.ground_share(np.ones((4, 4)), image) == 0.75
        assert scores.ground_share(-np.ones((4, 4)), image) == 0.75
        assert scores.ground_share(np.zeros((4, 4)), image) is None

    def test_digits_are_taken_class_by_class(self):
        held = Digits(np.zeros((30, SIDE, SIDE), np.uint8), np.repeat(np.arange(10), 3))
        names, found = shared.chosen(held, 12)
        assert found.labels.tolist() == [5, 0, 1, 2, 3, 4, 6, 7, 8, 9, 5, 0]
        assert names[0] == "000-class5.png"
        assert len(shared.chosen(held, 99)[0]) == 30

    def test_removal_by_certainty_prefers_the_map_that_is_right(self):
        """A network that sees how much of its left half is known: its map goes first in deletion and in insertion."""
        half = torch.zeros(SIDE, SIDE)
        half[:, :14] = 1 / (14 * SIDE)

        class Half:
            @staticmethod
            def outputs(images):
                evidence = 4 * (images[:, 1] * half).sum((1, 2))
                return torch.stack([evidence, torch.zeros_like(evidence)], 1)

        x = torch.ones(1, SIDE, SIDE)
        right = scores.removal(Half(), (half > 0).numpy().astype(float), x, 0)
        wrong = scores.removal(Half(), (half == 0).numpy().astype(float), x, 0)
        assert right["deletion"] < wrong["deletion"] - 0.1
        assert right["insertion"] > wrong["insertion"] + 0.1
        share = 0.25 + (np.logaddexp(0, 4) - np.log(2)) / 8  # half of it at 1/2, half along a sigmoid from 0 to 4
        assert right["deletion"] == pytest.approx(wrong["insertion"]) == pytest.approx(share, abs=0.01)

    def test_batches_until_an_accuracy(self):
        points = [Point(2, 1.0, 0.4, None), Point(8, 0.5, 0.91, None), Point(9, 0.5, 0.89, None)]
        assert scores.reached(points, 0.3) == 2
        assert scores.reached(points, 0.85) == 8
        assert scores.reached(points, 0.9) is None  # it was there, and is not in the end

    def test_a_map_that_moves_with_the_digit_has_no_ghost(self):
        home = np.zeros((SIDE, 84))
        home[4:20, 3:25] = np.random.default_rng(0).normal(size=(16, 22))
        away = np.roll(home, 44, 1)
        assert mnist_in_space.score(away, home) == {
            "ghost": 0.0, "home": 0.0, "excess": 0.0, "shifted": pytest.approx(1.0),
        }  # fmt: skip
        haunted = away.copy()
        haunted[:, :SIDE] += 0.1
        found = mnist_in_space.score(haunted, home)
        share = 0.1 * SIDE * SIDE / (0.1 * SIDE * SIDE + np.abs(home).sum())
        assert found["ghost"] == found["excess"] == pytest.approx(share)
        assert found["shifted"] < 1
        nothing = mnist_in_space.score(0 * home, home)
        assert nothing["ghost"] is nothing["excess"] is nothing["shifted"] is None

    def test_the_frame(self):
        inside = photographs.frame((32, 48))
        assert inside.sum() == (32 - 4) * (48 - 6)
        assert photographs.frame_share((~inside).astype(float)) == 1
        assert photographs.frame_share(inside.astype(float)) == 0
        assert photographs.frame_share(np.zeros((32, 48))) is None

    def test_findings_say_what_the_figures_say(self):
        def mean(value):
            return Summary(value, None, None, 3)

        figures = {"ground": (0.0, 0.4), "deletion": (0.5, 0.3), "insertion": (0.9, 0.7),
                   "as_agn": (0.1, 0.8), "as_eg": (0.2, 0.3)}  # fmt: skip
        means = {(n, m): mean(both[i]) for m, both in figures.items() for i, n in enumerate(("zero", "icg"))}
        told = scores.findings(means, 0.7)
        assert "zero (0.0%)" in told[0]
        assert "icg" not in told[0]
        assert "by icg (deletion 0.30)" in told[1]
        assert "by zero (insertion 0.90)" in told[2]
        assert "nearer to agn" in told[3]
        moved = {("eg", "excess"): mean(0.2), ("eg", "shifted"): mean(0.5)}
        moved |= {("icg", "excess"): mean(0.0), ("icg", "shifted"): mean(0.99)}
        told = mnist_in_space.findings(moved)
        assert told[0].endswith("eg (20.0%).")
        assert told[1] == "No ghost: icg."
        assert told[2].endswith("icg (0.99).")


@pytest.mark.slow
class TestCommands:
    def test_mnist(self, tmp_path, cache, quick):
        options = [*quick, "--method", "zero=ig,icg,agn,eg", "--set", "zero.steps=4", "--set", "icg.steps=4", "--set",
                   "agn.samples=4", "--set", "eg.samples=4", "--out", tmp_path / "out"]  # fmt: skip
        done = sig("mnist", *options, "--json")
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["method"] for row in rows] == ["zero", "icg", "agn", "eg"] * 2
        assert all(row["ground"] == 0 for row in rows if row["method"] == "zero")
        assert all(row["ground"] > 0 for row in rows if row["method"] != "zero")
        assert all((row["as_agn"] is None) == (row["method"] == "agn") for row in rows)
        assert all(0 <= row[measure] <= 1 for row in rows for measure in ("deletion", "insertion"))
        for name in (*plain.Mnist.files, plain.UNDAMAGED, "network.safetensors"):
            assert (tmp_path / "out" / name).stat().st_size > 100
        trained = {row["trained"]: row for row in table(tmp_path / "out" / "training.csv")}
        assert trained["without damage"]["damaged"] == ""
        assert 0 <= float(trained["with damage"]["damaged"]) <= 1
        assert "points of accuracy apart" in " ".join(done.stderr.split())
        kept = sorted(cache.glob("*.safetensors"))
        assert len(kept) == 2
        again = sig("mnist", *options, "--resume")
        assert again.exit_code == 0, again.output
        assert sorted(cache.glob("*.safetensors")) == kept
        assert table(tmp_path / "out" / "scores.csv")[0]["ground"] == "0"

    def test_training_follows_the_seed(self, data, tmp_path, monkeypatch):
        split, weights = digits.load(data), []

        def trained(folder, seed):
            recipe = digit_nets.digit_recipe(None, steps=2, seed=seed)
            known = {"arch": "small-cnn-ring", "width": mnist_in_space.WIDTH, "device": "cpu"}
            return digit_nets.digit_network("mnist-in-space", split, recipe=recipe, folder=folder, **known)

        for number, seed in enumerate((0, 0, 1)):
            monkeypatch.setenv("SIG_CACHE", str(tmp_path / f"cache{number}"))
            made = trained(tmp_path / f"out{number}", seed)
            assert not made.cached
            weights.append(torch.cat([p.detach().flatten() for p in made.net.module.parameters()]))
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert trained(tmp_path / "o", 1).cached

    def test_mnist_in_space(self, tmp_path, quick):
        done = sig("mnist-in-space", *quick, "--method", "icg,zero=ig,mean=ig", "--set", "steps=3", "--out",
                   tmp_path / "out", "--json")  # fmt: skip
        assert done.exit_code == 0, done.output
        rows = {(row["image"], row["method"]): row for row in map(json.loads, done.stdout.splitlines())}
        assert len(rows) == 6
        for (_, method), row in rows.items():
            assert row["score"] == pytest.approx(row["score_left"], abs=1e-4)  # the network is translation-invariant
            if method == "mean":
                assert row["excess"] > 0.01
                assert row["shifted"] < 0.99
            else:
                assert row["excess"] == pytest.approx(0, abs=1e-5)
                assert row["shifted"] == pytest.approx(1, abs=1e-5)
        for name in (*InSpace.files, "network.safetensors"):
            assert (tmp_path / "out" / name).stat().st_size > 100
        assert "translation-invariant" in " ".join(done.stderr.split())

    @pytest.mark.parametrize("name", ["mnist", "mnist-in-space"])
    def test_wrong_use_is_told_before_any_training(self, tmp_path, cache, name):
        for options, message in (
            (["--data", tmp_path / "none"], "no such folder of digits"),
            (["--data", tmp_path], "no MNIST files"),
            (["--method", "icgg"], "unknown method"),
            (["--images", 0], "at least 1"),
            (["--arch", "resnet18"], "no such option"),
        ):
            done = sig(name, *options, "--out", tmp_path / "out")
            assert done.exit_code == 2, done.output
            assert message in " ".join(done.stderr.split())
        assert not cache.exists()

    def test_own_digits_without_pictures(self, data, tmp_path):
        verdict = run_scenario("mnist", data=data, images=2, steps=2, method="zero=ig", settings={"zero.steps": 2},
                           device="cpu", out=tmp_path / "out", pictures=False)  # fmt: skip
        assert "180 digits to train on, 20 held out" in verdict.facts[0]
        assert not (tmp_path / "out" / "sheet.png").exists()


@pytest.mark.slow
class TestImagenette:
    @pytest.fixture
    def drawn(self, tmp_path):
        """Two classes of eight drawn objects."""
        for label in (0, 1):
            for i in range(8):
                found = shapes.draw(0, i, label=label, size=48)
                path = tmp_path / "drawn" / shapes.CLASSES[label] / f"{label}-{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(found.image).save(path)
        return tmp_path / "drawn"

    def test_trains_explains_and_measures(self, drawn, tmp_path, cache):
        options = ["imagenette", "--data", drawn, "--arch", "small-cnn", "--image-size", 40, "--images", 1,
                   "--method", "icg,eg,zero=ig",
                   "--set", "icg.steps=2", "--set", "icg.samples=2", "--set", "eg.samples=4", "--set", "zero.steps=2",
                   "--set", "deletion.steps=4", "--device", "cpu", "--out", tmp_path / "out"]  # fmt: skip
        done = sig(*options, "--json")
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["method"] for row in rows] == ["icg", "eg", "zero"]
        assert all(0 <= row[name] <= 1 for row in rows for name in ("deletion", "insertion", "sparseness", "frame"))
        for name in (*Imagenette.files, "metrics.csv", "network.safetensors"):
            assert (tmp_path / "out" / name).stat().st_size > 50
        again = sig(*options, "--resume")
        assert again.exit_code == 0, again.output
        assert "taken from the cache" in " ".join(again.stderr.split())
        assert len(list(cache.glob("imagenette-*"))) == 1

    def test_without_a_folder_it_says_what_is_needed(self, tmp_path, cache):
        done = sig("imagenette", "--out", tmp_path / "out")
        assert done.exit_code == 2
        told = " ".join(done.stderr.split())
        assert "downloads none" in told
        assert "--data FOLDER with a subfolder of images for each class" in told
        done = sig("imagenette", "--data", tmp_path, "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert "at least two classes" in " ".join(done.stderr.split())
        assert not cache.exists()

    def test_a_network_near_chance_is_doubted(self, tmp_path):
        for accuracy, doubted in ((0.6, True), (0.62, True), (0.63, False), (1.0, False)):
            made = imagenette.TrainedOnPhotographs(tmp_path, tmp_path, ("a", "b"), {"accuracy": accuracy}, False)
            assert bool(made.doubts()) == doubted

    def test_a_network_that_names_nothing_right(self, drawn, tmp_path):
        from sigcli.models.preprocess import Preprocess
        from sigcli.models.sources import trained
        from sigcli.training.folders import find_classes

        made = trained.Trained("small-cnn", ("a", "b"), True, Preprocess(40, 40))
        net = trained.build(made).eval()
        with torch.no_grad():
            net.head[-1].weight.mul_(1e-3)
            net.head[-1].bias.copy_(torch.tensor([9.0, 0.0]))
        trained.save(tmp_path / "net.safetensors", net, made)
        found = find_classes(drawn)
        right = imagenette.named_right(tmp_path / "net.safetensors", found, 9, seed=0, device="cpu")
        assert {path.parent.name for path in right} == {found.classes[0]}
        only = type(found)(found.classes, found.train, [item for item in found.held if item[1] == 1])
        with pytest.raises(UsageError, match="no held-out image right"):
            imagenette.named_right(tmp_path / "net.safetensors", only, 9, seed=0, device="cpu")
