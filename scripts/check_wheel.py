"""Build wheel and sdist, look into them, and run README's first line from the wheel in an empty environment.

python scripts/check_wheel.py            # the environment gets torch and everything else from the package index
python scripts/check_wheel.py --borrow   # torch and the rest are those of this Python: only the wheel is installed anew

Needs build and twine: pip install build twine.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN_WHEEL = (
    "sigcli/py.typed",
    "sigcli/data/sample_images/star.png",
    "sigcli/gallery/page/main.js",
    "sigcli/cli/main.py",
)
IN_SDIST = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "sigcli/py.typed",
    "sample_images/star.png",
    "tests/conftest.py",
)
LARGEST = 20_000_000


def run(*command: str | Path, **more: object) -> str:
    print("$", *command, flush=True)
    done = subprocess.run([str(one) for one in command], check=False, capture_output=True, text=True, **more)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nfailed with {done.returncode}: {command[0]}")
    return str(done.stdout)


def built(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution, the wheel built from the other."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    return wheel, sdist


def look_into(wheel: Path, sdist: Path) -> None:
    """What must be in them is, and nothing of another's machine."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [name for name in IN_WHEEL if name not in names]
    strange = [name for name in names if not name.startswith(("sigcli/", "sigcli-"))]
    with tarfile.open(sdist) as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    missing += [name for name in IN_SDIST if name not in inner]
    large = [one.name for one in (wheel, sdist) if one.stat().st_size > LARGEST]
    if missing or strange or large:
        sys.exit(f"missing: {missing}; strange: {strange[:9]}; larger than {LARGEST:,} bytes: {large}")
    for one in (wheel, sdist):
        print(f"{one.name}: {one.stat().st_size / 1e6:.1f} MB")


def first_line() -> list[str]:
    """What README's first command runs once sig is installed."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^pip install \. && sig (.*)$", text, re.M)
    if found is None:
        sys.exit("README has no line 'pip install . && sig …'")
    return found[1].split()


def environment(folder: Path, wheel: Path, *, borrow: bool) -> Path:
    """The Python of an empty environment in which the wheel is installed."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if borrow:
        theirs = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        # Not as a .pth file of its own folder: an editable installation of the repository there must stay out of sight.
        lines = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n"
        Path(theirs, "borrowed.pth").write_text(lines, encoding="utf-8")
    run(python, "-m", "pip", "install", "--quiet", *(["--no-deps"] if borrow else []), wheel)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--borrow", action="store_true")
    borrow = parser.parse_args().borrow
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        wheel, sdist = built(top / "dist")
        look_into(wheel, sdist)
        python = environment(top / "venv", wheel, borrow=borrow)
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        work = top / "work"
        work.mkdir()
        where = run(python, "-c", "import sigcli; print(sigcli.__file__)", cwd=work, env=clean).strip()
        if not Path(where).is_relative_to(top):
            sys.exit(f"sigcli comes from {where}, not from the wheel")
        picture, *options = [one for one in first_line() if one != "explain"]
        (work / picture).parent.mkdir(parents=True, exist_ok=True)
        (work / picture).write_bytes((ROOT / picture).read_bytes())
        command = [python.with_name("sig"), "explain", picture, *options]
        print(run(*command, cwd=work, env=clean))
        if not (work / "sig-out/star/compare.png").is_file():
            sys.exit("no sig-out/star/compare.png")
        print(run(python.with_name("sig"), "explain", "--method", "gradient", "--no-pictures", cwd=work, env=clean))
    print("The wheel works.")


if __name__ == "__main__":
    main()
