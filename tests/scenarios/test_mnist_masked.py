"""The scenario `mnist-masked`: [ICG] Fig. 7, tiny, with maps whose shares are known."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.scenarios.mnist import masked as mnist_masked


def test_the_area_is_the_upper_right_quarter_and_shares_are_of_sizes():
    area = mnist_masked.masked_area()
    assert area.sum() == 14 * 14
    assert area[:14, 14:].all()
    values = np.where(area, -1.0, 0.5)
    assert mnist_masked.share_in(values, area) == pytest.approx(196 / (196 + 0.5 * 588))
    assert mnist_masked.share_in(0 * values, area) is None
    assert mnist_masked.share_in(None, area) is None


@pytest.mark.slow
def test_the_command_adds_both_baselines(tmp_path, monkeypatch):
    monkeypatch.setenv("SIG_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    quick = ["--images", "2", "--steps", "2", "--preset", "icg", "--device", "cpu", "--set", "icg.steps=3", "--set"]
    quick += ["zero.steps=3", "--set", "one.steps=3", "--out", str(out)]
    done = CliRunner().invoke(app, ["benchmark", "scenario", "mnist-masked", *quick])
    assert done.exit_code == 0, done.output
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["icg", "zero", "one", "zero+one"] * 2
    for row in rows:
        if row["method"] == "icg":
            assert float(row["masked"]) == pytest.approx(0, abs=1e-6)  # its path never leaves a certainty of 0 there
        if row["method"] == "zero+one":
            stem = out / "masked" / row["image"].removesuffix(".png")
            both = sum(np.load(stem / f"{name}.npy").astype(float).sum(0) for name in ("zero", "one"))
            assert float(row["masked"]) == pytest.approx(np.abs(both[:14, 14:]).sum() / np.abs(both).sum(), abs=1e-4)
    assert (out / "sheet.png").stat().st_size > 1000
    wrong = CliRunner().invoke(
        app, ["benchmark", "scenario", "mnist-masked", "--preset", "icgg", "--out", str(out / "x")]
    )
    assert wrong.exit_code == 2
    assert "unknown preset" in wrong.stderr
