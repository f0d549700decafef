"""Reads a Python pickle without running it: what it would build is described, never built.

A pickle is a program. Python's own unpickler imports what the program names and calls it; even one that only lets a few
names through runs their code on whatever arguments the pickle's author chose. Here the instructions are followed by a
small interpreter that knows plain values (numbers, text, bytes, tuples, lists, dicts by text) and, for everything else,
notes which name would be called with which arguments. Nothing is imported, nothing is called, and the memory that it
takes is in proportion to the file's size.

The instructions are those of protocols 2 to 5, after the module `pickletools` of Python's standard library; those that
no table of numbers needs (persistent ids, extension codes, sets, out-of-band buffers, …) are refused by name.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lidarprep.errors import FormatError

# A table of numbers takes a few hundred instructions, whatever its length.
MOST_INSTRUCTIONS = 10_000

HIGHEST_PROTOCOL = 5


@dataclass(frozen=True)
class Name:
    """Something that the pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Described:
    """An object that the pickle would build.

    Args:
        name: What it would call for it, or whose instance it would make.
        arguments: With what.
        state: What it would then set the object's state from; None if nothing.
    """

    name: Name
    arguments: tuple[Any, ...]
    state: Any = None


def describe(path: Path, content: bytes | bytearray, names: Collection[tuple[str, str]]) -> Any:
    """What a pickle would build.

    Args:
        path: The file, for errors.
        content: The pickle. Bytes in it are handed out as views of it, without a copy.
        names: (module, name) of all that it may refer to.

    Raises:
        FormatError: It refers to something else, has an instruction that is not known here, or is no pickle.
    """
    return _Reading(path, content, names).run()


class _Mark:
    """Stands on the stack where a tuple, a list or the items of a dict begin."""


_MARK = _Mark()


class _Reading:
    """One pickle while it is read: where the reading is, the stack, and what was put by for later."""

    def __init__(self, path: Path, content: bytes | bytearray, names: Collection[tuple[str, str]]) -> None:
        self.path, self.content, self.names = path, memoryview(content), names
        self.at = self.start = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_INSTRUCTIONS):
            self.start = self.at
            code = bytes(self.take(1))
            if code == b".":
                break
            follow = _INSTRUCTIONS.get(code)
            if follow is None:
                self.refuse_instruction(code)
            follow(self)
        else:
            self.fail(f"more than {MOST_INSTRUCTIONS} instructions")
        if len(self.stack) != 1:
            self.fail(f"{len(self.stack)} values at the end", "one")
        return self.stack[0]

    def fail(self, found: str, expected: str = "a pickle") -> NoReturn:
        raise FormatError(
            self.path,
            place=f"byte {self.start} of the pickle",
            found=found,
            expected=expected,
            fix="Pickles are read without running them; only pandas tables of numbers are understood.",
        )

    def refuse_instruction(self, code: bytes) -> NoReturn:
        known = next((opcode for opcode in pickletools.opcodes if opcode.code.encode("latin-1") == code), None)
        if known is None:
            self.fail(f"{code!r}, which is no instruction of a pickle")
        self.fail(f"the instruction {known.name}, which is refused", "a table of numbers, which needs none")

    # What stands in the file

    def take(self, size: int) -> memoryview:
        if size > len(self.content) - self.at:
            self.fail("the pickle ends in the middle", "an instruction STOP at its end")
        part = self.content[self.at : self.at + size]
        self.at += size
        return part

    def number(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    def text(self, size: int) -> str:
        try:
            return str(self.take(size), "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            self.fail("text that is no UTF-8")

    def line(self) -> str:
        end = self.content[self.at : self.at + 200].tobytes().find(b"\n")
        if end < 0:
            self.fail("a name without an end")
        name = self.text(end)
        self.at += 1
        return name

    # What stands on the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            self.fail("an instruction that needs a value where there is none")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is _MARK:
                values = self.stack[k + 1 :]
                del self.stack[k:]
                return values
        self.fail("the end of a list that was not begun")

    def last(self, kind: type, what: str) -> Any:
        """The value on top of the stack, which the instruction adds to."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            self.fail(f"an instruction that adds to {what} where there is none")
        return self.stack[-1]

    # Instructions

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        self.last(list, "a list").extend(values)

    def set_items(self, values: list[Any]) -> None:
        items = self.last(dict, "a dict")
        if len(values) % 2:
            self.fail("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str):
                self.fail(f"a key that is {_kind(key)}", "text")
            items[key] = value

    def remember(self, place: int) -> None:
        self.memo[place] = self.last(object, "the memo")

    def recall(self, place: int) -> None:
        if place not in self.memo:
            self.fail(f"a reference to value {place}, which there is not")
        self.push(self.memo[place])

    def refer(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            self.fail("a reference to something that has no name")
        if (module, name) not in self.names:
            shown = ascii(f"{module}.{name}"[:100])[1:-1]
            self.fail(f"refused to load {shown}", "nothing but a pandas DataFrame of NumPy arrays")
        self.push(Name(module, name))

    def build(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            self.fail(f"a call of {_kind(name)} with {_kind(arguments)}", "a name, and a tuple of arguments")
        self.push(Described(name, arguments))

    def set_state(self) -> None:
        state = self.pop()
        self.last(Described, "an object").state = state


def _kind(value: Any) -> str:
    return f"an object of {value.name}" if isinstance(value, Described) else f"a {type(value).__name__}"


def _long(reading: _Reading) -> None:
    size = reading.number("<B")
    if size > 9:
        reading.fail(f"an integer of {size} bytes", "no more than 9")
    reading.push(int.from_bytes(reading.take(size), "little", signed=True))


def _check_protocol(reading: _Reading) -> None:
    protocol = reading.number("<B")
    if protocol > HIGHEST_PROTOCOL:
        reading.fail(f"protocol {protocol}", f"no more than {HIGHEST_PROTOCOL}")


def _pass_over_frame(reading: _Reading) -> None:
    reading.number("<Q")  # how far a reader of a stream may read ahead


def _refer_from_stack(reading: _Reading) -> None:
    name, module = reading.pop(), reading.pop()
    reading.refer(module, name)


def _dict_of(reading: _Reading) -> None:
    values = reading.pop_to_mark()
    reading.push({})
    reading.set_items(values)


def _set_item(reading: _Reading) -> None:
    value, key = reading.pop(), reading.pop()
    reading.set_items([key, value])


def _append(reading: _Reading) -> None:
    value = reading.pop()
    reading.extend([value])


_Follow = Callable[[_Reading], None]
_BY_NAME: dict[str, _Follow] = {
    "PROTO": _check_protocol,
    "FRAME": _pass_over_frame,
    "MARK": lambda r: r.push(_MARK),
    "NONE": lambda r: r.push(None),
    "NEWTRUE": lambda r: r.push(True),
    "NEWFALSE": lambda r: r.push(False),
    "BININT": lambda r: r.push(r.number("<i")),
    "BININT1": lambda r: r.push(r.number("<B")),
    "BININT2": lambda r: r.push(r.number("<H")),
    "LONG1": _long,
    "BINFLOAT": lambda r: r.push(struct.unpack(">d", r.take(8))[0]),
    "BINUNICODE": lambda r: r.push(r.text(r.number("<I"))),
    "SHORT_BINUNICODE": lambda r: r.push(r.text(r.number("<B"))),
    "BINUNICODE8": lambda r: r.push(r.text(r.number("<Q"))),
    "BINBYTES": lambda r: r.push(r.take(r.number("<I"))),
    "SHORT_BINBYTES": lambda r: r.push(r.take(r.number("<B"))),
    "BINBYTES8": lambda r: r.push(r.take(r.number("<Q"))),
    "BYTEARRAY8": lambda r: r.push(r.take(r.number("<Q"))),
    "EMPTY_TUPLE": lambda r: r.push(()),
    "TUPLE1": lambda r: r.tuple_of(1),
    "TUPLE2": lambda r: r.tuple_of(2),
    "TUPLE3": lambda r: r.tuple_of(3),
    "TUPLE": lambda r: r.push(tuple(r.pop_to_mark())),
    "EMPTY_LIST": lambda r: r.push([]),
    "LIST": lambda r: r.push(r.pop_to_mark()),
    "APPEND": _append,
    "APPENDS": lambda r: r.extend(r.pop_to_mark()),
    "EMPTY_DICT": lambda r: r.push({}),
    "DICT": _dict_of,
    "SETITEM": _set_item,
    "SETITEMS": lambda r: r.set_items(r.pop_to_mark()),
    "BINPUT": lambda r: r.remember(r.number("<B")),
    "LONG_BINPUT": lambda r: r.remember(r.number("<I")),
    "MEMOIZE": lambda r: r.remember(len(r.memo)),
    "BINGET": lambda r: r.recall(r.number("<B")),
    "LONG_BINGET": lambda r: r.recall(r.number("<I")),
    "GLOBAL": lambda r: r.refer(r.line(), r.line()),
    "STACK_GLOBAL": _refer_from_stack,
    "REDUCE": _Reading.build,
    "NEWOBJ": _Reading.build,
    "BUILD": _Reading.set_state,
}

_INSTRUCTIONS = {
    opcode.code.encode("latin-1"): _BY_NAME[opcode.name] for opcode in pickletools.opcodes if opcode.name in _BY_NAME
}
