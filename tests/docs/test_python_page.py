"""docs/python.md and docs/options.md: the code runs, and the options are those that there are."""

import re
import shutil
import subprocess
import sys

from repository import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "sample_images", "sample_images")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    cheap = code.replace('method="ig", out=', 'method="ig", settings={"steps": 2}, out=')
    assert cheap != code
    exec(compile(cheap, "docs/python.md", "exec"), {"__name__": "page"})
    for name in ("sheet.png", "means.png", "runs/star/star/ig.npy", "runs/star-1/star/ig.npy", "runs/mine/summary.csv"):
        assert (tmp_path / name).is_file(), name


def test_the_options_page_is_current(tmp_path):
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['page'](), end='')"
    script = str(ROOT / "scripts" / "options_page.py")
    done = subprocess.run([sys.executable, "-c", code, script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), (
        "run python scripts/options_page.py"
    )
