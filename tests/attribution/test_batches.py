"""DataLoaders and other iterables, floats that are pictures, and what a notebook shows."""

import gc
import html as markup
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import sigcli
from sigcli.attribution.explanation import Explanation
from sigcli.errors import UsageError
from sigcli.inputs.given import Given
from sigcli.inputs.samples import sample_images
from sigcli.notebook import NotebookBar, listener_here


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    return nn.Sequential(*layers).eval()


X = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(1))
Y = torch.arange(40) % 10


@pytest.fixture
def known(net):
    return {"model": net, "method": "ig", "mean": 0, "std": 1, "settings": {"steps": 2}}


@pytest.mark.parametrize("size", [7, 64])
def test_batches_give_what_a_tensor_gives(known, size):
    whole = sigcli.explain(X, **known)
    found = sigcli.explain(DataLoader(TensorDataset(X, Y), batch_size=size), **known)
    assert [one.image for one in found] == [one.image for one in whole]
    assert all(np.array_equal(one.values, other.values) for one, other in zip(found, whole, strict=True))
    assert found.folder is None


def forms():
    pairs = TensorDataset(X[:5], Y[:5])
    picture = Image.new("RGB", (12, 12), (200, 3, 9))
    yield "loader", DataLoader(pairs, batch_size=2), Y[:5].tolist()
    yield "dataset", pairs, Y[:5].tolist()
    yield "generator", ((x[None], [int(y)]) for x, y in zip(X[:5], Y[:5], strict=True)), Y[:5].tolist()
    yield "dict", iter([{"pixel_values": X[:5], "labels": Y[:5]}]), Y[:5].tolist()
    yield "pictures", iter([([picture, np.zeros((12, 12, 3), np.uint8)], np.array([4, 6])), (picture, 9)]), [4, 6, 9]


@pytest.mark.parametrize(("images", "labels"), [(images, labels) for _, images, labels in forms()], ids=lambda _: "")
def test_each_sample_is_explained_for_its_own_label(known, images, labels):
    sizes = {} if not isinstance(images, type(iter([]))) else {"image_size": 12}
    found = list(sigcli.iter_explain(images, target="label", **known, **sizes))
    assert [one.target for one in found] == labels
    assert [one.image for one in found] == [f"image-{i}" for i in range(1, len(labels) + 1)]


def test_labels_are_left_alone_unless_they_are_asked_for(known):
    top = sigcli.explain(X[:4], **known)
    found = sigcli.explain(iter([(X[:4], Y[:4])]), **known)
    assert [one.target for one in found] == [one.target for one in top]


class Endless(Dataset):
    """More pictures than memory holds, if they were kept."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        return torch.full((3, 12, 12), place / self.count), place % 10


def test_samples_are_not_kept(known):
    most = 0
    for done, _ in enumerate(
        sigcli.iter_explain(DataLoader(Endless(200), batch_size=8), **{**known, "method": "gradient", "settings": {}})
    ):
        if done % 50 == 49:
            gc.collect()
            most = max(most, sum(type(one) is Given for one in gc.get_objects()))
    assert done == 199
    assert most <= 3 * 40


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (lambda: iter([]), {}, "is empty"),
        (lambda: iter([X[:2]]), {"mean": None, "std": None}, "does not say how its input is normalised"),
        (
            lambda: iter([torch.rand(1, 3, 128, 128)]),
            {"model": "shapes", "mean": None, "std": None},
            "preprocessed=True",
        ),
        (lambda: iter([X[:2]]), {"method": "eg", "settings": {}}, "compares an image with the others"),
        (lambda: iter([X[:2]]), {"out": "o"}, "out needs to know all images"),
        (lambda: iter([X[:2]]), {"write": True}, "write needs to know all images"),
        (lambda: iter([X[:2]]), {"workers": 2}, "cannot be divided"),
        (lambda: iter([X[:2]]), {"target": "label"}, "no labels"),
        (lambda: iter([(X[:2], Y[:3])]), {"target": "label"}, "2 samples"),
        (lambda: iter([{"a": 1}]), {}, "no images"),
        (lambda: iter([(X[:2], Y[:2], Y[:2])]), {}, "a tuple of 3"),
        (lambda: iter([X[:2], X[:2, :, :5]]), {}, "shape of the network's input"),
        (lambda: iter([3]), {}, "cannot be used"),
    ],
)
def test_what_cannot_be_done_with_batches_is_refused(known, images, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {name: value for name, value in {**known, **options}.items() if value is not None}
    with pytest.raises(UsageError, match=message):
        list(sigcli.iter_explain(images(), **given))
    assert not list(tmp_path.iterdir())


def test_a_label_that_is_no_class_fails_alone(known):
    found = sigcli.explain(iter([(X[:3], torch.tensor([3, 12, -1]))]), target="label", **known)
    assert [one.status for one in found] == ["ok", "failed", "failed"]
    assert "none of the model's classes" in found[1].error


QUICK = {"method": "gradient", "write": False}


def test_floats_that_are_pictures_are_prepared_as_files_are():
    file = sample_images() / "star.png"
    pixels = np.array(Image.open(file).convert("RGB"))
    right = sigcli.explain(file, **QUICK)[0]
    floats = pixels / 255.0
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    given = (floats, {}), (floats.astype(np.float32)[None], {}), (tensor, {}), (tensor[None], {})
    for images, options in (*given, (tensor / 255, {"preprocessed": False})):
        found = sigcli.explain(images, **QUICK, **options)[0]
        assert np.array_equal(found.values, right.values)


def test_tensors_that_can_be_read_in_two_ways_are_refused():
    x = torch.rand(3, 128, 128)
    with pytest.raises(UsageError, match="read in two ways"):
        sigcli.explain(x, **QUICK)
    ready, pixels = (sigcli.explain(x, **QUICK, preprocessed=said)[0] for said in (True, False))
    assert not np.allclose(ready.values, pixels.values)
    normal = (torch.round(x * 255) / 255 - 0.5) / 0.25  # of the bundled network, on its own scale: one reading alone
    again = sigcli.explain(normal, **QUICK)[0]
    assert np.allclose(again.values, pixels.values, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "options"),
    [(np.random.default_rng(0).random((8, 8, 3)) * 255, {}), (torch.rand(3, 8, 8) - 1, {"preprocessed": False})],
)
def test_pictures_of_floats_lie_in_the_unit_range(net, images, options):
    with pytest.raises(UsageError, match=r"values in 0\.\.1"):
        sigcli.explain(images, model=net, **QUICK, **options)


# Notebooks.


def test_an_explanation_is_shown_in_a_notebook():
    (found,) = shown = sigcli.explain(sample_images() / "star.png", method="sig", settings={"samples": 16}, write=False)
    html = found._repr_html_()
    assert html.count("<img ") == 1
    assert html.count("data:image/jpeg;base64,") == 1
    assert "http" not in html
    for told in (found.label, found.facts()[0], "standard error"):
        assert markup.escape(told) in html
    assert len(html) < 200_000
    assert html in shown._repr_html_()


def test_what_is_shown_is_escaped_and_failures_are_told():
    evil = '<script>alert("x")</script>'
    failed = Explanation(evil, evil, status="failed", error=evil)
    found = sigcli.explain(np.zeros((8, 8, 3), np.uint8), **QUICK)[0]
    named = type(found)(**{**vars(found), "image": evil, "label": evil, "note": evil})
    for html in (failed._repr_html_(), named._repr_html_(), found.light()._repr_html_()):
        assert "<script" not in html
        assert html.strip()
    assert "failed" in failed._repr_html_()


@pytest.mark.parametrize("form", ["noise", "wide"])
def test_what_is_shown_stays_small(form):
    size = (900, 1400, 3) if form == "noise" else (40, 3000, 3)
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    found = sigcli.explain(pixels, **QUICK)[0]
    assert len(found._repr_html_()) < 200_000


def test_a_list_shows_its_first(known):
    html = sigcli.explain(X[:15], **known)._repr_html_()
    assert html.count("<figure") == 12
    assert "and 3 more" in html


class ZMQInteractiveShell:
    """What a notebook's shell is called."""


@pytest.fixture
def notebook(monkeypatch):
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, display_id):
        shown.append(html)
        return Handle()

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython, module.HTML, module.display = ZMQInteractiveShell, str, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_notebook_has_a_bar(notebook, known):
    sigcli.explain(X[:3], **known)
    assert 'value="0" max="3"' in notebook[0]
    assert 'value="3" max="3"' in notebook[-1]
    assert "3 of 3" in notebook[-1]
    before = len(notebook)
    sigcli.explain(X[:3], listener=sigcli.Listener(), **known)  # one's own is taken instead
    assert len(notebook) == before


def test_there_is_a_bar_in_notebooks_alone(monkeypatch):
    assert not isinstance(listener_here(), NotebookBar)
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: None  # imported, but not running
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert not isinstance(listener_here(), NotebookBar)
