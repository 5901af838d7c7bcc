"""Run folders, files of options and checkpoints, for `fuzzing`: everything of sig's own that it reads again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from damage import damage, damage_lines, json_damage
from good_files import pictures

Damage = Callable[[bytes, random.Random], bytes]
Made = tuple[dict[str, bytes], Callable[[Path], None], tuple[str, ...], Damage]
"""Files, what reads them, which of them is damaged, and how: the arguments of a `Target`."""
CPU = ("--device", "cpu")
GRADIENTS = ("--method", "gradient,ig", "--set", "ig.steps=2")
MEASURED = ("--metric", "sparseness,deletion", "--set", "deletion.steps=2", "--no-pictures")
COMMANDS = {
    "explain": ("explain", "ROOT/in", *GRADIENTS, "--out", "ROOT/out", "--resume", *CPU),
    "evaluate": ("evaluate", "ROOT/out", *MEASURED, "--resume", *CPU),
    "report": ("report", "ROOT/out", "--out", "ROOT/page.html"),
    "saved": ("evaluate", "ROOT/in", "--attributions", "ROOT/out", *MEASURED, "--out", "ROOT/new", *CPU),
    "export": ("export", "ROOT/out", "--format", "npz", "--out", "ROOT/new.npz"),
    "fiftyone": ("export", "ROOT/out", "--format", "fiftyone", "--out", "ROOT/new"),
    "merge": ("merge", "ROOT/shards/1", "ROOT/shards/2", "--out", "ROOT/new"),
    "repeat": ("explain", "ROOT/in", "--config", "ROOT/out/manifest.json", "--out", "ROOT/new", "--no-pictures", *CPU),
    "train": ("train", "ROOT/classes", "--arch", "small-cnn", "--image-size", "16", "--epochs", "2", "--batch-size", "4",
              "--out", "ROOT/net", "--resume", "--no-pictures", *CPU),
}  # fmt: skip
TRIAL = "trial"
"""Folder of a trial below that of all: runs are made there, since their manifests hold its path."""
NEW = {"page.html", "page-files", "new", "new.npz"}
"""What commands leave beside the folders that were there."""
WAYS: dict[str, Damage] = {
    "manifest.json": json_damage, "results.csv": damage, "files.jsonl": damage_lines, "metrics.jsonl": damage_lines,
    "evaluation.json": json_damage, "metrics.csv": damage, "summary.csv": damage, "curves.csv": damage,
    "predictions.csv": damage, "a/gradient.npy": damage, "a/gradient.png": damage, "a/compare.png": damage,
    "gallery/data.js": damage, "index.html": damage, "shard.jsonl": damage_lines,
}  # fmt: skip
RECORDS = ("manifest.json", "files.jsonl", "results.csv")
READS = {
    "explain": (*RECORDS, "predictions.csv", "a/gradient.npy", "a/gradient.png", "gallery/data.js", "index.html",
                "a/compare.png"),
    "evaluate": (*RECORDS, "metrics.jsonl", "evaluation.json", "a/gradient.npy", "index.html"),
    "report": (*RECORDS, "metrics.csv", "summary.csv", "curves.csv", "predictions.csv", "a/gradient.npy",
               "a/gradient.png", "gallery/data.js"),
    "saved": ("manifest.json", "files.jsonl", "a/gradient.npy"),
    "export": (*RECORDS, "summary.csv", "a/gradient.npy"),
    "fiftyone": (*RECORDS, "a/gradient.npy"),
    "merge": (*RECORDS, "metrics.jsonl", "evaluation.json", "shard.jsonl", "predictions.csv"),
    "repeat": ("manifest.json",),
}  # fmt: skip
CONFIGS = (
    b'images = ["in"]\nmodel = "shapes"\nmethod = "sig,ig"\nseed = 3\nmean = "0.5,0.5,0.5"\nbatch-size = 4\n'
    b'[explain]\nset = {steps = 5, "ig.steps" = 4}\ntolerance = 0.1\nview = "smooth:4"\n',
    b'method = ["ig", "sig"]\nset = ["steps=5"]\nresume = true\nimage_size = "32x48"\nmask-certainty = "0,0,4,4"\n'
    b"[benchmark.images]\nseed = 4\n[evaluate]\nmetric = 'deletion'\n",
)


def sig(*arguments: str) -> None:
    """Run a command that must succeed."""
    from typer.testing import CliRunner

    from sigcli.cli.main import app

    ended = CliRunner().invoke(app, list(arguments))
    assert ended.exit_code == 0, ended.output


def _rooted(command: tuple[str, ...], root: Path) -> list[str]:
    return [one.replace("ROOT", str(root)) for one in command]


def runs(folder: Path) -> dict[str, Made]:
    """A finished run and two shards of one, each of their files damaged before each command that reads it."""
    files = _made(folder / TRIAL)
    made: dict[str, Made] = {}
    for command, names in READS.items():
        at = "shards/1" if command == "merge" else "out"
        for name in names:
            assert f"{at}/{name}" in files, (command, name)
            made[f"run/{command}-{name.replace('/', '-')}"] = (
                files, reader(command, at + "/" + name), (f"{at}/{name}",), WAYS[name],
            )  # fmt: skip
    return made


def _made(root: Path) -> dict[str, bytes]:
    """The files of finished runs, small and made once."""
    for name, content in pictures().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    for command in ("explain", "evaluate"):  # with pictures
        sig(*(one for one in _rooted(COMMANDS[command], root) if one != "--resume"))
    line = _rooted(("benchmark", "images", "ROOT/in", *GRADIENTS, *MEASURED, *CPU), root)
    for number in "12":
        sig(*line, "--shard", f"{number}/2", "--out", f"{root}/shards/{number}")
    return _taken(root)


def _taken(root: Path) -> dict[str, bytes]:
    """The files below a folder, which is removed."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    shutil.rmtree(root)
    return found


def reader(command: str, damaged: str) -> Callable[[Path], None]:
    """Run a command over the folder of a trial; how it ends and what it leaves must be as for any user's folder.

    Args:
        command: of `COMMANDS`.
        damaged: the damaged file, relative to the folder of the trial.
    """

    def run(path: Path) -> None:
        from typer.testing import CliRunner

        from sigcli.cli.main import app
        from sigcli.errors import UsageError

        root = path.parents[len(Path(damaged).parts) - 1]
        before = {one.name for one in root.iterdir()}
        ended = CliRunner().invoke(app, _rooted(COMMANDS[command], root))
        said = ended.stderr + ended.stdout
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        assert ended.exit_code in (0, 1, 2), ended.exit_code
        assert "unexpected" not in said, said[said.index("unexpected") :][:300]
        assert "sigcli/" not in said, said[:500]
        assert "Traceback" not in said, said[:300]
        strange = {one.name for one in root.iterdir()} - before - NEW
        assert not strange, f"something stands outside of the run: {strange}"
        assert not list(root.rglob("*.part")), "something was left half written"
        if ended.exit_code == 2:
            raise UsageError("refused")

    return run


def configs(folder: Path) -> dict[str, Made]:
    """Files of `--config`, for each command that reads one."""
    made: dict[str, Made] = {}
    for number, text in enumerate(CONFIGS):
        for command in ("explain", "evaluate", "benchmark.images"):
            made[f"config/{command}-{number}"] = ({"c.toml": text}, _options_of(command), ("c.toml",), damage)
    return made


def _options_of(command: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        from sigcli.attribution.options import ExplainOptions
        from sigcli.cli.config import read_config
        from sigcli.evaluation.options import BenchmarkOptions, EvaluateOptions
        from sigcli.options import checked

        kinds = {"explain": ExplainOptions, "evaluate": EvaluateOptions, "benchmark.images": BenchmarkOptions}
        given, note = read_config(path, kinds[command], command, ())
        note.encode()
        repr(checked(kinds[command](**{"images": "in", **given})))

    return read


def trainings(folder: Path) -> dict[str, Made]:
    """A training that was stopped, and what it goes on from damaged."""
    root = folder / TRIAL
    for number in range(12):
        place = root / "classes" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pictures()["in/" + ("a.png", "b.png")[number % 2]])
    kept = _stopped(root)
    files = _taken(root)
    ways: dict[str, Damage] = {"net/manifest.json": json_damage, kept: damage}
    return {f"train/{Path(name).name}": (files, reader("train", name), (name,), how) for name, how in ways.items()}


def _stopped(root: Path) -> str:
    """Train, and bring back the last checkpoint in place of the network; its name."""
    from sigcli.training import train

    kept: list[Path] = []
    unlink = Path.unlink

    def keep(path: Path, *args: object, **known: object) -> None:
        if path.name == train.CHECKPOINT:
            kept.append(Path(shutil.copy(path, root / "kept")))
        unlink(path, *args, **known)  # type: ignore[arg-type]

    Path.unlink = keep  # type: ignore[method-assign]
    try:
        sig(*(one for one in _rooted(COMMANDS["train"], root) if one != "--resume"))
    finally:
        Path.unlink = unlink  # type: ignore[method-assign]
    assert kept
    for name in (train.NETWORK, train.TABLE):
        (root / "net" / name).unlink()
    (root / "kept").rename(root / "net" / train.CHECKPOINT)
    return f"net/{train.CHECKPOINT}"
