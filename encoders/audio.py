"""Audio encoder: windows of sound through a waveform model, mean and deviation over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.setting_groups import EncoderSettings
from domain.vectors import Matrix, Vector
from encoders.batcher import Piece
from encoders.precision import Network
from encoders.quiet import quiet
from encoders.sounds import decode_windows
from encoders.sources import Located

SECONDS_BUDGET = {"cpu": 20.0, "cuda": 640.0, "mps": 80.0}
"""Seconds of sound in one batch."""


class WaveformModel(Protocol):
    """What turns sound into frames.

    Attributes:
        rate: Hz of the sound it takes.
        frame_dim: length of one frame's vector.
        min_samples: shorter sound is padded with zeros to this.
        module: the torch module that `frames` runs; None where another engine does.
    """

    rate: int
    frame_dim: int
    min_samples: int
    module: torch.nn.Module | None

    def prepare(self, wave: Vector) -> NDArray[np.float32]:
        """Sound [samples] -> what `frames` takes of it, in the caller's thread."""
        ...

    def frames(
        self, network: Network | None, batch: NDArray[np.float32], samples: int
    ) -> torch.Tensor:
        """n prepared sounds of one length -> [n, time, frame_dim], on a lane of the device.

        Args:
            samples: their length before they were prepared.
        """
        ...


class AudioStages:
    """A waveform model as three stages: bytes of a clip -> [2 * frame_dim] float32.

    Only windows of equal length share a batch: models with group normalisation over time
    (wav2vec2-base) give other vectors when a window is padded.
    """

    stride = 1

    def __init__(
        self,
        model: str,
        waveforms: WaveformModel,
        device: torch.device,
        settings: EncoderSettings,
        *,
        max_duration_s: float,
    ) -> None:
        self.model = model
        self.dim = 2 * waveforms.frame_dim
        self.budget = round(SECONDS_BUDGET.get(device.type, SECONDS_BUDGET["cpu"]) * waveforms.rate)
        self._waveforms = waveforms
        self._window_s = settings.audio_window_s
        self._windows = settings.audio_windows
        self._max_duration_s = max_duration_s
        module = waveforms.module
        self.network = None if module is None else Network(module, device)

    def pre(self, inputs: Sequence[bytes]) -> list[list[Piece] | FirstlightError]:
        """Decode, mix, resample and cut into windows."""
        return [self._pre(one) for one in inputs]

    def _pre(self, content: bytes) -> list[Piece] | FirstlightError:
        try:
            waves = decode_windows(
                content,
                rate=self._waveforms.rate,
                window_s=self._window_s,
                windows=self._windows,
                max_duration_s=self._max_duration_s,
            )
        except FirstlightError as error:
            return error
        except MemoryError:
            return RetryableError("no memory to decode the sound")
        return [self._piece(wave) for wave in waves]

    def _piece(self, wave: Vector) -> Piece:
        short = self._waveforms.min_samples - len(wave)
        full = np.pad(wave, (0, short)) if short > 0 else wave
        prepared = (self._waveforms.prepare(full), len(full))
        return Piece(prepared, cost=len(full), group=len(full), weight=float(len(wave)))

    def core(
        self, network: Network | None, payloads: list[tuple[NDArray[np.float32], int]]
    ) -> Matrix:
        """n prepared windows, all of one length -> [n, 2 * frame_dim] float32, unit norm."""
        batch, samples = np.stack([one for one, _ in payloads]), payloads[0][1]
        with torch.inference_mode():
            frames = self._waveforms.frames(network, batch, samples).float()
            deviation, mean = torch.std_mean(frames, dim=1, correction=0)
            pooled = torch.cat([mean, deviation], dim=1)
            vectors: Matrix = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors

    def content(self, value: bytes) -> bytes:
        """The file's bytes."""
        return value

    def probe(self) -> list[list[Any]]:
        """One window of three seconds: a gliding tone in noise."""
        rate = self._waveforms.rate
        time_s = np.arange(3 * rate) / rate
        noise = np.random.default_rng(0).normal(0, 0.05, len(time_s))
        glide = 0.4 * np.sin(2 * np.pi * (200 + 150 * time_s) * time_s)
        return [[self._piece((glide + noise).astype(np.float32)).payload]]


class TransformersWaveforms:
    """Wav2Vec2, HuBERT, WavLM and other waveform models that AutoModel loads."""

    def __init__(self, located: Located) -> None:
        from transformers import AutoModel

        with quiet("transformers"):
            self.module: Any = AutoModel.from_pretrained(
                located.path,
                trust_remote_code=False,
                local_files_only=True,
                weights_only=True,
                dtype=torch.float32,
            )
        features = located.config("preprocessor_config.json")
        self.rate = int(str(features.get("sampling_rate", 16_000)))
        self.frame_dim = int(self.module.config.hidden_size)
        self.min_samples = _receptive_field(
            self.module.config.conv_kernel, self.module.config.conv_stride
        )
        self._normalises = bool(features.get("do_normalize", True))
        self._layer = hidden_state(located.spec.layer, len(self.module.encoder.layers))
        if self._layer != "mean":
            # One more than is needed: some models normalise what leaves the last layer.
            self.module.encoder.layers = self.module.encoder.layers[: self._layer + 1]

    def prepare(self, wave: Vector) -> NDArray[np.float32]:
        """As Wav2Vec2FeatureExtractor does: zero mean, unit variance, each window by itself."""
        if not self._normalises:
            return wave
        exact = wave.astype(np.float64)
        scaled: Vector = ((exact - exact.mean()) / np.sqrt(exact.var() + 1e-7)).astype(np.float32)
        return scaled

    def frames(
        self, network: Network | None, batch: NDArray[np.float32], samples: int
    ) -> torch.Tensor:
        """Sounds [n, samples] -> states of the chosen layer, or the mean over layers."""
        del samples
        assert network is not None
        sound = torch.from_numpy(batch).to(network.device, network.dtype)

        def forward(module: Any) -> torch.Tensor:
            states = module(sound, output_hidden_states=True).hidden_states
            if self._layer == "mean":
                return torch.stack(states).float().mean(0)
            chosen: torch.Tensor = states[self._layer]
            return chosen

        return torch.from_numpy(network.run(forward))


def hidden_state(layer: int | Literal["mean"], layers: int) -> int | Literal["mean"]:
    """A spec's layer among the hidden states 0 to `layers`, counted from the front.

    Raises:
        RejectedError: there is no such state.
    """
    if layer == "mean" or 0 <= layer <= layers:
        return layer
    if -layers <= layer + 1 <= 0:
        return layer + layers + 1
    raise RejectedError(
        f"the audio model has the hidden states 0 to {layers}, not {layer}",
        field="FIRSTLIGHT_ENCODER_AUDIO_LAYER",
        remedy=f"choose 0 to {layers}, or mean",
    )


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that a stack of convolutions needs for two frames of output."""
    samples = 2
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples
