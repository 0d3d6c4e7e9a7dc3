"""Log lines: JSON where a program reads them, and every line of an item's way names the item."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from domain.log import configure_logging, logger


class Stream(io.StringIO):
    """Standard error, a terminal or not."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def test_lines_are_json_when_not_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Stream()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("info", "auto")
    logger("workers.batch").info("item", item="a", version=7)
    logging.getLogger("celery.worker").warning("lost %s", "the broker")
    ours, theirs = (json.loads(line) for line in written.getvalue().splitlines())
    assert (ours["event"], ours["item"], ours["version"]) == ("item", "a", 7)
    assert (ours["level"], ours["logger"]) == ("info", "workers.batch")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"]) == ("lost the broker", "warning")
    assert theirs["logger"] == "celery.worker"


def test_lines_on_a_terminal_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info", "auto")
    logger("workers.batch").info("item", item="a", version=7)
    (line,) = terminal.getvalue().splitlines()
    assert not line.startswith("{")
    assert "item" in line


def test_a_setting_outranks_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info", "json")
    logger("workers.batch").info("item")
    assert json.loads(terminal.getvalue())["event"] == "item"


def test_what_is_bound_is_on_every_line_of_every_module(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Stream()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("info", "json")
    with structlog.contextvars.bound_contextvars(item="a", version=7):
        logger("index.attributes").warning("attribute_not_filterable")
        logging.getLogger("sqlalchemy").warning("slow")
    logger("index.attributes").warning("elsewhere")
    *bound, free = (json.loads(line) for line in written.getvalue().splitlines())
    assert [(line["item"], line["version"]) for line in bound] == [("a", 7)] * 2
    assert "item" not in free


def test_lines_below_the_level_are_left_out_and_a_traceback_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = Stream()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logging("warning", "json")
    logger("a").info("quiet")
    try:
        raise ValueError("odd")
    except ValueError:
        logger("a").exception("failed")
    (line,) = written.getvalue().splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]
