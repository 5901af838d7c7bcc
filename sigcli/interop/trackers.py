"""A run logged to MLflow or Weights & Biases: parameters, means with intervals, tables and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from ..errors import OutputError, SigError
from ..listener import Listener
from ..version import __version__
from .exported import Exported
from .finished import Finished
from .options import ExportOptions

_LONGEST = 500
"""Characters that MLflow takes for a parameter, whatever its version."""


@contextmanager
def _refusals(what: str, hint: str) -> Iterator[None]:
    """What a tracker raises, as an error of ours."""
    try:
        yield
    except SigError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise OutputError(f"{what} refuses the run", given=told, hint=hint) from error


def mlflow(run: Finished, options: ExportOptions, listener: Listener) -> Exported:
    """Log a run to the store that `MLFLOW_TRACKING_URI` names, else to MLflow's own default.

    Parameters come from the manifest, metrics are the means of `summary.csv` with their intervals, artifacts are tables and
    pictures. The tag `sig` holds our version.
    """
    files = list(run.owned(pictures=options.pictures))
    with _refusals("MLflow", "Set MLFLOW_TRACKING_URI to a server, or to sqlite:///mlflow.db for a file."):
        tracker = import_module("mlflow")
        client = tracker.MlflowClient()
        known = client.get_experiment_by_name(options.project)
        experiment = client.create_experiment(options.project) if known is None else known.experiment_id
        made = client.create_run(experiment, run_name=options.name or run.name, tags={"sig": __version__}).info.run_id
        try:
            for name, value in run.parameters().items():
                client.log_param(made, name, str(value)[:_LONGEST])
            for name, value in run.measures().items():
                client.log_metric(made, name, value)
            for done, name in enumerate(files, 1):
                folder = Path(name).parent.as_posix()
                client.log_artifact(made, str(run.path / name), None if folder == "." else folder)
                listener.stage("logging", done, len(files))
        except BaseException:
            client.set_terminated(made, "FAILED")
            raise
        client.set_terminated(made, "FINISHED")
        where = f"{options.project}/{made} at {tracker.get_tracking_uri()}"
    return Exported("mlflow", where, None, len(files))


def wandb(run: Finished, options: ExportOptions, listener: Listener) -> Exported:
    """Log a run to Weights & Biases; with `WANDB_MODE=offline`, to files that `wandb sync` sends later.

    The manifest is the configuration, means with their intervals are the summary, tables and pictures one artifact; sheets
    of all methods are also logged as images.
    """
    files = list(run.owned(pictures=options.pictures))
    sheets = [name for name in files if name.endswith("/compare.png")]
    hint = "Run 'wandb login', or set WANDB_MODE=offline and send it later with 'wandb sync'."
    with _refusals("Weights & Biases", hint):
        tracker = import_module("wandb")
        settings = tracker.Settings(silent=True, console="off")
        made = tracker.init(
            project=options.project, name=options.name or run.name, config=run.parameters(), settings=settings,
            mode=os.environ.get("WANDB_MODE") or "online",
        )  # fmt: skip
        try:
            made.summary.update(run.measures())
            made.config.update({"sig": __version__})
            artifact = tracker.Artifact(_plain(f"sig-{run.name}"), type="sig-run")
            for done, name in enumerate(files, 1):
                artifact.add_file(str(run.path / name), name)
                listener.stage("logging", done, len(files))
            made.log_artifact(artifact)
            if sheets:
                made.log({name.removesuffix(".png"): tracker.Image(str(run.path / name)) for name in sheets})
            where = f"{options.project}/{made.id} in {made.dir}" if made.offline else str(made.url)
        except BaseException:
            made.finish(exit_code=1)
            raise
        made.finish()
    return Exported("wandb", where, None, len(files))


def _plain(name: str) -> str:
    """A name that W&B takes for an artifact."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)[:128]
