"""Differences between us and the host that are right: what the manual leaves undefined."""

from __future__ import annotations

from tests.frontends.x86.trial import Trial


def explain(trial: Trial, before: bytes, ours: bytes, theirs: bytes) -> list[str]:
    """Why one instruction's outcomes differ; empty if that is not known for every bit."""
    return []
