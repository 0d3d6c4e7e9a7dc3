"""What is declared of a person (country, age, occupation ...) as a part of the user vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from domain.setting_groups import RankingSettings
from domain.users import User
from domain.vectors import DEMOGRAPHICS_DIM, Vector
from encoders.attributes.vocabulary import Hashed
from encoders.render import scrubbed_facts

TINY = 1e-6


def demographics_vector(demographics: Mapping[str, Any]) -> Vector | None:
    """Tokens name=value, numbers and dates in overlapping buckets, hashed with signs.

    The tokens are those of items' attributes (`attribute_tokens`). Nothing is fitted: the same
    facts give the same vector in every installation, whatever came before.

    Args:
        demographics: of a User, already scrubbed; scalars and lists of scalars.

    Returns:
        [DEMOGRAPHICS_DIM] float32 of unit length; None where nothing is declared.
    """
    if not demographics:
        return None
    (found,) = Hashed(DEMOGRAPHICS_DIM).rows([demographics]).vectors()
    if found is None:
        return None
    length = float(np.linalg.norm(found))
    return (found / length).astype(np.float32) if length > TINY else None


def demographics_part(user: User, settings: RankingSettings) -> Vector | None:
    """`demographics_vector` under the settings: personal data taken out first."""
    facts: Mapping[str, Any] = user.demographics
    if settings.scrub_pii:
        facts = scrubbed_facts(facts, settings.pii_regions)
    return demographics_vector(facts)
