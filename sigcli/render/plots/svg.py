"""An SVG of matplotlib made small and whole: its pictures packed, the letters that it uses inside."""

from __future__ import annotations

import base64
import io
import re
from html import unescape

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image

_PNG = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_COLOURS, _QUALITY = 256, 92


def small_pictures(svg: bytes) -> bytes:
    """The same SVG with each picture in the form that is smallest for what it shows.

    Matplotlib embeds all as PNG in 24 bits. A map, which has few colours, becomes a PNG of a byte each, without any loss; a
    photograph becomes a JPEG.
    """
    return _PNG.sub(lambda found: _packed(base64.b64decode(found[1])), svg)


def _packed(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as opened:
        if opened.mode == "RGBA" and opened.getextrema()[3] != (255, 255):  # type: ignore[index]
            return _address("png", png)  # what shows through has no JPEG
        picture = opened.convert("RGB")
    stream = io.BytesIO()
    indexed = _indexed(picture)
    if indexed is None:
        picture.save(stream, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
        return _address("jpeg", stream.getvalue())
    indexed.save(stream, "PNG", optimize=True)
    return _address("png", stream.getvalue())


def _indexed(picture: Image.Image) -> Image.Image | None:
    """A picture of at most 256 colours with a byte for each pixel; None for one of more."""
    if picture.getcolors(_COLOURS) is None:
        return None
    pixels = np.asarray(picture).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, index = np.unique(pixels, return_inverse=True)
    made = Image.fromarray(index.reshape(pixels.shape).astype(np.uint8), "P")
    made.putpalette([int(colour) >> shift & 255 for colour in colours for shift in (16, 8, 0)])
    return made


def _address(kind: str, data: bytes) -> bytes:
    return f"data:image/{kind};base64,".encode() + base64.b64encode(data)


def with_font(svg: bytes) -> bytes:
    """An SVG with the letters that it uses inside, so it looks the same where the font is not installed."""
    from fontTools import subset

    text = svg.decode()
    # FFTM, FontForge's note of when the font was made, cannot be cut to some letters: fontTools would say so and drop it.
    options = subset.Options(flavor="woff", notdef_outline=True, drop_tables=[*subset.Options().drop_tables, "FFTM"])
    font = subset.load_font(findfont("DejaVu Sans"), options)
    letters = subset.Subsetter(options)
    letters.populate(text="".join(sorted(set(unescape(re.sub(r"<[^>]*>", "", text))))))
    letters.subset(font)
    made = io.BytesIO()
    subset.save_font(font, made, options)
    font.close()
    data = base64.b64encode(made.getvalue()).decode()
    face = f"@font-face{{font-family:'DejaVu Sans';src:url(data:font/woff;base64,{data}) format('woff')}}"
    return text.replace("<defs>", f"<defs>\n  <style>{face}</style>", 1).encode()
