"""A picture or a sound to search by: an upload, or base64 in the request."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from api.ranking_schemas import SearchRequest
from domain.errors import RejectedError
from domain.setting_groups import FetchSettings
from workers.fetch_types import formats_read, mismatch
from workers.uploads import Uploads

UPLOAD = "upload:"


@dataclass(frozen=True, slots=True)
class Example:
    """One file to search by."""

    modality: Literal["image", "audio"]
    content: bytes


class Examples:
    """Reads examples; what they are is decided by their content."""

    def __init__(self, uploads: Uploads, limits: FetchSettings) -> None:
        self._uploads = uploads
        self._limits = limits

    def read(self, ask: SearchRequest) -> Example:
        """The picture or sound that a request names or holds.

        Raises:
            NotFoundError: there is no such upload.
            RejectedError: not base64, too large, or not of the kind that it should be.
        """
        if ask.image is not None:
            return self.checked("image", self._content("image", ask.image))
        return self.checked("audio", self._content("audio", ask.audio or ""))

    def checked(self, modality: Literal["image", "audio"], content: bytes) -> Example:
        """Bytes as an example. Raises RejectedError naming the field."""
        most = self._limits.image_bytes if modality == "image" else self._limits.audio_bytes
        if len(content) > most:
            raise RejectedError(
                f"{len(content):,} bytes, the limit is {most:,}",
                field=modality,
                remedy=f"send a smaller file or raise FIRSTLIGHT_FETCH_{modality.upper()}_BYTES",
            )
        wrong = mismatch(content, modality)
        if wrong is not None:
            raise RejectedError(wrong, field=modality, remedy=formats_read(modality))
        return Example(modality, content)

    def _content(self, modality: Literal["image", "audio"], value: str) -> bytes:
        if value.startswith(UPLOAD):
            try:
                return self._uploads.path(value.removeprefix(UPLOAD)).read_bytes()
            except RejectedError as error:
                raise type(error)(error.message, field=modality, remedy=error.remedy) from None
        encoded = value
        if value.startswith("data:"):
            encoded = value.partition(",")[2]
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise RejectedError(
                "neither upload:SHA256 nor base64",
                field=modality,
                remedy="send the file to POST /v1/uploads and give its reference here",
            ) from None
