"""Help, lists and tables in windows of any width; progress in a pipe."""

import re
import shlex
from pathlib import Path

import pytest
from screens import EVERY, screen, sig
from typer.testing import CliRunner

from sigcli.attribution.explanation import Explanation
from sigcli.cli import benchmark_scenario, progress
from sigcli.cli.main import COMMANDS, app
from sigcli.scenarios import SCENARIOS
from sigcli.scenarios.scenario import Verdict


def test_every_command_is_found():
    assert {(name,) for name in COMMANDS} < EVERY.keys()
    assert {("benchmark", "scenario", name) for name in SCENARIOS} < EVERY.keys()


@pytest.mark.parametrize("words", EVERY)
def test_help_holds_at_80_columns_with_types_and_examples_that_people_read(words):
    text = sig(*words, "--help").output
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"<(?:bool|str|int|float|path|list)", text)
    above, heading, below = text.rpartition("\nExamples:\n")
    assert heading
    assert "Examples:" not in above
    assert 2 <= len(EVERY[words].examples) <= 4
    assert "sig" in below


@pytest.mark.parametrize("words", EVERY)
def test_examples_are_command_lines_that_are_understood(words, monkeypatch):
    """Each is parsed up to the call of its function, with the types of its options."""
    for line, _ in EVERY[words].examples:
        name, *arguments = shlex.split(line.partition("=offline ")[2] or line)
        assert name == "sig"
        path = max((known for known in EVERY if tuple(arguments[: len(known)]) == known), key=len)
        EVERY[path].make_context("sig", arguments[len(path) :])


@pytest.mark.parametrize("what", ["methods", "metrics", "baselines", "models", "scenarios", "formats", "estimators"])
@pytest.mark.parametrize("columns", [60, 80])
def test_lists_have_a_few_lines_an_entry_and_no_summary_is_cut(what, columns, monkeypatch):
    if what == "models":
        monkeypatch.setattr("sigcli.cli.listing._torchvision", lambda: [{"name": "x" * 37, "summary": "torchvision"}])
    lines = sig("list", what, columns=columns).output.splitlines()
    assert max(map(len, lines)) <= columns
    from sigcli.cli.catalogs import CATALOGS

    entries = len(CATALOGS[what]) + (what == "models")
    assert len(lines) <= 3 * entries + 3  # below them: axioms, and where the rest is
    assert not [line for line in lines if line.startswith("    ") and line.endswith("…")]
    assert sum(not line.startswith(" ") for line in lines) >= entries


VERDICT = Verdict(
    "Is it?", {"method": "method", **{f"c{n}": f"A: x{n} = 0.6{n}" for n in range(6)}, "told": "table 1"},
    [{"method": "sig-walk", **{f"c{n}": f"-0.0{n} ± 0.01" for n in range(6)}, "told": "as corrected"},
     {"method": "shap", **dict.fromkeys((f"c{n}" for n in range(6)), 0.5), "told": "as printed"}],
    Path("out"),
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_of_scenarios_are_whole_in_every_window(width):
    """Where there is no room for all columns, there are several tables: no cell is cut, and none is folded."""
    made, stream = screen(terminal=True, width=width)
    benchmark_scenario.show(VERDICT, made)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for whole in (
        "as corrected",
        "as printed",
        *(f"-0.0{n} ± 0.01" for n in range(6)),
        *(f"A: x{n} = 0.6{n}" for n in range(6)),
    ):
        assert any(whole in line for line in lines), whole
    assert sum(line.startswith("sig-walk") for line in lines) == {60: 3, 80: 2, 120: 1}[width]


def test_a_list_in_a_pipe_is_whole(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "…" not in CliRunner().invoke(app, ["list", "metrics"]).output


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_pipe_hears_every_thirty_seconds_and_at_the_end(clock):
    shown, stream = screen()
    with progress.Reporter(shown) as reporter:
        reporter.begin(200, (), None)
        reporter.planned({"ig": 10})
        for number in range(200):
            clock.now += 1.0
            reporter.evaluated(10)
            bad = {"status": "failed", "error": "it is truncated"} if number == 5 else {"gradient_evaluations": 10}
            reporter.explained(Explanation(f"{number}.png", "ig", **bad))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 200 // 31 + 1
    assert lines[0] == (
        "30/200 maps, 0.94 images/s, 10 evaluations/s, 0:02:48 left; 1 failed, the last: 5.png: it is truncated"
    )
    assert lines[-1].startswith("200/200 maps, 0.99 images/s, 10 evaluations/s; 1 failed")


def test_a_slow_run_tells_seconds_per_image(clock):
    """It said "0.00 images/s, 0 evaluations/s"."""
    shown, stream = screen()
    with progress.Reporter(shown) as reporter:
        reporter.begin(2, (), None)
        for name in "ab":
            clock.now += 250.0
            reporter.evaluated(100)
            reporter.explained(Explanation(name, "ig", gradient_evaluations=100))
    assert "2/2 maps, 250 s per image, 0.4 evaluations/s" in stream.getvalue()


def test_stages_in_a_pipe_too(clock, monkeypatch):
    shown, stream = screen()
    monkeypatch.setattr(progress, "console", lambda: shown.console)
    with progress.StageListener() as listener:
        for stage in ("training", "measuring"):
            for done in range(1, 21):
                clock.now += 1.0
                listener.stage(stage, done, 20)
    assert stream.getvalue().splitlines() == ["measuring: 11/20, 0:00:08 left", "measuring: 20/20"]


def test_earlier_work_does_not_count_as_speed(clock):
    shown, stream = screen()
    with progress.Reporter(shown) as reporter:
        reporter.begin(4, (), None)
        for name in "abc":
            reporter.explained(Explanation(name, "ig", resumed=True))
        clock.now = 10.0
        reporter.explained(Explanation("d", "ig"))
    assert "4/4 maps, 0.10 images/s" in stream.getvalue()


def test_an_option_of_another_command_is_told_with_its_command():
    done = sig("explain", "--metric", "deletion")
    assert done.exit_code == 2
    assert "It is an option of sig evaluate, sig benchmark images" in " ".join(done.output.split())
