"""Lists of spans of recordings, as CSV and as Parquet; pandas writes the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import lidarprep as lp
from lidarprep.datasets.span_list import read_spans, select
from tests.scene.test_span import MARCH, SECOND

Save = Callable[[str, bytes], Path]

DRIVES = {
    "a": "/data/monday/a.mcap",
    "b": "/data/monday/b.mcap",
    "tuesday-a": "/data/tuesday/a.mcap",
    "c": "s3://fleet/wednesday/c",
}


def selected(save: Save, text: str, recordings: dict[str, str] = DRIVES) -> list[tuple[str, str, str]]:
    path = save("events.csv", text.encode())
    return [(one.name, one.recording, str(one.span)) for one in select(read_spans(path), recordings, path)]


def test_rows_name_recordings_by_path_by_its_last_parts_by_name_or_by_pattern(save: Save) -> None:
    rows = """recording,start,end,tag
    b,0s,12.5s,
    tuesday/a.mcap,200,400,cut in
    /data/monday/a.mcap,..,,
    """.replace("..", "2026-03-01T10:15:00Z").replace("    ", "")
    assert selected(save, rows) == [
        ("b-000000.000s", "b", "0s..12.5s"),
        ("tuesday-a-000200-cut_in", "tuesday-a", "200..400"),
        ("a-20260301T101500.000Z", "a", "2026-03-01T10:15:00Z.."),
    ]
    assert [one[1] for one in selected(save, "recording,start,end\nmonday/*,,9\n")] == ["a", "b"]
    assert [one[1] for one in selected(save, "recording,start,end\na.mcap,,9\n", {"x": "a.mcap"})] == ["x"]
    assert [one[1] for one in selected(save, "recording,start,end\n../a.mcap,,9\n", {"x": "../a.mcap"})] == ["x"]
    assert selected(save, "recording,start,end\ns3://fleet/*/c/,,9\n") == [("c-to-000009", "c", "..9")]


def test_columns_come_in_any_order_and_others_are_not_read(save: Save) -> None:
    text = '\ufeffid,End,tag,Recording,start\r\n1,2s,"hard, braking",b,1s\r\n\r\n2,3s,x,b,1s\r\n'
    assert [name for name, *_ in selected(save, text)] == ["b-000001.000s-hard_braking", "b-000001.000s-x"]


def test_rows_may_overlap_but_not_have_one_name(save: Save) -> None:
    assert len(selected(save, "recording,start,end\nb,1s,9s\nb,2s,8s\nc,1s,9s\n")) == 3
    with pytest.raises(lp.FormatError, match=r"line 4: a second part named b-000001.000s, the first is in line 2"):
        selected(save, "recording,start,end\nb,1s,9s\nb,2s,8s\nb.mcap,1s,7s\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header: the columns of an empty file; expected recording,start,end"),
        ("b,1s,2s\n", "the header: the columns b, 1s, 2s"),
        ("recording,start,end,start\n", "each once"),
        ("recording,start,end\n\n", "no rows; expected a row for each span"),
        ("recording,start,end\nb,1s\n", "line 2: 2 values; expected 3"),
        ("recording,start,end\nb,1s,2s\nb,2s,1s\n", "line 3: the span 2s..1s does not end after it starts"),
        ("recording,start,end\nb,1.5,2.5\n", "line 2: '1.5' is no end of a span"),
        ("recording,start,end\nb,,\n", "line 2: a span has a start, an end or both"),
        ("recording,start,end\n,1s,2s\n", "line 2: no recording"),
        ("recording,start,end\nd,1s,2s\n", "line 2: the recording 'd', which is none of the 4"),
        ("recording,start,end\na.mcap,1s,2s\n", r"line 2: 'a.mcap', which 2 recordings are named: a, tuesday-a"),
        ('recording,start,end\n"b,1s,2s\n', "no CSV"),
        ("recording,start,end\nb\xff,1s,2s\n".encode("latin-1").decode("latin-1"), "which is none of the 4"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_with_its_line(save: Save, text: str, message: str) -> None:
    with pytest.raises(lp.FormatError, match=message) as caught:
        selected(save, text)
    assert "events.csv" in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_error_shows_no_signature_of_a_url(save: Save) -> None:
    secret = "https://host/d.mcap?X-Amz-Signature=c0ffee"
    path = save("events.csv", f"recording,start,end\n{secret},1s,2s\n".encode())
    (row,) = read_spans(path)
    assert row.recording == secret
    assert "c0ffee" not in repr(row)
    with pytest.raises(lp.FormatError) as caught:
        select([row], DRIVES, path)
    assert "c0ffee" not in str(caught.value)
    assert [one.recording for one in select([row], {"d": "https://host/d.mcap"}, path)] == ["d"]


def test_parquet_has_times_of_its_own_type(tmp_path: Path) -> None:
    start = pd.Series(pd.to_datetime([MARCH + 1, MARCH + SECOND], utc=True)).dt.tz_convert("Europe/Berlin")
    table = pd.DataFrame({"recording": ["a", "b"], "start": start, "end": [None, MARCH + 2 * SECOND]})
    table["end"] = table["end"].astype("Int64")
    table.to_parquet(tmp_path / "events.parquet")
    spans = [row.span for row in read_spans(tmp_path / "events.parquet")]
    assert spans == [lp.Span("time", MARCH + 1, None), lp.Span("time", MARCH + SECOND, MARCH + 2 * SECOND)]
    texts = pd.DataFrame({"recording": ["a"], "start": ["1s"], "end": ["2.5s"], "tag": ["x"]})
    texts.to_parquet(tmp_path / "texts.parquet")
    (row,) = read_spans(tmp_path / "texts.parquet")
    assert (str(row.span), row.tag, row.place) == ("1s..2.5s", "x", "row 1")


@pytest.mark.parametrize("start", [[1.5], pd.to_datetime(["2026-03-01"])])
def test_parquet_with_times_of_no_known_meaning_is_refused(tmp_path: Path, start: list[float]) -> None:
    pd.DataFrame({"recording": ["a"], "start": start, "end": ["2s"]}).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(lp.FormatError, match=r"column start: .*; expected text, whole numbers, or times with a time"):
        read_spans(tmp_path / "events.parquet")
    (tmp_path / "events.parquet").write_bytes(b"PAR1")
    with pytest.raises(lp.FormatError, match="no Parquet"):
        read_spans(tmp_path / "events.parquet")
    with pytest.raises(lp.FormatError, match=r"none\.csv"):
        read_spans(tmp_path / "none.csv")
