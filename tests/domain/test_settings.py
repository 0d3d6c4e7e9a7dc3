"""Settings: read from the environment, wrong ones refused on one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from domain.errors import RejectedError
from domain.settings import Settings, load_settings, variable_names


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("FIRSTLIGHT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTLIGHT_API_PORT", "8123")
    monkeypatch.setenv("FIRSTLIGHT_WORKER_RETRY_BASE_S", "0.5")
    monkeypatch.setenv("FIRSTLIGHT_LIMITS_TITLE_CHARS", "10")
    monkeypatch.setenv("FIRSTLIGHT_FUSION_WEIGHTS", '{"text": 2.0}')
    found = load_settings()
    assert found.api.port == 8123
    assert found.worker.retry_base_s == 0.5
    assert found.limits.title_chars == 10
    assert found.fusion.weights == {"text": 2.0}


def test_an_env_file_is_read_and_the_environment_outranks_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("FIRSTLIGHT_API_PORT=8001\nFIRSTLIGHT_INDEX_PORT=8002\n")
    monkeypatch.setenv("FIRSTLIGHT_API_PORT", "8123")
    found = load_settings()
    assert (found.api.port, found.index.port) == (8123, 8002)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FIRSTLIGHT_API_PORT", "http", "FIRSTLIGHT_API_PORT: Input should be a valid integer"),
        ("FIRSTLIGHT_API_PORT", "0", "FIRSTLIGHT_API_PORT: Input should be greater than"),
        ("FIRSTLIGHT_WORKER_BULK_BATCH", "65", "FIRSTLIGHT_WORKER_BULK_BATCH: "),
        ("FIRSTLIGHT_ENCODER_PACK", "huge", "FIRSTLIGHT_ENCODER_PACK: Input should be 'starter'"),
        ("FIRSTLIGHT_LOG_LEVEL", "loud", "FIRSTLIGHT_LOG_LEVEL: "),
        ("FIRSTLIGHT_API_PROT", "1", "FIRSTLIGHT_API_PROT: no such setting; did you mean"),
        ("FIRSTLIGHT_ZZZ", "1", "FIRSTLIGHT_ZZZ: no such setting"),
        ("FIRSTLIGHT_INDEX_TIMEOUT_S", "inf", "finite number"),
        ("FIRSTLIGHT_INDEX_ALIAS", "a/b", "FIRSTLIGHT_INDEX_ALIAS: String should match"),
        ("FIRSTLIGHT_INDEX_URL", "http://me:word@h", "holds no password; there is a key for it"),
    ],
)
def test_a_wrong_or_unknown_setting_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RejectedError) as caught:
        load_settings()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FIRSTLIGHT_API_WRITE_KEYS", "[hush-hush"),
        ("FIRSTLIGHT_FETCH_ALLOW_PRIVATE", "media.internal"),
        ("FIRSTLIGHT_FUSION_WEIGHTS", "text=2"),
    ],
)
def test_json_that_does_not_parse_is_one_line_naming_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RejectedError, match="not JSON") as caught:
        load_settings()
    assert caught.value.field == name
    assert "write it as" in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FIRSTLIGHT_INDEX_URL", "qdrant:6333"),
        ("FIRSTLIGHT_INDEX_URL", "http://"),
        ("FIRSTLIGHT_API_URL", "localhost"),
        ("FIRSTLIGHT_API_URL", "http://me:word@host"),
        ("FIRSTLIGHT_INDEX_URL", "http://host:99999"),
        ("FIRSTLIGHT_BROKER_URL", "localhost"),
        ("FIRSTLIGHT_CATALOG_URL", "catalog.db"),
        ("FIRSTLIGHT_API_WRITE_KEYS", '["good", ""]'),
        ("FIRSTLIGHT_API_READ_KEYS", '[""]'),
        ("FIRSTLIGHT_FUSION_WEIGHTS", '{"text": "heavy"}'),
        ("FIRSTLIGHT_FUSION_WEIGHTS", '{"text": NaN}'),
        ("FIRSTLIGHT_FUSION_WEIGHTS", '{"text": 0}'),
        ("FIRSTLIGHT_ENCODER_AUDIO_LAYER", "last"),
    ],
)
def test_a_value_of_the_wrong_kind_names_the_variable_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RejectedError) as caught:
        load_settings()
    assert caught.value.field == name


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unset = load_settings()
    for name in variable_names():
        monkeypatch.setenv(name, "")
    (tmp_path / ".env").write_text("FIRSTLIGHT_API_PORT=\n")
    assert load_settings() == unset


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = load_settings(data_dir=tmp_path / "file")
    with pytest.raises(RejectedError, match=r"FIRSTLIGHT_DATA_DIR.*Not a directory"):
        found.folder("artifacts")


def test_the_near_miss_names_the_right_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTLIGHT_API_PROT", "1")
    with pytest.raises(RejectedError, match="did you mean FIRSTLIGHT_API_PORT"):
        load_settings()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("FIRSTLIGHT_API_PROT=1", "FIRSTLIGHT_API_PROT"),
        ("FIRSTLIGHT_API_PORT=http", "FIRSTLIGHT_API_PORT"),
        ("FIRSTLIGHT_FETCH_LOCAL_DIRS=/srv/media", "FIRSTLIGHT_FETCH_LOCAL_DIRS"),
    ],
)
def test_a_mistake_in_the_env_file_is_named_like_one_in_the_environment(
    tmp_path: Path, line: str, name: str
) -> None:
    (tmp_path / ".env").write_text(f"SOMETHING_ELSE=1\n{line}\n")
    with pytest.raises(RejectedError, match=name):
        load_settings()


def test_variables_of_the_tests_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTLIGHT_TEST_QDRANT_URL", "http://h")
    assert load_settings() == load_settings()


def test_every_setting_has_a_description_and_its_own_variable() -> None:
    names = variable_names()
    assert names["FIRSTLIGHT_API_PORT"] == ("api", "port")
    assert names["FIRSTLIGHT_DATA_DIR"] == ("", "data_dir")
    fields = Settings.model_fields
    for group, field in names.values():
        kind = fields[group].annotation if group else Settings
        assert kind is not None
        assert kind.model_fields[field].description, (group, field)


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTLIGHT_API_WRITE_KEYS", '["hush-hush"]')
    monkeypatch.setenv("FIRSTLIGHT_CATALOG_URL", "postgresql://me:hush-hush@h/db")
    found = load_settings()
    assert "hush-hush" not in repr(found)
    assert "hush-hush" not in found.model_dump_json()
    assert found.catalog_url == "postgresql://me:hush-hush@h/db"


def test_urls_follow_from_the_data_directory_and_the_ports(tmp_path: Path) -> None:
    found = load_settings(data_dir=tmp_path / "d")
    assert found.catalog_url == f"sqlite:///{tmp_path / 'd' / 'catalog.db'}"
    assert found.broker_url == "redis://127.0.0.1:7379/0"
    assert found.index_url == "http://127.0.0.1:7333"
    assert found.api_url == "http://127.0.0.1:7300"
    assert found.folder("artifacts") == tmp_path / "d" / "artifacts"
    assert found.folder("artifacts").is_dir()
