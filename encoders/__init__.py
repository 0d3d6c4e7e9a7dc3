"""Text, image, audio and user encoders, dynamic batching, model packs, fusion."""

from encoders.encoder import Encoder, Pending
from encoders.encoders import ALL, EncoderReport, Encoders
from encoders.fusion import Fusion, FusionStore, collection_fingerprint
from encoders.items import EncodedItem, ItemInputs, MediaFailure
from encoders.render import render_item, render_profile
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
    "render_item",
    "render_profile",
]
