r"""qemupy runs programs made for other processors, by recompiling them while they run.

This package is the public face; the work is done in `tcg`, `frontends`, `backend` and `user_mode`,
whose names are the stages an instruction passes through.

    >>> import qemupy
    >>> qemupy.run("./hello", guest="ppc", accel="jit").stdout
    b'Hello, world!\n'
"""

from qemupy.launch import GUESTS, command, run

__all__ = ["GUESTS", "__version__", "command", "run"]

__version__ = "0.1.0"
