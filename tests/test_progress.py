"""Progress: what a log, a terminal and silence show."""

from __future__ import annotations

import io
import threading
import time

import pytest

from plaudit import progress


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.bar("Sampling", 60, "prompts") as bar:
        for reward in (0.1, 0.2, 0.3, 0.4):
            clock.seconds += 5
            bar.advance(15, reward=reward)
    assert capsys.readouterr().err.splitlines() == [
        "Sampling: 30/60 prompts, 3 prompts/s, 10 s left, reward 0.2",
        "Sampling: 60/60 prompts, 3 prompts/s, took 20 s, reward 0.4",
    ]


def test_a_sentence_stands_on_a_line_of_its_own_unless_it_is_quiet(capsys: pytest.CaptureFixture) -> None:
    progress.say("Computing in fp32.")
    with progress.quiet():
        progress.say("Nobody hears this.")
    assert capsys.readouterr().err == "Computing in fp32.\n"


def test_what_was_done_before_does_not_flatter_the_rate(clock: Clock) -> None:
    with progress.quiet(), progress.bar("Aligning", 40, "steps", done=20) as bar:
        clock.seconds += 100
        bar.advance(10)
        assert bar.figures() == "30/40 steps, 10 s each, 1 min 40 s left"
        clock.seconds += 40  # time left runs down between steps
        assert bar.figures() == "30/40 steps, 10 s each, 1 min 00 s left"


def test_bars_inside_a_bar_do_not_fill_the_log(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    for _ in progress.track(range(3), "Outer"):
        for _ in progress.track(range(2), "Inner"):
            clock.seconds += 1
    assert capsys.readouterr().err.splitlines() == ["Outer: 3/3 it, 2 s each, took 6 s"]


def test_track_counts_an_iterable_without_length(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    assert list(progress.track(iter("abc"), "Reading", unit="lines")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "Reading: 3 lines\n"


def test_quiet_is_silent_and_ends(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.quiet():
        list(progress.track(range(3), "Hidden"))
    assert capsys.readouterr().err == ""
    list(progress.track(range(3), "Shown"))
    assert "Shown" in capsys.readouterr().err


def test_an_exception_leaves_nothing_open(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="stop"), progress.bar("Cut", 2):
        raise ValueError("stop")
    list(progress.track(range(1), "Next"))
    assert capsys.readouterr().err == "Next: 1/1 it\n"


def test_a_terminal_shows_the_bar_with_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.bar("Aligning", 2, "steps") as bar, progress.bar("Sampling", 1, "prompts"):
        bar.advance(2, reward=0.31)
    assert "2/2 steps" in terminal.getvalue()
    assert "reward 0.31" in terminal.getvalue()


def test_a_log_hears_of_a_step_that_takes_longer_than_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.3)
    with progress.at_work("sample-001"):
        time.sleep(0.5)  # a model is loaded
        with progress.bar("Sampling", 60, "prompts"):
            time.sleep(0.5)
        with progress.quiet():
            time.sleep(0.5)
    before = threading.active_count()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["sample-001: at work, 0 s so far", "Sampling: 0/60 prompts, 0 s so far", "Sampling: 0/60 prompts"]
    time.sleep(0.5)
    assert capsys.readouterr().err == ""
    assert threading.active_count() == before


def test_silence_is_broken_every_half_minute_and_no_sooner(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress.bar("Aligning", 24, "steps") as bar:
        for _ in range(95):
            clock.seconds += 1
            progress._break_silence("align-001", 100.0)
            if clock.seconds == 140:
                bar.advance(4)
    assert capsys.readouterr().err.splitlines() == [
        "Aligning: 0/24 steps, 30 s so far",
        "Aligning: 4/24 steps, 10 s each, 3 min 20 s left",
        "Aligning: 4/24 steps, 10 s each, 2 min 50 s left, 1 min 10 s so far",
        "Aligning: 4/24 steps, 10 s each, 2 min 25 s left",
    ]
