"""The monitor: commands about a running machine, those that QEMU's users know.

`commands` is the table, `expressions` what `$eax + 4 * 0x10` means, `dump` and `info` the texts,
`console` the line that is typed. A command is a function of the machine and its arguments that
answers text; it is called with the machine's lock held.
"""
