"""The pages of the reference, one for each method, metric and scenario, from the catalogues, docstrings and our tables.

They are made while MkDocs builds the site (see scripts/site_hooks.py). To read them without it:

python scripts/reference_pages.py FOLDER
"""

from __future__ import annotations

import argparse
import csv
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from docstrings import cell, entries, escaped, linked, prose, sections, typed
from method_notes import NOTES
from method_pictures import REFUSED, command

from sigcli.catalog import Entry
from sigcli.methods import AXIOMS, METHODS
from sigcli.metrics import METRICS
from sigcli.options import flags, table
from sigcli.scenarios import SCENARIOS

FOLDERS = {"methods": METHODS, "metrics": METRICS, "scenarios": SCENARIOS}
NEEDS = {
    "gradients": "scores and gradients of the network",
    "hooks": "the layers of the network: no TorchScript and no `.pt2` file",
    "forward": "scores only: the model need not be differentiable",
}
POSITIVE = {
    "for": "the input speaks for the score",
    "against": "the input speaks against the score",
    "raises": "the score rises with the input's value",
    "salient": "the input matters, whether for or against",
}
SCENARIO_PAGES = {
    "shapes": "shapes.md", "expression": "pairs.md", "two-features": "certainty.md", "burnt-snacks": "certainty.md",
    "local-minimum": "certainty.md", "mnist": "certainty.md", "mnist-in-space": "certainty.md",
    "mnist-masked": "certainty.md",
    "shapley-regression": "benchmark.md", "shap-convergence": "verdicts.md", "shap-digits": "certainty.md",
    "imagenette": "certainty.md",
}  # fmt: skip
SCENARIO_PICTURES = {
    "shapes": "shapes-all.png", "expression": "expression-shares.png", "two-features": "two-features.png",
    "burnt-snacks": "burnt-snacks.png", "local-minimum": "local-minimum.png", "mnist": "mnist.png",
    "mnist-in-space": "mnist-in-space.png", "mnist-masked": "mnist-masked.png", "shap-digits": "shap-digits.png",
}  # fmt: skip
LONG = 60
"""Characters of a default from which on it stands beside the text of its option."""
PHOTOGRAPHS = {"SqueezeNet 1.1": "squeezenet1_1", "MobileNetV2": "mobilenet_v2"}


def slug(name: str) -> str:
    """The file name of an entry's page, without its ending."""
    return name.replace("+", "-plus")


def pages() -> dict[str, str]:
    """Path below the site's root → Markdown, of every page of the reference."""
    makers = {"methods": method_page, "metrics": metric_page, "scenarios": scenario_page}
    found = {f"reference/{folder}/index.md": index(folder) for folder in FOLDERS}
    for folder, catalogue in FOLDERS.items():
        for entry in catalogue.values():
            text = linked(makers[folder](entry), "../../")
            found[f"reference/{folder}/{slug(entry.name)}.md"] = text + "\n"
    return found


def index(folder: str) -> str:
    """The list of all methods, metrics or scenarios."""
    lines = [
        f"# All {folder}",
        "",
        f"Made from the catalogue that `sig list {folder}` shows.",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| [`{e.name}`]({slug(e.name)}.md) | {cell(escaped(e.summary))} |" for e in FOLDERS[folder].values()]
    return "\n".join(lines) + "\n"


def method_page(entry: Entry) -> str:
    """What a method is, its equation, axioms, cost, options, source, a picture and what we measured of it."""
    known, parts, note = entry.properties, sections(inspect.getdoc(entry.load()) or ""), NOTES.get(entry.name)
    lines = [f"# {entry.name}", "", _also(entry) + _sentence(entry), ""]
    lines += ["```text", note.equation, "```", ""] if note else []
    lines += _picture(entry.name)
    lines += [prose(parts[""]), ""]
    lines += ["## When to trust it", "", note.trust, ""] if note else []
    lines += measured(entry.name)
    lines += ["## What it needs and costs", "", *_facts(entry), ""]
    if known["axioms"]:
        lines += ["## Axioms", "", "The tests hold it to these:", ""]
        lines += [f"* *{axiom}*: {escaped(AXIOMS[axiom])}." for axiom in AXIOMS if axiom in known["axioms"]]
    else:
        lines += ["## Axioms", "", "It promises none of those that the tests check."]
    return "\n".join([*lines, "", *options_of(entry)])


def _also(entry: Entry) -> str:
    return f"Also called {', '.join(f'`{name}`' for name in entry.aliases)}.\n\n" if entry.aliases else ""


def _sentence(entry: Entry) -> str:
    """The entry's summary as a sentence."""
    text = escaped(entry.summary)
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('?', ']')) and '?' in text else '.'}"


def _picture(name: str) -> list[str]:
    if name in REFUSED:
        return [f"There is no picture of a network: {REFUSED[name]}.", ""]
    if not (ROOT / "docs" / "pictures" / "methods" / f"{name}.jpg").exists():
        return [f"*There is no picture yet: `python scripts/method_pictures.py --only {name}` draws it.*", ""]
    return [
        f"![The map of {name} over the picture, and alone](../../pictures/methods/{name}.jpg)", "",
        f"*`{command(name)}`*", "",
    ]  # fmt: skip


def _facts(entry: Entry) -> list[str]:
    """A list of what the catalogue says of a method."""
    known = entry.properties
    cost, passes = known["cost"], known["passes"]
    unit = known.get("unit") or ("the score's" if known["multiplied"] else "score per unit of the input")
    needs = NEEDS[known["needs"]]
    if known.get("certainty"):
        needs += "; a network that was trained with certainty"
    lines = [
        f"* Cost: `{cost}`" + ("" if cost == str(passes) else f", {passes:,} passes by default") + ".",
        f"* Needs: {needs}.",
        f"* A positive value says: {POSITIVE[known['positive']]}. Unit: {escaped(unit)}.",
    ]
    if known["complete"]:
        lines.append("* Values sum to a score difference; the column `gap` says what is missing.")
    if known["sampled"] and known.get("stderr", True):
        lines.append("* Sampled: the column `std. error` says how far other draws would move the map.")
    if known["arrays"]:
        lines.append("* Also explains [arrays](../../arrays.md): tables, text, molecules.")
    if known["players"]:
        lines.append("* Works on players, which `--players` chooses.")
    return lines


def options_of(entry: Entry) -> list[str]:
    """A table of the options of a method or metric."""
    parameters, texts = entry.options(), entries(sections(inspect.getdoc(entry.load()) or "").get("Args", ""))
    if not parameters:
        return ["## Options", "", "It has none."]
    lines = [
        "## Options",
        "",
        f"Set with `--set {entry.name}.NAME=VALUE`.",
        "",
        "| option | default | values | |",
        "|---|---|---|---|",
    ]
    for name, one in parameters.items():
        default = "" if one.default in (None, inspect.Parameter.empty) else f"`{one.default}`"
        lines.append(
            f"| `{name}` | {default} | {cell(escaped(typed(one.annotation)))} | {cell(escaped(texts.get(name, '')))} |"
        )
    return lines


def measured(name: str) -> list[str]:
    """Our numbers of a method: on drawn pictures with known masks, and on photographs."""
    lines: list[str] = []
    for network, rows in located().items():
        if name in rows:
            hit, auc, mass = rows[name][:3]
            lines.append(f"| `{network}`, 24 drawn pictures | ROC AUC {auc} | pointing game {hit}, mass {mass} |")
    for network, rows in photographed().items():
        if name in rows:
            row = rows[name]
            told = f"{network}, {row['n']} photographs, blur imputation"
            lines.append(f"| {told} | {row['deletion']} | {row['insertion']} |")
    if not lines:
        return ["We have no numbers of our own of it: measure it on your pictures with `sig benchmark methods`.", ""]
    return [
        "| measured on | | |", "|---|---|---|", *lines, "",
        "Means with 95 % intervals; the whole tables, and what they support: [drawn pictures](../../shapes.md), "
        "[transformers](../../transformers.md#which-method-to-trust), [photographs](../../defaults.md#the-view).", "",
    ]  # fmt: skip


@cache
def located() -> Mapping[str, Mapping[str, list[str]]]:
    """Network → method → cells of the tables in docs/shapes.md. IG stands there as `black`, its default baseline."""
    page = (ROOT / "docs" / "shapes.md").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[str]]] = {}
    for block in re.findall(r"<!-- output -->\n```text\n(.*?)```", page, re.S):
        network = re.search(r"The network (\S+) is right", block)
        if network:
            rows = re.findall(r"^([a-z][\w+-]*) +((?:\d\.\d\d \(.*?\) *){5})$", block, re.M)
            found[network[1]] = {
                {"black": "ig"}.get(name, name): re.findall(r"\d\.\d\d \(.*?\)", cells) for name, cells in rows
            }
    return found


@cache
def photographed() -> Mapping[str, Mapping[str, dict[str, str]]]:
    """Network → method → deletion and insertion under blur, from the tables of `sig benchmark methods`."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for network, file in PHOTOGRAPHS.items():
        (path,) = (ROOT / "benchmarks" / "results").glob(f"methods-*-{file}-*.csv")
        rows = found.setdefault(network, {})
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            if row["imputation"] == "blur" and row["metric"] in ("deletion", "insertion"):
                name = {"black": "ig"}.get(row["method"], row["method"])
                sign = "↓" if row["better"] == "lower" else "↑"
                low, high = float(row["ci_low"]), float(row["ci_high"])
                verdict = f", {row['verdict']} than `sig`" if row["verdict"] in ("better", "worse") else ""
                verdict = ", level with `sig`" if row["verdict"] == "level" else verdict
                text = f"{row['metric']} {sign} {float(row['mean']):.3f} ({low:.3f}–{high:.3f}){verdict}"
                rows.setdefault(name, {"n": row["n"]})[row["metric"]] = text
    return found


def metric_page(entry: Entry) -> str:
    """What a metric measures, its unit, direction, range, options and source."""
    known, parts = entry.properties, sections(inspect.getdoc(entry.load()) or "")
    low, high = known["range"]
    higher = {True: "higher is better", False: "lower is better", None: "neither direction is better"}
    lines = [
        f"# {entry.name}", "", _also(entry) + _sentence(entry), "",
        prose(parts[""]), "",
        f"* Unit: {known['unit']}, from {low:g} to {high:g}; {higher[known['higher_is_better']]}.",
    ]  # fmt: skip
    scope = {
        "map": "the map alone",
        "method": "the map, and the method, which is run again",
        "model": "the model, not a map",
    }
    lines.append(f"* Measures {scope[known['scope']]}.")
    if known["needs"] == "mask":
        lines.append("* Needs masks of the objects: `--masks`.")
    if known["along"]:
        lines.append(f"* Has a curve along the {known['along']}, in `curves.csv` and a plot.")
    if known["classes"]:
        lines.append("* For classifiers; regressions are refused.")
    lines += [
        "",
        f"```text\nsig evaluate photos/ --model resnet18 --method sig,ig --metric {entry.name}{_masks(entry)}\n```",
        "",
    ]
    return "\n".join([*lines, *options_of(entry)])


def _masks(entry: Entry) -> str:
    if entry.properties["needs"] == "mask":
        return " --masks masks/"
    return " --labels labels.csv" if "labels" in entry.properties["takes"] else ""


def scenario_page(entry: Entry) -> str:
    """What a scenario asks, its options, and where its results stand."""
    assert entry.options_class is not None
    page, picture = SCENARIO_PAGES.get(entry.name), SCENARIO_PICTURES.get(entry.name)
    lines = [f"# {entry.name}", "", _sentence(entry), ""]
    lines += [prose(sections(inspect.getdoc(entry.options_class) or "")[""]), ""]
    lines += [f"![{entry.name}](../../pictures/{picture})", ""] if picture else []
    lines += [f"```text\nsig benchmark scenario {entry.name}\n```", ""]
    lines += [f"Our results: [{page}](../../{page}).", ""] if page else []
    lines += ["## Options", "", "| option | default | |", "|---|---|---|"]
    for name, (known, field) in table(entry.options_class, entry.name).items():
        shown = (
            ""
            if field.default in (None, "") or not isinstance(field.default, str | int | float)
            else f"`{field.default}`"
        )
        typed_ = (
            f"`{known.metavar or name.upper()}`" if known.argument else ", ".join(f"`{f}`" for f in flags(name, known))
        )
        told = cell(escaped(known.help))
        if len(shown) > LONG:  # a list of methods would make the column as wide as the page
            shown, told = "below", f"{told} Default: {shown.replace(',', ', ')}"
        lines.append(f"| {typed_} | {shown} | {told} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, text in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
