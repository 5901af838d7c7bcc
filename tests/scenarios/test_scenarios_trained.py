"""Scenarios whose networks are trained on the spot: their pictures, their scores, and the commands at tiny settings."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.scenarios.burnt_snacks import score as burnt
from sigcli.scenarios.burnt_snacks.data import CELL, DARK, DARK_RANGE, EMPTY, LIGHT, LIGHT_RANGE, SIZE, batch
from sigcli.scenarios.burnt_snacks.study import BurntSnacks
from sigcli.scenarios.local_minimum import study as local
from sigcli.scenarios.local_minimum.data import EXAMPLE, component_score
from sigcli.scenarios.local_minimum.data import batch as inputs
from sigcli.scenarios.local_minimum.study import LocalMinimum
from sigcli.scenarios.scenario import run_scenario


@pytest.fixture(autouse=True)
def cache(networks_cache):
    return networks_cache


def sig(*arguments):
    return CliRunner().invoke(app, ["benchmark", "scenario", *map(str, arguments)])


class TestSnacks:
    def test_a_picture_is_the_same_whatever_stands_beside_it(self):
        many = batch(3, 5, 20)
        one = batch(3, 12, 1)
        assert np.array_equal(many.images[7], one.images[0])
        assert np.array_equal(many.objects[7], one.objects[0])
        assert not np.array_equal(batch(4, 12, 1).images, one.images)

    def test_the_class_is_whether_there_is_a_dark_square(self):
        found = batch(0, 0, 400)
        dark = (found.kinds == DARK).sum(1)
        assert np.array_equal(dark > 0, found.labels == 1)
        assert dark.max() == 3
        assert 0.4 < found.labels.mean() < 0.6

    def test_lightness_says_what_a_square_is(self):
        found = batch(1, 0, 200)
        for kind, (low, high) in ((DARK, DARK_RANGE), (LIGHT, LIGHT_RANGE)):
            for image, objects, kinds in zip(found.images, found.objects, found.kinds, strict=True):
                for place in np.nonzero(kinds == kind)[0]:
                    values = image[objects == 1 + place]
                    side = np.sqrt(len(values))
                    assert side == int(side)
                    assert 6 <= side <= 9
                    assert low <= values.min() == values.max() <= high + 1e-6
        assert (found.images[found.objects == 0] == 0).all()

    def test_no_other_shape_holds_a_square(self):
        """What tells a square is its inside: 6×6 pixels of one shape are in every square and in nothing else."""
        found = batch(4, 0, 300)
        windows = np.lib.stride_tricks.sliding_window_view(found.objects, (6, 6), axis=(1, 2))
        low, high = windows.min((3, 4)), windows.max((3, 4))
        for objects, kinds in zip(np.where(low == high, low, 0), found.kinds, strict=True):
            assert set(np.unique(objects)) - {0} == set(1 + np.nonzero((kinds == DARK) | (kinds == LIGHT))[0])

    def test_every_place_of_another_shape_shows_it(self):
        found = batch(5, 0, 300)
        for objects, kinds in zip(found.objects, found.kinds, strict=True):
            assert set(np.unique(objects)) - {0} == set(1 + np.nonzero(kinds != EMPTY)[0])

    def test_light_squares_and_other_shapes_say_nothing_of_the_class(self):
        found = batch(2, 0, 4000)
        for kind in (EMPTY, LIGHT, 3):
            by = [(found.kinds[found.labels == label] == kind).sum() / (found.kinds[found.labels == label] != DARK).sum()
                  for label in (0, 1)]  # fmt: skip
            assert abs(by[0] - by[1]) < 0.02

    def test_wrong_indices(self):
        with pytest.raises(UsageError, match="numbered from 0"):
            batch(0, -1, 1)


class TestSnackScores:
    def picture(self):
        """A dark square at place 0, a light one at place 4."""
        objects = np.zeros((SIZE, SIZE), int)
        objects[2:8, 2:8] = 1
        objects[12:18, 12:18] = 5
        kinds = np.full(9, EMPTY)
        kinds[[0, 4]] = DARK, LIGHT
        return objects, kinds

    def test_all_on_the_dark_square(self):
        objects, kinds = self.picture()
        found = burnt.score((objects == 1).astype(float), objects, kinds)
        assert found == {"dark_share": 1.0, "dark_net": 1.0, "dark_found": 1.0, "light_blamed": 0.0}

    def test_transferred_to_the_light_square(self):
        objects, kinds = self.picture()
        found = burnt.score((objects == 5).astype(float), objects, kinds)
        assert found == {"dark_share": 0.0, "dark_net": 0.0, "dark_found": 0.0, "light_blamed": 1.0}

    def test_net_of_what_cancels_within_a_place(self):
        objects, kinds = self.picture()
        values = (objects == 1).astype(float)
        values[21:29, 21:25], values[21:29, 25:29] = 1, -1  # of the ground, summing to nothing
        found = burnt.score(values, objects, kinds)
        assert found["dark_share"] == pytest.approx(36 / (36 + 32))
        assert found["dark_net"] == 1.0

    def test_without_a_dark_square_the_light_ones_share(self):
        objects, kinds = self.picture()
        kinds[0] = EMPTY
        values = np.ones((SIZE, SIZE))
        assert burnt.score(values, objects, kinds) == {"light_share": pytest.approx(36 / SIZE**2)}
        assert burnt.score(0 * values, objects, kinds) == {}

    def test_sums_are_by_shape_and_by_the_ground_of_each_place(self):
        objects, _ = self.picture()
        sums = burnt.sums(np.ones((SIZE, SIZE)), objects)
        assert sums[:9].tolist() == [36, 0, 0, 0, 36, 0, 0, 0, 0]
        assert sums[9] == CELL**2 - 36
        assert sums.sum() == SIZE**2


class TestLocalMinimum:
    def test_the_scores_of_table_2(self):
        scores = component_score(np.array(EXAMPLE))
        assert np.allclose(scores / scores.max(), [-0.94, -0.94, -0.94, 1, 0.75, 1], atol=0.005)
        assert scores.sum() < 0  # the paper's input is of class 0

    def test_the_minimum_is_local_and_positive(self):
        line = np.linspace(0.51, 1, 99)
        values = component_score(line)
        assert values.min() == pytest.approx(0.5, abs=0.01)
        assert line[values.argmin()] == pytest.approx(0.75, abs=0.01)
        assert (component_score(np.linspace(0, 0.5, 9)) == -0.75).all()

    def test_classes_follow_the_sum(self):
        x, labels = inputs(0, 0, 500)
        assert x.shape == (500, 1, 1, 6)
        assert np.array_equal(labels, component_score(x.reshape(500, 6)).sum(1) > 0)
        assert np.array_equal(inputs(0, 7, 1)[0][0], x[7])

    def test_measures(self):
        x = np.array(EXAMPLE)
        scores = component_score(x)
        right = local.measures(2 * scores, x, scores)
        assert right == {
            "score_correlation": pytest.approx(1),
            "bshap_correlation": pytest.approx(1),
            "wrong_sign": 0,
            "blind": 0,
        }
        turned = local.measures(-scores, x, scores)
        assert turned["wrong_sign"] == 1
        blind = local.measures(np.array([0, 0, 0.001, 1, 1, 1.0]), x, scores)
        assert (blind["blind"], blind["wrong_sign"]) == (0.5, 0)
        nothing = local.measures(np.zeros(6), x, scores)
        assert nothing["score_correlation"] is None
        assert nothing["blind"] == 1


@pytest.mark.slow
class TestCommands:
    def test_burnt_snacks(self, tmp_path, cache):
        quick = [part for text in ("icg.steps=4", "zero.steps=4", "eg.samples=8") for part in ("--set", text)]
        command = ["burnt-snacks", "--images", 4, "--steps", 4, "--method", "icg,zero=ig,eg", *quick, "--device", "cpu"]
        command += ["--out", tmp_path / "out"]
        done = sig(*command, "--json")
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == 12
        assert {row["class"] for row in rows} == {0, 1}
        assert all((row["dark_found"] is None) == (row["class"] == 0) for row in rows)
        assert "(area)" in done.stderr
        for name in BurntSnacks.files:
            assert (tmp_path / "out" / name).stat().st_size > 100
        assert len(list(cache.glob("burnt-snacks-*.safetensors"))) == 1
        again = sig(*command, "--resume")
        assert again.exit_code == 0, again.output
        assert "taken from the cache" in again.stderr
        other = sig(*[a if a != 4 else 3 for a in command])
        assert other.exit_code == 2
        assert "already holds another run" in other.stderr

    def test_local_minimum(self, tmp_path):
        done = sig("local-minimum", "--images", 5, "--steps", 6, "--set", "icg.steps=5", "--set", "eg.samples=8",
                   "--set", "agn.samples=8", "--out", tmp_path / "out", "--json")  # fmt: skip
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == 5 * 9
        assert all(row["bshap_correlation"] == pytest.approx(1) for row in rows if row["method"] == "bshap")
        with (tmp_path / "out" / "values.csv").open() as stream:
            table = list(csv.DictReader(stream))
        assert [float(row["scaled"]) for row in table[:6]] == pytest.approx([-0.9375] * 3 + [1, 0.75, 1])
        for name in (*LocalMinimum.files, *LocalMinimum.networks):
            assert (tmp_path / "out" / name).stat().st_size > 100

    def test_bshap_sums_to_the_difference_from_the_boundary(self, tmp_path):
        import torch

        from sigcli.models.loading import load_model
        from sigcli.scores.classifier import ClassScore

        made = local.trained_network(tmp_path, seed=0, steps=4, device="cpu")
        scorer = ClassScore(load_model(str(made.file)).module, "logit")
        x = torch.tensor(EXAMPLE).reshape(1, 1, 6)
        both = scorer.scores(torch.stack([x, torch.full_like(x, 0.5)]), torch.ones(2, dtype=torch.long))
        assert local.baseline_shap(scorer, x, 0.5).sum() == pytest.approx(float(both[0] - both[1]), abs=1e-5)

    def test_too_few(self):
        for name in ("burnt-snacks", "local-minimum"):
            with pytest.raises(UsageError, match="at least 2"):
                run_scenario(name, images=1)
