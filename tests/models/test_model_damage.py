"""Model files that swell, are damaged, or are no files: one sentence each, before much is read."""

import io
import json
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.preprocess import Preprocess
from sigcli.models.sources.trained import HEADER, Trained, build, save
from sigcli.models.sources.weights import read_state_dict

from mutations import mutated, outcome, seeds


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """One small file of each format, by name."""
    return {path.name: path for path in seeds(tmp_path_factory.mktemp("seeds"))}


def test_the_undamaged_files_load(good):
    assert {name: outcome(path) for name, path in good.items()} == dict.fromkeys(good, "loaded")


def test_damaged_files_of_every_format_end_in_a_sentence(good, tmp_path):
    """A few; `benchmarks/mutated_models.py` tries thousands."""
    found = {}
    for index in range(10 * len(good)):
        path = list(good.values())[index % len(good)]
        target = tmp_path / path.name
        target.write_bytes(mutated(path.read_bytes(), random.Random(index)))
        found[index, path.name] = outcome(target)
    assert {key: what for key, what in found.items() if what not in ("loaded", "refused")} == {}
    assert list(found.values()).count("refused") > len(found) / 2


def repacked(path, target, changes, packing=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in files.items():
            made = next((made for end, made in changes.items() if name.endswith(end)), content)
            archive.writestr(name, made)
    return str(target)


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "member"),
    [
        ("new.pt2", "models/model.json"), ("new.pt2", "data/weights/weight_0"),
        ("old.pt2", "serialized_state_dict.json"), ("script.pt", "data/0"),
        ("script.pt", "constants.pkl"), ("state.pth", "data/0"), ("middle.pt2", "weights/model.pt"),
    ],
)  # fmt: skip
def test_archives_that_swell_are_refused_before_they_do(good, tmp_path, file, member):
    path = tmp_path / file
    repacked(good[file], path, {member: bytes(70 << 20)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"refused: (the archive holds more than 64 MiB|.* is compressed)"):
            (read_state_dict if file == "state.pth" else lambda p: load_model(str(p)))(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_members_that_share_bytes_are_refused(good, tmp_path):
    """An archive can also swell by a directory that names the same bytes over and over."""
    path = tmp_path / "n.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", b"pt2")
        archive.writestr("m/extra/a", bytes(100))
        info = archive.infolist()[-1]
        for index in range(50):
            again = zipfile.ZipInfo(f"m/extra/{index}")
            again.header_offset, again.CRC, again.compress_size, again.file_size = (
                info.header_offset,
                info.CRC,
                100,
                100,
            )
            archive.filelist.append(again)
    with pytest.raises(ModelError, match="refused"):
        load_model(str(path))


def test_weights_larger_than_the_file_are_refused(good, tmp_path):
    with zipfile.ZipFile(good["new.pt2"]) as archive:
        config = next(json.loads(archive.read(name)) for name in archive.namelist() if "weights_config" in name)
    for sizes, strides, member in (
        ([1 << 40], [1], {}),  # beyond the bytes
        ([1 << 40], [0], {}),  # one number, over and over
        ([1 << 33], [1], {"weights/weight_0": b""}),  # torch makes zeros of an empty file
        ([-4], [1], {}),
        ([2], [-1], {}),
    ):
        meta = config["config"]["conv.weight"]["tensor_meta"]
        meta["sizes"], meta["strides"] = [{"as_int": n} for n in sizes], [{"as_int": n} for n in strides]
        changes = {"model_weights_config.json": json.dumps(config), **member}
        with pytest.raises(ModelError, match=r"the file is damaged: .*(numbers|repeats|empty|shape)"):
            load_model(repacked(good["new.pt2"], tmp_path / "n.pt2", changes))


def described(storage=4, offset=0, size=(4,), stride=(1,)):
    """The pickle of one tensor, written by hand."""

    class Shape:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Key(), offset, size, stride, False, {})

    class Key:
        pass

    import pickle

    class Writer(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", storage) if isinstance(thing, Key) else None

    buffer = io.BytesIO()
    Writer(buffer, 2).dump({"w": Shape()})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "wrong",
    [
        {"storage": 1 << 40}, {"storage": 5}, {"storage": -1}, {"size": (5,)}, {"size": (1 << 40,), "stride": (0,)},
        {"offset": 1}, {"offset": -1}, {"size": (2, 2), "stride": (3, 1)}, {"size": (4,), "stride": (-1,)},
        {"size": (2, 2), "stride": (1,)}, {"size": (1.0,)}, {"size": ("4",)}, {"offset": 1 << 70}, {"size": 4},
    ],
    ids=str,
)  # fmt: skip
def test_tensors_outside_their_file_are_damage(tmp_path, wrong):
    path = tmp_path / "w.pt"
    for form, right in (({}, True), (wrong, False)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl", described(**form))
            archive.writestr("w/data/0", struct.pack("<4f", 1, 2, 3, 4))
        if right:
            assert read_state_dict(path)["w"].tolist() == [1, 2, 3, 4]
        else:
            with pytest.raises(ModelError, match="damaged"):
                read_state_dict(path)


def test_views_and_shared_storages_are_read_as_they_were(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    state = {"a": base, "b": base.t(), "c": base[1:, ::2], "d": torch.ones(1).expand(7), "e": torch.empty(0, 3)}
    state |= {"f": torch.tensor(3), "g": torch.tensor([1 + 2j]), "h": torch.tensor([True]), "i": base.half()}
    state |= {"j": base.bfloat16(), "k": base.to(torch.uint16)}
    for zipped in (True, False):
        torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        found = read_state_dict(tmp_path / "w.pt")
        assert all(torch.equal(found[name], state[name]) and found[name].dtype == state[name].dtype for name in state)
        assert found["a"].data_ptr() == found["b"].data_ptr()


@pytest.mark.parametrize("kind", ["sparse", "meta", "quantised"])
def test_tensors_that_no_network_takes_are_named(tmp_path, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantised tensors are deprecated
        make = {
            "sparse": lambda: torch.eye(3).to_sparse(),
            "meta": lambda: torch.empty(3, device="meta"),
            "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 1, 0, torch.qint8),
        }
        torch.save({"x": make[kind]()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=f"a tensor that no network takes: x is {kind}"):
        read_state_dict(tmp_path / "w.pt")


def test_a_bytearray_of_any_size_is_not_made(tmp_path):
    """torch's own reader allows `bytearray(n)`."""
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x04\x85R.")
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(tmp_path / "w.pt")


def test_a_safetensors_header_larger_than_the_file(tmp_path):
    for size in (1 << 62, 1 << 35, 1 << 20):
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", size) + b'{"a":' + bytes(50))
        with pytest.raises(ModelError, match="damaged"):
            load_model(str(tmp_path / "w.safetensors"))


def test_a_trained_network_is_held_against_its_header_before_it_is_built(tmp_path):
    path = tmp_path / "n.safetensors"
    made = Trained("small-cnn", ("a", "b"), False, Preprocess(None, 16, (0.0,), (1.0,)))
    net = build(made)
    for arch, size, classes in (
        ("vit_b_16", 160_000, ("a", "b")),
        ("small-cnn", 16, tuple(map(str, range(300_000)))),
    ):
        save(path, net, Trained(arch, classes, False, Preprocess(None, size, (0.0,) * 3, (1.0,) * 3)))
        with pytest.raises(ModelError, match=r"the weights are not those of|cannot be built"):
            load_model(str(path))
    save_file({"w": torch.ones(1)}, path, metadata={HEADER: "[" * 100_000})
    with pytest.raises(ModelError, match="does not say how its network is built"):
        load_model(str(path))


# --- what a path can name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pt", "pt2", "safetensors", "pth"])
def test_paths_that_are_no_model_files(tmp_path, suffix):
    place = tmp_path / f"m.{suffix}"
    os.mkfifo(place)
    messages = [refusal(place)]
    place.unlink()
    place.mkdir()
    messages.append(refusal(place))
    place.rmdir()
    place.symlink_to("/dev/zero")
    messages.append(refusal(place))
    place.unlink()
    assert all("not an ordinary file" in message for message in messages)
    for content, match in (
        (b"", "empty"),
        (b"hello, I am text\n" * 9, "not a"),
        (b"PK\x03\x04", "cannot be read"),
        (b"\x80", "damaged"),
    ):
        place.write_bytes(content)
        assert match in refusal(place)
    place.write_bytes(b"PK\x05\x06" + bytes(18))  # an archive of nothing
    assert "not a" in refusal(place)
    for name in ("a/" * 3000 + "m.pt", "a" * 300 + ".pt", "m\0.pt", str(tmp_path / "none.pt")):
        assert "no such" in refusal(name)


def refusal(path):
    found = []
    for load in (
        lambda: load_model(str(path)),
        lambda: read_state_dict(path),
        lambda: load_model("resnet18", weights=str(path)),
    ):
        with pytest.raises(ModelError) as error:
            load()
        found.append(str(error.value))
        assert len(found[-1].splitlines()) <= 2
    return found[0]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "m.pt"
    path.write_bytes(b"x" * 100)
    path.chmod(0)
    assert "may not be read" in refusal(path)


def test_names_with_odd_characters_are_fine(good, tmp_path):
    """torch names the folder inside an archive after the file."""
    for name in ("a b?*.pt2", "größe:1.pt2", "ネット.pt2", "a.b.c"):
        repacked(good["new.pt2"], tmp_path / name, {})
        with zipfile.ZipFile(tmp_path / name) as archive:
            files = {each.split("/", 1)[1]: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for each, content in files.items():
                archive.writestr(f"{Path(name).stem}/{each}", content)
        assert load_model(str(tmp_path / name), resize=8, crop=8).classes == 3
