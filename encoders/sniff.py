"""What a file is, by its first bytes: for the message of an error."""

from __future__ import annotations

_SIGNS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (8, b"WAVE", "WAV sound"),
    (0, b"fLaC", "FLAC sound"),
    (0, b"OggS", "Ogg sound"),
    (0, b"ID3", "MP3 sound"),
    (0, b"\xff\xfb", "MP3 sound"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)


def content_kind(content: bytes) -> str:
    """What the content is in words, "" where it is not known."""
    for offset, sign, name in _SIGNS:
        if content[offset : offset + len(sign)] == sign:
            return name
    start = content[:200].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML or SVG"
    return ""
