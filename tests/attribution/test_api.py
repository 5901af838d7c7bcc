"""The public functions: what the commands do is one documented call each, with names and files or with what is in memory."""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sigcli
from sigcli import render
from sigcli.attribution.options import ExplainOptions
from sigcli.cli import benchmark_images, evaluate, explain
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images
from sigcli.options import flags, renamed, table

QUICK = {"write": False, "device": "cpu"}
COMMANDS = {
    sigcli.ExplainOptions: explain.explain,
    sigcli.EvaluateOptions: evaluate.evaluate,
    sigcli.BenchmarkOptions: benchmark_images.images,
}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("options", COMMANDS)
def test_command_and_python_have_the_same_options_and_defaults(options):
    typed = inspect.signature(COMMANDS[options]).parameters
    for name, (known, field) in table(options).items():
        assert (name in typed) == known.command_line, name
        if name in typed and known.read is None and not known.argument:
            assert typed[name].default == field.default, name
    others = {name for name in typed if "__was" not in name and "__not" not in name} - set(table(options))
    opens = {"opens_page"} if options in (ExplainOptions, sigcli.EvaluateOptions) else set()
    shows = {"show"} if options is ExplainOptions else set()
    assert others - {"config_"} == {"context", "as_json", "debug", "log"} | opens | shows


@pytest.mark.parametrize("options", COMMANDS)
def test_no_two_options_share_a_flag(options):
    every = [flag for name, (known, _) in table(options).items() for flag in (*flags(name, known), *known.was)]
    assert len(every) == len(set(every))


def test_an_options_object_knows_what_was_given():
    given = ExplainOptions("x.png", seed=0)
    assert given.given == {"seed": 0, "images": "x.png"}
    assert given.but(model="m").given == {"seed": 0, "images": "x.png", "model": "m"}
    assert "seed=0" in repr(given)
    assert "model" not in repr(given)
    assert given.into(sigcli.EvaluateOptions, out="o").given == {"images": "x.png", "seed": 0, "out": "o"}
    assert renamed(ExplainOptions, {"size": 3, "seed": 1}) == {"image_size": 3, "seed": 1}


def test_explain_returns_what_it_says():
    found = sigcli.explain(
        sample_images() / "star.png", method="ig,gradient", settings={"steps": 4}, uncertainty=True, **QUICK
    )
    ig, gradient = found
    assert (ig.method, gradient.method) == ("ig", "gradient")
    assert ig.label == "star"
    assert ig.values.shape == (3, 128, 128)
    assert ig.picture.shape == (128, 128, 3)
    assert ig.picture.dtype == np.uint8
    assert ig.gradient_evaluations == 4
    assert ig.completeness_gap is not None
    assert gradient.completeness_gap is None
    assert ig.stderr is None
    assert "star.png by ig" in repr(ig)
    assert "1 image(s), 2 method(s)" in repr(found)
    assert found.of(method="ig") == [ig]


def test_an_options_object_and_a_listener(tmp_path):
    heard = []

    class Ear(sigcli.Listener):
        def begin(self, items, notes, folder):
            heard.append(("begin", items, folder))

        def evaluated(self, images):
            heard.append(("evaluated", images))

        def explained(self, item):
            heard.append(("explained", item.image))

    options = ExplainOptions(
        str(sample_images() / "star.png"), method="ig", settings={"steps": 8}, out=str(tmp_path / "o")
    )
    by_object = sigcli.explain(options, Ear())
    assert heard[0] == ("begin", 1, tmp_path / "o")
    assert heard[-1] == ("explained", "star.png")
    assert sum(count for what, count, *_ in heard if what == "evaluated") == 8
    one_by_one = sigcli.iter_explain(options.but(out=str(tmp_path / "p")))
    assert inspect.isgenerator(one_by_one)
    assert np.array_equal(next(one_by_one).values, by_object[0].values)
    assert by_object[0].file == tmp_path / "o" / "star" / "ig.npy"


def test_a_network_is_used_as_it_is_and_left_as_it_was(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.rand(2, 3, 16, 16)
    found = sigcli.explain(x, model=net, method="gradient", target=2)
    assert [item.image for item in found] == ["image-1", "image-2"]
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not Path("sig-out").exists()  # what is in memory leaves no files
    y = x[:1].clone().requires_grad_()
    net.eval()
    net(y)[0, 2].backward()
    net.train()
    assert np.allclose(found[0].values, y.grad[0].numpy(), atol=1e-6)
    assert found.notes  # what was assumed of it


def test_pictures_in_memory_are_the_same_as_their_files(tmp_path):
    file = sample_images() / "star.png"
    with Image.open(file) as picture:
        picture.load()
    forms = file, picture, np.asarray(picture.convert("RGB")), [file], [picture]
    found = [sigcli.explain(one, method="ig", settings={"steps": 3}, **QUICK)[0] for one in forms]
    for other in found[1:]:
        assert np.array_equal(found[0].values, other.values)
        assert other.content == found[0].content
    ready = torch.from_numpy(found[0].picture).permute(2, 0, 1).float().div(255).sub(0.5).div(0.25)
    tensor = sigcli.explain(ready, method="ig", settings={"steps": 3}, **QUICK)[0]
    assert np.allclose(tensor.values, found[0].values, atol=1e-5)
    assert np.abs(tensor.picture.astype(int) - found[0].picture).max() <= 1


def test_features_in_memory():
    table_net = nn.Linear(6, 3)
    x = np.arange(6, dtype=np.float32)
    (found,) = sigcli.explain(x, model=table_net, method="gradient", target=1)
    assert np.allclose(found.values, table_net.weight[1].detach().numpy())
    assert found.sample.tolist() == x.tolist()


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3) > 1,
        np.zeros((4, 4, 7)),
        np.zeros((2, 3, 8, 8)),
        7,
        np.full(3, np.nan),
        np.zeros((0, 3), np.float32),
    ],
)
def test_what_cannot_be_a_sample_is_refused(images, net):
    with pytest.raises(UsageError, match=r"cannot be used|NaN"):
        sigcli.explain(images, model=net)


@pytest.mark.parametrize("images", [sample_images() / "star.png", np.arange(6, dtype=np.float32)])
def test_plots(images, tmp_path):
    options = {} if isinstance(images, Path) else {"model": nn.Linear(6, 3)}
    found = sigcli.explain(images, method="ig,gradient", settings={"ig.steps": 2}, **options, **QUICK)
    for thing, name in ((found, "sheet.png"), (found[0], "one.png")):
        drawn = thing.plot(tmp_path / name)
        with Image.open(tmp_path / name) as kept:
            assert kept.size == drawn.size == thing.plot().size
    with pytest.raises(UsageError, match="not in memory"):
        found[0].light().plot()
    with pytest.raises(UsageError, match="Did you mean 'common'"):
        found.plot(scale="comon")


def test_a_plot_can_have_a_common_scale_and_says_which(monkeypatch):
    said = []
    real = render.compare_image
    monkeypatch.setattr(render, "compare_image", lambda *a, **k: said.append(k["caption"]) or real(*a, **k))
    found = sigcli.explain(sample_images() / "star.png", method="ig,gradient", settings={"ig.steps": 2}, **QUICK)
    own, common = found.plot(), found.plot(scale="common")
    assert own.size == common.size
    assert own.tobytes() != common.tobytes()
    found.of(method="ig").plot()
    assert [text.split(". ")[-1] for text in said[:2]] == [
        "Each panel has its own scale.", "Panels of one unit share one scale, the median of their own.",
    ]  # fmt: skip
    assert "scale" not in said[2].rsplit("\n")[-1]  # a single method's is in its colour bar


def test_old_names_of_options_work_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"explain\(check=…\)"):
        found = sigcli.explain(sample_images() / "star.png", method="ig", settings={"steps": 2}, check="all", **QUICK)
    assert found[0].status == "ok"


@pytest.mark.parametrize(
    "target", [torch.tensor(2), torch.tensor([2]), np.array([[2]]), np.uint8(2)], ids=["0-d", "1-d", "array", "number"]
)
def test_one_integer_is_a_target_in_whatever_holds_it(target, net):
    found = sigcli.explain(torch.rand(2, 3, 16, 16), model=net, method="gradient", target=target, seed=torch.tensor(3))
    assert [item.target for item in found] == [2, 2]


@pytest.mark.parametrize(
    "target", [torch.tensor([1, 2]), [1, 2], np.array([1, 2]), torch.tensor(1.0), torch.tensor(True)]
)
def test_a_target_for_each_image_is_told_how(target, net):
    with pytest.raises(UsageError, match=r"wrong type(.|\n)*DataLoader.*target='label'"):
        sigcli.explain(torch.rand(2, 3, 16, 16), model=net, method="gradient", target=target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": -1}, "smooth"),
        ({"batch_size": 0}, "batch size"),
        ({"completeness_check": "some"}, "check"),
        ({"method": []}, "no method"),
        ({"settings": {"stepss": "2"}}, "Did you mean"),
        ({"sed": 3}, "Did you mean 'seed'"),
        ({"method": {"ig": lambda model, inputs, targets: inputs}}, "already the name of a method"),
    ],
)
def test_faults_are_told(options, message):
    with pytest.raises(UsageError, match=message):
        sigcli.explain(sample_images() / "star.png", **{**QUICK, **options})


def test_a_function_is_a_method(net, tmp_path):
    def mine(model, inputs, targets):
        inputs.requires_grad_()
        scores = model(inputs).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(scores, inputs)[0].cpu().numpy()

    x = torch.rand(2, 3, 16, 16)
    metrics = "deletion,sparseness,max-sensitivity,parameter-randomisation"
    found = sigcli.evaluate(
        x, model=net, method=[mine, "gradient"], metric=metrics, out=tmp_path / "o", settings={"deletion.steps": 4}
    )
    values = {(one.image, one.metric, one.method): one.value for one in found.values}
    assert not any(one.error for one in found.values)
    for (image, metric, _), value in values.items():
        assert value == pytest.approx(values[image, metric, "gradient"], rel=1e-4)
    assert "mine deletion" in repr(found)
    assert found.plot(tmp_path / "table.png").size[0] > 100
    other = sigcli.explain(x[:1], model=net, method={"flat": lambda model, inputs, targets: inputs.mean(1)})[0]
    assert other.values.shape == (1, 16, 16)
    wrong = sigcli.explain(x[:1], model=net, method={"bad": lambda model, inputs, targets: inputs.mean()})[0]
    assert "do not fit the image" in wrong.error


def test_a_functions_passes_are_counted(net):
    def three(model, inputs, targets):
        model(inputs.expand(3, -1, -1, -1))
        return inputs

    (found,) = sigcli.explain(torch.rand(3, 16, 16), model=net, method=[three])
    assert (found.forward_evaluations, found.gradient_evaluations, found.evaluations) == (3, 0, 3)


def test_docstrings_tell_every_option():
    for function, options in (
        (sigcli.explain, sigcli.ExplainOptions),
        (sigcli.evaluate, sigcli.EvaluateOptions),
        (sigcli.benchmark, sigcli.BenchmarkOptions),
    ):
        for name, (known, _) in table(options).items():
            assert f"    {name}: " in function.__doc__
            assert known.help in function.__doc__
        assert "typing." not in function.__doc__
        assert next(iter(inspect.signature(function).parameters)) == "images"


def test_importing_the_package_imports_no_torch():
    import subprocess
    import sys

    code = "import sigcli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        sigcli.explian  # noqa: B018


def test_everything_public_is_there():
    with warnings.catch_warnings():
        for name in sigcli.__all__:
            assert getattr(sigcli, name) is not None
            assert name in dir(sigcli)


def test_a_sheet_tells_of_players_that_differ_in_size(monkeypatch):
    """Larger patches have larger sums, which a smooth map shows as a pattern of its own."""
    said = []
    real = render.compare_image
    monkeypatch.setattr(render, "compare_image", lambda *a, **k: said.append(k["caption"]) or real(*a, **k))
    settings = {"sig.samples": 2, "sig.steps": 1}
    for players, told in (
        ("grid:28x28", "Players differ in size (16 to 25 pixels): larger ones have larger sums."),
        ("16x16", ""),
    ):
        found = sigcli.explain(sample_images() / "star.png", method="sig", settings=settings, players=players, **QUICK)
        found.plot()
        assert ("Players" in said[-1]) == bool(told)
        assert told in said[-1]
