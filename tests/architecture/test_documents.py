"""Documents name only files, functions, commands, settings and Make targets that exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from config.environment import PREFIX
from config.settings import SECRET_FIELDS, Settings
from tests.architecture.test_layers import ROOT, SOURCES
from worker.cli.main import cli
from worker.domain.files import FILE_EVENTS, FILES_SEQUENCE
from worker.domain.job import SEQUENCE, TERMINAL
from worker.domain.submission import EVENT_TYPES
from worker.telemetry.logs import EventName

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "ops").glob("*/*.md")),
]
README_LINES = 180
EVENTS = ROOT / "ops" / "docs" / "events.md"
WALK = ROOT / "ops" / "docs" / "how-it-works.md"
MAX_CHANGES, MAX_RETURNS = 40, 8
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
SOURCE = re.compile(r"`((?:worker|tests|ops|config)/[\w./-]+)(?::(\w[\w.]*))?(?:\(\))?`")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"(?:^|\$ )photogpt-worker((?: [^\s)]+)+)", re.MULTILINE)


def names(pages: list[Path]) -> list[str]:
    """Return the pages' names for pytest."""
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.fixture(params=PAGES, ids=names(PAGES))
def page(request: pytest.FixtureRequest) -> Path:
    """One page after the other."""
    return Path(request.param)


def test_the_readme_is_short() -> None:
    """The README has at most 180 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Every relative link of a page leads to a file, and every anchor to a heading of it."""
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached() -> None:
    """Links lead from the README to every page; a link to a folder leads to the pages in it."""
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached:
            reached.add(page)
            targets = [
                (page.parent / target).resolve() for target, _ in LINK.findall(page.read_text("utf-8")) if target
            ]
            left += [each for each in targets if each.suffix == ".md"]
            left += [each for folder in targets if folder.is_dir() for each in folder.glob("*.md")]
    assert set(PAGES) - reached == set()


def test_files_and_functions_exist(page: Path) -> None:
    """Every file that a page names exists, and so does every function named after its file."""
    for path, function in SOURCE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path
        if function:
            assert function in defined(ROOT / path), f"{path}:{function}"


def defined(path: Path) -> set[str]:
    """Return the functions, classes and methods (`Class.method`) of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_every_log_event_is_described() -> None:
    """The page of events describes each name of the log once, and no other."""
    described = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (?:INFO|WARNING|ERROR) \|", log_events(), re.MULTILINE)
    assert sorted(described) == sorted(get_args(EventName))


def test_every_level_is_described() -> None:
    """The page of events gives each event a level at which the code logs it."""
    described = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (INFO|WARNING|ERROR) \|", log_events(), re.MULTILINE)
    logged = logged_levels()
    assert [(name, level) for name, level in described if level not in logged.get(name, {level})] == []


def logged_levels() -> dict[str, set[str]]:
    """Return the levels of each event that the code logs by its name; those of outages are not found."""
    levels: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "event"
                and isinstance(node.args[0], ast.Constant)
            ):
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                is_error = "True" in (given.get("severe"), given.get("exc_info"))
                level = "ERROR" if is_error else "WARNING" if given.get("warn", "False") != "False" else "INFO"
                levels.setdefault(str(node.args[0].value), set()).add(level)
    return levels


def log_events() -> str:
    """Return the part of the page that describes log events."""
    return EVENTS.read_text(encoding="utf-8").partition("## Log events")[2]


def test_every_event_type_is_described() -> None:
    """The page of events lists each type of stream and webhook events, with its sequence number."""
    rows = re.findall(r"^\| `(job\.\w+)` \| `(model\.\w+)` \| (\d) \|", EVENTS.read_text("utf-8"), re.MULTILINE)
    expected = [(f"job.{state}", f"model.{state}", str(number)) for state, number in SEQUENCE.items()]
    assert sorted(rows) == sorted(expected)
    assert {name for job, model, _ in rows for name in (job, model)} | {*FILE_EVENTS} == EVENT_TYPES
    of_files = re.findall(rf"^\| `(job\.\w+)` \| {FILES_SEQUENCE} \|", EVENTS.read_text("utf-8"), re.MULTILINE)
    assert sorted(of_files) == sorted(FILE_EVENTS)


def test_every_state_is_in_the_diagram() -> None:
    """The state diagram has each state, and an end for each terminal one."""
    diagram = WALK.read_text("utf-8").partition("stateDiagram-v2")[2].partition("```")[0]
    assert set(re.findall(r"(\w+) --> \[\*\]", diagram)) == {state.value for state in TERMINAL}
    assert set(re.findall(r"\b[a-z]+(?= -->)|(?<=--> )[a-z]+", diagram)) == {state.value for state in SEQUENCE}


def test_the_walk_is_short() -> None:
    """The walk from `send_task` to the webhook stays within 40 changes of file and 8 returns, as its page states."""
    page = WALK.read_text("utf-8")
    files = re.findall(r"^\d+\. `([\w/.]+)", page, re.MULTILINE)
    visits = [file for before, file in zip(["", *files], files, strict=False) if file != before]
    changes, returns = len(visits) - 1, len(visits) - len(set(visits))
    assert f"has {len(files)} stops, {changes} changes of file\nand {returns} returns" in page
    assert (changes <= MAX_CHANGES, returns <= MAX_RETURNS) == (True, True), f"{changes} changes, {returns} returns"


def test_settings_exist(page: Path) -> None:
    """Every variable that a page names is a setting, or a secret's file."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in SECRET_FIELDS}
    assert set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", page.read_text(encoding="utf-8"))) <= known


def test_make_targets_exist(page: Path) -> None:
    """Every `make` command of a page is a target of the Makefile."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= set(targets)


def test_commands_exist(page: Path) -> None:
    """Every `photogpt-worker` command of a page exists, with the options that the page gives it."""
    for command, words in commands(page.read_text(encoding="utf-8")):
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        options |= {"--help", "--version"}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= options, f"{command.name}: {given - options}"


def commands(text: str) -> Iterator[tuple[click.Command, list[str]]]:
    """Yield the commands of a text, each with the words behind it; fail for one that does not exist."""
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    for line in COMMAND.findall(code):
        words = shlex.split(line.split(" #")[0].split("; ")[0], comments=True)
        command: click.Command = cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name = words.pop(0).rstrip(".,:;")
            found = command.get_command(click.Context(command), name)
            assert found is not None, f"photogpt-worker has no command {name!r}: {line}"
            command = found
        yield command, words
