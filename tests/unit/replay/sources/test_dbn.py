"""DBN files of every version, plain and compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from replay.errors import CorruptFile, InvalidRow, SchemaMismatch, UnsortedRows
from replay.options import parse_time
from replay.sources.base import Selection
from replay.sources.open import open_source
from tests.unit.replay.factories import T0, all_records, dbn_bytes, trades
from topics.ticks import SCHEMAS, blank_records
from topics.types import NANOS_PER_SECOND, UNDEF_PRICE, UNDEF_TIMESTAMP


def compressed(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def write(tmp_path: Path, data: bytes, name: str = "x.dbn") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_records_come_as_they_lie_with_positions_for_ids(
    tmp_path: Path, version: int, is_compressed: bool
) -> None:
    records = trades(range(10), ids=[70, 30] * 5)
    day = ("2013-10-07", "2013-10-08")
    data = dbn_bytes("trades", records, [("MSFT", [(*day, 70)]), ("AAPL", [(*day, 30)])], version=version)
    path = write(tmp_path, compressed(data) if is_compressed else data)
    (source,) = open_source(path)
    assert (source.schema, source.symbols) == ("trades", ("AAPL", "MSFT"))
    found = all_records(source)
    assert found["instrument_id"].tolist() == [2, 1] * 5
    found["instrument_id"] = records["instrument_id"]
    assert found.tobytes() == records.tobytes()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_of_the_topic_is_read(tmp_path: Path, schema: str) -> None:
    records = blank_records(SCHEMAS[schema], 3)
    records["instrument_id"] = 1
    records["ts_event"] = T0
    for name in ("price", "bid_px_00", "open", "high", "low", "close"):
        if name in records.dtype.names:
            records[name] = 10**9
    for name, value in (("action", b"T"), ("ts_recv", T0), ("volume", 5)):
        if name in records.dtype.names:
            records[name] = value
    (source,) = open_source(write(tmp_path, dbn_bytes(schema, records)))
    assert source.schema == schema
    assert all_records(source).tobytes() == records.tobytes()


@pytest.mark.parametrize("schema", ["mbo", "definition", "statistics"])
def test_other_schemas_are_refused_with_what_is_read(tmp_path: Path, schema: str) -> None:
    path = write(tmp_path, dbn_bytes(schema, trades([])))
    with pytest.raises(SchemaMismatch, match=rf"x\.dbn: holds schema {schema}; replayed are trades, mbp-1"):
        open_source(path)


def test_chunks_do_not_change_the_records(tmp_path: Path) -> None:
    path = write(tmp_path, compressed(dbn_bytes("trades", trades(range(1000)))))
    whole = all_records(open_source(path)[0])
    for rows in (1, 7, 999, 1000):
        assert all_records(open_source(path, Selection(chunk_rows=rows))[0]).tobytes() == whole.tobytes()


def test_frames_one_after_another_are_one_file(tmp_path: Path) -> None:
    data = dbn_bytes("trades", trades(range(100)))
    path = write(tmp_path, compressed(data[:1000]) + compressed(data[1000:]))
    assert len(all_records(open_source(path)[0])) == 100


def test_appended_send_times_are_cut_off(tmp_path: Path) -> None:
    records = trades(range(5))
    found = all_records(open_source(write(tmp_path, dbn_bytes("trades", records, ts_out=True)))[0])
    assert found.tobytes() == records.tobytes()


def test_an_id_may_mean_another_symbol_the_next_day(tmp_path: Path) -> None:
    day = 86_400 * NANOS_PER_SECOND
    records = trades([0, day, day + 1], ids=[5, 5, 6])
    mappings = [
        ("OLD", [("2013-10-07", "2013-10-08", 5)]),
        ("NEW", [("2013-10-08", "2013-10-09", 5)]),
        ("ROLLS", [("2013-10-07", "2013-10-08", 6), ("2013-10-08", "2013-10-09", 6)]),
    ]
    (source,) = open_source(write(tmp_path, dbn_bytes("trades", records, mappings)))
    assert source.symbols == ("NEW", "OLD", "ROLLS")
    assert all_records(source)["instrument_id"].tolist() == [2, 1, 3]


def test_a_symbol_of_two_instruments_at_once_is_refused(tmp_path: Path) -> None:
    both = [("ES.FUT", [("2013-10-07", "2013-10-09", 5), ("2013-10-08", "2013-10-09", 6)])]
    with pytest.raises(SchemaMismatch, match=r"'ES.FUT' stands for the instruments 5 and 6 at once"):
        open_source(write(tmp_path, dbn_bytes("trades", trades([0], ids=5), both)))


def test_an_id_without_mapping_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, dbn_bytes("trades", trades([0, 1, 2], ids=[1, 1, 9])))
    with pytest.raises(
        InvalidRow, match=r"row 3: `instrument_id` \(=9\) is not in the file's symbol mappings"
    ):
        all_records(open_source(path)[0])


def test_a_file_without_mappings_names_ids_by_their_digits(tmp_path: Path) -> None:
    path = write(tmp_path, dbn_bytes("trades", trades([0, 1, 2], ids=[9, 10, 9]), []))
    (source,) = open_source(path)
    assert source.symbols == ("10", "9")
    assert all_records(source)["instrument_id"].tolist() == [2, 1, 2]


def test_selected_symbols_only(tmp_path: Path) -> None:
    day = ("2013-10-07", "2013-10-08")
    records = trades(range(4), ids=[1, 2, 1, 2])
    records["price"][1] = -1  # a row that is not wanted cannot stop the replay
    path = write(tmp_path, dbn_bytes("trades", records, [("A", [(*day, 1)]), ("B", [(*day, 2)])]))
    (source,) = open_source(path, Selection(frozenset({"A"})))
    assert (source.symbols, len(all_records(source)), source.tally.rows) == (("A",), 2, 2)


def test_a_sampled_quote_happens_at_the_end_of_its_interval(tmp_path: Path) -> None:
    records = blank_records(SCHEMAS["bbo-1s"], 2)
    records["instrument_id"] = 1
    records["ts_event"] = UNDEF_TIMESTAMP  # there was no trade yet
    records["ts_recv"] = [T0, T0 + NANOS_PER_SECOND]
    records["bid_px_00"][1] = 10**9
    (source,) = open_source(write(tmp_path, dbn_bytes("bbo-1s", records)))
    assert all_records(source)["ts_event"].tolist() == [T0 + NANOS_PER_SECOND]
    assert source.tally.skipped == {"no_quote": 1}
    assert source.tally.corrected == {"event_time_of_interval": 2}


def test_undefined_and_zero_prices_are_left_out_and_negative_ones_refused(tmp_path: Path) -> None:
    records = trades(range(4))
    records["price"][1:3] = UNDEF_PRICE, 0
    (source,) = open_source(write(tmp_path, dbn_bytes("trades", records)))
    assert all_records(source)["sequence"].tolist() == [0, 3]
    assert source.tally.skipped == {"undefined_price": 1, "zero_price": 1}
    records["price"][3] = -5 * 10**9
    with pytest.raises(InvalidRow, match=r"row 4: `price` \(=-5\.0\) must not be negative"):
        all_records(open_source(write(tmp_path, dbn_bytes("trades", records)))[0])


def test_recorders_order_is_another_clock(tmp_path: Path) -> None:
    records = trades([5, 3, 4])
    records["ts_recv"] = T0 + np.array([10, 11, 12])
    path = write(tmp_path, dbn_bytes("trades", records))
    with pytest.raises(UnsortedRows, match=r"row 2: `ts_event` .* --clock ts_recv"):
        all_records(open_source(path, Selection(chunk_rows=2))[0])
    (source,) = open_source(path, Selection(chunk_rows=2, clock="ts_recv"))
    assert source.clock == "ts_recv"
    assert all_records(source)["sequence"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("missing", [1, 20, 200])
def test_a_truncated_frame_is_no_end_of_file(tmp_path: Path, missing: int) -> None:
    data = compressed(dbn_bytes("trades", trades(np.arange(50_000) * 997)))
    path = write(tmp_path, data[:-missing], "cut.dbn.zst")
    with pytest.raises(CorruptFile, match=r"cut\.dbn\.zst: .*Truncated"):
        all_records(open_source(path)[0])


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = bytearray(compressed(dbn_bytes("trades", trades(np.sort(rng.integers(0, 10**12, 20_000))))))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path = write(tmp_path, bytes(data), "bad.dbn.zst")
    with pytest.raises((CorruptFile, InvalidRow), match=r"bad\.dbn\.zst"):
        all_records(open_source(path)[0])


def test_a_truncated_plain_file_names_the_record(tmp_path: Path) -> None:
    path = write(tmp_path, dbn_bytes("trades", trades(range(5)))[:-7])
    with pytest.raises(CorruptFile, match="record 5 is cut off after 41 of 48 bytes"):
        all_records(open_source(path)[0])


def test_records_of_another_type_are_named(tmp_path: Path) -> None:
    records = trades(range(3))
    records["rtype"][2] = 33
    path = write(tmp_path, dbn_bytes("trades", records))
    with pytest.raises(CorruptFile, match="record 3 has type 33 and length 12; schema trades has 0 and 12"):
        all_records(open_source(path)[0])


@pytest.mark.parametrize(
    "data", [b"DBN", b"DBN\x03\xff\xff\xff\xff", b"DBN\x03\x10\x00\x00\x00" + bytes(16), b"xyz" * 9]
)
def test_broken_metadata_is_no_traceback(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CorruptFile, match=r"x\.dbn"):
        open_source(write(tmp_path, data))


def test_dates_of_mappings_are_of_utc(tmp_path: Path) -> None:
    start = parse_time("2013-10-07")
    records = trades([start - T0, start - T0 - 1], ids=5)[::-1].copy()
    mappings = [("A", [("2013-10-06", "2013-10-07", 5)]), ("B", [("2013-10-07", "2013-10-08", 5)])]
    (source,) = open_source(write(tmp_path, dbn_bytes("trades", records, mappings)))
    assert all_records(source)["instrument_id"].tolist() == [1, 2]
