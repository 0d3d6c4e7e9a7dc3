"""Getting to know a new user on the terminal: questions, answers, a ranking after each."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, client, console, print_json, show_ranking
from api.ranking_schemas import AskedItem, OnboardingAnswer
from domain.errors import RejectedError

REPLIES: dict[str, bool | None] = {"y": True, "yes": True, "n": False, "no": False, "": None}
ENOUGH = "q"
KEYS = "y = liked, n = not, Enter = not known, q = enough"

Items = Annotated[list[str] | None, typer.Option(help="An item's id; repeat.")]


def onboard(
    profile: Annotated[
        str | None, typer.Argument(help="The new user in one sentence, if known.")
    ] = None,
    liked: Items = None,
    disliked: Items = None,
    unknown: Items = None,
    count: Annotated[int, typer.Option("--count", "-c", help="How many questions.")] = 5,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many results.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Ask a new user about a few items and rank after each answer.

    With --json nothing is asked: it prints which items to ask about next, and the ranking by the
    answers given as options.
    """
    answers = _answers(liked or [], disliked or [], unknown or [])
    with client() as api:
        if as_json:
            print_json(api.onboarding(answers=answers, profile=profile, count=count, limit=limit))
            return
        for number in range(1, count + 1):
            found = api.onboarding(answers=answers, profile=profile, count=1, limit=limit)
            _show(found)
            reply = _reply(found.ask[0], number, count) if found.ask else ENOUGH
            if reply == ENOUGH:
                return
            answers[found.ask[0].id] = REPLIES[reply]
        _show(api.onboarding(answers=answers, profile=profile, count=0, limit=limit))


def _answers(liked: list[str], disliked: list[str], unknown: list[str]) -> dict[str, bool | None]:
    answers: dict[str, bool | None] = {}
    for option, items, said in (
        ("--liked", liked, True),
        ("--disliked", disliked, False),
        ("--unknown", unknown, None),
    ):
        for item in items:
            if item in answers:
                raise RejectedError(
                    f"{item!r} was answered twice", field=option, remedy="give it once"
                )
            answers[item] = said
    return answers


def _reply(asked: AskedItem, number: int, count: int) -> str:
    console.print(f"{number}/{count}  {asked.title or asked.id}", markup=False)
    while True:
        reply = typer.prompt(KEYS, default="", show_default=False).strip().lower()
        if reply in REPLIES or reply == ENOUGH:
            return str(reply)


def _show(found: OnboardingAnswer) -> None:
    show_ranking(found, title=f"{found.learned:.0%} of what was unsure is told")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(onboard)
