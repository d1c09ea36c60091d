"""The docs say what is so: every command and option is explained, every link leads somewhere, every command works."""

from __future__ import annotations

import re
import shlex
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from bench import RESULTS, table_of
from plaudit.cli.commands import COMMANDS, Command, app_for
from plaudit.feedback.labelling.task_plan import TaskPlan
from plaudit.stages.demo import Demo
from plaudit.stages.demo_settings import DemoSettings
from plaudit.web.serving import Serving
from plaudit.workspace import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *RESULTS.glob("*.md")])
CLI_PAGE = ROOT / "docs" / "cli.md"

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
OPTION = re.compile(r"`(--?[a-z][a-z-]*)")
PLAUDIT = re.compile(r"(?:^|[`$\s/])plaudit[ \t]+([a-z-][^`\n]*)")


def parameters(command: Command) -> list[Any]:
    return [p for p in typer.main.get_command(app_for(command)).commands[command.name].params if p.opts[0][0] == "-"]


@cache
def options(command: Command) -> set[str]:
    """`{"--workspace", "-w", …}`, `--help` aside."""
    return {spelling for parameter in parameters(command) for spelling in parameter.opts if spelling.startswith("-")}


def defaults(command: Command) -> dict[str, str]:
    """Option -> its default, where it has one that is a number or a word: the parameter's, or the one in its help."""
    said = {p.opts[0]: re.search(r"Default: ([^ ]+)\.$", p.help or "") for p in parameters(command)}
    own = {p.opts[0]: p.default for p in parameters(command) if isinstance(p.default, (int, float, str))}
    own = {option: str(value) for option, value in own.items() if not isinstance(value, bool)}
    return own | {option: match[1] for option, match in said.items() if match and match[1] != "the"}


def same(shown: str, default: str) -> bool:
    try:
        return float(shown) == float(default)
    except ValueError:
        return shown == default


def sections(page: str) -> dict[str, str]:
    """Command name -> what stands below `## plaudit NAME`."""
    found = re.split(r"^## plaudit (\S+)\n", page, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def shown_commands(page: str) -> list[list[str]]:
    """The words after `plaudit` of every command in the page's code; what follows a pipe or a comment is left out."""
    lines = [line for code in CODE.findall(page) for line in PLAUDIT.findall(code.replace("\\\n", " "))]
    return [shlex.split(re.split(r"\s[|>&#]|;", line)[0]) for line in lines]


def wrong(words: list[str]) -> str | None:
    """What is wrong with a shown command line, if anything."""
    if words[0] in ("--help", "--version"):
        return None
    command = next((command for command in COMMANDS if command.name == words[0]), None)
    if command is None:
        return f"there is no command {words[0]}"
    flags = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    unknown = flags - options(command) - {"--help"}
    return f"{command.name} has no {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_option_is_explained_and_no_other(command: Command) -> None:
    section = sections(CLI_PAGE.read_text(encoding="utf-8")).get(command.name)
    assert section is not None, f"docs/cli.md has no `## plaudit {command.name}`"
    explained = {
        option for row in re.findall(r"^\| (`-[^|]*)", section, re.MULTILINE) for option in OPTION.findall(row)
    }
    assert options(command) - explained - {"-w"} == set(), "not in docs/cli.md"
    assert explained - options(command) == set(), "in docs/cli.md, but not an option"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_default_that_is_shown_is_the_one_that_holds(command: Command) -> None:
    section = sections(CLI_PAGE.read_text(encoding="utf-8"))[command.name]
    shown = dict(re.findall(r"^\| `(--[a-z-]+)[^|]*\| *`?([^|`]*?)`? *\|", section, re.MULTILINE))
    wrong = {o: (shown[o], d) for o, d in defaults(command).items() if not same(shown[o], d)}
    assert wrong == {}, "in docs/cli.md, and in the program"


@pytest.mark.parametrize(
    ("name", "settings"), [("init", Settings), ("tasks", TaskPlan), ("label", Serving), ("demo", Demo)]
)
def test_a_default_that_is_written_twice_is_the_same(name: str, settings: Any) -> None:
    """What the commands of the stages show comes from the dataclass itself; here a signature has it, too."""
    command = next(command for command in COMMANDS if command.name == name)
    own = {field.name: field.default for field in fields(settings) if field.default is not MISSING}
    typed = {p.name: p.default for p in parameters(command) if p.name in own and p.default is not None}
    assert typed
    assert {key: str(value) for key, value in typed.items()} == {key: str(own[key]) for key in typed}


def test_the_demos_page_has_the_settings_that_hold() -> None:
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert re.findall(r"(\d+) iterations", page) == [str(DemoSettings.iterations)]
    command = next(command for command in COMMANDS if command.name == "demo")
    assert defaults(command)["--iterations"] == str(DemoSettings.iterations)


def test_no_section_without_a_command() -> None:
    assert sections(CLI_PAGE.read_text(encoding="utf-8")).keys() == {command.name for command in COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [link.split("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_shown_command_exists(page: Path) -> None:
    shown = shown_commands(page.read_text(encoding="utf-8"))
    assert [f"plaudit {' '.join(words)}: {wrong(words)}" for words in shown if wrong(words)] == []


@pytest.mark.parametrize("result", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_the_tables_are_those_of_the_results(result: Path) -> None:
    assert result.with_suffix(".md").read_text(encoding="utf-8") == table_of(result), "run `python -m bench --tables`"


def test_the_map_by_question_names_what_is_there() -> None:
    """CONTRIBUTING.md says where RLOO's advantage is, a ranking's pairs, the steering of KL, and so on."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = re.findall(r"`([\w/]+\.py)`((?:,? `\w+`)+)", page)
    named = [(file, name) for file, names in places for name in re.findall(r"`(\w+)`", names)]
    assert len(named) >= 10
    for file, name in named:
        text = (ROOT / "src" / "plaudit" / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:def|class) {name}\b", text, re.MULTILINE), f"{name} is not in {file}"


def test_a_wrong_page_is_found_out() -> None:
    page = "See `plaudit rnus -w DIR`.\n```\n$ plaudit runs --jsn | head  # --no\nplaudit init \\\n  --seed 1\n```\n"
    assert [wrong(words) for words in shown_commands(page)] == ["there is no command rnus", "runs has no --jsn", None]
