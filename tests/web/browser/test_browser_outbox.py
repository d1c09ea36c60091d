"""Nothing that somebody submitted is lost, and nothing arrives twice, whatever becomes of network, server and tabs."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.web.browser.conftest import PASSWORD, App, Person


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
    refusal = {"error": "malformed", "message": "It does not fit."}
    ana.context.route("**/api/judgements", lambda route: route.fulfill(status=422, json=refusal))
    ana.presses("1", "y")
    ana.page.keyboard.type("kept words")
    ana.presses("Control+Enter")
    notice = ana.page.locator("#outbox-notices .notice")
    expect(notice).to_contain_text("It does not fit.")
    ana.page.reload()
    expect(notice).to_contain_text("It does not fit.")
    notice.get_by_role("button", name="Discard").click()
    expect(notice).to_have_count(0)


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
