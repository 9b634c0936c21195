"""Decision trees of forms (tcg.forms) laid out for native code.

    roots      8 bytes for each row: the address of its node, or 0
    question   QUESTION, count, the program's words, then count times: answer, node or 0
    form       FORM, facts, handler, record's size, where its notes are, operands' count,
               the offset of what follows the operands' programs,
               then for each operand: offset | size << 32, the program's words
               and, with a link, the program of its target

All words have 64 bits.  A program's first word is preceded by how many words it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import pack

from tcg.forms import Form, Forms, Question
from tcg.native.expressions import NotNative, program
from tcg.state import Notes

QUESTION, FORM = 1, 2

ENDS, FALLS, CALLS, NOTES, LINK = (1 << n for n in range(5))
"""Facts of a form."""


class NativeForms:
    """The forms of one mode in host memory; grows as Python makes new ones.

    `allocate` gives host memory, `write` fills it.
    """

    def __init__(
        self,
        forms: Forms,
        rows: int,
        allocate: Callable[[int], int],
        write: Callable[[int, bytes], None],
    ) -> None:
        self._forms = forms
        self._allocate = allocate
        self._write = write
        self.roots = allocate(8 * rows)
        self._nodes: dict[int, tuple[Form, int]] = {}
        self.by_node: dict[int, Form] = {}
        """Forms by the addresses of their nodes."""

    def update(self, rows: Sequence[int]) -> None:
        """Lay out the trees of rows as they are now."""
        for row in set(rows):
            root = self._forms.roots.get(row)
            if root is not None:
                self._write(self.roots + 8 * row, pack("<Q", self._node(root)))

    def _place(self, words: Sequence[int]) -> int:
        address = self._allocate(8 * len(words))
        self._write(address, pack(f"<{len(words)}Q", *words))
        return address

    def _node(self, node: Question | Form) -> int:
        try:
            return self._form(node) if isinstance(node, Form) else self._question(node)
        except NotNative:
            return 0

    def _question(self, node: Question) -> int:
        names = self._forms.frontend.field_names(0)
        words = _counted(program(node.text, names, node.functions))
        pairs = [
            part
            for answer, child in node.children.items()
            for part in (answer & (1 << 64) - 1, self._node(child))
        ]
        return self._place([QUESTION, len(node.children), *words, *pairs])

    def _form(self, form: Form) -> int:
        known = self._nodes.get(id(form))
        if known is not None:
            return known[1]
        if not form.address:
            return 0
        operands: list[int] = []
        for one in form.operands:
            words = program(one.expression, form.names, form.functions)
            operands += [one.offset | one.size << 32, *_counted(words)]
        link = _counted(program(form.link, form.names, form.functions)) if form.link else []
        facts = (
            ENDS * form.ends | FALLS * form.falls | CALLS * form.calls
            | NOTES * form.notes_targets | LINK * bool(form.link)
        )  # fmt: skip
        address = self._place([
            FORM, facts, form.address, form.size, form.size - Notes.SIZE, len(form.operands),
            len(operands), *operands, *link,
        ])  # fmt: skip
        self._nodes[id(form)] = form, address
        self.by_node[address] = form
        return address


def _counted(words: Sequence[int]) -> list[int]:
    return [len(words), *words]
