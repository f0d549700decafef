"""Labels of points: read from text as Python's JSON reads it, and what is wrong is named with its place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.labels.scale import point_labels
from lidarprep.storage import kept_points

rows = st.lists(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 9), max_size=6) | st.none(), max_size=5)


@given(rows, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]), st.booleans(), st.booleans())
def test_rows_are_those_of_the_json(rows: Any, separators: Any, first: bool, prose: bool) -> None:
    names = ("labels", "point_labels") if prose else ("objects", "point_objects")
    tricky = 'a "point_objects": [1] \\'
    objects = [{"label": tricky, "index": 1, "instance": True}, {"label": "road", "index": 7}]
    content = {names[1]: rows, names[0]: objects} if first else {names[0]: objects, names[1]: rows, "more": {"x": 1}}
    index, label, instance, found = point_labels(json.dumps(content, separators=separators).encode(), "x.json")
    assert [one.tolist() for one in found] == [row or [] for row in rows]
    assert index.tolist() == [1, 7]
    assert label.tolist() == [tricky, "road"]
    assert instance.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"objects": [], "point_objects": [[0, 1.5]]}', r"byte 39 \(frame 0\)"),
        ('{"objects": [], "point_objects": [[0], [-1]]}', r"\(frame 1\)"),
        ('{"objects": [], "point_objects": [[01]]}', "whole numbers"),
        ('{"objects": [], "point_objects": [[4294967296]]}', "whole numbers"),
        ('{"objects": [], "point_objects": [[1, 2', "ends there"),
        ('{"objects": [], "point_objects": [[1] [2]]}', r"\(frame 1\)"),
        ('{"objects": [], "point_objects": {"a": 1}}', "no list point_objects"),
        ('{"point_objects": [[1]]}', "a list `objects`"),
        ('{"objects": [{"index": 1}], "point_objects": [[1]]}', "object 0: no label"),
        ('{"objects": [], "point_objects": [[1]], ', "no JSON"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, found: str) -> None:
    with pytest.raises(lp.FormatError, match=found):
        point_labels(text.encode(), "x.json")


@given(st.data())
def test_stand_ins_come_back_as_they_went(data: st.DataObject) -> None:
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=60)))
    numbers = st.integers(0, int(kept.sum()))
    stand_ins = np.array([data.draw(numbers) for _ in kept], dtype=np.uint32)
    stand_ins[kept] = np.arange(1, kept.sum() + 1)
    kept_rows = np.flatnonzero(kept)
    found = kept_points.decode(kept_points.encode(kept_rows, len(kept), stand_ins), len(kept))
    assert found.rows.tolist() == kept_rows.tolist()
    if found.stand_ins is not None:  # where all are kept none stands for another
        assert found.stand_ins.tolist() == stand_ins.tolist()
    values = np.arange(10, 10 + kept.sum()).astype(np.uint32)
    expected = [0 if number == 0 else 9 + number for number in stand_ins.tolist()]
    assert found.carry(values, len(kept)).tolist() == expected
