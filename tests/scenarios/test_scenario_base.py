"""What all scenarios share: one line of the catalogue makes a command with its own options, run by one function."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli import catalog
from sigcli.catalog import Catalog, Entry
from sigcli.cli import benchmark_scenario
from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.listener import Listener
from sigcli.options import flags, table
from sigcli.scenarios import SCENARIOS
from sigcli.scenarios import scenario as base
from sigcli.scenarios.comparison import Measure, mean_rows
from sigcli.scenarios.options import ScenarioOptions, own
from sigcli.scenarios.scenario import Scenario, Verdict, run_scenario
from sigcli.scenarios.two_features.options import TwoFeaturesOptions


@dataclass(frozen=True, repr=False)
class DiceOptions(ScenarioOptions):
    """Which face of a die comes up?"""

    faces: int = own(6, "Faces of the die.")
    images: int = own(3, "Throws.")


class Dice(Scenario[DiceOptions]):
    """A scenario without methods: the answer is the last face."""

    files = ("throws.csv", "throws.png")
    least = (2, "throws")

    def measure(self):
        self.throws = [{"method": f"throw {i}", "face": self.options.faces} for i in range(self.options.images)]
        self.listener.stage("throwing", self.options.images, self.options.images)

    def verdict(self):
        return Verdict(
            "Which face?", {"method": "throw", "face": "face"}, self.throws, self.folder, facts=("It is loaded.",),
            findings=("The last face.",), records=self.throws, tables={"throws.csv": self.throws},
            figures={"throws.png": lambda path: Image.new("L", (6, 6)).save(path)},
        )  # fmt: skip


@pytest.fixture
def dice(monkeypatch):
    """The catalogue with one line more."""
    line = Entry("dice", f"{__name__}:Dice", "which face comes up?", {"options": f"{__name__}:DiceOptions"})
    more = Catalog("scenario", [*SCENARIOS.values(), line])
    for module in (benchmark_scenario, base):
        monkeypatch.setattr(module, "SCENARIOS", more)
    real = catalog._loaded
    ours = {f"{__name__}:{one.__name__}": one for one in (Dice, DiceOptions)}  # targets are in sigcli: these are not
    monkeypatch.setattr(catalog, "_loaded", lambda target: ours.get(target) or real(target))


def sig(*arguments):
    return CliRunner().invoke(app, ["benchmark", "scenario", *map(str, arguments)])


def said(done):
    return " ".join(done.stderr.split())


def test_a_line_of_the_catalogue_is_a_command(dice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = sig("dice", "--faces", 20, "--images", 2, "--json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"method": "throw 0", "face": 20}, {"method": "throw 1", "face": 20},
    ]  # fmt: skip
    for text in ("Which face?", "It is loaded.", "throw 1", "The last face.", "sig-dice/"):
        assert text in said(done)
    assert Path("sig-dice", "throws.csv").read_text().split() == ["method,face", "throw", "0,20", "throw", "1,20"]
    assert Path("sig-dice", "throws.png").exists()
    again = sig("dice", "--faces", 20, "--images", 2, "--no-pictures")
    assert again.exit_code == 0, again.output
    assert not Path("sig-dice", "throws.png").exists()
    assert json.loads(Path("sig-dice", "manifest.json").read_text())["spec"]["faces"] == 20
    other = sig("dice", "--images", 2, "--out", "sig-dice")
    assert other.exit_code == 2
    assert "already holds another run" in said(other)
    assert "dice" in sig("--help").output


def test_help_has_the_options_of_that_scenario_alone(dice):
    shown = sig("dice", "--help").output
    assert "Which face of a die comes up?" in shown
    assert "--faces" in shown
    assert "--method" not in shown
    assert "--faces" not in sig("mnist", "--help").output


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_shows_its_own_options_without_torch(name):
    entry = SCENARIOS[name]
    shown = sig(name, "--help").output
    for option, (known, _) in table(entry.options_class).items():
        assert flags(option, known)[0].partition("/")[0] in shown
    assert set(entry.options()) == set(table(entry.options_class))
    assert entry.description().split("\n")[0].split()[0] in shown
    assert issubclass(entry.load(), Scenario)


def test_an_option_that_a_scenario_does_not_have_is_named_with_those_it_has(dice, tmp_path):
    done = sig("dice", "--margin", 3, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "the scenario dice has no such option (given: --margin)" in said(done)
    assert "--faces, --images, --out, --overwrite, --pictures" in said(done)
    assert sig("dice", "--faces", "many").exit_code == 2
    assert sig("dice", "--images", 1).exit_code == 2
    unknown = sig("dicee")
    assert unknown.exit_code == 2
    assert "Did you mean 'dice'" in said(unknown)
    assert not (tmp_path / "out").exists()


def test_the_function_takes_options_by_name_or_as_one_object(dice, tmp_path):
    heard = []

    class Hearing(Listener):
        def stage(self, stage, done, total, point=None):
            heard.append((stage, done, total))

    one = run_scenario("dice", DiceOptions(images=2, out=tmp_path / "one"), Hearing())
    assert heard == [("throwing", 2, 2)]
    two = run_scenario("dice", images=2, out=tmp_path / "two", pictures=False)
    assert one.rows == two.rows
    assert (tmp_path / "one" / "throws.csv").read_bytes() == (tmp_path / "two" / "throws.csv").read_bytes()
    assert not (tmp_path / "two" / "throws.png").exists()
    assert two.plot(tmp_path / "drawn.png").size == (6, 6)
    assert repr(one) == f"<Verdict: Which face? 2 rows, {tmp_path / 'one'}>"
    with pytest.raises(UsageError, match=r"no such option \(given: --face-count\)"):
        run_scenario("dice", face_count=3)
    with pytest.raises(TypeError, match="takes DiceOptions"):
        run_scenario("dice", TwoFeaturesOptions())


def test_means_are_shown_as_the_measure_says(tmp_path):
    found = run_scenario("two-features", method="ig", out=tmp_path / "out", settings={"ig.steps": 64}, pictures=False)
    assert [row["method"] for row in found.rows] == ["bshap", "shap", "ig"]
    with pytest.raises(UsageError, match="path methods only"):
        run_scenario("two-features", method="gradcam", out=tmp_path / "other")
    assert Measure("r").digits is None
    assert mean_rows({}) == []


def test_an_interruption_tells_of_resume_where_there_is_one(dice, tmp_path, monkeypatch):
    def interrupted(_, __, listener):
        listener.stage("explaining", 0, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(base, "run_scenario", interrupted)
    assert "repeat the command" in said(sig("dice", "--out", tmp_path))
    assert "--resume" in said(sig("mnist", "--out", tmp_path))
