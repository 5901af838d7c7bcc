"""`sig benchmark methods` as a library: which method is best on these images? No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..attribution.rehearsal import rehearse
from ..attribution.samples import Pictures
from ..attribution.select import Chosen, choose_methods, choose_metrics
from ..attribution.suited import check_suited
from ..door import door
from ..engine.failures import attempted
from ..engine.modes import own_modes
from ..errors import SigError, UsageError, unknown
from ..inputs.given import listed
from ..inputs.images import find_images
from ..inputs.samples import sample_images
from ..listener import SILENT, Listener
from ..methods import METHODS
from ..methods.run import attributions
from ..models.model import Model
from ..options import table
from ..runs.folder import output_folder, refuse_strangers, run_names, save_table, take
from .benchmark import Costs, first_subject, warm_up
from .evaluate import Evaluation, carry_out
from .methods_table import methods_rows
from .methods_words import sentences
from .options import LOCALISATION, BenchmarkMethodsOptions
from .prepare import Prepared, prepare_evaluation, searched
from .tables import Row

TABLE = "methods.csv"
FILES = (TABLE, "methods.png", "methods-cost.png")
"""Table and figures of the benchmark, besides those of the evaluation."""
EVALUATIONS = 256
"""Evaluations of each method for a map, unless the user says otherwise."""
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
    measured, too. The options `black=ig`, `mean=ig` and `blur=ig` have that baseline unless they are given another.

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
    suited = None if "method" in options.given else Suited(options.seed, wanted)
    prepared = prepare_evaluation(options, suited=suited)
    left_out = (*passed_over, *fewer, *(suited.notes if suited is not None else ()))
    session = replace(prepared.session, alone=options.timing == "alone")
    against = session.methods[0].name if wanted is None else wanted
    take(prepared.folder, FILES)
    prepared = replace(prepared, session=session, left_out=left_out)
    listener.begin(prepared.items, prepared.notes, prepared.folder)
    return _carried_out(prepared, against, listener)


def _carried_out(prepared: Prepared, against: str, listener: Listener) -> MethodsBenchmark:
    session, folder = prepared.session, prepared.folder
    warm_up(session)
    costs = Costs(listener)
    evaluation = carry_out(prepared, costs)
    images = [name for name, _ in run_names(session.paths)]
    rows = methods_rows(evaluation.values, costs.found, images, against, session.seed)
    save_table(folder / TABLE, rows)
    for name in FILES[1:]:  # an earlier benchmark of this run stands until then
        (folder / name).unlink(missing_ok=True)
    if session.drawing.pictures:
        from ..render.plots.methods import draw_methods

        draw_methods(rows, folder)
    return MethodsBenchmark(rows, against, sentences(rows, against), evaluation, folder)


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
    * Every method gets as many evaluations, where the version has that option.
    """
    settings = dict(options.settings or {})
    for one in choose_methods(options.method, {}):
        if one.alias in _BASELINES and one.entry.name == "ig":
            settings.setdefault(f"{one.alias}.baseline", one.alias)
    changes: dict[str, Any] = {"settings": settings} if settings else {}
    if options.masks is not None and "metric" not in options.given:
        changes["metric"] = ",".join((str(options.metric), *LOCALISATION))
    if "evaluations" in table(type(options)) and "evaluations" not in options.given:
        changes["evaluations"] = EVALUATIONS
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


@dataclass
class Suited:
    """Which methods of the standard set network and images allow.

    Args:
        seed: seed of the run.
        wanted: the reference, which cannot be left out.
        notes: what is left out and why, once it was called.
    """

    seed: int
    wanted: str | None = None
    notes: list[str] = field(default_factory=list)

    def __call__(self, samples: Pictures, model: Model, methods: list[Chosen]) -> list[Chosen]:
        """Those that can be used.

        Raises:
            UsageError: none can, or the reference cannot.
        """
        found = []
        for one in methods:
            why = self._obstacle(samples, model, one)
            if why is None:
                found.append(one)
            elif one.name == self.wanted:
                raise UsageError(f"nothing can be compared with {one.name}: {why}")
            else:
                self.notes.append(f"{one.name} is left out: {why}")
        if not found:
            raise UsageError("none of the standard methods can explain this network", hint="Name others with --method.")
        return found

    def _obstacle(self, samples: Pictures, model: Model, one: Chosen) -> str | None:
        """Why a method cannot be used, in words; None where it can."""
        if one.uses_peers and len(samples.compared) < 2:
            return "it compares an image with others, and there is one image (--references names more)"
        scorer = samples.scorer(model)
        try:
            check_suited(model, [one], samples)
            rehearse(samples, model, [one], scorer, self.seed)
        except UsageError as error:
            return _first_line(error)
        if one.entry.properties["needs"] != "hooks":
            return None
        subject = first_subject(samples.sources, model, self.seed)
        if subject is None:  # no picture can be read, which is told of each
            return None
        tried = attempted(lambda: list(attributions(one.entry, one.options, scorer, [subject], batch_size=1)))
        return _first_line(tried) if isinstance(tried, SigError) else None


def _first_line(error: SigError) -> str:
    return str(error).partition("\n")[0].rstrip(".")
