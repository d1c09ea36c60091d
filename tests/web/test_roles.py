"""Who may call what: every route × every role, also with other people's handles. A new route must be added here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from plaudit.web import tokens
from plaudit.web.app import create_app
from plaudit.web.people import Role
from plaudit.web.site import Site
from plaudit.web.tokens import Scope
from tests.web.conftest import PASSWORD, Browser, add_tasks, browser_of, invite, signed_in

ANONYMOUS = "anonymous"
ROLES = (ANONYMOUS, *map(str, Role))
NOBODYS = "0123456789abcdef"
NOBODYS_ENTRY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Call:
    """A call that is well-formed: what it comes to depends on who makes it."""

    method: str
    route: str
    for_whom: str  # anybody, member, leader
    fields: dict[str, Any] | None = None
    path: str | None = None
    may_be: tuple[int, ...] = (200, 303)  # for those who may
    scope: str = ""  # of the tokens that it takes

    def made_by(self, browser: Browser, **about: Any) -> Any:
        path = self.path or self.route
        if self.method == "GET":
            return browser.get(path)
        fields = {**(self.fields or {}), **about}
        return browser.post(path, fields) if path.startswith("/api") else browser.send(path, **fields)


CALLS = [
    Call("GET", "/", "member"),
    Call("GET", "/signin", "anybody"),
    Call("POST", "/signin", "anybody", {"name": "nobody", "password": "wrong"}, may_be=(422,)),
    Call("GET", "/join/{token}", "anybody", path="/join/nothing", may_be=(404,)),
    Call(
        "POST",
        "/join/{token}",
        "anybody",
        {"name": "x", "password": PASSWORD, "language": "en"},
        "/join/nothing",
        (404,),
    ),
    Call("GET", "/guidelines", "member"),
    Call("POST", "/guidelines", "member", {"version": "1"}),
    Call("GET", "/work", "member"),
    Call("GET", "/history", "member"),
    Call("GET", "/account", "member"),
    Call("POST", "/account/password", "member", {"current": "wrong", "new": PASSWORD}, may_be=(422,)),
    Call("POST", "/account/language", "member", {"language": "ja"}),
    Call("POST", "/account/tokens", "member", {"name": "a script", "scope": "annotate", "days": "7"}),
    Call("POST", "/account/tokens/revoke", "member", {"id": "nothing"}, may_be=(404,)),
    Call("GET", "/api/task", "member"),
    Call(
        "POST",
        "/api/judgements",
        "member",
        {"id": NOBODYS_ENTRY, "assignment": NOBODYS, "tiers": [[0], [1]]},
        may_be=(404,),
    ),
    Call(
        "POST",
        "/api/demonstrations",
        "member",
        {"id": NOBODYS_ENTRY, "assignment": NOBODYS, "text": "x"},
        may_be=(404,),
    ),
    Call("POST", "/api/skips", "member", {"assignment": NOBODYS, "reason": "other"}, may_be=(404,)),
    Call("POST", "/api/heartbeats", "member", {"assignment": NOBODYS}, may_be=(404,)),
    Call("POST", "/api/retractions", "member", {"id": NOBODYS_ENTRY}, may_be=(404,)),
    Call("GET", "/api/history", "member"),
    Call("GET", "/api/entries/{entry_id}", "member", path=f"/api/entries/{NOBODYS_ENTRY}", may_be=(404,)),
    Call("GET", "/api/quality", "leader", may_be=(404,), scope="read"),  # nobody has compared any answers yet
    Call("GET", "/api/said", "leader", scope="read"),
    Call("GET", "/lead", "leader"),
    Call("GET", "/lead/people", "leader"),
    Call("POST", "/lead/people/invite", "leader", {"role": "annotator"}),
    Call("POST", "/lead/people/reset", "leader", {"name": "nobody"}, may_be=(404,)),
    Call("POST", "/lead/people/uninvite", "leader", {"id": "nothing"}, may_be=(404,)),
    Call("POST", "/lead/people/disable", "leader", {"name": "nobody"}, may_be=(404,)),
    Call("POST", "/lead/people/enable", "leader", {"name": "nobody"}, may_be=(404,)),
    Call("POST", "/lead/people/revoke", "leader", {"name": "nobody"}, may_be=(404,)),
    Call("POST", "/lead/people/role", "leader", {"name": "nobody", "role": "annotator"}, may_be=(404,)),
    Call("POST", "/lead/people/revoke-token", "leader", {"id": "nothing"}, may_be=(404,)),
    Call("POST", "/lead/people/withdraw", "leader", {"name": "nobody", "reason": "asked"}, may_be=(404,)),
    Call("POST", "/lead/people/keep", "leader", {"name": "nobody"}, may_be=(404,)),
    Call("GET", "/lead/guidelines", "leader"),
    Call("POST", "/lead/guidelines", "leader", {"text_en": "Be fair."}),
    Call("GET", "/lead/project", "leader"),
    Call(
        "POST", "/lead/project", "leader", {"question": "Better?", "lease_minutes": "15", "qualification_pass": "0.7"}
    ),
    Call("GET", "/lead/log", "leader"),
    Call("POST", "/account/sign-out-everywhere", "member"),
    Call("POST", "/signout", "member"),
]
CALLS = [replace(call, scope=call.scope or "annotate") if call.route.startswith("/api") else call for call in CALLS]
NAMES = [f"{call.method} {call.route}" for call in CALLS]


@pytest.fixture(scope="module")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """One site for the whole matrix, with a person of each role."""
    folder = tmp_path_factory.mktemp("matrix")
    site = Site.open(str(folder / "feedback.db"), folder)
    for role in Role:
        token = invite(site, role)
        site.accounts.join(token, f"the {role}", PASSWORD, "en")
    yield create_app(site)
    site.close()


@pytest.fixture
def caller(shared_app: FastAPI) -> Callable[[str], Browser]:
    """A browser of somebody of that role."""

    def of(role: str) -> Browser:
        if role != ANONYMOUS:
            return signed_in(shared_app, shared_app.state.site.accounts.known(f"the {role}"))
        nobody = browser_of(shared_app)
        nobody.get("/signin")
        return nobody

    return of


def routes(within: Any) -> Iterator[str]:
    """`METHOD /path` of every endpoint, and the path of everything that is none."""
    for route in within.routes:
        if isinstance(route, APIRoute):
            yield from (f"{method} {route.path}" for method in route.methods)
        elif hasattr(route, "original_router"):  # how FastAPI keeps a router that was included
            yield from routes(route.original_router)
        else:
            yield route.path


def test_every_route_is_in_the_matrix(app: FastAPI) -> None:
    assert sorted(routes(app)) == sorted([*NAMES, "/static"])
    documented = {f"{method.upper()} {path}" for path, its in app.openapi()["paths"].items() for method in its}
    assert documented == set(NAMES)


def expected(call: Call, role: str) -> tuple[int, ...]:
    if call.for_whom == "anybody" or (role != ANONYMOUS and (call.for_whom == "member" or role != "annotator")):
        return call.may_be
    if role == ANONYMOUS:
        return (401,) if call.route.startswith("/api") else (303,)
    return (403,)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_role_by_endpoint(call: Call, role: str, shared_app: FastAPI, caller: Callable[[str], Browser]) -> None:
    person, store = caller(role), shared_app.state.site.store
    before = store.last_seq()
    answer = call.made_by(person)
    assert answer.status_code in expected(call, role), answer.text
    if answer.status_code == 303 and role == ANONYMOUS and call.for_whom != "anybody":
        assert answer.headers["location"].startswith("/signin")
    if answer.status_code in (401, 403) or (role == ANONYMOUS and call.for_whom != "anybody"):
        assert store.last_seq() == before, "nothing may come of it"


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_token_by_endpoint(
    call: Call, role: Role, scope: Scope, shared_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token opens the API of its scope to who has the role, without cookie or CSRF token; to pages it is nothing."""
    monkeypatch.setattr(tokens, "MOST_A_DAY", 1_000)
    site: Site = shared_app.state.site
    holder = replace(site.accounts.known(f"the {role}"), role=Role.OWNER)  # made when the role was another
    script = browser_of(shared_app)
    token = site.tokens.make(holder, f"{scope}", scope, 1)
    script.client.headers["Authorization"] = f"Bearer {token}"
    before = site.store.last_seq()
    answer = call.made_by(script)
    if call.scope:
        assert answer.status_code in (expected(call, str(role)) if call.scope == scope else (403,)), answer.text
    elif call.for_whom == "anybody":
        assert answer.status_code in ((403,) if call.method == "POST" else call.may_be)
    else:
        assert (answer.status_code, answer.headers["location"][:7]) == (303, "/signin")
    if call.method == "POST" or not call.scope:
        assert site.store.last_seq() == before, "nothing may come of it"
    for made in site.tokens.of(holder.name):
        site.tokens.revoke(holder.name, made)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("csrf", ["", "wrong", "of somebody else"])
@pytest.mark.parametrize(
    "call", [c for c in CALLS if c.method == "POST"], ids=[n for n in NAMES if n.startswith("POST")]
)
def test_no_post_without_its_token(
    call: Call, csrf: str, role: str, shared_app: FastAPI, caller: Callable[[str], Browser]
) -> None:
    person, store = caller(role), shared_app.state.site.store
    person.csrf = caller("owner").csrf if csrf == "of somebody else" else csrf
    before = store.last_seq()
    answer = call.made_by(person)
    if role == ANONYMOUS and call.for_whom != "anybody":
        assert answer.status_code in (401, 303)
    else:
        assert answer.status_code == 403
    assert store.last_seq() == before


@pytest.mark.parametrize("where", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    "call", [c for c in CALLS if c.method == "POST"], ids=[n for n in NAMES if n.startswith("POST")]
)
def test_no_post_from_another_site(call: Call, where: str, caller: Callable[[str], Browser]) -> None:
    owner = caller("owner")
    owner.headers["Sec-Fetch-Site"] = where
    assert call.made_by(owner).status_code == 403


@pytest.fixture
def two(site: Site, join: Callable[..., Browser]) -> tuple[Browser, dict[str, str], Browser]:
    """Ann, with an entry and an open task of each kind, and Ben, who knows all of Ann's handles."""
    from plaudit.types import Prompt, Task

    add_tasks(site, 2)
    prompt = Prompt.from_text("Write!", "made")
    site.store.add_prompts([prompt])
    ann = join("ann")
    judged, written = str(uuid.uuid4()), str(uuid.uuid4())
    assert ann.judge(id=judged).status_code == 200
    opened = ann.task()["assignment"]
    site.store.add_tasks([Task(prompt.id, ())])
    ann.judge()
    writing = ann.task()["assignment"]
    body = {"id": written, "assignment": writing, "text": "Like this."}
    assert ann.post("/api/demonstrations", body).status_code == 200
    handles = {"judged": judged, "written": written, "opened": opened, "writing": writing}
    return ann, handles, join("ben")


@pytest.mark.parametrize(
    ("route", "body", "handle", "nobodys"),
    [
        ("/api/judgements", {"id": NOBODYS_ENTRY, "tiers": [[0], [1]]}, ("assignment", "opened"), NOBODYS),
        ("/api/demonstrations", {"id": NOBODYS_ENTRY, "text": "x"}, ("assignment", "writing"), NOBODYS),
        ("/api/skips", {"reason": "other"}, ("assignment", "opened"), NOBODYS),
        ("/api/heartbeats", {}, ("assignment", "opened"), NOBODYS),
        ("/api/retractions", {}, ("id", "judged"), NOBODYS_ENTRY),
        ("/api/retractions", {}, ("id", "written"), NOBODYS_ENTRY),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_somebody_elses_handle_is_like_none(
    route: str, body: dict[str, Any], handle: tuple[str, str], nobodys: str, role: Role, two: Any, site: Site, join: Any
) -> None:
    _, handles, _ = two
    other = join("other", role)
    field, name = handle
    before = site.store.last_seq()
    foreign = other.post(route, body | {field: handles[name]})
    none = other.post(route, body | {field: nobodys})
    assert (foreign.status_code, foreign.text, foreign.headers) == (404, none.text, none.headers)
    assert site.store.last_seq() == before


@pytest.mark.parametrize("name", ["judged", "written"])
def test_somebody_elses_entry_is_like_none(name: str, two: Any) -> None:
    ann, handles, ben = two
    foreign, none = ben.get(f"/api/entries/{handles[name]}"), ben.get(f"/api/entries/{NOBODYS_ENTRY}")
    assert (foreign.status_code, foreign.text, foreign.headers) == (404, none.text, none.headers)
    assert ann.get(f"/api/entries/{handles[name]}").status_code == 200


def test_superseding_somebody_elses_entry_is_like_superseding_none(two: Any, site: Site) -> None:
    add_tasks(site, 1, answers=3)
    _, handles, ben = two
    task = ben.task()
    foreign = ben.judge(task, supersedes=handles["judged"])
    none = ben.judge(task, supersedes=NOBODYS_ENTRY)
    assert (foreign.status_code, foreign.text) == (none.status_code, none.text) == (409, none.text)


def test_taking_somebody_elses_id_says_nothing_about_it(two: Any, site: Site) -> None:
    add_tasks(site, 1, answers=3)
    _, handles, ben = two
    taken = ben.judge(ben.task(), id=handles["judged"])
    assert taken.status_code == 409
    assert "ann" not in taken.text.replace("cannot", "")


@pytest.mark.parametrize("act", ["disable", "enable", "revoke", "reset", "role", "withdraw"])
@pytest.mark.parametrize(("by", "whom", "may"), [
    (Role.OWNER, Role.OWNER, True), (Role.OWNER, Role.LEAD, True), (Role.OWNER, Role.ANNOTATOR, True),
    (Role.LEAD, Role.OWNER, False), (Role.LEAD, Role.LEAD, False), (Role.LEAD, Role.ANNOTATOR, True),
])  # fmt: skip
def test_who_may_change_whom(act: str, by: Role, whom: Role, may: bool, join: Any, site: Site) -> None:
    actor, _ = join("actor", by), join("whom", whom)
    fields = {"role": {"role": "annotator"}, "withdraw": {"reason": "asked"}}.get(act, {})
    before = site.accounts.known("whom")
    answer = actor.send(f"/lead/people/{act}", name="whom", **fields)
    assert answer.status_code in ((200, 303) if may else (403,)), answer.text
    assert may or site.accounts.known("whom") == before
    assert actor.send(f"/lead/people/{act}", name="actor", **fields).status_code == 403, "nobody changes themselves"


@pytest.mark.parametrize("role", list(Role))
def test_a_lead_gives_no_more_than_an_annotators_place(role: Role, join: Any) -> None:
    answer = join("lea", Role.LEAD).send("/lead/people/invite", role=str(role))
    assert answer.status_code == (200 if role is Role.ANNOTATOR else 403)
    assert join("olga", Role.OWNER).send("/lead/people/invite", role=str(role)).status_code == 200
