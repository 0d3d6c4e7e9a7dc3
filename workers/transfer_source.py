"""Where an A to begin with comes from: the folder of another catalogue, and a copy that is kept.

The other catalogue is read from its data directory alone. What it gave is kept in this one, in the
other's coordinates, so that every later training begins with it as well, also after a fit of the
fusion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from domain.durable import oldest_first, put_folder, remove_folder
from domain.errors import RejectedError
from domain.log import logger
from domain.settings import Settings
from encoders import Fusion
from ranking import Projection, projection
from ranking.store import SAFE_NAME
from workers.collection_registry import CollectionRecord, Registry

FACTS_FILE, FUSION = "source.json", "fusion"
ARTIFACTS, HYBRIDS, COLLECTIONS = "artifacts", "hybrid", "collections"
FIELD = "--prior"

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """What another catalogue learned.

    Attributes:
        projection: A_s.
        fusion: whose vectors it speaks of.
        encoders: fingerprint of the item encoders behind them.
        own: it is an A of this very data directory, so it knows users of this ledger.
    """

    projection: Projection
    fusion: Fusion
    encoders: str
    own: bool


# ---------------------------------------------------------------------- finding one


def source_at(named: str, settings: Settings) -> Source:
    """What a data directory, or the folder of one of its hybrids, learned.

    Args:
        named: a data directory, a folder `artifacts/hybrid/VERSION` in one, or a VERSION of this
            data directory.

    Raises:
        RejectedError: there is no such folder, nothing was trained there, or something in it is
            damaged.
    """
    own = settings.folder(ARTIFACTS)
    path = Path(named)
    if SAFE_NAME.match(named) and (own / HYBRIDS / named).is_dir():
        path = own / HYBRIDS / named
    if (path / ARTIFACTS).is_dir():
        path = _serving(path / ARTIFACTS)
    if not path.is_dir():
        raise RejectedError(
            f"there is no folder and no version {named!r}",
            field=FIELD,
            remedy="name a data directory, the folder of a hybrid in one (artifacts/hybrid/VERSION)"
            " or a version in this one's",
        )
    version = _fusion_version(path)
    artifacts = path.resolve().parent.parent
    fusion = Fusion.load(artifacts / FUSION / version)
    found = Projection.load(path, fusion)
    if found.version.startswith("prior-"):
        raise _untrained(path)
    made = {one.encoders for one in _records(artifacts) if one.fusion == version}
    if len(made) != 1:
        raise RejectedError(
            f"{artifacts / COLLECTIONS} names {len(made)} sets of encoders for the fusion"
            f" {version} of {path.name}",
            field=FIELD,
            remedy="name a hybrid that was trained after `firstlight fit-fusion` there",
        )
    return Source(found, fusion, made.pop(), own=artifacts == own.resolve())


def _serving(artifacts: Path) -> Path:
    """The folder of the hybrid that serves a data directory's latest collection."""
    records = _records(artifacts)
    if not records:
        raise _untrained(artifacts)
    latest = max(records, key=lambda one: one.made_at)
    pointer = artifacts / HYBRIDS / f"current-{latest.fusion}.json"
    try:
        version = str(json.loads(pointer.read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        raise _untrained(artifacts) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RejectedError(f"{pointer} cannot be read: {error!r}", field=FIELD) from error
    if not SAFE_NAME.match(version):
        raise RejectedError(f"{pointer} names {version!r}", field=FIELD)
    return artifacts / HYBRIDS / version


def _records(artifacts: Path) -> list[CollectionRecord]:
    folder = artifacts / COLLECTIONS
    return list(Registry(folder).records().values()) if folder.is_dir() else []


def _fusion_version(folder: Path) -> str:
    try:
        facts = json.loads((folder / "projection.json").read_text(encoding="utf-8"))
        version = str(facts["fusion_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RejectedError(
            f"{folder} holds no projection that can be read: {error!r}",
            field=FIELD,
            remedy="name a data directory or the folder of a hybrid in one",
        ) from error
    if not SAFE_NAME.match(version):
        raise RejectedError(f"{folder} names the fusion {version!r}", field=FIELD)
    return version


def _untrained(path: Path) -> RejectedError:
    return RejectedError(
        f"nothing was trained in {path}, or not since its fusion was fitted",
        field=FIELD,
        remedy="run `firstlight train` there, or name an older hybrid under artifacts/hybrid",
    )


# ---------------------------------------------------------------------- keeping it


class Kept:
    """The other catalogue's A that every training begins with, one folder in the data directory.

    An A of this very catalogue is not kept: it has learned from the interactions that it would be
    trained on again, and knows users who may want to be forgotten.
    """

    def __init__(self, artifacts: Path) -> None:
        self._folder = artifacts / "prior"

    def get(self, encoders: str) -> Source | None:
        """What was kept, or None: also where the encoders that serve are others by now.

        Raises:
            RejectedError: it is damaged.
        """
        folders = self._folders()
        if not folders:
            return None
        folder = folders[-1]
        try:
            facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
            fusion = Fusion.load(folder / FUSION)
            found = Projection.load(folder, fusion)
            source = Source(found, fusion, str(facts["encoders"]), own=False)
        except (OSError, ValueError, KeyError, TypeError, RejectedError) as error:
            raise RejectedError(
                f"the A to begin with, in {folder}, cannot be read: {error}",
                field=FIELD,
                remedy="name it again with --prior, or begin with --prior own",
            ) from error
        if source.encoders == encoders:
            return source
        log.warning(
            "prior_left_out",
            version=found.version,
            reason="other encoders made its vectors",
            remedy="train with --prior own, or name another",
        )
        return None

    def is_there(self) -> bool:
        """Whether one was kept, of whatever encoders."""
        return bool(self._folders())

    def keep(self, source: Source) -> None:
        """From now on this one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = projection(source.fusion, source.projection.matrices).version

        def write(folder: Path) -> None:
            source.projection.save(folder)
            source.fusion.save(folder / FUSION)
            facts = {"encoders": source.encoders}
            (folder / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")

        remove_folder(self._folder / name)
        put_folder(self._folder / name, write)
        for folder in self._folders():
            if folder.name != name:
                remove_folder(folder)

    def remove(self) -> None:
        """From now on the fusion's own prior."""
        for folder in self._folders():
            remove_folder(folder)

    def _folders(self) -> list[Path]:
        return oldest_first(path.parent for path in self._folder.glob(f"[!.]*/{FACTS_FILE}"))
