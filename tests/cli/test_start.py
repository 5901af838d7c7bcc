"""What a command imports: nothing that it does not need, since torch takes seconds."""

import subprocess
import sys

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


def test_the_bundled_network_does_not_wait_for_torchvision(tmp_path):
    """torchvision imports torch's compiler, half of the time that one gradient of one picture takes."""
    arguments = ["explain", str(sample_images() / "star.png"), "--method", "gradient", "--out", str(tmp_path / "out")]
    slow = ("torchvision", "torch._dynamo", "matplotlib", "skimage", "sklearn", "scipy.stats")
    code = (
        "import sys; from typer.testing import CliRunner; from sigcli.cli.main import app;"
        f"assert CliRunner().invoke(app, {arguments!r}).exit_code == 0;"
        f"print(*(name for name in {slow!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
