"""API keys: write keys may publish and read, read keys may only read."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from ipaddress import ip_address

from fastapi import Depends, Request
from pydantic import SecretStr

from api.parameters import known_parameters
from api.problems import ProblemError
from domain.errors import RejectedError
from domain.setting_groups import ApiSettings


def is_loopback(host: str) -> bool:
    """Whether a host name or address can be reached from this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: ApiSettings) -> str:
    """Refuse to listen to the world without keys; the answer is a line for the log.

    Raises:
        RejectedError: no keys, and the host is not a loopback address.
    """
    if settings.write_keys or settings.read_keys:
        return "keys are required: Authorization: Bearer KEY or X-API-Key: KEY"
    if not is_loopback(settings.host):
        raise RejectedError(
            f"{settings.host} can be reached by others, and no keys are set",
            field="FIRSTLIGHT_API_HOST",
            remedy="set FIRSTLIGHT_API_WRITE_KEYS (and _READ_KEYS), or listen on 127.0.0.1",
        )
    return (
        "no keys are set, so the API listens on loopback only,"
        " and everyone on this machine may publish and read"
    )


class Keys:
    """The keys of the settings, compared in constant time."""

    def __init__(self, settings: ApiSettings) -> None:
        self._write = _digests(settings.write_keys)
        self._read = _digests(settings.read_keys)

    @property
    def required(self) -> bool:
        """Whether a caller needs a key at all."""
        return bool(self._write or self._read)

    def may_write(self, key: str) -> bool:
        """Whether this is a write key."""
        return _matches(key, self._write)

    def may_read(self, key: str) -> bool:
        """Whether this is a write key or a read key."""
        write, read = _matches(key, self._write), _matches(key, self._read)
        return write or read


def _digests(keys: Sequence[SecretStr]) -> list[bytes]:
    return [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]


def _matches(key: str, digests: list[bytes]) -> bool:
    given = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    found = False
    for digest in digests:
        found |= hmac.compare_digest(given, digest)
    return found


def _key_of(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("x-api-key", "")


def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


async def may_read(request: Request) -> None:
    """Raise ProblemError 401 unless the caller may read."""
    keys = _keys(request)
    if keys.required and not keys.may_read(_key_of(request)):
        raise _unauthorized(request)


async def may_write(request: Request) -> None:
    """Raise ProblemError 401 without a key, 403 with one that may only read."""
    keys = _keys(request)
    if not keys.required:
        return
    key = _key_of(request)
    if keys.may_write(key):
        return
    if keys.may_read(key):
        raise ProblemError(
            403,
            "forbidden",
            "this key may only read",
            field="Authorization",
            remedy="use one of FIRSTLIGHT_API_WRITE_KEYS",
        )
    raise _unauthorized(request)


def _unauthorized(request: Request) -> ProblemError:
    return ProblemError(
        401,
        "unauthorized",
        "the key is not known" if _key_of(request) else "no key was sent",
        field="Authorization",
        remedy="send Authorization: Bearer KEY or X-API-Key: KEY"
        " (the command line sends FIRSTLIGHT_API_KEY)",
        headers={"WWW-Authenticate": "Bearer"},
    )


READ = [Depends(may_read), Depends(known_parameters)]
WRITE = [Depends(may_write), Depends(known_parameters)]
