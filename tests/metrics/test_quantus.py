"""The figures agree with Quantus's on the same arrays, by the conversions of `benchmarks/quantus_peer.py`.

Quantus is no dependency: it wants an older numpy than ours may be. docs/quantus.md says how to install it.
"""

from __future__ import annotations

import sys
import warnings

import pytest
import torch

from sigcli.metrics.case import Case

from repository import ROOT
from toys import smooth_net, subject

SIDE = 24
BENCHMARKS = str(ROOT / "benchmarks")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Quantus's own, at import
    pytest.importorskip("quantus", reason="Quantus is not installed: it has an environment of its own, docs/quantus.md")
    sys.path.insert(0, BENCHMARKS)
    try:
        import quantus_material  # pyright: ignore[reportMissingImports]
        import quantus_peer  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(BENCHMARKS)

pytestmark = pytest.mark.skipif(
    not quantus_peer.RANKS_CHANNELS, reason="written for Quantus 0.6, which works on batches"
)


@pytest.fixture(scope="module")
def material():
    """Two colour images, maps with both signs, masks of a square."""
    generator = torch.Generator().manual_seed(5)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[4:15, 6:20] = True
    net = smooth_net(torch.float32, channels=3, side=SIDE)
    cases = []
    for key in (7, 8):
        x = torch.rand(3, SIDE, SIDE, generator=generator)
        target = int(net(x[None]).argmax())
        values = torch.randn(3, SIDE, SIDE, generator=generator)
        cases.append(
            Case(subject(x, dtype=torch.float32, target=target, key=key), quantus_material.untied(values), mask)
        )
    return quantus_material.Material("toy", net, cases)


def agree(*rows: dict[str, object]) -> None:
    for row in rows:
        assert float(str(row["largest_difference"])) < 1e-3, row


@pytest.mark.parametrize("options", [{}, {"least_first": True}, {"unmodified": True}])
def test_pixel_flipping_agrees(material, options):
    agree(quantus_peer.pixel_flipping(material, 16, **options))


def test_irof_agrees(material):
    agree(quantus_peer.irof(material))


def test_road_agrees_in_predictions_and_in_pixels(material):
    agree(*quantus_peer.road(material))


@pytest.mark.parametrize(("method", "options"), [("gradient", {}), ("ig", {"steps": 4})])
def test_max_sensitivity_agrees(material, method, options):
    agree(quantus_peer.max_sensitivity(material, method, samples=4, **options))


def test_sparseness_and_localisation_agree_and_differ_only_as_documented(material):
    rows = quantus_peer.maps_alone(material)
    differ = [row for row in rows if str(row["note"]).startswith("definitions differ")]
    agree(*(row for row in rows if row not in differ))
    assert {str(row["metric"]) for row in differ} == {"sparseness, map / 1e6", "relevance-mass, signed map"}
    assert all(float(str(row["largest_difference"])) > 1e-3 for row in differ)
