"""Rows of .xlsx workbooks, sheet by sheet, by the names of their columns as CSV has them."""

import datetime
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.archives import DAMAGE, OLD_OFFICE, check_archive
from common.headed_rows import HEADER_ROWS, column_names_of, headed_rows
from common.language import either
from common.row_talks import RowError

SUFFIXES = (".xlsx", ".xlsm")


def sheet_rows(path: Path) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
    """(place, row or its RowError) of every sheet that names its columns, and what is to be said.

    Raises ValueError where the file is no workbook, or openpyxl is not installed.
    """
    formulas = _open(path, False)
    cells = (cell for sheet in formulas.worksheets for row in sheet.iter_rows() for cell in row)
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
        lines = list(_lines(sheet, formulas[sheet.title]))
        filled = [cells for _, cells in lines if isinstance(cells, RowError) or any(cells)]
        if not filled:
            continue
        heads = (cells for cells in filled[:HEADER_ROWS] if not isinstance(cells, RowError))
        into = rows if any(map(column_names_of, heads)) else unnamed
        into += headed_rows(iter(lines))
    if rows:
        said += [(spot, str(error)) for spot, error in unnamed]
    return rows or unnamed, said


def _open(path: Path, values: bool) -> Any:
    """The workbook with the values that its formulas had when it was saved, or the formulas."""
    with path.open("rb") as stream:
        if stream.read(8) == OLD_OFFICE:
            raise ValueError(
                either(
                    "文件加了密，或是旧的 .xls：另存为不带密码的 .xlsx",
                    "it is encrypted or an old .xls: save it as .xlsx without a password",
                )
            )
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


def _lines(sheet: Any, formulas: Any) -> Iterator[tuple[str, list[str] | RowError]]:
    """The rows of a sheet as text; a cell merged downwards stands in each of its rows."""
    merged = {
        (row, area.min_col): (area.min_row, area.min_col)
        for area in sheet.merged_cells.ranges
        if area.min_col == area.max_col
        for row in range(area.min_row + 1, area.max_row + 1)
    }
    for number, row in enumerate(sheet.iter_rows(), 1):
        cells: list[str] = []
        error = ""
        for column, cell in enumerate(row, 1):
            if (number, column) in merged:
                cell = sheet.cell(*merged[number, column])
            if cell.data_type == "e":
                error = error or either(
                    f"{cell.coordinate} 是 {cell.value}", f"{cell.coordinate} holds {cell.value}"
                )
            elif cell.value is None and formulas[cell.coordinate].data_type == "f":
                error = error or either(
                    f"{cell.coordinate} 的公式还没有算：用 Excel 或 WPS 打开、保存一次",
                    f"the formula of {cell.coordinate} has no value yet: open the file in a "
                    "spreadsheet and save it",
                )
            cells.append(_text(cell.value))
        spot = f"{sheet.title}, row {number}"
        yield spot, RowError(error) if error else cells


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()  # as it is shown
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)
