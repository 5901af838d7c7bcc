"""Views: how a map is looked at, as it is, smoothed, at several scales, or region by region.

A map of pixels is too fine to be read and too noisy to be trusted, so it is looked at through a view. Every view is linear
and keeps the sum: what it shows adds up to the same score difference, and the standard error of what it shows follows from
the deviations of independent replicates seen through the same view (`Attribution.deviations`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from .errors import UsageError
from .options import VIEW, VIEWS

SHARE = 0.02
"""σ of `smooth`, as a fraction of the shorter side."""
LEAST = 64
"""Maps of a shorter side than this many pixels are coarse enough: `smooth` and `multi` leave them as they are."""
AUTO = "auto"
OCTAVES = 1, 2, 4, 8, 16
"""The scales of `multi`: multiples of the σ of `smooth`. Each has a share in proportion to its σ, since a map's values
grow as it gets finer: in a plain mean the finest scale alone would decide the order of the pixels."""
SEGMENTATIONS = 50, 100, 150, 250, 500, 1200
"""Scales of the segmentations of `regions`, and the fewest pixels of a region at 224×224 (Kapishnikov et al. 2019)."""
_FEWEST = 150

Lens = Callable[[Float[Tensor, "*n h w"]], Float[Tensor, "*n h w"]]
"""A view at one size, and where it has regions of one picture: maps in, maps out."""


@dataclass(frozen=True)
class View:
    """What `parse` reads: the mean of some looks.

    Args:
        spec: its text.
        looks: each the σ of a blur in pixels, ("σ", 4.5), a multiple of the default one, ("octave", 2), or ("regions", 0).
        shares: the share of each in the mean.
    """

    spec: str
    looks: tuple[tuple[str, float], ...]
    shares: tuple[float, ...]

    def of(self, *, unsmoothed: bool) -> View:
        """What `auto` is for a map: `raw` for one that is coarse by nature or of edges, `multi` for any other.

        Other views stay.

        >>> [parse(one).of(unsmoothed=True).spec for one in ("auto", "smooth")], parse("auto").of(unsmoothed=False).spec
        (['raw', 'smooth'], 'multi')
        """
        if self.spec != AUTO:
            return self
        return RAW if unsmoothed else parse("multi")

    @property
    def needs_picture(self) -> bool:
        """Whether it depends on the picture, and not on the size alone."""
        return any(kind == "regions" for kind, _ in self.looks)

    def at(self, shape: tuple[int, ...], picture: UInt8[np.ndarray, "h w c"] | None = None) -> Lens:
        """The view of maps (…, H, W).

        Args:
            shape: ends in H, W.
            picture: what the model saw, for views with regions.

        Raises:
            UsageError: regions of something that is no picture.
        """
        height, width = shape[-2:]
        parts: list[tuple[float, Lens]] = []
        scales: dict[float, float] = {}  # the share of each σ: those that are 0 come together
        for (kind, value), share in zip(self.looks, self.shares, strict=True):
            if kind == "regions":
                if picture is None:
                    raise UsageError("a view of regions needs a picture", given=self.spec, allowed=VIEWS)
                parts.append((share, _regions(segmentations(picture, (height, width)))))
            else:
                sigma = self._sigma(kind, value, (height, width))
                scales[sigma] = scales.get(sigma, 0.0) + share
        parts += [(share, _blur(height, width, sigma)) for sigma, share in scales.items()]
        if len(parts) == 1:
            return parts[0][1]

        def mean(maps: Tensor) -> Tensor:
            return sum((share * part(maps) for share, part in parts), torch.zeros_like(maps))

        return mean

    @staticmethod
    def _sigma(kind: str, value: float, shape: tuple[int, ...]) -> float:
        return value if kind == "σ" else round(value * default_sigma(shape), 1)

    def describe(self, shape: tuple[int, ...]) -> str:
        """In words, for captions.

        >>> parse("smooth").describe((224, 224)), parse("multi").describe((224, 224))
        ('smoothed, σ = 4.5 px', 'smoothed at scales σ = 4.5, 9, 18, 36, 72 px')
        """
        sigmas = [self._sigma(kind, value, shape[-2:]) for kind, value in self.looks if kind != "regions"]
        listed = ", ".join(f"{sigma:g}" for sigma in sigmas)
        smoothed = f"smoothed at scales σ = {listed} px" if len(sigmas) > 1 else f"smoothed, σ = {listed} px"
        if not any(sigmas):
            smoothed = "not smoothed"
        if not self.needs_picture:
            return smoothed
        regions = f"means of regions in {len(SEGMENTATIONS)} segmentations"
        return regions if not sigmas else f"{smoothed}; mean of that and of {regions}"


def default_sigma(shape: tuple[int, ...]) -> float:
    """Smoothing in pixels that makes a pixel map of a real network readable: 2 % of the shorter side, 0 below 64 px.

    >>> default_sigma((224, 224)), default_sigma((28, 28))
    (4.5, 0.0)
    """
    side = min(shape[-2:])
    return round(SHARE * side, 1) if side >= LEAST else 0.0


@lru_cache(maxsize=256)
def parse(spec: str) -> View:
    """A view from its text. `auto` is read as `multi`, unless `View.of` is told what kind of map it is for.

    Raises:
        UsageError: a text of no known form.

    >>> parse("smooth:3+regions").shares
    (0.5, 0.5)
    """
    looks: list[tuple[str, float]] = []
    shares: list[float] = []
    parts = ["multi"] if spec == AUTO else spec.split("+")
    for part in parts:
        found = _looks(part.strip(), spec)
        weights = [max(value, 1.0) for _, value in found]
        looks += found
        shares += [weight / (len(parts) * sum(weights)) for weight in weights]
    return View(spec, tuple(looks), tuple(shares))


def chosen(view: str | None, smooth: float | None, default: str) -> View:
    """The view that a command names by `view` or by `smooth`, the pixels of a blur.

    Raises:
        UsageError: both, or no such view.
    """
    if view is not None and smooth is not None:
        raise UsageError("--view and --smooth exclude each other", given=f"{view}, {smooth:g}")
    if smooth is not None:
        return parse(f"smooth:{smooth:g}")
    return parse(default if view is None else view)


def _looks(part: str, spec: str) -> list[tuple[str, float]]:
    """The looks of one part of a view."""
    name, colon, argument = part.partition(":")
    if name == "raw" and not colon:
        return [("σ", 0.0)]
    if name == "regions" and not colon:
        return [("regions", 0.0)]
    if name in ("smooth", "multi") and not colon:
        return [("octave", float(factor)) for factor in (OCTAVES if name == "multi" else (1,))]
    try:
        sigmas = [float(text) for text in argument.split(",")] if name in ("smooth", "multi") else []
    except ValueError:
        sigmas = []
    if not sigmas or not all(0 <= sigma < 1000 for sigma in sigmas) or (name == "smooth" and len(sigmas) > 1):
        raise UsageError("no such view", given=spec, allowed=VIEWS)
    return [("σ", sigma) for sigma in sigmas]


RAW, DEFAULT = parse("raw"), parse(VIEW)
"""The arrays as they are, and what pictures show and metrics measure unless told otherwise."""


@lru_cache(maxsize=32)
def _kernel(side: int, sigma: float) -> Float[Tensor, "n n"]:
    """The blur of one axis as a matrix, fp64: mirrored at the edge, so that rows and columns sum to 1."""
    from scipy import ndimage  # long to import, and not always needed

    return torch.from_numpy(ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect", truncate=3.0))


def _blur(height: int, width: int, sigma: float) -> Lens:
    """A Gaussian of that many pixels."""
    if sigma == 0:
        return lambda maps: maps

    def blurred(maps: Tensor) -> Tensor:
        rows, columns = _kernel(height, sigma).to(maps), _kernel(width, sigma).to(maps)
        return rows @ maps @ columns.T

    return blurred


def _regions(labels: tuple[np.ndarray, ...]) -> Lens:
    """The mean, over segmentations, of each region's mean."""

    def averaged(maps: Tensor) -> Tensor:
        flat = maps.flatten(-2)
        found = torch.zeros_like(flat)
        for one in labels:
            place = torch.from_numpy(one).to(maps.device).flatten()
            count = torch.bincount(place).to(maps)
            sums = flat.new_zeros(*flat.shape[:-1], len(count)).index_add_(-1, place, flat)
            found += (sums / count).index_select(-1, place) / len(labels)
        return found.unflatten(-1, maps.shape[-2:])

    return averaged


def segmentations(picture: UInt8[np.ndarray, "h w c"], shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """The segmentations of a picture at a size, label maps (H, W); those of the last few pictures are kept."""
    return _segmented(np.ascontiguousarray(picture).tobytes(), picture.shape, shape)


@lru_cache(maxsize=4)
def _segmented(content: bytes, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    from skimage.segmentation import felzenszwalb
    from skimage.transform import resize

    picture = np.frombuffer(content, np.uint8).reshape(shape).astype(np.float64) / 255
    if picture.shape[:2] != size:
        picture = resize(picture, size, anti_aliasing=True)
    fewest = max(2, round(_FEWEST * size[0] * size[1] / 224**2))
    return tuple(
        felzenszwalb(picture, scale=scale, sigma=0.8, min_size=fewest, channel_axis=-1).astype(np.int64)
        for scale in SEGMENTATIONS
    )


def shown_error(
    lens: Lens, values: Float[Tensor, "h w"], deviations: Float[Tensor, "j h w"]
) -> tuple[Float[Tensor, "h w"], float]:
    """The standard error of a map as it is seen: of each pixel, and of the whole relative to the map's norm.

    Args:
        lens: the view.
        values: the map, channels summed.
        deviations: see `Attribution.deviations`.
    """
    variance = lens(deviations).square().sum(0)
    whole = float(variance.sum().sqrt() / lens(values[None])[0].norm().clamp(min=1e-30))
    return variance.sqrt(), whole
