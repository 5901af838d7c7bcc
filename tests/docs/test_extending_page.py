"""docs/extending.md: each file is written as it stands there, its line added to the table, and its command run."""

import importlib.util
import re
import shlex
import shutil
import sys

import pytest
from typer.testing import CliRunner

import sigcli.attribution.formats
import sigcli.catalog
import sigcli.methods
import sigcli.metrics
import sigcli.models
import sigcli.scenarios
from sigcli.cli.main import app

from repository import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
TABLES = {
    "METHODS": sigcli.methods,
    "METRICS": sigcli.metrics,
    "SCENARIOS": sigcli.scenarios,
    "FORMATS": sigcli.attribution.formats,
    "MODELS": sigcli.models,
}
EXAMPLES = re.findall(
    r"<!-- file: (.*?) -->\n```python\n(.*?)```\n\n<!-- line: (\w+) -->\n```python\n(.*?)```\n\n"
    r"<!-- run -->\n```sh\n(.*?)```",
    PAGE,
    re.S,
)


def test_every_kind_has_an_example():
    assert list(dict.fromkeys(table for _, _, table, _, _ in EXAMPLES)) == list(TABLES)
    assert len(re.findall("<!-- file:", PAGE)) == len(EXAMPLES)
    for place in re.findall(r"`(sigcli/[\w/.]+)` \| `(sigcli/[\w/.]+)` \| `(tests/[\w/]+)`", PAGE):
        assert all((ROOT / one).exists() for one in place), place


@pytest.mark.parametrize("example", EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_an_example_runs(example, tmp_path, monkeypatch):
    file, code, table, line, command = example
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "sample_images", tmp_path / "sample_images")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    name = file.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(name, tmp_path / "example.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    catalogue = getattr(TABLES[table], table)
    entry = eval(line, dict(vars(TABLES[table])))  # as it would stand in that file
    catalogue.add(entry)
    try:
        done = CliRunner().invoke(
            app, [*shlex.split(command)[1:], *([] if table == "SCENARIOS" else ["--device", "cpu"])]
        )
        assert done.exit_code == 0, done.output
        assert entry.name in CliRunner().invoke(app, ["list", f"{catalogue.kind}s"]).output or table == "FORMATS"
    finally:
        catalogue.remove(entry.name)
    told = {"METHODS": entry.name, "METRICS": "top-share", "SCENARIOS": "Right: ig, sig-walk.", "FORMATS": "gradient"}
    assert told.get(table, "red") in done.output
    assert table != "FORMATS" or (tmp_path / "runs/facts/star/gradient.json").is_file()
