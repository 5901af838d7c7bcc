"""What every scenario is: a question whose right answer is known, carried out as one table with a verdict. No printing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from PIL import Image

from ..errors import UsageError
from ..listener import SILENT, Listener
from ..options import METHOD, Options, checked, flags, table
from ..render.shown import through_file
from ..runs.claims import abandon
from ..runs.folder import save_table
from ..runs.lock import held
from . import SCENARIOS
from .folders import claim, drop_pictures
from .options import SCENARIO, ScenarioOptions

O = TypeVar("O", bound=ScenarioOptions)  # noqa: E741
Row = Mapping[str, Any]
Draw = Callable[[Path], None]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a scenario ends with.

    Args:
        title: what was asked, in a sentence.
        columns: of the table: column → heading; the first names the method.
        rows: of the table, one for each method; a number or a text for each column, None where there is none.
        folder: of tables and figures.
        facts: sentences above the table: the network, its checks, what was measured.
        findings: sentences below it: what the table says.
        records: the same values and more for `--json`, one object for each.
        failed: what could not be explained, one sentence each.
        tables: file → rows of the tables in the folder.
        figures: file → what draws it; the main figure first.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Row]
    folder: Path
    facts: Sequence[str] = ()
    findings: Sequence[str] = ()
    records: Sequence[Row] = ()
    failed: Sequence[str] = ()
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    figures: Mapping[str, Draw] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Verdict: {self.title} {len(self.rows)} rows, {self.folder}>"

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """The scenario's main figure; also written to `path` where that is given.

        Raises:
            UsageError: the scenario has no figure of its own.
        """
        if not self.figures:
            raise UsageError("the scenario has no figure of its own", hint=f"Its maps are in {self.folder}.")
        return through_file(path, next(iter(self.figures.values())))


class Scenario(ABC, Generic[O]):
    """A question whose right answer is known.

    A subclass says what it asks and how answers are judged; `run` carries it out. The catalogue names the subclass and its
    options, and nothing else has to be told of it.

    Args:
        name: of the catalogue.
        options: of this scenario.
        listener: hears how it goes on.
    """

    files: ClassVar[tuple[str, ...]]
    """Tables and figures in the folder."""
    networks: ClassVar[tuple[str, ...]] = ()
    """Networks in the folder, if any are trained."""
    least: ClassVar[tuple[int, str]] = (1, "images")
    """How many images, digits or whatever `--images` counts are needed."""
    folder: Path

    def __init__(self, name: str, options: O, listener: Listener = SILENT):
        self.name, self.options, self.listener = name, options, listener

    def run(self) -> Verdict:
        """Carry the scenario out; tables and figures stand when it returns.

        Raises:
            UsageError: an option that cannot be used.
            OutputError: the folder cannot be written or holds another run.
        """
        self.check()
        self.folder = self.opened()
        with held(self.folder):
            return self._carried_out()

    def _carried_out(self) -> Verdict:
        try:
            self.measure()
        except UsageError:
            abandon(self.folder)
            raise
        found = self.verdict()
        for name, rows in found.tables.items():
            save_table(self.folder / name, rows)
        drop_pictures(self.folder, self.files)
        if self.options.pictures:
            for name, draw in found.figures.items():
                draw(self.folder / name)
        return found

    def check(self) -> None:
        """Read what is asked about; raise UsageError for what can be told before anything is computed."""
        images: int | None = getattr(self.options, "images", None)
        least, what = self.least
        if images is not None and images < least:
            raise UsageError(f"the scenario {self.name} needs at least {least} {what}", given=images)

    def spec(self) -> dict[str, Any]:
        """What must agree between a run and its repetition in the same folder: the options that numbers depend on."""
        known = {name: getattr(self.options, name) for name, (one, _) in table(type(self.options)).items()
                 if one.panel in (SCENARIO, METHOD) or name == "seed"}  # fmt: skip
        return {name: str(value) if isinstance(value, Path) else value for name, value in known.items()}

    def opened(self) -> Path:
        """The folder, which the scenario claims here."""
        files = (*self.files, *self.networks)
        return claim(self.name, self.spec(), files, out=self.options.out, overwrite=self.options.overwrite)

    @abstractmethod
    def measure(self) -> None:
        """Train, explain and score: all that takes time."""

    @abstractmethod
    def verdict(self) -> Verdict:
        """What was found; its tables and figures are written afterwards."""


def run_scenario(name: str, options: Options | None = None, listener: Listener = SILENT, **given: Any) -> Verdict:
    """Carry out a scenario whose answer is known: `run_scenario("two-features", seed=1)`.

    Args:
        name: see `sig list scenarios`.
        options: its options dataclass; or name options as further arguments.
        listener: hears how it goes on.
        given: options by name, see `sig list scenarios NAME`.

    Raises:
        UsageError: no such scenario, or an option that it does not have or that cannot be used.
        OutputError: the folder cannot be written or holds another run.
    """
    entry = SCENARIOS[name]
    kind = entry.options_class
    if kind is None:
        raise TypeError(f"the line of the scenario {name} in the catalogue names no options")
    for option in given:
        if option not in table(kind):
            raise unknown_option(name, f"--{option.replace('_', '-')}", kind)
    if options is None:
        options = kind(**given)
    elif given or not isinstance(options, kind):
        raise TypeError(f"the scenario {name} takes {kind.__name__}, or options by name")
    return entry.load()(entry.name, checked(options), listener).run()


def unknown_option(name: str, option: str, kind: type[Options]) -> UsageError:
    """The error for an option that a scenario does not have."""
    names = (flags(one, known)[0].partition("/")[0] for one, (known, _) in table(kind).items())
    return UsageError(f"the scenario {name} has no such option", given=option, allowed=", ".join(names))
