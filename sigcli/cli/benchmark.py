"""`sig benchmark`: a table of contents; each benchmark is a file of its own."""

from __future__ import annotations

import typer

from .benchmark_images import images
from .benchmark_methods import methods
from .benchmark_scenario import app as scenario
from .help import Group
from .refusing import Refusing

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    help="Compare methods side by side, for a paper or a decision.\n\n"
    "Examples:\n"
    "  sig benchmark methods photos/ --model resnet50                which method is best here?\n"
    "  sig benchmark images photos/ --counts 300,500 --method sig,ig    time and metrics by number of images\n"
    "  sig benchmark scenario two-features                           where the right answer is known",
)
app.command("images", cls=Refusing)(images)
app.command("methods", cls=Refusing)(methods)
app.add_typer(scenario, name="scenario")


@app.callback()
def _benchmarks() -> None:
    """Compare methods side by side, for a paper or a decision."""
