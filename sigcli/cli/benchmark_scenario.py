"""`sig benchmark scenario`: parse, call `sigcli.scenarios.scenario`, show progress and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..engine.allocator import keep_freed_memory
from . import options as o
from .answers import answers
from .console import FAILED, console, guarded

if TYPE_CHECKING:
    from ..scenarios.scenario import Verdict

_SCENARIO = "Scenario"
_WIDE = 120  # columns of a table in a pipe
Name = Annotated[str, typer.Argument(metavar="NAME", help="See 'sig list scenarios'.")]
Images = Annotated[
    int,
    typer.Option(
        "--images", rich_help_panel=_SCENARIO, help="Images or inputs to explain.", show_default="the scenario's"
    ),
]
Steps = Annotated[
    int, typer.Option("--steps", rich_help_panel=_SCENARIO, help="Training steps.", show_default="the scenario's")
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", rich_help_panel=_SCENARIO, show_default=False,
        help="burnt-snacks, mnist, mnist-in-space, mnist-masked, shap-digits: icg trains the network as [ICG] A.5 does.",
    ),
]  # fmt: skip
Data = Annotated[
    str | None,
    typer.Option(
        "--data", rich_help_panel=_SCENARIO, show_default=False, metavar="FOLDER",
        help="mnist, mnist-in-space, mnist-masked, shap-digits: MNIST's files, in place of scikit-learn's digits. "
        "imagenette: images by class. "
        "shapley-regression: a CSV, the target last.",
    ),
]  # fmt: skip
Arch = Annotated[
    str, typer.Option("--arch", rich_help_panel=_SCENARIO, help="imagenette: a classifier, as in 'sig train'.")
]
Size = Annotated[
    int, typer.Option("--size", rich_help_panel=_SCENARIO, help="imagenette: side of the pictures in pixels.")
]
Epochs = Annotated[
    float, typer.Option("--epochs", rich_help_panel=_SCENARIO, help="imagenette: how often each image is seen.")
]
Row = Annotated[
    int,
    typer.Option("--row", rich_help_panel=_SCENARIO, help="shapley-regression: whose prediction is explained, from 0."),
]
Pairs = Annotated[
    int,
    typer.Option("--pairs", rich_help_panel=_SCENARIO, help="expression: pairs of faces, half of one expression."),
]
Margin = Annotated[
    int,
    typer.Option(
        "--margin", rich_help_panel=_SCENARIO, help="expression: pixels by which eyes, brows and mouth are widened."
    ),
]


def scenario(
    context: typer.Context,
    name: Name,
    images: Images = 0,
    steps: Steps = 0,
    preset: Preset = None,
    data: Data = None,
    arch: Arch = "resnet18",
    size: Size = 128,
    epochs: Epochs = 20,
    row: Row = 0,
    pairs: Pairs = 24,
    margin: Margin = 0,
    method: o.Method = "the scenario's",
    settings: o.Set = None,
    output: o.OutputKind = "the scenario's",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    batch_size: o.BatchSize = "auto",
    out: o.Out = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    pictures: o.Pictures = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Which method gives the right answer where it is known? One table, a verdict, and the maps behind it.

    Networks are trained on the spot from a seed, and kept for the next time.

    Examples:
      sig benchmark scenario two-features          BShap, SHAP, IG and all path methods, exact, in seconds

      sig benchmark scenario burnt-snacks          which method finds the dark squares? trains a network, some minutes

      sig benchmark scenario local-minimum         which method agrees with the scores of six components?

      sig benchmark scenario shapes                which method points at the object? all of them, with intervals

      sig benchmark scenario mnist                 which method is blind to the ground of a digit? --data for MNIST's files

      sig benchmark scenario mnist-in-space        which maps show a ghost of the training where nothing is?

      sig benchmark scenario shap-digits           which maps know what makes an 8 of a 3? trains a network, some minutes

      sig benchmark scenario imagenette --data imagenette2/     photographs by class; trains a resnet18, on a GPU if it can

      sig benchmark scenario expression            which method looks at eyes, brows and mouth? some minutes

      sig benchmark scenario expression --pairs 6 --method sig,ig --margin 2
    """
    with guarded(debug), answers(as_json) as results:
        from ..scenarios.scenario import scenario as carry_out
        from .progress import Stages

        keep_freed_memory()
        options = {key: value for key, value in o.typed(context).items() if key != "name"}
        with Stages() as stages:
            verdict = carry_out(name, **options, progress=stages.show)
        for record in verdict.records:
            results.add(record)
        show(verdict, console())
    if verdict.failed:
        raise typer.Exit(FAILED)


def show(verdict: Verdict, screen: Console) -> None:
    """A verdict as a newcomer reads it: the question, what is known, the table, what it says."""
    screen.print(f"[bold]{verdict.title}[/]")
    for fact in verdict.facts:
        screen.print(fact, markup=False)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(verdict.columns.values()):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=number == 0)
    for row in verdict.rows:
        table.add_row(*(_cell(row.get(column)) for column in verdict.columns))
    if not screen.is_terminal:
        screen.width = _WIDE
    screen.print(table)
    for finding in verdict.findings:
        screen.print(finding, markup=False)
    for failure in verdict.failed:
        screen.print(f"failed: {failure}", markup=False, style="red")
    if verdict.folder is not None:
        screen.print(f"tables and figures in {verdict.folder}/", markup=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
