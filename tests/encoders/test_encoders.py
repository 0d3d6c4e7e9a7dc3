import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from domain.errors import PermanentError, RejectedError, RetryableError
from domain.settings import Settings
from encoders import Encoders, ItemInputs, ModelSpec, Pack, precision
from encoders.precision import Precision
from encoders.tiny import tiny_pack


def changed(settings: Settings, **encoder: Any) -> Settings:
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update=encoder)})


def fresh(settings: Settings, pack: Pack, tmp_path: Path, **encoder: Any) -> Encoders:
    """Encoders with a cache of their own."""
    moved = changed(settings, **encoder).model_copy(update={"data_dir": tmp_path})
    return Encoders(moved, pack)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.abs(left - right).max() < 1e-4)


def test_items_of_all_modalities_together_get_the_vectors_they_get_alone(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    items = [
        ItemInputs("a film about jazz"),
        ItemInputs("", (("media.images[0]", media.png(1)),)),
        ItemInputs("", (), (("media.audio[0]", media.wav(hz=300)),)),
        ItemInputs(
            "all three",
            (("media.images[0]", media.png(2)), ("media.images[1]", media.jpeg())),
            (("media.audio[0]", media.wav(2.0)), ("media.audio[1]", media.flac())),
        ),
    ]
    together = tiny_encoders.encode_items(items)
    assert [sorted(one.vectors) for one in together] == [
        ["text"],
        ["image"],
        ["audio"],
        ["audio", "image", "text"],
    ]
    for one, item in zip(together, items, strict=True):
        assert one.error is None
        assert one.failures == ()
        (alone,) = tiny_encoders.encode_items([item])
        for name, vector in one.vectors.items():
            assert vector.dtype == np.float32
            assert vector.shape == (tiny_encoders.dims[name],)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
            assert same(vector, alone.vectors[name])


def test_several_pictures_are_averaged_as_unit_vectors(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    files = [media.png(seed) for seed in range(3)]
    (item,) = tiny_encoders.encode_items(
        [ItemInputs("", tuple((f"media.images[{at}]", one) for at, one in enumerate(files)))]
    )
    mean = np.mean([one.result() for one in tiny_encoders.image.submit(files)], axis=0)
    assert same(item.vectors["image"], mean / np.linalg.norm(mean))


def test_one_missing_picture_of_three_leaves_the_item_with_the_rest(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    broken = ItemInputs(
        "",
        (
            ("media.images[0]", media.png(0)),
            ("media.images[1]", media.truncated_jpeg()),
            ("media.images[2]", media.png(2)),
        ),
        (("media.audio[0]", media.silent_wav()),),
    )
    item, neighbour = tiny_encoders.encode_items([broken, ItemInputs("neighbour")])
    assert sorted(item.vectors) == ["image"]
    assert item.error is None
    assert [one.field for one in item.failures] == ["media.audio[0]", "media.images[1]"]
    assert "silent" in item.failures[0].message
    assert "damaged or cut off" in item.failures[1].message
    assert neighbour.failures == ()


def test_an_item_without_any_modality_left_is_a_permanent_failure_with_the_reasons(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    items = [
        ItemInputs(""),
        ItemInputs(" \n", (("media.images[0]", b""),), (("media.audio[0]", b"x"),)),
        ItemInputs("fine"),
    ]
    empty, bad, fine = tiny_encoders.encode_items(items)
    assert isinstance(empty.error, PermanentError)
    assert isinstance(bad.error, PermanentError)
    assert "media.images[0]: the file is empty" in str(bad.error)
    assert len(bad.failures) == 2
    assert fine.error is None
    assert sorted(fine.vectors) == ["text"]


def test_trouble_of_an_encoder_makes_the_item_retryable_not_half_indexed(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path, media: ModuleType
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path)

    def core(network: Any, payloads: list[Any]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    encoders.image.stages.core = core  # type: ignore[method-assign]
    item, neighbour = encoders.encode_items(
        [ItemInputs("words", (("media.images[0]", media.png()),)), ItemInputs("neighbour")]
    )
    assert isinstance(item.error, RetryableError)
    assert item.error.field == "media.images[0]"
    assert neighbour.error is None
    encoders.close()


def test_the_same_picture_is_encoded_once_and_found_again_by_another_process(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path, media: ModuleType
) -> None:
    item = ItemInputs("words", (("media.images[0]", media.png()), ("media.images[1]", media.png())))
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path)
    seen: list[int] = []
    core = encoders.image.stages.core

    def counting(network: Any, payloads: list[Any]) -> Any:
        seen.append(len(payloads))
        return core(network, payloads)

    encoders.image.stages.core = counting  # type: ignore[method-assign]
    first = encoders.encode_items([item, item])
    assert sum(seen) == 1
    assert np.array_equal(first[0].vectors["image"], first[1].vectors["image"])
    encoders.close()
    again = fresh(tiny_settings, tiny_models_pack, tmp_path)
    again.image.stages.core = again.text.stages.core = None  # type: ignore[method-assign,assignment]
    (found,) = again.encode_items([item])
    assert all(
        np.array_equal(found.vectors[name], first[0].vectors[name]) for name in found.vectors
    )
    again.close()


def test_failures_are_not_kept_in_the_cache(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path, media: ModuleType
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path)
    core = encoders.image.stages.core
    encoders.image.stages.core = None  # type: ignore[method-assign,assignment]
    (failed,) = encoders.image.encode([media.png()])
    assert isinstance(failed, RetryableError)
    encoders.image.stages.core = core  # type: ignore[method-assign]
    (found,) = encoders.image.encode([media.png()])
    assert isinstance(found, np.ndarray)
    encoders.close()


def test_without_a_cache_nothing_is_written(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path, cache_bytes=0)
    assert isinstance(encoders.text.encode(["a"])[0], np.ndarray)
    encoders.close()
    assert not list(tmp_path.rglob("*.sqlite3"))


def test_a_profile_reaches_words_pictures_and_the_user_model(tiny_encoders: Encoders) -> None:
    found = tiny_encoders.encode_profile("likes jazz")
    assert {name: len(one) for name, one in found.items()} == {
        "text": tiny_encoders.dims["text"],
        "image_text": tiny_encoders.dims["image"],
        "profile": tiny_encoders.user.dim,
    }
    assert same(found["text"], tiny_encoders.text.submit(["likes jazz"])[0].result())
    with pytest.raises(PermanentError, match="empty"):
        tiny_encoders.encode_profile("  ")


def test_without_a_user_model_the_profile_is_the_text_vector_itself(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    encoders = fresh(tiny_settings, replace(tiny_models_pack, user=None), tmp_path)
    found = encoders.encode_profile("likes jazz")
    assert found["profile"] is found["text"]
    assert encoders.user is encoders.text_query
    encoders.close()


def test_what_people_say_is_never_written_to_the_cache_on_disk(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path)
    encoders.encode_profile("likes jazz")
    encoders.text_query.encode(["jazz at sea"])
    encoders.text.encode(["an item about jazz"])
    with sqlite3.connect(tmp_path / "cache" / "embeddings.sqlite3") as cache:
        assert cache.execute("SELECT COUNT(*) FROM embedding").fetchone() == (1,)
    encoders.close()


def test_a_query_takes_the_models_query_prefix_and_an_item_its_own(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    text = replace(tiny_models_pack.text, prefix="passage: ", query_prefix="query: ")
    encoders = fresh(tiny_settings, replace(tiny_models_pack, text=text), tmp_path)
    plain = fresh(tiny_settings, tiny_models_pack, tmp_path / "plain")
    item = encoders.text.encode(["jazz"])[0]
    asked = encoders.encode_profile("jazz")["text"]
    expected = [one.result() for one in plain.text.submit(["passage: jazz", "query: jazz"])]
    assert same(np.asarray(item), expected[0])
    assert same(asked, expected[1])
    assert encoders.text_query.stages.network is encoders.text.stages.network
    assert encoders.text.fingerprint != plain.text.fingerprint
    encoders.close()
    plain.close()


def test_fingerprint_and_lengths_are_known_without_loading_a_model(
    tiny_settings: Settings, tiny_encoders: Encoders, tiny_models_pack: Pack
) -> None:
    encoders = Encoders(tiny_settings, tiny_models_pack)
    assert encoders.describe() == []
    assert encoders.fingerprint == tiny_encoders.fingerprint
    assert encoders.dims == {
        "text": tiny_encoders.text.dim,
        "image": tiny_encoders.image.dim,
        "audio": tiny_encoders.audio.dim,
    }
    assert encoders.describe() == []
    encoders.close()


def test_the_weight_of_a_block_is_its_models_and_no_part_of_the_encoders_fingerprint(
    tiny_settings: Settings, tiny_models_pack: Pack
) -> None:
    pack = replace(tiny_models_pack, image=replace(tiny_models_pack.image, weight=0.5))
    plain, weighed = Encoders(tiny_settings, tiny_models_pack), Encoders(tiny_settings, pack)
    assert plain.weights == {"text": 1.0, "image": 1.0, "audio": 1.0}
    assert weighed.weights == {"text": 1.0, "image": 0.5, "audio": 1.0}
    assert weighed.fingerprint == plain.fingerprint
    plain.close()
    weighed.close()


def test_the_fingerprint_follows_what_decides_vectors_and_nothing_else(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    def of(pack: Pack, **encoder: Any) -> str:
        return Encoders(changed(tiny_settings, **encoder), pack).fingerprint

    pack = tiny_models_pack
    base = of(pack)
    assert of(pack, precision="bfloat16", threads=2, queue_items=7) == base
    assert of(tiny_pack(tmp_path)) == base, "built again elsewhere from the same seed"
    assert of(replace(pack, user=None)) == base, "the user's model makes no item vector"
    others = [
        of(replace(pack, text=replace(pack.text, prefix="passage: "))),
        of(replace(pack, text=replace(pack.text, max_tokens=64))),
        of(replace(pack, text=replace(pack.text, revision="abc"))),
        of(replace(pack, audio=replace(pack.audio, layer=1))),
        of(pack, audio_layer=2),
        of(pack, audio_window_s=3.0),
        of(pack, audio_windows=2),
    ]
    weights = Path(pack.text.source) / "model.safetensors"
    moved = tmp_path / "text"
    moved.mkdir()
    for path in weights.parent.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert of(replace(pack, text=replace(pack.text, source=str(moved)))) == base
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    (moved / weights.name).write_bytes(damaged)
    others.append(of(replace(pack, text=replace(pack.text, source=str(moved)))))
    assert len({base, *others}) == 1 + len(others)


@pytest.mark.parametrize("first", ["text", "user"])
def test_one_model_serves_texts_and_users_each_as_it_is_described(
    tiny_settings: Settings, tiny_models_pack: Pack, first: str
) -> None:
    text = replace(tiny_models_pack.text, max_tokens=40)
    user = replace(text, modality="user", max_tokens=20, prefix="query: ")
    alone = Encoders(tiny_settings, replace(tiny_models_pack, text=text, user=None))
    encoders = Encoders(tiny_settings, replace(tiny_models_pack, text=text, user=user))
    encoders.prepare(frozenset({first}))
    (of_text,), (of_user,) = (
        one.stages.pre(["word " * 3]) for one in (encoders.text, encoders.user)
    )
    assert [len(of_text), len(of_user)] == [1, 2]  # type: ignore[arg-type]
    assert encoders.fingerprint == alone.fingerprint
    encoders.close()
    alone.close()


def test_only_the_parts_that_are_asked_for_are_loaded(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    settings = tiny_settings.model_copy(update={"data_dir": tiny_settings.data_dir})
    encoders = Encoders.load(settings, parts=frozenset({"text", "image_text"}))
    assert [one.name for one in encoders.describe()] == ["text", "image_text"]
    assert isinstance(encoders.audio.dim, int)
    reports = {one.name: one for one in encoders.describe()}
    assert sorted(reports) == ["audio", "image_text", "text"]
    assert reports["audio"].precision == "float32"
    assert reports["audio"].device == "cpu"
    encoders.check()
    encoders.close()


@pytest.mark.parametrize("wanted", ["bfloat16", "auto"])
def test_every_start_logs_the_device_and_precision_of_each_encoder(
    tiny_settings: Settings,
    tiny_models_pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
) -> None:
    chosen = Precision("bfloat16", autocast=True, speedup=2.0, cosine=0.9996)
    monkeypatch.setattr(precision, "_probe", lambda *_: chosen)
    settings = changed(tiny_settings, precision=wanted).model_copy(update={"data_dir": tmp_path})
    for _ in range(2):
        encoders = Encoders(settings, tiny_models_pack)
        with capture_logs() as lines:
            encoders.prepare(frozenset({"text", "image"}))
        loaded = [line for line in lines if line["event"] == "encoder loaded"]
        assert [line["encoder"] for line in loaded] == ["text", "image", "image_text"]
        for line, report in zip(loaded, encoders.describe(), strict=True):
            assert line["device"] == "cpu"
            assert line["precision"] == report.precision != "float32"
            assert line["speedup"] == round(report.speedup, 2)
            assert line["cosine"] == round(report.cosine, 5)
        encoders.close()


def test_a_model_that_is_not_there_is_refused_with_the_setting_to_correct(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    pack = replace(tiny_models_pack, text=ModelSpec("text", "bert", str(tmp_path / "none")))
    with pytest.raises(RejectedError, match="FIRSTLIGHT_ENCODER_TEXT_MODEL"):
        _ = Encoders(tiny_settings, pack).text


def test_damaged_weights_are_refused_with_the_setting_to_correct(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    pack = tiny_pack(tmp_path)
    for source in (pack.text.source, pack.image.source.removeprefix("local-dir:")):
        for path in Path(source).glob("*.safetensors"):
            path.write_bytes(path.read_bytes()[:1000])
    encoders = Encoders(tiny_settings, pack)
    with pytest.raises(RejectedError, match="FIRSTLIGHT_ENCODER_TEXT_MODEL"):
        _ = encoders.text
    with pytest.raises(RejectedError, match="FIRSTLIGHT_ENCODER_IMAGE_MODEL"):
        _ = encoders.image
    encoders.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_device_thread_makes_readiness_fail_and_encoding_fail_at_once(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path, cache_bytes=0)

    def core(network: Any, payloads: list[Any]) -> Any:
        raise SystemExit

    encoders.text.stages.core = core  # type: ignore[method-assign]
    for _ in range(2):
        (item,) = encoders.encode_items([ItemInputs("words")])
        assert isinstance(item.error, RetryableError)
        assert "died" in str(item.error)
    with pytest.raises(RetryableError, match="died"):
        encoders.check()
    encoders.close()


def test_a_stuck_model_makes_readiness_fail_and_every_wait_is_bounded(
    tiny_settings: Settings, tiny_models_pack: Pack, tmp_path: Path
) -> None:
    encoders = fresh(tiny_settings, tiny_models_pack, tmp_path, cache_bytes=0, timeout_s=0.2)
    core = encoders.text.stages.core
    release, began = threading.Event(), threading.Event()

    def stuck(network: Any, payloads: list[Any]) -> Any:
        began.set()
        release.wait(20)
        return core(network, payloads)

    encoders.text.stages.core = stuck  # type: ignore[method-assign]
    started = time.monotonic()
    (item,) = encoders.encode_items([ItemInputs("words")])
    assert time.monotonic() - started < 5
    assert isinstance(item.error, RetryableError)
    # On a busy machine the wait may end before the model begins; stuck is what ran for so long.
    assert began.wait(20)
    time.sleep(0.3)
    with pytest.raises(RetryableError, match="has been running for"):
        encoders.check()
    release.set()
    encoders.text.stages.core = core  # type: ignore[method-assign]
    for _ in range(200):
        time.sleep(0.01)
        try:
            encoders.check()
            break
        except RetryableError:
            continue
    encoders.check()
    encoders.close()


def test_many_threads_share_the_encoders_and_each_gets_its_own_vectors(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    inputs = [
        ItemInputs(f"text {at} " * (at % 7 + 1), (("media.images[0]", media.png(at)),))
        for at in range(24)
    ]
    expected = tiny_encoders.encode_items(inputs)
    settings = tiny_encoders._settings.encoder.model_copy(update={"cache_bytes": 0})
    encoders = Encoders(
        tiny_encoders._settings.model_copy(update={"encoder": settings}), tiny_encoders.pack
    )
    found: dict[int, Any] = {}

    def work(at: int) -> None:
        found[at] = encoders.encode_items([inputs[at]])[0]

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(inputs))]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    for at, one in enumerate(expected):
        for name in ("text", "image"):
            assert same(found[at].vectors[name], one.vectors[name])
    encoders.close()
