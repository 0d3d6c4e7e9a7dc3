"""Structured attributes (genre, maker, year, price ...) as a block of the fused vector."""

from encoders.attributes.block import AttributeBlock, Told
from encoders.attributes.tokens import ATTRIBUTES, attribute_tokens

__all__ = ["ATTRIBUTES", "AttributeBlock", "Told", "attribute_tokens"]
