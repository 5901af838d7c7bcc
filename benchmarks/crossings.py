"""How many files of sigcli one command enters, and how often it crosses from file to file.

    python benchmarks/crossings.py [--top 20]

The command is `sig explain star.png --method sig,gradcam --device cpu`: one image, two methods, in a process of its own.
`sys.setprofile` and `threading.setprofile` watch it from before the command line is parsed to its end, threads included.

* A call is an event "call" of the profiler for code of sigcli: a function, method, property or lambda that is called, and a
  generator each time it goes on. Bodies of modules, of classes and of comprehensions are not called and do not count;
  generator expressions do, as other generators.
* A file is entered if there is a call of code of it.
* A crossing is a call whose direct caller stands in another file of sigcli; a body of a module or class is a caller like any
  other. What code outside sigcli calls (torch, a hook, a pool of threads, the constructor of a dataclass) is no crossing.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import sigcli
from sigcli.__main__ import main as sig

HERE = str(Path(sigcli.__file__).resolve().parent) + "/"
BODIES = ("<module>", "<listcomp>", "<dictcomp>", "<setcomp>")
STAR = Path(__file__).resolve().parent.parent / "sample_images" / "star.png"


def counted(arguments: list[str]) -> tuple[set[str], Counter[tuple[str, str]]]:
    """(files that were entered, calls from one file of sigcli to another)."""
    files, crossings = set[str](), Counter[tuple[str, str]]()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        called = code.co_filename
        if event != "call" or not called.startswith(HERE) or code.co_name in BODIES:
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a class
            return
        files.add(called)
        caller = frame.f_back and frame.f_back.f_code.co_filename
        if caller and caller.startswith(HERE) and caller != called:
            crossings[caller, called] += 1

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", type=int, default=0, metavar="N", help="list the N pairs of files with most crossings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        line = ["explain", str(STAR), "--method", "sig,gradcam", "--device", "cpu", "--out", f"{folder}/out"]
        files, crossings = counted(line)
    print(f"{len(files)} files of sigcli, {sum(crossings.values())} crossings between {len(crossings)} pairs of them")
    for (one, other), count in crossings.most_common(options.top):
        print(f"{count:5}  {one.removeprefix(HERE)} -> {other.removeprefix(HERE)}")


if __name__ == "__main__":
    main()
