"""What a program brings in memory: names, doubles, mixtures, pairs, resumption, and options of the wrong type."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import OutputError, UsageError
from sigcli.inputs.samples import sample_images
from sigcli.scores.distance import SMOOTHING

STAR = str(sample_images() / "star.png")


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    return nn.Sequential(*layers)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def explain(net):
    torch.manual_seed(1)
    batch = torch.rand(2, 3, 32, 32)
    return lambda images=batch, **options: sigcli.explain(images, **{"model": net, "method": "gradient", **options})


def flat(model, inputs, targets):
    return inputs


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "compare", "a/b", "x\ny", "..", "", " "])
def test_a_function_has_no_name_that_leads_elsewhere(explain, name):
    with pytest.raises(UsageError, match=r"cannot be the name|no name"):
        explain(method=[type("F", (), {"__call__": lambda *_: 0, "__name__": name})()] if not name else {name: flat})
    assert not list(Path().rglob("*.npy"))


def test_other_samples_are_another_run(explain):
    first = explain(write=True)
    again = explain(write=True)
    assert again.folder == first.folder  # the same samples, the same run
    other = explain(torch.zeros(2, 3, 32, 32), write=True)
    assert other.folder != first.folder
    with pytest.raises(OutputError, match="samples"):
        explain(torch.zeros(2, 3, 32, 32), out=first.folder, resume=True)
    assert all(item.resumed for item in explain(out=first.folder, resume=True))


def test_a_picture_in_memory_beside_a_file_of_its_name(explain):
    Path("image-1").write_bytes(Path(STAR).read_bytes())
    found = sigcli.explain(["image-1", np.zeros((40, 40, 3), np.uint8)], method="gradient", write=False)
    assert [item.image for item in found] == ["image-1", "image-1_"]
    assert found[0].content != found[1].content


def test_partners_in_memory_go_with_their_images(net):
    embed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    each = sigcli.explain(x, partner=y, model=embed, method="gradient")
    assert [item.label for item in each] == ["partner-1", "partner-2"]
    for number in (0, 1):
        alone = sigcli.explain(x[number], partner=y[number], model=embed, method="gradient")[0]
        assert alone.score == pytest.approx(each[number].score)
        with torch.no_grad():
            one, other = embed(x[number : number + 1]), embed(y[number : number + 1])
        epsilon = SMOOTHING * other.norm()  # distances are smoothed near 0
        distance = ((one - other).square().sum() + epsilon**2).sqrt() - epsilon
        assert each[number].score == pytest.approx(-float(distance), rel=1e-4)
    with pytest.raises(UsageError, match="3 partners of 2 images"):
        sigcli.explain(x, partner=torch.rand(3, 3, 32, 32), model=embed, method="gradient")


def test_the_order_of_a_mixture_decides_nothing(explain):
    picture, tensor = STAR, torch.rand(3, 32, 32)
    for mixture in ([picture, tensor], [tensor, picture]):
        with pytest.raises(UsageError, match="pictures beside tensors"):
            explain(mixture)
    ready = torch.rand(3, 128, 128)
    for mixture in ([picture, ready], [ready, picture]):
        known = {"method": "gradient", "write": False, "preprocessed": True}
        found = sigcli.explain(mixture, **known)  # of a network whose preprocessing is known
        assert [item.status for item in found] == ["ok", "ok"]


def test_what_is_assumed_of_tensors_is_told(explain):
    (note,) = [note for note in explain().notes if "tensors" in note]
    assert "black is 0" in note  # all lie in 0..1
    (note,) = [note for note in explain(4 * torch.rand(3, 32, 32) - 2).notes if "tensors" in note]
    assert "black is -2.12" in note
    assert "prepared" not in "".join(explain().notes)
    assert not [note for note in explain(mean=0, std=1).notes if "normalised" in note]
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    x = torch.full((3, 8, 8), 0.5)
    found = explain(x, model=linear, method="ig", baseline="black", mean=0, std=1, target=1)[0]
    assert np.allclose(found.values.ravel(), 0.5 * linear[1].weight[1].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("form", [torch.bfloat16, torch.half, "sparse", "negated", "double"])
def test_tensors_of_all_types(explain, form):
    x = torch.rand(2, 3, 32, 32).half().float()
    given = {"sparse": x.to_sparse, "negated": lambda: torch._neg_view(-x), "double": x.double}.get(
        form, lambda: x.to(form)
    )()
    found = explain(given)
    tolerance = 0.02 if form == torch.bfloat16 else 1e-5
    assert np.allclose(found[0].values, explain(x)[0].values, atol=tolerance)


@pytest.mark.parametrize(
    "options",
    [
        {"resize": "32"}, {"smooth": "x"}, {"device": None}, {"precision": "fp8"}, {"out": 3}, {"class_names": ["a"]},
        {"weights": {}}, {"model": None}, {"model": flat}, {"method": None}, {"method": {"ig", "gradient"}},
        {"method": 3}, {"seed": 1.5}, {"seed": None}, {"seed": True}, {"pictures": "no"}, {"batch_size": 2.5},
        {"batch_size": "none"}, {"mean": "a"}, {"settings": "a=1"},
    ],
)  # fmt: skip
def test_options_of_a_wrong_type_are_refused_before_anything_is_done(explain, options):
    with pytest.raises(UsageError):
        explain(**options)


@contextmanager
def doubles():
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad, partial(torch.autocast, "cpu", dtype=torch.bfloat16), doubles]
)
@pytest.mark.parametrize("step_by_step", [False, True])
def test_modes_of_the_caller_do_not_matter(explain, net, mode, step_by_step):
    """Captum#1199 (autocast), gptorch#22 (another default type)."""
    options = {"method": "ig,gradient,agn,rise", "settings": {"ig.steps": 3, "agn.samples": 4, "rise.samples": 4}}
    right = explain(**options)
    with mode():
        if step_by_step:
            torch.manual_seed(1)
            batch = torch.rand(2, 3, 32, 32, dtype=torch.float32)
            found = list(sigcli.iter_explain(batch, model=net, **options))
        else:
            found = explain(**options)
    for one, other in zip(right, found, strict=True):
        assert one.score == other.score
        assert np.array_equal(one.values, other.values)


def test_texts_are_read_as_on_the_command_line(explain):
    for options in ({"batch_size": "auto"}, {"batch_size": "2"}, {"mean": "0", "std": "1"}, {"mean": 0, "std": 1.0}):
        assert explain(**options)[0].status == "ok"


def test_options_objects_are_of_their_command(explain):
    options = sigcli.ExplainOptions(STAR, method="gradient", write=False)
    with pytest.raises(UsageError, match="in one"):
        sigcli.explain(options, method="ig")
    with pytest.raises(UsageError, match="takes EvaluateOptions"):
        sigcli.evaluate(options)
    with pytest.raises(UsageError, match="takes ExplainOptions"):
        sigcli.explain(sigcli.EvaluateOptions(STAR))
    heard = []

    class Ear(sigcli.Listener):
        def explained(self, item):
            heard.append(item.image)

    sigcli.explain(STAR, method="gradient", write=False, listener=Ear())
    assert heard == ["star.png"]
    assert repr(sigcli.ExplainOptions(torch.rand(2, 3, 8, 8))) == "ExplainOptions(images=<Tensor (2, 3, 8, 8)>)"


def test_a_resumed_run_can_be_plotted(explain):
    explain(out="o")
    found = explain(out="o", resume=True)
    assert found[0].resumed
    assert found.plot().size == explain(write=False).plot().size
    with pytest.raises(OutputError, match="not there"):
        found.plot("nowhere/x.png")


def test_a_run_of_a_network_in_memory_is_measured_with_it(explain, net):
    folder = sigcli.explain(STAR, model=net, method="gradient", image_size=32, out="o").folder
    with pytest.raises(UsageError, match="network in memory"):
        sigcli.evaluate(folder)
    measured = sigcli.evaluate(folder, model=net, metric="sparseness")
    assert [one.error for one in measured.values] == [""]
    with pytest.raises(UsageError, match="Name them"):
        sigcli.evaluate(explain(out="p").folder)


def test_a_check_of_the_model_that_needs_more_images_leaves_no_folder():
    with pytest.raises(UsageError, match="two images"):
        sigcli.evaluate(STAR, metric="information-absence", out="j")
    assert not Path("j").exists()


def test_a_direct_method_learns_once_how_many_images_fit(net):
    sizes = []

    class Small(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            if len(x) > 3:
                raise torch.OutOfMemoryError("out of memory")
            return x.mean((2, 3))

    x = torch.rand(4, 3, 16, 16)
    found = sigcli.explain(x, model=Small(), method="occlusion", settings={"players": "4x4"}, batch_size=16)
    assert [item.status for item in found] == ["ok"] * 4
    assert sum(size > 3 for size in sizes[3:]) <= 4  # not once more for each image


@pytest.mark.parametrize("pixels", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32)])
def test_masked_arrays_are_no_pictures(explain, pixels):
    """Their values under the mask mean nothing (asked of pytensor, #258)."""
    masked = np.ma.array(pixels, mask=np.eye(8, dtype=bool)[..., None].repeat(3, 2) if pixels.ndim == 3 else np.eye(8))
    with pytest.raises(UsageError, match="masked"):
        explain(masked)
    assert explain(np.ma.array(np.full((32, 32, 3), 9, np.uint8)))[0].status == "ok"


def test_a_picture_whose_fractions_were_cut_off_is_told(explain):
    """OmniXAI#73: a picture in 0..1 as bytes is black with a few pixels of 1."""
    whole = np.random.default_rng(0).integers(0, 2, (32, 32, 3)).astype(np.uint8)
    notes = [[one.note for one in explain(pixels)] for pixels in (whole, 255 * whole, 0 * whole)]
    assert "only 0 and 1 of 255" in notes[0][0]
    assert not any("255" in note for note in (*notes[1], *notes[2]))
