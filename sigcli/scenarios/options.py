"""The options that several scenarios share. A scenario's own stand in `scenarios/NAME/options.py`.

The docstring of a scenario's options is what `sig benchmark scenario NAME --help` says of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..attribution.options import ExplainOptions
from ..options import ComputeOptions, FolderOptions, folder_option, option, table

SCENARIO = "Scenario"
SCORE = "logit, prob or logprob."


def own(default: Any, told: str, **known: Any) -> Any:
    """An option of a scenario, in its panel of `--help`."""
    return option(default, told, panel=SCENARIO, **known)


def of_explain(name: str, default: Any = None, **changes: Any) -> Any:
    """An option of `sig explain` that a scenario has, too, with its own default."""
    known = dataclasses.replace(table(ExplainOptions)[name][0], **changes)
    return dataclasses.field(default=default, kw_only=True, metadata={"option": known})


def folder_of_data(told: str) -> Any:
    """The option `data`."""
    return own(None, told, kind=str, metavar="FOLDER", shown=False)


def folder_of_run() -> Any:
    """The option `out` of a scenario whose explanations are one run in its folder, which is never another's."""
    return folder_option("sig-ENTRY", free=False)


@dataclass(frozen=True, repr=False)
class ScenarioOptions(FolderOptions):
    """What all scenarios have."""

    out: str | Path | None = folder_option("sig-ENTRY")


@dataclass(frozen=True, repr=False)
class MethodOptions(ScenarioOptions):
    """What scenarios have that compare methods; each has its own default of `method`."""

    method: str | Sequence[str] = of_explain("method", "")
    settings: Mapping[str, Any] | None = of_explain("settings")
    seed: int = of_explain("seed", 0)


@dataclass(frozen=True, repr=False)
class PictureOptions(ComputeOptions, MethodOptions):
    """What scenarios have that explain pictures."""

    images: int = own(24, "Images to explain.")


@dataclass(frozen=True, repr=False)
class RunOptions(PictureOptions):
    """What scenarios have whose explanations are one run in their folder."""

    output: str = of_explain("output", "logit", help=SCORE)
    out: str | Path | None = folder_of_run()
    resume: bool = of_explain("resume", False)


@dataclass(frozen=True, repr=False)
class RecipeOptions(ScenarioOptions):
    """What scenarios have that train a network by a recipe."""

    steps: int = own(1500, "Training steps of the network.")
    preset: str | None = own(
        None, "Recipe of the training: icg trains the network as [ICG] A.5 does; by default our own.", shown=False
    )
