"""Every public name says what it takes, in which shape or unit, what it raises and where it comes from."""

import inspect
import re
import sys

import pytest

import sigcli
import sigcli.captum
from sigcli.captum.names import names
from sigcli.methods import METHODS
from sigcli.metrics import METRICS

from repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from docstrings import entries, sections

PUBLIC = [name for name in sigcli.__all__ if callable(getattr(sigcli, name))]
OWN = ("accuracy", "top-5-accuracy", "seed-stability")
"""Metrics that need no source: counts, and our own."""


def lacking(function):
    """Arguments that the docstring does not name, and "Raises" where the function raises and does not say so."""
    told = inspect.getdoc(function) or ""
    named = " ".join(entries(sections(told).get("Args", "")))
    taken = [
        name for name, one in inspect.signature(function).parameters.items()
        if name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]  # fmt: skip
    found = [name for name in taken if not re.search(rf"\b{name}\b", f"{named} {told}")]
    raises = re.search(r"^ +raise ", inspect.getsource(inspect.unwrap(getattr(function, "function", function))), re.M)
    return [*found, *(["Raises"] if raises and "Raises:" not in told else []), *([] if told else ["a docstring"])]


def members(kind):
    """The public methods that a class defines or takes over from the package."""
    for name, function in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and function.__module__.startswith("sigcli"):
            yield name, function


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_takes_and_raises(name):
    thing = getattr(sigcli, name)
    if not inspect.isclass(thing):
        assert not lacking(thing)
    else:
        assert inspect.getdoc(thing)
        wrong = {method: lack for method, function in members(thing) if (lack := lacking(function))}
        assert not wrong


@pytest.mark.parametrize("name", names())
def test_a_class_of_captums_interface_says_what_it_takes_and_raises(name):
    kind = getattr(sigcli.captum, name)
    wrong = {method: lack for method, function in members(kind) if (lack := lacking(function))}
    assert not wrong


@pytest.mark.parametrize("entry", [*METHODS.values(), *METRICS.values()], ids=lambda entry: entry.name)
def test_a_method_or_metric_names_its_source_and_its_errors(entry):
    told = f"{entry.summary} {inspect.getdoc(entry.load())}"
    ours = entry.name in OWN or entry.properties.get("column")
    assert ours or re.search(r"\b(19|20)\d\d\b|\[(SIG|ES|ICG)\b", told), "no paper"
    assert "Raises" not in lacking(entry.load())


def test_what_a_docstring_lacks_is_found():
    def bad(first, second):
        """Takes the first."""
        raise ValueError(first, second)

    assert lacking(bad) == ["second", "Raises"]
