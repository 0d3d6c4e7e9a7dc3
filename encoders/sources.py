"""Where a model's files are: a local directory as it is, a hub model through the hub's cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import FirstlightError, RejectedError, RetryableError
from encoders.spec import ModelSpec

OPEN_CLIP_CONFIG = "open_clip_config.json"

_SMALL = ["*.json", "*.txt", "*.model"]
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".onnx", ".npz"}
_CONTENT = {".json", ".txt", ".model", *_WEIGHTS}


@dataclass(frozen=True, slots=True)
class Located:
    """A model on this machine.

    Attributes:
        spec: what was asked for.
        path: its directory; for open_clip's ARCHITECTURE/CHECKPOINT the weights file.
        files: everything that decides what it computes.
    """

    spec: ModelSpec
    path: Path
    files: tuple[Path, ...]

    def config(self, name: str = "config.json") -> dict[str, object]:
        """A JSON file of the model, {} where it has none."""
        path = self.path / name
        found: dict[str, object] = json.loads(path.read_text()) if path.is_file() else {}
        return found


def locate(spec: ModelSpec) -> Located:
    """Find a model's files, downloading them once where the source is a hub id.

    Raises:
        RejectedError: the source names nothing.
        RetryableError: the hub cannot be reached and its cache does not have the model.
    """
    if spec.family == "open_clip":
        located = _locate_open_clip(spec)
    else:
        folder = Path(spec.source).expanduser()
        if not folder.is_dir():
            if spec.source.startswith((".", "/", "~")):
                raise _absent(spec, "no such directory")
            folder = _download(spec, spec.source, "model*.safetensors", "pytorch_model*.bin")
        located = Located(spec, folder, _files(folder))
    if not any(path.suffix in _WEIGHTS for path in located.files):
        raise _absent(spec, f"{located.path} holds no weights")
    if spec.weights_sha256 is not None:
        found = {file_sha256(path) for path in located.files if path.suffix in _WEIGHTS}
        if spec.weights_sha256 not in found:
            raise _absent(spec, "its weights are not the pinned ones (sha256 differs)")
    return located


def _locate_open_clip(spec: ModelSpec) -> Located:
    kind, _, rest = spec.source.partition(":")
    if kind == "local-dir":
        folder = Path(rest).expanduser()
        if not (folder / OPEN_CLIP_CONFIG).is_file():
            raise _absent(spec, f"{folder} holds no {OPEN_CLIP_CONFIG}")
        return Located(spec, folder, _files(folder))
    if kind == "hf-hub":
        folder = _download(spec, rest, "open_clip_*.safetensors", "open_clip_*.bin")
        return Located(spec, folder, _files(folder))
    architecture, _, checkpoint = spec.source.partition("/")
    path = Path(checkpoint).expanduser()
    if checkpoint and not path.is_file():
        from open_clip.pretrained import download_pretrained, get_pretrained_cfg

        known = get_pretrained_cfg(architecture, checkpoint)
        if not known:
            raise _absent(spec, "open_clip knows no such architecture and checkpoint")
        try:
            path = Path(download_pretrained(known))
        except Exception as error:
            raise _unreachable(spec, error) from error
    elif not checkpoint:
        raise _absent(spec, "give ARCHITECTURE/CHECKPOINT, hf-hub:ID or local-dir:PATH")
    return Located(spec, path, (path,))


def _download(spec: ModelSpec, hub_id: str, safe: str, unsafe: str) -> Path:
    """The hub's files; safetensors where the model has them, else weights read weights-only."""
    from huggingface_hub import snapshot_download

    def fetch(pattern: str) -> Path:
        return Path(
            snapshot_download(
                hub_id,
                revision=spec.revision,
                allow_patterns=[*_SMALL, pattern],
                ignore_patterns=["*/*"],
            )
        )

    try:
        folder = fetch(safe)
        return folder if any(folder.glob(safe)) else fetch(unsafe)
    except Exception as error:
        raise _unreachable(spec, error) from error


def _files(folder: Path) -> tuple[Path, ...]:
    found = sorted(path for path in folder.iterdir() if path.suffix in _CONTENT and path.is_file())
    if any(path.suffix == ".safetensors" for path in found):
        found = [path for path in found if path.suffix not in {".bin", ".pt", ".pth"}]
    return tuple(found)


def _setting(spec: ModelSpec) -> str:
    return f"FIRSTLIGHT_ENCODER_{spec.modality.upper()}_MODEL"


def _absent(spec: ModelSpec, reason: str) -> FirstlightError:
    return RejectedError(
        f"the {spec.modality} model {spec.source} cannot be loaded: {reason}",
        remedy=f"correct {_setting(spec)}, or choose another FIRSTLIGHT_ENCODER_PACK",
    )


def _unreachable(spec: ModelSpec, error: Exception) -> FirstlightError:
    first = str(error).strip().partition("\n")[0]
    return RetryableError(
        f"the {spec.modality} model {spec.source} could not be fetched from the hub:"
        f" {type(error).__name__}: {first}",
        remedy="run `firstlight models --prefetch` where the hub can be reached, or set"
        f" {_setting(spec)} to a local directory",
    )


def file_sha256(path: Path, kept: Path | None = None) -> str:
    """sha256 of a file's content.

    Args:
        kept: directory where hashes of large files are kept by path, size and time of change.
    """
    stat = path.stat()
    if kept is None or stat.st_size < 2**20:
        return _sha256(path)
    state = f"{path.resolve()}\x00{stat.st_size}\x00{stat.st_mtime_ns}"
    note = kept / hashlib.sha256(state.encode()).hexdigest()[:32]
    try:
        found = note.read_text()
        if len(found) == 64:
            return found
    except OSError:
        pass
    found = _sha256(path)
    kept.mkdir(parents=True, exist_ok=True)
    draft = note.with_name(f"{note.name}.{os.getpid()}")
    draft.write_text(found)
    draft.replace(note)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(located: Located, preprocessing: Iterable[object], kept: Path | None) -> str:
    """16 hex digits over all that decides the vectors: files, revision, preprocessing, pooling.

    Where the files lie is not part of it.
    """
    spec = located.spec
    parts = {
        "family": spec.family,
        "revision": spec.revision,
        "files": {path.name: _content_sha256(path, kept) for path in located.files},
        "source": spec.source.partition("/")[0] if located.path.is_file() else "",
        "prefix": spec.prefix,
        "max_tokens": spec.max_tokens,
        "layer": spec.layer,
        "preprocessing": [str(one) for one in preprocessing],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _content_sha256(path: Path, kept: Path | None) -> str:
    """sha256 of a file; of an open_clip configuration with what it points to in place of paths."""
    if path.name != OPEN_CLIP_CONFIG:
        return file_sha256(path, kept)
    config = json.loads(path.read_bytes())
    tower = config.get("model_cfg", {}).get("text_cfg", {})
    for key in ("hf_model_name", "hf_tokenizer_name"):
        name = tower.get(key)
        if name and Path(name).is_dir():
            files = [one for one in _files(Path(name)) if one.name != OPEN_CLIP_CONFIG]
            tower[key] = {one.name: file_sha256(one, kept) for one in files}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
