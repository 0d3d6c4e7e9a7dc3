"""Pictures from bytes: any common kind, upright, RGB, opaque."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from domain.errors import PermanentError
from encoders.sniff import content_kind

Image.init()
FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
    if name in Image.OPEN
)
"""What is decoded. Formats that run programs or hold other files (EPS, ICO, PSD ...) are not."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
)
"""What Pillow's decoders raise on damaged content, struct.error being a ValueError's cousin."""


def decode_picture(content: bytes, *, max_pixels: int, least_side: int) -> Image.Image:
    """The picture as RGB: turned as EXIF says, transparency on white, first frame of several.

    Args:
        content: the file, whatever its name was.
        max_pixels: bound on width x height, read from the header before anything is decoded.
        least_side: the side that is needed; a larger JPEG is decoded at a fraction of its size,
            still at least twice this.

    Raises:
        PermanentError: empty, no picture, too many pixels, damaged or cut off.
    """
    if not content:
        raise PermanentError("the file is empty", remedy="send a picture")
    _allow(max_pixels)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise _too_large(f"{image.width} x {image.height} = {pixels:,}", max_pixels)
            image.draft("RGB", (2 * least_side, 2 * least_side))
            image.load()
            upright = ImageOps.exif_transpose(image)
            return _opaque(upright)
    except UnidentifiedImageError:
        kind = content_kind(content)
        raise PermanentError(
            f"not a picture: the content is {kind}" if kind else "not a picture",
            remedy="send JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP",
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\d+", str(error))
        raise _too_large(f"{int(found[0]):,}" if found else "too many", max_pixels) from None
    except _BROKEN as error:
        raise PermanentError(
            f"the picture is damaged or cut off: {error}", remedy="send the whole file"
        ) from None
    except Exception as error:
        if isinstance(error, (MemoryError, PermanentError)):
            raise
        raise PermanentError(
            f"the picture cannot be decoded: {type(error).__name__}: {error}",
            remedy="send the whole file",
        ) from None


def _allow(max_pixels: int) -> None:
    """Keep Pillow's own bound, which also guards parts such as a TIFF's tiles, from being lower."""
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def _too_large(found: str, max_pixels: int) -> PermanentError:
    return PermanentError(
        f"{found} pixels, the limit is {max_pixels:,}",
        remedy="send a smaller picture or raise FIRSTLIGHT_FETCH_IMAGE_PIXELS",
    )


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _eight_bit(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floats scaled to 8 bits; Pillow's own conversion clips it."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode.startswith("I;16"):
        white = 65535.0
    else:
        top = float(values.max(initial=0.0))
        white = next((one for one in (1.0, 255.0, 65535.0) if top <= one), top)
        if image.mode == "I" and white == 1.0:
            white = 65535.0
    return Image.fromarray(np.clip(values / white * 255.0 + 0.5, 0, 255).astype(np.uint8), "L")
