"""Lines of a terminal that show how a run went."""

from __future__ import annotations

import pytest

from plaudit.report.sparkline import ASCII, BLOCKS, COLUMNS, courses, sparkline

ROWS = [{"step": n + 1, "reward_mean": n / 7, "kl_nats": 7.0 - n, "finished_share": 0.5} for n in range(8)]


def test_the_course_of_each_figure_is_a_line() -> None:
    assert list(courses(ROWS, "utf-8")) == [
        f"Reward    {BLOCKS}  0.00 to 1.00",
        f"KL, nats  {BLOCKS[::-1]}  7.0 to 0.0",
        "Finished  ▁▁▁▁▁▁▁▁  50% to 50%",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", None, "no-such-encoding"])
def test_a_terminal_without_blocks_gets_ascii(encoding: str | None) -> None:
    lines = list(courses(ROWS, encoding))
    assert all(line.isascii() for line in lines)
    assert set(lines[0].split()[1]) == set(ASCII)


def test_many_steps_are_as_wide_as_few_and_what_is_no_number_is_left_out() -> None:
    line = sparkline([float(n) for n in range(1000)])
    assert len(line) == COLUMNS
    assert line == "".join(sorted(line))
    assert sparkline([1.0, float("nan"), 2.0]) == "▁█"
    assert sparkline([]) == ""
    assert list(courses([{"loss": None}, {"loss": 1.0}], "utf-8")) == []
