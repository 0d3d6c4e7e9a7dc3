"""The `tiny` pack: seeded random models of the real classes, for fast tests.

They are written once into a directory as safetensors, with tokenisers and configurations, so that
the real loaders read them by local path. They mean nothing; equal inputs give equal vectors, and
texts that share letters are a little alike.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from encoders.quiet import quiet
from encoders.spec import ModelSpec, Pack

VERSION = "1"
"""Names the directory; change it with anything below."""

SEED = 20_260_101
WINDOW = 128
"""Tokens of the text models; a token is a byte."""


def tiny_pack(folder: Path) -> Pack:
    """The pack, its models built under folder/tiny-VERSION where they are not yet.

    Several processes may ask at once: each builds aside, one wins.
    """
    home = folder / f"tiny-{VERSION}"
    if not (home / "done").is_file():
        draft = folder / f".tiny-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        _build(draft)
        try:
            draft.rename(home)
        except OSError:
            shutil.rmtree(draft)
    note = "seeded random weights, for tests"
    return Pack(
        name="tiny",
        text=ModelSpec("text", "bert", str(home / "text"), license="Apache-2.0", note=note),
        image=ModelSpec(
            "image", "open_clip", f"local-dir:{home / 'image'}", license="Apache-2.0", note=note
        ),
        audio=ModelSpec("audio", "wav2vec2", str(home / "audio"), license="Apache-2.0", note=note),
        user=ModelSpec(
            "user",
            "last_token",
            str(home / "user"),
            query_prefix="Instruct: What would this person like?\nQuery: ",
            license="Apache-2.0",
            note=note,
        ),
        about="Seeded random models of the real classes. Fast, meaningless: for tests only.",
    )


def _build(folder: Path) -> None:
    import torch

    with torch.random.fork_rng(devices=[]), quiet("transformers"), quiet("open_clip"):
        torch.manual_seed(SEED)
        build_bert(folder / "text")
        build_clip(folder / "image")
        build_waveforms(folder / "audio")
        build_qwen3(folder / "user")
    (folder / "done").touch()


def build_bert(folder: Path) -> None:
    """A BertModel of 2 layers, 48-d."""
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(lead="[CLS]", tail="[SEP]")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=WINDOW,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.4,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_qwen3(folder: Path) -> None:
    """A Qwen3Model of 2 layers, 40-d, whose tokeniser ends a text as Qwen3-Embedding's does."""
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = _tokenizer(lead="", tail="<|endoftext|>")
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        intermediate_size=80,
        max_position_embeddings=512,
        initializer_range=0.4,
    )
    Qwen3Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_waveforms(folder: Path, kind: str = "wav2vec2") -> None:
    """A Wav2Vec2Model, HubertModel or WavLMModel of 2 layers, 32-d, with the real frame rate."""
    import transformers

    names = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
    config = getattr(transformers, f"{names[kind]}Config")(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        initializer_range=0.3,
    )
    getattr(transformers, f"{names[kind]}Model")(config).save_pretrained(folder)
    extractor: Any = transformers.Wav2Vec2FeatureExtractor
    extractor(do_normalize=True).save_pretrained(folder)


def build_clip(folder: Path) -> None:
    """An open_clip CLIP of 2 layers on either side, 32-d, 32 x 32 pixels."""
    import open_clip
    from safetensors.torch import save_file

    config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 49_408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        },
    }
    folder.mkdir(parents=True)
    model = open_clip.CLIP(**config)
    weights = {name: one.contiguous() for name, one in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {"size": 32}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))


def _tokenizer(lead: str, tail: str) -> Any:
    """A byte-level tokeniser: every text has tokens, whatever its script."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad = "[PAD]"
    special = [pad, *([lead] if lead else []), tail]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate(special + letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{lead} $A {tail}".strip(),
        special_tokens=[(token, vocabulary[token]) for token in special[1:]],
    )
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=backend, pad_token=pad, eos_token=tail, model_max_length=WINDOW)
