"""Shape annotations are checked while the tests run; fixtures that several files share."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tower
from repository import ROOT

REAL = Path(os.environ.get("SIG_REAL_DATA", ROOT.parent / "shared" / "real"))


# Workers and commands that tests start would compile the whole package anew, each of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# All but the command line, whose functions Typer calls with classes of its own.
_CHECKED = [f"sigcli.{module.name}" for module in pkgutil.iter_modules([str(ROOT / "sigcli")]) if module.name != "cli"]
tower.install(_CHECKED)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real weights and photographs; the test is skipped where it is absent."""
    if not (REAL / "weights").is_dir():
        pytest.skip("real weights and photographs are absent: set SIG_REAL_DATA")
    return REAL


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two workers on two cores: one thread each, which also keeps sums in one order."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _pretend_device() -> None:
    """torch counts the devices at its first backward pass, so it is told of this one before any; see `pretend`."""
    import pretend

    if pretend.POSSIBLE:
        pretend.arrived()


@pytest.fixture
def there() -> Iterator[str]:
    """The name of the pretend device, which commands take as long as the test runs."""
    import pretend

    if not pretend.POSSIBLE:
        pytest.skip("this torch has no backends written in Python: 2.10 or later has")
    with pretend.there():
        yield pretend.NAME


@pytest.fixture
def networks_cache(tmp_path, monkeypatch) -> Path:
    """A cache of trained networks that is empty at first."""
    monkeypatch.setenv("SIG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def nets_here(tmp_path, monkeypatch):
    """The folder of a test as the working directory, from which a module `nets` of its own is imported anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def _leaves_the_working_directory() -> Iterator[None]:
    """A test that goes elsewhere comes back: the next one's paths begin here."""
    before = Path.cwd()
    yield
    assert Path.cwd() == before


@pytest.fixture(autouse=True)
def _modules_of_its_own(tmp_path_factory) -> Iterator[None]:
    """What a test imports from its own folder is forgotten after it: another test's module of that name is another."""
    before = set(sys.modules)
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(folder):
            del sys.modules[name]
