"""A command line from a dataclass of options: parsing, errors, exit codes and results, the same for every command."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from ..engine.allocator import keep_freed_memory
from ..errors import UsageError
from ..options import OUTPUT, Option, Options, table
from ..warned import few_of_each
from .answers import Answers, answers
from .completion import completer
from .config import read_config
from .console import FAILED, RESUME, Guard, console, guarded
from .graphics import WAYS
from .help import type_shown

O = TypeVar("O", bound=Options)  # noqa: E741
_WAS, _NOT = "__was", "__not"
JSON = Option("Print one JSON object per result on standard output.", panel=OUTPUT, flags=("--json",))
OPEN = Option("Open the page in a browser; that of a run when it is done.", panel=OUTPUT, flags=("--open",))
CONFIG = Option(
    "Options from a file: TOML, or the manifest.json of a run to repeat it. Options on the command line override it.",
    panel=OUTPUT, flags=("--config",), metavar="FILE", shown=False,
)  # fmt: skip
SHOW = Option(
    "Draw images, maps and the model's answers in the terminal: alone as auto, or blocks, kitty or sixel.",
    panel=OUTPUT, flags=("--show",), metavar="[WAY]", shown=False, choices=WAYS,
)  # fmt: skip
LOG = Option(
    "Log the run to a tracker when it is done: mlflow or wandb, into the project 'sig' or another, mlflow:PROJECT.",
    panel=OUTPUT, flags=("--log",), metavar="TRACKER[:PROJECT]", shown=False,
    choices=("mlflow", "wandb"),
)  # fmt: skip
DEBUG = Option("Show tracebacks.", panel=OUTPUT, flags=("--debug",))


@dataclass(eq=False)
class Screen:
    """Where a command shows things.

    Args:
        console: standard error, for people.
        results: standard output, for programs; takes nothing unless `--json` was given.
        guard: what is said where the command is interrupted.
        debug: tracebacks are wanted.
        as_json: results are wanted on standard output.
        opens: the page of the run is to be opened.
        show: how pictures are drawn in the terminal; None for not at all.
        log: the tracker to which the run is logged, and its project; None for none.
    """

    console: Console
    results: Answers
    guard: Guard
    debug: bool
    as_json: bool
    opens: bool = False
    show: str | None = None
    log: str | None = None

    def say(self, text: str, style: str | None = None) -> None:
        """A line as it is, without markup."""
        self.console.print(text, markup=False, style=style)


def command(
    options: type[O],
    *,
    kept: str = RESUME,
    entry: str = "",
    opens: bool = False,
    config: str = "",
    shows: bool = False,
    logs: bool = False,
) -> Callable[[Callable[[O, Screen], int | None]], Callable[..., None]]:
    """Make a command of a function that takes options and a screen and returns how many items failed.

    Args:
        options: the dataclass from which the command line follows.
        kept: what the message says when the command is interrupted; the function may change it while it runs.
        entry: the entry of a catalogue whose command it is.
        opens: it has --open, and leaves a run folder with a page.
        config: the command's table in the file of `--config`; empty for a command that has no such option.
        shows: whether it has --show.
        logs: whether it has --log.
    """

    def decorate(function: Callable[[O, Screen], int | None]) -> Callable[..., None]:
        def run(
            context: typer.Context,
            as_json: bool,
            debug: bool,
            opens_page: bool = False,
            config_: str | None = None,
            show: str | None = None,
            log: str | None = None,
            **values: Any,
        ) -> None:
            with guarded(debug, kept=kept) as guard, few_of_each(), answers(as_json) as results:
                keep_freed_memory()
                screen = Screen(console(), results, guard, debug, as_json, opens_page, show, log)
                given = _read(options, context, values, screen)
                if config_ is not None:
                    more, note = read_config(config_, options, config, given)
                    given = more | given
                    screen.say(f"note: {note}")
                failed = function(options(**_complete(options, given)), screen)
            if failed:
                raise typer.Exit(FAILED)

        parameters = list(_parameters(options, entry, opens=opens, config=bool(config), shows=shows, logs=logs))
        run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameters(
    options: type[Options], entry: str, *, opens: bool, config: bool, shows: bool, logs: bool
) -> Iterator[inspect.Parameter]:
    """What typer reads: one parameter for each option, and hidden ones for old names and for what switches a flag off."""
    by_name = inspect.Parameter.KEYWORD_ONLY
    yield inspect.Parameter("context", by_name, annotation=typer.Context)
    for name, (known, field) in table(options, entry).items():
        if not known.command_line:
            continue
        kind, default = known.kind or _plain(options, field), _shown(known, field.default)
        for number, old in enumerate(known.was):
            hidden = Annotated[kind | None, typer.Option(old, hidden=True)]
            yield inspect.Parameter(f"{name}{_WAS}{number}", by_name, default=None, annotation=hidden)
        if config and (off := _off(known, kind)):
            hidden = Annotated[bool, typer.Option(off, hidden=True)]
            yield inspect.Parameter(f"{name}{_NOT}", by_name, default=False, annotation=hidden)
        required = field.default is dataclasses.MISSING and not config  # else it may stand in the file
        default = None if default is dataclasses.MISSING else default
        annotation = Annotated[kind if required or default is not None else kind | None, _described(known, kind, name)]
        default = inspect.Parameter.empty if required else default
        yield inspect.Parameter(name, by_name, default=default, annotation=annotation)
    for name, known, has in (("config_", CONFIG, config), ("show", SHOW, shows), ("log", LOG, logs)):
        if has:
            annotation = Annotated[str | None, _described(known, str)]
            yield inspect.Parameter(name, by_name, default=None, annotation=annotation)
    more = [("opens_page", OPEN)] if opens else []
    for name, known in (*more, ("as_json", JSON), ("debug", DEBUG)):
        yield inspect.Parameter(name, by_name, default=False, annotation=Annotated[bool, _described(known)])


def _off(known: Option, kind: Any) -> str:
    """What switches off a flag that a file may have switched on; empty where the flag has such a name in its help."""
    return f"--no-{known.flags[0].removeprefix('--')}" if kind is bool and "/" not in known.flags[0] else ""


def _plain(options: type[Options], field: dataclasses.Field[Any]) -> type:
    """The type of a field that is a plain one, or a plain one or None; as text where its file postpones annotations."""
    stated = typing.get_type_hints(options)[field.name] if isinstance(field.type, str) else field.type
    kinds = [kind for kind in typing.get_args(stated) or (stated,) if kind is not type(None)]
    if len(kinds) != 1 or not isinstance(kinds[0], type):
        raise TypeError(f"the option {field.name} needs a kind for the command line; its type is {field.type}")
    return kinds[0]


def _shown(known: Option, default: Any) -> Any:
    """The default as the command line has it: plain values only, and texts where it reads a text."""
    if known.read is not None:
        return known.shown if isinstance(known.shown, str) else None
    return default if isinstance(default, (str, int, float, bool)) else None


def _described(known: Option, kind: Any = bool, name: str = "") -> Any:
    shown = True if known.read is not None and isinstance(known.shown, str) else known.shown
    complete = completer(name, known)
    if known.argument:
        return typer.Argument(help=known.help, metavar=known.metavar, show_default=shown, autocompletion=complete)
    panel = known.panel or None
    metavar = type_shown(known, kind)
    return typer.Option(
        *known.flags,
        help=known.help,
        metavar=metavar,
        rich_help_panel=panel,
        show_default=shown,
        autocompletion=complete,
    )


def _complete(options: type[Options], given: dict[str, Any]) -> dict[str, Any]:
    """What was given, typed or in a file; raises UsageError where an option that has no default is not in it."""
    for name, (known, field) in table(options).items():
        if field.default is dataclasses.MISSING and name not in given:
            raise UsageError(f"{known.metavar or known.flags[0]} was not given", hint="Add --help to see what it is.")
    return given


def _read(options: type[Options], context: typer.Context, values: dict[str, Any], screen: Screen) -> dict[str, Any]:
    """The options that were typed, as the library takes them.

    Raises:
        UsageError: a text that cannot be read, or an option typed under two names.
    """
    given: dict[str, Any] = {}
    every = table(options)
    for name, value in values.items():
        if _source(context, name) in ("DEFAULT", "DEFAULT_MAP") or value is None:
            continue
        now, old, number = name.removesuffix(_NOT).partition(_WAS)
        known = every[now][0]
        if old:
            screen.say(
                f"note: {known.was[int(number)]} is now {known.flags[0]}; the next version will drop the old name."
            )
        if now in given:
            raise UsageError(f"{known.flags[0]} was given twice, once by another name", hint="Leave out one of them.")
        given[now] = False if name.endswith(_NOT) else value if known.read is None else known.read(value)
    return given


def _source(context: typer.Context, name: str) -> str:
    """Where a value came from; by name, since typer may bring a click of its own."""
    source = context.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name
