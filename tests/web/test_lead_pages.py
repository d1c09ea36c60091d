"""What leads do: invite and put out, publish guidelines, change settings, withdraw consent, read the figures."""

from __future__ import annotations

import html
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plaudit.cli import main
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.feedback.quality import report
from plaudit.stages.inputs import feedback_source
from plaudit.types import Judgement, Ranking
from plaudit.web.people import Role
from plaudit.web.site import Site
from plaudit.workspace import Workspace
from tests.web.conftest import add_tasks, done

SETTINGS = {
    "name": "Clinic", "question": "Which is kinder?", "attributes": "kind\r\n\r\n true ", "flags": "",
    "ask_strength": "1", "lease_minutes": "20", "qualification_pass": "0.8", "hourly_cost": "18.5", "currency": "EUR",
}  # fmt: skip
STALE_ROW = re.compile(r'<tr><th scope="row">([^<]+)</th><td class="n">(\d+)</td><td><code>([^<]+)</code></td></tr>')


@pytest.fixture
def lead(join: Any) -> Any:
    return join("lea", Role.LEAD)


def test_settings_are_changed_and_noted(site: Site, lead: Any, join: Any) -> None:
    assert lead.send("/lead/project", **SETTINGS).headers["location"] == "/lead/project?notice=notice-saved"
    settings = site.store.settings()
    assert settings == ProjectSettings(
        "Clinic", "Which is kinder?", ("kind", "true"), (), True, False, 20.0, 0.8, 18.5, "EUR"
    )
    page = lead.get("/lead/project?notice=notice-saved").text
    assert 'value="18.5"' in page
    assert "kind\ntrue</textarea>" in page
    [action] = done(site)
    assert (action.actor, action.action, dict(action.details)["lease_minutes"]) == ("lea", "changed settings", 20.0)
    log = lead.get("/lead/log").text
    assert "ask better answer: no" in log
    assert "attributes: kind, true" in log
    add_tasks(site, 1)
    shown = join("ann").task()
    assert (shown["attributes"], shown["flags"], shown["ask_better_answer"]) == (["kind", "true"], [], False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_minutes": "soon"}, {"lease_minutes": "-1"}, {"lease_minutes": "nan"}, {"qualification_pass": "2"},
        {"question": "  "}, {"attributes": "kind\nkind"}, {"hourly_cost": "-3"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_and_what_was_typed_stays(
    wrong: dict[str, str], site: Site, lead: Any
) -> None:
    answer = lead.send("/lead/project", **SETTINGS | wrong)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert 'value="Clinic"' in answer.text
    assert site.store.settings() == ProjectSettings()
    assert done(site) == []


def test_guidelines_are_published_in_versions(site: Site, lead: Any, join: Any) -> None:
    ann = join("ann", language="ja")
    assert lead.send("/lead/guidelines", text_en="  ", text_ja="").status_code == 422
    lead.send("/lead/guidelines", text_en="# One\r\n\r\ntext", text_ja="# 一")
    ann.send("/guidelines", version="1")
    assert "<h3>一</h3>" in ann.get("/guidelines").text
    lead.send("/lead/guidelines", text_en="# Two", text_ja="")
    assert site.store.guidelines(1).texts == {"en": "# One\n\ntext", "ja": "# 一"}
    assert site.store.guidelines().version == 2
    assert "<h3>Two</h3>" in ann.get("/guidelines").text, "where the text is not there in a language, another is"
    assert site.store.readers_by_version() == {1: 1}
    page = lead.get("/lead/guidelines").text
    assert "# Two" in page
    assert page.count("<tr>") == 3
    assert [a.action for a in done(site)] == ["published guidelines"] * 2


def test_an_owners_withdrawal_takes_out_all_that_somebody_said(site: Site, join: Any) -> None:
    add_tasks(site, 2)
    lead = join("olga", Role.OWNER)
    ann = join("ann")
    ann.judge()
    ann.judge()
    assert lead.send("/lead/people/withdraw", name="ann", reason=" ").status_code == 422
    assert len(site.store.judgements()) == 2
    assert lead.send("/lead/people/withdraw", name="ann", reason="asked by letter").status_code == 303
    assert site.store.judgements() == []
    [action] = done(site)
    assert (action.action, action.target) == ("withdrew", "ann")
    assert dict(action.details) == {"reason": "asked by letter", "entries": 2}
    assert ann.get("/api/history").json()["entries"] == []


def test_the_page_names_the_runs_that_rest_on_what_was_withdrawn_as_the_command_does(
    site: Site, join: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.create(tmp_path)
    add_tasks(site, 2)
    olga, ann = join("olga", Role.OWNER), join("ann")
    ann.judge(), ann.judge()
    learnt = workspace.start("reward", {"source": None}, 0, {"feedback": feedback_source(site.store)})
    aligned = workspace.start("align", {}, 0, {"reward": learnt})
    for one in (learnt, aligned):
        with one.recording():
            one.results["command"] = f"plaudit {one.stage} --set source='a<b>'"
    assert learnt.id not in olga.get("/lead/people").text
    sent = olga.send("/lead/people/withdraw", name="ann", reason="asked by letter")
    page = olga.get(sent.headers["location"]).text
    assert "Runs that rest on it are named below" in page
    shown = [tuple(map(html.unescape, row)) for row in STALE_ROW.findall(page)]
    command = "plaudit {} --set source='a<b>'"
    assert shown == [("reward-001", "2", command.format("reward")), ("align-001", "2", command.format("align"))]
    main(["withdraw", "--annotator", "ann", "-w", str(tmp_path)])
    said = capsys.readouterr().out
    assert all(f"{run} ({entries} entries): {command}" in said for run, entries, command in shown)
    assert shown[0][0] not in ann.get("/account").text
    (learnt.path / "run.json").write_text("{")
    damaged = olga.get("/lead/people")
    assert damaged.status_code == 200, "a damaged run keeps nobody from inviting people"
    assert "a run is damaged" in damaged.text


def test_the_dashboard_says_what_there_is_to_know(site: Site, lead: Any, join: Any) -> None:
    empty = lead.get("/lead")
    assert empty.status_code == 200
    assert "Nobody has compared any answers yet" in empty.text
    tasks = add_tasks(site, 6, overlap=2)
    join("ann"), join("ben")
    for number, task in enumerate(tasks):
        for name in ("ann", "ben"):
            site.store.assign(task.id, name, [0, 1])
            first, second = task.response_ids if number else task.response_ids[:: 1 if name == "ann" else -1]
            ranking = Ranking(((first,), (second,)))
            site.store.submit(Judgement(str(uuid.uuid4()), task.id, name, ranking, task.response_ids, seconds=8.0))
    site.figures.forget()
    full = lead.get("/lead")
    assert full.status_code == 200
    assert "Krippendorff" in full.text
    assert "ann" in full.text
    assert "<svg" in full.text


def test_the_figures_are_not_computed_for_every_reader(site: Site, lead: Any, monkeypatch: pytest.MonkeyPatch) -> None:

    add_tasks(site, 1)
    computed = []
    honest = report.quality_report

    def slow(store: Any, question: str | None) -> Any:
        computed.append(1)
        import time

        time.sleep(0.2)
        return honest(store, question)

    monkeypatch.setattr(report, "quality_report", slow)
    for _ in range(4):
        assert lead.get("/lead").status_code == 200
    assert len(computed) == 1


def test_an_invitation_is_taken_back(site: Site, lead: Any) -> None:
    lead.send("/lead/people/invite", role="annotator")
    [invitation] = site.accounts.invitations()
    assert invitation.id in lead.get("/lead/people").text
    assert lead.send("/lead/people/uninvite", id=invitation.id).status_code == 303
    assert site.accounts.invitations() == []
    assert [a.action for a in done(site)] == ["took an invitation back", "invited"]


def test_what_is_not_done_is_not_noted(site: Site, lead: Any, join: Any) -> None:
    join("olga", Role.OWNER)
    assert lead.send("/lead/people/disable", name="olga").status_code == 403
    assert lead.send("/lead/people/role", name="olga", role="annotator").status_code == 403
    assert done(site) == []


def test_the_dashboard_has_figures_a_question(site: Site, lead: Any, join: Any) -> None:
    tasks = add_tasks(site, 4)
    join("ann")
    other = [replace(task, question="Which is <b>safer</b>?") for task in tasks[:3]]
    site.store.add_tasks(other)
    for task in (*tasks, *other):
        ranking = Ranking(tuple((r,) for r in task.response_ids))
        site.store.submit(Judgement(str(uuid.uuid4()), task.id, "ann", ranking, task.response_ids))
    site.figures.forget()
    page = lead.get("/lead").text
    assert "never added up" in page
    assert "/lead?question=Which%20is%20%3Cb%3Esafer%3C/b%3E%3F" in page
    assert [site.figures.report(q).report["judgements"] for q in (None, other[0].question)] == [4, 3]
    assert "&lt;b&gt;safer" in lead.get("/lead", params={"question": other[0].question}).text
    site.store.change_settings(ProjectSettings(question="Something new?"), "lead")
    site.figures.forget()
    assert "Nobody has answered “Something new?” yet." in lead.get("/lead").text
