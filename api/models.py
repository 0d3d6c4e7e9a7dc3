"""The encoders of the API process: words at once, pictures and sounds when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.examples import Example
from api.profiles import Encoded, ProfileCache
from domain.errors import FirstlightError, RetryableError
from domain.log import logger
from domain.settings import Settings
from domain.users import User
from domain.vectors import Vector
from encoders import demographics_part, profile_prompt

if TYPE_CHECKING:
    from encoders import EncodedItem, EncoderReport, Encoders

log = logger(__name__)

WORDS = frozenset({"text", "image_text", "user"})
PROOF = "A sentence that is encoded to prove that sentences can be encoded."


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a person, encoded: in words, and as demographics, [d] float32 or None."""

    words: Encoded
    demographics: Vector | None

    @property
    def vectors(self) -> dict[str, Vector]:
        """By part of the user vector: text, image_text, profile, demographics; what is not known
        is not there."""
        if self.demographics is None:
            return self.words.vectors
        return {**self.words.vectors, "demographics": self.demographics}


class Models:
    """Loads in the background, so that events are accepted while models are on their way.

    Args:
        words: encoders that are already loaded, instead of loading those of the settings; whoever
            loaded them closes them.
    """

    def __init__(self, settings: Settings, words: Encoders | None = None) -> None:
        self._settings = settings
        self._words = words
        self._borrowed = words is not None
        self._failure = ""
        self._profiles = ProfileCache(settings.api.user_cache, settings.api.user_cache_s)

    def start(self) -> None:
        """Begin to load; `words` tells when it is done or why it failed."""
        if self._words is None:
            threading.Thread(target=self.load, name="load-models", daemon=True).start()

    def load(self) -> None:
        """Load them now; `words` tells why it failed."""
        try:
            # Here and not above: torch takes seconds to import.
            from encoders import Encoders

            loaded = Encoders.load(self._settings, parts=WORDS)
        except FirstlightError as error:
            self._failure = str(error)
            log.error("models not loaded", error=self._failure)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            log.exception("models not loaded")
        else:
            self._words = loaded
            log.info("models loaded", models=[one.model for one in loaded.describe()])

    def words(self) -> Encoders:
        """The text encoders.

        Raises:
            RetryableError: they are still being loaded, or could not be.
        """
        if self._words is not None:
            return self._words
        if self._failure:
            raise RetryableError(
                f"the models could not be loaded: {self._failure}",
                remedy="correct the setting and start the API again; `firstlight models` helps",
            )
        raise RetryableError(
            "the models are still being loaded", remedy="try again in a few seconds"
        )

    def encode(self, example: Example) -> EncodedItem:
        """A picture or a sound as an item that has nothing else; its model loads at first use."""
        from encoders import ItemInputs

        files = ((example.modality, example.content),)
        inputs = ItemInputs(
            text="",
            images=files if example.modality == "image" else (),
            audio=files if example.modality == "audio" else (),
        )
        return self.words().encode_items([inputs])[0]

    def profile(self, prompt: str, owner: str | None = None) -> Encoded:
        """A rendered profile, encoded; cached by its hash.

        Args:
            prompt: of `encoders.profile_prompt`.
            owner: the stored user that it speaks of, with whom it is forgotten.
        """
        found = self._profiles.get(prompt, owner)
        if found is None:
            found = Encoded(self.words().encode_profile(prompt))
            self._profiles.put(prompt, owner, found)
        return found

    def person(self, user: User, titles: Sequence[str] = (), owner: str | None = None) -> Said:
        """What is said of a person.

        Args:
            titles: of the items that they had to do with last, newest first.
            owner: the stored user that this is.

        Raises:
            RetryableError: the models are not there.
        """
        settings = self._settings.ranking
        prompt = profile_prompt(user, settings, titles)
        words = self.profile(prompt, owner) if prompt else Encoded({})
        return Said(words, demographics_part(user, settings))

    def forget(self, owner: str) -> int:
        """Drop what is encoded of a user; how many vectors' worth of prompts that was."""
        return self._profiles.forget(owner)

    def prove(self) -> Vector:
        """Encode a sentence afresh, past every cache. Raises RetryableError."""
        words = self.words()
        words.check()
        outcome = words.text_query.submit([PROOF])[0].outcome()
        if isinstance(outcome, FirstlightError):
            raise RetryableError(str(outcome))
        return outcome

    def describe(self) -> list[EncoderReport]:
        """The encoders that are in memory."""
        return [] if self._words is None else self._words.describe()

    def close(self) -> None:
        """End the device's lanes."""
        if self._words is not None and not self._borrowed:
            self._words.close()
