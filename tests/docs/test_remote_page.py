"""docs/remote.md and docs/install.md: their commands run as they stand, and what they say of options and limits is so."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.places import lease, systems
from sigcli.places.urls import PACKAGES, WEB
from sigcli.runs import placed, stage

from repository import ROOT

PAGE = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8")
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")


def lines(page):
    return [line for block in re.findall(r"```sh\n(.*?)```", page, re.S) for line in block.splitlines()]


@pytest.mark.parametrize("page", [PAGE, INSTALL], ids=["remote", "install"])
def test_their_commands_run_as_they_stand(page, tmp_path, monkeypatch):
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "sample_images").symlink_to(ROOT / "sample_images")
    assert lines(page)
    for line in lines(page):
        if line.startswith("sig "):
            done = CliRunner().invoke(app, shlex.split(line.replace("$PWD", str(tmp_path)))[1:])
            assert done.exit_code == 0, done.output
        else:
            subprocess.run(line, shell=True, check=True)
    if page is PAGE:
        assert "2 of them earlier" in done.output
        assert (tmp_path / "far-maps/star/compare.png").is_file()


def test_the_page_names_what_the_code_has():
    table = PAGE.split("\n| URL |")[1].split("\n\n")[0]
    for kind, package in PACKAGES.items():
        if kind not in ("s3a", "gcs"):
            (row,) = [row for row in table.splitlines() if f"`{kind}://" in row]
            assert (package or "none") in row
    assert all(f"--{name.replace('_', '-')}`" in PAGE for name in placed.COPIED)
    assert WEB == ("http", "https")
    assert f"asked three times, {systems.SECONDS:.0f} seconds each" in PAGE
    assert systems.TRIES == 3
    assert f"every {stage._EVERY:.0f} seconds" in PAGE
    assert lease.NAME in PAGE
    assert lease.STALE == 600
