"""What is half done is kept as it stands; what is cleared, cancelled or left comes to nothing."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Route, expect

from plaudit.web.api import DemonstrationSent, JudgementSent
from tests.web.browser.conftest import App, Person

KEPT = "Object.keys(localStorage).filter((key) => /^plaudit:(drafts|outbox):/.test(key)).length"
NOTHING_CHOSEN = "Choose a point"


def test_half_done_work_is_there_after_a_reload(app: App, ana: Person) -> None:
    app.add_task("Which of four?", 4)
    ana.works()
    ana.presses("2", "1")
    ana.page.reload()
    expect(ana.page.locator("#readout")).to_contain_text("B > A")


def test_what_was_cleared_does_not_come_back(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("3")
    ana.page.reload()
    expect(ana.page.locator("#readout")).to_have_text("A is somewhat better")
    ana.presses("Backspace")
    ana.page.reload()
    expect(ana.page.locator("#readout")).to_contain_text(NOTHING_CHOSEN)


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_window_that_only_looked_on_takes_no_draft_along(app: App, ana: Person, seen_before: bool) -> None:
    """Neither one that was opened before anything was chosen nor one that shows an earlier choice."""
    app.add_task("Which?", 2)
    ana.works()
    if seen_before:
        ana.presses("3")
        ana.page.wait_for_function(f"() => {KEPT} === 1")
    onlooker = ana.context.new_page()
    onlooker.goto(f"{app.url}/work")
    expect(onlooker.locator("#task")).to_be_visible()
    ana.presses("1")
    ana.page.reload()
    onlooker.close(run_before_unload=True)
    ana.page.reload()
    expect(ana.page.locator("#readout")).to_have_text("A is far better")


def test_a_cancelled_edit_leaves_nothing_behind(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("9")
    ana.submits()
    ana.changes_the_last()
    expect(ana.page.locator("#readout")).to_have_text("B is far better")
    ana.presses("1", "s", "z")  # an edit is neither skipped nor undone
    expect(ana.page.locator("#readout")).to_have_text("A is far better")
    ana.page.wait_for_function("Object.keys(localStorage).some((key) => key.startsWith('plaudit:drafts:'))")
    ana.page.get_by_role("button", name="Cancel").click()
    ana.page.get_by_role("link", name="Change").click()
    expect(ana.page.locator("#readout")).to_have_text("B is far better")


def test_the_next_task_is_not_skipped_by_a_key_that_was_pressed_too_early(app: App, ana: Person) -> None:
    for question in ("First?", "Second?"):
        app.add_task(question, 2)
    ana.works()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    ana.context.route("**/api/judgements", hold)
    with ana.page.expect_request("**/api/judgements"):
        ana.presses("1", "Enter")
    ana.presses("s")
    ana.page.locator("#open-skip").click(force=True)
    expect(ana.page.locator("#skip")).to_be_hidden()
    held[0].continue_()
    expect(ana.page.locator("#progress-text")).to_have_text("1 done, 1 left")
    expect(ana.page.locator("#skip")).to_be_hidden()


def test_a_task_that_is_submitted_elsewhere_takes_its_skip_dialog_along(app: App, ana: Person) -> None:
    for question in ("First?", "Second?"):
        app.add_task(question, 2)
    ana.works()
    other = Person(app, ana.context, ana.context.new_page())
    other.works()
    other.presses("s")
    expect(other.page.locator("#skip")).to_be_visible()
    ana.presses("1")
    ana.submits()
    expect(other.page.locator("#said")).to_contain_text("submitted in another window")
    expect(other.page.locator("#skip")).to_be_hidden()


@pytest.mark.parametrize(
    ("answers", "area", "sent", "field"),
    [
        (2, "#reason", JudgementSent, "reason"),
        (2, "#better", JudgementSent, "better_answer"),
        (0, "#answer", DemonstrationSent, "text"),
    ],
)
def test_no_text_grows_longer_than_the_server_takes(
    app: App, ana: Person, answers: int, area: str, sent: Any, field: str
) -> None:
    app.add_task("Say something.", answers)
    ana.works()
    longest = sent.model_json_schema()["properties"][field]["maxLength"]
    expect(ana.page.locator(area)).to_have_attribute("maxlength", str(longest))


def signs_out(person: Person) -> list[str]:
    """What it asks before."""
    asked: list[str] = []
    person.page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    person.page.locator("details.menu summary").click()
    person.page.get_by_role("button", name="Sign out").click()
    expect(person.page.locator("input[name=password]")).to_be_visible()
    return asked


def test_signing_out_leaves_no_draft_to_whoever_uses_the_browser_next(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("1", "y")
    ana.page.keyboard.type("a secret reason")
    elsewhere = ana.context.new_page()
    elsewhere.goto(f"{app.url}/work")
    expect(elsewhere.locator("#task")).to_be_visible()
    assert signs_out(ana) == []
    elsewhere.close(run_before_unload=True)
    assert ana.page.evaluate("Object.values(localStorage).join().includes('secret')") is False
    assert ana.page.evaluate(KEPT) == 0


def test_signing_out_drops_what_was_refused_and_keeps_what_is_to_be_sent(app: App, ana: Person) -> None:
    for question in ("First?", "Second?"):
        app.add_task(question, 2)
    ana.works()
    refusal = {"error": "malformed", "message": "It does not fit."}
    ana.context.route("**/api/judgements", lambda route: route.fulfill(status=422, json=refusal))
    ana.presses("1", "Enter")
    expect(ana.page.locator("#live")).to_have_text("1 not accepted")  # and the next task is there
    ana.context.unroute("**/api/judgements")
    busy = {"error": "unavailable", "message": "Later."}
    ana.context.route("**/api/judgements", lambda route: route.fulfill(status=503, json=busy))
    ana.presses("1", "Enter")
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "waiting")
    (asked,) = signs_out(ana)
    assert "1 of your submissions have not been sent yet" in asked
    assert "1 of your submissions were not accepted" in asked
    assert ana.page.evaluate(KEPT) == 1
