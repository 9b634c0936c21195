"""What single vector instructions do, where no operation on lanes says it as exactly or as shortly.

    %2 = simd.v128 pshufb, %0, %1
    %3 = simdf.v128 cmppd, %0, %1, 2

A row is an instruction of SSE, AVX or one of their relatives by its name there: types, and the
reference meaning on bit patterns (Intel SDM vol. 2).  Rows that do the same to each half of an AVX
register have a twin named `<name>_256`.
"""

from tcg.simd import floating, integer
from tcg.simd.table import SIMD, Simd

__all__ = ["SIMD", "Simd", "floating", "integer"]
