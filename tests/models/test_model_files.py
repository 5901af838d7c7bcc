"""Models from files: TorchScript and exported programs."""

import gzip
import io
import json
import logging
import warnings
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sigcli.errors import ModelError
from sigcli.inputs.images import find_images, read_image
from sigcli.models.loading import load_model
from sigcli.models.preprocess import Preprocess
from sigcli.models.wrappers.fixed_batch import FixedBatch

from toys import Tiny


@contextmanager
def quietly():
    """Making TorchScript is deprecated, and this is a test of reading it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def script(net, path):
    with quietly():
        torch.jit.save(torch.jit.script(net.eval()), path)
    return str(path)


def export(net, path, shape, dynamic=True):
    sizes = ({0: torch.export.Dim("batch", min=1, max=4096)},) if dynamic else None
    with quietly():
        torch.export.save(torch.export.export(net, (torch.randn(shape),), dynamic_shapes=sizes), path)
    return str(path)


# --- TorchScript ------------------------------------------------------------------------------------------------------


def test_torchscript_gives_the_networks_scores_and_says_what_it_assumed(tmp_path):
    net = Tiny().eval()
    model = load_model(script(net, tmp_path / "n.pt"))
    assert (model.kind, model.classes, model.labels) == ("torchscript", 5, None)
    assert model.preprocess == Preprocess()
    assert "resize 256, crop 224" in model.notes[0]
    images = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(model.module(images), net(images).detach())


def test_all_options_given_leave_nothing_to_assume(tmp_path):
    path = script(Tiny(), tmp_path / "n.ts")
    model = load_model(path, resize=40, crop=32, mean=(0.5,), std=(0.5,))
    assert model.preprocess == Preprocess(40, 32, (0.5,) * 3, (0.5,) * 3)
    assert model.notes == ()


def test_grey_networks_are_noticed(tmp_path):
    model = load_model(script(Tiny(channels=1, flat=28), tmp_path / "n.pt"))
    assert model.preprocess == Preprocess(28, 28, (0.0,), (1.0,))
    assert "grey" in model.notes[0]


def test_a_size_that_does_not_fit_is_named_with_one_that_does(tmp_path):
    path = script(Tiny(flat=32), tmp_path / "n.pt")
    for options in ({}, {"crop": 64}):
        with pytest.raises(ModelError, match="It takes 3×32×32: try --image-size 32"):
            load_model(path, **options)
    assert load_model(path, resize=32).preprocess.crop == 32


def test_labels_for_program_files(tmp_path):
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\ne\n")
    path = script(Tiny(), tmp_path / "n.pt")
    assert load_model(path, class_names=tmp_path / "l.txt").label(4) == "e"
    thousand = load_model(script(Tiny(classes=1000), tmp_path / "m.pt"))
    assert thousand.label(1) == "goldfish"
    assert any("ImageNet's names are assumed" in note for note in thousand.notes)


def test_programs_that_are_no_classifiers(tmp_path):
    class Pair(Tiny):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.conv(images), images

    with pytest.raises(ModelError, match="a tuple of 2"):
        load_model(script(Pair(), tmp_path / "n.pt"))


def test_weights_for_a_program_file(tmp_path):
    path = script(Tiny(), tmp_path / "n.pt")
    with pytest.raises(ModelError, match="brings its own weights"):
        load_model(path, weights="DEFAULT")


def test_files_that_hold_no_program(tmp_path):
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    torch.save(state, tmp_path / "w.pt")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        with pytest.raises(ModelError, match=rf"fits squeezenet1_1\)(.|\n)*--model squeezenet1_1 --weights '.*{name}'"):
            load_model(str(tmp_path / name))
    torch.save(Tiny().state_dict(), tmp_path / "own.pt")
    with pytest.raises(ModelError, match=r"a state dict(.|\n)*--model NAME --weights"):
        load_model(str(tmp_path / "own.pt"))
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
    with pytest.raises(ModelError, match="refused: the file pickles Python objects"):
        load_model(str(tmp_path / "pickled.pt"))
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07\x12")
    with pytest.raises(ModelError, match="not a model file"):
        load_model(str(tmp_path / "x.onnx"))


def test_damaged_programs(tmp_path, caplog):
    for path in (script(Tiny(), tmp_path / "n.pt"), export(Tiny().eval(), tmp_path / "n.pt2", (2, 3, 32, 32))):
        with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "broken.pt", "w") as broken:
            for member in whole.namelist():
                spoil = member.endswith((".py", "model.json"))
                broken.writestr(member, b"spoilt" if spoil else whole.read(member))
        with pytest.raises(ModelError, match="cannot load the file"):
            load_model(str(tmp_path / "broken.pt"))
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        (tmp_path / "short.pt").write_bytes((tmp_path / "broken.pt").read_bytes()[:700])
        with pytest.raises(ModelError, match="cannot be read"):
            load_model(str(tmp_path / "short.pt"))


# --- exported programs ------------------------------------------------------------------------------------------------


def test_an_exported_program_states_its_size_and_keeps_its_gradients(tmp_path):
    net = Tiny().eval()
    model = load_model(export(net, tmp_path / "n.pt2", (2, 3, 48, 48)))
    assert (model.kind, model.classes) == ("export", 5)
    assert (model.preprocess.resize, model.preprocess.crop) == (48, 48)
    for count in (1, 3):
        images = torch.randn(count, 3, 48, 48, requires_grad=True)
        ours, theirs = model.module(images), net(images)
        torch.testing.assert_close(ours, theirs)
        gradients = [torch.autograd.grad(scores[:, 1].sum(), images)[0] for scores in (ours, theirs)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_program_for_one_batch_size_takes_any(tmp_path, count):
    net = Tiny(channels=1).eval()
    model = load_model(export(net, tmp_path / "n.pt2", (4, 1, 20, 30), dynamic=False))
    assert model.preprocess.crop == (20, 30)
    assert "batches of 4" in model.notes[0]
    images = torch.randn(count, 1, 20, 30, requires_grad=True)
    ours, theirs = model.module(images), net(images)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(scores[:, 1].sum(), images)[0] for scores in (ours, theirs)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("least", "most"), [(1, 8), (3, 5)])
def test_bounds_of_the_batch_size_are_kept(tmp_path, least, most):
    net = Tiny(channels=1).eval()
    sizes = ({0: torch.export.Dim("batch", min=least, max=most)},)
    with quietly():
        program = torch.export.export(net, (torch.randn(4, 1, 20, 30),), dynamic_shapes=sizes)
        torch.export.save(program, tmp_path / "n.pt2")
    model = load_model(str(tmp_path / "n.pt2"))
    assert f"batches of {least} to {most}" in model.notes[0]
    for count in (1, 2, most, most + 1, 3 * most - 1):
        images = torch.randn(count, 1, 20, 30)
        torch.testing.assert_close(model.module(images), net(images).detach())


def test_fixed_batches_hand_over_outputs_that_are_no_tensors():
    class Dictionary(nn.Module):
        def forward(self, images):
            return {"scores": images}

    assert FixedBatch(Dictionary(), 2)(torch.ones(2, 1))["scores"].shape == (2, 1)


def test_programs_exported_in_training_mode_are_noticed(tmp_path):
    net = nn.Sequential(Tiny(classes=200), nn.Dropout(0.5)).train()
    with pytest.raises(ModelError, match=r"depends on the other images|different scores(.|\n)*eval\(\)"):
        load_model(export(net, tmp_path / "n.pt2", (2, 3, 32, 32), dynamic=False))


def test_programs_with_other_inputs(tmp_path):
    flat = nn.Linear(4, 3)
    with pytest.raises(ModelError, match=r"one batch of images \(given: \(2, 4\)\)"):
        load_model(export(flat, tmp_path / "n.pt2", (2, 4), dynamic=False))
    with pytest.raises(ModelError, match="4 channels"):
        load_model(export(Tiny(channels=4).eval(), tmp_path / "m.pt2", (2, 4, 32, 32)))


def rewritten(path, changes):
    """A copy of an archive in which some members are replaced or added; names are below its root folder."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/", 1)[0]
        members = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    changed = f"{path}.changed.pt2"
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in {**members, **changes}.items():
            archive.writestr(f"{root}/{name}", content)
    return changed


def test_the_format_of_older_torch_is_read_and_guarded(tmp_path):
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    net = Tiny().eval()
    parts = serialize(torch.export.export(net, (torch.randn(2, 3, 32, 32),)))
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2), buffer)
    for name, inputs in (("good.pt2", parts.example_inputs), ("bad.pt2", buffer.getvalue())):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
            archive.writestr("serialized_exported_program.json", parts.exported_program)
            archive.writestr("serialized_state_dict.json", parts.state_dict)
            archive.writestr("serialized_constants.json", parts.constants)
            archive.writestr("serialized_example_inputs.pt", inputs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This version of file is deprecated")
        assert load_model(str(tmp_path / "good.pt2")).classes == 5
    with pytest.raises(ModelError, match="refused"):
        load_model(str(tmp_path / "bad.pt2"))


def test_a_device_written_into_a_program(tmp_path):
    class Elsewhere(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) + torch.ones(3, device=torch.device("cuda:0"))

    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match=r"does not run on cpu(.|\n)*another --device"):
            load_model(script(Elsewhere(), tmp_path / "n.pt"))


def test_pickles_and_native_code_inside_an_exported_program_are_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'run')!r}, 'w')",)

    buffer = io.BytesIO()
    torch.save(Hostile(), buffer)
    path = export(Tiny().eval(), tmp_path / "n.pt2", (2, 3, 32, 32))
    pickled = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}})
    for changes in (
        {"data/sample_inputs/model.pt": buffer.getvalue()},
        {"data/constants/custom_obj_0": buffer.getvalue()},
        {"data/weights/model_weights_config.json": pickled},
        {"data/weights/model.pt": buffer.getvalue()},
        {"data/aotinductor/model/net.so": b"\x7fELF"},
    ):
        with pytest.raises(ModelError, match="refused"):
            load_model(rewritten(path, changes))
    assert not (tmp_path / "run").exists()
    assert load_model(rewritten(path, {})).classes == 5


# --- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_torchscript_from_another_machine_reads_digits(real):
    model = load_model(str(real / "torchscript" / "mnist_cnn_scripted_cuda.pt"))
    folder = real / "mnist"
    digits = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    pixels = np.repeat(digits.reshape(-1, 28, 28, 1)[:500], 3, axis=3)
    with torch.no_grad():
        found = model.module(torch.stack([model.preprocess(digit) for digit in pixels])).argmax(1).numpy()
    assert (model.classes, model.preprocess.channels) == (10, 1)
    assert (found == labels[:500]).mean() >= 0.98


@pytest.mark.real
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v2"])
def test_three_forms_of_one_network_give_the_same_scores_and_gradients(real, tmp_path, name):
    weights = str(real / "weights" / f"{name}_imagenet.pt")
    net = torchvision.models.get_model(name, weights=None)
    net.load_state_dict(torch.load(weights, weights_only=True))
    options = {"resize": 128, "crop": 96}
    models = [
        load_model(name, weights=weights, **options),
        load_model(script(net, tmp_path / "n.pt"), **options),
        load_model(export(net.eval(), tmp_path / "n.pt2", (2, 3, 96, 96)), **options),
    ]
    assert len({model.preprocess for model in models}) == 1
    assert len({model.labels for model in models}) == 1
    paths = find_images([real / "images"])[:2]
    images = torch.stack([models[0].preprocess(read_image(path).pixels) for path in paths]).requires_grad_()
    results = []
    for model in models:
        scores = model.module(images)
        results.append((scores.detach(), torch.autograd.grad(scores.max(1).values.sum(), images)[0]))
    for scores, gradient in results[1:]:
        torch.testing.assert_close(scores, results[0][0], rtol=1e-5, atol=1e-4)
        assert (gradient - results[0][1]).norm() <= 1e-4 * gradient.norm()
