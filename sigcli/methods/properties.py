"""What lines of the table of methods have in common; `sigcli.methods` says what each property means."""

from __future__ import annotations

AXIOMS = {
    "completeness": "values sum to a score difference, in expectation where there are draws (Sundararajan et al. 2017)",
    "dummy": "what the model never reads gets 0 ([ICG] section 3.2)",
    "linearity": "the map of a sum of scores is the sum of their maps",
    "symmetry": "players that the model treats alike get the same, in expectation where there are draws",
    "invariance": "networks that compute the same function get the same map",
}
ALL = tuple(AXIOMS)
EXPECTED = ("completeness", "dummy", "linearity", "invariance")
PATH = {
    "kind": "path", "needs": "gradients", "complete": True, "sampled": False, "players": False, "multiplied": True,
    "axioms": ALL, "cost": "steps", "budget": "steps", "passes": 50, "arrays": True, "positive": "for",
}  # fmt: skip
LINES = {
    **PATH, "sampled": True, "cost": "samples × steps", "budget": "samples", "grows": "16 samples", "passes": 256,
}  # fmt: skip
SHAPLEY = {**LINES, "players": True}
GRADIENT = {
    **PATH, "complete": False, "multiplied": False, "axioms": ("dummy", "linearity", "symmetry", "invariance"), "cost": "1",
    "budget": "", "passes": 1, "positive": "raises",
}  # fmt: skip
DIRECT = {
    "kind": "direct", "needs": "hooks", "complete": False, "sampled": False, "players": False, "multiplied": True,
    "axioms": (), "cost": "1", "passes": 1, "arrays": False, "positive": "for",
}  # fmt: skip
RULED = {**DIRECT, "multiplied": False, "axioms": ("dummy",), "positive": "raises", "edges": True}
COARSE = {**DIRECT, "coarse": True}
LAYER = {**COARSE, "multiplied": False, "unit": "Grad-CAM, no unit"}
ATTENTION = {**LAYER, "unit": "attention times gradient, no unit", "only": "attention"}
CHANNELS = {"backward": False, "cost": "channels + 1", "passes": 513}
ALONG = {**DIRECT, "needs": "gradients", "complete": True, "cost": "steps", "budget": "steps", "passes": 50}
MASK = {
    **ALONG,
    "complete": False,
    "multiplied": False,
    "cost": "iterations",
    "budget": "iterations",
    "passes": 300,
    "coarse": True,
}
SCORES = {**COARSE, "needs": "forward", "drops": True}
GAME = {
    **SCORES,
    "arrays": True,
    "players": True,
    "complete": True,
    "sampled": True,
    "axioms": ALL,
    "cost": "≤ budget",
    "budget": "budget",
    "passes": 2048,
    "quantity": "Shapley value",
}
