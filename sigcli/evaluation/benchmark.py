"""The use case behind `sig benchmark images`: time and quality of each method over growing numbers of images. No printing.

One pass serves all counts: the images stand in an order fixed by the seed, the largest count is explained and measured once,
and every smaller count is a statistic of the first so many images ([SIG] Figs 9 and 12).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from .. import draws
from ..attribution.explanation import Explanation
from ..attribution.pipeline import Session
from ..engine.integrate import Task, integrate
from ..errors import ImageError, SigError, UsageError, unknown
from ..inputs.images import find_images, read_image
from ..inputs.picture import Picture
from ..methods import METHODS
from ..runs.folder import output_folder, refuse_strangers, run_names, save_table, take
from ..types import Subject
from .benchmark_tables import Spent, benchmark_rows, spent
from .evaluate import Evaluation, Prepared, carry_out, prepare_evaluation
from .tables import Row

TABLE = "benchmark.csv"
FILES = (TABLE, "time.png", "counts.png", "quality-cost.png")
"""Tables and figures of the benchmark, beside those of the evaluation."""
TIMINGS = ("alone", "shared")
_HALVINGS = 3


@dataclass(frozen=True, eq=False)
class PreparedBenchmark:
    """A benchmark that is ready to start; `carry_out_benchmark` does it.

    Args:
        evaluation: of the largest count, its images in the order of the benchmark.
        counts: numbers of images, increasing.
    """

    evaluation: Prepared
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What a benchmark finds.

    Args:
        rows: those of `benchmark.csv`, by count, method, metric and imputation.
        counts: numbers of images, increasing.
        images: names of the images in the order of the benchmark; a count is the first so many.
        evaluation: of the largest count.
        folder: where tables and figures are.
    """

    rows: list[Row]
    counts: tuple[int, ...]
    images: list[str]
    evaluation: Evaluation
    folder: Path


def benchmark_images(
    images: str | Path | Sequence[str | Path],
    *,
    counts: str | Sequence[int] | None = None,
    timing: str = "alone",
    **options: Any,
) -> Benchmark:
    """Running time and metrics of each method over growing numbers of images.

    Args:
        images: a path, a folder, a glob pattern, or several of these.
        counts: numbers of images, increasing ("300,500,800,1000" or [300, 500, 800, 1000]); by default an eighth, a quarter,
            half and all of the images.
        timing: "alone" gives each explanation batches of its own, so that its seconds are its own ([SIG] Fig. 9); "shared"
            lets methods and images share batches, which is faster, and divides the time of a batch by gradient evaluations.
        options: those of `sigcli.evaluation.evaluate.evaluate`, but for `attributions`, whose making nobody timed.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is no differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    Each count is the first so many images of one order, which depends on the seed and the images' names only, so that the
    sets are nested and each is a fair sample. Means and random baselines are taken over the images of the largest count,
    or over `references`. Times are those of the explanations, without decoding, drawing and measuring. Reads explanations of
    an earlier run with `resume`, with the time they took then.
    """
    return carry_out_benchmark(prepare_benchmark(images, counts=counts, timing=timing, **options))


def prepare_benchmark(
    images: str | Path | Sequence[str | Path],
    *,
    counts: str | Sequence[int] | None = None,
    timing: str = "alone",
    **options: Any,
) -> PreparedBenchmark:
    """Check everything that can be checked, load the model and open the run folder. Arguments as in `benchmark_images`."""
    if timing not in TIMINGS:
        raise unknown("timing", timing, TIMINGS)
    if options.get("attributions") is not None:
        raise UsageError("a benchmark makes its attributions, to know what they cost", given="attributions")
    if options.get("out") is not None:
        refuse_strangers(output_folder(options["out"]), FILES, overwrite=bool(options.get("overwrite")))
    found = find_images([images] if isinstance(images, (str, Path)) else list(images))
    chosen = choose_counts(counts, len(found))
    ordered = order_images(found, options.get("seed", 0))
    evaluation = prepare_evaluation(ordered[: chosen[-1]], **options)
    take(evaluation.folder, FILES)
    session = replace(evaluation.session, alone=timing == "alone")
    return PreparedBenchmark(replace(evaluation, session=session), chosen)


def carry_out_benchmark(
    prepared: PreparedBenchmark,
    *,
    progress: Callable[[int], None] | None = None,
    explained: Callable[[Explanation], None] | None = None,
) -> Benchmark:
    """Do a benchmark; its tables and figures stand when it returns.

    Args:
        prepared: from `prepare_benchmark`.
        progress: called with the number of gradient evaluations of each batch.
        explained: called with each explanation.
    """
    session, folder = prepared.evaluation.session, prepared.evaluation.folder
    _warm_up(session)
    costs: list[Spent] = []

    def watch(item: Explanation) -> None:
        cost = spent(item)
        costs.extend([] if cost is None else [cost])
        if explained is not None:
            explained(item)

    evaluation = carry_out(prepared.evaluation, progress=progress, explained=watch)
    names = [name for name, _ in run_names(session.paths)]
    rows = benchmark_rows(evaluation.figures, costs, names, prepared.counts, session.seed)
    save_table(folder / TABLE, rows)
    for name in FILES[1:]:  # an earlier benchmark of this run stands until then
        (folder / name).unlink(missing_ok=True)
    if session.drawing.pictures:
        from ..render.plots.benchmark import draw_benchmark

        draw_benchmark(rows, folder)
    return Benchmark(rows, prepared.counts, names, evaluation, folder)


def _warm_up(session: Session) -> None:
    """Explain the first readable image once by two full batches and forget it, so that no method pays for the first use of
    the model: choosing kernels and allocating memory take seconds.
    """
    preprocess, device = session.model.preprocess, session.model.device
    picture = next((found for found in map(_readable, session.paths) if found is not None), None)
    if picture is None:
        return
    low, high = preprocess.low.to(device), preprocess.high.to(device)
    subject = Subject(preprocess(picture.pixels).to(device), 0, low, high, picture.key, session.seed)
    plan = METHODS["ig"].load()(subject, steps=2 * session.batch_size)
    try:
        list(integrate(session.scorer, [Task(subject, plan)], batch_size=session.batch_size))
    except (SigError, RuntimeError, ValueError):
        return  # whatever is wrong with this image or model is said where the image is explained


def _readable(path: Path) -> Picture | None:
    try:
        return read_image(path)
    except ImageError:
        return None


def order_images(paths: Sequence[Path], seed: int) -> list[Path]:
    """The images in a random order that depends on the seed and their names only.

    Each image gets a random key of its own and they stand in the order of their keys. So the order in which files were
    found has no part in it, and an image more or less leaves the others in their order.

    Args:
        paths: of the images.
        seed: of the order.
    """
    named = zip((name for name, _ in run_names(paths)), paths, strict=True)
    return [path for _, _, path in sorted((draws.stream(seed, "benchmark", name), name, path) for name, path in named)]


def choose_counts(counts: str | Sequence[int] | None, available: int) -> tuple[int, ...]:
    """The numbers of images, increasing.

    Args:
        counts: what the user asked for; None for an eighth, a quarter, half and all, rounded up, from 2 images.
        available: number of images.

    Raises:
        UsageError: no whole number, one below 1 or above the number of images, or not increasing.

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
        raise UsageError("no counts were named", hint="For example 10,20,40.")
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise UsageError("counts must increase, each one once", given=given)
    if chosen[-1] > available:
        raise UsageError("counts ask for more images than there are", given=given, allowed=f"up to {available}")
    return tuple(chosen)


def _count(part: str | int, given: str) -> int:
    text = str(part).strip()
    if isinstance(part, bool) or not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError("counts must be whole numbers of at least 1, separated by commas", given=given or "nothing")
    return int(text)
