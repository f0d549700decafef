"""Read a Python pickle without running it: what it would build is described, never built.

A pickle is a program. Python's own unpickler imports what the program names and calls it. Even one that allows a few
names runs their code on whatever arguments the pickle's author chose. Here the standard library's `pickle._Unpickler`
follows the program, with these restrictions:

- A name becomes a `Name`, and an object that would be built a `Described`. Neither can be called, and neither has
  methods. All other values are plain: numbers, text, bytes, tuples, lists, and dicts by text.
- Only the instructions of protocols 2 to 5 that a table of numbers needs are followed. All others (persistent ids,
  extension codes, sets, out-of-band buffers, …) are refused by name.
- Instructions that call, set attributes, hash or reserve memory are replaced.
- Their count is limited, and bytes are views of the pickle. So memory is in proportion to the file's size.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath

# A table of numbers takes a few hundred instructions, whatever its length.
MOST_INSTRUCTIONS = 10_000

# Shorter parts of the pickle are copied: the unpickler wants bytes for its opcodes.
_SHORTEST_VIEW = 64

_LONGEST_NAME = 200

# What the library's handlers raise over a malformed program.
_MALFORMED = (pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError, struct.error)


@dataclass(frozen=True)
class Name:
    """Something that the pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Described:
    """An object that the pickle would build: by what callable or class, of which arguments, and from which state."""

    name: Name
    arguments: tuple[Any, ...]
    state: Any = None


class _Refused(Exception):
    """What was found in a pickle, and what was expected."""

    def __init__(self, found: str, expected: str = "a pickle") -> None:
        super().__init__(found)
        self.found, self.expected = found, expected


def describe(path: AnyPath, content: bytes | bytearray, names: Collection[tuple[str, str]]) -> Any:
    """Return what a pickle would build.

    Args:
        path: The file, for errors.
        content: The pickle. Long bytes in it are returned as views of it, without a copy.
        names: (module, name) of all that it may refer to.

    Raises:
        FormatError: It refers to something else, has an instruction that is not followed, or is not a pickle.
    """
    program = _Program(content)
    unpickler = _InertUnpickler(program, names)
    try:
        value = unpickler.load()
        count = 1 + len(unpickler.stack) + len(unpickler.metastack)
        if count > 1:
            raise _Refused(f"{count} values at the end", "one")
        return value
    except _Refused as error:
        found, expected = error.found, error.expected
    except _MALFORMED as error:
        found, expected = f"an instruction that cannot be followed ({str(error)[:80]})", "a pickle"
    raise FormatError(
        path,
        place=f"byte {program.start} of the pickle",
        found=found,
        expected=expected,
        fix="Pickles are read without running them; only pandas tables of numbers are understood.",
    )


class _Program:
    """A pickle as the unpickler reads it: as a file, and as the table that maps an opcode to its handler."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content = memoryview(content)
        self.at = self.start = 0
        self.followed = 0

    def read(self, size: int) -> Any:
        """Return the next bytes; as a view if they are many."""
        if size > len(self.content) - self.at:
            raise _Refused("the pickle ends in the middle", "an instruction STOP at its end")
        part = self.content[self.at : self.at + size]
        self.at += size
        return part if size >= _SHORTEST_VIEW else bytes(part)

    def readline(self) -> bytes:
        """Return the next line: part of a name."""
        line, end, _ = bytes(self.content[self.at : self.at + _LONGEST_NAME]).partition(b"\n")
        if not end:
            raise _Refused("a name without an end")
        self.at += len(line) + 1
        return line + end

    def __getitem__(self, opcode: int) -> Callable[[Any], None]:
        """Return the handler of the instruction that was just read."""
        self.start = self.at - 1
        self.followed += 1
        if self.followed > MOST_INSTRUCTIONS:
            raise _Refused(f"more than {MOST_INSTRUCTIONS} instructions")
        handler = HANDLERS.get(opcode)
        if handler is not None:
            return handler
        name = next((name for name, code in _OPCODES.items() if code == opcode), None)
        if name is None:
            raise _Refused(f"{bytes((opcode,))!r}, which is not an instruction of a pickle")
        raise _Refused(f"the instruction {name}, which is refused", "a table of numbers, which needs none")


class _InertUnpickler(pickle._Unpickler):
    """The standard library's unpickler, with inert handlers in place of those that do more than collect values."""

    stack: list[Any]
    metastack: list[list[Any]]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, program: _Program, names: Collection[tuple[str, str]]) -> None:
        super().__init__(program)
        self.dispatch = program  # type: ignore[assignment,misc]
        self.program, self.names = program, names

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.names:
            shown = ascii(f"{module}.{name}"[:100])[1:-1]
            raise _Refused(f"refused to load {shown}", "nothing but a pandas DataFrame of NumPy arrays")
        return Name(module, name)

    def load_frame(self) -> None:
        self.program.read(8)  # how far a reader of a stream may read ahead

    def load_bytes8(self) -> None:
        (size,) = struct.unpack("<Q", self.program.read(8))
        self.stack.append(self.program.read(size))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def load_setitems(self) -> None:
        self.set_items(self.pop_mark())

    def set_items(self, items: list[Any]) -> None:
        """Add keys and values to the dict on top of the stack. Hashing a key other than text may take forever."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise _Refused("an instruction that adds to a dict where there is none")
        if len(items) % 2:
            raise _Refused("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise _Refused(f"a key that is {kind_of(key)}", "text")
            target[key] = value

    def load_object(self) -> None:
        """Describe the object that the name and the arguments on top of the stack would make."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise _Refused(f"a call of {kind_of(name)} with {kind_of(arguments)}", "a name, and a tuple of arguments")
        self.stack.append(Described(name, arguments))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Described):
            raise _Refused("an instruction that adds to an object where there is none")
        target.state = state


_OPCODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}

# The library's handlers that only collect plain values, and hand names to `find_class`.
_FROM_LIBRARY = (
    "PROTO", "MARK", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "EMPTY_TUPLE", "TUPLE1", "TUPLE2",
    "TUPLE3", "TUPLE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL",
)  # fmt: skip
_INERT = {
    "FRAME": _InertUnpickler.load_frame,
    "BINBYTES8": _InertUnpickler.load_bytes8,
    "BYTEARRAY8": _InertUnpickler.load_bytes8,
    "SETITEM": _InertUnpickler.load_setitem,
    "SETITEMS": _InertUnpickler.load_setitems,
    "REDUCE": _InertUnpickler.load_object,
    "NEWOBJ": _InertUnpickler.load_object,
    "BUILD": _InertUnpickler.load_build,
}

# By opcode: the only handlers that are ever called.
HANDLERS: dict[int, Callable[[Any], None]] = {
    **{_OPCODES[name]: pickle._Unpickler.dispatch[_OPCODES[name]] for name in _FROM_LIBRARY},
    **{_OPCODES[name]: handler for name, handler in _INERT.items()},
}


def kind_of(value: Any) -> str:
    """Return what a value is, without its content, which may be endless."""
    if isinstance(value, Described | Name):
        return str(value.name if isinstance(value, Described) else value)
    return "nothing" if value is None else f"a {type(value).__name__}"
