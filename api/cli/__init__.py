"""The `firstlight` command. An expected error is one line and an exit code that says its kind."""

from __future__ import annotations

import sys

import typer

from api.cli import (
    demo,
    evaluate,
    graph,
    index,
    models,
    onboard,
    operate,
    processes,
    publish,
    query,
    train,
)
from api.cli.output import CODE_REJECTED, CODE_UNAVAILABLE, fail
from domain.errors import FirstlightError, RetryableError
from domain.log import configure_logging

app = typer.Typer(
    name="firstlight",
    help="""Recommends what nobody has clicked yet: item events in, ranked cold items out.

    Exit codes: 0 done; 1 done, but something failed or differs (rejected events, dead items,
    differences found); 2 wrong usage, setting or request; 3 a service did not answer, try later.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
PARTS = (
    processes,
    publish,
    query,
    onboard,
    operate,
    index,
    graph,
    train,
    models,
    evaluate,
    demo,
)
for part in PARTS:
    part.register(app)


def main() -> None:
    """Run the command; an expected error becomes one line and an exit code."""
    configure_logging("warning")  # services say more, once they have read the settings
    try:
        app()
    except RetryableError as error:
        fail(error)
        sys.exit(CODE_UNAVAILABLE)
    except FirstlightError as error:
        fail(error)
        sys.exit(CODE_REJECTED)
    except KeyboardInterrupt:
        sys.exit(130)
