"""Throughput of removal metrics: `sig evaluate` on arrays made before, beside the bare forward loop on ready-made batches.

The evaluation decodes the images, loads the arrays, orders their pixels, alters the images, and writes its tables; the bare
loop runs the same model on as many images of the same size that lie ready. Its halves stand before and after the evaluation,
so that a machine that slows down does so for both.

python benchmarks/removal.py --images ../shared/real/images ../shared/real/imagenet50 ../shared/real/coco/images
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import REAL, machine, model, report

from sigcli.attribution.decoding import run_names
from sigcli.engine.allocator import keep_freed_memory
from sigcli.evaluation.evaluate import carry_out
from sigcli.evaluation.measure import BATCH
from sigcli.evaluation.options import EvaluateOptions
from sigcli.evaluation.prepare import prepare_evaluation
from sigcli.inputs.images import find_images
from sigcli.runs.folder import save_array
from sigcli.scores.classifier import ClassScore

METRICS = "deletion,insertion,iaccuracy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--images", nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=10**6, help="only so many of the images")
    parser.add_argument("--methods", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    paths = find_images(args.images)[: args.limit]
    weights = REAL / "weights" / f"{args.network}_imagenet.pt"
    with tempfile.TemporaryDirectory() as place:
        arrays = Path(place, "arrays")
        _make_arrays(paths, arrays, args.methods)
        prepared = prepare_evaluation(EvaluateOptions(
            paths, model=args.network, weights=str(weights) if weights.exists() else "none",
            metric=METRICS, attributions=arrays, out=Path(place, "out"), device=args.device, target=0, pictures=False,
        ))  # fmt: skip
        scorer = ClassScore(model(args.network, args.device).module, "logit", "fp32")
        ready = torch.rand(BATCH, 3, 224, 224, device=args.device)
        forwards = len(paths) * args.methods * 3 * 51
        scorer.outputs(ready)
        before = _timed(lambda: [scorer.outputs(ready) for _ in range(forwards // BATCH // 2)])
        found: list[object] = []
        measured = _timed(lambda: found.extend(carry_out(prepared).values))
        after = _timed(lambda: [scorer.outputs(ready) for _ in range(forwards // BATCH // 2)])
    failed = sum(bool(getattr(figure, "error", "")) for figure in found)
    bare = [forwards // BATCH // 2 * 2 * BATCH / (a + b) for a, b in zip(before, after, strict=True)]
    ours = [forwards / seconds for seconds in measured]
    head = {
        "network": args.network,
        "images": len(paths),
        "methods": args.methods,
        "figures": len(found),
        "failed": failed,
    }
    report(args.out, [
        {**head, "clock": clock, "forwards": forwards, "bare_per_s": f"{b:.1f}", "evaluate_per_s": f"{o:.1f}",
         "ratio": f"{o / b:.3f}", "machine": machine(args.device)}
        for clock, b, o in zip(("wall", "processor"), bare, ours, strict=True)
    ])  # fmt: skip


def _make_arrays(paths: list[Path], folder: Path, methods: int) -> None:
    """Random maps: what is in them does not matter for the time."""
    generator = np.random.default_rng(0)
    for _, stem in run_names(paths):
        for i in range(methods):
            save_array(folder / stem / f"m{i}.npy", generator.standard_normal((3, 224, 224)))


def _timed(work: object) -> tuple[float, float]:
    """Wall time and processor time of a call, in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    assert callable(work)
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
