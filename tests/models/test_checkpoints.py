"""One state dict in many wrappings: the same weights, or a refusal whose way out is true."""

import argparse
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.sources.factory import given_network
from sigcli.models.sources.torchvision import load as load_torchvision


class Net(nn.Module):
    """A small classifier with batch norm, nested blocks and a head."""

    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


def weights(seed=1, classes=4):
    torch.manual_seed(seed)
    return Net(classes).state_dict()


STATE = weights()
OTHER = weights(seed=2)
WORDS = ["module.", "model.", "_orig_mod.", "net.", "_fsdp_wrapped_module.", "network.", "model_ema."]
TABLES = ["state_dict", "model_state_dict", "model", "net", "weights", "module", "ema", "state_dict_ema", "params"]
AROUND = {
    "nothing": lambda: {},
    "lightning": lambda: {
        "epoch": 3, "global_step": 10, "pytorch-lightning_version": "2.1", "hparams_name": "kwargs", "loops": {"a": {}},
        "hyper_parameters": {"lr": 0.1, "weights": torch.ones(4)}, "optimizer_states": [optimiser()], "lr_schedulers": [],
    },
    "script": lambda: {
        "args": argparse.Namespace(lr=0.1), "best_acc1": np.float64(71.0), "optimizer": optimiser(), "arch": "net",
    },
}  # fmt: skip
BESIDE = {
    "nothing": {},
    "loss": {"criterion.weight": torch.ones(4)},
    "loss function": {"loss_fn.pos_weight": torch.ones(4)},
    "metric": {"val_acc.tp": torch.zeros(4), "test_metrics.f1.confmat": torch.zeros(4, 4, dtype=torch.int64)},
    "loss network": {"perceptual_loss.vgg.0.weight": torch.ones(8, 3, 3, 3)},
    "average": {"n_averaged": torch.tensor(3)},
}


def optimiser():
    return {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(state, *words):
    return OrderedDict(("".join(words) + key, value) for key, value in state.items())


def filled(path, content, part=""):
    torch.save(content, path)
    return given_network(Net(), f"{path}{part}")


def refusal(path, content, part=""):
    with pytest.raises(ModelError) as error:
        filled(path, content, part)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("plain") / "w.pth", STATE)


@given(
    words=st.lists(st.sampled_from(WORDS), max_size=4, unique=True),
    tables=st.lists(st.sampled_from(TABLES), max_size=2, unique=True),
    around=st.sampled_from(sorted(AROUND)),
    beside=st.sampled_from(sorted(BESIDE)),
    zipped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_one_state_dict_in_any_wrapping_is_one_network(plain, tmp_path_factory, words, tables, around, beside, zipped):
    state = prefixed(STATE, *words)
    content = {**state, **prefixed(BESIDE[beside], *words[:1])}
    for i, table in enumerate(reversed(tables)):
        content = {table: content, **(AROUND[around]() if i == len(tables) - 1 else {})}
    path = tmp_path_factory.mktemp("w") / "w.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = given_network(Net(), str(path))
    assert found.weights_hash == plain.weights_hash
    assert all(torch.equal(value, STATE[name]) for name, value in found.module.state_dict().items() if name in STATE)
    told = [name for name in BESIDE[beside] if name != "n_averaged"]
    assert all(any(name in note for note in found.notes) for name in told)


def wrapped():
    net = Net()
    net.load_state_dict(STATE)
    compiled = {f"_orig_mod.{key}": value for key, value in STATE.items()}
    parts = {key.replace("body.", "body.module."): value for key, value in STATE.items()}
    fsdp = {
        "_fsdp_wrapped_module." + key.replace("body.0", "body._fsdp_wrapped_module.0"): v for key, v in STATE.items()
    }
    return {
        "compiled DDP": prefixed(STATE, "_orig_mod.", "module."),
        "DDP of compiled": prefixed(STATE, "module.", "_orig_mod."),
        "twice parallel": prefixed(STATE, "module.", "module."),
        "lightning compiled": {"state_dict": prefixed(STATE, "model.", "_orig_mod.")},
        "averaged": torch.optim.swa_utils.AveragedModel(net).state_dict(),
        "averaged parallel": torch.optim.swa_utils.AveragedModel(nn.DataParallel(net)).state_dict(),
        "compiled": torch.compile(net).state_dict(),
        "parallel body": parts,
        "FSDP": fsdp,
        "tables of parts": {"body": {k[5:]: v for k, v in STATE.items() if k.startswith("body")},
                            "head": {k[5:]: v for k, v in STATE.items() if k.startswith("head")}},
        "a list": [STATE, optimiser()],
        "parameters": dict(net.named_parameters()) | dict(net.named_buffers()),
        "the same twice": {"model": compiled, "state_dict": prefixed(STATE, "module.")},
        "backbone": prefixed(STATE, "backbone."),
        "encoder with the loss": {"state_dict": {**prefixed(STATE, "encoder."), "criterion.weight": torch.ones(4)}},
        "its own attribute": {"state_dict": prefixed(STATE, "classifier_under_test.")},
        "counts of operations": {**STATE, "total_ops": torch.zeros(1), "body.0.total_params": torch.zeros(1)},
    }  # fmt: skip


@pytest.mark.parametrize("form", sorted(wrapped()))
def test_wrappings_as_torch_and_lightning_write_them(plain, tmp_path, form):
    assert filled(tmp_path / "w.pth", wrapped()[form]).weights_hash == plain.weights_hash


def test_safetensors_with_words_before_the_names(plain, tmp_path):
    save_file(
        dict(prefixed(STATE, "model.", "_orig_mod.")) | {"loss.weight": torch.ones(4)}, tmp_path / "w.safetensors"
    )
    assert given_network(Net(), str(tmp_path / "w.safetensors")).weights_hash == plain.weights_hash


def test_a_network_that_is_wrapped_itself_takes_plain_weights(plain, tmp_path):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, images):
            return self.net(images).softmax(1)

    torch.save(STATE, tmp_path / "w.pth")
    for network in (Outer(), torch.compile(Net()), nn.DataParallel(Net())):
        made = given_network(network, str(tmp_path / "w.pth")).module.state_dict()
        assert [torch.equal(a, b) for a, b in zip(made.values(), STATE.values(), strict=True)] == [True] * len(STATE)


# --- two sets of weights ------------------------------------------------------------------------------------------------


def test_of_an_average_and_the_last_step_one_is_taken_and_said(plain, tmp_path):
    both = {"arch": "net", "state_dict": STATE, "state_dict_ema": prefixed(OTHER, "module."), "epoch": 1}
    found = filled(tmp_path / "w.pth", both)
    assert found.weights_hash == plain.weights_hash
    assert len(found.notes) == 1
    assert "state_dict is taken" in found.notes[0]
    assert "w.pth:state_dict_ema" in found.notes[0]
    asked = filled(tmp_path / "w.pth", both, ":state_dict_ema")
    assert asked.weights_hash == filled(tmp_path / "o.pth", OTHER).weights_hash
    assert asked.notes == ()
    assert filled(tmp_path / "w.pth", both, ":state_dict").weights_hash == plain.weights_hash
    assert "such part" in refusal(tmp_path / "w.pth", both, ":ema")


def test_an_average_alone_is_taken_and_said(plain, tmp_path):
    found = filled(tmp_path / "w.pth", {"state_dict_ema": STATE})
    assert found.weights_hash == plain.weights_hash
    assert "averaged weights (state_dict_ema)" in found.notes[0]


def test_two_sets_that_differ_are_refused_until_one_is_named(plain, tmp_path):
    both = {"state_dict": {**prefixed(OTHER, "teacher."), **prefixed(STATE, "student.")}}
    message = refusal(tmp_path / "w.pth", both)
    assert "several sets of weights" in message
    assert "state_dict.teacher" in message
    assert filled(tmp_path / "w.pth", both, ":state_dict.student").weights_hash == plain.weights_hash
    top = {**STATE, **prefixed(OTHER, "copy.")}
    assert "., copy" in refusal(tmp_path / "w.pth", top)
    assert filled(tmp_path / "w.pth", top, ":.").weights_hash == plain.weights_hash


# --- not this network's -------------------------------------------------------------------------------------------------


def test_layers_beside_a_backbone_are_not_left_out(tmp_path):
    more = {"projector.weight": torch.ones(9, 4), "projector.bias": torch.ones(9)}
    for content in (
        {**prefixed(STATE, "backbone."), **more},
        {"state_dict": {**prefixed(STATE, "model."), **more}},
        {"backbone": STATE, "projector": {"weight": torch.ones(9, 4)}},
    ):
        message = refusal(tmp_path / "w.pth", content)
        assert "further layers" in message
        assert "weight" in message
        part = message.rpartition(":")[2].partition("'")[0]
        found = filled(tmp_path / "w.pth", content, f":{part}")
        assert "projector.weight" in found.notes[0] or "weight" in found.notes[0]
    assert "others that it does not have: projector.weight" in refusal(tmp_path / "w.pth", {**STATE, **more})


def test_nothing_is_filled_in_part(tmp_path):
    for name in ("body.0.weight", "head.bias", "body.1.running_mean"):
        lacking = {key: value for key, value in STATE.items() if key != name}
        assert f"missing {name}" in refusal(tmp_path / "w.pth", prefixed(lacking, "module."))
    count = {key: value for key, value in STATE.items() if "num_batches" not in key}
    assert filled(tmp_path / "w.pth", count).weights_hash == filled(tmp_path / "x.pth", STATE).weights_hash


def test_two_tensors_of_one_name_are_refused(tmp_path):
    message = refusal(tmp_path / "w.pth", {**STATE, "module.head.bias": torch.ones(4)})
    assert "two different tensors for head.bias" in message


def test_a_head_of_another_size_is_said_with_both_sizes(tmp_path):
    message = refusal(tmp_path / "w.pth", prefixed(weights(classes=10), "module."))
    assert "has 10 outputs, that of Net has 4" in message


@pytest.mark.parametrize("words", [(), ("module.", "_orig_mod."), ("model.",)])
def test_named_networks_take_the_number_of_classes_from_the_file(tmp_path, words):
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None, num_classes=7).state_dict()
    torch.save({"state_dict": prefixed(state, *words), "epoch": 3}, tmp_path / "w.pth")
    found = load_torchvision("squeezenet1_1", str(tmp_path / "w.pth"), torch.device("cpu"))
    assert all(torch.equal(value, state[name]) for name, value in found.module.state_dict().items())
    assert any("a head of 7 outputs" in note for note in found.notes)


def test_timm_checkpoints_as_its_script_saves_them(tmp_path):
    timm = pytest.importorskip("timm")
    net = timm.create_model("test_resnet", num_classes=6)
    content = {
        "epoch": 1,
        "arch": "test_resnet",
        "state_dict": net.state_dict(),
        "optimizer": optimiser(),
        "version": 2,
    }
    content |= {"args": argparse.Namespace(model="test_resnet"), "metric": 71.0}
    torch.save({**content, "state_dict_ema": {k: v + 1 for k, v in net.state_dict().items()}}, tmp_path / "w.pth.tar")
    model = load_model("timm/test_resnet", weights=str(tmp_path / "w.pth.tar"))
    assert model.classes == 6
    assert any("state_dict_ema" in note for note in model.notes)
    assert any("a head of 6 outputs" in note for note in model.notes)
    other = load_model("timm/test_resnet", weights=f"{tmp_path / 'w.pth.tar'}:state_dict_ema")
    assert other.weights_hash != model.weights_hash


def test_another_networks_weights_name_it_under_prefixes_too(tmp_path):
    state = torchvision.models.squeezenet1_1(weights=None, num_classes=7).state_dict()
    torch.save({"state_dict": prefixed(state, "module.")}, tmp_path / "w.pth")
    for model in ("resnet18", "timm/test_resnet"):
        with pytest.raises(ModelError, match=r"not those of (.|\n)*--model squeezenet1_1"):
            load_model(model, weights=str(tmp_path / "w.pth"))


# --- other forms of weights ---------------------------------------------------------------------------------------------


def test_weight_norm_is_worked_out_in_both_spellings(tmp_path):
    torch.manual_seed(3)
    net, want = Net(), Net()
    nn.utils.parametrizations.weight_norm(net.body[0])
    with torch.no_grad():
        net.body[0].parametrizations.weight.original0.mul_(1.7)
    want.load_state_dict({key: value for key, value in net.state_dict().items() if "param" not in key} | {
        "body.0.weight": net.body[0].weight.detach()})  # fmt: skip
    new = net.state_dict()
    spelt = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    old = {key.replace(key[7:], spelt.get(key[7:], key[7:])): value for key, value in new.items()}
    for content in (new, prefixed(old, "module."), prefixed(new, "model.")):
        found = filled(tmp_path / "w.pth", content)
        torch.testing.assert_close(found.module.state_dict(), want.state_dict())
        assert any("weight norm" in note for note in found.notes)
        torch.save(content, tmp_path / "w.pth")
        own = nn.utils.parametrizations.weight_norm(Net().body[0])
        other = Net()
        other.body[0] = own
        kept = given_network(other, str(tmp_path / "w.pth"))
        torch.testing.assert_close(kept.module.body[0].weight, want.body[0].weight)


def test_spectral_norm_quantised_and_flattened_weights_have_a_true_way_out(tmp_path):
    net = Net()
    nn.utils.parametrizations.spectral_norm(net.head)
    assert "remove_parametrizations" in refusal(tmp_path / "w.pth", net.state_dict())
    assert "FSDP" in refusal(tmp_path / "w.pth", {"_flat_param": torch.ones(100)})
    packed = {key: value for key, value in STATE.items() if "head" not in key}
    packed |= {"head.scale": torch.tensor(1.0), "head._packed_params.dtype": torch.qint8,
               "head._packed_params._packed_params": (torch.ones(4), None)}  # fmt: skip
    assert "quantised" in refusal(tmp_path / "w.pth", packed)


def test_whole_numbers_are_no_weights(tmp_path):
    state = {**STATE, "head.weight": torch.ones(4, 4, dtype=torch.int8)}
    told = refusal(tmp_path / "w.pth", state)
    assert "head.weight of whole numbers (int8)" in told
    assert "quantised" in told
    assert "They fit" not in told


def test_half_precision_is_widened(tmp_path):
    half = {key: value.bfloat16() if value.is_floating_point() else value for key, value in STATE.items()}
    found = filled(tmp_path / "w.pth", half).module.state_dict()
    assert found["head.weight"].dtype == torch.float32
    assert torch.equal(found["head.weight"], half["head.weight"].float())


def test_files_without_weights_say_what_they_hold(tmp_path):
    for content in (optimiser(), {"optimizer": optimiser(), "epoch": 3}):
        assert "an optimiser's state and no network's weights" in refusal(tmp_path / "w.pth", content)
    for content in (Net(), {"model": Net(), "args": argparse.Namespace()}):
        assert "pickles Python objects" in refusal(tmp_path / "w.pth", content)
    assert "no state dict" in refusal(tmp_path / "w.pth", {"epoch": 3})
