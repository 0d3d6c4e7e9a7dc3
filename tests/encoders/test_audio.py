from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from domain.errors import PermanentError, RejectedError
from domain.setting_groups import EncoderSettings
from encoders import Encoders, ModelSpec, Pack
from encoders.audio import AudioStages, TransformersWaveforms
from encoders.precision import Network
from encoders.quiet import quiet
from encoders.sources import locate
from encoders.tiny import build_waveforms
from encoders.whisper import WhisperWaveforms

CPU = torch.device("cpu")


def stages_of(spec: ModelSpec, **options: Any) -> AudioStages:
    located = locate(spec)
    loader: Any = WhisperWaveforms if spec.family == "whisper" else TransformersWaveforms
    chosen = EncoderSettings.model_validate({"audio_window_s": 1.0, "audio_windows": 4} | options)
    return AudioStages(spec.source, loader(located), CPU, chosen, max_duration_s=60.0)


@pytest.fixture(scope="module", params=["wav2vec2", "hubert", "wavlm", "whisper"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng(devices=[]), quiet("transformers"):
        torch.manual_seed(1)
        if request.param == "whisper":
            build_whisper(folder)
            return ModelSpec("audio", "whisper", str(folder))
        build_waveforms(folder, request.param)
    return ModelSpec("audio", "wav2vec2", str(folder))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    with torch.random.fork_rng(devices=[]), quiet("transformers"):
        torch.manual_seed(1)
        build_whisper(folder)
    return folder


def build_whisper(folder: Path) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        vocab_size=100,
        num_mel_bins=80,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        init_std=0.2,
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def test_one_window_and_many_give_the_same_vectors_for_every_family(
    spec: ModelSpec, media: ModuleType
) -> None:
    stages = stages_of(spec)
    files = [media.wav(3.0, hz=hz) for hz in (220, 440)]
    pieces = [piece for one in stages.pre(files) for piece in one]  # type: ignore[union-attr]
    assert len({piece.group for piece in pieces}) == 1
    together = stages.core(stages.network, [piece.payload for piece in pieces])
    alone = np.concatenate([stages.core(stages.network, [piece.payload]) for piece in pieces])
    assert together.shape == (6, stages.dim)
    assert stages.dim == 64
    assert np.abs(together - alone).max() < 1e-4
    assert np.abs(together[0] - together[3]).max() > 1e-4, "another sound, another vector"


def test_windows_of_different_lengths_never_share_a_batch(media: ModuleType) -> None:
    clips = [media.wav(duration_s) for duration_s in (0.5, 0.6, 0.5)]
    made = [_Silent() for _ in range(1)]
    stages = AudioStages("fake", made[0], CPU, EncoderSettings(), max_duration_s=60.0)
    groups = [one[0].group for one in stages.pre(clips)]  # type: ignore[index]
    assert groups[0] == groups[2] != groups[1]


class _Silent:
    """A second kind of core: no torch module, frames from anywhere."""

    rate, frame_dim, min_samples, module = 16_000, 3, 400, None

    def prepare(self, wave: np.ndarray) -> np.ndarray:
        return wave

    def frames(self, network: object, batch: np.ndarray, samples: int) -> torch.Tensor:
        assert network is None
        blocks = batch[:, : samples // 100 * 100].reshape(len(batch), -1, 100)
        return torch.from_numpy(np.stack([blocks.max(2), blocks.min(2), blocks.mean(2)], axis=2))


def test_another_engine_than_torch_may_give_the_frames(media: ModuleType) -> None:
    stages = AudioStages("fake", _Silent(), CPU, EncoderSettings(), max_duration_s=60.0)
    (pieces,) = stages.pre([media.wav()])
    assert not isinstance(pieces, PermanentError)
    vector = stages.core(None, [pieces[0].payload])[0]  # type: ignore[index]
    wave = media.tone()[:, 0][:16_000].reshape(-1, 100)
    frames = np.stack([wave.max(1), wave.min(1), wave.mean(1)], axis=1)
    expected = np.concatenate([frames.mean(0), frames.std(0)])
    assert np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-3


def test_it_is_mean_and_deviation_over_time_of_the_models_own_states(
    tiny_models_pack: Pack, media: ModuleType
) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    source = tiny_models_pack.audio.source
    extractor = AutoFeatureExtractor.from_pretrained(source)
    samples = (media.tone(0.9)[:, 0] * 32767).astype(np.int16).astype(np.float32) / 32768
    with torch.inference_mode():
        inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_values
        states = AutoModel.from_pretrained(source)(inputs, output_hidden_states=True).hidden_states
    layers = {"mean": torch.stack(states).mean(0), 0: states[0], 1: states[1], -1: states[-1]}
    for layer, chosen in layers.items():
        frames = chosen[0].numpy()
        expected = np.concatenate([frames.mean(0), frames.std(0)])
        stages = stages_of(ModelSpec("audio", "wav2vec2", source, layer=layer))  # type: ignore[arg-type]
        (pieces,) = stages.pre([media.sound(samples)])
        found = stages.core(stages.network, [pieces[0].payload])[0]  # type: ignore[index]
        assert np.abs(found - expected / np.linalg.norm(expected)).max() < 1e-3


def test_every_layer_is_the_models_own_also_where_its_last_one_is_normalised_apart(
    tmp_path: Path, media: ModuleType
) -> None:
    from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2Model

    build_waveforms(tmp_path)
    config = Wav2Vec2Config.from_pretrained(
        tmp_path, num_hidden_layers=3, do_stable_layer_norm=True
    )
    with torch.random.fork_rng(devices=[]), quiet("transformers"):
        torch.manual_seed(1)
        Wav2Vec2Model(config).save_pretrained(tmp_path)
    wave = torch.from_numpy(media.tone(0.4)[None, :, 0].astype(np.float32))
    with torch.inference_mode(), quiet("transformers"):
        whole = AutoModel.from_pretrained(tmp_path)
        states = whole(wave, output_hidden_states=True).hidden_states
    for layer in range(-4, 4):
        model = TransformersWaveforms(
            locate(ModelSpec("audio", "wav2vec2", str(tmp_path), layer=layer))
        )
        found = model.frames(Network(model.module, CPU), wave.numpy(), wave.shape[1])
        torch.testing.assert_close(found, states[layer], atol=1e-5, rtol=1e-4)
        assert len(model.module.encoder.layers) == min(3, layer % 4 + 1)


def test_whisper_on_a_sound_of_30_s_has_the_models_own_states(
    whisper: Path, media: ModuleType
) -> None:
    from transformers import WhisperFeatureExtractor, WhisperModel

    wave = media.tone(30.0)[:, 0].astype(np.float32)
    mel = WhisperFeatureExtractor.from_pretrained(whisper)(
        wave, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    with torch.inference_mode(), quiet("transformers"):
        encoder = WhisperModel.from_pretrained(whisper).get_encoder()
        states = encoder(mel, output_hidden_states=True).hidden_states
    expected = {0: states[0], 1: states[1], 2: states[2], -1: states[2], -2: states[1]}
    for layer, state in {**expected, "mean": torch.stack(states).mean(0)}.items():
        spec = ModelSpec("audio", "whisper", str(whisper), layer=layer)  # type: ignore[arg-type]
        model = WhisperWaveforms(locate(spec))
        network = Network(model.module, CPU)
        found = model.frames(network, model.prepare(wave)[None], len(wave))
        torch.testing.assert_close(found, state, atol=1e-5, rtol=1e-4)


def test_whisper_hears_a_short_sound_and_half_a_second_of_silence_not_30_s(
    whisper: Path, media: ModuleType
) -> None:
    from transformers import WhisperFeatureExtractor

    model = WhisperWaveforms(locate(ModelSpec("audio", "whisper", str(whisper), layer=1)))
    network = Network(model.module, CPU)
    whole = WhisperFeatureExtractor.from_pretrained(whisper)
    for duration_s, steps, frames in ((1.0, 150, 50), (0.999, 150, 50), (29.9, 3000, 1495)):
        wave = media.tone(duration_s)[:, 0].astype(np.float32)
        mel = model.prepare(wave)
        assert mel.shape == (80, steps)
        padded = whole(wave, sampling_rate=16_000, return_tensors="np").input_features[0]
        np.testing.assert_allclose(mel, padded[:, :steps], atol=1e-4)
        assert model.frames(network, mel[None], len(wave)).shape == (1, frames, 32)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_the_model_does_not_have_is_refused_with_the_setting(
    spec: ModelSpec, layer: int
) -> None:
    with pytest.raises(RejectedError, match=f"hidden states 0 to 2, not {layer}") as refused:
        stages_of(replace(spec, layer=layer))
    assert refused.value.field == "FIRSTLIGHT_ENCODER_AUDIO_LAYER"


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "telephone_wav", "surround_wav"])
def test_every_kind_of_clip_has_a_unit_vector(
    tiny_encoders: Encoders, media: ModuleType, kind: str
) -> None:
    vector = tiny_encoders.audio.submit([getattr(media, kind)()])[0].result()
    assert vector.shape == (tiny_encoders.audio.dim,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_shortest_clip_that_is_taken_has_a_vector(spec: ModelSpec, media: ModuleType) -> None:
    stages = stages_of(spec)
    (pieces,) = stages.pre([media.wav(0.025)])
    vector = stages.core(stages.network, [pieces[0].payload])[0]  # type: ignore[index]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_long_clip_is_the_average_of_its_windows(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    windows = tiny_encoders.audio.stages.pre([media.wav(100.0)])[0]
    assert len(windows) == 6
    assert len({one.group for one in windows}) == 1


@pytest.mark.parametrize("kind", ["silent_wav", "one_sample_wav", "truncated_wav", "png"])
def test_a_bad_clip_fails_alone(tiny_encoders: Encoders, media: ModuleType, kind: str) -> None:
    first, bad, last = tiny_encoders.audio.encode(
        [media.wav(), getattr(media, kind)(), media.flac()]
    )
    assert isinstance(bad, PermanentError)
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)
