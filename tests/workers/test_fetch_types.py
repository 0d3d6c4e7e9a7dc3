"""Content is named by its first bytes, and named the way its decoder would."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import soundfile
from PIL import Image

from encoders.pictures import FORMATS
from workers.fetch_types import content_type, mismatch


def picture(file_format: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (5, 3)).save(buffer, file_format)
    return buffer.getvalue()


def recording(file_format: str, subtype: str | None = None, rate: int = 16000) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (rate, 1))
    soundfile.write(buffer, noise, rate, format=file_format, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_picture_format_that_is_decoded_is_a_picture(file_format: str) -> None:
    found = content_type(picture(file_format))
    assert found.kind == "image"
    name = {"MPO": "jpeg", "JPEG2000": "jpeg 2000"}.get(file_format, file_format.lower())
    assert f" {name} " in found.name.lower()


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_bitmaps_of_every_depth_are_pictures(mode: str) -> None:
    assert content_type(picture("BMP", mode)).kind == "image"


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAVEX", "FLOAT"),
        ("RF64", "PCM_24"),
        ("W64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
    ],
)
def test_every_audio_format_that_is_promised_is_a_recording(file_format: str, subtype: str) -> None:
    found = content_type(recording(file_format, subtype))
    assert found.kind == "audio"


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000])
def test_mp3_of_every_rate_is_known_with_and_without_its_tag(rate: int) -> None:
    content = recording("MP3", "MPEG_LAYER_III", rate)
    assert content_type(content).name == "an MP3 recording"
    if content.startswith(b"ID3"):
        size = int.from_bytes(bytes(content[6:10])) if max(content[6:10]) < 2 else 0
        content = content[10 + size :]
    start = content.find(b"\xff")
    assert content_type(content[start:]).name == "an MP3 recording"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty"),
        (b"\0" * 5000, "nothing but zero bytes"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"\xef\xbb\xbf  <!-- hello --><HTML lang=en>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', "an SVG drawing"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"error": "not found"}', "JSON text"),
        (b"Not found", "plain text"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04rest", "a ZIP archive or office document"),
        (b"\0\0\0\x18ftypmp42", "an MP4 video"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
        (b"\xff\xf1\x50\x80", "an AAC recording"),
        (bytes(range(1, 9)) * 10, "of no known type"),
    ],
)
def test_what_is_not_read_is_named_in_plain_words(content: bytes, name: str) -> None:
    found = content_type(content)
    assert (found.kind, found.name) == (None, name)


def test_a_name_fits_into_the_sentence_that_refuses_it() -> None:
    assert mismatch(b"<html>", "image") == "is an HTML page, not a picture that is read here"
    assert mismatch(picture("PNG"), "audio") == (
        "is a PNG picture, not a recording that is read here"
    )
    assert mismatch(picture("PNG"), "image") is None


@pytest.mark.parametrize(
    "hostile", [b"<!---->" * 200, b"<!--" * 300, b"<?xml" * 300, b"OggS" + b"\x01vide" * 300]
)
def test_no_start_of_a_file_takes_long_to_look_at(hostile: bytes) -> None:
    started = time.perf_counter()
    content_type(hostile)
    assert time.perf_counter() - started < 0.1
