"""Metric values that are known already, in `metrics.jsonl`."""

import json

from sigcli.evaluation.cache import Kept
from sigcli.evaluation.value import MetricValue


def test_values_go_with_the_image_and_take_its_name(tmp_path):
    """Two images that changed places have each other's values, under the names that they have now."""
    first = Kept(tmp_path, resume=False)
    values = [MetricValue(name, "ig", 1, "deletion", "black", value, digest=name * 2, brief=name * 3)
              for name, value in (("a", 0.25), ("b", 0.5))]  # fmt: skip
    for value in values:
        first.add(value)
    first.settle(values, ["a", "b"])
    again = Kept(tmp_path, resume=True)
    swapped = [again.known(MetricValue("a", "ig", 1, "deletion", "black", digest="bb")),
               again.known(MetricValue("b", "ig", 1, "deletion", "black", brief="aaa"))]  # fmt: skip
    assert [(one.image, one.value) for one in swapped] == [("a", 0.5), ("b", 0.25)]
    again.settle(swapped, ["a", "b"])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["image"], row["value"]) for row in rows] == [("a", 0.5), ("b", 0.25)]
