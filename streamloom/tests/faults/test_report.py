"""The page of results: a row that ran again takes the place of its former run."""

from pathlib import Path

from streamloom.faults import report
from streamloom.faults.controls import CONTROLS
from streamloom.faults.invariants import Finding, Kind
from streamloom.faults.matrix import ROWS, Row
from streamloom.faults.rounds import Result

PAGE = "# Page\n\n<!-- rows -->\n<!-- end of rows -->\n\n<!-- controls -->\n<!-- end of controls -->\n"


def row(number: int, *, control: bool = False) -> Row:
    guards = "every trade is there once" if control else ""
    return Row(
        number, "somebody killed", "SIGKILL", "exact", lambda stage, chance: None, control=control, guards=guards
    )


def result(number: int, *findings: Finding, control: bool = False) -> Result:
    return Result(row(number, control=control), 7, 1000, 20, findings, 1.25, 30.0)


def test_rows_are_listed_by_number_and_a_later_run_replaces_an_earlier_one(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(PAGE)

    report.write(page, [result(10), result(2, Finding(Kind.LOST, "every trade is there", 3, ""))])
    report.write(page, [result(2)])

    rows = [line for line in page.read_text().splitlines() if line.startswith("| 2 ") or line.startswith("| 10 ")]
    assert [line.split(" | ")[0] for line in rows] == ["| 2", "| 10"]
    assert rows[0].split(" | ")[3:9] == ["1,000", "20", "0", "0", "0", "1.2 s"]
    assert "--rows 2 --seed 7" in rows[0]


def test_a_control_is_bad_when_what_it_guards_was_not_found_and_a_row_when_something_was() -> None:
    found = Finding(Kind.DOUBLED, "every trade is there once", 2, "")
    other = Finding(Kind.WRONG, "revisions only rise", 1, "")

    assert (result(1).verdict, result(1, found).verdict) == ("exact", "BAD")
    assert (result(1, control=True).verdict, result(1, found, control=True).verdict) == ("BAD", "noticed")
    assert result(1, other, control=True).verdict == "BAD"
    assert "doubled=2" in report.line(result(1, found))


def test_every_control_guards_something() -> None:
    assert [row.label for row in CONTROLS if not row.guards] == []


def test_no_two_rows_have_the_same_number() -> None:
    numbers = [row.number for row in ROWS]

    assert len(numbers) == len(set(numbers))
