"""The options of `sig gridworld`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..options import COMPUTE, DeviceOptions, FolderOptions, folder_option, option

GAME = "Game"


@dataclass(frozen=True, repr=False)
class GridworldOptions(DeviceOptions, FolderOptions):
    """The options of `sig gridworld`."""

    grid: str | Sequence[str] = option(
        "2x2,2x3", "ROWSxCOLUMNS, one or several separated by commas; at most 20 players each.", panel=GAME, kind=str
    )
    reward: str | Sequence[str] = option(
        "r1,r2", "r1, r2 or your own package.module:function, one or several separated by commas.", panel=GAME, kind=str
    )
    runs: int = option(10, "Independent runs, each with networks and draws of its own.", panel=GAME)
    coverage: float = option(0.4, "Fraction Q of the coalitions that a network is trained on.", panel=GAME)
    samples: int | None = option(
        None, "Evaluations N that each estimator may spend; with --protocol paper, the number N of SIG's baselines.",
        panel=GAME, shown="200 up to 12 players, 1500 above",
    )  # fmt: skip
    sweep: str | None = option(None, "Also vary 'samples' (N) or 'coverage' (Q).", panel=GAME, shown=False)
    estimators: str | Sequence[str] | None = option(
        None, "Names, separated by commas; see 'sig list estimators'.", panel=GAME, kind=str, shown="all"
    )
    protocol: str = option(
        "equal",
        "equal: the same number of evaluations for all. paper: as in [SIG] Table 2, SIG from N coalitions of the fraction "
        "Q, 50 steps on each path.",
        panel=GAME,
        choices=("equal", "paper"),
    )
    steps: int = option(4000, "Training steps of the networks.", panel=GAME)
    device: str = option("auto", "auto, cpu or cuda; auto is the CPU, since the networks are tiny.", panel=COMPUTE)
    out: str | Path | None = folder_option("sig-gridworld")
    write: bool = option(True, "Write tables and figures.", command_line=False)
