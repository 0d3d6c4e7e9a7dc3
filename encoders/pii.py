"""What must not reach an encoder: e-mail addresses, phone numbers, card numbers.

Each kind is found by a candidate pattern and judged by a library that knows the rules:
email-validator, phonenumberslite (Google's libphonenumber) and python-stdnum (Luhn). Why these:
docs/decisions/0008-personal-data-in-prompts.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import isbn, luhn
from stdnum.exceptions import ValidationError

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "CN", "JP", "BR", "AU")
"""Countries whose national notation is known; international notation is found from anywhere."""

_EMAIL = re.compile(r"[^\s<>()\[\]{}\"',;:|@]{1,64}@[^\s!-,/:-@\[-`{-~]{1,255}")
"""A domain ends at any ASCII punctuation but dot and hyphen; another address may follow at once."""

_CARD = re.compile(
    r"(?:(?<=[^\W\d_]\.)|(?<![\d.]))(?<!\d-)"
    r"(?:\d{13,19}|(?=\d+([ .-]))\d(?:\1?\d){12,18}"
    r"|\d{4}(?:[ ./-]{1,2}\d{4}){3}(?:[ ./-]{1,2}\d{3})?|\d{4}[ ./-]{1,2}\d{6}[ ./-]{1,2}\d{5})"
    r"(?![.-]?\d)"
)
"""In one piece, in groups with the same mark between all of them, or in the groups that stand on a
card with any marks; never a part of more digits or of a decimal. Letters may stand on either side.
"""

_ISBN = re.compile(r"(?:(?i:isbn)\W{0,3}|(?=97[89]))((?:\d[ -]?){9,12}[\dXx])(?![\w-])")
"""One in eleven phone numbers passes for an ISBN of ten digits, so those have to be called one."""

_MANY_DIGITS = re.compile(r"\d(?:[^\w\n]{0,4}\d){6}")
"""Fewer than seven digits near each other are no phone number; most texts end here."""

_CARD_LENGTHS = (
    (("34", "37"), (15,)),
    (("30", "36", "38", "39"), (14, 16)),
    (("35",), (16, 17, 18, 19)),
    (("4",), (16, 19)),
    (("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), (16,)),
    (("60", "62", "64", "65"), (16, 17, 18, 19)),
    (("50", "56", "57", "58", "63", "67"), (16, 18, 19)),
)
"""Leading digits of the card schemes (ISO/IEC 7812) and how long their numbers are."""


@dataclass(frozen=True, slots=True)
class Found:
    """One piece of personal data: text[start:stop] and its kind (email, phone, card)."""

    kind: str
    start: int
    stop: int


def scrub(text: str, regions: Sequence[str] = REGIONS) -> str:
    """The text without e-mail addresses, phone numbers and card numbers.

    What is removed leaves one space: a mark in its place would be read by the encoders.

    Args:
        regions: ISO 3166 codes of the countries whose national phone notation is looked for.
    """
    found = personal_data(text, regions)
    if not found:
        return text
    kept, position = [], 0
    for one in found:
        kept.append(text[position : one.start].rstrip(" \t"))
        position = one.stop
    kept.append(text[position:])
    return " ".join(piece.lstrip(" \t") if at else piece for at, piece in enumerate(kept)).strip()


def personal_data(text: str, regions: Sequence[str] = REGIONS) -> list[Found]:
    """Every piece in order of position; none overlaps another."""
    found = [*_emails(text)]
    if _MANY_DIGITS.search(text):
        found += _cards(text)
        books = [match.span() for match in _ISBN.finditer(text) if isbn.is_valid(match[1])]
        found += [
            phone
            for phone in _phones(text, regions)
            if not any(start < phone.stop and phone.start < stop for start, stop in books)
        ]
    found.sort(key=lambda one: (one.start, -one.stop))
    apart: list[Found] = []
    for one in found:
        if not apart or one.start >= apart[-1].stop:
            apart.append(one)
    return apart


def _emails(text: str) -> Iterator[Found]:
    if "@" not in text and "\uff20" not in text:
        return
    for match in _EMAIL.finditer(text.replace("\uff20", "@")):
        address = match[0].rstrip(".!?*_~`")
        left = len(address) - len(address.lstrip(".!?*_~`="))
        try:
            validate_email(
                address[left:],
                check_deliverability=False,
                test_environment=True,
                allow_smtputf8=True,
            )
        except EmailNotValidError:
            continue
        yield Found("email", match.start() + left, match.start() + len(address))


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text.replace("\u00a0", " ")):
        digits = "".join(str(unicodedata.digit(one)) for one in match[0] if one.isdigit())
        lengths = next((sizes for heads, sizes in _CARD_LENGTHS if digits.startswith(heads)), ())
        decimal = match[1] == "." and match[0].count(".") == 1
        if len(digits) in lengths and not decimal and _passes_luhn(digits):
            yield Found("card", *match.span())


def _passes_luhn(digits: str) -> bool:
    try:
        luhn.validate(digits)
    except ValidationError:
        return False
    return True


def _phones(text: str, regions: Sequence[str]) -> Iterator[Found]:
    """Numbers written as their country writes them, so that prices and ids are left alone."""
    for region in (None, *regions):
        for match in PhoneNumberMatcher(text, region, Leniency.STRICT_GROUPING):
            yield Found("phone", match.start, match.end)
