from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from domain.errors import PermanentError
from encoders.pictures import decode_picture

LIMIT = 50_000_000


def decoded(content: bytes, limit: int = LIMIT) -> np.ndarray:
    image = decode_picture(content, max_pixels=limit, least_side=224)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def corners(media: ModuleType) -> np.ndarray:
    return np.asarray(media.picture()).astype(int)


def test_an_exif_turned_photo_stands_upright(media: ModuleType) -> None:
    assert np.abs(decoded(media.exif_rotated_jpeg()) - corners(media)).mean() < 4


@pytest.mark.parametrize(("kind", "error"), [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("WEBP", 6)])
def test_common_kinds_are_read(media: ModuleType, kind: str, error: float) -> None:
    found = decoded(media.encoded(media.picture(), kind))
    assert np.abs(found - corners(media)).mean() <= error


def test_transparency_lies_on_white(media: ModuleType) -> None:
    assert (decoded(media.transparent_png()) == 255).all()
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert np.abs(decoded(media.encoded(half)) - 127).max() <= 1
    grey = Image.new("LA", (8, 8), (0, 0))
    assert (decoded(media.encoded(grey)) == 255).all()


def test_a_palette_with_a_transparent_colour_is_read(media: ModuleType) -> None:
    found = decoded(media.palette_png())
    white = (found == 255).all(axis=2)
    assert 0 < white.mean() < 0.5
    assert np.abs(found - corners(media))[~white].mean() < 40


def test_four_inks_become_three_colours(media: ModuleType) -> None:
    assert np.abs(decoded(media.cmyk_jpeg()) - corners(media)).mean() < 12


def test_sixteen_bits_are_scaled_not_clipped(media: ModuleType) -> None:
    row = decoded(media.grey16_png())[0, :, 0]
    assert row[0] == 0
    assert row[-1] == 255
    assert (np.diff(row) >= 0).all()
    assert abs(row[32] - 129) <= 2


def test_floats_and_32_bits_are_scaled(media: ModuleType) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (8, 1))
    row = decoded(media.encoded(Image.fromarray(ramp), "TIFF"))[0, :, 0]
    assert (row[0], row[-1]) == (0, 255)
    large = Image.fromarray((ramp * 60_000).astype(np.int32))
    row = decoded(media.encoded(large, "TIFF"))[0, :, 0]
    assert row[0] == 0
    assert abs(row[-1] - 233) <= 1


def test_of_an_animation_the_first_frame_counts(media: ModuleType) -> None:
    assert (decoded(media.animated_gif()) >= 254).all()


def test_a_large_jpeg_is_decoded_at_a_fraction_still_large_enough(media: ModuleType) -> None:
    image = decode_picture(media.jpeg(3200, 2400), max_pixels=LIMIT, least_side=224)
    assert 448 <= min(image.size) < 2400


@pytest.mark.parametrize(
    ("name", "message"),
    [("truncated_jpeg", "damaged or cut off"), ("wav", "the content is WAV sound")],
)
def test_bad_files_are_refused_with_the_reason(media: ModuleType, name: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        decoded(getattr(media, name)())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>404</html>", "the content is an HTML page"),
        (b"\x00" * 500, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "not a picture|damaged"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        decoded(content)


def test_every_cut_of_a_png_is_refused_and_nothing_else_is_raised(media: ModuleType) -> None:
    whole = media.png()
    for length in range(1, len(whole) - 24, 37):
        with pytest.raises(PermanentError):
            decoded(whole[:length])


@pytest.mark.parametrize("side", [8_000, 12_000, 30_000])
def test_a_decompression_bomb_is_refused_by_its_header(media: ModuleType, side: int) -> None:
    with pytest.raises(PermanentError, match=r"[\d,]+ pixels, the limit is 50,000,000") as refused:
        decoded(media.bomb_png(side))
    assert f"{side * side:,}" in str(refused.value)
    assert "FIRSTLIGHT_FETCH_IMAGE_PIXELS" in str(refused.value)


def test_a_picture_at_the_limit_is_read(media: ModuleType) -> None:
    assert decoded(media.png(), limit=96 * 64).shape == (64, 96, 3)
    with pytest.raises(PermanentError, match="the limit is 6,143"):
        decoded(media.png(), limit=96 * 64 - 1)


def test_the_limit_holds_above_pillows_own(
    media: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    assert decoded(media.png(), limit=96 * 64).shape == (64, 96, 3)
    with pytest.raises(PermanentError, match="900,000,000 pixels, the limit is 6,144"):
        decoded(media.bomb_png(), limit=96 * 64)
