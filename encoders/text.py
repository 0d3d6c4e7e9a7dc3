"""Text encoders through transformers: BERT-family with mean pooling, or the last token's state."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from domain.errors import FirstlightError, PermanentError
from domain.vectors import Matrix
from encoders.batcher import Piece
from encoders.precision import Network
from encoders.quiet import quiet
from encoders.sources import Located

TOKEN_BUDGET = {"cpu": 1024, "cuda": 65_536, "mps": 8192}
"""Tokens of one batch in float32, padding included; twice as many in half precision. On a
processor small batches of like length win (docs/decisions/0011-lanes.md)."""

MAX_CHUNKS = 128
"""Chunks of one text that are read, spread evenly over it; the rest of a longer text is not. With
a window of 256 tokens they hold 32,000; an English description of 100,000 characters has 25,000."""

DEFAULT_WINDOW = 8192
"""Tokens of a model that names no window of its own, and the most of one that names more."""

_STRIDE = 32
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet"}
"""Model types whose position table is two longer than their window."""


class Tokens:
    """A fast tokeniser that cuts texts into windows of token ids instead of truncating them."""

    def __init__(self, tokenizer: Any, window: int) -> None:
        """
        Args:
            tokenizer: a transformers fast tokeniser.
            window: most tokens of one chunk, special ones included.
        """
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        marks = self._backend.encode("a", add_special_tokens=True)
        special = marks.special_tokens_mask
        lead = special.index(0)
        tail = special[::-1].index(0)
        self.lead: list[int] = marks.ids[:lead]
        self.tail: list[int] = marks.ids[len(special) - tail :]
        self.window = window

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        found = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in found]

    def chunks(self, ids: list[int], prefix: int, repeat: list[int]) -> list[Piece]:
        """Cut the ids of a prefixed text into chunks of like length, each with the prefix.

        Args:
            ids: of the prefixed text.
            prefix: how many of them are the prefix's.
            repeat: ids of the prefix, for the chunks after the first.
        """
        room = self.window - len(self.lead) - len(self.tail)
        if len(ids) <= room:
            return [self._piece(ids, len(ids) - prefix)]
        body = ids[prefix:]
        room = max(1, room - len(repeat))
        count = -(-len(body) // room)
        if count <= MAX_CHUNKS:
            edges = np.linspace(0, len(body), count + 1).astype(int)
            parts = [body[low:high] for low, high in pairwise(edges)]
        else:
            starts = np.linspace(0, len(body) - room, MAX_CHUNKS).astype(int)
            parts = [body[low : low + room] for low in starts]
        return [self._piece(repeat + part, len(part)) for part in parts]

    def _piece(self, ids: list[int], weight: int) -> Piece:
        full = np.asarray(self.lead + ids + self.tail, dtype=np.int64)
        return Piece(full, cost=len(full), weight=float(max(1, weight)))


class TextStages:
    """A transformers text model as three stages. Vectors: [hidden_size] float32."""

    stride = _STRIDE

    def __init__(
        self, located: Located, device: torch.device, *, prefix: str, shared: TextStages | None
    ) -> None:
        """
        Args:
            prefix: put before every text (the model's, for what is stored or for a query).
            shared: stages of the same model with another prefix, whose weights are used.
        """
        self.model = located.spec.source
        self.prefix = prefix
        self._tokens_at_once = TOKEN_BUDGET.get(device.type, TOKEN_BUDGET["cpu"])
        self.last_token = located.spec.family == "last_token"
        if shared is not None:
            self._shared: TextStages | None = shared
            self.tokens: Tokens = shared.tokens
            self.pad: int = shared.pad
            self.dim: int = shared.dim
        else:
            self._shared = None
            module, self.tokens, self.pad = _load(located)
            self.dim = int(module.config.hidden_size)
            self._network = Network(module, device)
        self._prefix_ids = self.tokens.ids([prefix])[0] if prefix else []

    @property
    def network(self) -> Network:
        """The model; one for all prefixes."""
        return self._network if self._shared is None else self._shared.network

    @network.setter
    def network(self, network: Network) -> None:
        self._network = network

    @property
    def budget(self) -> int:
        """Tokens of one batch, in the network's precision."""
        return self._tokens_at_once * (1 if self.network.half == torch.float32 else 2)

    def pre(self, inputs: Sequence[str]) -> list[list[Piece] | FirstlightError]:
        """Tokenise and cut into chunks. A text without a token is a PermanentError."""
        texts = [self.prefix + _encodable(one) for one in inputs]
        outcomes: list[list[Piece] | FirstlightError] = []
        for text, ids in zip(inputs, self.tokens.ids(texts), strict=True):
            if not text.strip() or len(ids) <= (len(self._prefix_ids) if self.prefix else 0):
                outcomes.append(PermanentError("the text is empty", remedy="send some words"))
            else:
                outcomes.append(self.tokens.chunks(ids, len(self._prefix_ids), self._prefix_ids))
        return outcomes

    def core(self, network: Network, payloads: list[NDArray[np.int64]]) -> Matrix:
        """n chunks of token ids -> [n, hidden_size] float32, unit norm."""
        lengths = np.array([len(one) for one in payloads])
        ids = np.full((len(payloads), int(lengths.max())), self.pad, dtype=np.int64)
        for row, one in zip(ids, payloads, strict=True):
            row[: len(one)] = one
        tokens = torch.from_numpy(ids).to(network.device)
        ends = torch.from_numpy(lengths).to(network.device)
        # Without padding no mask: attention then takes its faster kernel.
        padded = bool((lengths != ids.shape[1]).any())
        mask = torch.arange(ids.shape[1], device=network.device)[None, :] < ends[:, None]

        def forward(module: Any) -> torch.Tensor:
            options = {"use_cache": False} if self.last_token else {}
            answer = module(
                input_ids=tokens, attention_mask=mask.long() if padded else None, **options
            )
            states: torch.Tensor = answer.last_hidden_state.float()
            if self.last_token:
                pooled = states[torch.arange(len(payloads), device=network.device), ends - 1]
            elif padded:
                pooled = (states * mask[:, :, None]).sum(1) / ends[:, None]
            else:
                pooled = states.mean(1)
            return torch.nn.functional.normalize(pooled, dim=1)

        return network.run(forward)

    def content(self, value: str) -> bytes:
        """The text's UTF-8."""
        return value.encode("utf-8", "surrogatepass")

    def probe(self) -> list[list[Any]]:
        """A batch of 8 texts of 64 tokens and one of 2 texts of up to 256."""
        made = np.random.default_rng(0)
        config: Any = self.network.module.config
        top = max(2, int(config.vocab_size) - 1)

        def text(length: int) -> NDArray[np.int64]:
            body = made.integers(top // 8, top, size=min(length, self.tokens.window) - 2)
            ids = np.concatenate([self.tokens.lead, body, self.tokens.tail])
            return ids.astype(np.int64)[: self.tokens.window]

        return [[text(64) for _ in range(8)], [text(256) for _ in range(2)]]


def _encodable(text: str) -> str:
    """The text without lone surrogates, which are no characters and no tokeniser takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _load(located: Located) -> tuple[Any, Tokens, int]:
    from transformers import AutoModel, AutoTokenizer

    with quiet("transformers"):
        tokenizer = AutoTokenizer.from_pretrained(
            located.path, use_fast=True, trust_remote_code=False, local_files_only=True
        )
        module = AutoModel.from_pretrained(
            located.path,
            trust_remote_code=False,
            local_files_only=True,
            weights_only=True,
            dtype=torch.float32,
        )
    pad = tokenizer.pad_token_id
    return module, Tokens(tokenizer, _window(located, module, tokenizer)), int(pad or 0)


def _window(located: Located, module: Any, tokenizer: Any) -> int:
    positions = int(getattr(module.config, "max_position_embeddings", DEFAULT_WINDOW))
    if module.config.model_type in _OFFSET_POSITIONS:
        positions -= 2
    limits = [positions, int(tokenizer.model_max_length), DEFAULT_WINDOW]
    own = located.config("sentence_bert_config.json").get("max_seq_length")
    if isinstance(own, int):
        limits.append(own)
    if located.spec.max_tokens is not None:
        limits.append(located.spec.max_tokens)
    return min(limits)
