"""Text, image, audio and user encoders, dynamic batching, model packs, fusion."""

import os

# Read by OpenMP when torch is first imported: threads that wait for each other sleep instead of
# spinning, without which several processes on few cores slow each other three to nine times
# (docs/decisions/0002-batching.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from encoders.demographics import demographics_part, demographics_vector
from encoders.encoder import Encoder, Pending
from encoders.encoders import ALL, EncoderReport, Encoders
from encoders.fusion import Fusion, FusionStore, collection_fingerprint
from encoders.items import EncodedItem, ItemInputs, MediaFailure
from encoders.pii import scrub
from encoders.render import profile_prompt, render_item, render_profile, scrubbed
from encoders.spec import ModelSpec, Pack

__all__ = [
    "ALL",
    "EncodedItem",
    "Encoder",
    "EncoderReport",
    "Encoders",
    "Fusion",
    "FusionStore",
    "ItemInputs",
    "MediaFailure",
    "ModelSpec",
    "Pack",
    "Pending",
    "collection_fingerprint",
    "demographics_part",
    "demographics_vector",
    "profile_prompt",
    "render_item",
    "render_profile",
    "scrub",
    "scrubbed",
]
