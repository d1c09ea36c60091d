"""The pages on which leads say what is asked: guidelines and settings; and the log of what leads did.

Their contexts are documented in `lead_pages.py`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response
from pydantic import AfterValidator, StringConstraints

from plaudit.errors import PlauditError
from plaudit.feedback.labelling.settings import ProjectSettings
from plaudit.files import to_json
from plaudit.types import content_id
from plaudit.web.lead_pages import ACTIONS_SHOWN, NOTICES
from plaudit.web.pages import Field, Filled, when, without_nul
from plaudit.web.texts import sentence
from plaudit.web.visitors import Leader, Visitor

router = APIRouter(prefix="/lead", default_response_class=Response)
Document = Annotated[str, StringConstraints(max_length=300_000), AfterValidator(without_nul)]


class NewGuidelines(Filled):
    seen: Field = ""  # the newest version when the form was made; nothing: whatever it is
    text_en: Document = ""
    text_ja: Document = ""


class NewSettings(Filled):
    """As texts; a checkbox that is not ticked is not sent."""

    seen: Field = ""  # what held when the form was made, as `_seen` has it; nothing: whatever it is
    name: Field = ""
    question: Field = ""
    attributes: Field = ""
    flags: Field = ""
    ask_strength: Field = ""
    ask_better_answer: Field = ""
    lease_minutes: Field = ""
    qualification_pass: Field = ""
    hourly_cost: Field = ""
    currency: Field = ""


@router.get("/guidelines")
def guidelines(visitor: Leader, notice: Field = "") -> Response:
    newest = visitor.site.store.guidelines()
    texts = {} if newest is None else dict(newest.texts)
    return _guidelines_page(visitor, texts, notice=notice if notice in NOTICES else None)


@router.post("/guidelines")
def publish(visitor: Leader, filled: Annotated[NewGuidelines, Form()]) -> Response:
    store = visitor.site.store
    typed = {"en": filled.text_en, "ja": filled.text_ja}
    texts = {language: text.replace("\r\n", "\n").strip() for language, text in typed.items() if text.strip()}
    if not texts:
        problem = sentence("guidelines-empty", visitor.language)
        return _guidelines_page(visitor, typed, 422, problem=problem)
    with visitor.turn():
        before = store.guidelines()
        newest = 0 if before is None else before.version
        if filled.seen not in ("", str(newest)) and (before is None or dict(before.texts) != texts):
            problem = sentence("guidelines-changed", visitor.language, version=newest)
            return _guidelines_page(visitor, typed, 409, problem=problem)
        version = store.publish_guidelines(texts, visitor.name)
        if before is not None and before.version == version:
            return visitor.sent_to("/lead/guidelines?notice=notice-unchanged")
        store.act(visitor.name, "published guidelines", str(version), {"languages": sorted(texts)})
    return visitor.sent_to("/lead/guidelines?notice=notice-published")


def _guidelines_page(visitor: Visitor, texts: dict[str, str], status: int = 200, **context: Any) -> Response:
    store = visitor.site.store
    readers = store.readers_by_version()
    versions = [
        {
            "version": it.version,
            "author": it.author,
            "published": when(it.created_at.isoformat()),
            "readers": readers.get(it.version, 0),
        }
        for it in store.published()
    ]
    return visitor.page("lead_guidelines.html", status, versions=versions, texts=texts, **context)


@router.get("/project")
def project(visitor: Leader, notice: Field = "") -> Response:
    settings = visitor.site.store.settings()
    return _project_page(visitor, _as_texts(settings), notice=notice if notice in NOTICES else None)


@router.post("/project")
def change_project(visitor: Leader, filled: Annotated[NewSettings, Form()]) -> Response:
    store = visitor.site.store
    try:
        settings = _settings_from(filled)
    except (ValueError, PlauditError) as error:
        problem = sentence("settings-wrong", visitor.language, what=str(error))
        return _project_page(visitor, filled.model_dump(), 422, problem=problem)
    with visitor.turn():
        now = store.settings()
        if filled.seen and filled.seen != _seen(now):
            problem = sentence("settings-changed", visitor.language, what=_differences(filled, now))
            return _project_page(visitor, filled.model_dump(), 409, problem=problem)
        before = asdict(now)
        changed = {key: value for key, value in asdict(settings).items() if value != before[key]}
        store.change_settings(settings, visitor.name)
        store.act(visitor.name, "changed settings", "project", changed)
    visitor.site.figures.forget()  # what an hour costs is among them
    return visitor.sent_to("/lead/project?notice=notice-saved")


def _project_page(visitor: Visitor, form: dict[str, Any], status: int = 200, **context: Any) -> Response:
    return visitor.page("project.html", status, form=form, seen=_seen(visitor.site.store.settings()), **context)


def _seen(settings: ProjectSettings) -> str:
    """What names the settings, so that a form that was made from others is known."""
    return content_id(to_json(settings))


def _differences(filled: NewSettings, now: ProjectSettings) -> str:
    """What holds now and is not what was typed: somebody else's change, or one's own."""
    typed, holds = filled.model_dump(), _as_texts(now)
    differ = [key for key in holds if _typed(typed[key]) != _typed(holds[key])]
    return "; ".join(f"{key.replace('_', ' ')}: {_in_words(getattr(now, key))}" for key in differ)


def _typed(value: Any) -> Any:
    """What a field holds, blanks aside: whether a box is ticked, a number, or words."""
    text = "1" if value is True else str(value or "")
    try:
        return float(text)
    except ValueError:
        return text.split()


def _settings_from(filled: NewSettings) -> ProjectSettings:
    """ValueError where a number is none, or a value does not fit."""
    return ProjectSettings(
        name=filled.name.strip(),
        question=filled.question.strip(),
        attributes=_lines(filled.attributes),
        flags=_lines(filled.flags),
        ask_strength=bool(filled.ask_strength),
        ask_better_answer=bool(filled.ask_better_answer),
        lease_minutes=_number("lease_minutes", filled.lease_minutes),
        qualification_pass=_number("qualification_pass", filled.qualification_pass),
        hourly_cost=_number("hourly_cost", filled.hourly_cost) if filled.hourly_cost.strip() else None,
        currency=filled.currency.strip(),
    )


def _number(name: str, typed: str) -> float:
    try:
        return float(typed)
    except ValueError:
        raise ValueError(f"{name} must be a number, not “{typed}”") from None


def _lines(typed: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in typed.splitlines() if line.strip())


def _as_texts(settings: ProjectSettings) -> dict[str, Any]:
    shown = {key: "" if value is None else str(value) for key, value in asdict(settings).items()}
    shown |= {"attributes": "\n".join(settings.attributes), "flags": "\n".join(settings.flags)}
    return shown | {"ask_strength": settings.ask_strength, "ask_better_answer": settings.ask_better_answer}


def _in_words(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_words, value)) or "none"
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value) or "none"


@router.get("/log")
def log(visitor: Leader, before: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None) -> Response:
    found = visitor.site.store.actions(ACTIONS_SHOWN, before)
    actions = [
        {
            "at": when(it.created_at.isoformat()),
            "actor": it.actor,
            "action": it.action,
            "target": it.target,
            "details": "\n".join(f"{name.replace('_', ' ')}: {_in_words(value)}" for name, value in it.details.items()),
        }
        for it in found
    ]
    older = found[-1].seq if len(found) == ACTIONS_SHOWN else None
    return visitor.page("log.html", actions=actions, older=older)
