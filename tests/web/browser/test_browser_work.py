"""Working through tasks in a real browser, mostly with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.browser.conftest import PASSWORD, App, Newcomer, Person

GUIDELINES = {
    "en": "# Judging\n\nTake what a **careful friend** would say.",
    "ja": "# 評価\n\n**思慮深い友人**の答えを選んでください。",
}
STRENGTH_KEYS = {"1": (0, 4), "2": (0, 3), "3": (0, 2), "4": (0, 1), "6": (1, 1), "7": (1, 2), "8": (1, 3), "9": (1, 4)}
WORDS = {
    "en": {
        "signin": "Sign in",
        "read": "I have read this and will judge by it",
        "far": "B is far better",
        "done": "That is all for now",
        "agreement": "Agreement",
    },
    "ja": {
        "signin": "サインイン",
        "read": "読みました。これに沿って評価します",
        "far": "B のほうがはるかに良い",
        "done": "現在の課題はすべて終わりました",
        "agreement": "評価の一致",
    },
}


def test_nothing_is_chosen_before_somebody_does_so(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    assert ana.page.locator("#task input:checked").count() == 0
    expect(ana.page.locator("#submit")).to_have_attribute("aria-disabled", "true")
    ana.presses("Enter", "Control+Enter")
    ana.page.click("#submit", force=True)
    expect(ana.page.locator("#live")).to_contain_text("Choose a point")
    with app.store() as store:
        assert store.judgements() == []


@pytest.mark.parametrize("key", ["1", "4", "5", "9"])
def test_a_pair_by_one_digit(app: App, ana: Person, key: str) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses(key)
    ana.submits()
    with app.store() as store:
        (said,) = store.judgements()
    if key == "5":
        assert (said.ranking.tiers, said.strength) == ((tuple(sorted(said.order)),), None)
    else:
        winner, strength = STRENGTH_KEYS[key]
        assert (said.ranking.tiers[0], said.strength) == ((said.order[winner],), strength)


def test_a_pair_by_arrows_passes_through_equal(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    readout = ana.page.locator("#readout")
    for key, words in [
        ("ArrowLeft", "A is barely"),
        ("ArrowLeft", "A is somewhat"),
        ("ArrowRight", "A is barely"),
        ("ArrowRight", "equally"),
        ("ArrowRight", "B is barely"),
        ("Backspace", "Choose a point"),
    ]:
        ana.presses(key)
        expect(readout).to_contain_text(words)


def test_nine_answers_by_keyboard_alone(app: App, ana: Person) -> None:
    app.add_task("Which of nine?", 9)
    ana.works()
    ana.presses(*"31422", "b", "9", "ArrowRight", "ArrowLeft", "Backspace")
    expect(ana.page.locator("#submit")).to_have_attribute("aria-disabled", "true")
    ana.presses("5", *"6789")
    expect(ana.page.locator("#submit")).to_have_attribute("aria-disabled", "false")
    shown = ana.page.locator("#readout").inner_text()
    ana.submits()
    with app.store() as store:
        (said,) = store.judgements()
    letter = dict(zip(said.order, "ABCDEFGHI", strict=True))
    assert " > ".join(" = ".join(sorted(letter[r] for r in tier)) for tier in said.ranking.tiers) == shown
    assert len(said.ranking.response_ids) == 9


def test_all_bad_needs_no_order(app: App, ana: Person) -> None:
    app.add_task("Which of three?", 3)
    ana.works()
    ana.presses("x")
    ana.submits()
    with app.store() as store:
        (said,) = store.judgements()
    assert said.all_bad
    assert len(said.ranking.tiers) == 1


def test_ratings_flags_reason_and_a_better_answer(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("2", "b", "r", "6", "Tab", "3")
    ana.page.get_by_role("group", name="Safety flags for answer A").get_by_label("Private data").check(force=True)
    ana.presses("Escape", "y")
    ana.page.keyboard.type("It is 1 word shorter. ")
    ana.presses("Escape", "w")
    ana.page.keyboard.type("The best of all\nanswers")
    ana.presses("Control+Enter")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    with app.store() as store:
        (said,) = store.judgements()
    assert said.ratings == {said.order[1]: {"helpful": 6, "harmless": 3}}
    assert said.flags == {said.order[0]: ("private",)}
    assert (said.reason, said.better_answer, said.strength) == ("It is 1 word shorter.", "The best of all\nanswers", 3)
    assert said.seconds is not None
    assert 0 < said.seconds < 60


def test_an_answer_from_scratch(app: App, ana: Person) -> None:
    app.add_task("Say hello.", 0)
    ana.works()
    ana.presses("w")
    ana.page.keyboard.type("Hello s?")  # letters that are commands elsewhere
    ana.presses("Control+Enter")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    with app.store() as store:
        (written,) = store.written()
    assert written.text == "Hello s?"


def test_undo_brings_the_last_one_back_as_it_was(app: App, ana: Person) -> None:
    app.add_task("First?", 2)
    ana.works()
    ana.presses("2", "y")
    ana.page.keyboard.type("because")
    ana.presses("Control+Enter")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    ana.presses("z")
    expect(ana.page.locator("#live")).to_have_text("Taken back.")
    expect(ana.page.locator("#readout")).to_contain_text("A is clearly better")
    expect(ana.page.locator("#reason")).to_have_value("because")
    with app.store() as store:
        assert store.judgements() == []
    ana.presses("9")
    ana.submits()
    with app.store() as store:
        (said,) = store.judgements()
    assert (said.strength, said.reason) == (4, "because")


def test_an_edit_supersedes_and_never_overwrites(app: App, ana: Person) -> None:
    app.add_task("First?", 3)
    ana.works()
    ana.presses("1", "2", "3")
    ana.submits()
    ana.changes_the_last()
    expect(ana.page.locator("#readout")).to_have_text("A > B > C")
    ana.presses("a", "3")
    ana.submits()
    ana.page.wait_for_url("**/history")
    expect(ana.page.locator(".entries .said").first).to_have_text("B > A = C")
    with app.store() as store:
        (said,) = store.judgements()
    assert said.supersedes is not None


def test_dragging_an_answer_by_its_letter_places_it(app: App, ana: Person) -> None:
    app.add_task("Which of three?", 3)
    ana.works()
    page, readout = ana.page, ana.page.locator("#readout")
    card = page.locator("article .letter")
    drag(page, card.nth(1), page.locator("[data-place='1']"))
    expect(readout).to_contain_text("B · 2 still without a place")
    drag(page, page.locator(".chips button").nth(2), page.locator("[data-place='1']"))
    drag(page, card.first, page.locator("[data-place='3']"))
    expect(readout).to_have_text("B = C > A")
    expect(page.locator(".board")).to_be_hidden()


def test_a_drag_that_ends_elsewhere_or_by_escape_changes_nothing(app: App, ana: Person) -> None:
    app.add_task("Which of three?", 3)
    ana.works()
    page = ana.page
    drag(page, page.locator("article .letter").first, page.locator("#asked"))
    drag(page, page.locator("article .letter").first, page.locator("[data-place='1']"), key="Escape")
    expect(page.locator("#readout")).to_contain_text("Give each answer a place")
    expect(page.locator(".board")).to_be_hidden()
    page.locator(".chips button").nth(1).click()
    expect(page.locator(".chips button").nth(1)).to_have_attribute("aria-current", "true")


def drag(page: Page, what: Locator, where: Locator, key: str | None = None) -> None:
    """With the mouse; the places are there to go to only once something is dragged."""
    what.hover()
    page.mouse.down()
    page.mouse.move(9, 9)
    where.hover(force=True)
    if key:
        page.keyboard.press(key)
    page.mouse.up()


def test_the_keys_are_shown_from_the_top_and_the_history_names_what_was_asked(app: App, ana: Person) -> None:
    app.add_task("Say hello.", 0)
    ana.works()
    ana.presses("?")
    expect(ana.page.locator("#help-title")).to_be_in_viewport()
    ana.presses("Escape", "w")
    ana.page.keyboard.type("Hello.")
    ana.presses("Control+Enter")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    ana.page.goto(f"{app.url}/history")
    expect(ana.page.locator(".entries .what")).to_have_text("Say hello.")
    expect(ana.page.locator("#more")).to_be_hidden()


def test_cannot_say_asks_for_a_reason(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("s", "Space", "Enter")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    with app.store() as store:
        assert store.progress("ana").skipped == 1
        assert store.judgements() == []


def test_single_keys_can_be_switched_off(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("?")
    ana.page.get_by_label("Use single keys").uncheck()
    ana.presses("Escape", "1", "s")
    expect(ana.page.locator("#readout")).to_contain_text("Choose a point")
    expect(ana.page.locator("#skip")).to_be_hidden()


def test_focus_and_announcement_go_to_the_next_task(app: App, ana: Person) -> None:
    app.add_task("First?", 2)
    app.add_task("Second?", 2)
    ana.works()
    ana.presses("1")
    ana.submits()
    expect(ana.page.locator("#live")).to_have_text("Saved. Next task.")
    expect(ana.page.locator("#asked")).to_be_focused()
    assert ana.page.locator("#task input:checked").count() == 0


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_whole_way_from_the_link_to_the_dashboard(app: App, newcomer: Newcomer, language: str) -> None:
    words = WORDS[language]
    with app.store() as store:
        store.publish_guidelines(GUIDELINES, "olga")
    for number, answers in enumerate((2, 9, 0)):
        app.add_task(f"Question {number}?", answers)
    person = newcomer(locale=language)
    page = person.page
    page.goto(app.first_link())
    page.fill("#name", "Ren")
    page.fill("#password", PASSWORD)
    page.select_option("#language", language)
    page.click("main button[type=submit]")
    page.wait_for_url(lambda url: "/join/" not in url)
    person.context.clear_cookies()
    page.goto(f"{app.url}/work")
    expect(page.get_by_role("heading", name=words["signin"])).to_be_visible()
    person.signs_in("Ren")
    page.goto(f"{app.url}/guidelines")
    page.get_by_role("button", name=words["read"]).click()
    person.works()
    for _ in range(3):
        person.sees_task()
        if page.locator("#answer").count():
            page.fill("#answer", "こんにちは")
            person.presses("Control+Enter")
        elif page.locator("article").count() == 9:
            person.presses(*"123456789", "Enter")
        else:
            person.presses("9")
            expect(page.locator("#readout")).to_have_text(words["far"])
            person.presses("Enter")
        person.settles()
    expect(page.get_by_role("heading", name=words["done"])).to_be_visible()
    with app.store() as store:
        assert sorted(len(said.ranking.response_ids) for said in store.judgements()) == [2, 9]
        assert [(written.annotator_id, written.text) for written in store.written()] == [("Ren", "こんにちは")]
        assert {said.guidelines_version for said in store.judgements()} == {1}
    page.goto(f"{app.url}/lead")
    expect(page.get_by_role("img", name=words["agreement"])).to_be_visible()
    expect(page.get_by_role("cell", name="Ren").or_(page.get_by_role("rowheader", name="Ren"))).to_be_visible()
