"""The command `sig`: a table of contents. A command's file is imported when it is asked for, and torch only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from .. import __version__
from .help import Group
from .refusing import Refusing

COMMANDS = {
    "explain": "explain:explain",
    "evaluate": "evaluate:evaluate",
    "gridworld": "gridworld:gridworld",
    "benchmark": "benchmark:app",
    "report": "report:report",
    "view": "view:view",
    "train": "train:train",
    "merge": "merge:merge",
    "export": "export:export",
    "list": "listing:listing",
    "doctor": "doctor:doctor",
}
"""Name → module and function, or group, within this package."""


class Commands(Group):
    """The commands of the table, each loaded when it is asked for."""

    def __init__(self, *arguments: Any, **known: Any):
        super().__init__(*arguments, **known)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  names, from which a near one is suggested

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """One of them, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(f".{module}", __package__), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(cmd_name, cls=Refusing)(found)
            found = alone
        made = typer.main.get_command(found)
        made.name = cmd_name
        return made


app = typer.Typer(
    name="sig",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explain image classifiers: which pixels made this model say 'goldfish', and how reliable is that heatmap?\n\n"
    "Shapley Integrated Gradients, and the methods and baselines it is compared with.\n\n"
    "Examples:\n"
    "  sig explain                                   the bundled network explains the bundled images\n"
    "  sig explain photo.jpg --model resnet50        one photograph, a network of torchvision\n"
    "  sig list methods                              what --method may be",
)


def _version(show: bool) -> bool:
    if show:
        from importlib import metadata
        from platform import python_version

        packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchvision"))
        typer.echo(f"sig {__version__}\n{packages}, Python {python_version()}")
        typer.echo(f"device: {_device()}")
        raise typer.Exit
    return show


def _device() -> str:
    """What --device auto is here; the versions stand already, and a torch that does not work takes none of them away."""
    try:
        from ..models.device import choose_device

        return f"{choose_device('auto')} (more: sig doctor)"
    except Exception as error:  # noqa: BLE001  torch may raise anything where its libraries are missing
        return f"torch does not work: {error} (sig doctor says what to mend)"


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explain image classifiers."""
