"""How well a network uses certainty, measured on a folder of images: the checks of [ICG] A.3.1 as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution.decoding import run_names
from ..attribution.select import Chosen
from ..attribution.session import Session
from ..errors import ImageError, UsageError
from ..inputs.images import read_image
from ..metrics import certainty as checks
from ..models.model import Model
from ..models.wrappers.certainty import Aware, takes_none

MOST = 512
"""Images that the checks look at, the first of the run."""


def split_checks(model: Model, metrics: Sequence[Chosen]) -> tuple[list[Chosen], list[Chosen]]:
    """Metrics of maps, and those of what the network makes of certainty; UsageError for the latter where it takes none."""
    checks = [chosen for chosen in metrics if chosen.entry.properties["scope"] == "model"]
    if checks and not model.certainty:
        raise takes_none(f"the metric {checks[0].name}", model.name)
    return [chosen for chosen in metrics if chosen not in checks], checks


def judge_certainty(
    session: Session, chosen: Sequence[Chosen], truth: Mapping[str, int] | None
) -> list[dict[str, Any]]:
    """Rows of `summary.csv` for the chosen checks, over the first 512 images.

    Args:
        session: the session whose network is asked, about whose images.
        chosen: which of the metrics `information-absence` and `neutrality`.
        truth: image → class; neutrality is measured from the frequencies of the classes, or without truth from the mean
            prediction of the images, as in [ICG] A.3.1.

    Raises:
        UsageError: fewer than two images can be read, or images of different sizes.
    """
    if not chosen:
        return []
    if not isinstance(session.model.module, Aware):
        raise takes_none(f"the metric {chosen[0].name}", session.model.name)
    network = _on_device(session.model.module.inner, session.model.device)
    x, labels, failed = _inputs(session, truth)
    known = {
        "network": network, "images": x, "head": session.model.head, "size": session.passed(checks.BATCH),
        "class_shares": _shares(session, x, labels),
    }  # fmt: skip
    return [_row(one, float(_measured(one, known)), len(x), failed) for one in chosen]


def _measured(one: Chosen, known: Mapping[str, Any]) -> float:
    return one.entry.load()(*(known[name] for name in one.entry.properties["takes"]), **one.options)


def _row(one: Chosen, value: float, count: int, failed: int) -> dict[str, Any]:
    facts = one.entry.properties
    return {
        "method": "", "minus": "", "metric": one.name, "imputation": "", "unit": facts["unit"],
        "better": "higher" if facts["higher_is_better"] else "lower", "mean": value, "ci_low": None, "ci_high": None,
        "interval": "", "n": count, "failed": failed,
    }  # fmt: skip


def _on_device(network: checks.CertaintyModel, device: torch.device) -> checks.CertaintyModel:
    """A network that takes images and certainty from the host, so no more than a batch of them is on its device."""
    return lambda x, c: network(x.to(device), c.to(device)).to(x.device)


def _inputs(session: Session, truth: Mapping[str, int] | None) -> tuple[Tensor, list[int], int]:
    """Images as the network takes them (N, C, H, W), the known classes, and how many could not be read."""
    found: list[Tensor] = []
    labels: list[int] = []
    failed = 0
    for (name, _), path in list(zip(run_names(session.every_path), session.every_path, strict=True))[:MOST]:
        try:
            found.append(session.model.preprocess(read_image(path).pixels))
        except ImageError:
            failed += 1
            continue
        label = None if truth is None else truth.get(name)
        labels += [] if label is None else [label]
    if len(found) < 2 or len({x.shape for x in found}) > 1:
        raise UsageError(
            "the certainty metrics need at least two images, all of one size", given=f"{len(found)} images"
        )
    return torch.stack(found).cpu(), labels, failed


def _shares(session: Session, x: Tensor, labels: Sequence[int]) -> Tensor:
    head, device = session.model.head, session.model.device
    if labels:
        return torch.bincount(torch.tensor(labels), minlength=head.classes(session.model.classes)) / len(labels)
    passed = session.passed(checks.BATCH).parts(
        len(x), x.shape[1:], lambda part: head.answers(session.classifier.outputs(x[part].to(device))).to(x)
    )
    return torch.cat([found for _, found in passed]).mean(0)
