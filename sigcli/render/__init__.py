"""Pictures of attributions, drawn with numpy and Pillow alone: pure functions that run in threads beside the models."""

from .maps.answers import Answer
from .maps.paint import describe, paint, reduce_channels, smooth, symmetric_limit
from .maps.palette import Palette, palette
from .maps.sheet import Panel, by_sign, compare_image
from .maps.single import map_image, overlay_image, save_png, uncertainty_image
from .maps.targets import TargetMethod, TargetRow, targets_image

__all__ = [
    "Answer",
    "Palette",
    "Panel",
    "TargetMethod",
    "TargetRow",
    "by_sign",
    "compare_image",
    "describe",
    "map_image",
    "overlay_image",
    "paint",
    "palette",
    "reduce_channels",
    "save_png",
    "smooth",
    "symmetric_limit",
    "targets_image",
    "uncertainty_image",
]
