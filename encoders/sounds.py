"""Sounds from bytes: windows spread over a clip, one channel, at the model's rate."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import PermanentError
from domain.vectors import Vector
from encoders.sniff import content_kind

MIN_DURATION_S = 0.025
"""A shorter clip is refused: it is less than one frame of any speech or sound model."""

SILENCE = 10 ** (-90 / 20)
"""Peak below which a window is silent: one step of 16-bit sound."""

_RATES_HZ = (1_000, 768_000)
_BLOCK_VALUES = 1 << 20
_ENDLESS = 0x7FFFFFFF - 2**20
"""RIFF sizes from here on are written by programs that stream and do not know the size."""

_OGG_PAGE = b"OggS\x00"
"""What a page of an Ogg file begins with: the capture pattern, and the only version there is."""

_UNKNOWN_FRAMES = 1 << 62
"""libsndfile's count of frames from here on means that the header does not tell."""


def decode_windows(
    content: bytes, *, rate: int, window_s: float, windows: int, max_duration_s: float
) -> list[Vector]:
    """Windows of a clip, spread evenly over the whole of it, mixed to one channel.

    Only the windows are decoded, so that an hour of sound costs no more memory than a minute. A
    clip no longer than one window is one window of its own length. Silent windows are left out.

    Args:
        content: the file, whatever its name was.
        rate: Hz of what is returned.
        window_s: length of a window.
        windows: most windows of one clip.
        max_duration_s: bound on the clip, read from the header before anything is decoded.

    Returns:
        1 to `windows` arrays [samples] float32 within [-1, 1]; if more than one, all of the same
        length.

    Raises:
        PermanentError: empty, no sound, too long, too short, damaged, cut off, or silent. Silence
            has no embedding: a model maps it to a point that says nothing but "silence", and
            silent clips would recommend each other.
    """
    import soundfile

    if not content:
        raise PermanentError("the file is empty", remedy="send a clip")
    _refuse_cut(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as clip:
            return _windows(clip, rate, window_s, windows, max_duration_s)
    except soundfile.LibsndfileError as error:
        kind = content_kind(content)
        if kind and "sound" not in kind:
            raise PermanentError(
                f"not a sound: the content is {kind}", remedy="send WAV, FLAC, Ogg or MP3"
            ) from None
        raise PermanentError(
            f"the sound cannot be decoded: {error.error_string}",
            remedy="send a whole WAV, FLAC, Ogg or MP3 file",
        ) from None


def _windows(
    clip: Any, rate: int, window_s: float, windows: int, max_duration_s: float
) -> list[Vector]:
    low, high = _RATES_HZ
    if not low <= clip.samplerate <= high:
        raise PermanentError(f"a rate of {clip.samplerate} Hz; {low} to {high} Hz can be read")
    if clip.frames >= _UNKNOWN_FRAMES:
        raise PermanentError(
            "its header does not say how long it is, as of sound that was streamed",
            remedy="write it to a file with its length in the header",
        )
    duration_s = clip.frames / clip.samplerate
    if duration_s > max_duration_s:
        raise PermanentError(
            f"lasts {duration_s:.0f} s, the limit is {max_duration_s:g} s",
            remedy="send an excerpt or raise FIRSTLIGHT_FETCH_AUDIO_DURATION_S",
        )
    if duration_s < MIN_DURATION_S:
        raise PermanentError(
            f"lasts {1000 * duration_s:.2f} ms ({clip.frames} samples), at least"
            f" {1000 * MIN_DURATION_S:g} ms are needed",
            remedy="send a longer clip",
        )
    length = round(window_s * clip.samplerate)
    exact = round(window_s * rate)
    if clip.frames <= length:
        spans, exact = [(0, clip.frames)], 0
    else:
        count = min(windows, -(-clip.frames // length))
        starts = np.linspace(0, clip.frames - length, count).astype(int)
        spans = [(int(start), length) for start in starts]
    heard = [_resampled(_read(clip, *span), clip.samplerate, rate, exact) for span in spans]
    loud = [one for one in heard if float(np.abs(one).max(initial=0.0)) > SILENCE]
    if not loud:
        raise PermanentError(
            "the clip is silent" + (" once its channels are mixed" if clip.channels > 1 else ""),
            remedy="send a clip with sound in it",
        )
    return loud


def _read(clip: Any, start: int, frames: int) -> Vector:
    """Frames of a clip, the mean of its channels, read in blocks of bounded size."""
    if clip.tell() != start:
        clip.seek(start)
    block = max(1, _BLOCK_VALUES // clip.channels)
    parts: list[NDArray[np.float32]] = []
    left = frames
    while left > 0:
        values = clip.read(min(block, left), dtype="float32", always_2d=True)
        if not len(values):
            break
        parts.append(values.mean(axis=1))
        left -= len(values)
    # Lengths of MP3 and Ogg are told by their headers, and may be off by a frame or two.
    if left > max(0.1 * frames, 0.25 * clip.samplerate):
        raise PermanentError(
            f"the sound is cut off: {frames - left} of {frames} samples are there",
            remedy="send the whole file",
        )
    wave = np.concatenate(parts)
    if not np.isfinite(wave).all():
        raise PermanentError("the sound holds samples that are not finite")
    peak = float(np.abs(wave).max(initial=0.0))
    return wave / np.float32(peak) if peak > 1.0 else wave


def _resampled(wave: Vector, source: int, target: int, exact: int) -> Vector:
    """The wave at another rate; `exact` samples long unless that is 0."""
    if source != target:
        import soxr

        wave = np.asarray(soxr.resample(wave, source, target), dtype=np.float32)
    if exact and len(wave) != exact:
        wave = np.pad(wave[:exact], (0, max(0, exact - len(wave))))
    return np.ascontiguousarray(wave)


def _refuse_cut(content: bytes) -> None:
    """A WAV, AIFF or Ogg file shorter than its headers say: libsndfile would read what is left."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        told = int.from_bytes(content[4:8], "little") + 8
    elif content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        told = int.from_bytes(content[4:8], "big") + 8
    elif content.startswith(_OGG_PAGE):
        told = _ogg_length(content)
    else:
        return
    if len(content) < told < _ENDLESS:
        raise PermanentError(
            f"the sound is cut off: {len(content):,} of {told:,} bytes are there",
            remedy="send the whole file",
        )


def _ogg_length(content: bytes) -> int:
    """Where the last page ends by its own header (RFC 3533, section 6): the lengths of its
    segments follow their number, which is the header's last byte."""
    begun = content.endswith(_OGG_PAGE[:4])  # cut before its version
    start = len(content) - 4 if begun else content.rfind(_OGG_PAGE)
    header = start + 27
    if len(content) < header:
        return header
    segments = content[header - 1]
    return header + segments + sum(content[header : header + segments])
