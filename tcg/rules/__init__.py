"""Rewrite rules: named lines in the .rules files of this package, one rewrite each.

    add_const:    add (add x #a) #b   => add x #(a + b)
    shl_shl:      shl (shl x #a) #b   => shl x #(a + b)     if a + b < bits

Left: the operation that is rewritten.  A letter is any value, twice the same letter the same
value; `#a` is a constant, a number that constant, with -1 for all ones.  Where an op commutes
the pattern matches both orders, but constants always stand on the right.  Right: an existing
value, a constant `#(...)` computed in Python, or an operation that takes the place of the old.

In `#(...)` and after `if`, constants are unsigned numbers; `bits` and `mask` are the width of the
rewritten operation's first operand and that width's ones, `to` the width of its result, `width(x)`
the width of a value; `same(x)`: x has the type of the result; `integer`: the result is no float.

`parse` reads rules, `generate` makes Python functions of them, `load` gives those from the cache.
"""
