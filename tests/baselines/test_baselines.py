from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sigcli.attribution.explain import explain
from sigcli.baselines import BASELINES, is_image
from sigcli.baselines.learned import entropy
from sigcli.baselines.single import baseline, gaussian_blur
from sigcli.errors import AttributionError, UsageError
from sigcli.types import Subject

from toys import smooth_net, subject

LOW, HIGH = torch.tensor([-2.0, -1.0])[:, None, None], torch.tensor([2.0, 3.0])[:, None, None]


@pytest.fixture
def who():
    base = subject(dtype=torch.float32)
    return Subject(base.picture * (HIGH - LOW) + LOW, 0, LOW, HIGH, 7, 0, base.peers, smooth_net(torch.float32))


@pytest.mark.parametrize("name", [name for name in BASELINES if is_image(name)])
def test_every_baseline_has_the_subjects_shape(name, who, tmp_path):
    Image.fromarray(np.full((4, 5, 3), 255, np.uint8)).save(tmp_path / "white.png")
    one = Subject(who.x[:1], 0, LOW[:1], HIGH[:1], 7)
    spec = {"constant": "constant:0.3", "FILE": str(tmp_path / "white.png")}.get(name, name)
    found = baseline(spec, one if name == "FILE" else who)
    assert found.shape == (one if name == "FILE" else who).x.shape
    assert found.dtype == torch.float32
    if name == "FILE":
        assert torch.allclose(found, HIGH[:1].expand_as(found))


def test_values_are_those_of_pixels_before_normalisation(who):
    assert torch.equal(baseline("black", who), LOW.expand(2, 6, 6))
    assert torch.equal(baseline("white", who), HIGH.expand(2, 6, 6))
    assert torch.equal(baseline("constant:0", who), baseline("black", who))
    assert torch.equal(baseline("middle", who), baseline("constant:0.5", who))
    assert torch.equal(baseline("zero", who), torch.zeros(2, 6, 6))


def test_max_distance_is_the_farther_end(who):
    found = baseline("max-distance", who)
    for end in (LOW, HIGH):
        assert ((found - who.x).abs() >= (end - who.x).abs() - 1e-6).all()


def test_mean_and_random_come_from_the_other_images(who):
    assert torch.allclose(baseline("mean", who), who.peers.images.mean(0).float())
    draws = [baseline("random", Subject(who.x, 0, LOW, HIGH, key, 0, who.peers)) for key in range(60)]
    seen = {int((who.peers.images - draw).abs().sum((1, 2, 3)).argmin()) for draw in draws}
    assert seen == {0, 1, 2, 3, 4}
    own = [Subject(who.x, 0, LOW, HIGH, 102, seed, who.peers) for seed in range(30)]
    assert not any(torch.equal(baseline("random", s), who.peers.images[2].to(who.x)) for s in own)


def test_noise_is_uniform_over_the_range_and_seeded(who):
    big = Subject(torch.zeros(2, 60, 60), 0, LOW, HIGH, 7)
    noise = (baseline("uniform", big) - LOW) / (HIGH - LOW)
    assert 0 <= float(noise.min()) < 0.01 < 0.99 < float(noise.max()) <= 1
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(baseline("uniform", big), baseline("uniform", big))
    assert not torch.equal(baseline("uniform", big), baseline("uniform", Subject(big.x, 0, LOW, HIGH, 8)))


def test_blur_is_a_gaussian():
    impulse = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    impulse[0, 0, 20, 20] = 1
    blurred = gaussian_blur(impulse, 3.0)[0, 0]
    axis = torch.arange(41, dtype=torch.float64) - 20
    assert float(blurred.sum()) == pytest.approx(1)
    assert float((blurred.sum(0) * axis**2).sum()) == pytest.approx(9, rel=0.05)
    assert torch.allclose(gaussian_blur(torch.full((1, 2, 9, 9), 0.7), 4.0), torch.tensor(0.7))


@pytest.mark.parametrize(
    "spec", ["blackk", "constant", "constant:", "constant:red", "black:1", "blur:0", "blur:x", "gone.png", "gone.npy"]
)
def test_faults_are_told(spec, who):
    with pytest.raises(UsageError):
        baseline(spec, who)


def test_arrays_are_taken_as_they_are(who, tmp_path):
    np.save(tmp_path / "b.npy", np.full((2, 6, 6), 0.25))
    assert torch.equal(baseline(str(tmp_path / "b.npy"), who), torch.full((2, 6, 6), 0.25))
    np.save(tmp_path / "b.npy", np.zeros((6, 6)))
    with pytest.raises(UsageError, match="shape"):
        baseline(str(tmp_path / "b.npy"), who)


@pytest.mark.parametrize("spec", ["mean", "random"])
def test_one_image_alone_has_no_mean(spec, who):
    alone = Subject(who.x, 0, LOW, HIGH, 7)
    with pytest.raises(AttributionError, match="--references"):
        baseline(spec, alone)


def test_the_learned_baseline_leaves_the_model_in_doubt(who):
    found = baseline("max-entropy", who)
    assert float(entropy(who.model(found[None]))) > 0.99 * np.log(3)
    assert float(entropy(who.model(who.x[None]))) < 0.9 * np.log(3)
    assert ((found >= LOW) & (found <= HIGH)).all()
    assert torch.equal(found, baseline("max-entropy", replace(who)))  # learned anew, the same
    assert not torch.equal(found, baseline("max-entropy", replace(who, seed=1)))
    short = baseline("max-entropy:1", who)
    assert float(entropy(who.model(short[None]))) <= float(entropy(who.model(found[None])))
    with pytest.raises(UsageError, match="number of steps"):
        baseline("max-entropy:few", who)
    with pytest.raises(AttributionError, match="learned from the model"):
        baseline("max-entropy", replace(who, model=None))


def test_methods_take_the_learned_baseline():
    found = explain("sample_images/star.png", method="ig,bshap", baseline="max-entropy:5", write=False,
                    settings={"steps": 3, "budget": 120, "bshap.players": "grid:2x2"}, target="star")  # fmt: skip
    assert [item.status for item in found] == ["ok", "ok"]


@pytest.mark.parametrize("value", ["128", "-0.5", "1.01", "nan", "inf", "1e400"])
def test_a_constant_is_a_fraction_of_the_pixel_range(who, value):
    """captum#210: a baseline of 255 where the input ends at 1."""
    with pytest.raises(UsageError, match=r"outside the pixel range|needs a number") as caught:
        baseline(f"constant:{value}", who)
    assert ("0.502" in str(caught.value)) == (value == "128")
