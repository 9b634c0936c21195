"""Whole machines, built from the translator and devices: so far a PC's board, not its processor."""
