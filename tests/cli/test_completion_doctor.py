"""Completion in the shell, `sig --version` and `sig doctor`."""

import os
import re
import subprocess
import sys

from screens import sig

from sigcli import models
from sigcli.cli import checkup, known_models
from sigcli.cli.completion import NAMES, completed

from repository import ROOT


def test_completion_knows_torchvisions_names():
    assert known_models.TORCHVISION.split() == models.names()
    assert known_models.OTHERS.split() == list(models.others())


def test_the_last_part_of_a_list_is_completed():
    assert completed("sig,ig,i", ["sig", "ig", "icg"]) == ["sig,ig,icg"]
    assert completed("", ["a", "b"]) == ["a", "b"]
    assert all(list(names()) for names in NAMES.values())


def test_completion_imports_no_torch():
    code = (
        "import sys\nfrom sigcli.cli.main import app\ntry:\n    app(prog_name='sig')\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    line = "sig explain --model shapes --method sig,gradcam+"
    known = {"_SIG_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **known}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["sig,gradcam++"])


def test_version_tells_torch_too():
    assert re.match(
        r"sig \S+\ntorch \S+, torchvision \S+, Python \S+\ndevice: (cpu|cuda|mps) \(more: sig doctor\)\n",
        sig("--version").output,
    )


def test_version_is_told_where_torch_does_not_work(monkeypatch):
    def broken(device):
        raise ImportError("libcudart.so.13: no such file")

    monkeypatch.setattr("sigcli.models.device.choose_device", broken)
    done = sig("--version")
    assert done.exit_code == 0
    assert "device: torch does not work: libcudart.so.13" in done.output


def test_the_doctor_finds_this_place_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = sig("doctor")
    assert done.exit_code == 0
    assert "nothing is broken" in done.stderr
    for what in ("versions", "device", "precision", "memory", "extras", "weights", "folder", "terminal"):
        assert re.search(rf"^{what} ", done.stderr, re.M)


def test_what_is_broken_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torchvision", None)

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkup.tempfile, "TemporaryFile", refuse)
    done = sig("doctor", "--json")
    assert done.exit_code == 1
    assert '"what": "torch", "state": "broken"' in done.stdout
    assert '"what": "folder", "state": "broken"' in done.stdout
    assert "same index" in done.stdout


def test_the_extras_are_those_of_the_package():
    text = (ROOT / "pyproject.toml").read_text()
    table = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    found = {name: re.split(r"[><=]", first)[0] for name, first in re.findall(r'^(\w+) = \["([^"]+)"', table, re.M)}
    assert {
        name: one for name, one in found.items() if name not in ("test", "browser", "docs", "dev")
    } == checkup.EXTRAS


def test_sizes_do_not_count_links(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "c").write_bytes(b"12345678")
    assert list(checkup._sizes(tmp_path).items()) == [("in", 8), ("a", 5)]
