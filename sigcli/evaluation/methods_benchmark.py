"""`sig benchmark methods` as a library: which method is best on these images? No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..attribution.select import choose_methods, choose_metrics
from ..door import door
from ..engine.modes import own_modes
from ..errors import UsageError, unknown
from ..inputs.given import listed
from ..inputs.images import find_images
from ..inputs.samples import sample_images
from ..listener import SILENT, Listener
from ..methods import METHODS
from ..runs.folder import output_folder, refuse_strangers, run_names, take
from .benchmark import costed
from .benchmark_tables import Spent
from .evaluate import Evaluation
from .methods_suited import Suited
from .methods_table import methods_rows
from .methods_words import sentences
from .options import LOCALISATION, BenchmarkMethodsOptions
from .prepare import Prepared, prepare_evaluation, searched
from .tables import Row
from .value import MetricValue

TABLE = "methods.csv"
FILES = (TABLE, "methods.png", "methods-cost.png")
"""Table and figures of the benchmark, besides those of the evaluation."""
_BASELINES = ("black", "mean", "blur")


@dataclass(frozen=True, eq=False, repr=False)
class MethodsBenchmark:
    """Results of a benchmark of methods.

    Args:
        rows: those of `methods.csv`, by method, metric and imputation.
        against: the method with which every other one is compared.
        sentences: what the differences support.
        evaluation: the evaluation that the rows sum up.
        folder: where table and figures are.
    """

    rows: list[Row]
    against: str
    sentences: list[str]
    evaluation: Evaluation
    folder: Path

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw methods by metrics with their means and verdicts; also write the plot to `path` if given.

        Raises:
            UsageError: nothing was measured.
        """
        from ..render.plots.methods import plot_methods

        if all(row["mean"] is None for row in self.rows):
            raise UsageError("the benchmark has no means to plot", hint="None of its metrics has a value.")
        return plot_methods(self.rows, path)

    def __repr__(self) -> str:
        count = len({row["method"] for row in self.rows})
        return f"<MethodsBenchmark of {count} methods against {self.against}: {' '.join(self.sentences)}>"


@door(BenchmarkMethodsOptions)
@own_modes()
def benchmark_methods(options: BenchmarkMethodsOptions, listener: Listener = SILENT) -> MethodsBenchmark:
    """Which method is best on these images? Quality of the maps, stability over seeds and cost, each beside one method.

    Called with options as arguments, or with a `BenchmarkMethodsOptions` and a `Listener`:

        benchmark_methods("photos/", model="resnet50", masks="masks/")
        benchmark_methods("photos/", model=network, method="sig,black=ig,gradcam", against="gradcam")

    Every other method has its paired difference with `against`, by metric and imputation, with a 95 % interval over images;
    p-values are those of sign-flip tests, corrected for their number (Holm). Methods of the standard set that the network or
    the images do not allow are left out with a note; methods that were named are refused. With masks, localisation is
    measured, too. Every map costs up to 256 evaluations of the model, unless `evaluations`, `tolerance` or a method's own
    options say otherwise. The options `black=ig`, `mean=ig` and `blur=ig` have that baseline unless they are given another.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.
    """
    if options.out is not None:
        refuse_strangers(output_folder(options.out), FILES, overwrite=options.overwrite)
    named = [one.name for one in choose_methods(options.method, {})]
    wanted = _named(options.against, named)
    options, passed_over = searched(options)
    options, fewer = completed(options)
    suited = Suited(options, wanted)
    prepared = prepare_evaluation(options, suited=suited)
    left_out = (*passed_over, *fewer, *suited.notes)
    session = replace(prepared.session, alone=options.timing == "alone")
    against = session.methods[0].name if wanted is None else wanted
    take(prepared.folder, FILES)
    prepared = replace(prepared, session=session, left_out=left_out)
    listener.begin(prepared.items, prepared.notes, prepared.folder)
    return _carried_out(prepared, against, listener)


def _carried_out(prepared: Prepared, against: str, listener: Listener) -> MethodsBenchmark:
    images = [name for name, _ in run_names(prepared.session.paths)]

    def rows_of(values: Sequence[MetricValue], costs: Sequence[Spent]) -> list[Row]:
        return methods_rows(values, costs, images, against, prepared.session.seed)

    def draw(rows: list[Row], folder: Path) -> None:
        from ..render.plots.methods import draw_methods

        draw_methods(rows, folder)

    evaluation, rows = costed(prepared, listener, FILES, rows_of, draw)
    return MethodsBenchmark(rows, against, sentences(rows, against), evaluation, prepared.folder)


def _named(against: str | None, methods: Sequence[str]) -> str | None:
    """The reference by its name in the run; raises UsageError for one that is not among the methods."""
    if against is None or against in methods:
        return against
    entry = METHODS[against].name if against in METHODS else against
    if entry not in methods:
        raise unknown("method of --against: it is not among those chosen", against, methods)
    return entry


def completed(options: BenchmarkMethodsOptions) -> tuple[BenchmarkMethodsOptions, tuple[str, ...]]:
    """The options with the defaults that depend on other options, and notes on what that leaves out.

    * `black=ig`, `mean=ig` and `blur=ig` get that baseline.
    * With masks localisation is measured, where no metrics were named.
    * The imputations are those of metrics that remove pixels and are given none; a single image has no mean.
    """
    settings = dict(options.settings or {})
    for one in choose_methods(options.method, {}):
        if one.alias in _BASELINES and one.entry.name == "ig":
            settings.setdefault(f"{one.alias}.baseline", one.alias)
    changes: dict[str, Any] = {"settings": settings} if settings else {}
    if options.masks is not None and "metric" not in options.given:
        changes["metric"] = ",".join((str(options.metric), *LOCALISATION))
    options = options.but(**changes)
    if "imputation" in options.given:
        return options, ()
    imputation, notes = _imputation(options, settings)
    return options.but(imputation=imputation), notes


def _imputation(options: BenchmarkMethodsOptions, settings: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """The imputations where none were named, and a note on what is left out of them."""
    metrics = choose_metrics(options.metric, None, {})
    given = any(key.endswith(".imputation") for key in settings)
    if given or not any("imputation" in one.entry.options() for one in metrics):
        return None, ()
    images = find_images(listed(sample_images() if options.images is None else options.images))
    if len(images) > 1 or options.references is not None:
        return options.imputation, ()
    fewer = ",".join(name for name in str(options.imputation).split(",") if name != "mean")
    return fewer, ("imputation by the mean is left out: it takes several images, or --references",)
