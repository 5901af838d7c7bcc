"""The one batcher, alone and under everything that asks a model about many images."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from sigcli.attribution.explain import explain
from sigcli.engine.batch_size import Batches
from sigcli.engine.batches import Batcher
from sigcli.engine.request import Request
from sigcli.errors import SigError
from sigcli.evaluation.evaluate import evaluate

SHAPES = [(1, 2, 2), (1, 2, 3), (2, 2, 2)]
BAD = 1000.0


class Numbers(Request):
    """Items that are numbers from `first` on, in every pixel; the answer to one is its square."""

    def __init__(self, number, length, shape, *, bad=(), unwritten=False):
        super().__init__()
        self.shape, self.target, self.unwritten = shape, number, unwritten
        self.items = torch.arange(length, dtype=torch.float64) + 100 * number
        self.items[list(bad)] += BAD
        self.got = []

    target = None

    def __len__(self):
        return len(self.items)

    @property
    def like(self):
        return torch.zeros(self.shape, dtype=torch.float64)

    def write(self, items, place):
        if self.unwritten:
            raise ValueError("not to be written")
        place[:] = self.items[items][:, None, None, None]

    def take(self, items, *answers):
        squares, targets = answers
        assert items.start == sum(map(len, self.got))
        assert targets.tolist() == [self.target] * len(targets)
        self.got.append(squares)


class Net:
    """Squares of images, and their targets; raises for some images, and where there are too many."""

    def __init__(self, limit=10**6):
        self.limit, self.sizes, self.failed = limit, [], 0

    def __call__(self, images, targets):
        assert len(images) == len(targets)
        if len(images) > self.limit:
            self.failed += 1
            raise MemoryError
        numbers = images[:, 0, 0, 0]
        assert bool((images == numbers[:, None, None, None]).all())
        self.sizes.append(len(images))
        if bool((numbers % 10000 >= BAD).any()):
            raise KeyError("a bad one")
        return numbers.square(), targets


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 9), st.sampled_from(SHAPES), st.sets(st.integers(0, 8), max_size=2), st.integers(0, 9).map(bool)
    ),
    max_size=8,
)  # fmt: skip
FORMS = {
    "size": st.integers(1, 7), "limit": st.integers(1, 9), "filled": st.booleans(), "twins": st.booleans(),
}  # fmt: skip


def requests_of(drawn, *, sound):
    for number, (length, shape, bad, written) in enumerate(drawn):
        places = () if sound else [place for place in bad if place < length]
        yield Numbers(number, length, shape, bad=places, unwritten=not (sound or written))


@settings(max_examples=150, deadline=None)
@given(drawn=REQUESTS, **FORMS)
def test_every_item_passes_once_and_requests_come_back_in_order(drawn, size, limit, filled, twins):
    net, batches = Net(limit), Batches(size)
    found = list(Batcher(net, batches, filled=filled, twins=twins).run(requests_of(drawn, sound=True)))
    assert [one.target for one in found] == list(range(len(drawn)))
    for one in found:
        assert one.error is None
        assert torch.equal(torch.cat([torch.empty(0, dtype=torch.float64), *one.got]), one.items.square())
    most = max(size, 2) if twins else size
    assert all(count <= min(most, limit) for count in net.sizes)
    if not net.failed:
        assert batches.size == size
        whole = sum(length for length, *_ in drawn)
        assert len(net.sizes) <= -(-whole // size) + len(drawn)  # only a change of shape ends a batch early
    if filled:
        assert set(net.sizes[-1:]) <= {batches.size, 2 if twins else batches.size}


@settings(max_examples=150, deadline=None)
@given(drawn=REQUESTS, **FORMS)
def test_a_failure_stays_with_its_request_and_the_others_get_what_they_get(drawn, size, limit, filled, twins):
    form = {"filled": filled, "twins": twins, "contain": True}
    found = list(Batcher(Net(limit), Batches(size), **form).run(requests_of(drawn, sound=False)))
    assert [one.target for one in found] == list(range(len(drawn)))
    for one, (length, _, bad, written) in zip(found, drawn, strict=True):
        fails = length > 0 and (not written or any(place < length for place in bad))
        assert isinstance(one.error, SigError) == fails
        if not fails:
            assert torch.equal(torch.cat([torch.empty(0, dtype=torch.float64), *one.got]), one.items.square())


def test_batches_run_across_requests_and_end_with_a_shape():
    net = Net()
    requests = [Numbers(n, 3, SHAPES[shape]) for n, shape in enumerate([0, 0, 0, 1, 0])]
    list(Batcher(net, Batches(4)).run(requests))
    assert net.sizes == [4, 4, 1, 3, 3]
    net = Net()
    list(Batcher(net, Batches(4), filled=True).run(requests_of([(3, SHAPES[0], (), True)] * 3, sound=True)))
    assert net.sizes == [4, 4, 4]


def test_requests_are_read_no_further_ahead_than_a_batch_reaches():
    read = []

    def stream():
        for number in range(6):
            read.append(number)
            yield Numbers(number, 3, SHAPES[0])

    found = Batcher(Net(), Batches(4)).run(stream())
    next(found)
    assert read == [0, 1]


@pytest.mark.parametrize("filled", [True, False])
def test_a_failing_batch_is_tried_request_by_request_in_its_places(filled):
    seen = []

    def net(images, targets):
        seen.append((images[:, 0, 0, 0].tolist(), targets.tolist()))
        if 200 in images:
            raise KeyError
        return (images[:, 0, 0, 0],)

    class One(Numbers):
        def take(self, items, *answers):
            self.got.append(answers[0])

    requests = [One(1, 2, SHAPES[0]), One(2, 1, SHAPES[0]), One(3, 2, SHAPES[0])]
    found = list(Batcher(net, Batches(6), filled=filled, contain=True).run(requests))
    assert [one.error is None for one in found] == [True, False, True]
    more = int(filled)
    assert seen == [
        ([100, 101, 200, 300, 301] + [301] * more, [1, 1, 2, 3, 3] + [3] * more),
        ([100, 101, 101, 101, 101] + [101] * more, [1] * (5 + more)),
        ([200] * (5 + more), [2] * (5 + more)),
        ([301, 301, 301, 300, 301] + [301] * more, [3] * (5 + more)),
    ]


def test_what_the_model_raises_comes_through_unless_contained():
    with pytest.raises(KeyError, match="a bad one"):
        list(Batcher(Net(), Batches(4)).run([Numbers(0, 3, SHAPES[0], bad=[1])]))
    with pytest.raises(SigError, match="too little memory for one image of \\(1, 2, 3\\)"):
        list(Batcher(Net(0), Batches(4)).run([Numbers(0, 3, SHAPES[1])]))


def test_a_request_that_is_too_large_leaves_the_size_to_the_others():
    def net(images, targets):
        if images.shape[-1] == 3:
            raise MemoryError
        return images[:, 0, 0, 0].square(), targets

    batches, told = Batches(5), []
    requests = [Numbers(n, 7, SHAPES[shape]) for n, shape in enumerate([0, 1, 0])]
    found = list(Batcher(net, batches, contain=True, progress=told.append).run(requests))
    assert [one.error is None for one in found] == [True, False, True]
    assert "too little memory" in str(found[1].error)
    assert batches.size == 5
    assert told == [5, 2, 5, 2]


def test_memory_that_runs_out_while_items_are_written_halves_too():
    class Large(Numbers):
        def write(self, items, place):
            if len(place) > 2:
                raise MemoryError
            super().write(items, place)

    net, one = Net(), Large(0, 7, SHAPES[0])
    list(Batcher(net, Batches(5), contain=True).run([one]))
    assert one.error is None
    assert net.sizes == [2, 2, 2, 1]


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 20), size=st.integers(1, 9), limit=st.integers(1, 9))
def test_parts_of_one_request_are_in_order_and_bounded(count, size, limit):
    seen = []

    def call(part):
        if part.stop - part.start > limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        seen.extend(range(part.start, part.stop))
        return part

    batches = Batches(size)
    for part, found in batches.parts(count, (1, 2, 2), call):
        assert part == found
        assert part.stop - part.start <= min(size, limit)
    assert seen == list(range(count))
    assert batches.size == size or batches.size <= limit


NETS = """
import torch
from torch import nn

SEEN, SHORT = [], []


class Net(nn.Module):
    def __init__(self, limit):
        super().__init__()
        torch.manual_seed(0)
        self.limit = limit
        self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        if len(x) > self.limit:
            SHORT.append(len(x))
            raise RuntimeError("CUDA error: out of memory")
        SEEN.append(len(x))
        return self.last(self.pool(self.relu(self.conv(x))).flatten(1))


def tight():
    return Net(3)


def wide():
    return Net(10**6)
"""
SEEN = {"resize": 24, "crop": 24, "mean": (0.0,) * 3, "std": (1.0,) * 3, "device": "cpu", "pictures": False}
LABELS = "image,label\n" + "".join(f"{n}.png,{n}\n" for n in range(5))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tightnets", raising=False)
    Path("tightnets.py").write_text(NETS)
    Path("in").mkdir()
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(f"in/{number}.png")
    Path("true.csv").write_text(LABELS)
    return tmp_path


METHODS = {
    "sig": {"players": "grid:3x3", "samples": "24"}, "sig-walk": {"players": "grid:3x3", "orders": "4"}, "ig": {}, "eg": {},
    "gradient": {}, "gradcam": {}, "rise": {"samples": "50"}, "kernelshap": {"players": "grid:3x3", "budget": "50"},
    "occlusion": {"players": "grid:3x3"}, "smoothgrad": {}, "idgi": {}, "blur-ig": {}, "deepshap": {}, "lrp": {},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_network_for_three_images_gives_the_maps_of_batches_that_fit(here, method):
    own = {f"{method}.{name}": value for name, value in METHODS[method].items()}
    options = {"method": method, "settings": own, "write": False, **SEEN}
    images = ["in/0.png", "in/1.png"]
    tight = explain(images, model="tightnets:tight", batch_size=16, **options)
    short = sys.modules["tightnets"].SHORT
    assert bool(short) == (method not in ("gradcam", "lrp"))  # of one image
    assert max(sys.modules["tightnets"].SEEN) <= 3
    wide = explain(images, model="tightnets:wide", batch_size=2, **options)
    for one, other in zip(tight, wide, strict=True):
        assert (one.status, other.status) == ("ok", "ok")
        assert np.array_equal(one.values, other.values)
        assert one.completeness_gap == other.completeness_gap


def test_removal_curves_and_labels_too(here):
    options = {"method": "gradient", "metric": "deletion,lerf,infidelity,irof", "labels": "true.csv", **SEEN}
    tight = evaluate("in", model="tightnets:tight", out="tight", **options)
    assert {64, 32, 16, 8, 4} <= set(sys.modules["tightnets"].SHORT)
    assert 5 in sys.modules["tightnets"].SHORT  # the labels' batch
    assert max(sys.modules["tightnets"].SEEN) <= 3
    wide = evaluate("in", model="tightnets:wide", batch_size=2, out="wide", **options)
    assert not any(f.error for f in tight.values)
    assert [f.value for f in tight.values] == [f.value for f in wide.values]
    for name in ("metrics.csv", "curves.csv", "model.csv", "summary.csv"):
        assert Path("tight", name).read_bytes() == Path("wide", name).read_bytes()


@pytest.mark.parametrize("least", [1, 3])
def test_a_program_exported_for_a_bounded_batch_is_asked_for_no_other(here, least, monkeypatch):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)).eval()
    sizes = ({0: torch.export.Dim("batch", min=least, max=8)},)
    torch.export.save(torch.export.export(net, (torch.rand(4, 3, 24, 24),), dynamic_shapes=sizes), "bounded.pt2")
    sys.modules.setdefault("tightnets", type(sys)("tightnets")).whole = lambda: net
    options = {"method": "ig,gradient,rise", "metric": "deletion,insertion", "labels": "true.csv", **SEEN}
    options["settings"] = {"rise.samples": "40", "ig.steps": "20"}
    for size in (None, 5):
        found = evaluate("in", model="bounded.pt2", out=f"bounded{size}", batch_size=size, **options)
        same = evaluate("in", model="tightnets:whole", out=f"whole{size}", batch_size=size, **options)
        assert not any(figure.error for figure in found.values)
        assert not found.model.missing
        values, expected = ([figure.value for figure in one.values] for one in (found, same))
        np.testing.assert_allclose(values, expected, rtol=1e-4)
        for one, other in zip(found.model.rows, same.model.rows, strict=True):
            assert one["confidence"] == pytest.approx(other["confidence"], rel=1e-5)
        maps = sorted(path.relative_to(f"bounded{size}") for path in Path(f"bounded{size}").rglob("*.npy"))
        assert len(maps) == 15
        for path in maps:
            ours, theirs = (np.load(Path(folder, path)) for folder in (f"bounded{size}", f"whole{size}"))
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
