"""Which methods of `sig benchmark methods` network and images allow, and how many evaluations each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..attribution.budgets import budgeted
from ..attribution.decoding import ImageSet
from ..attribution.options import RunOptions
from ..attribution.rehearsal import unfit
from ..attribution.samples import Pictures
from ..attribution.select import Chosen
from ..attribution.suited import check_suited
from ..engine.failures import attempted
from ..errors import SigError, UsageError
from ..methods.costs import planned
from ..methods.run import attributions
from ..models.model import Model
from .options import BenchmarkMethodsOptions
from .warming import first_subject

EVALUATIONS = 256
"""Evaluations of the model that a map costs at most, unless the user says otherwise."""


@dataclass
class Suited:
    """The methods that are compared: of the standard set those that can be used; each at the same cost.

    Args:
        options: options of the benchmark. Methods that were named are not left out.
        wanted: the reference, which cannot be left out.
        notes: what is left out and why, and what methods cost, once it was called.
    """

    options: BenchmarkMethodsOptions
    wanted: str | None = None
    notes: list[str] = field(default_factory=list)

    def __call__(self, samples: Pictures, model: Model, methods: list[Chosen]) -> list[Chosen]:
        """The methods with the options of their cost.

        Raises:
            UsageError: none of the standard set can be used, or the reference cannot.
        """
        found = methods if "method" in self.options.given else self._usable(samples, model, methods)
        found = samples.tokened(model, found)
        if self.options.evaluations is not None or self.options.tolerance is not None:
            return found
        return self._at_equal_cost(found, model)

    def _usable(self, samples: Pictures, model: Model, methods: list[Chosen]) -> list[Chosen]:
        found, obstacles = usable(self.options, samples, model, methods)
        if self.wanted in obstacles:
            raise UsageError(f"nothing can be compared with {self.wanted}: {obstacles[self.wanted]}")
        self.notes += left_out(obstacles)
        return found

    def _at_equal_cost(self, methods: list[Chosen], model: Model) -> list[Chosen]:
        """The methods with as many evaluations as all may have, but for those whose own number was set or is fixed."""
        size, asked = model.preprocess.size, self.options.but(evaluations=EVALUATIONS)
        found, other = list[Chosen](), list[str]()
        for one in methods:
            option, made = str(one.entry.properties.get("budget", "")), one
            if option and option not in one.options:
                with suppress(UsageError):  # it cannot be made as cheap, or its cost depends on the picture
                    (made,), _ = budgeted(asked, [one], size)
            cost = planned(made.entry, made.resolved(), size)
            if option in made.options and made is one:
                other.append(f"{one.name} has {option}={one.options[option]}")
            elif cost is None or cost > EVALUATIONS:
                other.append(f"{one.name} costs {'its own' if cost is None else f'{cost:,}'}")
            found.append(made)
        but = f"; {', '.join(other)}" if other else ""
        self.notes.append(
            f"every map costs up to {EVALUATIONS} evaluations of the model (--evaluations changes that){but}"
        )
        return found


def usable(
    options: RunOptions, samples: Pictures, model: Model, methods: Sequence[Chosen]
) -> tuple[list[Chosen], dict[str, str]]:
    """The methods that network and images allow, and of every other one its name and why not.

    Args:
        options: of the run: its seed, and how long methods run.
        samples: the images.
        model: loaded.
        methods: with their options.

    Raises:
        UsageError: none of the methods can be used.
    """
    found, obstacles = list[Chosen](), dict[str, str]()
    for one in methods:
        why = _obstacle(options, samples, model, one)
        if why is None:
            found.append(one)
        else:
            obstacles[one.name] = why
    if not found:
        raise UsageError("none of the standard methods can explain this network", hint="Name others with --method.")
    return found, obstacles


def left_out(obstacles: Mapping[str, str]) -> list[str]:
    """What is left out, in sentences: method → why."""
    return [f"{name} is left out: {why}" for name, why in obstacles.items()]


def _obstacle(options: RunOptions, samples: Pictures, model: Model, one: Chosen) -> str | None:
    """Why a method cannot be used, in words; None where it can."""
    if one.uses_peers and len(samples.compared) < 2:
        return "it compares an image with others, and there is one image (--references names more)"
    scorer = samples.scorer(model)
    try:
        check_suited(model, [one], samples)
        (asked,), _ = budgeted(options, samples.tokened(model, [one]), model.preprocess.size)
        if misfit := unfit(samples, model, [asked], scorer, options.seed):
            return _first_line(misfit[one.name])
    except UsageError as error:
        return _first_line(error)
    if one.entry.properties["needs"] != "hooks":
        return None
    subject = first_subject(samples.sources, model, options.seed)
    if subject is None:  # no picture can be read, which is told of each
        return None
    subject = replace(subject, peers=ImageSet(samples.compared, model.preprocess, samples.read))
    tried = attempted(lambda: list(attributions(asked.entry, asked.options, scorer, [subject], batch_size=1)))
    return _first_line(tried) if isinstance(tried, SigError) else None


def _first_line(error: SigError) -> str:
    return str(error).partition("\n")[0].rstrip(".")
