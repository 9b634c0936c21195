"""The rules as Python functions, made once and kept in the user's cache beside decode tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from hashlib import blake2b
from importlib import resources
from types import CodeType
from typing import Any

from tcg.decode.cache import cache_directory, read, write
from tcg.ir import Value
from tcg.ops import CONST, OPS, Op
from tcg.types import I1

Matcher = Callable[[Value, Callable[[Value], None]], "Value | None"]
"""What `generate` makes for one op: takes the operation and what appends new operands."""

SOURCES = ("rules.lark", "parse.py", "generate.py")


def load(environ: Mapping[str, str] = os.environ) -> dict[Op, Matcher]:
    """The matchers by op, from the cache if they are there.  Raises RuleError."""
    names: dict[str, Any] = {"Value": Value, "CONST": CONST, "I1": I1, "min": min}
    for op in OPS.values():
        names[f"op_{op.name}"] = op
        names[f"mean_{op.name}"] = op.meaning
    exec(_code(environ), names)
    return {op: names[f"match_{op.name}"] for op in OPS.values() if f"match_{op.name}" in names}


def _code(environ: Mapping[str, str]) -> CodeType:
    directory = cache_directory(environ)
    kept = f"{directory}/rules-{_key()}" if directory else None
    code = read(kept) if kept else None
    if code is None:
        code = compile(_source(), "<rewrite rules>", "exec")
        if kept:
            write(kept, code)
    return code


def _source() -> str:
    from tcg.rules.generate import generate
    from tcg.rules.parse import parse_rules

    return generate(parse_rules())


def _key() -> str:
    """All that has a say in the generated code."""
    digest = blake2b(sys.version.encode(), digest_size=16)
    package = resources.files(__package__)
    rules = sorted(f.name for f in package.iterdir() if f.name.endswith(".rules"))
    for name in (*SOURCES, *rules):
        content = package.joinpath(name).read_bytes()
        digest.update(b"%d\n" % len(content) + content)
    digest.update(" ".join(OPS).encode())
    return digest.hexdigest()
