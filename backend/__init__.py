"""Backends: tcg IR made into host code."""
