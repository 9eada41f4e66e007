"""Every message for the user that the sources hold, read from them: what `docs/errors.md` must list.

A message is a text of several words that is given to `ConfigError`, to stderr, or to a list of problems, or that becomes the
reason of a trial's failure; also one that a helper, of any module of the project, returns to where such a text is given. What
is filled in while running is `…` in its template. A clause that is filled into a longer message is no message of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for package in ("model", "tuner", "cluster") for path in (ROOT / package).rglob("*.py"))
NOT_FOR_USERS = ("model/data/demo_reviews.py", "model/metrics.py", "model/standalone.py", "tuner/served.py")
"""Modules whose texts are data, or for the programs that call them."""
SAYS = (
    "ConfigError",
    "tell_stderr",
    "StoreAwayError",
    "KeyboardInterrupt",
    "Trouble",
    "Failure",
    "RankError",
    "CollectiveError",
    "LeavingError",
    "RankOutOfMemoryError",
    "CannotFitError",
    "_failed",
    "fail",
    "_fail",
    "prune",
    "_warn",
    "HubUnreachableError",
    "RowProblem",
)
"""Calls whose texts a user reads."""
OF_DOCTOR = "failed"
"""The doctor's call for a FAIL: its second argument is a sentence, and what follows is its mend."""
LISTS = ("problems", "sentences", "notes", "disagreements")
"""Names of lists that hold sentences for a user."""
ENDS = (*LISTS, "notes_of", "_problem", "_failures", "_shorten", "reached")
"""Ends of names of functions that return some."""
REASON = "reason"
"""The name of what is kept as a trial's reason."""
LEAST_WORDS = 3

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A module's source, and what its names stand for."""

    tree: ast.Module
    functions: dict[str, list[Function]] = field(default_factory=dict)
    """By name, methods among them."""
    texts: dict[str, list[ast.expr]] = field(default_factory=dict)
    """What is said under a name that was given to it before."""
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By name: the module of the project it comes from, and its name there; empty for the module itself."""


def parsed(source: str) -> Module:
    made = Module(ast.parse(source))
    for node in ast.walk(made.tree):
        if isinstance(node, Function):
            made.functions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            said = [text for text in _literals([node.value]) if not isinstance(text, ast.Name)]
            made.texts.setdefault(node.targets[0].id, []).extend(said)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = alias.asname or alias.name
                is_module = _path(f"{node.module}.{alias.name}") is not None
                made.imports[name] = (f"{node.module}.{alias.name}", "") if is_module else (node.module, alias.name)
    return made


@cache
def module(name: str) -> Module | None:
    """A module of the project; None for any other."""
    path = _path(name)
    return None if path is None else parsed(path.read_text(encoding="utf-8"))


def _path(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    there = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    return there[0] if there and name.split(".")[0] in ("model", "tuner", "cluster") else None


def templates(source: str) -> list[str]:
    """The templates of a module's messages, in its order, each once."""
    found = dict.fromkeys(_templates(parsed(source)))
    return [text for text in found if len(re.findall(r"[A-Za-z]{2,}", text)) >= LEAST_WORDS and not text.startswith((";", ","))]


def _templates(made: Module) -> Iterator[str]:
    speakers = sorted((node for node in ast.walk(made.tree) if hasattr(node, "lineno")), key=lambda node: node.lineno)
    for node in speakers:
        for text in _texts_of(node):
            yield from _said(text, made, frozenset())


def _said(text: ast.expr, made: Module, seen: frozenset[int]) -> Iterator[str]:
    """A literal's template; those that a name stands for; those that a helper returns."""
    if isinstance(text, ast.Name):
        for named in made.texts.get(text.id, []):
            if id(named) not in seen:
                yield from _said(named, made, seen | {id(named)})
    elif isinstance(text, ast.Call):
        for home, function in _helpers(text, made):
            if id(function) not in seen:
                for returned in _returned(function):
                    yield from _said(returned, home, seen | {id(function)})
    else:
        yield template(text)


def _helpers(call: ast.Call, made: Module) -> Iterator[tuple[Module, Function]]:
    """The functions of the project that a call may be of, each with its module."""
    name, of = _name(call.func), call.func
    if name in SAYS:  # heard there
        return
    if isinstance(of, ast.Name) and name in made.imports:
        home, name = module(made.imports[name][0]), made.imports[name][1]
    elif isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and made.imports.get(of.value.id, ("", "x"))[1] == "":
        home = module(made.imports[of.value.id][0])
    else:
        is_own = isinstance(of, ast.Name) or ast.unparse(of.value) in ("self", "cls")
        home = made if is_own else None
    if home is not None:
        yield from ((home, function) for function in home.functions.get(name, []))


def _returned(function: Function) -> Iterator[ast.expr]:
    for inner in ast.walk(function):
        if isinstance(inner, ast.Return | ast.Yield | ast.YieldFrom) and inner.value is not None:
            yield from _literals([inner.value])


def template(text: ast.expr) -> str:
    """A literal or f-string as one line; its fields are `…`."""
    if isinstance(text, ast.Constant):
        return " ".join(str(text.value).split())
    assert isinstance(text, ast.JoinedStr)
    parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in text.values]
    return " ".join("".join(parts).split())


def _texts_of(node: ast.AST) -> Iterator[ast.expr]:
    """The texts that this node says, if it is one that speaks."""
    if isinstance(node, ast.Call):
        yield from _literals(node.args[1:2] if _name(node.func) == OF_DOCTOR else node.args if _speaks(node) else [])
        yield from _literals([keyword.value for keyword in node.keywords if keyword.arg == REASON])
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and any(_name(target) in (*LISTS, REASON) for target in targets):
            yield from _literals([node.value])
    elif isinstance(node, ast.FunctionDef) and node.name.endswith(ENDS):
        yield from _returned(node)
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) == "ValueError":
        yield from _literals(node.exc.args)


def _speaks(call: ast.Call) -> bool:
    name = _name(call.func)
    to_list = isinstance(call.func, ast.Attribute) and name in ("append", "extend", "add") and _name(call.func.value) in LISTS
    keywords = [ast.unparse(keyword.value) for keyword in call.keywords]
    to_stderr = ast.unparse(call.func) == "sys.stderr.write" or "sys.stderr" in keywords
    return name in SAYS or to_list or to_stderr


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _literals(nodes: list[ast.expr]) -> Iterator[ast.expr]:
    """The outermost texts in expressions, the names and the calls that may give some.

    What is inside an f-string's field, what a condition asks, and what a separator joins by are no texts of their own.
    """
    for node in nodes:
        if isinstance(node, ast.JoinedStr | ast.Name) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node
        elif isinstance(node, ast.IfExp):
            yield from _literals([node.body, node.orelse])
        elif isinstance(node, ast.Call):
            yield node
            is_looked_up = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
            yield from _literals([node.func.value, *node.args] if is_looked_up else node.args)
        else:
            yield from _literals(_children(node))


def _children(node: ast.expr) -> list[ast.expr]:
    """Expressions in an expression; of a comprehension also what it goes over."""
    found = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    loops = [child.iter for child in ast.iter_child_nodes(node) if isinstance(child, ast.comprehension)]
    return found + [loop for loop in loops if isinstance(loop, ast.Call)]


def all_templates() -> dict[str, list[str]]:
    """The templates of every module that has any, by its path."""
    found = {path.relative_to(ROOT).as_posix(): templates(path.read_text(encoding="utf-8")) for path in SOURCES}
    return {path: texts for path, texts in found.items() if texts and path not in NOT_FOR_USERS}
