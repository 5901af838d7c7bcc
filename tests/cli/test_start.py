"""What a command imports: nothing that it does not need, since torch takes seconds."""

import os
import subprocess
import sys

import pytest

from sigcli.inputs.samples import sample_images

from repository import ROOT


def test_help_and_lists_import_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from sigcli.cli.main import app; r = CliRunner();"
        "assert r.invoke(app, ['--help']).exit_code == 0; assert r.invoke(app, ['explain', '--help']).exit_code == 0;"
        "assert all(r.invoke(app, ['list', w]).exit_code == 0 for w in ('methods', 'baselines', 'metrics', 'scenarios'));"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("model", [["shapes"], ["own_net:build", "--resize", "8", "--crop", "8"]])
def test_networks_that_are_not_torchvisions_do_not_wait_for_it(tmp_path, model):
    """torchvision imports torch's compiler, half of the time that one gradient of one picture takes."""
    (tmp_path / "own_net.py").write_text(
        "from torch import nn\nbuild = lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )
    picture = str(sample_images() / "star.png")
    arguments = ["explain", picture, "--method", "gradient", "--out", str(tmp_path / "out"), "--model", *model]
    slow = ("torchvision", "torch._dynamo", "matplotlib", "skimage", "sklearn", "scipy.stats")
    code = (
        "import sys; from typer.testing import CliRunner; from sigcli.cli.main import app;"
        f"assert CliRunner().invoke(app, {arguments!r}).exit_code == 0;"
        f"print(*(name for name in {slow!r} if name in sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.strip() == ""
