"""Settings of methods that go together, by name. Text only; what the user sets himself comes before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: dict[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "paper": (
        "SIG as [SIG] runs it on images: 80x80 players, coalitions by Algorithm 1 as printed, 50 Riemann steps from each. "
        "The paper names neither x' (here black) nor the number of coalitions for images (here 20, for 1,000 gradients)",
        {
            "sig": {
                "players": "80x80", "baseline": "black", "samples": 20, "steps": 50, "rule": "riemann-left",
                "sizes": "algorithm1", "form": "to-input", "coalitions": "sampled",
            },
            "sig-walk": {"players": "80x80", "baseline": "black", "gradients": "inside"},
            "ig": {"steps": 50, "rule": "riemann-left"},
        },
    ),
}  # fmt: skip
