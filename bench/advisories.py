"""How many of the pinned packages have a known hole, by a list of advisories that needs no network.

The newest such list that pip installs is `safety-db` of July 2021, free for uses that sell nothing: it would show a pin
that went far back, and knows no later hole. Where there is a network, `pip-audit -r constraints.txt` asks for today's.
A package with a hole ends this with an error that names it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from bench import Row
from plaudit.errors import PlauditError, UsageError

SEEDS = ()
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
Advisories = Mapping[str, list[dict[str, Any]]]


def main(quick: bool) -> list[Row]:
    advisories, at = load()
    pinned = pins(CONSTRAINTS.read_text(encoding="utf-8"))
    dated = f"the advisories of {at:%-d %B %Y}"
    if found := list(holes(pinned, advisories)):
        raise PlauditError(f"By {dated}, these pins have known holes: {'; '.join(found)}. Raise them.")
    known = {canonicalize_name(name) for name in advisories}
    return [
        Row(f"packages with a hole in {dated}, which know none that was found since", 0, goal="<= 0"),
        Row("packages that are pinned", len(pinned)),
        Row("of them named in those advisories, in whatever version", len(known & pinned.keys())),
    ]


def load() -> tuple[Advisories, datetime]:
    """The advisories by package, and of when they are."""
    found = importlib.util.find_spec("safety_db")
    if found is None or found.origin is None:
        raise UsageError(
            "The check against advisories needs safety-db: pip install -c constraints.txt -e '.[advisories]'."
        )
    advisories = json.loads((Path(found.origin).parent / "insecure_full.json").read_text(encoding="utf-8"))
    return advisories, datetime.fromtimestamp(advisories.pop("$meta")["timestamp"], UTC)


def pins(constraints: str) -> dict[str, str]:
    """Package -> its version."""
    lines = (line for line in constraints.splitlines() if line.strip() and not line.startswith("#"))
    asked = [Requirement(line) for line in lines]
    return {canonicalize_name(it.name): next(iter(it.specifier)).version for it in asked}


def holes(pinned: Mapping[str, str], advisories: Advisories) -> Iterator[str]:
    """A few words about each advisory that is about a pinned version."""
    for name, listed in advisories.items():
        version = pinned.get(canonicalize_name(name))
        for advisory in listed if version else ():
            if any(_holds(spec, str(version)) for spec in advisory["specs"]):
                yield f"{name} {version} ({advisory['cve'] or advisory['id']})"


def _holds(spec: str, version: str) -> bool:
    try:
        return SpecifierSet(spec).contains(version, prereleases=True)
    except InvalidSpecifier:  # a version as nobody writes it any more
        return False
