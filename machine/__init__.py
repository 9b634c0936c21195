"""Whole machines, built from the translator and devices; none has been built yet."""
