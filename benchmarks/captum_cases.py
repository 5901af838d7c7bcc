"""captum's own tests of IntegratedGradients, run with ours behind the same name: how many that apply are passed.

A test applies where it makes an object of the class. captum's tests are not in its package and not in this repository: give
a checkout of https://github.com/pytorch/captum (BSD licence), of the version that is installed.

    python benchmarks/captum_cases.py CHECKOUT --out benchmarks/results/captum-cases.csv
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import sys
import unittest
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import captum.attr
import captum.attr._core.integrated_gradients as original
import captum.attr._core.layer.layer_integrated_gradients
import captum.attr._core.neuron.neuron_integrated_gradients

from sigcli.captum import IntegratedGradients

MADE = [0]


class Counted(IntegratedGradients):
    """Ours, which counts its objects."""

    def __init__(self, *arguments: object, **options: object) -> None:
        MADE[0] += 1
        super().__init__(*arguments, **options)


def patch() -> None:
    """Put ours in the place of captum's; LayerIntegratedGradients and the like, imported above, keep captum's."""
    original.IntegratedGradients = Counted
    captum.attr.IntegratedGradients = Counted


def tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from tests(one)
        else:
            yield one


def cases(checkout: Path) -> Iterator[tuple[str, unittest.TestCase]]:
    """Every test of the files that name the class."""
    sys.path.insert(0, str(checkout))
    for path in sorted((checkout / "tests").rglob("test_*.py")):
        if "IntegratedGradients" not in path.read_text() and path.name != "test_targets.py":
            continue
        name = ".".join(path.relative_to(checkout).with_suffix("").parts)
        spec = importlib.util.spec_from_file_location(f"captum_{name.replace('.', '_')}", path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            print(f"{name}: not imported, {error}")
            continue
        for case in tests(unittest.defaultTestLoader.loadTestsFromModule(module)):
            yield name, case


def outcome(case: unittest.TestCase) -> tuple[str, str]:
    """passed, failed, skipped or "does not apply", and why."""
    MADE[0] = 0
    result = unittest.TextTestRunner(stream=io.StringIO()).run(case)
    if result.skipped:
        return "skipped", result.skipped[0][1]
    if not MADE[0]:
        return "does not apply", ""
    broken = [*result.failures, *result.errors]
    return ("failed", broken[0][1].strip().splitlines()[-1]) if broken else ("passed", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    patch()
    rows = []
    for name, case in cases(given.checkout):
        told, why = outcome(case)
        if told != "does not apply":
            rows.append({"file": name, "test": case._testMethodName, "outcome": told, "reason": why})
            print(told, name, case._testMethodName, why, flush=True)
    counts = {told: sum(row["outcome"] == told for row in rows) for told in ("passed", "failed", "skipped")}
    print(f"captum {version('captum')}: {counts}")
    if given.out:
        with given.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["file", "test", "outcome", "reason"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
