"""sig: explain image classifiers with Shapley Integrated Gradients and everything it is compared with.

`explain`, `evaluate`, `benchmark`, `benchmark_methods`, `merge`, `export`, `report`, `train`, `run_gridworld` and
`run_scenario` each run one command as a function call: with options as arguments, or with options and a `Listener`.
`sigcli.captum` has captum's interface for every path method, `quantus_explain` is an `explain_func` for Quantus.
torch is imported on first use, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

__all__ = [
    "BenchmarkMethodsOptions",
    "BenchmarkOptions",
    "EvaluateOptions",
    "ExplainOptions",
    "Explanation",
    "ExportOptions",
    "GridworldOptions",
    "Listener",
    "MergeOptions",
    "ReportOptions",
    "ShapleyIntegratedGradients",
    "TrainOptions",
    "Verdict",
    "__version__",
    "benchmark",
    "benchmark_methods",
    "evaluate",
    "explain",
    "export",
    "iter_explain",
    "merge",
    "quantus_explain",
    "report",
    "run_gridworld",
    "run_scenario",
    "train",
]

if TYPE_CHECKING:
    from .attribution.explain import explain, iter_explain
    from .attribution.explanation import Explanation
    from .attribution.options import ExplainOptions
    from .captum.shapley import ShapleyIntegratedGradients
    from .evaluation.benchmark import benchmark
    from .evaluation.evaluate import evaluate
    from .evaluation.merge import merge
    from .evaluation.methods_benchmark import benchmark_methods
    from .evaluation.options import BenchmarkMethodsOptions, BenchmarkOptions, EvaluateOptions, MergeOptions
    from .gallery.options import ReportOptions
    from .gallery.report import report
    from .gridworld.options import GridworldOptions
    from .gridworld.run import run_gridworld
    from .interop.export import export
    from .interop.options import ExportOptions
    from .interop.quantus import quantus_explain
    from .listener import Listener
    from .scenarios.scenario import Verdict, run_scenario
    from .training.options import TrainOptions
    from .training.train import train

_PUBLIC = {
    "explain": ".attribution.explain",
    "iter_explain": ".attribution.explain",
    "evaluate": ".evaluation.evaluate",
    "benchmark": ".evaluation.benchmark",
    "benchmark_methods": ".evaluation.methods_benchmark",
    "ShapleyIntegratedGradients": ".captum.shapley",
    "Explanation": ".attribution.explanation",
    "ExplainOptions": ".attribution.options",
    "EvaluateOptions": ".evaluation.options",
    "BenchmarkMethodsOptions": ".evaluation.options",
    "BenchmarkOptions": ".evaluation.options",
    "GridworldOptions": ".gridworld.options",
    "Listener": ".listener",
    "MergeOptions": ".evaluation.options",
    "export": ".interop.export",
    "ExportOptions": ".interop.options",
    "quantus_explain": ".interop.quantus",
    "merge": ".evaluation.merge",
    "report": ".gallery.report",
    "ReportOptions": ".gallery.options",
    "TrainOptions": ".training.options",
    "Verdict": ".scenarios.scenario",
    "run_gridworld": ".gridworld.run",
    "run_scenario": ".scenarios.scenario",
    "train": ".training.train",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "captum":
        return import_module(".captum", __name__)
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sigcli' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, "captum"})
