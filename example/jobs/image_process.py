"""What `jobs.images` decodes images with, in a confined process: each decoder is a way in."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from coatcheck import Reject
from coatcheck.confined import ConfinedContext
from jobs.image_metadata import strip_metadata

# few and common
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
MAX_PIXELS = 64_000_000
# in pixels: what Pillow keeps of each row besides (some 20 bytes in all, to 8 a pixel), and what rows and pixels may be
ROW_OVERHEAD = 3
MAX_COST = 66_000_000
CELL_SIZE = 256
GAP = 8
CONTACT_SHEET = "contact-sheet.jpg"
# EXIF 2.3, tag 274 (Orientation): what turns an image as stored into one as seen
UPRIGHT_TRANSPOSE: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def thumbnails(request: Mapping[str, Any], ctx: ConfinedContext) -> dict[str, object]:
    """Make a thumbnail of each of `ctx.files` as `001.webp`, `002.webp`, … and one page with all of them.

    Holds one image at a time. Rejects, by its number, an image that is broken, of another format, or too large.
    """
    count, size = len(ctx.files), request["size"]
    sheet = _ContactSheet(count, min(size, CELL_SIZE))
    made = []
    for index, (path, upload) in enumerate(zip(ctx.files.values(), request["uploads"], strict=True)):
        ctx.progress(index / count, f"image {index + 1} of {count}")
        small = _make_thumbnail(path, size, f"image {index + 1} of {count} ({upload})")
        name = f"{index + 1:03}.webp"
        small.save(ctx.output / name, "WEBP", quality=80)
        sheet.add(index, small)
        made.append({"artifact": name, "source": index, "width": small.width, "height": small.height})
    sheet.image.save(ctx.output / CONTACT_SHEET, "JPEG", quality=85)
    return {
        "contact_sheet": CONTACT_SHEET,
        "width": sheet.image.width,
        "height": sheet.image.height,
        "thumbnails": made,
    }


def _make_thumbnail(path: Path, size: int, label: str) -> Image.Image:
    """The first frame, upright, without metadata, in RGB or RGBA, within `size` by `size` pixels."""
    try:
        small, orientation = _decode(path, size, label)
    except (Reject, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Reject(_too_large(label)) from None
    # decoders raise whatever a broken file makes them
    except Exception as error:
        again = _decode_without_metadata(path, size, label)
        if not again:
            raise Reject(_decode_error(error, label)) from error
        small, orientation = again
    small.thumbnail((size, size))
    return small.transpose(UPRIGHT_TRANSPOSE[orientation]) if orientation in UPRIGHT_TRANSPOSE else small


def _decode(file: Path | BinaryIO, size: int, label: str) -> tuple[Image.Image, int]:
    """The image in RGB or RGBA, and its EXIF orientation. Raises what decoders raise, and Reject for a bomb."""
    # what Pillow warns of it can read all the same
    with warnings.catch_warnings(action="ignore"), Image.open(file, formats=FORMATS) as image:
        _reject_bomb(image, label)
        # a JPEG is decoded at a half, quarter or eighth of its size, where that is enough
        image.draft(None, (2 * size, 2 * size))
        image.load()
        # after loading: Pillow turns a TIFF upright by itself, and forgets the tag
        orientation = _orientation(image)
        return _to_rgb(image), orientation


def _decode_without_metadata(path: Path, size: int, label: str) -> tuple[Image.Image, int] | None:
    with path.open("rb") as source, TemporaryFile() as pixels:
        if not strip_metadata(source, pixels):
            return None
        pixels.seek(0)
        try:
            return _decode(pixels, size, label)
        except (Reject, MemoryError):
            raise
        # the file was at fault, not its metadata
        except Exception:  # noqa: BLE001
            return None


def _orientation(image: Image.Image) -> int:
    """1, which is upright, where the metadata cannot be read."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    # parsers, too, raise whatever broken bytes make them
    except Exception:  # noqa: BLE001
        return 1
    return found if isinstance(found, int) else 1


def _reject_bomb(image: Image.Image, label: str) -> None:
    """By what the header says, before a pixel is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise Reject(f"{_too_large(label)}: it has {image.width} x {image.height}")
    if (image.width + ROW_OVERHEAD) * image.height > MAX_COST:
        raise Reject(f"{label} has too many rows: it has {image.width} x {image.height} pixels")


def _decode_error(error: Exception, label: str) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"{label} is not an image of a known format ({', '.join(FORMATS)})"
    return f"{label} is broken: {error}"


def _too_large(label: str) -> str:
    return f"{label} has more than {MAX_PIXELS // 1_000_000} megapixels"


def _to_rgb(image: Image.Image) -> Image.Image:
    """As RGB or RGBA with 8 bits a channel, and nothing but pixels."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    # converting to the same mode is a copy, and one may have 256 MB
    plain = image if image.mode == mode else image.convert(mode)
    plain.info.clear()
    return plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as its upper 8; of 32 bits or floats, which have no fixed range, from darkest to lightest."""
    if image.mode.startswith("I;16"):
        return image.convert("F").point(lambda value: value * (1 / 256) + 0).convert("L")
    grey = image.convert("F")
    low, high = _extremes(grey)
    scale = 255 / (high - low) if high > low else 0.0
    return grey.point(lambda value: value * scale + -low * scale).convert("L")


def _extremes(grey: Image.Image) -> tuple[float, float]:
    low, high = grey.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


class _ContactSheet:
    """A sheet of square cells, about as many across as down, on white."""

    def __init__(self, count: int, cell: int) -> None:
        self.columns = math.ceil(math.sqrt(count))
        self.cell = cell
        rows = math.ceil(count / self.columns)
        pitch = cell + GAP
        self.image = Image.new("RGB", (self.columns * pitch + GAP, rows * pitch + GAP), "white")

    def add(self, index: int, picture: Image.Image) -> None:
        small = picture.copy()
        small.thumbnail((self.cell, self.cell))
        row, column = divmod(index, self.columns)
        pitch = self.cell + GAP
        left = GAP + column * pitch + (self.cell - small.width) // 2
        top = GAP + row * pitch + (self.cell - small.height) // 2
        self.image.paste(small, (left, top), small if small.mode == "RGBA" else None)
