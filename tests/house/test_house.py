"""The plan of the house: which room may know which, how large a room may be, and no circles."""

import ast
import re
from collections import Counter

import pytest

from sigcli.attribution.formats import FORMATS
from sigcli.baselines import BASELINES
from sigcli.gridworld import ESTIMATORS
from sigcli.methods import METHODS
from sigcli.metrics import METRICS
from sigcli.models import MODELS
from sigcli.scenarios import SCENARIOS

from repository import ROOT

PACKAGE = ROOT / "sigcli"
CATALOGUES = {
    "attribution": FORMATS,
    "baselines": BASELINES,
    "gridworld": ESTIMATORS,
    "methods": METHODS,
    "metrics": METRICS,
    "models": MODELS,
    "scenarios": SCENARIOS,
}


def layers():
    """Rooms of the contract in pyproject.toml, the highest layer first."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"layers = \[\n(.*?)\n\]", text, re.S)[1]
    return [re.findall(r"sigcli\.(\w+)", line) for line in block.splitlines()]


HEIGHT = {room: -number for number, rooms in enumerate(layers()) for room in rooms}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@pytest.mark.parametrize("room", CATALOGUES)
def test_no_line_of_a_catalogue_names_a_higher_room(room):
    for entry in CATALOGUES[room].values():
        texts = [value for value in entry.properties.values() if isinstance(value, str)]
        named = [re.split(r"[.:]", text)[0] for text in texts if re.fullmatch(r"[\w.]+:\w+", text)]
        for there in [entry.target.split(".")[0], *(room for room in named if room in HEIGHT)]:
            assert HEIGHT[there] <= HEIGHT[room], f"{room} names {there}"


def test_every_room_stands_in_the_contract():
    rooms = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert rooms - {"__init__", "__pycache__", "data"} <= set(HEIGHT)


def test_no_room_has_grown_too_large():
    lines = Counter()
    for name, path in modules():
        lines[name.split(".")[1] if "." in name else ""] += len(path.read_text().splitlines())
    room, most = lines.most_common(1)[0]
    assert most <= 0.18 * sum(lines.values()), room


def test_no_package_bears_the_name_of_a_public_function():
    import sigcli

    assert not {path.name for path in PACKAGE.iterdir()} & {*sigcli.__all__, "evaluate", "benchmark", "train"}


def imported(name, path, known):
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = ast.parse(path.read_text())
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    types_only = {part for node in guarded for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in types_only:
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            for alias in node.names:
                found = f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source
                if found in known and found != name:
                    yield found


def test_modules_import_each_other_in_no_circle():
    known = dict(modules())
    del known["sigcli"]  # it loads what is public when it is asked for
    arrows = {name: set(imported(name, path, known)) for name, path in known.items()}
    while free := [name for name, to in arrows.items() if not to & arrows.keys()]:
        for name in free:
            del arrows[name]
    assert not arrows
