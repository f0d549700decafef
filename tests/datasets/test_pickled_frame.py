"""Pickled tables: what every version of pandas wrote is read, and no pickle is ever run."""

from __future__ import annotations

import base64
import copyreg
import gzip
import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.core.internals.managers import BlockManager

from lidarprep.datasets.pandaset import _inert_pickle, _pickled_frame
from lidarprep.datasets.pandaset._pickled_frame import read_frame
from lidarprep.errors import FormatError

# Written by the named versions from one frame, the one below; as base64.
OLD_PICKLES = json.loads((Path(__file__).parent / "data" / "pandas_pickles.json").read_text())
FRAME = pd.DataFrame(
    {
        "x": [1.5, -2.25, 3.0],
        "y": [0.1, 0.2, 0.3],
        "z": [-1.0, 0.0, 1.0],
        "i": [0.0, 7.0, 255.0],
        "t": [1557539924.25, 1557539924.5, 1557539924.75],
        "d": [0, 0, 1],
    },
    index=pd.Index([5, 6, 7], name="index"),
)


class AsPandas025(pickle.Pickler):
    """Pickles frames in the shape of pandas 0.14 to 1.0: PandaSet's own files. Today's pandas still reads it."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            return copyreg.__newobj__, (pd.DataFrame,), {"_data": value._mgr, "_typ": "dataframe", "_metadata": []}  # type: ignore[attr-defined]
        if isinstance(value, BlockManager):
            axes = list(value.axes)
            blocks = [{"values": block.values, "mgr_locs": block.mgr_locs.indexer} for block in value.blocks]
            items = [axes[0][block["mgr_locs"]] for block in blocks]
            held = {"0.14.1": {"axes": axes, "blocks": blocks}}
            return copyreg.__newobj__, (BlockManager,), (axes, [b["values"] for b in blocks], items, held)  # type: ignore[attr-defined]
        return NotImplemented


def as_pandas_025(frame: pd.DataFrame, protocol: int) -> bytes:
    stream = io.BytesIO()
    AsPandas025(stream, protocol).dump(frame)
    # The oracle: what is written above is what pandas takes for a frame. (It turns other byte orders into its own.)
    pd.testing.assert_frame_equal(pd.read_pickle(io.BytesIO(stream.getvalue())), frame, check_dtype=False)
    return stream.getvalue()


def read(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "00.pkl"
    path.write_bytes(content)
    return read_frame(path)


def assert_same(found: dict[str, Any], frame: pd.DataFrame) -> None:
    assert list(found) == list(frame.columns)
    for name, column in found.items():
        assert column.dtype == frame[name].dtype
        np.testing.assert_array_equal(column, frame[name].to_numpy())


@pytest.mark.parametrize("version", OLD_PICKLES)
def test_pickles_of_older_pandas_are_read(tmp_path: Path, version: str) -> None:
    assert_same(read(tmp_path, base64.b64decode(OLD_PICKLES[version])), FRAME)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_this_pandas_are_read(tmp_path: Path, protocol: int) -> None:
    assert_same(read(tmp_path, pickle.dumps(FRAME, protocol)), FRAME)
    assert_same(read(tmp_path, as_pandas_025(FRAME, protocol)), FRAME)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"d": [0, 1], "x": [1.0, 2.0], "ring": np.array([3, 4], np.uint16), "y": [5.0, 6.0]}),
        pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3)), columns=list("xyz")),
        pd.DataFrame(np.arange(12, dtype=">f4").reshape(4, 3), columns=list("xyz")),
        pd.DataFrame({"x": np.zeros(0), "y": np.zeros(0)}),
        pd.DataFrame({"x": [1.0], "long name ü": [True]}),
    ],
    ids=["dtypes mixed", "by columns", "big-endian", "no rows", "names and booleans"],
)
@pytest.mark.parametrize("old", [False, True])
def test_columns_of_any_order_and_dtype_are_read(tmp_path: Path, frame: pd.DataFrame, old: bool) -> None:
    assert_same(read(tmp_path, as_pandas_025(frame, 4) if old else pickle.dumps(frame, 5)), frame)


def test_columns_added_one_by_one_are_blocks_of_their_own(tmp_path: Path) -> None:
    frame = FRAME.copy()
    frame["extra"] = [9.0, 8.0, 7.0]
    assert_same(read(tmp_path, pickle.dumps(frame)), frame)


def test_gzip_is_known_by_its_content_and_may_have_several_members(tmp_path: Path) -> None:
    content = pickle.dumps(FRAME)
    assert_same(read(tmp_path, gzip.compress(content)), FRAME)
    assert_same(read(tmp_path, gzip.compress(content[:100]) + gzip.compress(content[100:]) + bytes(40_000)), FRAME)


def test_the_size_at_the_end_of_a_gzip_file_is_only_a_hint(tmp_path: Path) -> None:
    """Of several members the last one's stands there: here one that is far too small, or larger than all."""
    frame = pd.DataFrame(np.random.default_rng(5).normal(size=(20_000, 3)), columns=list("xyz"))
    content = pickle.dumps(frame)
    assert_same(read(tmp_path, gzip.compress(content, 1) + gzip.compress(b"")), frame)
    rest = len(content) // 2
    assert_same(
        read(tmp_path, gzip.compress(content[:10]) + gzip.compress(content[10:rest]) + gzip.compress(content[rest:])),
        frame,
    )


def test_gzip_that_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pickled_frame, "LARGEST_UNPACKED_ANYWAY", 1 << 20)
    bomb = gzip.compress(bytes(8 << 20))
    with pytest.raises(FormatError, match="unpacks to more than 100 times"):
        read(tmp_path, bomb)


def test_gzip_that_is_cut_or_spoilt_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(pickle.dumps(FRAME))
    with pytest.raises(FormatError, match="ends in the middle"):
        read(tmp_path, content[:-5])
    with pytest.raises(FormatError, match="cannot be unpacked"):
        read(tmp_path, content[:-8] + b"\0" * 8)


# What a hostile pickle would have run ------------------------------------------------------------------------------


class Hostile:
    """Runs a command when Python's own unpickler reads it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_command_in_a_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps({"a": Hostile(marker)}, protocol)
    pickle.loads(content)
    assert marker.exists()  # so it is a real one
    marker.unlink()
    with pytest.raises(FormatError, match=r"refused to load (posix|nt)\.system|instruction DICT") as caught:
        read(tmp_path, content)
    assert "byte" in str(caught.value)
    assert not marker.exists()


def test_a_command_hidden_in_a_real_frame_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    frame = pd.DataFrame({"x": [1.0], "note": pd.Series([Hostile(marker)], dtype=object)})
    with pytest.raises(FormatError, match="refused to load"):
        read(tmp_path, pickle.dumps(frame))
    assert not marker.exists()


def call(module: str, name: str, arguments: bytes = b")") -> bytes:
    """A pickle that calls a name with arguments, which are given as instructions."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + arguments + b"R."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


REFUSED = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "bytes"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("pickle", "loads"),
    # NumPy's and pandas' own that read files, run code or take what memory they are told to
    ("numpy", "load"),
    ("numpy", "zeros"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("numpy.distutils.exec_command", "exec_command"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy._core.multiarray", "scalar"),
    ("pandas", "read_pickle"),
    ("pandas", "eval"),
    ("pandas.core.computation.eval", "eval"),
    ("pandas.io.common", "get_handle"),
    # Names with dots, which protocol 4 follows from attribute to attribute
    ("pandas.io.common", "os.system"),
    ("pandas", "io.common.os.system"),
    ("pandas.core.frame", "DataFrame.eval"),
    ("pandas.core.frame", "DataFrame.__init__.__globals__"),
    ("numpy", "ndarray.tofile"),
    ("numpy", "dtype.__class__"),
    ("builtins", "slice.__class__.__base__"),
    # Names that only look like allowed ones
    ("numpy.core.multiarray ", "_reconstruct"),
    ("NumPy", "ndarray"),
    ("", ""),
]


@pytest.mark.parametrize(("module", "name"), REFUSED)
def test_a_name_that_no_frame_needs_is_refused_by_its_name(tmp_path: Path, module: str, name: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, call(module, name))
    assert f"refused to load {module}.{name};" in str(caught.value)
    with pytest.raises(FormatError, match="refused to load"):  # the older way of naming
        read(tmp_path, b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n)R.")


WATCHED = """
import sys
from pathlib import Path

sys.modules["pandas"] = sys.modules["pyarrow"] = None  # neither is needed
from lidarprep.errors import FormatError
from lidarprep.datasets.pandaset._pickled_frame import read_frame

files = [Path(name) for name in sys.argv[1:]]
read_frame(files[0])
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
read = 0
for file in files:
    try:
        read_frame(file)
        read += 1
    except FormatError:
        pass
print(read, *sorted(set(seen)))
"""


def test_reading_a_pickle_does_nothing_that_python_audits_but_open_it(tmp_path: Path) -> None:
    """Python announces imports, calls of eval and exec, commands and what its own unpickler looks up."""
    good = [base64.b64decode(content) for content in OLD_PICKLES.values()]
    bad = [call(*name) for name in REFUSED] + [pickle.dumps(Hostile(tmp_path / "ran"), 4)]
    files = []
    for k, content in enumerate(good + bad):
        files.append(str(tmp_path / f"{k:02d}.pkl"))
        Path(files[-1]).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", WATCHED, *files], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [str(len(good)), "open"], done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("PERSID", b"\x80\x04Pname\n."),
        ("BINPERSID", b"\x80\x04N\x51."),
        ("EXT1", b"\x80\x04\x82\x01."),
        ("EXT2", b"\x80\x04\x83\x01\x00."),
        ("EXT4", b"\x80\x04\x84\x01\x00\x00\x00."),
        ("INST", b"(S'true'\nios\nsystem\n."),
        ("INST", b"\x80\x04(ios\nsystem\n."),
        ("OBJ", b"\x80\x04(cnumpy\nndarray\no."),
        ("NEWOBJ_EX", b"\x80\x04cnumpy\nndarray\n)}\x92."),
        ("NEXT_BUFFER", b"\x80\x05\x97."),
        ("READONLY_BUFFER", b"\x80\x05N\x98."),
        ("EMPTY_SET", b"\x80\x04\x8f."),
        ("FROZENSET", b"\x80\x04(\x91."),
        ("DUP", b"\x80\x04N2."),
        ("GLOBAL", b"\x80\x04cos\nsystem\n."),
    ],
)
def test_an_instruction_that_no_frame_needs_is_refused_by_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    copyreg.add_extension("os", "system", 1)
    try:
        with pytest.raises(FormatError, match=f"the instruction ({name}|STRING), which is refused|refused to load os"):
            read(tmp_path, content)
    finally:
        copyreg.remove_extension("os", "system", 1)


def array_of(shape: bytes, content: bytes) -> bytes:
    """numpy's _reconstruct with a state of that shape."""
    dtype = text("numpy") + text("dtype") + b"\x93" + text("f8") + b"\x89\x88\x87R"
    state = b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"
    made = text("numpy.core.multiarray") + text("_reconstruct") + b"\x93"
    return made + text("numpy") + text("ndarray") + b"\x93" + b"K\x00\x85C\x01b\x87R" + state


HUGE = b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00"  # 10**12


@pytest.mark.parametrize("shape", [HUGE + b"\x85", b"K\x01" + HUGE + b"\x86", HUGE + HUGE + b"\x86"])
def test_an_array_larger_than_the_file_is_refused_before_memory_is_taken(tmp_path: Path, shape: bytes) -> None:
    block = text("pandas._libs.internals") + text("_unpickle_block") + b"\x93"
    block += (
        array_of(shape, b"C\x08" + bytes(8)) + text("builtins") + text("slice") + b"\x93K\x00K\x01K\x01\x87RK\x02\x87R"
    )
    index = text("pandas.core.indexes.base") + text("_new_Index") + b"\x93" + text("pandas") + text("Index") + b"\x93"
    index += b"}" + text("data") + array_of(b"K\x01\x85", b"]" + text("x") + b"a") + b"s\x86R"
    manager = text("pandas.core.internals.managers") + text("BlockManager") + b"\x93" + block + b"\x85]" + index
    manager += b"aNa\x86R"
    frame = b"\x80\x04" + text("pandas") + text("DataFrame") + b"\x93)\x81}" + text("_mgr") + manager + b"sb."
    with pytest.raises(FormatError, match=r"an array of shape|an array whose shape"):
        read(tmp_path, frame)


def test_text_and_bytes_longer_than_the_file_are_refused(tmp_path: Path) -> None:
    for instruction in (b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x96" + b"\xff" * 8):
        with pytest.raises(FormatError, match="ends in the middle"):
            read(tmp_path, b"\x80\x05" + instruction)


def test_values_that_contain_themselves_or_grow_without_end_are_no_trap(tmp_path: Path) -> None:
    itself = b"\x80\x04]\x94h\x00a."
    doubling = b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (k, k) for k in range(100)) + b"."
    as_key = b"\x80\x04}K\x01\x85K\x02s."
    nested = b"\x80\x04N" + b"\x85" * 9_000 + b"."
    for content in (itself, doubling, as_key, nested):
        with pytest.raises(FormatError) as caught:
            read(tmp_path, content)
        assert len(str(caught.value)) < 500
    with pytest.raises(FormatError, match="more than 10000 instructions"):
        read(tmp_path, b"\x80\x04" + b"N" * 1_000_000)


def test_a_state_for_something_that_is_no_object_is_refused(tmp_path: Path) -> None:
    for target in (b"}", b"]", b"N", b"cnumpy\nndarray\n"):
        with pytest.raises(FormatError, match="adds to an object where there is none"):
            read(tmp_path, b"\x80\x04" + target + b"}b.")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"x": [1.0], "label": pd.Series(["car"], dtype=object)}), "dtype 'O8'"),
        (pd.DataFrame({"x": pd.to_datetime(["2020-01-01"])}), "refused to load pandas"),
        (pd.DataFrame([[1.0, 2.0]]), "an Index of the columns' names|no text|columns' names"),
        (pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]), "two columns of one name"),
        (pd.Series([1.0, 2.0]), "refused to load pandas"),
        ([1, 2, 3], "a list; expected a DataFrame"),
        (None, "nothing; expected a DataFrame"),
        ({"x": np.zeros(3)}, "a dict; expected a DataFrame"),
    ],
)
def test_what_is_no_table_of_numbers_gets_one_clear_error(tmp_path: Path, frame: Any, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read(tmp_path, pickle.dumps(frame))


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"no pickle", b"\x80\x09N.", b"N", b".", b"\x80\x04NN.", b"\x80\x04e."]
)
def test_what_is_no_pickle_gets_one_clear_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match="byte"):
        read(tmp_path, content)


SEEDS = [base64.b64decode(content) for content in OLD_PICKLES.values()] + [as_pandas_025(FRAME, 4), pickle.dumps(FRAME)]


def test_a_pickle_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = SEEDS[0]
    path = tmp_path / "00.pkl"
    for size in range(0, len(content), 3):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError):
            read_frame(path)


@given(seed=st.sampled_from(SEEDS), at=st.data())
def test_a_spoilt_pickle_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, at: st.DataObject
) -> None:
    content = bytearray(seed)
    for _ in range(at.draw(st.integers(1, 4))):
        content[at.draw(st.integers(0, len(content) - 1))] = at.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "spoilt.pkl"
    path.write_bytes(content)
    with suppress(FormatError):
        columns = read_frame(path)
        assert sum(column.nbytes for column in columns.values()) <= len(content)


# The handlers of `pickle._Unpickler` that were read and found to collect plain values, and nothing else.
COLLECTING = {
    "load_proto", "load_mark", "load_stop", "load_none", "load_true", "load_false", "load_binint", "load_binint1",
    "load_binint2", "load_long1", "load_binfloat", "load_binunicode", "load_short_binunicode", "load_binunicode8",
    "load_binbytes", "load_short_binbytes", "load_empty_tuple", "load_tuple1", "load_tuple2", "load_tuple3",
    "load_tuple", "load_empty_list", "load_append", "load_appends", "load_empty_dictionary", "load_binput",
    "load_long_binput", "load_memoize", "load_binget", "load_long_binget", "load_global", "load_stack_global",
}  # fmt: skip


def test_of_the_library_only_handlers_that_collect_plain_values_are_called() -> None:
    names = {handler.__name__: handler.__module__ for handler in _inert_pickle.HANDLERS.values()}
    assert {name for name, module in names.items() if module == "pickle"} == COLLECTING
    for code in {opcode.code for opcode in pickletools.opcodes} - set(map(chr, _inert_pickle.HANDLERS)):
        with pytest.raises(FormatError, match="which is refused"):
            _inert_pickle.describe(Path("00.pkl"), b"\x80\x04(NN" + code.encode("latin-1") + b"..", ())


NAMES = (("numpy", "ndarray"), ("builtins", "slice"))
INSTRUCTIONS = [
    *(opcode.code.encode("latin-1") for opcode in pickletools.opcodes),
    *(b"K\x01", b"h\x00", b"h\x01", b"X\x01\x00\x00\x00k", b"]\x94", b"}\x94", b"(", b"\x85", b"\x86"),
    *(b"c%b\n%b\n" % (module.encode(), name.encode()) for module, name in NAMES),
]


@given(parts=st.lists(st.sampled_from(INSTRUCTIONS) | st.binary(max_size=3), max_size=40))
def test_whatever_a_program_says_its_values_are_plain_or_inert(parts: list[bytes]) -> None:
    with suppress(FormatError):
        waiting = [_inert_pickle.describe(Path("00.pkl"), b"\x80\x04" + b"".join(parts) + b".", NAMES)]
        seen: set[int] = set()
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            assert type(value).__name__ in (
                *("NoneType", "bool", "int", "float", "str", "bytes", "memoryview", "tuple", "list", "dict"),
                *("Name", "Described"),
            )
            if isinstance(value, tuple | list):
                waiting += value
            elif isinstance(value, dict):
                waiting += value.values()
            elif isinstance(value, _inert_pickle.Described):
                waiting += [*value.arguments, value.state]


@pytest.mark.parametrize(
    ("part", "instead", "said"),
    [
        (b"\x8c\x01<\x94", b"\x8c\x02<>\x94", "a column of dtype"),
        (b"\x8c\x0clarge_string\x94\x85", b"]\x94\x85", "an Arrow array that is none of strings"),
        (b"\x8c\x0clarge_string\x94\x85", b"]\x94\x85\x85", "an Arrow array that is none of strings"),
    ],
    ids=["two byte orders", "a list for a type", "a list in a tuple for a type"],
)
def test_a_type_that_is_none_gets_one_clear_error(tmp_path: Path, part: bytes, instead: bytes, said: str) -> None:
    sound = [content for content in SEEDS if part in content]
    assert sound
    for content in sound:
        with pytest.raises(FormatError, match=said):
            read(tmp_path, content.replace(part, instead))
