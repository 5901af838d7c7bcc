"""`sig benchmark`: side-by-side figures for a paper or a decision."""

from __future__ import annotations

import typer

from .benchmark_scenario import scenario

benchmark = typer.Typer(name="benchmark", no_args_is_help=True, help="Side-by-side figures for a paper or a decision.")
benchmark.command("scenario")(scenario)


@benchmark.callback()
def _root() -> None:
    """Side-by-side figures for a paper or a decision."""
