"""Items whose answer is known: read from a file strictly, named by their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.feedback.exchange.checks import checks_in
from plaudit.types import TaskPurpose


def test_both_ways_to_write_one(tmp_path: Path) -> None:
    file = tmp_path / "gold.jsonl"
    file.write_text(
        '{"prompt": "A?", "answers": ["best", ["middle", "also"], "worst"]}\n'
        '{"prompt": [{"role": "user", "content": "B?"}], "chosen": "good", "rejected": "bad"}\n'
    )
    first, second = checks_in(str(file), TaskPurpose.GOLD, "Which?")
    texts = {r.id: r.text for r in (*first.responses, *second.responses)}
    assert [[texts[r] for r in tier] for tier in first.task.gold or ()] == [["best"], ["middle", "also"], ["worst"]]
    assert [[texts[r] for r in tier] for tier in second.task.gold or ()] == [["good"], ["bad"]]
    assert (first.task.purpose, first.task.question) == (TaskPurpose.GOLD, "Which?")
    assert first.task.response_ids == tuple(sorted(first.task.response_ids))  # the order gives nothing away
    assert second.prompt.question == "B?"


@pytest.mark.parametrize(
    "line",
    [
        '{"prompt": "A?"}', '{"prompt": "A?", "answers": ["one"]}', '{"prompt": "A?", "answers": ["one", 2]}',
        '{"prompt": "A?", "answers": ["one", []]}', '{"prompt": "A?", "answers": ["one", "one"]}', '["A?"]',
        '{"prompt": "", "answers": ["one", "two"]}', '{"prompt": "A?", "chosen": "", "rejected": "no"}',
        '{"prompt": "A?", "chosen": "yes", "rejected": " "}', '{"answers": ["one", "two"]}',
        '{"prompt": "A?", "chosen": "one"}', "{",
        '{"prompt": [{"role": "assistant", "content": "A"}], "answers": ["one", "two"]}',
        '{"prompt": "A?", "answers": ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]}',
    ],
)  # fmt: skip
def test_a_malformed_one_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    file = tmp_path / "gold.jsonl"
    file.write_text('{"prompt": "A?", "answers": ["one", "two"]}\n' + line + "\n")
    with pytest.raises(UsageError, match="line 2"):
        checks_in(str(file), TaskPurpose.GOLD, "Which?")


def test_known_answers_that_contradict_each_other_are_refused_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "gold.jsonl"
    lines = ['{"prompt": "A?", "answers": ["one", "two"]}', '{"prompt": "A?", "chosen": "one", "rejected": "two"}']
    file.write_text("\n".join([*lines, '{"prompt": "B?", "answers": ["one", "two"]}']) + "\n")
    assert len(checks_in(str(file), TaskPurpose.GOLD, "Which?")) == 3
    file.write_text("\n".join([*lines, '{"prompt": "A?", "answers": ["two", "one"]}']) + "\n")
    with pytest.raises(UsageError, match=r"gold.jsonl, line 3: .* contradicts that of .*gold.jsonl, line 1"):
        checks_in(str(file), TaskPurpose.GOLD, "Which?")
