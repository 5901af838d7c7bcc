"""The use case behind `sig explain`: images, a model and methods in; explanations and a run folder out. No printing."""

from __future__ import annotations

import hashlib
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import torch
from typing_extensions import Unpack

from ..engine.batch_size import auto_batch_size
from ..engine.integrate import CHECK_SHARE
from ..inputs.arrays import find_arrays, is_array_path
from ..inputs.images import find_images
from ..models.loading import load_model
from ..models.model import Model
from ..names import portable
from ..runs.folder import free_folder, open_run, output_folder, run_names
from ..runs.provenance import versions
from ..scores.classifier import Score, Scorer
from ..scores.distance import EmbeddingPairs, ImagePairs
from .explanation import Drawing, Explanation, landed, mend_pictures, write_explanation, write_sheet
from .pipeline import Session, Work
from .samples.arrays import check_options, for_arrays, load_for, told
from .samples.pairs import Partners, find_partners
from .select import (
    Chosen,
    certain,
    check_numbers,
    check_pair,
    check_signs,
    choose_device,
    choose_methods,
    choose_scorer,
    parse_target,
)
from .suited import check_suited

DEFAULT_OUT = "sig-out"
_WRITERS = max(1, min(4, (os.cpu_count() or 2) // 2))
_QUEUE = 16
_UNKNOWN_SIDE = 512  # for models that take images of every size


def prepare(  # noqa: PLR0913 - the whole command, as keywords
    images: str | Path | Sequence[str | Path],
    *,
    model: str = "shapes",
    weights: str | None = None,
    method: str | Sequence[str] = "sig",
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    players: str | None = None,
    baseline: str | None = None,
    target: str | int = "top",
    output: str = "logit",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    seed: int = 0,
    references: str | Path | Sequence[str | Path] | None = None,
    partner: str | Path | None = None,
    size: str | int | tuple[int, int] | None = None,
    resize: int | None = None,
    crop: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    class_names: str | Path | None = None,
    mask_certainty: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    write: bool = True,
    uncertainty: bool = False,
    smooth: float | None = None,
    pictures: bool = True,
    signs: str = "together",
    check: str = "sampled",
    verify: Callable[[Model], None] | None = None,
) -> Session:
    """Check everything that can be checked, load the model and open the run folder. Arguments as in `explain`.

    `verify` is called with the loaded model before the run folder is opened: what it raises leaves an earlier run as it was.
    """
    check_numbers(smooth, batch_size, resize, crop, check)
    check_signs(signs)
    shared = {name: value for name, value in (("players", players), ("baseline", baseline)) if value is not None}
    chosen = choose_methods(method, {**shared, **(settings or {})}, preset)
    listed = [images] if isinstance(images, (str, Path)) else list(images)
    compared = [references] if isinstance(references, (str, Path)) else references
    find = find_arrays if any(map(is_array_path, listed)) else find_images
    paths, reference_paths = find(listed), None if compared is None else find(list(compared))
    check_pair(partner, model, output, target)
    second = None if partner is None else find_partners(partner, paths)
    place = choose_device(device)
    if find is find_arrays:
        check_options(
            size=size, resize=resize, crop=crop, mean=mean, std=std, partner=partner, smooth=smooth,
            mask_certainty=mask_certainty,
        )  # fmt: skip
        chosen = for_arrays(chosen)
        loaded = load_for(model, paths, chosen, reference_paths, weights=weights, device=place, class_names=class_names)
        loaded = told(loaded, output)
    else:
        loaded = load_model(
            model, weights=weights, device=place, size=size, resize=resize, crop=crop, mean=mean, std=std,
            class_names=class_names, pair=partner is not None, picture=paths[0],
        )  # fmt: skip
        loaded = certain(loaded, chosen, mask_certainty, pair=partner is not None)
    check_suited(loaded, chosen)
    partners = None if second is None else Partners(*second, loaded)
    scorer = choose_scorer(loaded, output, precision, partners)
    aim = parse_target(target, loaded.labels, loaded.classes)
    if verify is not None:
        verify(loaded)
    spec = _spec(
        loaded,
        chosen,
        scorer,
        target=target,
        seed=seed,
        uncertainty=uncertainty,
        check=check,
        images=paths if reference_paths is None else reference_paths,
    )
    if partners is not None:
        spec["partners"] = partners.digest()
    if mask_certainty is not None:
        spec["mask_certainty"] = file_digest(mask_certainty)
    run = None
    if write:
        kept = {
            "model": _lasting(model), "weights": _lasting(weights), "size": size, "resize": resize, "crop": crop,
            "mean": mean, "std": std, "class_names": _lasting(class_names), "output": output, "precision": precision,
            "seed": seed, "mask_certainty": _lasting(mask_certainty),
        }  # fmt: skip
        manifest = _manifest(spec, kept, loaded, paths, reference_paths, smooth) | {"signs": signs}
        if partners is not None:
            manifest["partners"] = [portable(os.path.abspath(partners.paths[number])) for number in partners.numbers]
        folder = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=resume)
        run = open_run(folder, manifest, resume=resume, overwrite=overwrite, images=run_names(paths))
    return Session(
        paths, loaded, chosen, scorer, aim, seed,
        batch_size or _batch_size(scorer, loaded),
        run, Drawing(smooth, pictures, signs), reference_paths, uncertainty, 1 if check == "all" else CHECK_SHARE, partners,
        most=batch_size,
    )  # fmt: skip


class Options(TypedDict, total=False):
    """Keyword options of `explain`; each has the name of the command's option."""

    model: str
    """shapes (bundled), a torchvision name, a TorchScript or .pt2 file, timm/NAME or package.module:factory."""
    weights: str | None
    """DEFAULT, a torchvision weights name, none, or a file; see `sigcli.models.loading.load_model`."""
    method: str | Sequence[str]
    """Names of methods, see `sig list methods`."""
    settings: Mapping[str, Any] | None
    """Options of methods: {"samples": 512} for all that have it, {"sig.samples": 512} for one."""
    preset: str | None
    """"paper": the methods as the papers run them; None for the defaults by measurement."""
    players: str | None
    """Partition for every method that has one, see `sigcli.players.FORMS`."""
    baseline: str | None
    """Default sample x' for every method that has one, see `sig list baselines`."""
    target: str | int
    """"top", "top:K", a class index or a label."""
    output: str
    """"logit", "prob" or "logprob": the score that is explained, and the unit of the values; for pairs of images
    "distance" (the default there) or "cosine-distance", of which minus the distance is explained."""
    device: str
    """"auto", "cpu", "cuda", "cuda:1" or "mps"."""
    precision: str
    """"fp32", "tf32", "bf16" or "fp16"."""
    batch_size: int | None
    """Images per gradient evaluation of the model; None finds one."""
    seed: int
    """Fixes every random draw."""
    references: str | Path | Sequence[str | Path] | None
    """Images for means, random baselines and Expected Gradients; by default those explained."""
    partner: str | Path | None
    """The second image of a pair, held fixed: an image for all, or a folder with one of the same name for each."""
    size: str | int | tuple[int, int] | None
    """The network's input in pixels: a number, or HEIGHTxWIDTH such as "60x80"; in place of `crop`."""
    resize: int | None
    """Shorter side in pixels before the crop."""
    crop: int | None
    """Side of the centre crop in pixels."""
    mean: tuple[float, ...] | None
    """Normalisation, where pixels are 0..1."""
    std: tuple[float, ...] | None
    """Normalisation, where pixels are 0..1."""
    class_names: str | Path | None
    """File of class names."""
    mask_certainty: str | Path | None
    """An area of every image that the network is told to know nothing of, see `sigcli.models.wrappers.certainty.masked`."""
    out: str | Path | None
    """Run folder; None is sig-out, or the next free sig-out-N."""
    resume: bool
    """Go on with an interrupted run."""
    overwrite: bool
    """Replace another run in `out`."""
    write: bool
    """False writes nothing."""
    uncertainty: bool
    """Keep the standard error of every value."""
    smooth: float | None
    """σ of the maps in pictures, in pixels; None for the default, 0 for none."""
    pictures: bool
    """Draw PNGs."""
    signs: str
    """"together", or "apart": also pictures of positive and of negative values alone."""
    check: str
    """Completeness check: "sampled" (cheap) or "all" end points."""


def explain(images: str | Path | Sequence[str | Path], **options: Unpack[Options]) -> list[Explanation]:
    """Explain images; returns one `Explanation` per image, target and method, in that order.

    Args:
        images: a path, a folder, a glob pattern, or several of these.
        options: see `Options`.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is no differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    What fails for one image only is in its `Explanation.status` and `error`.
    """
    session = prepare(images, **options)
    return list(stream(session))


def stream(session: Session, *, progress: Callable[[int], None] | None = None) -> Iterator[Explanation]:
    """Carry out a session; yields explanations in order, each once its files and its row stand.

    Args:
        session: from `prepare`.
        progress: called with the number of gradient evaluations of each batch.
    """
    work = Work(session)
    run = session.run
    if run is None:
        yield from (item for item, _ in work.explanations(progress))
        return
    with ThreadPoolExecutor(_WRITERS, "write") as pool:
        writing: deque[tuple[Explanation, list[Future[None]]]] = deque()
        group: list[Explanation] = []
        whole = False
        try:
            for item, last in work.explanations(progress):
                group.append(item)
                if item.resumed:
                    run.keep(item.row())
                write = mend_pictures if item.resumed else write_explanation
                jobs = [pool.submit(write, run, item, session.drawing)]
                if last:
                    heading = f"{item.image}, {session.model.name}"
                    jobs.append(pool.submit(write_sheet, run, group, session.drawing, heading))
                    group = []
                writing.append((item, jobs))
                while len(writing) > _QUEUE or (writing and all(job.done() for job in writing[0][1])):
                    yield landed(run, *writing.popleft())
            while writing:
                yield landed(run, *writing.popleft())
            whole = True
        finally:
            pool.shutdown(wait=True)
            run.settle(work.place, whole=whole)
            run.close()


def _spec(
    model: Model,
    methods: list[Chosen],
    scorer: Scorer | EmbeddingPairs | ImagePairs,
    *,
    target: str | int,
    seed: int,
    images: list[Path],
    uncertainty: bool,
    check: str,
) -> dict[str, Any]:
    """What must agree between a run and its resumption: all that the numbers depend on."""
    spec: dict[str, Any] = {
        "model": model.name,
        "weights": model.weights,
        "weights_hash": model.weights_hash,
        "preprocess": asdict(model.preprocess),
        "methods": {chosen.name: {"method": chosen.entry.name, **chosen.resolved()} for chosen in methods},
        "target": str(target),
        "output": scorer.output,
        "precision": scorer.precision,
        "seed": seed,
        "uncertainty": uncertainty,
        "check": check,
        "files": _option_files(methods),
    }
    if model.head.kind != "logits":
        spec["head"] = model.head.kind
    if any(chosen.uses_peers for chosen in methods):
        listing = "\n".join(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in images)
        spec["references"] = hashlib.blake2b(os.fsencode(listing), digest_size=8).hexdigest()
    return spec


def _option_files(methods: list[Chosen]) -> dict[str, str]:
    """Digest of every file that an option names (label maps, baselines): another content is another run."""
    values = {str(value) for chosen in methods for value in chosen.options.values() if isinstance(value, str)}
    files = sorted(value for value in values if Path(value).suffix and Path(value).is_file())
    return {name: file_digest(name) for name in files}


def file_digest(name: str | Path) -> str:
    """A digest of a file's content; a text that names no file as it is."""
    path = Path(name)
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else str(name)


def _lasting(name: str | Path | None) -> str | None:
    """A file's name as it holds from any folder; other names as they are."""
    if name is None:
        return None
    return portable(os.path.abspath(name)) if Path(name).is_file() else str(name)


def _manifest(
    spec: dict[str, Any],
    options: dict[str, Any],
    model: Model,
    paths: list[Path],
    references: list[Path] | None,
    smooth: float | None,
) -> dict[str, Any]:
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.processor()
    return {
        "spec": spec,
        "options": options,
        "device": f"{model.device} {device}".strip(),
        "versions": versions(),
        "classes": model.classes,
        "notes": list(model.notes),
        "images": [portable(os.path.abspath(path)) for path in paths],
        "references": None if references is None else [portable(str(path)) for path in references],
        "smooth": smooth,
    }


def _batch_size(scorer: Score, model: Model) -> int:
    height, width = model.preprocess.size or (_UNKNOWN_SIDE, _UNKNOWN_SIDE)
    device = torch.device("cpu") if model.lacks else model.device  # without a gradient there is nothing to measure
    return auto_batch_size(scorer, (model.preprocess.channels, height, width), device)
