"""What users say of themselves, as the raw embeddings that training takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from catalog import Catalog
from domain.errors import FirstlightError, RetryableError
from domain.log import logger
from domain.setting_groups import RankingSettings
from domain.users import User
from domain.vectors import Matrix, Vector
from encoders import demographics_part, profile_prompt

if TYPE_CHECKING:
    from encoders import Encoders

MOST_PROFILES = 20_000
"""Profiles that are encoded for one training, at some ten milliseconds each; of further users the
history is learned from."""

log = logger(__name__)


def profiles_of(
    catalog: Catalog, encoders: Encoders, settings: RankingSettings, ids: Sequence[str]
) -> dict[str, Matrix]:
    """{part: [n, d_part]}; zero rows where a user says nothing, no part where nobody does.

    Prompts end without titles, whatever `prompt_history` says: those of the very items that A is to
    find would teach it to read them off.

    Raises:
        RetryableError: the ledger does not answer or an encoder is in trouble.
    """
    said: dict[int, User] = {}
    for at, user_id in enumerate(ids):
        record = catalog.user(user_id)
        if record is not None and record.user is not None:
            said[at] = record.user
    prompts = {at: profile_prompt(user, settings) for at, user in said.items()}
    asked = [at for at, prompt in prompts.items() if prompt]
    if len(asked) > MOST_PROFILES:
        log.warning("profiles_left_out", encoded=MOST_PROFILES, left_out=len(asked) - MOST_PROFILES)
        asked = asked[:MOST_PROFILES]
    found: dict[str, Matrix] = {}

    def put(part: str, at: int, vector: Vector) -> None:
        if part not in found:
            found[part] = np.zeros((len(ids), len(vector)), dtype=np.float32)
        found[part][at] = vector

    for at in asked:
        try:
            for part, vector in encoders.encode_profile(prompts[at]).items():
                put(part, at, vector)
        except RetryableError:
            raise
        except FirstlightError as error:
            log.warning("profile_left_out", reason=str(error))
    for at, user in said.items():
        declared = demographics_part(user, settings)
        if declared is not None:
            put("demographics", at, declared)
    return found
