"""The encoder of a Whisper model on as much sound as there is, up to the chosen layer."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from domain.vectors import Vector
from encoders.audio import hidden_state
from encoders.precision import Network
from encoders.quiet import quiet
from encoders.sources import Located


class WhisperWaveforms:
    """Frames of a Whisper encoder, a WaveformModel; at most 30 s of a window are heard.

    Whisper's own forward pads every sound to 30 s. Here it is followed by `silence_s`, measured in
    docs/models.md, and the frames are those of the sound itself.
    """

    silence_s = 0.5

    def __init__(self, located: Located) -> None:
        """
        Raises:
            RejectedError: the spec names a hidden state that the model does not have.
        """
        from transformers import WhisperFeatureExtractor, WhisperModel

        with quiet("transformers"):
            model: Any = WhisperModel.from_pretrained(
                located.path, local_files_only=True, weights_only=True, dtype=torch.float32
            )
            self._mel: Any = WhisperFeatureExtractor.from_pretrained(
                located.path, local_files_only=True
            )
        self.module: Any = _States(model.get_encoder(), located.spec.layer)
        self.rate = int(self._mel.sampling_rate)
        self.frame_dim = int(model.config.d_model)
        # One frame stands for two steps of the mel spectrogram.
        self._samples_per_frame = 2 * int(self._mel.hop_length)
        self.min_samples = self._samples_per_frame
        self._most_frames = int(model.config.max_source_positions)

    def prepare(self, wave: Vector) -> NDArray[np.float32]:
        """Log-mel spectrogram [bands, steps] of the sound and the silence behind it."""
        frames = self._frames(len(wave) + round(self.silence_s * self.rate))
        mel = self._mel(
            wave,
            sampling_rate=self.rate,
            max_length=frames * self._samples_per_frame,
            return_tensors="np",
        )
        found: NDArray[np.float32] = mel.input_features[0]
        return found

    def frames(
        self, network: Network | None, batch: NDArray[np.float32], samples: int
    ) -> torch.Tensor:
        """Spectrograms [n, bands, steps] -> states of the chosen layer, or the mean over layers."""
        assert network is not None
        mel = torch.from_numpy(batch).to(network.device, network.dtype)
        heard = self._frames(samples)
        return torch.from_numpy(network.run(lambda module: module(mel)[:, :heard]))

    def _frames(self, samples: int) -> int:
        return min(-(-samples // self._samples_per_frame), self._most_frames)


class _States(torch.nn.Module):
    """One hidden state of an encoder, or their mean: mel [n, bands, steps] -> [n, frames, dim].

    State 0 is the first layer's input, the last one the last layer's normalised output, as
    transformers counts them. Layers past the chosen state are dropped.
    """

    def __init__(self, encoder: Any, layer: int | Literal["mean"]) -> None:
        super().__init__()
        last = len(encoder.layers)
        found = hidden_state(layer, last)
        chosen = last if found == "mean" else found
        self.conv1, self.conv2 = encoder.conv1, encoder.conv2
        self.positions = encoder.embed_positions
        self.layers = encoder.layers[:chosen]
        self.norm = encoder.layer_norm if chosen == last else torch.nn.Identity()
        self._mean = found == "mean"

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """States of the chosen layer, or their mean over layers, [n, frames, dim]."""
        gelu = torch.nn.functional.gelu
        state = gelu(self.conv2(gelu(self.conv1(mel)))).permute(0, 2, 1)
        state = state + self.positions.weight[: state.shape[1]]
        states = [state]
        for layer in self.layers:
            after = layer(states[-1], None)
            # A tuple in transformers 5.0.
            states.append(after[0] if isinstance(after, tuple) else after)
        states[-1] = self.norm(states[-1])
        return torch.stack(states).float().mean(0) if self._mean else states[-1]
