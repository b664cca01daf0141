"""Pictures to make small, and what became of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

from coatcheck import Outcome, run_job
from jobs.thumbnails import THUMBNAILS

RED, GREEN = (255, 0, 0), (0, 128, 0)


def picture(
    form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (60, 40), color: Any = RED, **how: Any
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, form, **how)
    return file.getvalue()


def shrink(*images: bytes, size: int = 32, **how: Any) -> Outcome:
    uploads = {f"upl_{number}": image for number, image in enumerate(images)}
    return run_job(THUMBNAILS, {"images": [{"$upload": key} for key in uploads], "size": size}, uploads, **how)


def opened(outcome: Outcome, name: str = "001.webp") -> Image.Image:
    return Image.open(io.BytesIO(outcome.artifacts[name].body))


def close(pixel: Any, color: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, color, strict=True))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
