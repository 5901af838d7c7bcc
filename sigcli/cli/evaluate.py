"""`sig evaluate`: parse, call `sigcli.evaluate`, show progress and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ..evaluation.options import EvaluateOptions
from ..names import images_told, printable
from .browser import say_page
from .command import Screen, command
from .console import fits, table, traces
from .counts import Counts
from .log import check_log, log_run

if TYPE_CHECKING:
    from ..evaluation.evaluate import Evaluation
    from ..evaluation.labelled import Labelled


@command(EvaluateOptions, kept="nothing was measured yet", opens=True, config="evaluate", logs=True)
def evaluate(options: EvaluateOptions, screen: Screen) -> int:
    """Is the attribution map any good? Explain images and measure the explanations, with intervals and paired differences.

    Examples:
      sig evaluate photos/ --model resnet50 --method sig,ig

      sig evaluate photos/ -m resnet50 --method sig,eg --metric deletion,insertion --imputation black,blur,road

      sig evaluate photos/ -m resnet50 --metric pointing-game,roc-auc --masks masks/ --set ig.steps=100

      sig evaluate sig-out/ --metric deletion,lerf             the arrays of a run, with its model
    """
    from ..evaluation.evaluate import evaluate as carry_out
    from ..evaluation.tables import metric_row
    from .progress import Reporter

    check_log(options, screen)
    with Reporter(screen) as reporter:
        found = carry_out(options, reporter)
    for value in found.values:
        screen.results.add(metric_row(value))
    if found.summary:
        made = _table(found)
        if fits(made, screen.console):
            screen.console.print(made)
        else:
            for line in _lines(found):
                screen.say(line)
        screen.say(_reading(found))
    for row in found.checks:
        screen.say(f"model: {row['metric']} {row['mean']:.3f}, {images_told(row['n'])}")
    for line in _of_model(found.model) if found.model is not None else ():
        screen.say(line)
    reporter.say_notes()
    failed = say_failures(found, screen, reporter.counts)
    say_page(found.folder, screen)
    log_run(found.folder, screen)
    return failed


def say_failures(found: Evaluation, screen: Screen, maps: Counts) -> int:
    """Name each failure and its reason, then how many there are and where all is; returns how many.

    Args:
        found: what was measured.
        screen: where it is told.
        maps: how many explanations were made, read back and failed.
    """
    failed = [value for value in found.values if value.error]
    reasons: dict[tuple[str, str], list[str]] = {}
    for value in failed:
        reasons.setdefault((value.image, value.error), []).append(f"{value.method} {value.metric}")
    for (image, error), which in reasons.items():
        screen.say(f"failed: {image} ({', '.join(dict.fromkeys(which))}): {error}", "red")
    if screen.debug:
        traces((value.cause for value in failed), screen.console)
    values = Counts()
    for value in found.values:
        values.add(value.error, resumed=False, cause=value.cause)
    facts = {name: count for name, count in values.record().items() if name != "resumed"}
    screen.results.add({"counts": maps.record(), "values": facts})
    if maps.resumed or maps.failed:
        screen.say(f"maps: {maps}")
    counted = "1 value" if values.done == 1 else f"{values.done:,} values"
    screen.say(f"{counted}, {values.why()}; written to {printable(str(found.folder))}/")
    return len(failed)


def _lines(found: Evaluation) -> list[str]:
    """The table's cells, a line each, for a narrow window."""
    lines = []
    for (method, metric, imputation), one in found.summary.items():
        mean = "-" if one.mean is None else f"{one.mean:.3f}"
        span = "" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})"
        lines.append(f"{method}, {metric}{f' {imputation}' if imputation else ''}: {mean}{span}")
    return lines


def _reading(found: Evaluation) -> str:
    """What the numbers of the table are, in a sentence."""
    from ..metrics.statistics import FEWEST

    counts = [one.n for one in found.summary.values()]
    images = " to ".join(dict.fromkeys(map(str, (min(counts), max(counts)))))
    kinds = ", ".join(dict.fromkeys(one.interval for one in found.summary.values() if one.interval))
    below = f"below them their 95 % intervals ({kinds})" if kinds else f"no intervals, which take {FEWEST} images"
    return f"Means over {images} image{'' if images == '1' else 's'}; {below}."


def _of_model(model: Labelled) -> list[str]:
    lines = []
    for row in model.summary:
        between = "" if row["ci_low"] is None else f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})"
        lines.append(f"model: {row['metric']} {row['mean']:.3f}{between}, {images_told(row['n'])}")
    for image, reason in model.missing.items():
        lines.append(f"left out of the model's values: {image}: {reason}")
    return lines


def _table(found: Evaluation) -> Table:
    """Means with their intervals, methods by metrics."""
    from ..evaluation.tables import measures
    from ..metrics import METRICS

    kinds = list(dict.fromkeys((metric, imputation) for _, metric, imputation in found.summary))
    names = measures(found.values)
    headings = []
    for metric, imputation in kinds:
        arrow = {True: " ↑", False: " ↓", None: ""}[METRICS[names[metric]].properties["higher_is_better"]]
        headings.append(f"{metric}{arrow}" + (f"\n{imputation}" if imputation else ""))
    made = table("method", *headings, right=headings)
    for method in dict.fromkeys(method for method, _, _ in found.summary):
        cells = []
        for kind in kinds:
            summary = found.summary.get((method, *kind))
            if summary is None or summary.mean is None:
                cells.append("-")
            elif summary.low is None or summary.high is None:
                cells.append(f"{summary.mean:.3f}")
            else:
                cells.append(f"{summary.mean:.3f}\n{summary.low:.3f} to {summary.high:.3f}")
        made.add_row(method, *cells)
    return made
