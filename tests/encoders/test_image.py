import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from domain.errors import PermanentError
from encoders import Encoders, ModelSpec, Pack
from encoders.families import raw_dim
from encoders.image import ImageStages, OpenClip, WordsStages
from encoders.sources import locate
from encoders.tower_tokens import MAX_PARTS, TowerTokens

KINDS = [
    "png",
    "jpeg",
    "exif_rotated_jpeg",
    "transparent_png",
    "palette_png",
    "cmyk_jpeg",
    "grey16_png",
    "animated_gif",
]


def test_one_picture_and_many_give_the_same_vectors(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    files = [getattr(media, name)() for name in KINDS]
    stages = tiny_encoders.image.stages
    pieces = [one[0].payload for one in stages.pre(files)]  # type: ignore[index]
    together = stages.core(stages.network, pieces)
    alone = np.concatenate([stages.core(stages.network, [one]) for one in pieces])
    assert np.abs(together - alone).max() < 1e-4
    found = [one.result() for one in tiny_encoders.image.submit(files)]
    assert np.abs(np.array(found) - alone).max() < 1e-4
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_pictures_and_words_get_open_clips_own_vectors(
    tiny_encoders: Encoders, tiny_models_pack: Pack, media: ModuleType
) -> None:
    source = tiny_models_pack.image.source
    model, preprocess = open_clip.create_model_from_pretrained(source)
    tokenizer = open_clip.get_tokenizer(source)
    image = media.picture(200, 120)
    with torch.inference_mode():
        pixels = preprocess(image)[None]
        picture = model.encode_image(pixels, normalize=True)[0].numpy()
        words = model.encode_text(tokenizer(["a red door"]), normalize=True)[0].numpy()
    found = tiny_encoders.image.submit([media.encoded(image)])[0].result()
    assert np.abs(found - picture).max() < 1e-5
    found = tiny_encoders.image_text.submit(["a red door"])[0].result()
    assert np.abs(found - words).max() < 1e-5


def test_one_text_and_many_give_the_same_words_vectors(tiny_encoders: Encoders) -> None:
    texts = ["red", "a long description of a picture " * 10, "two dogs"]
    many = [one.result() for one in tiny_encoders.image_text.submit(texts)]
    alone = [tiny_encoders.image_text.submit([one])[0].result() for one in texts]
    assert np.abs(np.array(many) - np.array(alone)).max() < 1e-4


@pytest.fixture(params=["clip", "transformers"])
def tower_tokenizer(request: pytest.FixtureRequest, tiny_models_pack: Pack) -> Any:
    if request.param == "clip":
        return open_clip.SimpleTokenizer(context_length=32)
    return open_clip.tokenizer.HFTokenizer(tiny_models_pack.text.source, context_length=32)


def _read(tokenizer: Any, parts: list[tuple[Any, float]]) -> str:
    """What the rows of a text's parts say, without spaces and case."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        special = {0, *tokenizer.all_special_ids}
        said = [tokenizer.decode([one for one in row if one not in special]) for row, _ in parts]
    else:
        inner = tokenizer.tokenizer
        said = [inner.decode(row[1:], skip_special_tokens=True) for row, _ in parts]
    return "".join("".join(said).split()).lower()


@pytest.mark.parametrize(
    "text",
    [
        "I like slow films about people at sea and long winters. " * 5,
        "1000000000 1000007919 978-3-16-148410-0 " * 4,
        "2024-01-31T23:59 " * 8,
        "a.b.c,d;e?f?g:h(i)j " * 10,
        "Donaudampfschifffahrtsgesellschaft Rechtsschutzversicherung " * 4,
        "Szczebrzeszyn chrząszcz brzmi w trzcinie " * 5,
        "电影" * 50,
        "电影" * 12 + " " + "电影" * 12,
        "\N{HOUSE BUILDING}" * 60,
        "ab" * 100,
    ],
)
def test_nothing_is_cut_from_the_parts_of_a_text_beyond_the_towers_window(
    tower_tokenizer: Any, text: str
) -> None:
    parts = TowerTokens(tower_tokenizer).parts(text)
    assert 1 < len(parts) <= MAX_PARTS
    assert _read(tower_tokenizer, parts) == "".join(text.split()).lower()


def test_of_a_very_long_text_parts_from_end_to_end_are_read(tower_tokenizer: Any) -> None:
    numbers = [str(one) for one in range(1000, 3000)]
    parts = TowerTokens(tower_tokenizer).parts(" ".join(numbers))
    assert len(parts) == MAX_PARTS
    said = _read(tower_tokenizer, parts)
    assert said.startswith(numbers[0])
    assert said.endswith(numbers[-1])


def test_a_text_that_fits_the_towers_window_is_tokenised_once_and_whole(
    tower_tokenizer: Any,
) -> None:
    tokens = TowerTokens(tower_tokenizer)
    with (
        patch.object(tokens, "_tokenizer", Mock(wraps=tower_tokenizer)) as rows,
        patch.object(tokens, "_count", Mock(wraps=tokens._count)) as counted,
    ):
        ((row, _),) = tokens.parts("a red door")
    assert (row == tower_tokenizer(["a red door"]).numpy()[0]).all()
    assert (rows.call_count, counted.call_count) == (1, 0)


def test_a_text_that_fills_the_towers_window_exactly_stays_whole(tower_tokenizer: Any) -> None:
    tokens = TowerTokens(tower_tokenizer)
    assert len(tokens.parts("7" * 30)) == 1
    assert len(tokens.parts("7" * 31)) > 1


def test_a_bad_picture_fails_alone(tiny_encoders: Encoders, media: ModuleType) -> None:
    first, bad, last = tiny_encoders.image.encode([media.png(1), b"no", media.png(2)])
    assert isinstance(bad, PermanentError)
    assert isinstance(first, np.ndarray)
    assert isinstance(last, np.ndarray)


def test_a_sliver_of_a_picture_is_encoded_or_refused(
    tiny_encoders: Encoders, media: ModuleType
) -> None:
    for size in [(1, 1), (4000, 1), (1, 4000)]:
        (outcome,) = tiny_encoders.image.encode([media.encoded(Image.new("RGB", size, "red"))])
        assert isinstance(outcome, (np.ndarray, PermanentError))


def test_an_architecture_by_name_with_weights_from_a_file_is_loaded(
    tmp_path: Path, tiny_models_pack: Pack, tiny_encoders: Encoders, media: ModuleType
) -> None:
    home = Path(tiny_models_pack.image.source.removeprefix("local-dir:"))
    config = json.loads((home / "open_clip_config.json").read_text())["model_cfg"]
    path = tmp_path / "firstlight-test.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    source = f"firstlight-test/{home / 'open_clip_model.safetensors'}"
    located = locate(ModelSpec("image", "open_clip", source))
    assert raw_dim(located) == 32
    stages = ImageStages(OpenClip(located), torch.device("cpu"), max_pixels=10**6)
    (pieces,) = stages.pre([media.png()])
    assert not isinstance(pieces, PermanentError)
    found = stages.core(stages.network, [pieces[0].payload])[0]  # type: ignore[index]
    assert found @ tiny_encoders.image.submit([media.png()])[0].result() > 0.9999


def test_a_model_of_another_architecture_is_loaded_by_path(
    tmp_path: Path, tiny_models_pack: Pack, media: ModuleType
) -> None:
    """A timm tower and a CustomTextCLIP: what open_clip makes of a tower that is not its own."""
    from safetensors.torch import save_file

    config = json.loads(
        Path(
            tiny_models_pack.image.source.removeprefix("local-dir:"), "open_clip_config.json"
        ).read_text()
    )
    config["model_cfg"]["vision_cfg"] = {
        "timm_model_name": "test_efficientnet",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 48,
    }
    config["model_cfg"]["custom_text"] = True
    config["preprocess_cfg"] = {"size": 48, "resize_mode": "squash"}
    model = open_clip.CustomTextCLIP(
        **{key: one for key, one in config["model_cfg"].items() if key != "custom_text"}
    ).eval()
    weights = {name: one.contiguous() for name, one in model.state_dict().items()}
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    clip = OpenClip(locate(ModelSpec("image", "open_clip", f"local-dir:{tmp_path}")))
    images = ImageStages(clip, torch.device("cpu"), max_pixels=10**6)
    words = WordsStages(clip, torch.device("cpu"))
    assert images.dim == words.dim == 32
    pieces = [one[0].payload for one in images.pre([media.png(), media.jpeg(300, 100)])]  # type: ignore[index]
    assert pieces[0].shape == (48, 48, 3)
    together = images.core(images.network, pieces)
    alone = np.concatenate([images.core(images.network, [one]) for one in pieces])
    assert np.abs(together - alone).max() < 1e-4


def test_a_folder_without_weights_is_refused(tmp_path: Path, tiny_models_pack: Pack) -> None:
    home = Path(tiny_models_pack.image.source.removeprefix("local-dir:"))
    shutil.copy(home / "open_clip_config.json", tmp_path)
    with pytest.raises(Exception, match="holds no weights"):
        locate(ModelSpec("image", "open_clip", f"local-dir:{tmp_path}"))
