"""Turn what a user typed into what the library needs: methods and metrics with their options."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..baselines import drawn, uses_peers
from ..catalog import Catalog, Entry, convert
from ..errors import SigError, UsageError, unknown
from ..methods import METHODS
from ..methods.given import GivenMethod, given_method
from ..methods.presets import PRESETS
from ..metrics import METRICS
from ..options import VIEW, checked
from ..views import chosen as chosen_view
from .budgets import check_budget

if TYPE_CHECKING:
    from .options import RunOptions

Methods = str | Callable[..., Any] | Sequence[str | Callable[..., Any]] | Mapping[str, str | Callable[..., Any]]
"""Names of methods, functions, or a mapping of names to either."""
_LARGEST = 4096
_SHOWN = 12


@dataclass(frozen=True)
class Chosen:
    """A method with the options it will be called with (those of its signature that were set).

    Args:
        entry: entry of the catalogue.
        options: option name → typed value, only those that were set.
        alias: what the user calls it, so one method can stand beside itself with other options.
        typed: another name of the entry, where the user typed that.
    """

    entry: Entry
    options: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""
    typed: str = ""

    @property
    def note(self) -> str:
        """What was taken for a name of another package, empty where the name is ours."""
        return f"{self.typed} is called {self.entry.name} here" if self.typed and not self.alias else ""

    @property
    def called(self) -> str:
        """In messages about what was typed."""
        return self.typed or self.entry.name

    @property
    def name(self) -> str:
        """In tables and file names."""
        return self.alias or self.entry.name

    def resolved(self) -> dict[str, Any]:
        """Every option with the value in force, for the manifest."""
        defaults = {name: p.default for name, p in self.entry.options().items()}
        if isinstance(self.entry, GivenMethod):
            defaults = {"function": self.entry.target, "source": self.entry.source}
        return {name: _plain(value) for name, value in {**defaults, **self.options}.items()}

    @property
    def uses_peers(self) -> bool:
        """Whether the result depends on the other images of the run."""
        options = self.resolved()
        return uses_peers(options.get("baseline")) or options.get("baselines") == "images"

    @property
    def drawn(self) -> bool:
        """Whether the seed may have a part in the map, as far as the catalogues tell; a program's function may draw."""
        sampled = isinstance(self.entry, GivenMethod) or bool(self.entry.properties["sampled"])
        return sampled or drawn(self.resolved().get("baseline"))


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def split_settings(settings: Mapping[str, Any], metric: str | Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of methods, and those of metrics: the ones whose text begins with a metric's name and a dot.

    >>> split_settings({"samples": "9", "deletion.steps": "20", "d.steps": "5"}, "d=deletion")
    ({'samples': '9'}, {'deletion.steps': '20', 'd.steps': '5'})
    """
    own = (alias for alias, _ in _named(metric) if alias)
    owners = {name for entry in METRICS.values() for name in (entry.name, *entry.aliases)}.union(own)
    for_metrics = {key: value for key, value in settings.items() if key.rpartition(".")[0] in owners}
    return {key: value for key, value in settings.items() if key not in for_metrics}, for_metrics


def choose_metrics(metric: str | Sequence[str], imputation: str | None, settings: Mapping[str, Any]) -> list[Chosen]:
    """The chosen metrics with their options, those that impute once for each imputation asked for.

    Args:
        metric: names or `alias=name`, or one text of them with commas.
        imputation: names with commas, or None for each metric's own.
        settings: `metric.option` → value.

    Raises:
        UsageError: unknown metric or option, a value of the wrong type, or one that only `explain` reports.
    """
    chosen: list[Chosen] = []
    wanted = [name.strip() for name in (imputation or "").split(",") if name.strip()]
    every = _chosen(METRICS, "metric", metric, settings)
    if wanted and not any("imputation" in one.entry.options() for one in every):
        raise UsageError(
            "none of the chosen metrics removes pixels", given=f"--imputation {imputation}", hint="Leave it out."
        )
    for one in every:
        if "labels" in one.entry.properties["takes"] or "right" in one.entry.properties["takes"]:
            raise UsageError(
                f"{one.entry.name} measures the model, not a map", hint="Leave it out: --labels FILE adds it."
            )
        if not wanted or "imputation" not in one.entry.options():
            chosen.append(one)
            continue
        if "imputation" in one.options:
            raise UsageError(
                f"{one.name} was given two imputations", given=f"--imputation and --set {one.name}.imputation"
            )
        chosen += [replace(one, options={**one.options, "imputation": name}) for name in dict.fromkeys(wanted)]
    return chosen


def choose_methods(method: Methods, settings: Mapping[str, Any], preset: str | None = None) -> list[Chosen]:
    """The chosen methods with their options.

    Args:
        method: names or `alias=name` ("black=ig" is ig under the name black), or one text of them with commas; functions
            (model, inputs, targets) → attributions; or a mapping of names to either.
        settings: `option` for every chosen method that has it, or `name.option` for one; texts are converted to the
            type in the method's signature.
        preset: name in `sigcli.methods.presets.PRESETS`; settings come before it.

    Raises:
        UsageError: unknown method or option, a value of the wrong type, the same method twice, or none.

    >>> [(c.entry.name, dict(c.options)) for c in choose_methods("ig,gradient", {"steps": "20"})]
    [('ig', {'steps': 20}), ('gradient', {})]
    """
    if preset is not None and preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    before = PRESETS[preset][1] if preset is not None else {}
    named, functions = _parted(method)
    chosen = _chosen(METHODS, "method", named, settings, functions)
    if before and not any(one.entry.name in before for one in chosen):
        raise UsageError(f"the preset {preset} has no settings for these methods", allowed=", ".join(before))
    return [replace(one, options={**before.get(one.entry.name, {}), **one.options}) for one in chosen]


def _parted(method: Methods) -> tuple[list[str], dict[str, Entry]]:
    """Texts that name methods, in order, and the functions among them by the names that stand for them in the texts.

    Raises:
        UsageError: something that is neither, a name that cannot be one, or one that is taken.
    """
    pairs = method.items() if isinstance(method, Mapping) else [("", one) for one in _listed(method)]
    texts: list[str] = []
    functions: dict[str, Entry] = {}
    for name, one in pairs:
        if isinstance(one, str):
            texts.append(f"{name}={one}" if name else one)
            continue
        if not callable(one) or isinstance(one, type):
            allowed = "names, functions (model, inputs, targets) -> attributions, or a mapping of names to either"
            raise UsageError("method cannot be used", given=f"a {type(one).__name__}", allowed=allowed)
        own = _fit(name or getattr(one, "__name__", type(one).__name__).strip("<>"), "method")
        if own in METHODS or own in functions:
            what = "is already the name of a method" if own in METHODS else "names two functions"
            hint = "Name the function: method={'mine': function}."
            raise UsageError(f"'{own}' {what}", given=f"method={own}", hint=hint)
        functions[own] = given_method(own, one)
        texts.append(own)
    return texts, functions


def _listed(method: Any) -> list[Any]:
    return list(method) if isinstance(method, Sequence) and not isinstance(method, str) else [method]


def method_names(named: Methods) -> tuple[str, ...]:
    """What the methods are called, which need not be in the catalogue: arrays may be anyone's."""
    named, _ = _parted(named)
    return tuple(alias or name for alias, name in _named(named))


SHEET = "compare"
"""What the sheet over all methods is called."""


def _named(named: str | Sequence[str]) -> list[tuple[str, str]]:
    """(alias or empty, name in the catalogue) of every item."""
    parts = [named] if isinstance(named, str) else list(named) if isinstance(named, Sequence) else [named]
    wrong = next((part for part in parts if not isinstance(part, str)), None)
    if wrong is not None or named is None:
        raise UsageError(
            "a name must be a text", given=f"a {type(wrong).__name__}", allowed="names, in a text or a list"
        )
    items = [item.strip() for part in parts for item in part.split(",") if item.strip()]
    return [(alias.strip(), name.strip()) if equals else ("", alias) for alias, equals, name in map(_halves, items)]


def _halves(item: str) -> tuple[str, str, str]:
    return item.partition("=")


def _chosen(
    catalog: Catalog,
    kind: str,
    named: str | Sequence[str],
    settings: Mapping[str, Any],
    functions: Mapping[str, Entry] | None = None,
) -> list[Chosen]:
    items, own = _named(named), functions or {}
    if not items:
        raise UsageError(f"no {kind} given", allowed=", ".join(catalog))
    chosen = [
        Chosen(own[name]) if name in own else Chosen(catalog[name], {}, _alias(alias, name, catalog, kind), typed=name)
        for alias, name in items
    ]
    chosen = [replace(one, typed="") if one.typed == one.entry.name else one for one in chosen]
    names = [one.name for one in chosen]
    if len({name.casefold() for name in names}) < len(names):
        hint = f"To run it twice with different options, name one of them: mine={items[0][1]}."
        notes = dict.fromkeys(one.note for one in chosen if one.note and names.count(one.name) > 1)
        other = "".join(f"{note}. " for note in notes)
        shown = ",".join(f"{alias}={name}" if alias else name for alias, name in items)
        raise UsageError(f"the same {kind} was given twice", given=shown, hint=f"{other}{hint}")
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in sorted(settings.items(), key=lambda item: "." in item[0]):
        for one in _receivers(key, chosen, kind, catalog):
            given[one.name][key.rpartition(".")[2]] = value
    return [replace(one, options=_typed(one.entry, given[one.name])) for one in chosen]


def _alias(alias: str, name: str, catalog: Catalog, kind: str) -> str:
    """The alias, which becomes a file name and a cell of the tables."""
    if not alias or (alias in catalog and catalog[alias] is catalog[name]):
        return ""
    if alias in catalog:
        raise UsageError(f"'{alias}' is already the name of a {kind}", given=f"{alias}={name}")
    return _fit(alias, kind)


def _fit(name: str, kind: str) -> str:
    """A name that may be that of files and a cell of tables; raises UsageError where it may not."""
    allowed = "letters, digits, - + and _, at most 40 of them"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_+-]{0,39}", name) or name.casefold() == SHEET:
        raise UsageError(f"'{name}' cannot be the name of a {kind}", allowed=f"{allowed}, and not '{SHEET}'")
    return name


def _means(owner: str, one: Chosen) -> bool:
    """Whether a text is another name of a method: one that the table knows, or the one that the user chose it by."""
    return owner in one.entry.aliases or owner == one.typed


def _receivers(key: str, chosen: list[Chosen], kind: str, catalog: Mapping[str, Entry]) -> list[Chosen]:
    owner, dot, option = key.rpartition(".")
    if dot:
        named = [one for one in chosen if owner == one.name or (not one.alias and _means(owner, one))]
        if not named:
            raise unknown(f"{kind} in --set {key}: it is not among those chosen", owner, [one.name for one in chosen])
        if option not in named[0].entry.options():
            raise _lacking(option, [owner], set(named[0].entry.options()), kind, catalog)
        return named
    having = [one for one in chosen if key in one.entry.options()]
    if not having:
        every = {option for one in chosen for option in one.entry.options()}
        raise _lacking(key, list(dict.fromkeys(one.called for one in chosen)), every, kind, catalog)
    return having


def _lacking(key: str, called: Sequence[str], having: set[str], kind: str, catalog: Mapping[str, Entry]) -> SigError:
    """The error for an option that those chosen have not, with the entries that have it."""
    others = [name for name, entry in catalog.items() if key in entry.options()]
    names = ", ".join(called)
    if not others:
        return unknown(f"option of {names}", key, having)
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return UsageError(
        f"{names} {'has' if len(called) == 1 else 'have'} no option {key}",
        allowed=", ".join(sorted(having)) or None,
        hint=f"These {kind}s have it: {', '.join(others[:_SHOWN])}{more}.",
    )


def _typed(entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    typed = {name: value for name, value in given.items() if not isinstance(value, str)}
    hints = typing.get_type_hints(entry.load()) if typed else {}
    for name, value in typed.items():
        kinds = tuple(k for k in (typing.get_args(hints[name]) or (hints[name],)) if isinstance(k, type))
        accepted = (*kinds, int) if float in kinds else kinds
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(
                f"option {name} of {entry.name} has the wrong type",
                given=repr(value),
                allowed=" or ".join(k.__name__ for k in kinds) or str(hints[name]),
            )
    return {**convert(entry, texts), **typed}


def check_values(options: RunOptions) -> None:
    """Raise UsageError for an option that is out of its range, as far as it alone shows."""
    batch_size = options.batch_size
    chosen_view(options.view, options.smooth, VIEW)
    if batch_size is not None and batch_size < 1:
        raise UsageError("batch size must be at least 1, or auto", given=batch_size)
    for name, size in (("resize", options.resize), ("crop", options.crop)):
        if size is not None and size > _LARGEST:
            raise UsageError(f"{name} is too large", given=size, allowed=f"up to {_LARGEST} pixels")
    check_budget(options)
    checked(options)
