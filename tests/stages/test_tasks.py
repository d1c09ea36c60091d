"""Where reward models disagree, and which runs may be asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from plaudit.errors import UsageError
from plaudit.stages.inputs import open_feedback
from plaudit.stages.tasks import disagreement, scores_of
from plaudit.types import Response, Task
from plaudit.workspace import Workspace

ANSWERS = [Response("p", f"Answer {k}.") for k in range(3)]


def test_disagreement_is_the_spread_of_the_probabilities() -> None:
    a, b, c = (r.id for r in ANSWERS)
    agree, oppose = {a: 3.0, b: 0.0, c: 0.0}, {a: -3.0, b: 0.0, c: 0.0}
    score = disagreement([agree, oppose])
    spread = 1 / (1 + 2.718281828459045**-3) - 0.5
    assert score(Task("p", (a, b))) == pytest.approx(spread)
    assert score(Task("p", (b, c))) == 0.0
    assert score(Task("p", (a, b, c))) == pytest.approx(2 / 3 * spread)
    assert disagreement([agree, agree])(Task("p", (a, b))) == 0.0
    assert disagreement([{a: -2000.0, b: 2000.0}, {a: 2000.0, b: -2000.0}])(Task("p", (a, b))) == pytest.approx(0.5)


def test_two_reward_runs_are_needed(chain) -> None:
    with open_feedback(chain.workspace) as store:
        for runs in ([], [chain.reward.id], [chain.reward.id] * 2):
            with pytest.raises(UsageError, match="two reward runs or more"):
                scores_of(chain.workspace, store, runs, [])
        with pytest.raises(UsageError, match="no finished reward run"):
            scores_of(chain.workspace, store, [chain.reward.id, chain.align.id], [])


def test_reward_runs_score_the_answers(chain, tmp_path: Path) -> None:
    shutil.copytree(chain.workspace.path, tmp_path / "copy")
    copied = Workspace.open(tmp_path / "copy")
    shutil.copytree(chain.reward.path, copied.runs_dir / "reward-900")  # another of the same scores
    record = copied.runs_dir / "reward-900" / "run.json"
    copied_record = json.loads((copied.runs_dir / chain.reward.id / "run.json").read_text()) | {"id": "reward-900"}
    record.write_text(json.dumps(copied_record))
    with open_feedback(copied) as store:
        answers = store.responses(run_id=chain.sample.id)
        first, second = scores_of(copied, store, [chain.reward.id, "reward-900"], answers)
    assert first.keys() == {a.id for a in answers}
    assert first == pytest.approx(second)
    assert len(set(first.values())) > 1
