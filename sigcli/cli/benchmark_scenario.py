"""`sig benchmark scenario NAME`: a command for each line of the catalogue; it parses, calls `run_scenario`, and renders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from ..catalog import Entry
from ..options import Options
from ..options import table as options_of
from ..scenarios import SCENARIOS
from .command import Screen, command
from .console import RESUME, guarded, parts, table
from .help import Group
from .progress import StageListener
from .refusing import Refusing, missing

if TYPE_CHECKING:
    from ..scenarios.scenario import Verdict


class Scenarios(Group):
    """The scenarios of the catalogue as commands, each made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        del ctx
        return list(SCENARIOS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a scenario; an unknown name ends with a message."""
        del ctx
        with guarded(debug=False):
            entry = SCENARIOS[cmd_name]
        return _command(entry)


app = typer.Typer(cls=Scenarios, no_args_is_help=True, subcommand_metavar="NAME [OPTIONS]")


@app.callback()
def scenario() -> None:
    """Which method is right where the answer is known? One table, a verdict, and the maps behind it.

    Networks are trained from --seed when first needed, and kept. 'NAME --help' shows a scenario's options.

    Examples:
      sig benchmark scenario two-features          BShap, SHAP, IG and all path methods, exact, in seconds

      sig benchmark scenario shapes                which method points at the object? all of them, with intervals

      sig benchmark scenario burnt-snacks          which method finds the dark squares? trains a network, some minutes

      sig benchmark scenario imagenette --data imagenette2/     photographs by class; trains a resnet18, on a GPU if it can
    """


_NETWORKS = "networks whose training had finished are kept; repeat the command"


def _command(entry: Entry) -> Any:
    """A scenario as a command with its own options."""
    kind = entry.options_class
    if kind is None:
        raise TypeError(f"the line of the scenario {entry.name} in the catalogue names no options")
    single = typer.Typer(add_completion=False)
    told = f"{entry.description()}\n\n{_examples(entry.name, kind)}"
    single.command(entry.name, cls=_refusing(entry.name, kind), help=told, short_help=entry.summary)(
        command(kind, kept=_NETWORKS, entry=entry.name, config=f"benchmark.scenario.{entry.name}")(
            _carried_out(entry.name, resumes="resume" in options_of(kind))
        )
    )
    return typer.main.get_command(single)


def _examples(name: str, kind: type[Options]) -> str:
    """Examples of a scenario's command, from the options that it has."""
    known = options_of(kind)
    begun = f"sig benchmark scenario {name}{' --data photos/' if 'data' in known and 'arch' in known else ''}"
    lines = [begun, f"{begun} --out {name}-1 --seed 1" if "seed" in known else f"{begun} --out {name}-1"]
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


class _Stages(StageListener):
    """Shows the stages; once explanations are made, what is kept of an interrupted run can be resumed."""

    def __init__(self, screen: Screen, *, resumes: bool):
        super().__init__()
        self._screen, self._resumes = screen, resumes

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        super().stage(stage, done, total, point)
        if self._resumes and stage == "explaining":
            self._screen.guard.kept = RESUME


def _carried_out(name: str, *, resumes: bool) -> Callable[[Any, Screen], int]:
    def scenario(options: Any, screen: Screen) -> int:
        from ..scenarios.scenario import run_scenario

        with _Stages(screen, resumes=resumes) as listener:
            verdict = run_scenario(name, options, listener)
        for record in verdict.records:
            screen.results.add(record)
        show(verdict, screen)
        return len(verdict.failed)

    return scenario


def _refusing(name: str, kind: type[Options]) -> type[TyperCommand]:
    """A command that names its options where it is given one that it does not have."""

    class OfScenario(Refusing):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            try:
                return super().parse_args(ctx, args)
            except Exception as error:
                option = missing(error)
                if option is None:
                    raise
                with guarded(debug=False):
                    from ..scenarios.scenario import unknown_option

                    raise unknown_option(name, option, kind) from None
                raise

    return OfScenario


def show(verdict: Verdict, screen: Screen) -> None:
    """A verdict as a newcomer reads it: the question, what is known, the table, what it says."""
    screen.say(verdict.title, "bold")
    for fact in verdict.facts:
        screen.say(fact)
    headings = list(verdict.columns.values())
    shown = table(*headings, right=headings[1:])
    for row in verdict.rows:
        shown.add_row(*(_cell(row.get(column)) for column in verdict.columns))
    for part in parts(shown, screen.console):
        screen.console.print(part)
    for finding in verdict.findings:
        screen.say(finding)
    for failure in verdict.failed:
        screen.say(f"failed: {failure}", "red")
    screen.say(f"tables and figures in {verdict.folder}/")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
