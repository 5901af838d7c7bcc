"""How many files of sigcli one command enters, and how often it crosses from file to file (`sys.setprofile`).

    python benchmarks/crossings.py [--top 20]

Counted is `sig explain star.png --method sig,gradcam` on one image: calls of functions; module bodies and comprehensions are
left out, as are calls that return to a caller. Work on threads is counted, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import sigcli
from sigcli.__main__ import main as sig

HERE = str(Path(sigcli.__file__).resolve().parent)
LEFT_OUT = ("<module>", "<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")
STAR = Path(__file__).resolve().parent.parent / "sample_images" / "star.png"


def counted(arguments: list[str]) -> tuple[set[str], Counter[tuple[str, str]]]:
    """(files that were entered, calls from one file of sigcli to another)."""
    files, crossings = set[str](), Counter[tuple[str, str]]()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(HERE) or code.co_name in LEFT_OUT:
            return
        files.add(code.co_filename)
        caller = frame.f_back
        while caller and not caller.f_code.co_filename.startswith(HERE):
            caller = caller.f_back
        if caller and caller.f_code.co_filename != code.co_filename:
            crossings[caller.f_code.co_filename, code.co_filename] += 1

    sys.argv = ["sig", *arguments]
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        sig()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return files, crossings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", type=int, default=0, help="print the most frequent crossings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = ["explain", str(STAR), "--method", "sig,gradcam", "--device", "cpu", "--out", f"{folder}/out"]
        files, crossings = counted(line)
    print(f"{len(files)} files of sigcli, {sum(crossings.values())} crossings from file to file")
    for (one, other), count in crossings.most_common(options.top):
        print(f"{count:5}  {Path(one).relative_to(HERE)} -> {Path(other).relative_to(HERE)}")


if __name__ == "__main__":
    main()
