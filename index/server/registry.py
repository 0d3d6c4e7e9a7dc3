"""The collections and aliases of one data directory, and the lock that keeps it to one server."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from domain.errors import RejectedError
from domain.log import logger
from index.server.bodies import Body
from index.server.collection import Collection
from index.server.errors import conflict, missing, wrong
from index.server.files import read_json, write_json
from index.server.spec import CollectionSpec, Defaults, check_name

log = logger(__name__)

MAX_FOLDER_NAME = 200


class Registry:
    """All that the server holds. Methods that change it block; call them off the event loop."""

    def __init__(self, data_dir: Path, defaults: Defaults) -> None:
        """Take the directory and open every collection.

        Raises:
            RejectedError: another server holds the directory.
            PermanentError: a collection's files are corrupt.
        """
        self._root = data_dir / "collections"
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock_file = _take(data_dir)
        self._defaults = defaults
        self._changing = threading.Lock()
        self._alias_path = data_dir / "aliases.json"
        self.aliases: dict[str, str] = (
            read_json(self._alias_path) if self._alias_path.exists() else {}
        )
        for leftover in self._root.glob(".*"):
            shutil.rmtree(leftover)
        self.collections: dict[str, Collection] = {}
        for folder in sorted(self._root.iterdir()):
            collection = Collection(folder, defaults)
            self.collections[collection.name] = collection
            log.info(
                "collection opened", collection=collection.name, points=collection.points_count()
            )

    def find(self, name: str) -> Collection:
        """A collection by its name or an alias.

        Raises:
            RefusedError: 404, there is none.
        """
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise missing(f"Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, spec: CollectionSpec) -> None:
        """Make an empty collection.

        Raises:
            RefusedError: 409, the name is taken.
        """
        check_name(name)
        folder = self._root / quote(name, safe="")
        if len(folder.name) > MAX_FOLDER_NAME:
            raise wrong(f"Collection name {name!r} is too long")
        with self._changing:
            if name in self.collections:
                raise conflict(f"Collection `{name}` already exists!")
            if name in self.aliases:
                raise conflict(f"Alias with the name `{name}` already exists!")
            made = Collection.create(folder, name, spec, self._defaults)
            self.collections = {**self.collections, name: made}

    def take_out(self, name: str) -> Collection | None:
        """Stop offering a collection and its aliases; the caller then removes it."""
        with self._changing:
            name = self.aliases.get(name, name)
            found = self.collections.get(name)
            if found is None:
                return None
            self._set_aliases({key: to for key, to in self.aliases.items() if to != name})
            self.collections = {key: one for key, one in self.collections.items() if key != name}
            return found

    def change_aliases(self, actions: Sequence[Any]) -> None:
        """Carry out Qdrant's alias actions: all of them in one step, or none."""
        with self._changing:
            fresh = dict(self.aliases)
            for action in actions:
                self._change(Body(action, "alias action"), fresh)
            self._set_aliases(fresh)

    def _change(self, body: Body, aliases: dict[str, str]) -> None:
        if "create_alias" in body:
            inner = Body(body.take("create_alias"), "create_alias")
            alias = check_name(inner.text("alias_name"), "Alias")
            target = inner.text("collection_name")
            if alias in self.collections:
                raise conflict(f"Collection `{alias}` already exists!")
            if target not in self.collections:
                raise missing(f"Collection `{target}` doesn't exist!")
            aliases[alias] = target
        elif "delete_alias" in body:
            inner = Body(body.take("delete_alias"), "delete_alias")
            alias = inner.text("alias_name")
            if aliases.pop(alias, None) is None:
                raise missing(f"Alias {alias} does not exists!")
        elif "rename_alias" in body:
            inner = Body(body.take("rename_alias"), "rename_alias")
            old, new = inner.text("old_alias_name"), inner.text("new_alias_name")
            if old not in aliases:
                raise missing(f"Alias {old} does not exists!")
            if check_name(new, "Alias") in self.collections:
                raise conflict(f"Collection `{new}` already exists!")
            aliases[new] = aliases.pop(old)
        else:
            raise wrong("alias action: one of create_alias, delete_alias, rename_alias is needed")
        inner.done()
        body.done()

    def _set_aliases(self, aliases: dict[str, str]) -> None:
        if aliases != self.aliases:
            write_json(self._alias_path, aliases)
            self.aliases = aliases

    def close(self) -> None:
        """Flush and close everything; the directory is free again."""
        for collection in self.collections.values():
            collection.close()
        os.close(self._lock_file)


def _take(data_dir: Path) -> int:
    handle = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        raise RejectedError(
            f"another index server (process {holder or 'unknown'}) owns {data_dir.resolve()}",
            remedy="stop it, or choose another --data-dir",
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle
