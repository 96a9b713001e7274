"""Rows of .xlsx workbooks, sheet by sheet, by the names of their columns as CSV has them."""

import datetime
import decimal
import itertools
import operator
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common.archives import DAMAGE, check_archive, refuse_old_office
from common.headed_rows import HEADER_ROWS, column_names_of, headed_rows
from common.language import either
from common.row_formats import USED_FIELDS
from common.row_talks import RowError

SUFFIXES = (".xlsx", ".xlsm")
# Of a number format: colours, quoted and escaped characters, room left and filled.
_LITERALS = re.compile(r"""\[[^]]*]|"[^"]*"|[\\_*].""")
_PERCENT = re.compile(r"[#0?,]*(?:\.([#0?]{0,30}))?\s*%")
_PADDED = re.compile(r"0{2,30}")

_Line = tuple[str, list[str], dict[int, str]]  # its place, its cells, what is wrong by column


def sheet_rows(path: Path) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
    """(place, row or its RowError) of every sheet that names its columns, and what is to be said.

    Raises ValueError where the file is no workbook, or openpyxl is not installed.
    """
    formulas = _open(path, False)
    cells = (cell for sheet in formulas.worksheets for cell in sheet._cells.values())
    computed = any(cell.data_type == "f" for cell in cells)
    values = _open(path, True) if computed else formulas
    rows: list[tuple[str, Any]] = []
    unnamed: list[tuple[str, Any]] = []
    said: list[tuple[str, str]] = []
    for sheet in values.worksheets:
        if sheet.sheet_state != "visible":
            said.append((sheet.title, either("隐藏的工作表，没有读", "a hidden sheet, not read")))
            continue
        if pictures := len(sheet._images) + len(sheet._charts):
            note = either(f"{pictures} 幅图没有读", f"{pictures} pictures not read")
            said.append((sheet.title, note))
        lines = _lines(sheet, formulas[sheet.title])
        heads = list(itertools.islice(lines, HEADER_ROWS))
        for _, cells, _ in heads:  # a column may have cells and no name
            cells += [""] * (sheet.max_column - len(cells))
        named = any(column_names_of(cells) for _, cells, _ in heads)
        into = rows if named else unnamed
        into += headed_rows(_usable(itertools.chain(heads, lines), named))
    if rows:
        said += [(spot, str(error)) for spot, error in unnamed]
    return rows or unnamed, said


def _open(path: Path, values: bool) -> Any:
    """The workbook with the values that its formulas had when it was saved, or the formulas."""
    refuse_old_office(path, ".xls", ".xlsx")
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        command = f"{sys.executable} -m pip install openpyxl"
        raise ValueError(
            either(
                f"读 .xlsx 要有 {error.name}：运行 `{command}`",
                f"{error.name} is not installed, which reads .xlsx: run `{command}`",
            )
        ) from error
    try:
        check_archive(path)
        return openpyxl.load_workbook(path, data_only=values)
    except (zipfile.BadZipFile, openpyxl.utils.exceptions.InvalidFileException) as error:
        raise ValueError(
            either("文件损坏，或不是 .xlsx 文件", "it is broken, or not an .xlsx file")
        ) from error
    except DAMAGE as error:
        raise ValueError(either(f"文件坏了：{error!r}", f"it is broken: {str(error)!r}")) from error


def _usable(lines: Iterable[_Line], named: bool) -> Iterator[tuple[str, list[str] | RowError]]:
    """The lines; a RowError for a fault under a column that is used, or where none has a name."""
    names: list[str] = []
    for spot, cells, faults in lines:
        used = (
            fault
            for column, fault in faults.items()
            if not named or (column < len(names) and names[column] in USED_FIELDS)
        )
        fault = next(used, "")
        yield spot, RowError(fault) if fault else cells
        names = names or column_names_of(cells)


def _lines(sheet: Any, formulas: Any) -> Iterator[_Line]:
    """The filled rows of a sheet; a cell merged downwards stands in each of its rows.

    They are taken from `_cells`: iter_rows() makes a cell for every empty one, which is a billion
    where something stands in the last row and column.
    """
    merged: dict[int, dict[int, tuple[int, int]]] = {}
    for area in sheet.merged_cells.ranges:
        if area.min_col == area.max_col:
            for number in range(area.min_row + 1, area.max_row + 1):
                merged.setdefault(number, {})[area.min_col] = (area.min_row, area.min_col)
    filled = sorted(place for place, cell in formulas._cells.items() if cell.value is not None)
    for number, places in itertools.groupby(filled, operator.itemgetter(0)):
        origins = {column: (number, column) for _, column in places} | merged.get(number, {})
        cells = [""] * max(origins)
        faults: dict[int, str] = {}
        for column, origin in sorted(origins.items()):
            cell = sheet._cells[origin]
            if fault := _fault(cell, formulas._cells[origin]):
                faults[column - 1] = fault
            else:
                cells[column - 1] = _text(cell)
        if faults or any(cell.strip() for cell in cells):
            yield f"{sheet.title}, row {number}", cells, faults


def _fault(cell: Any, formula: Any) -> str:
    if cell.data_type == "e":
        return either(f"{cell.coordinate} 是 {cell.value}", f"{cell.coordinate} holds {cell.value}")
    if cell.value is None and formula.data_type == "f":
        return either(
            f"{cell.coordinate} 的公式还没有算：用 Excel 或 WPS 打开、保存一次",
            f"the formula of {cell.coordinate} has no value yet: open the file in a "
            "spreadsheet and save it",
        )
    return ""


def _text(cell: Any) -> str:
    """What the cell shows, as far as percents, leading zeros, whole numbers and dates go."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float) and abs(value) < 1e300:
        return _number(value, cell.number_format)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)


def _number(value: float, shown: str) -> str:
    shown = _LITERALS.sub("", shown.split(";")[0]).strip()
    if percent := _PERCENT.fullmatch(shown):
        wide = decimal.Context(prec=400, rounding=decimal.ROUND_HALF_UP)
        hundredths = wide.multiply(decimal.Decimal(str(value)), decimal.Decimal(100))
        places = percent[1] or ""
        step = decimal.Decimal(1).scaleb(-len(places))
        text = f"{wide.quantize(hundredths, step):f}"
        for _ in range(places.count("#")):
            text = text.removesuffix("0")
        return f"{text.removesuffix('.')}%"
    whole = int(value) if float(value).is_integer() else value
    if isinstance(whole, int) and _PADDED.fullmatch(shown):
        return f"{whole:0{len(shown) + (whole < 0)}d}"
    return str(whole)
