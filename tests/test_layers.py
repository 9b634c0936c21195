"""The tree is the pipeline: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# fmt: off
MAY_IMPORT = {
    "tcg":       {"tcg"},
    "frontends": {"frontends", "tcg"},
    "backend":   {"backend", "tcg"},
    "machine":   {"machine", "tcg", "frontends", "backend"},
    "user_mode": {"user_mode", "tcg", "frontends", "backend"},
    "qemupy":    {"qemupy", "tcg", "frontends", "backend", "machine", "user_mode"},
}
# fmt: on

LLVMLITE_API = Path("backend/llvm/llvmlite_api.py")

HEAVY = {"lark", "rich", "construct", "llvmlite", "capstone", "elftools", "platformdirs", "msgpack"}
"""Libraries that take longer to import than a small guest takes to run."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, *, top_level: bool = False) -> Iterator[tuple[str, int]]:
    """The first part of every imported name, with its line; perhaps only what runs on import."""
    tree = ast.parse(path.read_text())
    for node in list(outside_functions(tree)) if top_level else list(ast.walk(tree)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that is run when a module is imported; `if TYPE_CHECKING` is not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from outside_functions(child)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_nothing_lower_imports_anything_higher(package: str) -> None:
    assert modules(package), f"{package} has gone"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name in MAY_IMPORT and name not in MAY_IMPORT[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_one_module_imports_llvmlite() -> None:
    users = {
        path.relative_to(ROOT)
        for package in MAY_IMPORT
        for path in modules(package)
        if any(name == "llvmlite" for name, _ in imports(path))
    }
    assert users == {LLVMLITE_API}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_relative_imports(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong, "\n".join(wrong)


def imported_at_start(entry: str) -> set[Path]:
    """Our modules that are imported, directly or not, by importing `entry`."""
    todo, seen = [entry], set[Path]()
    while todo:
        name = todo.pop()
        for path in files_of(name):
            if path not in seen:
                seen.add(path)
                todo += our_imports(path)
    return seen


def files_of(module: str) -> list[Path]:
    """A module's file and those of the packages around it."""
    parts = module.split(".")
    found = [ROOT.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    found.append(ROOT.joinpath(*parts).with_suffix(".py"))
    return [path for path in found if path.exists()]


def our_imports(path: Path) -> Iterator[str]:
    """Full names of our own modules that a module imports when it is imported."""
    for node in outside_functions(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in MAY_IMPORT)


def test_nothing_heavy_is_imported_on_the_way_to_a_guest() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in imported_at_start("user_mode.main")
        for name, line in imports(path, top_level=True)
        if name in HEAVY
    ]
    assert not wrong, "\n".join(wrong)
