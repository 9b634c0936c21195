"""The translator's middle: IR, decode tables, passes, blocks, code cache and run loop.

Nothing here knows a guest ISA or a host compiler: frontends emit this IR, backends lower it.
"""
