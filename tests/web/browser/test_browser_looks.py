"""Every page is accessible in light and dark, and fits a phone of 360 pixels, in both languages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from plaudit.types import Judgement, Ranking
from tests.web.browser.conftest import App, Newcomer, Person

PHONE = {"width": 360, "height": 740}
PAGES = (
    "/work",
    "/history",
    "/guidelines",
    "/account",
    "/lead",
    "/lead/people",
    "/lead/guidelines",
    "/lead/project",
    "/lead/log",
    "/nowhere",
)
SMALL_TARGETS = """
[...document.querySelectorAll('main :is(button, input, summary, textarea), .dock :is(button, input)')]
  .filter((target) => target.checkVisibility() && !target.closest('dialog'))
  .map((target) => [target.name || target.id || target.textContent, target.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24).map(([name]) => name)
"""
MARKDOWN = (
    "Some **words**.\n\n```\n"
    + "a_long_line_of_code = 1 " * 8
    + "\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    + "averylongword" * 12
)


@pytest.fixture(scope="session")
def axe() -> str:
    found = find_spec("axe_core_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("axe-core-python is not installed")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def peopled(app: App) -> App:
    """Pages with something on them."""
    with app.store() as store:
        store.publish_guidelines({"en": "# Judging\n\n- one\n- two", "ja": "# 評価\n\n- 一"}, "olga")
        store.read_guidelines("ana", 1)
    for question in ("Judged?", "Judged too?"):
        task = app.add_task(question, 2)
        with app.store() as store:
            for name in ("olga", "hana"):
                said = Judgement(f"{question} {name}", task.id, name, Ranking(tuple((r,) for r in task.response_ids)))
                store.submit(said)
    app.add_task("Which?", 2, lambda i: f"{i}: {MARKDOWN}")
    return app


def findings(page: Page, axe: str) -> list[str]:
    """What axe finds serious or critical, as sentences."""
    page.evaluate(axe)
    report: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    bad = [v for v in report["violations"] if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {v['help']} {[node['html'][:120] for node in v['nodes'][:3]]}" for v in bad]


def visit(person: Person, path: str) -> None:
    person.page.goto(person.app.url + path)
    if path == "/work":
        person.sees_task()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(peopled: App, newcomer: Newcomer, axe: str, theme: str) -> None:
    person = newcomer(color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    found = {}
    for path in ("/signin", peopled.first_link().removeprefix(peopled.url)):
        visit(person, path)
        found[path] = findings(person.page, axe)
    person.signs_in("olga")
    for path in PAGES:
        visit(person, path)
        found[path] = findings(person.page, axe)
    peopled.add_task("Nine?", 9)
    peopled.add_task("Write.", 0)
    person.page.goto(f"{peopled.url}/guidelines")
    person.page.get_by_role("button", name="I have read this").click()
    for number in range(3):
        visit(person, "/work")
        found[f"task {number}"] = findings(person.page, axe)
        person.presses("?")
        found[f"help {number}"] = findings(person.page, axe)
        person.presses("Escape", "s")
        found[f"skip {number}"] = findings(person.page, axe)
        person.presses("Space", "Enter")
        expect(person.page.locator("#skip")).to_be_hidden()
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize("name", ["olga", "hana"])
def test_a_phone_needs_no_sideways_scrolling(peopled: App, newcomer: Newcomer, name: str) -> None:
    peopled.add_task("Nine?", 9, lambda i: f"{i}: {MARKDOWN}")
    with peopled.store() as store:
        store.read_guidelines(name, 1)
    person = newcomer(viewport=PHONE, has_touch=True, is_mobile=True)
    visit(person, "/signin")
    wide = {"/signin": person.overflow()}
    person.signs_in(name)
    for path in PAGES if name == "olga" else PAGES[:4]:
        visit(person, path)
        wide[path] = person.overflow()
    visit(person, "/work")
    person.presses("1", "s")
    wide["skip"] = person.overflow()
    person.presses("Space", "Enter")
    expect(person.page.locator("#skip")).to_be_hidden()
    person.sees_task()
    wide["second task"] = person.overflow()
    assert {where: by for where, by in wide.items() if by > 0} == {}


def test_targets_are_at_least_24_pixels(peopled: App, newcomer: Newcomer) -> None:
    peopled.add_task("Nine?", 9)
    with peopled.store() as store:
        store.read_guidelines("ana", 1)
    person = newcomer(viewport=PHONE)
    person.signs_in("ana")
    small = []
    for _ in range(2):
        visit(person, "/work")
        person.page.evaluate("document.querySelectorAll('article details').forEach((d) => { d.open = true; })")
        small += person.page.evaluate(SMALL_TARGETS)
        person.presses("s", "Space", "Enter")
        expect(person.page.locator("#skip")).to_be_hidden()
    assert small == []


def test_only_leads_are_shown_the_way_about_the_leads_pages(app: App, newcomer: Newcomer) -> None:
    for name, shown in (("olga", 1), ("ana", 0)):
        person = newcomer()
        person.signs_in(name)
        visit(person, "/lead")
        expect(person.page.locator("nav.sub")).to_have_count(shown)


def test_the_chosen_theme_stays(app: App, ana: Person) -> None:
    ana.page.goto(f"{app.url}/history")
    ana.page.click(".menu summary")
    ana.page.get_by_role("button", name="Dark").click()
    ana.page.reload()
    assert ana.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
