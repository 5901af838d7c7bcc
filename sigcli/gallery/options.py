"""The options of `sig report` and `sig view`."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path

from ..options import OUTPUT, Options, option


@dataclass(frozen=True, repr=False)
class ReportOptions(Options):
    """The options of `sig report`."""

    runs: str | Path | Sequence[str | Path] = option(
        MISSING, "Run folders of explain, evaluate or benchmark images; several are compared image by image.",
        keyword_only=False, argument=True, kind=list[str], metavar="RUNS", shown=False,
    )  # fmt: skip
    out: str | Path | None = option(
        None, "File of the page, for example report.html; by default index.html of the run, or sig-report.html of several.",
        panel=OUTPUT, flags=("--out", "-o"), kind=str, metavar="FILE", shown=False,
    )  # fmt: skip
    single_file: bool = option(
        False,
        "Put data and pictures into the page, one file to send to someone.",
        panel=OUTPUT,
        flags=("--single-file",),
    )
    overwrite: bool = option(False, "Replace a file that sig did not write.", panel=OUTPUT, flags=("--overwrite",))


@dataclass(frozen=True, repr=False)
class ViewOptions(Options):
    """The options of `sig view`."""

    run: str | Path = option(
        MISSING,
        "Run folder, or a page that sig report wrote.",
        keyword_only=False,
        argument=True,
        kind=str,
        metavar="RUN",
    )
    port: int = option(0, "Port of this machine; 0 takes a free one.", metavar="PORT", shown="a free one")
