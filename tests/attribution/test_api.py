"""The public functions: what the command does is one documented call."""

import inspect

import numpy as np
import pytest

import sigcli
from sigcli.attribution.explain import Options, prepare
from sigcli.cli.explain import explain as command
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images

QUICK = {"write": False, "device": "cpu"}


def test_options_are_those_of_prepare_and_of_the_command():
    prepared = set(inspect.signature(prepare).parameters) - {"images", "verify"}  # not what a user chooses
    assert set(Options.__annotations__) == prepared
    shown = set(inspect.signature(command).parameters) - {"context", "paths", "as_json", "debug"}
    assert shown == prepared - {"write"}


def test_defaults_are_the_commands():
    ours, theirs = (inspect.signature(f).parameters for f in (prepare, command))
    for name in set(ours) & set(theirs) - {"batch_size"}:
        assert ours[name].default == theirs[name].default, name


def test_explain_returns_what_it_says():
    found = sigcli.explain(
        sample_images() / "star.png", method="ig,gradient", settings={"steps": 4}, uncertainty=True, **QUICK
    )
    ig, gradient = found
    assert (ig.method, gradient.method) == ("ig", "gradient")
    assert ig.label == "star"
    assert ig.values.shape == (3, 128, 128)
    assert ig.picture.shape == (128, 128, 3)
    assert ig.picture.dtype == np.uint8
    assert ig.gradient_evaluations == 4
    assert ig.completeness_gap is not None
    assert gradient.completeness_gap is None
    assert ig.stderr is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smooth": -1}, "smooth"),
        ({"batch_size": 0}, "batch size"),
        ({"check": "some"}, "check"),
        ({"method": []}, "no method"),
        ({"settings": {"stepss": "2"}}, "Did you mean"),
    ],
)
def test_faults_are_told(options, message):
    with pytest.raises(UsageError, match=message):
        sigcli.explain(sample_images() / "star.png", **{**QUICK, **options})


def test_importing_the_package_imports_no_torch():
    import subprocess
    import sys

    code = "import sigcli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        sigcli.explian  # noqa: B018
