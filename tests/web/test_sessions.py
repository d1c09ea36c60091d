"""How often a password may be guessed, however the name is spelled and whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from plaudit.feedback.events.schema import throttles
from plaudit.web import throttle
from plaudit.web.site import Site
from plaudit.web.texts import RefusalError
from plaudit.web.throttle import ATTEMPTS_BY_ADDRESS, ATTEMPTS_BY_NAME, by_name_and_address
from tests.web.conftest import PASSWORD, Browser, days_pass, sign_in


def test_guessing_is_slowed_down_by_name(site: Site, browser: Callable[[], Browser], join: Any) -> None:
    join("ann")
    guesser = browser()
    for attempt in range(ATTEMPTS_BY_NAME):
        assert sign_in(guesser, "ann" if attempt % 2 else "ANN ", "wrong password").status_code == 422
    refused = sign_in(guesser, "ann", PASSWORD)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert sign_in(browser(), "ben", "wrong password").status_code == 422, "others are not kept out"
    days_pass(site, 1)
    assert sign_in(browser(), "ann", PASSWORD).status_code == 303


def test_guessing_is_slowed_down_by_address(site: Site, browser: Callable[[], Browser], join: Any) -> None:
    join("ann")
    guesser = browser()
    for attempt in range(ATTEMPTS_BY_ADDRESS):
        assert sign_in(guesser, f"name {attempt}", "wrong password").status_code == 422
    assert sign_in(guesser, "ann", PASSWORD).status_code == 429
    assert sign_in(browser(), "ann", PASSWORD).status_code == 303


def test_who_is_right_is_not_slowed_down(browser: Callable[[], Browser], join: Any) -> None:
    join("ann")
    one = browser()
    for _ in range(3):
        for _ in range(ATTEMPTS_BY_NAME - 1):
            sign_in(one, "ann", "wrong password")
        assert sign_in(one, "ann", PASSWORD).status_code == 303
        one.get("/account")
        one.send("/signout")


def test_of_many_guesses_at_once_only_so_many_are_looked_at(site: Site, join: Any) -> None:
    refused: list[bool] = []

    def guess() -> None:
        try:
            site.throttle.attempt(by_name_and_address("ann", "10.1.1.1"))
            refused.append(False)
        except RefusalError:
            refused.append(True)

    threads = [threading.Thread(target=guess) for _ in range(18)]  # of which 20 may wait to write
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.count(False) == ATTEMPTS_BY_NAME


def test_all_spellings_of_a_name_are_counted_as_one(site: Site) -> None:
    spellings = ("ana maria", " ANA  maria", "Ana\tMaria ")
    for number in range(ATTEMPTS_BY_NAME):
        site.throttle.attempt(by_name_and_address(spellings[number % 3], "10.0.1.1"))
    for spelling in spellings:
        with pytest.raises(RefusalError, match="slow-down"):
            site.throttle.attempt(by_name_and_address(spelling, "10.0.1.1"))


def test_an_address_over_its_limit_leaves_no_more_traces_and_what_is_over_is_deleted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> int:
        with site.store.reading() as connection:
            return len(connection.execute(select(throttles)).all())

    for number in range(ATTEMPTS_BY_ADDRESS + 20):
        with suppress(RefusalError):
            site.throttle.attempt(by_name_and_address(f"nobody {number}", "10.0.0.1"))
    assert rows() == 2 * ATTEMPTS_BY_ADDRESS + 1, "two for each name, and the address"
    monkeypatch.setattr(throttle, "WINDOW", timedelta(0))
    site.throttle.attempt(by_name_and_address("somebody", "10.0.0.2"))
    assert rows() == 3
