"""Pages of the documentation that are made from what is here: passes, rules, the text form."""

from __future__ import annotations

from importlib import resources
from inspect import getdoc, getmodule

from tcg import rules, text
from tcg.passes import PASSES
from tcg.rules.parse import FILES


def passes_page() -> str:
    """The text form, the passes with what they do before and after, and every rewrite rule."""
    return "\n".join((
        "# Passes and rules", "",
        "What happens to the IR between lifting and LLVM. The examples are in the IR's text form,",
        "which `-d op` (before all passes) and `-d op_opt` (behind them) print too.", "",
        "## The text form", "", *_module_text(text),
        "## Passes, in the order in which they run", "",
        *(line for run in PASSES for line in _section(run.__name__, getmodule(run))),
        "## Rewrite rules", "", *_module_text(rules),
        *(line for name in FILES for line in _rules(name)),
    ))  # fmt: skip


def _section(name: str, module: object) -> list[str]:
    return [f"### {name}", "", *_module_text(module)]


def _module_text(module: object) -> list[str]:
    """A module's docstring; what is indented there is code in Markdown as well."""
    return [*(getdoc(module) or "").splitlines(), ""]


def _rules(name: str) -> list[str]:
    content = resources.files("tcg.rules").joinpath(name).read_text().rstrip()
    return [f"### {name}", "", "```", content, "```", ""]
