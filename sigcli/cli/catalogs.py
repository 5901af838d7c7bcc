"""What `sig list` lists, by its name; this imports no torch."""

from ..attribution.formats import FORMATS
from ..baselines import BASELINES
from ..catalog import Catalog
from ..gridworld import ESTIMATORS
from ..methods import METHODS
from ..metrics import METRICS
from ..models import MODELS
from ..scenarios import SCENARIOS

CATALOGS: dict[str, Catalog] = {
    "models": MODELS,
    "methods": METHODS,
    "baselines": BASELINES,
    "estimators": ESTIMATORS,
    "metrics": METRICS,
    "scenarios": SCENARIOS,
    "formats": FORMATS,
}
