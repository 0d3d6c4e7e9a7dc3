import io
from types import ModuleType

import numpy as np
import pytest
import soundfile

from domain.errors import PermanentError
from encoders.sounds import decode_windows

RATE = 16_000


def windows(content: bytes, **changes: float) -> list[np.ndarray]:
    options = {"window_s": 2.0, "windows": 3, "max_duration_s": 600.0} | changes
    found = decode_windows(content, rate=RATE, **options)  # type: ignore[arg-type]
    assert all(one.dtype == np.float32 and np.abs(one).max() <= 1.0 for one in found)
    return found


def spectrum(wave: np.ndarray) -> np.ndarray:
    found = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), n=RATE))[:3000]
    return found / np.linalg.norm(found)


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "telephone_wav", "surround_wav"])
def test_every_kind_rate_and_channel_count_becomes_the_same_sound(
    media: ModuleType, kind: str
) -> None:
    (wave,) = windows(getattr(media, kind)())
    (reference,) = windows(media.wav())
    assert abs(len(wave) - RATE) < 0.15 * RATE
    assert spectrum(wave) @ spectrum(reference) > 0.99


def test_a_short_clip_is_one_window_of_its_own_length(media: ModuleType) -> None:
    assert [len(one) for one in windows(media.wav(1.5))] == [24_000]
    assert [len(one) for one in windows(media.wav(2.0))] == [32_000]


def test_a_long_clip_is_heard_in_windows_spread_over_the_whole(media: ModuleType) -> None:
    steps = np.concatenate([np.full(RATE, at / 40) for at in range(1, 31)]).astype(np.float32)
    found = windows(media.sound(steps))
    assert [len(one) for one in found] == [2 * RATE] * 3
    assert [round(float(one.mean()) * 40, 1) for one in found] == [1.5, 15.5, 29.5]
    assert [len(one) for one in windows(media.wav(3.0))] == [2 * RATE] * 2


def test_windows_of_an_odd_rate_are_of_exactly_one_length(media: ModuleType) -> None:
    samples = media.tone(9.0, rate=11_025)
    found = windows(media.sound(samples, 11_025), window_s=1.37)
    assert {len(one) for one in found} == {round(1.37 * RATE)}


def test_memory_stays_bounded_with_hundreds_of_channels(media: ModuleType) -> None:
    (wave,) = windows(media.sound(media.tone(0.5, channels=200)))
    assert np.abs(wave - media.tone(0.5)[:, 0]).max() < 1e-3


def test_samples_beyond_full_scale_are_scaled_down(media: ModuleType) -> None:
    (wave,) = windows(media.sound(media.tone() * 100, subtype="FLOAT"))
    assert np.abs(wave).max() == pytest.approx(1.0)


def test_silent_windows_are_left_out_and_silence_alone_is_refused(media: ModuleType) -> None:
    clip = np.concatenate([np.zeros((4 * RATE, 1), np.float32), media.tone(4.0)])
    assert len(windows(media.sound(clip))) == 2
    with pytest.raises(PermanentError, match="silent"):
        windows(media.silent_wav())
    with pytest.raises(PermanentError, match="silent"):
        windows(media.silent_wav(30.0))
    tone = media.tone()
    with pytest.raises(PermanentError, match="silent once its channels are mixed"):
        windows(media.sound(np.hstack([tone, -tone]), subtype="FLOAT"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one_sample_wav", r"lasts 0\.06 ms \(1 samples\), at least 25 ms"),
        ("truncated_wav", "cut off: 16,022 of 32,044 bytes"),
        ("truncated_aiff", "cut off: 16,0.. of 32,0.. bytes"),
        ("truncated_ogg", r"cut off: \d+,\d+ of \d+,\d+ bytes"),
        ("truncated_flac", "cut off|cannot be decoded"),
        ("streamed_flac", "header does not say how long"),
        ("png", "not a sound: the content is a PNG picture"),
    ],
)
def test_bad_clips_are_refused_with_the_reason(media: ModuleType, name: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        windows(getattr(media, name)())


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x00" * 400, b"<html>no</html>"])
def test_what_is_no_sound_is_refused(content: bytes) -> None:
    with pytest.raises(PermanentError):
        windows(content)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_is_refused_wherever_it_is_cut_within_a_page(media: ModuleType, subtype: str) -> None:
    whole = media.sound(media.tone(6.0), kind="OGG", subtype=subtype)
    assert windows(whole)
    last = whole.rfind(b"OggS")
    for end in (last + 4, last + 5, last + 26, last + 27, last + 40, len(whole) - 1):
        with pytest.raises(PermanentError, match=r"cut off|cannot be decoded"):
            windows(whole[:end])


def test_a_wav_written_by_a_program_that_streams_is_read(media: ModuleType) -> None:
    whole = bytearray(media.wav())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"
    assert len(windows(bytes(whole))) == 1


def test_a_clip_longer_than_the_limit_is_refused_by_its_header(media: ModuleType) -> None:
    with pytest.raises(PermanentError, match=r"lasts 30 s, the limit is 20 s") as refused:
        windows(media.wav(30.0), max_duration_s=20.0)
    assert "FIRSTLIGHT_FETCH_AUDIO_DURATION_S" in str(refused.value)


def test_samples_that_are_no_numbers_are_refused(media: ModuleType) -> None:
    samples = media.tone()
    samples[100] = np.nan
    with pytest.raises(PermanentError, match="not finite"):
        windows(media.sound(samples, subtype="FLOAT"))


@pytest.mark.parametrize("rate", [1, 999, 1_000_000])
def test_an_absurd_rate_is_refused(media: ModuleType, rate: int) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(3000, 0.5, np.float32), rate, format="WAV")
    with pytest.raises(PermanentError, match="Hz"):
        windows(buffer.getvalue())
