"""docs/evaluate.md: its commands run, its example lines are what they write, and it names every column of every file."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.evaluation.evaluate import FILES

from repository import ROOT

DOCS = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- example: (.*?) -->\n```\w+\n(.*?)\n```", DOCS, re.S)
TABLES = ["metrics.csv", "summary.csv", "curves.csv", "agreement.csv", "model.csv"]


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", DOCS, re.S)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def section(name):
    """The part of the page under the heading of a file."""
    return DOCS.split(f"\n## {name}\n")[1].split("\n## ")[0]


def alike(one, other):
    """Whether two cells are the same text, or numbers that differ by rounding on another machine."""
    try:
        return float(one) == pytest.approx(float(other), rel=0.02, abs=2e-3)
    except ValueError:
        return one == other


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder in which the page's commands ran, one after another, with a copy of what the first one left."""
    home = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "sample_images", home / "sample_images")
    for name, text in re.findall(r"<!-- file: (.*?) -->\n```csv\n(.*?)```", DOCS, re.S):
        (home / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for i, command in enumerate(commands()):
            words = shlex.split(command)
            assert words[0] == "sig"
            quick = ["--device", "cpu"] if i == 0 else ["--set", "deletion.steps=2", "--set", "insertion.steps=2"]
            done = CliRunner().invoke(app, [*words[1:], *quick])
            assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
            if i == 0:
                shutil.copytree("runs/judged", "first")
    (home / "last.jsonl").write_text(done.stdout)
    return home


def test_the_page_has_commands_and_an_example_of_each_file():
    assert len(commands()) == 3
    assert {name for name, _ in EXAMPLES} == {*TABLES, "metrics.jsonl", "evaluation.json"}
    for name in (*FILES, "metrics.jsonl"):
        assert f"`{name}`" in DOCS


def test_example_lines_are_what_the_command_writes(run):
    for name, text in EXAMPLES:
        if name not in TABLES:
            continue
        header, *lines = csv.reader(text.splitlines())
        written = rows(run / "first" / name)
        assert header == written[0]
        assert lines
        for line in lines:
            same = (len(line) == len(row) and all(map(alike, line, row)) for row in written)
            assert any(same), f"{name}: {line}"


def test_example_objects_are_what_the_command_writes(run):
    (line,) = [text for name, text in EXAMPLES if name == "metrics.jsonl"]
    told, found = json.loads(line), json.loads((run / "first" / "metrics.jsonl").read_text().splitlines()[0])
    assert list(told) == list(found)
    assert told["at"] == found["at"]
    assert told["curve"] == pytest.approx(found["curve"], abs=2e-3)
    (line,) = [text for name, text in EXAMPLES if name == "evaluation.json"]
    facts = json.loads((run / "first" / "evaluation.json").read_text())
    assert json.loads(line).items() <= facts.items()
    assert set(facts) - set(json.loads(line)) == {"versions"}


@pytest.mark.parametrize("name", [*TABLES, "metrics.jsonl", "evaluation.json"])
def test_every_column_is_explained_in_the_table_of_its_file(run, name):
    path = run / "first" / name
    if name in TABLES:
        columns = rows(path)[0]
    else:
        columns = list(json.loads(path.read_text() if name.endswith("json") else path.read_text().splitlines()[0]))
    explained = re.findall(r"^\| (`.*?) \|", section(name), re.M)
    assert [column for cell in explained for column in re.findall(r"`(.*?)`", cell)] == columns


def test_paired_rows_count_no_failures_as_the_page_says(run):
    header, *lines = rows(run / "first" / "summary.csv")
    found = [dict(zip(header, line, strict=True)) for line in lines]
    paired = [row for row in found if row["minus"]]
    assert paired
    assert {row["failed"] for row in paired} == {"0"}


def test_standard_output_has_the_rows_of_the_table(run):
    *printed, last = [json.loads(line) for line in (run / "last.jsonl").read_text().splitlines()]
    assert last["values"]["done"] == len(printed)
    header, *lines = rows(run / "runs" / "judged" / "metrics.csv")
    assert [list(row) for row in printed] == [header] * len(lines)
    assert [row["metric"] for row in printed] == [line[header.index("metric")] for line in lines]
