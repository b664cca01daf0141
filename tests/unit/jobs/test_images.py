from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coatcheck import LocalContext, Reject, Stopped
from coatcheck.confined import Limits
from jobs.images import run
from jobs.models import Images
from tests.unit.jobs.image_samples import GREEN, RED, chunk, close, opened, picture, shrink


def test_each_image_becomes_an_artifact_and_part_of_the_sheet() -> None:
    outcome = shrink(picture(), picture(size=(40, 60), color=GREEN), picture(size=(10, 5)))
    assert {name: made.content_type for name, made in outcome.artifacts.items()} == {
        "001.webp": "image/webp",
        "002.webp": "image/webp",
        "003.webp": "image/webp",
        "contact-sheet.jpg": "image/jpeg",
    }
    assert outcome.output.model_dump() == {
        "contact_sheet": "contact-sheet.jpg",
        "width": 88,
        "height": 88,
        "thumbnails": [
            {"artifact": "001.webp", "source": 0, "width": 32, "height": 21},
            {"artifact": "002.webp", "source": 1, "width": 21, "height": 32},
            {"artifact": "003.webp", "source": 2, "width": 10, "height": 5},
        ],
    }
    assert [opened(outcome, f"00{n}.webp").size for n in (1, 2, 3)] == [(32, 21), (21, 32), (10, 5)]
    sheet = opened(outcome, "contact-sheet.jpg")
    assert sheet.size == (88, 88)
    assert close(sheet.getpixel((24, 24)), RED)
    assert close(sheet.getpixel((64, 24)), GREEN)
    assert close(sheet.getpixel((64, 64)), (255, 255, 255))
    assert outcome.progress == [(n / 3, f"image {n + 1} of 3") for n in range(3)]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_format_is_read(form: str) -> None:
    small = opened(shrink(picture(form)))
    assert small.size == (32, 21)
    assert close(small.getpixel((16, 10)), RED)


@pytest.mark.parametrize(
    ("form", "mode", "color", "seen"),
    [
        ("PNG", "1", 1, (255, 255, 255)),
        ("PNG", "L", 100, (100, 100, 100)),
        ("PNG", "P", 0, (0, 0, 0)),
        ("PNG", "I;16", 40_000, (156, 156, 156)),
        ("TIFF", "I;16", 40_000, (156, 156, 156)),
        ("PNG", "LA", (100, 255), (100, 100, 100)),
        ("JPEG", "L", 100, (100, 100, 100)),
        ("JPEG", "CMYK", (0, 255, 255, 0), RED),
        ("TIFF", "CMYK", (0, 255, 255, 0), RED),
    ],
)
def test_every_kind_of_pixel_is_understood(form: str, mode: str, color: Any, seen: tuple[int, int, int]) -> None:
    small = opened(shrink(picture(form, mode, color=color))).convert("RGB")
    assert close(small.getpixel((16, 10)), seen)


def gradient(mode: str) -> bytes:
    ramp = Image.linear_gradient("L").convert("F").point(lambda value: value * 1000.0 + 5.0)
    file = io.BytesIO()
    ramp.convert(mode).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_without_a_fixed_range_is_stretched(mode: str) -> None:
    small = opened(shrink(gradient(mode), size=64))
    assert close(small.getpixel((32, 0)), (0, 0, 0))
    assert close(small.getpixel((32, 63)), (255, 255, 255))


@pytest.mark.parametrize(
    "image",
    [
        picture("PNG", "RGBA", color=(255, 0, 0, 0)),
        picture("WEBP", "RGBA", color=(255, 0, 0, 0), exact=True),
        picture("PNG", "P", color=0, transparency=0),
        picture("PNG", "L", color=9, transparency=9),
    ],
    ids=["rgba", "webp", "palette", "grey"],
)
def test_transparency_is_kept_and_white_on_the_sheet(image: bytes) -> None:
    outcome = shrink(image)
    assert opened(outcome).getchannel("A").getpixel((16, 10)) == 0
    assert close(opened(outcome, "contact-sheet.jpg").getpixel((24, 24)), (255, 255, 255))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_shown(form: str) -> None:
    more = [Image.new("RGB", (60, 40), GREEN) for _ in range(3)]
    small = opened(shrink(picture(form, save_all=True, append_images=more)))
    assert close(small.convert("RGB").getpixel((16, 10)), RED)
    assert getattr(small, "n_frames", 1) == 1


# where the red corner of the stored picture is seen, by EXIF orientation: x and y, each near (0) or far (1)
CORNER = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", CORNER)
def test_images_are_turned_upright(form: str, orientation: int) -> None:
    stored = Image.new("RGB", (64, 32), (255, 255, 255))
    stored.paste(RED, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, form, exif=exif)
    small = opened(shrink(file.getvalue()))
    assert small.size == ((32, 16) if orientation < 5 else (16, 32))
    far = (small.width - 3, small.height - 3)
    corners = {(x, y): small.getpixel((far[0] if x else 2, far[1] if y else 2)) for x in (0, 1) for y in (0, 1)}
    assert [at for at, pixel in corners.items() if close(pixel, RED, 60)] == [CORNER[orientation]]


def test_metadata_is_left_behind() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[1] = "N"
    outcome = shrink(picture("JPEG", exif=exif, comment=b"taken at home", icc_profile=b"taken at home", dpi=(72, 72)))
    for name, artifact in outcome.artifacts.items():
        image = opened(outcome, name)
        assert b"taken at home" not in artifact.body
        assert not image.getexif()
        assert "icc_profile" not in image.info


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def patched(image: bytes, at: int, form: str, *size: int) -> bytes:
    return image[:at] + struct.pack(form, *size) + image[at + struct.calcsize(form) :]


JPEG = picture("JPEG")


@pytest.mark.parametrize(
    "bomb",
    [
        png(60_000, 60_000),
        png(10_000, 9_000),
        png(8_001, 8_000),
        png(1, 64_000_000),
        png(10, 6_000_000),
        patched(picture("GIF"), 6, "<HH", 65_535, 65_535),
        patched(picture("BMP"), 18, "<ii", 30_000, 30_000),
        patched(JPEG, JPEG.index(b"\xff\xc0") + 5, ">HH", 65_000, 65_000),
    ],
    ids=["png", "png-warned-of", "png-just", "png-rows", "png-narrow", "gif", "bmp", "jpeg"],
)
def test_a_bomb_is_refused_by_its_header(bomb: bytes) -> None:
    with pytest.raises(Reject, match=r"^image 2 of 2 \(upl_1\) has (more than 64 megapixels|too many rows)"):
        shrink(picture(), bomb)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_image_is_named(form: str) -> None:
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(noise, form)
    with pytest.raises(Reject, match=r"^image 2 of 3 \(upl_1\) is (broken|not an image)"):
        shrink(picture(), noise.getvalue()[: len(noise.getvalue()) // 2], picture())


@pytest.mark.parametrize(
    "file",
    [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>", picture("ICO"), picture("PPM")],
    ids=["empty", "text", "eps", "svg", "ico", "ppm"],
)
def test_other_files_are_refused(file: bytes) -> None:
    reason = "image 1 of 1 (upl_0) is not an image of a known format (JPEG, PNG, WEBP, GIF, TIFF, BMP)"
    with pytest.raises(Reject, match=f"^{re.escape(reason)}$"):
        shrink(file)


def test_it_stops_between_images() -> None:
    with pytest.raises(Stopped):
        shrink(picture(), timeout=0)


def test_fifty_images_fit_a_page_of_small_cells() -> None:
    outcome = shrink(*[picture("JPEG", size=(600, 400))] * 50, size=300)
    assert len(outcome.artifacts) == 51
    assert (outcome.output.width, outcome.output.height) == (8 * 264 + 8, 7 * 264 + 8)
    assert opened(outcome, "050.webp").size == (300, 200)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(memory=100 * 1024**2), "image 2 of 2 needs more memory than images may have"),
        (Limits(disk=1), "image 1 of 2 needs more disk than images may have"),
    ],
    ids=["memory", "disk"],
)
def test_an_image_that_reaches_a_limit_is_named(tmp_path: Path, limits: Limits, reason: str) -> None:
    images = (picture(), picture(size=(6000, 4000)))
    ctx = LocalContext(tmp_path, {f"upl_{number}": image for number, image in enumerate(images)})
    given = Images.model_validate({"images": [{"$upload": f"upl_{number}"} for number in range(2)]})
    with pytest.raises(Reject, match=f"^{reason}$"):
        run(given, ctx, limits)


MANY_LARGE = """
import io, resource
from PIL import Image
from coatcheck import run_job
from jobs.thumbnails import THUMBNAILS
file = io.BytesIO()
Image.new("L", (6000, 4000)).save(file, "PNG", compress_level=1)
uploads = {f"upl_{n}": file.getvalue() for n in range(6)}
run_job(THUMBNAILS, {"images": [{"$upload": key} for key in uploads]}, uploads)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures in KiB")
def test_memory_holds_one_image_at_a_time() -> None:
    said = subprocess.run([sys.executable, "-c", MANY_LARGE], check=True, capture_output=True, text=True).stdout
    # 24 megapixels as grey and as RGB (4 bytes each in Pillow) are 120 MB; six would be 720 MB
    assert 120_000 < int(said) < 280_000
