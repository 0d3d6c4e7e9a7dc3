from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import PermanentError
from domain.limits import DEFAULT_LIMITS
from encoders import Encoders, ModelSpec, Pack
from encoders.sources import locate
from encoders.text import MAX_CHUNKS, TextStages, Tokens
from encoders.tiny import WINDOW

TEXTS = ["a film about jazz", "Ein Mann geht", "x", "longer words " * 20, "电影", "نص من اليمين"]


def vectors(outcomes: list[Any]) -> np.ndarray:
    assert all(isinstance(one, np.ndarray) for one in outcomes), outcomes
    return np.array(outcomes)


@pytest.mark.parametrize("name", ["text", "user"])
def test_one_input_and_many_give_the_same_vectors(tiny_encoders: Encoders, name: str) -> None:
    encoder = getattr(tiny_encoders, name)
    stages = encoder.stages
    pieces = [piece for one in stages.pre(TEXTS) for piece in one]
    together = stages.core(stages.network, [one.payload for one in pieces])
    alone = np.concatenate([stages.core(stages.network, [one.payload]) for one in pieces])
    assert np.abs(together - alone).max() < 1e-4
    many = vectors([one.result() for one in encoder.submit(TEXTS)])
    single = vectors([encoder.submit([text])[0].result() for text in TEXTS])
    assert np.abs(many - single).max() < 1e-4
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert many.dtype == np.float32


def test_it_is_the_mean_of_the_models_own_token_states(
    tiny_encoders: Encoders, tiny_models_pack: Pack
) -> None:
    from transformers import AutoModel, AutoTokenizer

    path = tiny_models_pack.text.source
    model = AutoModel.from_pretrained(path)
    tokens = AutoTokenizer.from_pretrained(path)("a film about jazz", return_tensors="pt")
    with torch.inference_mode():
        states = model(input_ids=tokens["input_ids"]).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states.mean(0), dim=0).numpy()
    found = tiny_encoders.text.submit(["a film about jazz"])[0].result()
    assert np.abs(found - expected).max() < 1e-5


def test_the_language_model_pools_the_last_token_behind_the_instruction(
    tiny_encoders: Encoders, tiny_models_pack: Pack
) -> None:
    from transformers import AutoModel, AutoTokenizer

    spec = tiny_models_pack.user
    assert spec is not None
    model = AutoModel.from_pretrained(spec.source)
    tokenizer = AutoTokenizer.from_pretrained(spec.source)
    tokens = tokenizer(spec.query_prefix + "likes jazz", return_tensors="pt")
    assert tokens["input_ids"][0, -1] == tokenizer.eos_token_id
    with torch.inference_mode():
        states = model(input_ids=tokens["input_ids"]).last_hidden_state[0]
    expected = torch.nn.functional.normalize(states[-1], dim=0).numpy()
    short, _ = tiny_encoders.user.submit(["likes jazz", "likes jazz and much else"])
    assert np.abs(short.result() - expected).max() < 1e-5


def test_a_text_beyond_the_window_is_chunked_and_averaged_not_cut(
    tiny_encoders: Encoders,
) -> None:
    stages = tiny_encoders.text.stages
    start, end = "abc " * 60, "xyz " * 60
    (pieces,) = stages.pre([start + end])
    assert len(pieces) == 4
    assert max(piece.cost for piece in pieces) <= WINDOW
    assert max(piece.cost for piece in pieces) - min(piece.cost for piece in pieces) <= 1
    assert sum(piece.weight for piece in pieces) == 480
    first, second, both, cut = (
        one.result() for one in tiny_encoders.text.submit([start, end, start + end, start[:126]])
    )
    assert both @ second > cut @ second + 0.01
    middle = (first + second) / np.linalg.norm(first + second)
    assert both @ middle > 0.99


def test_every_chunk_carries_the_prefix(tiny_models_pack: Pack) -> None:
    stages = TextStages(
        locate(tiny_models_pack.text), torch.device("cpu"), prefix="passage: ", shared=None
    )
    (pieces,) = stages.pre(["word " * 100])
    prefix = stages.tokens.lead + stages.tokens.ids(["passage: "])[0]
    assert len(pieces) > 1
    assert all(piece.payload[: len(prefix)].tolist() == prefix for piece in pieces)
    assert sum(piece.weight for piece in pieces) == 500


def test_a_description_as_long_as_the_limits_allow_is_read_wholly(
    tiny_models_pack: Pack,
) -> None:
    from transformers import AutoTokenizer

    tokens = Tokens(AutoTokenizer.from_pretrained(tiny_models_pack.text.source), window=256)
    prefix = tokens.ids(["p: "])[0]
    body = list(range(DEFAULT_LIMITS.description_chars // 4))
    pieces = tokens.chunks(prefix + body, len(prefix), prefix)
    lead, tail = len(tokens.lead) + len(prefix), len(tokens.tail)
    assert max(piece.cost for piece in pieces) <= 256
    assert np.concatenate([piece.payload[lead:-tail] for piece in pieces]).tolist() == body


def test_a_text_of_a_megabyte_is_read_in_chunks_spread_over_it(tiny_encoders: Encoders) -> None:
    (pieces,) = tiny_encoders.text.stages.pre(["0123456789" * 100_000])
    assert len(pieces) == MAX_CHUNKS
    tail = tiny_encoders.text.stages.tokens.ids(["0123456789" * 20])[0][-WINDOW + 2 :]
    assert pieces[-1].payload[1:-1].tolist() == tail


@pytest.mark.parametrize(
    "text",
    [
        "🎬🎷🎻",
        "مرحبا بالعالم",
        "שלום עולם",
        "a\x00b",
        "lone \ud800 surrogate",
        "\u202ertl override",
        "e\u0301" * 50,
        "🏳️‍🌈" * 200,
    ],
)
@pytest.mark.parametrize("name", ["text", "user", "image_text"])
def test_unusual_texts_have_vectors(tiny_encoders: Encoders, name: str, text: str) -> None:
    vector = getattr(tiny_encoders, name).submit([text])[0].result()
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=300), min_size=1, max_size=4))
def test_any_text_has_a_unit_vector_or_is_refused_as_empty(
    tiny_encoders: Encoders, texts: list[str]
) -> None:
    for text, outcome in zip(texts, tiny_encoders.text.encode(texts), strict=True):
        if isinstance(outcome, PermanentError):
            assert not text.strip()
        else:
            assert np.linalg.norm(np.asarray(outcome)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["text", "text_query", "user", "image_text"])
@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_text_is_refused_and_its_neighbours_are_not(
    tiny_encoders: Encoders, name: str, text: str
) -> None:
    before, empty, after = getattr(tiny_encoders, name).encode(["some words", text, "others"])
    assert isinstance(empty, PermanentError)
    assert "empty" in str(empty)
    assert isinstance(before, np.ndarray)
    assert isinstance(after, np.ndarray)


def test_the_window_is_the_least_that_model_tokeniser_and_spec_name(
    tiny_models_pack: Pack,
) -> None:
    source = tiny_models_pack.text.source
    spec = ModelSpec("text", "bert", source, max_tokens=40)
    stages = TextStages(locate(spec), torch.device("cpu"), prefix="", shared=None)
    assert stages.tokens.window == 40
    (pieces,) = stages.pre(["a" * 76])
    assert [piece.cost for piece in pieces] == [40, 40]


def test_a_model_with_absolute_positions_shifted_by_its_padding_keeps_within_them(
    tmp_path: Path,
) -> None:
    from transformers import RobertaConfig, RobertaModel

    from encoders.tiny import _tokenizer

    tokenizer = _tokenizer(lead="<s>", tail="</s>")
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=0,
    )
    RobertaModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    spec = ModelSpec("text", "bert", str(tmp_path))
    stages = TextStages(locate(spec), torch.device("cpu"), prefix="", shared=None)
    assert stages.tokens.window == 64
    (pieces,) = stages.pre(["a" * 500])
    found = stages.core(stages.network, [piece.payload for piece in pieces])
    assert np.isfinite(found).all()
