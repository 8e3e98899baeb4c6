"""House rules that a script can check: words, sentences, sizes, imports."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.test_layers import ROOT, SOURCES, name_of

AVOIDED = """
look looks looked looking sweep sweeps swept sweeping crew crews foreman thrift relieve stir flown flying flights landed
canary canaries distrust distrusts distrusted told tell tells wake wakes arm armed park parked befalls wish wishes
insist poison blame theirs longest fewest shortest meanwhile somebody whoever nobody
"""
"""Words of an earlier, private language. Names and prose use the field's words: poll, list poll, publish, schedule."""

MAX_AVOIDED_PER_1000 = 1.0
PROSE = sorted([*ROOT.glob("*.md"), *(ROOT / "ops").rglob("*.md")])
CODE = sorted([*SOURCES, *(ROOT / "worker").rglob("*.lua")])

MAX_MEDIAN_LINES = 6
MAX_P90_LINES = 17
MAX_BODY_LINES = 45

MIN_WORDS = 5
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, with the parts of `snake_case` and `CamelCase` names apart."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)]


@pytest.mark.parametrize("files", [CODE, PROSE], ids=["code", "documents"])
def test_the_words(files: list[Path]) -> None:
    """Of 1,000 words in code and documents at most one belongs to the avoided ones."""
    avoided, total, found = set(words(AVOIDED)), 0, []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            parts = words(line)
            total += len(parts)
            found += [f"{name_of(path)}:{number}: {part}" for part in parts if part in avoided]
    assert len(found) <= MAX_AVOIDED_PER_1000 * total / 1000, "\n".join(found)


def test_a_word_is_found_in_every_spelling() -> None:
    """Words are found inside of snake_case, CamelCase and UPPER_CASE names and in prose."""
    spellings = "last_polled_at LaneMonitor MAX_PAGES HTTPError, it polls."
    assert words(spellings) == words("last polled at lane monitor max pages http error it polls")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module, methods and nested ones included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without signature and docstring; comments and blank lines count."""
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return (function.end_lineno or 0) - first.lineno + 1
    return (function.end_lineno or 0) - (first.end_lineno or 0)


def test_functions_are_short() -> None:
    """Half of all function bodies have at most 6 lines, nine of ten at most 17, and none has more than 45."""
    lengths = {
        f"{name_of(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in SOURCES
        for function in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_BODY_LINES} == {}
    assert statistics.median(lengths.values()) <= MAX_MEDIAN_LINES
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= MAX_P90_LINES


def module_of(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield the modules of ours that a module imports, inside of functions too, but not for type checking only."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names if alias.name in known)
    if isinstance(tree, ast.ImportFrom) and tree.module:
        for alias in tree.names:
            submodule = f"{tree.module}.{alias.name}"
            yield from {submodule if submodule in known else tree.module} & known
    for child in ast.iter_child_nodes(tree):
        yield from imports(child, known)


def test_no_import_cycle() -> None:
    """No module imports itself through others, not even inside of a function."""
    modules = {module_of(path): path for path in SOURCES}
    graph = {
        name: set(imports(ast.parse(path.read_text(encoding="utf-8")), set(modules))) for name, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" imports ".join(reversed(cycle.args[1])), pytrace=False)


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Every test has a docstring of one sentence that a reader of a log understands without the test's name."""
    wrong = {}
    for function in functions(path):
        sentence = " ".join((ast.get_docstring(function) or "").split())
        one = sentence.endswith(".") and not re.search(r"[.!?] +[A-Z`]", sentence)
        if function.name.startswith("test_") and not (one and len(sentence.split()) >= MIN_WORDS):
            wrong[function.name] = sentence
    assert wrong == {}
