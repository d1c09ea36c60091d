"""Nothing that somebody submitted is lost, and nothing arrives twice, whatever becomes of network, server and tabs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.web.browser.conftest import ELSEWHERE, PASSWORD, App, Newcomer, Person

REFUSAL = {"error": "malformed", "message": "It does not fit."}
NOT_OUR_WORD: list[dict[str, Any]] = [
    {"status": 404, "content_type": "text/html", "body": "<h1>No such site</h1>"},
    {"status": 413, "json": {"code": "BODY_TOO_LARGE"}},
    {"status": 400, "json": {"error": "host", "message": "This server does not answer under that name."}},
]


def judged(app: App) -> int:
    with app.store() as store:
        return len(store.judgements())


def test_a_submit_while_offline_arrives_later_once(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    app.add_task("Which else?", 2)
    ana.works()
    ana.context.set_offline(True)
    ana.presses("1", "Enter")
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "waiting")
    expect(ana.page.locator("#state-heading")).to_have_text("The server is not reached")
    assert judged(app) == 0
    ana.context.set_offline(False)
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "saved")
    expect(ana.page.locator("#task")).to_be_visible()
    assert judged(app) == 1


def test_a_submit_to_a_stopped_server_survives_a_closed_page(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    app.stop()
    ana.presses("1", "Enter")
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "waiting")
    ana.page.close()
    app.start()
    ana.page = ana.context.new_page()
    ana.page.goto(f"{app.url}/history")  # any page of theirs sends it
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "saved")
    assert judged(app) == 1


def test_an_answer_that_got_lost_does_not_store_twice(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    calls = []

    def lose_the_first_answer(route: Route) -> None:
        calls.append(route.request.post_data_json["id"])
        answer = route.fetch()
        if len(calls) == 1:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    ana.context.route("**/api/judgements", lose_the_first_answer)
    ana.presses("1", "Enter")
    expect(ana.page.locator("#state-heading")).to_have_text("That is all for now")
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "saved")
    assert len(calls) >= 2
    assert len(set(calls)) == 1
    assert judged(app) == 1


def test_what_the_server_refuses_is_set_aside_with_its_sentence(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.context.route("**/api/judgements", lambda route: route.fulfill(status=422, json=REFUSAL))
    ana.presses("1", "y")
    ana.page.keyboard.type("kept words")
    ana.presses("Control+Enter")
    notice = ana.page.locator("#outbox-notices").get_by_role("alert")
    expect(notice).to_contain_text("It does not fit.")
    expect(ana.page.locator("#live")).to_have_text("1 not accepted")
    ana.page.reload()
    expect(notice).to_contain_text("It does not fit.")
    notice.get_by_role("button", name="Discard").click()
    expect(notice).to_have_count(0)


def test_without_https_it_is_submitted_copied_and_sent_again(app: App, newcomer: Newcomer) -> None:
    app.host = ELSEWHERE
    app.add_task("Which?", 2)
    ana = newcomer()
    ana.signs_in("ana")
    ana.works()
    assert not ana.page.evaluate("isSecureContext")
    ana.context.route("**/api/judgements", lambda route: route.fulfill(status=422, json=REFUSAL))
    ana.presses("1", "y")
    ana.page.keyboard.type("kept words")
    ana.presses("Control+Enter")
    notice = ana.page.locator("#outbox-notices").get_by_role("alert")
    notice.get_by_role("button", name="Copy its text").click()
    ana.page.focus("#reason")
    ana.presses("Control+V")
    expect(ana.page.locator("#reason")).to_have_value("kept words")
    ana.context.unroute("**/api/judgements")
    notice.get_by_role("button", name="Send again").click()
    expect(notice).to_have_count(0)
    expect(ana.page.locator("#state-heading")).to_have_text("That is all for now")
    assert judged(app) == 1


@pytest.mark.parametrize("answer", NOT_OUR_WORD, ids=lambda answer: answer["status"])
def test_what_is_not_a_refusal_of_ours_is_tried_again(app: App, ana: Person, answer: dict[str, Any]) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.context.route("**/api/judgements", lambda route: route.fulfill(**answer))
    ana.presses("1", "Enter")
    expect(ana.page.locator("#state-heading")).to_have_text("The server is not reached")
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "waiting")
    ana.context.unroute("**/api/judgements")
    ana.page.get_by_role("button", name="Try now").click()
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "saved")
    assert judged(app) == 1


def test_what_arrives_later_was_said_under_the_guidelines_of_its_time(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    with app.store() as store:
        store.publish_guidelines({"en": "# Then"}, "olga")
        store.read_guidelines("ana", 1)
    ana.works()
    ana.context.set_offline(True)
    ana.presses("1", "Enter")
    expect(ana.page.locator("#state-heading")).to_have_text("The server is not reached")
    with app.store() as store:
        store.publish_guidelines({"en": "# Now"}, "olga")
        store.read_guidelines("ana", 2)
    ana.context.set_offline(False)
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "saved")
    with app.store() as store:
        (said,) = store.judgements()
    assert said.guidelines_version == 1


def test_an_edit_while_offline_arrives_later_and_leads_to_the_history(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.presses("1")
    ana.submits()
    ana.changes_the_last()
    expect(ana.page.locator("#readout")).to_have_text("A is far better")
    ana.context.set_offline(True)
    ana.presses("9", "Enter")
    expect(ana.page.locator("#state-heading")).to_have_text("The server is not reached")
    ana.context.set_offline(False)
    ana.page.wait_for_url("**/history")
    expect(ana.page.locator(".entries .said")).to_have_text("B > A")


def test_a_skip_while_offline_arrives_later_with_its_reason(app: App, ana: Person) -> None:
    for question in ("Which?", "Which else?", "And which?"):
        app.add_task(question, 2)
    ana.works()
    ana.presses("1")
    ana.submits()
    expect(ana.page.locator("#undo")).to_be_enabled()
    ana.context.set_offline(True)
    ana.presses("s", "Space", "Tab")
    ana.page.keyboard.type("not my field")
    ana.page.get_by_role("button", name="Skip this task").click()
    expect(ana.page.locator("#saved")).to_have_attribute("data-state", "waiting")
    ana.context.set_offline(False)
    expect(ana.page.locator("#progress-text")).to_have_text("1 done, 1 skipped, 1 left")
    expect(ana.page.locator("#task")).to_be_visible()
    expect(ana.page.locator("#undo")).to_be_disabled()  # the last was a skip, which is not taken back
    ana.page.goto(f"{app.url}/history")
    expect(ana.page.locator(".entries .said").first).to_have_text("I don’t know enough about it: not my field")


def test_signed_out_meanwhile_it_waits_for_the_same_person(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    kept = ana.context.cookies()
    ana.context.clear_cookies()
    ana.presses("1", "Enter")
    ana.page.wait_for_url("**/signin**")
    assert judged(app) == 0
    assert kept
    ana.page.fill("#name", "hana")  # somebody else at the same browser: it is not theirs to send
    ana.page.fill("#password", PASSWORD)
    ana.page.click("main button[type=submit]")
    ana.page.wait_for_url("**/work")
    ana.sees_task()
    assert judged(app) == 0
    ana.context.clear_cookies()
    ana.signs_in("ana")
    ana.page.goto(f"{app.url}/work")
    expect(ana.page.locator("#state-heading")).to_be_visible()
    assert judged(app) == 1


def test_somebody_else_signed_in_in_another_tab_gets_the_page_and_not_the_work(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.context.clear_cookies()
    other = Person(app, ana.context, ana.context.new_page())
    other.signs_in("hana")
    ana.presses("1", "Enter")
    expect(ana.page.locator(".menu summary")).to_have_text("hana")
    ana.sees_task()
    expect(ana.page.locator("#readout")).to_have_class(re.compile("empty"))
    assert judged(app) == 0
    ana.context.clear_cookies()
    other.signs_in("ana")
    expect(other.page.locator("#saved")).to_have_attribute("data-state", "saved")
    assert judged(app) == 1


def test_a_page_older_than_the_session_still_submits(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    ana.works()
    ana.context.clear_cookies()
    other = Person(app, ana.context, ana.context.new_page())
    other.signs_in("ana")  # a new session has a new CSRF token, which the first page does not know
    ana.presses("1", "Enter")
    expect(ana.page.locator("#state-heading")).to_have_text("That is all for now")
    assert judged(app) == 1


def test_two_tabs_neither_lose_nor_double(app: App, ana: Person) -> None:
    app.add_task("Which?", 2)
    app.add_task("Which else?", 2)
    ana.works()
    other = Person(app, ana.context, ana.context.new_page())
    other.works()
    ana.presses("1")
    ana.submits()
    expect(other.page.locator("#said")).to_contain_text("submitted in another window")
    expect(other.page.locator("#task")).to_be_visible()
    other.presses("9")
    other.submits()
    assert judged(app) == 2
    expect(other.page.locator("#outbox-notices .notice")).to_have_count(0)
