"""Damaged metadata does not concern the pixels."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tests.unit.jobs.image_samples import RED, chunk, close, opened, picture, shrink


def after(image: bytes, mark: bytes, *parts: bytes) -> bytes:
    """`image` with `parts` after the first `mark`."""
    at = image.index(mark) + len(mark)
    return image[:at] + b"".join(parts) + image[at:]


def segment(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data


def bad_crc(part: bytes) -> bytes:
    return part[:-4] + b"\0\0\0\0"


UPSIDE_DOWN = b"II*\0\x08\0\0\0\1\0\x12\1\x03\0\1\0\0\0\3\0\0\0\0\0\0\0"
PNG_METADATA = [
    chunk(b"eXIf", b"garbage"),
    chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + UPSIDE_DOWN[10:22] * 2),
    bad_crc(chunk(b"eXIf", UPSIDE_DOWN)),
    bad_crc(chunk(b"tEXt", b"a\0b")),
    chunk(b"tEXt", b"Raw profile type exif\0zz"),
    chunk(b"zTXt", b"a\0\5x"),
    chunk(b"zTXt", b"a\0\0not zlib"),
    chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))),
    chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 12\nzz")),
    chunk(b"iTXt", b"a\0\1\0\0\0not zlib"),
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='9"),
    bad_crc(chunk(b"iCCP", b"a\0\0b")),
    chunk(b"iCCP", b"x"),
    chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2_000_000))),
    *[chunk(name, b"") for name in (b"tRNS", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"acTL", b"fcTL", b"bKGD", b"tIME")],
    chunk(b"acTL", struct.pack(">II", 0, 0)),
]
JPEG_METADATA = [
    segment(0xE1, b"Exif\0\0garbage"),
    segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    segment(0xE1, b"Exif\0\0" + UPSIDE_DOWN[:14] + b"\2" + UPSIDE_DOWN[15:]),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='9"),
    segment(0xE0, b"JFIF\0"),
    segment(0xE2, b"ICC_PROFILE\0"),
    segment(0xE2, b"MPF\0garbage"),
    segment(0xED, b"Photoshop 3.0\0008BIM\3\xedxx"),
    segment(0xEE, b"Adobe"),
    segment(0xFE, b"\xff\xd9"),
]
WEBP = picture("WEBP", exif=b"Exif\0\0" + UPSIDE_DOWN, icc_profile=b"garbage", xmp=b"garbage")
DAMAGED = [
    *[after(picture(), b"IHDR" + picture()[16:33], part) for part in PNG_METADATA],
    *[picture()[:-12] + part + picture()[-12:] for part in PNG_METADATA],
    picture()[:-12] + b"\x7f\xff\xff\xfftEXt",
    *[after(picture("JPEG"), b"\xff\xd8", part) for part in JPEG_METADATA],
    WEBP.replace(b"II*", b"JJ*"),
    WEBP.replace(b"II*\0\x08", b"II*\0\xff"),
    picture("GIF").replace(b",\0\0\0\0", b"!\xfe\3\xff\xff\xff\0,\0\0\0\0"),
]


@pytest.mark.parametrize("image", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_metadata_does_not_concern_the_pixels(image: bytes) -> None:
    small = opened(shrink(image)).convert("RGB")
    assert small.size == (32, 21)
    assert close(small.getpixel((16, 10)), RED)


def test_what_is_sound_beside_damaged_metadata_is_used() -> None:
    stored = Image.new("P", (60, 40), 1)
    stored.putpalette([0, 0, 255, 255, 0, 0])
    stored.paste(0, (0, 0, 60, 20))
    file = io.BytesIO()
    stored.save(file, "PNG", transparency=0, exif=b"Exif\0\0" + UPSIDE_DOWN)
    broken = after(file.getvalue(), b"IHDR" + file.getvalue()[16:33], bad_crc(chunk(b"tEXt", b"a\0b")))
    small = opened(shrink(broken))
    assert close(small.convert("RGB").getpixel((16, 4)), RED)
    assert small.getchannel("A").getpixel((16, 17)) == 0
