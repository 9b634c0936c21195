"""The decode-table language for x86, in the notation of Intel's manual."""

from tcg.decode.errors import TableError
from tcg.decode.intel.cache import Keeper, cached
from tcg.decode.intel.decoder import FIELDS
from tcg.decode.intel.operands import Operand
from tcg.decode.intel.table import Row, Table

__all__ = ["FIELDS", "Operand", "Row", "Table", "TableError", "cached", "load_table"]


def load_table(paths: list[str]) -> Table:
    """Parse and check the table that these files are together; raises TableError and OSError."""
    keeper = Keeper(paths, None)
    keeper.facts()
    return keeper.table()
