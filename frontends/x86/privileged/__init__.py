"""x86's instructions as a whole machine has them: privilege, segments, interrupts, control.

The modules' functions take the place of those for programs, row by row.
"""
