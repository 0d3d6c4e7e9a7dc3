"""One download over http or https, bounded in every direction.

httpcore (the engine of httpx) is used directly: its network backend is public API there, it
reads no proxy from the environment, keeps no cookies and follows no redirects by itself, so each
hop passes through here.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import zlib
from http import HTTPStatus
from ipaddress import IPv6Address

import httpcore
import httpx

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.setting_groups import FetchSettings
from workers.fetch_address import AddressPolicy, canonical_host
from workers.fetch_hosts import Hosts
from workers.fetch_network import CheckedNetwork, Resolver

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_LATER = frozenset({408, 421, 425, 429})
_ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's wbits per Content-Encoding. Identity is asked for, but object stores answer with the
encoding a file was stored under."""

_KEEPALIVE_S = 5.0
_HOST_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
_HEADERS = [
    (b"User-Agent", b"firstlight-media-fetcher"),
    (b"Accept", b"image/*, audio/*, */*;q=0.5"),
    (b"Accept-Encoding", b"identity"),
]


class HttpFetcher:
    """Fetches bodies by GET; belongs to one event loop."""

    def __init__(self, settings: FetchSettings, resolve: Resolver) -> None:
        self._settings = settings
        self._hosts = Hosts(settings.host_connections, settings.connections, settings.timeout_s)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=settings.connections,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=CheckedNetwork(AddressPolicy(settings.allow_private), resolve),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def get(self, reference: str, limit_bytes: int) -> bytes:
        """The body behind `reference`, redirects followed.

        Name look-up, connecting, redirects and body together take at most
        `settings.timeout_s`; waiting for a slot is not counted.

        Raises:
            PermanentError: refused, missing, too large; asking again would end the same.
            RetryableError: no answer in time, a broken connection, a server in trouble.
        """
        url = self._parsed(reference)
        left_s = self._settings.timeout_s
        for _ in range(self._settings.redirects + 1):
            host = canonical_host(url.host)
            async with self._hosts.slot(host):
                started = time.monotonic()
                answer = await self._hop(url, host, limit_bytes, left_s)
                left_s -= time.monotonic() - started
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise PermanentError(
            f"redirects more than {self._settings.redirects} times",
            remedy="give the final URL or raise FIRSTLIGHT_FETCH_REDIRECTS",
        )

    def _parsed(self, reference: str) -> httpx.URL:
        try:
            url = httpx.URL(reference)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise PermanentError(f"is no valid URL ({error})", remedy="correct it") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise PermanentError(
                f"is a {url.scheme or 'relative'} URL", remedy="give an https or http URL"
            )
        if url.scheme == "http" and not self._settings.allow_http:
            raise PermanentError(
                "is an http URL", remedy="give an https URL or set FIRSTLIGHT_FETCH_ALLOW_HTTP=true"
            )
        if not _is_host(url.raw_host.decode("ascii", "replace")) or not _is_port(url.port):
            raise PermanentError("names no valid host and port", remedy="correct the URL")
        if url.userinfo:
            raise PermanentError(
                "holds a user name or password", remedy="give a signed URL or upload the file"
            )
        return url

    async def _hop(
        self, url: httpx.URL, host: str, limit_bytes: int, left_s: float
    ) -> bytes | httpx.URL:
        """The body, or where the server sends us, every failure told in our own kinds."""
        try:
            async with asyncio.timeout(left_s):
                answer = await self._exchange(url, limit_bytes)
        except (TimeoutError, httpcore.TimeoutException) as error:
            self._hosts.timed_out(host)
            if isinstance(error, httpcore.ConnectTimeout):
                bound = self._settings.connect_timeout_s
                raise RetryableError(f"{host} did not connect within {bound:g} s") from None
            bound = self._settings.timeout_s
            raise RetryableError(
                f"{host} did not deliver within {bound:g} s",
                remedy="if the file is large, raise FIRSTLIGHT_FETCH_TIMEOUT_S",
            ) from None
        except httpcore.ConnectError as error:
            # httpcore wraps the cause as its argument and drops it as __cause__.
            cause = error.args[0] if error.args else None
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise PermanentError(
                    f"the certificate of {host} is not valid ({cause.verify_message})",
                    remedy="correct it, or name your own authority with SSL_CERT_FILE",
                ) from None
            raise RetryableError(f"{host} could not be connected to ({error})") from None
        except httpcore.LocalProtocolError as error:
            raise PermanentError(f"cannot be requested ({error})", remedy="correct it") from None
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise RetryableError(f"{host} broke off its answer ({error})") from None
        except FirstlightError:
            self._hosts.answered(host)
            raise
        self._hosts.answered(host)
        return answer

    async def _exchange(self, url: httpx.URL, limit_bytes: int) -> bytes | httpx.URL:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        async with self._pool.stream(
            "GET",
            target,
            headers=[(b"Host", url.netloc), *_HEADERS],
            extensions={"timeout": {"connect": self._settings.connect_timeout_s}},
        ) as response:
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS:
                return self._redirected(url, headers.get(b"location", b""))
            if response.status != HTTPStatus.OK:
                raise _status_error(url.host, response.status)
            return await _body(response, headers, limit_bytes)

    def _redirected(self, url: httpx.URL, location: bytes) -> httpx.URL:
        if not location:
            raise PermanentError(f"{url.host} redirects to nowhere", remedy="give the final URL")
        try:
            target = url.join(location.decode("utf-8", "replace")).copy_with(fragment=None)
        except (httpx.InvalidURL, UnicodeError):
            raise PermanentError(
                f"{url.host} redirects to no valid URL", remedy="give the final URL"
            ) from None
        return self._parsed(str(target))


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _is_port(port: int | None) -> bool:
    return port is None or 1 <= port <= 65535


def _status_error(host: str, status: int) -> FirstlightError:
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    if status >= 500 or status in _TRY_LATER:
        return RetryableError(f"{host} answered {phrase}")
    return PermanentError(
        f"{host} answered {phrase}", remedy="correct the URL or let the workers read it"
    )


async def _body(
    response: httpcore.Response, headers: dict[bytes, bytes], limit_bytes: int
) -> bytes:
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large(int(declared), limit_bytes)
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    decode = None
    if encoding not in ("", "identity"):
        if encoding not in _ENCODINGS:
            raise PermanentError(
                f"is sent with Content-Encoding {encoding[:40]} though identity was asked for",
                remedy="serve the file as it is",
            )
        decode = zlib.decompressobj(_ENCODINGS[encoding])
    content = bytearray()
    async for chunk in response.aiter_stream():
        try:
            # One byte more than allowed is enough to know, however far a bomb would unfold.
            content += decode.decompress(chunk, limit_bytes + 1 - len(content)) if decode else chunk
        except zlib.error as error:
            raise PermanentError(
                f"is not the {encoding} its server calls it ({error})",
                remedy="serve the file as it is",
            ) from None
        if len(content) > limit_bytes:
            raise too_large(None, limit_bytes)
    if decode is not None and not decode.eof:
        raise RetryableError(f"the {encoding} stream ends early")
    return bytes(content)


def too_large(size: int | None, limit_bytes: int) -> PermanentError:
    """The refusal of a file beyond the limit; `size` in bytes where it is known."""
    found = "more than the limit of" if size is None else f"{size:,} bytes, the limit is"
    return PermanentError(
        f"has {found} {limit_bytes:,} bytes",
        remedy="send a smaller file or raise FIRSTLIGHT_FETCH_IMAGE_BYTES / _AUDIO_BYTES",
    )
