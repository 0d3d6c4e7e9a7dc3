import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from domain.errors import RejectedError, RetryableError
from encoders import ModelSpec, Pack
from encoders.sources import file_sha256, fingerprint, locate


def test_a_local_directory_never_touches_the_hub(
    tiny_models_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    for spec in (tiny_models_pack.text, tiny_models_pack.image, tiny_models_pack.audio):
        located = locate(spec)
        assert located.path.is_dir()
        assert any(path.suffix == ".safetensors" for path in located.files)


def test_a_hub_that_cannot_be_reached_is_retryable_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*args: Any, **options: Any) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    for spec in (
        ModelSpec("text", "bert", "someone/some-model"),
        ModelSpec("image", "open_clip", "hf-hub:someone/some-model"),
    ):
        with pytest.raises(RetryableError, match="firstlight models --prefetch") as refused:
            locate(spec)
        assert f"FIRSTLIGHT_ENCODER_{spec.modality.upper()}_MODEL" in str(refused.value)


def test_the_hub_is_asked_for_safetensors_first_and_at_the_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, list[str]]] = []

    def download(hub_id: str, *, revision: str, allow_patterns: list[str], **rest: Any) -> str:
        asked.append((hub_id, revision, allow_patterns))
        if "pytorch_model*.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    located = locate(ModelSpec("audio", "wav2vec2", "someone/sound", revision="abc"))
    assert [one[:2] for one in asked] == [("someone/sound", "abc")] * 2
    assert "model*.safetensors" in asked[0][2]
    assert located.files == (tmp_path / "pytorch_model.bin",)


@pytest.mark.parametrize(
    ("family", "source"),
    [
        ("bert", "/no/such/directory"),
        ("bert", "./none"),
        ("open_clip", "local-dir:/no/such/directory"),
        ("open_clip", "ViT-B-32"),
        ("open_clip", "ViT-B-32/no_such_checkpoint"),
        ("open_clip", "NoSuchArchitecture/openai"),
    ],
)
def test_a_source_that_names_nothing_is_rejected(family: Any, source: str) -> None:
    modality: Any = "image" if family == "open_clip" else "text"
    with pytest.raises(RejectedError, match=f"FIRSTLIGHT_ENCODER_{modality.upper()}_MODEL"):
        locate(ModelSpec(modality, family, source))


def test_weights_that_are_not_the_pinned_ones_are_rejected(tiny_models_pack: Pack) -> None:
    spec = tiny_models_pack.text
    weights = Path(spec.source) / "model.safetensors"
    pinned = hashlib.sha256(weights.read_bytes()).hexdigest()
    located = locate(ModelSpec("text", "bert", spec.source, weights_sha256=pinned))
    assert weights in located.files
    with pytest.raises(RejectedError, match="not the pinned ones"):
        locate(ModelSpec("text", "bert", spec.source, weights_sha256="0" * 64))


def test_unsafe_weights_are_left_out_where_safe_ones_lie_beside_them(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "notes.md"):
        (tmp_path / name).write_bytes(b"{}")
    located = locate(ModelSpec("text", "bert", str(tmp_path)))
    assert [path.name for path in located.files] == ["config.json", "model.safetensors"]


def test_the_hash_of_a_large_file_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path, kept = tmp_path / "weights.safetensors", tmp_path / "kept"
    path.write_bytes(os.urandom(2**20))
    found = file_sha256(path, kept)
    assert found == hashlib.sha256(path.read_bytes()).hexdigest()
    (note,) = kept.iterdir()
    note.write_text("f" * 64)
    assert file_sha256(path, kept) == "f" * 64, "read from the note"
    path.write_bytes(os.urandom(2**20 + 1))
    assert file_sha256(path, kept) == hashlib.sha256(path.read_bytes()).hexdigest()


def open_clip_folder(folder: Path, tower: str, tokenizer: str) -> str:
    folder.mkdir(exist_ok=True)
    towers = {"context_length": 64, "hf_model_name": tower, "hf_tokenizer_name": tokenizer}
    config = {"model_cfg": {"embed_dim": 8, "text_cfg": towers}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    return fingerprint(locate(ModelSpec("image", "open_clip", f"local-dir:{folder}")), [], None)


def test_where_a_text_tower_lies_is_not_in_the_fingerprint_but_what_lies_there_is(
    tmp_path: Path,
) -> None:
    def moved(name: str, tokens: str) -> str:
        words, clip = tmp_path / name / "words", tmp_path / name / "clip"
        for folder in (words, clip):
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
        (words / "tokenizer.json").write_text(tokens)
        return open_clip_folder(clip, str(clip), str(words))

    assert moved("here", "[1]") == moved("there", "[1]")
    assert moved("elsewhere", "[2]") != moved("here again", "[1]")


def test_the_hub_id_of_a_text_tower_is_in_the_fingerprint(tmp_path: Path) -> None:
    one = open_clip_folder(tmp_path / "a", "someone/words", "someone/words")
    assert one == open_clip_folder(tmp_path / "b", "someone/words", "someone/words")
    assert one != open_clip_folder(tmp_path / "c", "someone/others", "someone/words")
