"""Which models a pack and the settings come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import RejectedError, RetryableError
from domain.settings import Settings, load_settings
from encoders import models
from encoders.packs import INSTRUCTION, STANDARD, resolve


def tiny(data_dir: Path, **encoder: Any) -> Settings:
    return load_settings(data_dir=data_dir, encoder={"pack": "tiny", **encoder})


def model_folder(tmp_path: Path, model_type: str, name: str = "model") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where no hub can be reached and nothing was ever downloaded."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize(
    ("model_type", "family"),
    [
        ("bert", "bert"),
        ("xlm-roberta", "bert"),
        ("mpnet", "bert"),
        ("qwen3", "last_token"),
        ("llama", "last_token"),
    ],
)
def test_a_text_model_gets_the_loader_of_its_type(
    tiny_models: Path, tmp_path: Path, model_type: str, family: str
) -> None:
    folder = model_folder(tmp_path, model_type)
    pack = resolve(tiny(tiny_models, text_model=str(folder)))
    assert (pack.text.family, pack.text.source) == (family, str(folder))
    assert pack.image.source.startswith("local-dir:")


@pytest.mark.parametrize(
    ("model_type", "family"),
    [
        ("wav2vec2", "wav2vec2"),
        ("hubert", "wav2vec2"),
        ("wavlm", "wav2vec2"),
        ("whisper", "whisper"),
    ],
)
def test_an_audio_model_gets_the_loader_of_its_type(
    tiny_models: Path, tmp_path: Path, model_type: str, family: str
) -> None:
    pack = resolve(tiny(tiny_models, audio_model=str(model_folder(tmp_path, model_type))))
    assert pack.audio.family == family


def test_a_language_model_for_users_gets_an_instruction(tiny_models: Path, tmp_path: Path) -> None:
    pack = resolve(tiny(tiny_models, user_model=str(model_folder(tmp_path, "qwen3"))))
    assert pack.user is not None
    assert pack.user.query_prefix == INSTRUCTION


def test_an_e5_model_gets_its_prefixes(tiny_models: Path, tmp_path: Path) -> None:
    folder = model_folder(tmp_path, "xlm-roberta", "multilingual-e5-small")
    text = resolve(tiny(tiny_models, text_model=str(folder))).text
    assert (text.prefix, text.query_prefix) == ("passage: ", "query: ")


def test_a_model_of_the_standard_pack_keeps_its_description(
    tiny_models: Path, tmp_path: Path
) -> None:
    pack = resolve(tiny(tiny_models, text_model=STANDARD.text.source))
    assert pack.text == STANDARD.text


def test_a_directory_of_an_open_clip_model_is_taken_as_such(
    tiny_models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    assert resolve(tiny(tiny_models, image_model=str(folder))).image.source == f"local-dir:{folder}"
    named = resolve(tiny(tiny_models, image_model="ViT-B-32/laion2b_s34b_b79k")).image
    assert named.source == "ViT-B-32/laion2b_s34b_b79k"


@pytest.mark.parametrize(
    ("part", "model_type", "said"),
    [
        ("text_model", "whisper", "FIRSTLIGHT_ENCODER_TEXT_MODEL.*sound"),
        ("user_model", "hubert", "FIRSTLIGHT_ENCODER_USER_MODEL.*sound"),
        ("audio_model", "bert", "FIRSTLIGHT_ENCODER_AUDIO_MODEL.*no known model of sound"),
    ],
)
def test_a_model_of_another_kind_is_refused_with_the_setting(
    tiny_models: Path, tmp_path: Path, part: str, model_type: str, said: str
) -> None:
    folder = model_folder(tmp_path, model_type)
    with pytest.raises(RejectedError, match=said):
        resolve(tiny(tiny_models, **{part: str(folder)}))


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_directory_that_holds_no_model_is_refused(
    tiny_models: Path, tmp_path: Path, content: str | None
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(RejectedError, match="FIRSTLIGHT_ENCODER_TEXT_MODEL"):
        resolve(tiny(tiny_models, text_model=str(folder)))


def test_an_absent_directory_is_refused(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="no directory"):
        resolve(tiny(tiny_models, audio_model=str(tmp_path / "absent")))


@pytest.mark.usefixtures("no_hub")
def test_a_hub_model_without_a_hub_says_what_to_do(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match=r"hub.*local directory"):
        resolve(tiny(tiny_models, text_model="some/model"))


def test_the_standard_pack_names_revisions_and_licences() -> None:
    for spec in (STANDARD.text, STANDARD.image, STANDARD.audio, STANDARD.user):
        assert spec is not None
        assert len(spec.revision or "") == 40
        assert spec.license in {"MIT", "Apache-2.0"}


def test_packs_are_listed_with_what_they_are(tmp_path: Path) -> None:
    found = {pack.name: pack for pack in models.packs(tiny(tmp_path))}
    assert set(found) == {"starter", "standard", "tiny"}
    assert [pack.name for pack in found.values() if pack.chosen] == ["tiny"]
    assert "not CLIP" in found["starter"].about
    assert {line.part for line in found["standard"].models} == {"text", "image", "audio", "user"}
    assert all(line.license and line.dim for pack in found.values() for line in pack.models)
    assert not any(tmp_path.iterdir())


def test_the_tiny_pack_passes_its_check(tiny_models: Path, tmp_path: Path) -> None:
    settings = tiny(tiny_models, device="cpu", precision="float32", threads=1)
    checks = models.check(settings)
    assert [(one.part, one.state, one.problem) for one in checks] == [
        (part, "ready", "") for part in ("text", "image", "image_text", "audio", "user")
    ]
    listed = {line.part: line.dim for line in models.packs(settings)[2].models}
    dims = {one.part: one.report.dim for one in checks if one.report}
    assert dims == {**listed, "image_text": listed["image"]}


def test_a_broken_model_is_told_and_the_others_are_still_checked(
    tiny_models: Path, tmp_path: Path
) -> None:
    settings = tiny(
        tiny_models,
        device="cpu",
        precision="float32",
        threads=1,
        text_model=str(model_folder(tmp_path, "bert")),
    )
    states = {one.part: one for one in models.check(settings)}
    assert states["text"].state == "broken"
    assert "holds no weights" in states["text"].problem
    assert states["image"].state == states["audio"].state == "ready"


@pytest.mark.usefixtures("no_hub")
def test_absent_hub_models_are_told_and_not_downloaded_by_a_check(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, encoder={"pack": "standard"})
    for one in models.check(settings):
        assert one.state == "absent"
        assert "--prefetch" in one.problem
    for one in models.prefetch(settings):
        assert one.state == "absent"
        assert "hub" in one.problem
