"""`sig benchmark images` as a library: time and quality of each method over growing numbers of images. No printing.

One pass serves all counts: the images stand in an order fixed by the seed, the largest count is explained and measured once,
and every smaller count is a statistic of the first images of that order ([SIG] Figs 9 and 12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from PIL import Image

from .. import draws
from ..attribution.explanation import Explanation
from ..door import door
from ..engine.modes import own_modes
from ..errors import UsageError
from ..gallery.live import refresh
from ..inputs.given import Source, listed
from ..inputs.images import find_images
from ..inputs.samples import sample_images
from ..listener import SILENT, Listener
from ..runs.folder import FolderLock, output_folder, refuse_strangers, run_names, save_table, take
from .benchmark_tables import Spent, benchmark_rows, spent
from .evaluate import Evaluation, carry_out
from .options import BenchmarkOptions
from .prepare import Prepared, prepare_evaluation, searched
from .tables import Row
from .value import MetricValue
from .warming import warm_up

TABLE = "benchmark.csv"
FILES = (TABLE, "time.png", "counts.png", "quality-cost.png")
"""Tables and figures of the benchmark, besides those of the evaluation."""
_HALVINGS = 3


@dataclass(frozen=True, eq=False, repr=False)
class Benchmark:
    """Results of a benchmark.

    Args:
        rows: those of `benchmark.csv`, by count, method, metric and imputation.
        counts: numbers of images, increasing.
        images: names of the images in the order of the benchmark; each count takes the first of them.
        evaluation: evaluation of the largest count.
        folder: where tables and figures are.
    """

    rows: list[Row]
    counts: tuple[int, ...]
    images: list[str]
    evaluation: Evaluation
    folder: Path

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw the seconds of each method against the number of images; also write the plot to `path` if given.

        Raises:
            UsageError: no explanation was timed.
        """
        from ..render.plots.benchmark import plot_time

        if not any(row["seconds"] for row in self.rows):
            raise UsageError("the benchmark has no times to plot", hint="No explanation succeeded.")
        return plot_time(self.rows, path)

    def __repr__(self) -> str:
        methods = ", ".join(dict.fromkeys(row["method"] for row in self.rows))
        return f"<Benchmark of {methods} over {', '.join(map(str, self.counts))} images>"


@door(BenchmarkOptions)
@own_modes()
def benchmark(options: BenchmarkOptions, listener: Listener = SILENT) -> Benchmark:
    """Running time and metrics of each method over growing numbers of images.

    Called with options as arguments, or with a `BenchmarkOptions` and a `Listener`:

        benchmark("photos/", model="resnet50", method="sig,ig", counts=[10, 20, 40])

    Each count takes the first images of one order, which depends only on the seed and the images' names, so the sets are
    nested and each is a fair sample. With `timing="alone"`, each explanation has its own batches, so its seconds are its
    own ([SIG] Fig. 9). Mean and random baselines are taken over the images of the largest count, or over `references`.
    Times cover the explanations, without decoding, drawing and measuring. With `resume`, explanations of an earlier run
    are read back with the time that they took then.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.
    """
    if options.out is not None:
        refuse_strangers(output_folder(options.out), FILES, overwrite=options.overwrite)
    options, left_out = searched(options)
    found = find_images(listed(sample_images() if options.images is None else options.images))
    counts = choose_counts(options.counts, len(found))
    prepared = prepare_evaluation(options.but(images=order_images(found, options.seed)[: counts[-1]]))
    take(prepared.folder, FILES)
    session = replace(prepared.session, alone=options.timing == "alone")
    prepared = replace(prepared, session=session, left_out=left_out, counts=counts)
    listener.begin(prepared.items, prepared.notes, prepared.folder)
    return _carried_out(prepared, counts, listener)


class Costs(Listener):
    """Notes what each explanation costs, and tells all to another listener."""

    def __init__(self, listener: Listener):
        self._listener, self.found = listener, list[Spent]()

    def planned(self, evaluations: Mapping[str, int | None]) -> None:
        """What each method will cost."""
        self._listener.planned(evaluations)

    def evaluated(self, images: int) -> None:
        """A batch is done."""
        self._listener.evaluated(images)

    def note(self, text: str) -> None:
        """What came up on the way."""
        self._listener.note(text)

    def explained(self, item: Explanation) -> None:
        """An explanation is done."""
        cost = spent(item)
        self.found.extend([] if cost is None else [cost])
        self._listener.explained(item)


def _carried_out(prepared: Prepared, counts: tuple[int, ...], listener: Listener) -> Benchmark:
    names = [name for name, _ in run_names(prepared.session.every_path)]

    def rows_of(values: Sequence[MetricValue], costs: Sequence[Spent]) -> list[Row]:
        return benchmark_rows(values, costs, names, counts, prepared.session.seed)

    evaluation, rows = costed(prepared, listener, FILES, rows_of, drawn)
    return Benchmark(rows, counts, names, evaluation, prepared.folder)


def drawn(rows: list[Row], folder: Path) -> None:
    """Draw the figures of the benchmark."""
    from ..render.plots.benchmark import draw_benchmark

    draw_benchmark(rows, folder)


def costed(
    prepared: Prepared,
    listener: Listener,
    files: Sequence[str],
    rows_of: Callable[[Sequence[MetricValue], Sequence[Spent]], list[Row]],
    draw: Callable[[list[Row], Path], None],
) -> tuple[Evaluation, list[Row]]:
    """Carry out the evaluation of a benchmark, note what each explanation costs, and write table and figures.

    Args:
        prepared: the evaluation.
        listener: is told of it.
        files: the table's name, then the figures'.
        rows_of: the table's rows, from metric values and costs.
        draw: draws the figures of these rows in a folder.
    """
    session, folder = prepared.session, prepared.folder
    with FolderLock(folder):
        warm_up(session)
        costs = Costs(listener)
        evaluation = carry_out(prepared, costs)
        rows = rows_of(evaluation.values, costs.found)
        write_benchmark(folder, files, rows, draw if session.drawing.pictures else None)
    return evaluation, rows


def write_benchmark(
    folder: Path, files: Sequence[str], rows: list[Row], draw: Callable[[list[Row], Path], None] | None
) -> None:
    """Write the table and the figures of a benchmark; those of an earlier one stand until then.

    Args:
        folder: where they go.
        files: the table's name, then the figures'.
        rows: the table's rows.
        draw: draws the figures; None where none are wanted.
    """
    save_table(folder / files[0], rows)
    for name in files[1:]:
        (folder / name).unlink(missing_ok=True)
    if draw is not None:
        draw(rows, folder)
    refresh(folder)


def order_images(paths: Sequence[Source], seed: int) -> list[Source]:
    """The images in a random order that depends on the seed and their names only.

    Each image gets a random key of its own and they stand in the order of their keys. So the order in which files were
    found has no part in it, and an image more or less leaves the others in their order.

    Args:
        paths: paths of the images.
        seed: seed of the order.
    """
    named = zip((name for name, _ in run_names(paths)), paths, strict=True)
    return [path for _, _, path in sorted((draws.stream(seed, "benchmark", name), name, path) for name, path in named)]


def choose_counts(counts: str | Sequence[int] | None, available: int) -> tuple[int, ...]:
    """The numbers of images, increasing.

    Args:
        counts: as the user gave them; None for an eighth, a quarter, half and all, rounded up, from 2 images.
        available: number of images.

    Raises:
        UsageError: a count that is not an integer, is below 1 or above the number of images, or not increasing.

    >>> choose_counts("10,20,46", 46), choose_counts(None, 46)
    ((10, 20, 46), (6, 12, 23, 46))
    """
    if counts is None:
        ladder = {-(-available // 2**k) for k in range(_HALVINGS + 1)}
        return tuple(sorted(count for count in ladder if count > 1 or available == 1))
    parts = counts.split(",") if isinstance(counts, str) else list(counts)
    given = ",".join(str(part).strip() for part in parts)
    chosen = [_count(part, given) for part in parts]
    if not chosen:
        raise UsageError("no counts given", hint="For example 10,20,40.")
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise UsageError("counts must be strictly increasing", given=given)
    if chosen[-1] > available:
        raise UsageError("a count exceeds the number of images", given=given, allowed=f"up to {available}")
    return tuple(chosen)


def _count(part: str | int, given: str) -> int:
    text = str(part).strip()
    if isinstance(part, bool) or not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError("counts must be integers of at least 1, separated by commas", given=given or "nothing")
    return int(text)
