"""Media by reference: many at once, in order, each outcome for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.setting_groups import FetchSettings
from workers.fetch_http import HttpFetcher
from workers.fetch_local import LocalFiles, read_upload
from workers.fetch_network import Resolver, SystemResolver
from workers.fetch_types import MediaKind, formats_read, mismatch
from workers.uploads import Uploads

_PATIENCE = 10
"""fetch_all ends after this many download timeouts, however many references it was given."""

_FILE_THREADS = 8


T = TypeVar("T")


class MediaFetcher:
    """Fetches http(s) URLs, allow-listed local files and uploads; shared by all threads.

    All downloads run on one event loop in a thread of its own: that is what makes a deadline
    hard, since a cancelled download lets go of its socket wherever it stands.

    Args:
        settings: limits and exceptions.
        uploads: folder of the upload store.
        resolve: how host names become addresses; the system's resolver by default.
    """

    def __init__(
        self, settings: FetchSettings, uploads: Path, *, resolve: Resolver | None = None
    ) -> None:
        self._settings = settings
        self._local = LocalFiles(settings.local_dirs)
        self._uploads = Uploads(uploads)
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="read-media")
        self._resolver = SystemResolver(settings.connections)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._thread.start()
        self._http = HttpFetcher(settings, resolve or self._resolver)

    def fetch_all(
        self, references: Sequence[tuple[MediaKind, str]]
    ) -> list[bytes | FirstlightError]:
        """The content behind each (kind, reference), or why there is none; in order.

        A reference named twice is fetched once. What is not of its kind is a PermanentError
        that says what it is; nothing is decoded here.

        Raises:
            RetryableError: the fetcher was closed meanwhile.
        """
        try:
            return self._run(self._fetch_all(references))
        except CancelledError:
            raise RetryableError("the worker is stopping") from None

    def close(self) -> None:
        """Close connections and end the threads; downloads under way are given up."""
        if self._loop.is_closed():
            return
        self._run(self._give_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._resolver.close()
        self._files.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _give_up(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._http.aclose()

    async def _fetch_all(
        self, references: Sequence[tuple[MediaKind, str]]
    ) -> list[bytes | FirstlightError]:
        unlike = list(dict.fromkeys(references))
        outcomes = await asyncio.gather(*(self._outcome(*one) for one in unlike))
        found = dict(zip(unlike, outcomes, strict=True))
        return [found[one] for one in references]

    async def _outcome(self, kind: MediaKind, reference: str) -> bytes | FirstlightError:
        try:
            async with asyncio.timeout(_PATIENCE * self._settings.timeout_s):
                content = await self._content(kind, reference)
        except TimeoutError:
            return RetryableError("its turn to be downloaded did not come in time")
        except FirstlightError as error:
            return error
        problem = mismatch(content, kind)
        if problem is not None:
            return PermanentError(problem, remedy=formats_read(kind))
        return content

    async def _content(self, kind: MediaKind, reference: str) -> bytes:
        settings = self._settings
        limit_bytes = settings.image_bytes if kind == "image" else settings.audio_bytes
        if reference.startswith(("http://", "https://")):
            return await self._http.get(reference, limit_bytes)
        if reference.startswith("upload:"):
            read: Callable[[str, int], bytes] = partial(read_upload, self._uploads)
        else:
            read = self._local.read
        work = self._loop.run_in_executor(self._files, read, reference, limit_bytes)
        try:
            return await asyncio.wait_for(work, settings.timeout_s)
        except TimeoutError:
            raise RetryableError(f"was not read within {settings.timeout_s:g} s") from None
