"""`--log`: a run is logged when it is done, as `sig export` does it; what cannot be logged loses nothing."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from tiny_run import LINE, NET, picture, said, sig

COMMANDS = {
    "explain": ["explain", "in"],
    "evaluate": ["evaluate", "in", "--metric", "sparseness"],
    "benchmark": ["benchmark", "images", "in", "--metric", "sparseness", "--counts", "2"],
}
ASKED = [*LINE, "--method", "ig", "--set", "ig.steps=2", "--no-pictures"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "tiny_net.py").write_text(NET)
    for number in range(2):
        picture(tmp_path / "in" / f"{number}.png", number)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def tracker(monkeypatch):
    """A stand-in for W&B, which notes what it is given; a test may let it refuse."""
    made = types.SimpleNamespace(files=[], summary={}, config={}, asked={}, ended=[], refuses=None)
    run = types.SimpleNamespace(summary=made.summary, config=made.config, id="abc", dir="d", offline=True, url=None)
    run.log = run.log_artifact = lambda _: None
    run.finish = lambda **known: made.ended.append(known)
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.util.spec_from_loader("wandb", None)

    class Artifact:
        def __init__(self, *_, **__):
            pass

        def add_file(self, path, name):
            assert Path(path).is_file()
            made.files.append(name)

    def init(**known):
        if made.refuses:
            raise made.refuses
        made.asked.update(known)
        return run

    module.Artifact, module.Image, module.Settings, module.init = Artifact, str, lambda **known: known, init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_logged_as_the_export_does_it(tracker, command):
    done = sig(*COMMANDS[command], *ASKED, "--out", "run", "--log", "wandb:birds")
    assert done.exit_code == 0, done.output
    assert f"{len(tracker.files)} files logged to birds/abc" in said(done)
    assert tracker.asked["project"] == "birds"
    logged = list(tracker.files), dict(tracker.summary)
    assert "results.csv" in logged[0]
    assert logged[1]["images"] == 2
    assert ("sparseness/ig" in logged[1]) == (command != "explain")
    assert tracker.ended == [{}]
    tracker.files.clear()
    tracker.summary.clear()
    assert sig("export", "run", "--to", "wandb").exit_code == 0
    assert (tracker.files, tracker.summary) == logged


@pytest.mark.parametrize("refused", [RuntimeError("api_key not configured"), ImportError("no module named requests")])
def test_a_run_that_is_refused_stands_and_is_logged_later(tracker, refused):
    tracker.refuses = refused
    done = sig("explain", "in", *ASKED, "--out", "my run", "--log", "wandb:birds")
    assert done.exit_code == 1
    assert "2 done, 0 failed" in said(done)
    assert f"the run was not logged: Weights & Biases refuses the run (given: {refused})" in said(done)
    assert "sig export 'my run' --to wandb --project birds" in said(done)
    tracker.refuses = None
    again = sig("export", "my run", "--to", "wandb", "--project", "birds")
    assert again.exit_code == 0, again.output
    assert "results.csv" in tracker.files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("wandb", "--log wandb needs the package wandb"),
        ("mflow", "Did you mean 'mlflow'"),
        ("npz", "unknown value of --log"),
        ("mlflow:", "--log names no project"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_logged_is_refused_before_the_first_image(monkeypatch, command, given, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    done = sig(
        *COMMANDS[command], "--model", "no/such.pt", "--out", "run", "--log", given
    )  # nor is the model looked at
    assert done.exit_code == 2
    assert message in said(done)
    assert not Path("run").exists()


def test_a_run_folder_elsewhere_is_refused(tracker):
    done = sig("explain", "in", *ASKED, "--out", "memory://bucket/run", "--log", "wandb")
    assert done.exit_code == 2
    assert "--log takes a run folder of this machine (given: --out memory://bucket/run)" in said(done)
