"""Cells of a spreadsheet become what they hold; the files themselves are in ``tests/data``."""

import sys
from datetime import date, datetime, time
from pathlib import Path

import pytest

from broadcaster.errors import ExitCode, ListUnusable
from broadcaster.lists.read import open_list
from broadcaster.lists.sheets import text, texts
from broadcaster.phones import parse_number

DATA = Path(__file__).parents[2] / "data"

CELLS = [
    ("nothing", None, ""),
    ("text as it is", " 007 ", " 007 "),
    ("a whole number", 14155550101, "14155550101"),
    ("a whole number that was stored with a point", 14155550101.0, "14155550101"),
    ("a negative one", -5.0, "-5"),
    ("a fraction", 0.5, "0.5"),
    ("a number with a fraction", 14155550101.5, "14155550101.5"),
    ("too large to be exact", 9007199254740992.0, "9007199254740992.0"),
    ("much too large", 1.4155550101e17, "1.4155550101e+17"),
    ("no number at all", float("nan"), "nan"),
    ("yes", True, "TRUE"),
    ("no", False, "FALSE"),
    ("a day", datetime(2026, 12, 1), "2026-12-01"),  # noqa: DTZ001 - a spreadsheet knows no zones
    ("a moment", datetime(2026, 12, 1, 9, 30), "2026-12-01 09:30:00"),  # noqa: DTZ001
    ("a date", date(2026, 12, 1), "2026-12-01"),
    ("a time", time(9, 30), "09:30:00"),
    ("an error", "#N/A", "#N/A"),
]


@pytest.mark.parametrize(("cell", "expected"), [pytest.param(c, e, id=name) for name, c, e in CELLS])
def test_a_cell_is_what_it_holds(cell: object, expected: str) -> None:
    assert text(cell) == expected


@pytest.mark.parametrize("cell", [14155550101.5, 1.4155550101e17, "#N/A", True, datetime(2026, 12, 1)])  # noqa: DTZ001
def test_what_is_no_whole_number_is_no_phone_number(cell: object) -> None:
    assert parse_number(text(cell), region="US") is None
    assert parse_number(text(14155550101.0), region="US") == "+14155550101"


def test_empty_rows_are_left_out_but_counted() -> None:
    rows = [(), (None, None), ("phone", "name", None), (), (14155550101.0, None), (None, "Ada")]

    assert list(texts(rows)) == [(3, ["phone", "name"]), (5, ["14155550101"]), (6, ["", "Ada"])]


def test_without_openpyxl_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(ListUnusable) as refused:
        open_list(["workbook.xlsx"], base=DATA)

    assert "pip install 'broadcaster[xlsx]'" in refused.value.sentence
    assert str(DATA / "workbook.xlsx") in refused.value.sentence
    assert refused.value.exit_code == ExitCode.LIST_UNUSABLE


def test_a_sheet_is_read_in_the_order_asked_for() -> None:
    pytest.importorskip("openpyxl")
    malformed: dict[int, str] = {}
    (batch,) = open_list(["workbook.xlsx"], base=DATA).batches(["name", "phone"], malformed=malformed)

    assert batch.schema.names == ["name", "phone"]
    assert [(row["name"], row["phone"]) for row in batch.to_pylist()] == [
        ("Ada", "14155550101"),
        ("Bob", "14155550102"),
        ("Cleo", "14155550103.5"),
        ("Dan", "1.4155550104000002e+17"),
        ("Eve", "+1 415 555 0105"),
        ("Fay", ""),
        ("Gus", "#N/A"),
        ("", ""),
        ("Ida", "14155550107"),
    ]
    assert malformed == {7: "line 10 has 3 cells, the header has 2"}
    with pytest.raises(ListUnusable, match="line 10 has 3 cells"):
        list(open_list(["workbook.xlsx"], base=DATA).batches())
