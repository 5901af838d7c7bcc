"""Markdown of what `sig benchmark methods` measured: each method beside one, with paired 95 % intervals.

python benchmarks/methods_report.py RUN
python benchmarks/methods_report.py RUN --images imagenet50/

A cell is the difference of means, signed so that positive means the reference is better; **bold** where the
paired 95 % interval (bootstrap over images) is above zero, _italic_ where it is below.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from sigcli.metrics.statistics import paired

METRICS, IMPUTATIONS = ("deletion", "insertion"), ("black", "mean", "blur", "road")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--against", default="sig")
    parser.add_argument("--images", default="", help="only images whose path holds this text")
    args = parser.parse_args()
    found: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    with (args.run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["value"] and args.images in row["image"]:
                found[row["metric"], row["imputation"], row["method"]][row["image"]] = float(row["value"])
    columns = [(metric, imputation) for metric in METRICS for imputation in IMPUTATIONS]
    methods = [name for name in dict.fromkeys(key[2] for key in found) if name != args.against]
    arrows = {"deletion": "del ↓", "insertion": "ins ↑"}
    print(f"| method | {' | '.join(f'{arrows[metric]} {imputation}' for metric, imputation in columns)} |")
    print(f"|---|{'---|' * len(columns)}")
    means = [found[(*column, args.against)] for column in columns]
    print(f"| `{args.against}` | {' | '.join(f'{sum(one.values()) / len(one):.3f}' for one in means)} |")
    for method in methods:
        print(f"| `{method}` | {' | '.join(cell(found, column, method, args.against) for column in columns)} |")
    print(f"\n{len(means[0])} images")


def cell(
    found: dict[tuple[str, str, str], dict[str, float]], column: tuple[str, str], method: str, against: str
) -> str:
    one, other = found[(*column, against)], found[(*column, method)]
    worse, better = (other, one) if column[0] == "deletion" else (one, other)
    difference = paired(worse, better, within=(0, 1))
    text = f"{difference.mean:+.3f}"
    if difference.low is None or difference.high is None:
        return text
    return f"**{text}**" if difference.low > 0 else f"_{text}_" if difference.high < 0 else text


if __name__ == "__main__":
    main()
