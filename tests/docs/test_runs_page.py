"""The commands of docs/runs.md that a scheduler runs: every job of the array, then the merge."""

import re
import shlex
import shutil

from typer.testing import CliRunner

from sigcli.cli.main import app

from repository import ROOT

PAGE = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
JOB, MERGE = re.findall(r"```bash\n(.*?)```", PAGE, re.S)


def test_an_array_of_jobs_and_its_merge_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    names = [f"{number}.png" for number in range(5)]
    for name in names:
        shutil.copy(ROOT / "sample_images" / "star.png", tmp_path / "photos" / name)
    first, last = re.search(r"--array=(\d+)-(\d+)", JOB).groups()
    (command,) = [line for line in JOB.splitlines() if line.startswith("sig ")]
    cheap = ["--set", "ig.steps=2", "--device", "cpu", "--no-pictures"]
    for task in range(int(first), int(last) + 1):
        arguments = shlex.split(command.replace("$SLURM_ARRAY_TASK_ID", str(task)))[1:]
        done = CliRunner().invoke(app, [*arguments, *cheap])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, shlex.split(MERGE)[1:])
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "runs/all/results.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == names
