"""Translating guest code natively: the decoder and what fills records, as IR that becomes code.

A system meets a million instructions before its first prompt.  Here the same tables and the same
forms that Python goes by (tcg.decode, tcg.forms) are laid out in host memory, and functions in IR
walk through them.  What they meet for the first time, an instruction of an unknown form, is left to
Python, which adds it to the tables.
"""
