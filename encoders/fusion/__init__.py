"""Fusion: the raw vectors of an item's modalities become one vector (SCIENCE section 3)."""

from encoders.fusion.fusion import Fusion, collection_fingerprint
from encoders.fusion.store import FusionStore

__all__ = ["Fusion", "FusionStore", "collection_fingerprint"]
