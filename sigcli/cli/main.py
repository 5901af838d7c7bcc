"""The command `sig`: a table of contents. Each command is a file of its own and imports torch only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .benchmark import app as benchmark
from .evaluate import evaluate
from .explain import explain
from .gridworld import gridworld
from .listing import listing
from .train import train

app = typer.Typer(
    name="sig",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explain image classifiers: which pixels made this model say 'goldfish', and how sure is that map?\n\n"
    "Shapley Integrated Gradients, and the methods and baselines it is compared with.",
)
app.command("explain")(explain)
app.command("evaluate")(evaluate)
app.command("gridworld")(gridworld)
app.add_typer(benchmark, name="benchmark")
app.command("train")(train)
app.command("list")(listing)


def _version(show: bool) -> bool:
    if show:
        typer.echo(f"sig {__version__}")
        raise typer.Exit
    return show


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explain image classifiers."""
