"""What a file is, decided by its first bytes, never by its name or a server's header.

Signatures only: nothing of the content is decoded here, so a damaged picture is still named a
picture, and its decoder says what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MediaKind = Literal["image", "audio"]

SNIFFED_BYTES = 1024
"""How much of the start is looked at."""

IMAGES_READ = "JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF, JPEG 2000 or PPM"
AUDIO_READ = "WAV, FLAC, OGG, MP3, AIFF, AU or CAF"


@dataclass(frozen=True, slots=True)
class ContentType:
    """What some bytes are.

    Attributes:
        kind: image or audio when the encoders read this format, else None.
        name: in words that fit after "is": "a PNG picture", "an HTML page".
    """

    kind: MediaKind | None
    name: str


_SIGNATURES: tuple[tuple[bytes, MediaKind | None, str], ...] = (
    (rb"\xff\xd8\xff", "image", "a JPEG picture"),
    (rb"\x89PNG\r\n\x1a\n", "image", "a PNG picture"),
    (rb"GIF8[79]a", "image", "a GIF picture"),
    (rb"RIFF....WEBP", "image", "a WebP picture"),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image", "a BMP picture"),
    (rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", "image", "a TIFF picture"),
    (rb"....ftypavi[fs]", "image", "an AVIF picture"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "image", "a JPEG 2000 picture"),
    (rb"P[1-6][\s#]", "image", "a PPM picture"),
    (rb"(?:RIFF|RIFX|RF64)....WAVE", "audio", "a WAV recording"),
    (rb"riff\x2e\x91\xcf\x11", "audio", "a W64 recording"),
    (rb"fLaC", "audio", "a FLAC recording"),
    (rb"OggS.{24,280}?(?:\x80theora|\x01video)", None, "an OGG video"),
    (rb"OggS", "audio", "an OGG recording"),
    (rb"ID3[\x02-\x04]", "audio", "an MP3 recording"),
    (rb"FORM....AIF[FC]", "audio", "an AIFF recording"),
    (rb"\.snd|dns\.", "audio", "an AU recording"),
    (rb"caff\0\x01", "audio", "a CAF recording"),
    # MPEG-1/2/2.5 layer I-III frame: sync, a valid version, bit rate and sampling rate.
    (
        rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\x1b\x20-\x2b\x30-\x3b\x40-\x4b\x50-\x5b"
        rb"\x60-\x6b\x70-\x7b\x80-\x8b\x90-\x9b\xa0-\xab\xb0-\xbb\xc0-\xcb\xd0-\xdb\xe0-\xeb]",
        "audio",
        "an MP3 recording",
    ),
    (rb"....ftyp(?:hei[cmsx]|hev[cx]|mif1|msf1)", None, "a HEIC picture"),
    (rb"\0\0\x01\0[\x01-\x20]\0", None, "an icon file"),
    (rb"8BPS", None, "a Photoshop file"),
    (rb"....ftypM4A", None, "an M4A (AAC) recording"),
    (rb"....ftyp", None, "an MP4 video"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", None, "an AAC recording"),
    (rb"\x1a\x45\xdf\xa3", None, "a Matroska or WebM video"),
    (rb"RIFF....AVI ", None, "an AVI video"),
    (rb"%PDF-", None, "a PDF document"),
    (rb"PK\x03\x04|PK\x05\x06", None, "a ZIP archive or office document"),
    (rb"\x1f\x8b", None, "a gzip archive"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!|\xfd7zXZ\0|BZh|\x28\xb5\x2f\xfd", None, "an archive"),
    (rb"MZ|\x7fELF", None, "a program"),
)

_PROLOGUE = re.compile(rb"<!--.*?-->|<\?xml.*?\?>|<!doctype svg.*?>", re.DOTALL | re.IGNORECASE)

_MARKUP: tuple[tuple[bytes, str], ...] = (
    (rb"<svg[\s>]", "an SVG drawing"),
    (rb"<(?:!doctype html|html|head|body|script|title)[\s>]", "an HTML page"),
    (rb"<[a-z?!]", "an XML document"),
    (rb"[{\[]\s*[\"{\[\]}]", "JSON text"),
)


def content_type(content: bytes) -> ContentType:
    """What `content` is; only its first SNIFFED_BYTES are looked at."""
    if not content:
        return ContentType(None, "empty")
    start = content[:SNIFFED_BYTES]
    for pattern, kind, name in _SIGNATURES:
        if re.match(pattern, start, re.DOTALL):
            return ContentType(kind, name)
    text = _PROLOGUE.sub(b"", start.removeprefix(b"\xef\xbb\xbf")).lstrip()
    for pattern, name in _MARKUP:
        if re.match(pattern, text, re.IGNORECASE):
            return ContentType(None, name)
    if not start.strip(b"\0"):
        return ContentType(None, "nothing but zero bytes")
    if not any(byte < 9 or 13 < byte < 32 for byte in start):
        return ContentType(None, "plain text")
    return ContentType(None, "of no known type")


def mismatch(content: bytes, expected: MediaKind) -> str | None:
    """Why `content` is not a picture (or recording) the encoders read; None when it is one."""
    found = content_type(content)
    if found.kind == expected:
        return None
    wanted = "a picture" if expected == "image" else "a recording"
    return f"is {found.name}, not {wanted} that is read here"


def formats_read(expected: MediaKind) -> str:
    """The remedy that goes with a mismatch."""
    return f"give a {IMAGES_READ} file" if expected == "image" else f"give a {AUDIO_READ} file"
