"""Reading the archive's files: from any place on, each piece once, in little memory, and whatever is in them."""

import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.binance import archive_lines
from ingestion.binance.archive_lines import LONGEST, ArchiveLines, BadArchive, Bookmarks, Line


def packed(folder, text, name="rows.csv", method=zipfile.ZIP_DEFLATED):
    path = folder / "file.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, text)
    return path


def rows(count):
    """Rows that do not pack well, so that the file is read in many pieces."""
    rng = random.Random(count)
    return [f"{number},{rng.random()}\n" for number in range(count)]


class Stopped(Exception):
    pass


@pytest.fixture
def unpacked(monkeypatch):
    """How many bytes of text were unpacked."""
    sizes = []
    real = archive_lines._Text.read

    def counted(text, file):
        piece = real(text, file)
        sizes.append(len(piece))
        return piece

    monkeypatch.setattr(archive_lines._Text, "read", counted)
    return sizes


@settings(deadline=None)
@given(numbers=st.lists(st.integers(0, 10**12), min_size=1, max_size=50), place=st.integers(0, 50))
def test_reading_goes_on_after_any_line(tmp_path_factory, numbers, place):
    path = packed(tmp_path_factory.mktemp("rows"), "".join(f"{number},x\n" for number in numbers))
    whole = list(ArchiveLines(path))
    offset = whole[place % len(whole)].end

    rest = ArchiveLines(path).read(offset, 100)

    assert rest == whole[place % len(whole) + 1 :]
    assert whole[-1].end == sum(len(line.text) for line in whole)


@settings(deadline=None)
@given(
    breaks=st.lists(st.integers(1, 60), max_size=30),
    piece=st.integers(1, 50),
    packed_piece=st.integers(1, 50),
    reads=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12),
    ends=st.booleans(),
)
def test_pieces_of_any_size_and_places_in_any_order_give_the_same_lines(
    tmp_path_factory, breaks, piece, packed_piece, reads, ends
):
    texts = [f"{number}," + "x" * length + "\n" for number, length in enumerate(breaks)]
    text = "".join(texts) if ends else "".join(texts).rstrip("\n")
    path = packed(tmp_path_factory.mktemp("rows"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_lines, "_PIECE", piece)
        patch.setattr(archive_lines, "_PACKED", packed_piece)
        lines = ArchiveLines(path)
        whole = list(lines)
        assert b"".join(line.text for line in whole) == text.encode()
        for number, count in reads:
            before = number % (len(whole) + 1)
            place = whole[before - 1].end if before else 0
            assert lines.read(place, count) == whole[before : before + count]


def test_a_file_is_unpacked_once_however_often_reading_stops(tmp_path, unpacked):
    texts = rows(60_000)
    path, bookmarks = packed(tmp_path, "".join(texts)), Bookmarks()
    place, found, reads = 0, [], 0
    while True:
        with bookmarks.lines(path) as lines:
            batch = lines.read(place, 1_000)
        if not batch:
            break
        reads += 1
        if reads % 3:  # Every third time the work ends before it is done with what it read.
            found += batch
            place = batch[-1].end

    assert [line.text.decode() for line in found] == texts
    assert reads > 60
    assert sum(unpacked) == sum(map(len, texts))
    assert len(unpacked) > 4
    assert bookmarks._kept == {}, "what was read to the end is forgotten"


def test_a_place_far_on_is_come_to_in_several_goes(tmp_path, unpacked):
    """By a process that has not read what is before it: after a kill, or while others worked."""
    texts = rows(60_000)
    path, bookmarks = packed(tmp_path, "".join(texts)), Bookmarks()
    place = sum(map(len, texts[:55_000]))
    goes = 0

    def stop():
        raise Stopped

    while True:
        try:
            with bookmarks.lines(path) as lines:
                found = lines.read(place, 2, stop)
            break
        except Stopped:
            goes += 1

    assert [line.text.decode() for line in found] == texts[55_000:55_002]
    assert goes > 2
    assert sum(unpacked) <= sum(map(len, texts))


def test_going_back_begins_anew(tmp_path):
    lines = ArchiveLines(packed(tmp_path, "1,2\n3,4\n5,6\n"))
    assert lines.read(8, 5) == [Line(b"5,6\n", 12)]

    assert lines.read(4, 1) == [Line(b"3,4\n", 8)]


def test_a_kept_reader_holds_no_file(tmp_path):
    """A month has gigabytes: what is removed must leave the disk, whoever has read in it."""
    path, bookmarks = packed(tmp_path, "".join(rows(1_000))), Bookmarks()
    held = [link.resolve() for link in open_files()]
    with bookmarks.lines(path) as lines:
        lines.read(0, 10)

        assert [link.resolve() for link in open_files()] == held


def open_files():
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    return [link for link in folder.iterdir() if link.resolve().suffix == ".zip"]


def test_only_a_few_readers_are_kept(tmp_path):
    bookmarks = Bookmarks()
    for number in range(20):
        (folder := tmp_path / str(number)).mkdir()
        with bookmarks.lines(packed(folder, "1,2\n3,4\n")) as lines:
            lines.read(0, 1)

    assert [path.parent.name for path in bookmarks._kept] == [str(number) for number in range(12, 20)]


def test_a_header_row_and_empty_lines_are_passed_over(tmp_path):
    path = packed(tmp_path, "agg_trade_id,price\n1,2\n\n3,4\n")

    assert [line.text for line in ArchiveLines(path)] == [b"1,2\n", b"3,4\n"]


def test_a_line_without_an_end_is_refused_in_little_memory(tmp_path):
    path = packed(tmp_path, "1,2\n" + "1" * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive, match=f"file.zip: a line of more than {LONGEST:,} bytes after byte 4"):
            list(ArchiveLines(path))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1])
def test_how_long_a_line_may_be(tmp_path, length):
    lines = ArchiveLines(packed(tmp_path, "1" * (length - 1) + "\n2\n"))

    if length <= LONGEST:
        assert [len(line.text) for line in lines] == [length, 2]
    else:
        with pytest.raises(BadArchive, match="a line of more than"):
            list(lines)


def test_much_text_takes_little_memory(tmp_path):
    path = packed(tmp_path, ("1" * 99 + "\n") * 100_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in ArchiveLines(path)) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def changed(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def cut_in_the_middle(data):
    data[100:150] = bytes(50)


def another_crc(data):
    place = data.rindex(b"PK\x01\x02") + 16
    data[place] ^= 1


def shorter(data):
    place = data.rindex(b"PK\x01\x02") + 20
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "little") - 40).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "problem"), [(cut_in_the_middle, "file.zip"), (another_crc, "CRC"), (shorter, "too early")]
)
def test_what_was_spoiled_is_said_and_said_again(tmp_path, change, problem):
    lines = ArchiveLines(changed(packed(tmp_path, "".join(rows(10_000))), change))

    for _ in range(2):
        with pytest.raises(BadArchive, match=problem):
            list(lines)
    assert lines.is_over


def test_what_is_no_zip_of_one_csv_is_said(tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"not a zip")

    with pytest.raises(BadArchive, match="broken.zip"):
        ArchiveLines(broken).read(0, 1)
    with pytest.raises(BadArchive, match="0 CSV files"):
        ArchiveLines(packed(tmp_path, "x", "readme.txt")).read(0, 1)
    with pytest.raises(BadArchive, match="not deflated"):
        ArchiveLines(packed(tmp_path, "1,2\n", method=zipfile.ZIP_BZIP2)).read(0, 1)
