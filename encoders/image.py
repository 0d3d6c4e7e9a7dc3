"""Image encoder and CLIP's text tower through open_clip: any architecture it can load."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.vectors import Matrix
from encoders.batcher import Piece
from encoders.folding import folded
from encoders.pictures import decode_picture
from encoders.precision import Network
from encoders.quiet import quiet
from encoders.sources import Located
from encoders.tower_tokens import TowerTokens

PICTURE_BUDGET = {"cpu": 4, "cuda": 64, "mps": 16}
"""Pictures of one batch. Few on a processor: glibc asks the kernel anew for each tensor above
32 MB, and EfficientNet's largest takes 4.9 MB a picture; with fewer still, ViTs are slower."""

WORDS_BUDGET = {"cpu": 16, "cuda": 256, "mps": 64}
"""Texts of one batch of CLIP's text tower; each is padded to the tower's window."""


class OpenClip:
    """An open_clip model, loaded once, of which either tower may be taken."""

    def __init__(self, located: Located) -> None:
        from open_clip import create_model_from_pretrained, get_tokenizer
        from transformers.initialization import no_init_weights

        source = located.spec.source
        # A checkpoint must hold every weight, so none need be drawn first; only of big_vision's
        # format does open_clip not demand it.
        undrawn = nullcontext() if located.path.suffix == ".npz" else no_init_weights()
        with quiet("open_clip"), quiet("transformers"), undrawn:
            if located.path.is_dir():
                name, checkpoint = f"local-dir:{located.path}", None
            else:
                name, checkpoint = source.partition("/")[0], str(located.path)
            self._model: Any
            self._model, preprocess = create_model_from_pretrained(
                name, checkpoint, precision="fp32", device="cpu", weights_only=True
            )
            self.tokenizer: Any = get_tokenizer(name)
        self.source = source
        self.resize, self.mean, self.std = _split(preprocess)
        size = self._model.visual.image_size
        self.side: int = max(size) if isinstance(size, (tuple, list)) else int(size)

    def visual(self) -> torch.nn.Module:
        """The image tower: a module with encode_image."""
        return _without(self._model, lambda name: name != "visual")

    def words(self) -> torch.nn.Module:
        """The text tower: a module with encode_text."""
        return _without(self._model, lambda name: name == "visual")


def _without(model: torch.nn.Module, drops: Callable[[str], bool]) -> torch.nn.Module:
    """The same model and weights without some parts, so that the rest can be cast by itself."""
    tower = copy.copy(model)
    tower._modules = {name: one for name, one in model._modules.items() if not drops(name)}
    tower._parameters = {name: one for name, one in model._parameters.items() if not drops(name)}
    tower._buffers = dict(model._buffers)
    return tower


def _split(preprocess: Any) -> tuple[Callable[[Image.Image], Image.Image], Any, Any]:
    """open_clip's transform as its picture part and the mean and std of its tensor part."""
    from torchvision.transforms import (  # type: ignore[import-untyped]
        Compose,
        Normalize,
        ToTensor,
    )

    steps = list(preprocess.transforms)
    at = next(at for at, step in enumerate(steps) if isinstance(step, ToTensor))
    last = steps[at + 1]
    assert isinstance(last, Normalize)
    assert len(steps) == at + 2
    return Compose(steps[:at]), last.mean, last.std


class ImageStages:
    """The image tower as three stages: bytes of a picture -> [embed_dim] float32."""

    stride = 1

    def __init__(self, clip: OpenClip, device: torch.device, *, max_pixels: int) -> None:
        self.model = clip.source
        self.budget = PICTURE_BUDGET.get(device.type, PICTURE_BUDGET["cpu"])
        self._resize, self._side = clip.resize, clip.side
        self._max_pixels = max_pixels
        module = clip.visual().to(memory_format=torch.channels_last)
        self._mean = torch.tensor(clip.mean, device=device).reshape(1, 3, 1, 1)
        self._scale = 1 / torch.tensor(clip.std, device=device).reshape(1, 3, 1, 1)
        (pictures,) = self.probe()
        self.network = folded(Network(module, device), self.core, pictures[:1])
        self.dim = self.core(self.network, pictures[:1]).shape[1]

    def pre(self, inputs: Sequence[bytes]) -> list[list[Piece] | FirstlightError]:
        """Decode, resize and crop as the model wants it; pixels stay 8 bits until the device."""
        return [self._pre(one) for one in inputs]

    def _pre(self, content: bytes) -> list[Piece] | FirstlightError:
        try:
            image = decode_picture(content, max_pixels=self._max_pixels, least_side=self._side)
            pixels = np.asarray(self._resize(image), dtype=np.uint8)
        except FirstlightError as error:
            return error
        except MemoryError:
            return RetryableError("no memory to decode the picture")
        except ValueError as error:  # a side that rounds to zero pixels
            return PermanentError(f"the picture cannot be resized: {error}")
        return [Piece(pixels, cost=1)]

    def core(self, network: Network, payloads: list[NDArray[np.uint8]]) -> Matrix:
        """n pictures [height, width, 3] -> [n, embed_dim] float32, unit norm."""
        pixels = torch.from_numpy(np.stack(payloads)).to(network.device)
        # A permuted view of [n, h, w, 3] is channels_last already.
        batch = pixels.permute(0, 3, 1, 2).float().div_(255)
        batch = batch.sub_(self._mean).mul_(self._scale).to(network.dtype)
        return network.run(lambda module: _unit(module.encode_image(batch)))

    def content(self, value: bytes) -> bytes:
        """The file's bytes."""
        return value

    def probe(self) -> list[list[Any]]:
        """Four pictures of noise over gradients."""
        made = np.random.default_rng(0)
        side = self._side
        slope = np.linspace(0, 128, side)[:, None, None] + np.linspace(0, 100, side)[None, :, None]
        pictures = [slope + made.integers(0, 28, (side, side, 3)) for _ in range(4)]
        sized = [
            np.asarray(self._resize(Image.fromarray(one.astype(np.uint8)))) for one in pictures
        ]
        return [sized]


class WordsStages:
    """CLIP's text tower as three stages: words -> [embed_dim] float32, the pictures' space.

    The tower's window is short (77 tokens or so); a longer text is cut into parts, averaged by
    their lengths.
    """

    stride = 64

    def __init__(self, clip: OpenClip, device: torch.device) -> None:
        self.model = clip.source
        self.budget = WORDS_BUDGET.get(device.type, WORDS_BUDGET["cpu"])
        self._tokens = TowerTokens(clip.tokenizer)
        self.network = Network(clip.words(), device)
        self.dim = self.core(self.network, self.probe()[0]).shape[1]

    def pre(self, inputs: Sequence[str]) -> list[list[Piece] | FirstlightError]:
        """Tokenise, in parts where the tower's window is too short."""
        return [self._pre(one) for one in inputs]

    def _pre(self, text: str) -> list[Piece] | FirstlightError:
        parts = self._tokens.parts(text.encode("utf-8", "replace").decode())
        if not parts:
            return PermanentError("the text is empty", remedy="send some words")
        return [Piece(row, cost=1, weight=length) for row, length in parts]

    def core(self, network: Network, payloads: list[NDArray[np.int64]]) -> Matrix:
        """n rows of token ids [window] -> [n, embed_dim] float32, unit norm."""
        tokens = torch.from_numpy(np.stack(payloads)).to(network.device)
        return network.run(lambda module: _unit(module.encode_text(tokens)))

    def content(self, value: str) -> bytes:
        """The text's UTF-8."""
        return value.encode("utf-8", "surrogatepass")

    def probe(self) -> list[list[Any]]:
        """Four short sentences."""
        texts = ["a photo of a dog", "two people on a beach", "an old map of a city", "blue"]
        return [list(self._tokens.rows(texts))]


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.float(), dim=-1)
