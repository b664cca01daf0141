"""Image files without their metadata: damage there does not concern the pixels, but decoders stop at it."""

from __future__ import annotations

import shutil
import struct
import zlib
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
# https://www.w3.org/TR/png-3/#4Concepts.FormatChunks: those without which there is no picture
CRITICAL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# how long tRNS is, by colour type: https://www.w3.org/TR/png-3/#11tRNS
TRANSPARENCY_LENGTHS = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
MAX_KEPT_CHUNK = 65_536
START_OF_SCAN, COMMENT = 0xDA, 0xFE
APP_SEGMENTS = range(0xE0, 0xF0)


def strip_metadata(source: BinaryIO, to: BinaryIO) -> bool:
    """Copy a PNG or JPEG file without what its pixels, transparency and orientation can do without.

    False for another format. What is broken beyond its metadata is copied as it is, for the decoder to refuse.
    """
    start = source.read(len(PNG))
    if start == PNG:
        to.write(start)
        _copy_png(source, to)
        return True
    if start.startswith(JPEG):
        to.write(JPEG)
        source.seek(len(JPEG))
        _copy_jpeg(source, to)
        return True
    return False


def _copy_png(source: BinaryIO, to: BinaryIO) -> None:
    colour = 0
    while len(header := source.read(8)) == 8:
        length, name = struct.unpack(">I4s", header)
        if name not in CRITICAL_CHUNKS and (name not in {b"tRNS", b"eXIf"} or length > MAX_KEPT_CHUNK):
            source.seek(length + 4, 1)
            continue
        # the pixels are many bytes, in few chunks or in one
        body = source.read(length + 4) if name != b"IDAT" else b""
        if name == b"IHDR" and length == 13:
            colour = body[9]
        if name in CRITICAL_CHUNKS or _is_sound(name, body, colour):
            to.write(header + body)
        if name == b"IDAT":
            _copy(source, to, length + 4)


def _is_sound(name: bytes, body: bytes, colour: int) -> bool:
    data, check = body[:-4], body[-4:]
    if struct.pack(">I", zlib.crc32(name + data)) != check:
        return False
    return name == b"eXIf" or len(data) in TRANSPARENCY_LENGTHS.get(colour, ())


def _copy_jpeg(source: BinaryIO, to: BinaryIO) -> None:
    """Segment by segment up to the scan: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B."""
    while len(header := source.read(4)) == 4:
        mark, kind, length = struct.unpack(">BBH", header)
        if mark != 0xFF or kind == START_OF_SCAN or length < 2:
            to.write(header)
            break
        body = source.read(length - 2)
        if (kind not in APP_SEGMENTS and kind != COMMENT) or _is_needed(kind, body):
            to.write(header + body)
    shutil.copyfileobj(source, to)


def _is_needed(kind: int, body: bytes) -> bool:
    """Exif tells the orientation, and Adobe's segment the kind of colours."""
    return (kind == 0xE1 and body.startswith(b"Exif\0\0")) or (
        kind == 0xEE and body.startswith(b"Adobe") and len(body) >= 12
    )


def _copy(source: BinaryIO, to: BinaryIO, length: int) -> None:
    while length and (block := source.read(min(length, 1024**2))):
        to.write(block)
        length -= len(block)
