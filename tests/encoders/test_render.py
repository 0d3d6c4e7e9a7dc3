from hypothesis import given
from hypothesis import strategies as st

from domain.items import Item
from domain.users import User
from encoders import render_item, render_profile
from encoders.render import PROMPT_CHARS

WORDS = st.text("abc \n", max_size=10)


def test_an_item_is_title_description_tags_and_text_attributes() -> None:
    item = Item.model_validate(
        {
            "id": "1",
            "title": " Heat ",
            "description": "A thief and a policeman.",
            "tags": ["crime", " ", "Los Angeles"],
            "attributes": {
                "year": 1995,
                "directed_by": "Michael Mann",
                "cast": ["Al Pacino", "Robert De Niro", 2],
                "colour": True,
            },
        }
    )
    assert render_item(item) == (
        "Heat\nA thief and a policeman.\ncrime, Los Angeles\n"
        "cast: Al Pacino, Robert De Niro\ndirected by: Michael Mann"
    )


@given(WORDS, WORDS, st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=3))
def test_an_item_renders_to_words_exactly_if_it_has_text(
    title: str, description: str, tags: list[str], values: list[str]
) -> None:
    item = Item.model_validate(
        {
            "id": "1",
            "title": title,
            "description": description,
            "tags": tags,
            "attributes": {"note": values, "year": 1995},
            "media": {"images": ["https://example.org/a.png"]},
        }
    )
    assert bool(render_item(item).strip()) == item.has_text


def test_the_order_in_which_attributes_were_sent_does_not_matter() -> None:
    left = Item.model_validate({"id": "1", "attributes": {"a": "x", "b": "y"}})
    right = Item.model_validate({"id": "1", "attributes": {"b": "y", "a": "x"}})
    assert render_item(left) == render_item(right)


def test_a_profile_is_own_words_interests_and_demographics() -> None:
    user = User.model_validate(
        {
            "id": "u",
            "profile": "I like slow films.",
            "interests": ["jazz", "chess"],
            "demographics": {"age": 41, "parent": True, "lives_in": "Oslo"},
        }
    )
    assert render_profile(user) == (
        "I like slow films.\nInterests: jazz, chess.\nage: 41\nlives in: Oslo\nparent: yes"
    )
    assert render_profile(User.model_validate({"id": "u"})) == ""


def test_a_prompt_is_bounded_and_every_section_has_its_share() -> None:
    user = User.model_validate(
        {
            "id": "u",
            "profile": "word " * 4000,
            "interests": ["owls and the night"] * 100,
            "demographics": {f"name{n}": "some value" for n in range(100)},
        }
    )
    prompt = render_profile(user, ["A title of some length"] * 100)
    assert len(prompt) <= PROMPT_CHARS
    for section in (
        "word word",
        "Interests: owls and the night,",
        "name0: some",
        "Recently: A title",
    ):
        assert section in prompt


@given(WORDS, st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=3))
def test_a_prompt_is_the_same_every_time_and_one_line_a_section(
    profile: str, interests: list[str], titles: list[str]
) -> None:
    user = User(id="u", profile=profile, interests=interests)
    prompt = render_profile(user, titles)
    assert prompt == render_profile(user.model_copy(), list(titles))
    assert "Interests: \n" not in prompt
    assert bool(prompt) == any(one.strip() for one in [profile, *interests, *titles])
