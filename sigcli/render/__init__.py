"""Pictures of attributions, drawn with numpy and Pillow alone: pure functions that run in threads beside the models."""

from .maps.paint import describe, reduce_channels, smooth, symmetric_limit
from .maps.sheet import Panel, by_sign, compare_image
from .maps.single import map_image, overlay_image, save_png, uncertainty_image

__all__ = [
    "Panel",
    "by_sign",
    "compare_image",
    "describe",
    "map_image",
    "overlay_image",
    "reduce_channels",
    "save_png",
    "smooth",
    "symmetric_limit",
    "uncertainty_image",
]
