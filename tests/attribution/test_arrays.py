"""Arrays that are no pictures: the same methods, players by axis, label map or feature, tables and bars; clear refusals."""

import csv
import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import sigcli
from sigcli import players
from sigcli.cli.main import app
from sigcli.errors import ImageError, ModelError, UsageError
from sigcli.evaluation.options import EvaluateOptions
from sigcli.evaluation.prepare import prepare_evaluation
from sigcli.inputs import arrays

from repository import ROOT

DOCS = (ROOT / "docs" / "arrays.md").read_text(encoding="utf-8")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning"),
]
NETS = """
import torch
from torch import nn

class Curved(nn.Module):
    def __init__(self, inputs, outputs=3):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))
    def forward(self, x): return self.net(x)

class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.word, self.out = nn.Linear(4, 6), nn.Linear(6, 2)
    def forward(self, x): return self.out(torch.tanh(self.word(x)).sum(1))

class Single(Curved):
    def forward(self, x): return self.net(x)[:, 0]

class Frozen(Curved):
    def forward(self, x): return self.net(x).detach()

class Square(Curved):
    def forward(self, x): return self.net(x)[:, :, None]

def linear():
    torch.manual_seed(0)
    return nn.Linear(6, 3)

def row(): return Curved(6)
def cube(): return Curved(24)
def sequence(): return Sequence()
def single(): return Single(6, 1)
def frozen(): return Frozen(6)
def square(): return Square(6)
def two(): return nn.Bilinear(6, 6, 2)
"""


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def table(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def results(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table(Path(folder) / "results.csv")]


@pytest.fixture
def here(nets_here):
    """Rows of 6 in `rows/`, a cube of 2×3×4, sequences of 5, 6 and 7 in `words/`, and networks in `nets.py`."""
    tmp_path = nets_here
    (tmp_path / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for folder in ("rows", "words"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        np.save(f"rows/{i}.npy", rng.normal(size=6))
        np.save(f"words/{i}.npy", rng.normal(size=(5 + i, 4)).astype(np.float32))
    np.save("cube.npy", rng.normal(size=(2, 3, 4)))
    return tmp_path


# --- numbers


@pytest.mark.parametrize("method", ["ig", "sig-walk", "input-x-gradient"])
def test_a_linear_model_gives_weight_times_input(here, method):
    import nets

    found = sigcli.explain("rows/0.npy", model="nets:linear", method=method, target=1, write=False, device="cpu")[0]
    expected = nets.linear().weight[1].detach().numpy() * np.load("rows/0.npy")
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    assert found.values.shape == (6,)
    assert found.unit == "logit per feature"


@pytest.mark.parametrize(("form", "share", "within"), [("to-input", 7 / 12, 0.05), ("both", 1, 1e-5)])
def test_sig_of_a_linear_model_is_its_share_of_it(here, form, share, within):
    """A player is outside a coalition of uniform size 0..n-1 with probability (n+1)/2n; both forms move it once in all."""
    import nets

    found = sigcli.explain(
        "rows/0.npy", model="nets:linear", method="sig", settings={"samples": 4000, "form": form}, target=1, write=False,
        device="cpu",
    )[0]  # fmt: skip
    expected = nets.linear().weight[1].detach().numpy() * np.load("rows/0.npy") * share
    np.testing.assert_allclose(found.values, expected, rtol=within, atol=1e-6)


@pytest.mark.parametrize(
    ("players", "labels"),
    [
        ("features", np.arange(24)),
        ("axis:0", np.indices((2, 3, 4))[0]),
        ("axis:-1", np.indices((2, 3, 4))[2]),
        ("map.npy", np.arange(24) // 7),
    ],
)
def test_players_are_those_named_and_their_values_exact(here, players, labels):
    """sig-walk gives every player its Shapley value, which enumeration knows."""
    import itertools
    import math

    import nets

    labels = np.asarray(labels).reshape(2, 3, 4)
    np.save("map.npy", labels)
    n = int(labels.max()) + 1
    done = sig("explain", "cube.npy", "-m", "nets:cube", "--players", players, "--method", "sig-walk", "--target", "0",
               "--set", "orders=64", "--out", "out", "--no-pictures", "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = [float(row["value"]) for row in table("out/cube/sig-walk.csv")]
    assert len(found) == n
    if n > 4:
        return
    x, net = torch.from_numpy(np.load("cube.npy")).float(), nets.cube().eval()

    def value(members):
        with torch.no_grad():
            return float(net((x * torch.from_numpy(np.isin(labels, members)))[None])[0, 0])

    expected = np.zeros(n)
    for order in itertools.permutations(range(n)):
        for place, player in enumerate(order):
            expected[player] += value(order[: place + 1]) - value(order[:place])
    np.testing.assert_allclose(found, expected / math.factorial(n), rtol=1e-3, atol=1e-5)


GRAPH = """
import torch
from torch import nn


class Graph(nn.Module):
    \"""What two atoms and their bond do together, and what atoms and bonds do alone.\"""

    def forward(self, x):
        atoms, bond = x[..., 0].diagonal(dim1=1, dim2=2), x[..., 1]
        together = atoms[:, 0] * atoms[:, 2] * (bond[:, 0, 2] + bond[:, 2, 0])
        return together + 3 * atoms[:, 1] - 2 * bond[:, 1, 2] + bond[:, 2, 1]


def graph():
    return Graph()
"""


@pytest.mark.parametrize("method", ["sig-walk", "bshap"])
def test_atoms_and_their_pairs_are_players(here, method):
    """A product of three players is shared out by thirds; what a pair does alone is its own, whichever way it is read."""
    Path("graphs.py").write_text(GRAPH)
    rng = np.random.default_rng(3)
    Path("graphs").mkdir()
    samples = {}
    for name in ("one", "two"):
        x = samples[name] = rng.normal(size=(3, 3, 2)).astype(np.float32)
        np.save(f"graphs/{name}.npy", x)
    Path("graphs/one.names.txt").write_text("C0\nN1\nO2\n")
    options = ["--set", "orders=8", "--set", "gradients=inside"] if method == "sig-walk" else ["--set", "budget=64"]
    done = sig("explain", "graphs", "-m", "graphs:graph", "--players", "pairs:0,1", "--method", method, *options,
               "--out", "out", "--no-pictures", "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    for name, x in samples.items():
        third = x[0, 0, 0] * x[2, 2, 0] * (x[0, 2, 1] + x[2, 0, 1]) / 3
        right = [third, 3 * x[1, 1, 0], third, 0, third, -2 * x[1, 2, 1] + x[2, 1, 1]]
        rows = table(f"out/{name}/{method}.csv")
        tolerance = 0.5 if method == "sig-walk" else 1e-4  # few orders, but those of what is alone are exact
        found = np.array([float(row["value"]) for row in rows])
        assert found[[1, 3, 5]] == pytest.approx(np.array(right)[[1, 3, 5]], abs=1e-4)
        assert found == pytest.approx(np.array(right), abs=tolerance)
        assert found.sum() == pytest.approx(sum(right), abs=1e-4)
        assert [row["features"] for row in rows] == ["2"] * 3 + ["4"] * 3
    named = [row["name"] for row in table(f"out/one/{method}.csv")]
    assert named == ["C0", "N1", "O2", "C0–N1", "C0–O2", "N1–O2"]
    assert "N1–O2" in Path(f"out/one/{method}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", ["pairs:0,2", "pairs:0,0", "pairs:0,3", "pairs:1,-2", "pairs:0", "pairs:a,b"])
def test_pairs_need_two_axes_of_one_length(spec):
    with pytest.raises(UsageError, match=r"no such pairs|unknown players"):
        players.of_array(spec, (3, 3, 2))


def test_pairs_along_any_two_axes():
    """Two places share a player where their sets of indices are the same."""
    shape = (2, 4, 3, 4)
    labels = players.of_array("pairs:1,-1", shape).reshape(shape).numpy()
    places = np.indices(shape)
    sets = [frozenset(pair) for pair in zip(places[1].ravel().tolist(), places[3].ravel().tolist(), strict=True)]
    groups = {}
    for label, members in zip(labels.ravel().tolist(), sets, strict=True):
        assert groups.setdefault(label, members) == members
    assert len(groups) == len(set(sets)) == 10
    assert [len(groups[label]) for label in range(10)] == [1] * 4 + [2] * 6
    order = [frozenset((i,)) for i in range(4)] + [frozenset((i, j)) for i in range(4) for j in range(i + 1, 4)]
    assert [groups[label] for label in range(10)] == order


@pytest.mark.parametrize("method", ["sig", "sig-walk", "ig", "eg", "agn", "smoothgrad"])
def test_batches_change_nothing(here, method):
    settings = {"samples": 32} if method in ("sig", "eg", "agn", "smoothgrad") else {}
    common = {"model": "nets:row", "method": method, "settings": settings, "write": False, "device": "cpu", "target": 0}
    small, large = (sigcli.explain("rows", batch_size=size, **common) for size in (2, 64))
    for one, other in zip(small, large, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-6)
        assert one.completeness_gap is None or one.completeness_gap < 0.5


def test_sequences_of_several_lengths_share_a_run(here):
    found = sigcli.explain("words", model="nets:sequence", method="ig,sig", players="axis:0", write=False, device="cpu")
    assert [item.values.shape for item in found[::2]] == [(5, 4), (6, 4), (7, 4)]
    assert all(item.relative_gap < 1e-3 for item in found[::2])
    alone = sigcli.explain("words/2.npy", model="nets:sequence", method="ig", write=False, device="cpu")[0]
    np.testing.assert_allclose(alone.values, found[4].values, rtol=1e-4, atol=1e-6)


def test_one_output_is_explained_as_it_is(here):
    found = sigcli.explain("rows/0.npy", model="nets:single", method="ig", write=False, device="cpu")[0]
    import nets

    with torch.no_grad():
        at = [
            float(nets.single().eval()(torch.from_numpy(x)[None].float())) for x in (np.load("rows/0.npy"), np.zeros(6))
        ]
    assert found.score == pytest.approx(at[0], rel=1e-4)
    assert float(found.values.sum()) == pytest.approx(at[0] - at[1], rel=1e-3)


@pytest.mark.parametrize(
    ("baseline", "expected"), [("constant:0.5", 0.5), ("mean", None), ("base.npy", 2.0), ("zero", 0.0)]
)
def test_baselines_mean_what_they_say(here, baseline, expected):
    import nets

    np.save("base.npy", np.full(6, 2.0))
    rows = np.stack([np.load(f"rows/{i}.npy") for i in range(3)])
    default = rows.mean(0) if expected is None else np.full(6, expected)
    found = sigcli.explain(
        "rows", model="nets:linear", method="ig", baseline=baseline, target=0, write=False, device="cpu"
    )[0]
    weight = nets.linear().weight[0].detach().numpy()
    np.testing.assert_allclose(found.values, weight * (rows[0] - default), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("form", ["trace", "export", "fixed"])
def test_program_files_take_arrays(here, form):
    import nets

    net, x = nets.row().eval(), torch.rand(2, 6)
    if form == "trace":
        torch.jit.trace(net, x).save("model.pt")
    else:
        sizes = ({0: torch.export.Dim("n", min=1, max=64)},) if form == "export" else None
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=sizes), "model.pt2")
    model = "model.pt" if form == "trace" else "model.pt2"
    one = sigcli.explain("rows/0.npy", model=model, method="ig", target=1, write=False, device="cpu")[0]
    other = sigcli.explain("rows/0.npy", model="nets:row", method="ig", target=1, write=False, device="cpu")[0]
    np.testing.assert_allclose(one.values, other.values, rtol=1e-3, atol=1e-6)


# --- files


def test_a_run_leaves_arrays_tables_and_bars(here):
    common = [
        "explain",
        "rows",
        "-m",
        "nets:row",
        "--method",
        "sig,ig",
        "--set",
        "samples=16",
        "--out",
        "out",
        "--device",
        "cpu",
    ]
    assert sig(*common, "--uncertainty").exit_code == 0
    for i in range(3):
        for method in ("sig", "ig"):
            values = np.load(f"out/{i}/{method}.npy")
            rows = table(f"out/{i}/{method}.csv")
            assert values.shape == (6,)
            assert [row["index"] for row in rows] == [str(k) for k in range(6)]
            np.testing.assert_allclose([float(row["value"]) for row in rows], values, rtol=1e-4)
            np.testing.assert_allclose([float(row["input"]) for row in rows], np.load(f"rows/{i}.npy"), rtol=1e-4)
            assert all((row["stderr"] != "") == (method == "sig") for row in rows)
            with Image.open(f"out/{i}/{method}.png") as picture:
                assert picture.width > 400
        with Image.open(f"out/{i}/compare.png") as picture:
            assert picture.width > 800
    before = results("out")
    Path("out/1/ig.npy").unlink()
    assert sig(*common, "--uncertainty", "--resume").exit_code == 0
    assert results("out") == before


def test_names_stand_in_tables_and_must_fit(here):
    Path("words/0.names.txt").write_text("a\nb\nc\nd\ne\n")
    common = ["-m", "nets:sequence", "--no-pictures", "--device", "cpu"]
    done = sig("explain", "words", "--players", "axis:0", "--method", "sig-walk,ig", "--out", "out", *common)
    assert done.exit_code == 0, done.output
    for method in ("sig-walk", "ig"):
        found = table(f"out/0/{method}.csv")
        assert [row["name"] for row in found] == list("abcde")
        assert [row["features"] for row in found] == ["4"] * 5
        values = np.load(f"out/0/{method}.npy")
        np.testing.assert_allclose([float(row["value"]) for row in found], values.sum(1), rtol=1e-4, atol=1e-6)
    assert "name" not in table("out/1/ig.csv")[0]
    assert sig("explain", "words/0.npy", "--method", "ig", "--out", "each", *common).exit_code == 0
    assert [row["name"] for row in table("each/0/ig.csv")][:5] == ["a,0", "a,1", "a,2", "a,3", "b,0"]
    Path("words/0.names.txt").write_text("a\nb\n")
    wrong = sig("explain", "words/0.npy", "--method", "ig", "--out", "two", *common)
    assert wrong.exit_code == 2
    assert "2 names" in wrong.stderr


def test_a_long_curve_and_many_features_are_drawn(here):
    np.save("curve.npy", np.sin(np.arange(6) / 2))
    torch.manual_seed(0)
    Path("long.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(200, 2))\n"
    )
    np.save("spectrum.npy", np.random.default_rng(1).normal(size=200))
    np.save("grid.npy", np.random.default_rng(1).normal(size=(10, 20)))
    for name in ("spectrum", "grid"):
        assert sig("explain", f"{name}.npy", "-m", "long:net", "--method", "ig,gradient", "--out", name).exit_code == 0
        with Image.open(f"{name}/{name}/compare.png") as picture:
            assert min(picture.size) > 500


# --- refusals


BAD = {
    "an npz": ("pack.npz", ["-m", "nets:row"], "several arrays"),
    "no such file": ("rows/9.npy", ["-m", "nets:row"], "no such array"),
    "a picture's network": ("rows", ["-m", "resnet18", "--weights", "none"], "network for images"),
    "the bundled network": ("rows", [], "network for images"),
    "another shape": ("cube.npy", ["-m", "nets:linear"], "does not take samples of shape (2, 3, 4)"),
    "no gradient": ("rows", ["-m", "nets:frozen"], "not differentiable"),
    "three axes out": ("rows", ["-m", "nets:square"], "one row of scores per sample"),
    "two inputs": ("rows", ["-m", "nets:two"], "one array"),
    "a resize": ("rows", ["-m", "nets:row", "--resize", "8"], "for images; arrays go"),
    "a mean": ("rows", ["-m", "nets:row", "--mean", "0.5"], "for images; arrays go"),
    "a partner": ("rows", ["-m", "nets:row", "--partner", "rows/0.npy"], "for images; arrays go"),
    "blur": ("rows", ["-m", "nets:row", "--baseline", "blur"], "for images"),
    "black": ("rows", ["-m", "nets:row", "--method", "ig", "--baseline", "black"], "for images"),
    "uniform noise": ("rows", ["-m", "nets:row", "--method", "eg", "--set", "baselines=uniform"], "no pixel range"),
    "patches": ("rows", ["-m", "nets:row", "--players", "2x3"], "unknown players of an array"),
    "no such axis": ("rows", ["-m", "nets:row", "--players", "axis:1"], "no such axis"),
    "a map of another shape": ("rows", ["-m", "nets:row", "--players", "cube.npy"], "label map does not fit"),
    "one player": ("rows", ["-m", "nets:row", "--players", "ones.npy"], "a single player"),
    "a baseline of another shape": ("rows", ["-m", "nets:row", "--baseline", "cube.npy"], "another shape"),
    "means of several lengths": ("words", ["-m", "nets:sequence", "--baseline", "mean"], "arrays of one shape"),
    "a mixture": ("mixed", ["-m", "nets:row"], "one run"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, here):
    np.savez("pack.npz", a=np.zeros(6))
    np.save("ones.npy", np.ones(6, int))
    paths, arguments, message = BAD[case]
    Path("photo.png").write_bytes(b"")
    given = ["rows/0.npy", "photo.png"] if paths == "mixed" else [paths]
    done = sig("explain", *given, *arguments, "--out", "out", "--device", "cpu", "--no-pictures")
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.arange(6), "not floats"),
        (np.array([1.0, np.nan, 0, 0, 0, 0]), "NaN"),
        (np.zeros((0, 6)), "empty"),
        (np.float32(3), "single number"),
        (np.array(["a", "b"]), "not floats"),
    ],
)
def test_one_bad_array_fails_alone(values, message, here):
    np.save("rows/1.npy", values)
    with pytest.raises(ImageError, match=message):
        arrays.read_array("rows/1.npy")
    done = sig("explain", "rows", "-m", "nets:row", "--method", "ig", "--target", "0", "--out", "out", "--no-pictures")
    assert done.exit_code == 1, done.output
    assert [row["status"] for row in results("out")] == ["ok", "failed", "ok"]
    assert message in results("out")[1]["error"]


def test_pickled_and_torn_files_fail_alone(here):
    np.save("rows/0.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("rows/1.npy").write_bytes(Path("rows/2.npy").read_bytes()[:90])
    found = sigcli.explain("rows", model="nets:row", method="ig", target=0, write=False, device="cpu")
    assert [item.status for item in found] == ["failed", "failed", "ok"]


def test_evaluate_refuses_arrays(here):
    with pytest.raises(UsageError, match="image classifiers"):
        prepare_evaluation(EvaluateOptions("rows", model="nets:row"))


# --- the documentation


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text", "molecules", "atom_pairs"])
def test_the_examples_of_the_docs_run(name, here):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = "pairs" if name == "atom_pairs" else name
    assert module.main(Path(folder)) > {"text": 0.8, "molecules": 0.95, "atom_pairs": 0.95}[name]
    commands = [line for block in re.findall(r"```sh\n(.*?)```", DOCS, re.S) for line in block.splitlines()]
    mine = [line.split("#")[0] for line in commands if line.startswith("sig explain") and f" {folder}/" in line]
    assert mine
    for number, command in enumerate(mine):
        done = sig(*shlex.split(command)[1:], "--out", f"{name}-{number}", "--device", "cpu")
        assert done.exit_code == 0, done.output
    found = {row["name"]: float(row["value"]) for row in table(f"{name}-0/0/sig-walk.csv")}
    assert min(found, key=found.get) == "not" if name == "text" else max(found, key=found.get).startswith("O")


def test_the_other_commands_of_the_docs_run(here):
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", DOCS, re.S) for line in block.splitlines() if line.strip()
    ]
    others = [
        line for line in commands if not re.match(r"(sig explain (text|molecules|pairs)/|python docs/examples/)", line)
    ]
    assert len(others) == 3
    for number, command in enumerate(others):
        arguments = shlex.split(command.split("#")[0])[1:]
        assert sig(*arguments, "--out", f"o{number}", "--device", "cpu").exit_code == 0, command
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.S):
        exec(compile(block, "docs/arrays.md", "exec"), {})


def test_every_picture_and_link_of_the_docs_is_there():
    for page in ("arrays.md", "pairs.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / page).read_text(encoding="utf-8")):
            assert (ROOT / "docs" / target).exists(), target


SHAPLEY = ("bshap", "kernelshap", "low-order-shap")


def test_tabular_methods_agree_on_a_row(here):
    np.save("row.npy", np.random.default_rng(0).normal(size=6).astype(np.float32))
    Path("tabular.py").write_text(
        "import torch\n\n\ndef net():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))\n"
    )
    others = "shapley-sampling,occlusion,lime,idgi"
    done = sig(
        "explain", "row.npy", "--model", "tabular:net", "--method", f"{','.join(SHAPLEY)},{others}", "--out", "o"
    )
    assert done.exit_code == 0, done.output
    exact = np.load("o/row/bshap.npy")
    for name in SHAPLEY:
        np.testing.assert_allclose(np.load(f"o/row/{name}.npy"), exact, atol=1e-6)
    for name in others.split(","):
        found = np.load(f"o/row/{name}.npy")
        assert found.shape == (6,)
        assert np.isfinite(found).all()
        assert (
            name == "idgi" or np.corrcoef(found, exact)[0, 1] > 0.9
        )  # idgi shares by squared gradients, all of one sign
    refused = sig("explain", "row.npy", "--model", "tabular:net", "--method", "gradcam", "--out", "p")
    assert refused.exit_code == 2
    assert "kernelshap" in refused.output


class _EachRow(torch.nn.Module):
    def forward(self, x):
        return x.sum(-1)


class _Mixed(torch.nn.Module):
    def forward(self, x):
        return torch.cumsum(x.sum(-1), 1)


def test_a_table_is_no_single_sample():
    """captum#455, TabDPT-inference#35: ten rows of a regression are ten samples, not one sample of ten classes."""
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    for given in (table, torch.from_numpy(table)):
        with pytest.raises(ModelError, match="each of the 10 rows"):
            sigcli.explain(given, model=_EachRow(), method="ig")
    rows = sigcli.explain(list(table), model=_EachRow(), method="ig")
    assert np.allclose([one.values for one in rows], table, rtol=1e-5)  # F(x) - F(0) of a sum is its terms
    (named,) = sigcli.explain(table, model=_EachRow(), method="ig", target=3)
    assert np.allclose(named.values.sum(1), np.where(np.arange(10) == 3, table.sum(1), 0), rtol=1e-5)
    assert sigcli.explain(table, model=_Mixed(), method="ig")[0].values.shape == (10, 4)


def test_a_constant_is_in_the_arrays_own_unit():
    found = sigcli.explain(np.array([1.0, 2, 3]), model=_EachRow(), method="ig", baseline="constant:128")[0]
    assert np.allclose(found.values, [-127, -126, -125], rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "held"),
    [(1.7e9 + 50, False), (2.0**24 + 1, False), (1e39, False), (2.0**24, True), (1e20, True), (0.1, True)],
)
def test_values_that_float32_cannot_hold_are_refused(value, held, here):
    """shap#5116: a time in seconds lost its last two digits, and landed in another leaf."""
    values = np.array([value, 0.5])
    np.save("large.npy", values)
    if held:
        assert arrays.read_array("large.npy").pixels[0] == np.float32(value)
        return
    with pytest.raises(ImageError, match="cannot hold"):
        arrays.read_array("large.npy")
    with pytest.raises(UsageError, match="cannot hold"):
        sigcli.explain(values, model=_EachRow(), method="ig")
