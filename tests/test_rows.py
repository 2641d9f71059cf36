import os
import subprocess
import sys

import pytest

from deepinside.rows import appending, claiming, read_rows, write_rows

COLUMNS = ("file", "label", "points")
A, B = {"file": "a", "label": "cat", "points": "1"}, {"file": "b", "label": "", "points": "2"}


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, COLUMNS, [A])
    with appending(path, COLUMNS) as append:
        append({"file": "b", "points": 2})
        # written at once, while the file is still open
        assert path.read_text("utf-8") == "file,label,points\na,cat,1\nb,,2\n"
    assert list(read_rows(path, COLUMNS)) == [A, B]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("value", ['"quoted", and comma', "two\nlines", "é", "\r", "a\rb", "a\r\n"])
def test_any_text_comes_back(tmp_path, value):
    path = tmp_path / "rows.csv"
    write_rows(path, COLUMNS, [A | {"label": value}, B])
    assert list(read_rows(path, COLUMNS)) == [A | {"label": value}, B]


def test_a_name_that_is_no_unicode_can_be_written(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, COLUMNS, [A | {"file": "r\udce9ponse"}])
    assert next(read_rows(path, COLUMNS))["file"] == "r\\udce9ponse"


@pytest.mark.parametrize("text", [None, "", "file,label,points\n"])
def test_no_file_has_no_rows(tmp_path, text):
    path = tmp_path / "rows.csv"
    if text is not None:
        path.write_text(text)
    assert list(read_rows(path, COLUMNS)) == []


@pytest.mark.parametrize("torn", ["b,dog,1", "b,d", "b", '"b\n', "b\n", "b,dog,1,2\n"])
def test_what_is_no_whole_row_is_left_out_and_gone_on_the_next_start(tmp_path, torn):
    path = tmp_path / "rows.csv"
    before = "file,label,points\na,cat,1\n" + torn
    path.write_text(before)
    assert list(read_rows(path, COLUMNS)) == [A]
    assert path.read_text() == before
    write_rows(path, COLUMNS, read_rows(path, COLUMNS))
    assert path.read_text() == "file,label,points\na,cat,1\n"


def test_further_columns_are_read_and_others_are_left_out_of_what_is_written(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, COLUMNS, [A])
    rows = list(read_rows(path, ("file",)))
    assert rows == [A]
    write_rows(path, ("file", "points", "new"), rows)
    assert path.read_text() == "file,points,new\na,1,\n"


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    path = tmp_path / "rows.csv"
    text = "\ufefffile,label,points\r\na,cat,1\r\nb,,2\r\n"
    for saved in (text, text.replace(",", ";")):
        path.write_bytes(saved.encode())
        assert list(read_rows(path, COLUMNS)) == [A, B]


@pytest.mark.parametrize(
    "text", ["name,grade\nanna,1\n", "label,file,points\n", "file", "PNG" * 10**5 + "\n"]
)
def test_another_file_is_refused_and_not_changed(tmp_path, text):
    path = tmp_path / "grades.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"begins with file,label,points, got .*grades\.csv"):
        write_rows(path, COLUMNS, read_rows(path, COLUMNS))
    assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["grades.csv"]


def test_a_run_that_is_killed_while_it_replaces_keeps_what_was_there(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, COLUMNS, [A])

    def rows():
        yield B
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, COLUMNS, rows())
    assert list(read_rows(path, COLUMNS)) == [A]


def test_a_file_of_the_same_name_with_an_ending_is_not_written_over(tmp_path):
    other = tmp_path / "rows.csv.new"
    other.write_text("mine")
    write_rows(tmp_path / "rows.csv", COLUMNS, [A])
    assert other.read_text() == "mine"


def test_what_a_link_leads_to_is_replaced(tmp_path):
    path, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    link.symlink_to(path)
    write_rows(link, COLUMNS, [A])
    assert link.is_symlink()
    assert list(read_rows(path, COLUMNS)) == [A]


def test_a_file_is_claimed_by_one_process_at_a_time(tmp_path):
    path = tmp_path / "rows.csv"
    for _ in range(2):
        with (
            claiming(path),
            pytest.raises(ValueError, match=r"rows\.csv for this process alone"),
            claiming(path),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def test_claim_of_a_process_that_was_killed_ends_with_it(tmp_path):
    path = tmp_path / "rows.csv"
    code = (
        "import os, sys; from pathlib import Path; from deepinside.rows import claiming\n"
        "with claiming(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert killed.returncode == -9
    with claiming(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_of_the_file_whatever_it_is_called(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "rows.csv")
    with claiming(link), pytest.raises(ValueError, match="alone"), claiming(tmp_path / "rows.csv"):
        pass


def test_a_file_in_the_place_of_the_claim_keeps_its_content(tmp_path):
    other = tmp_path / ".rows.csv.lock"
    other.write_text("mine")
    with pytest.raises(ValueError, match=r"empty one at .*\.rows\.csv\.lock"):
        claiming(tmp_path / "rows.csv").__enter__()
    assert other.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_what_is_no_file_is_not_replaced(tmp_path):
    path, link = tmp_path / "pipe", tmp_path / "rows.csv"
    os.mkfifo(path)
    link.symlink_to(path)
    for place in (path, link, tmp_path):
        with pytest.raises(ValueError, match="which is not a file"):
            write_rows(place, COLUMNS, read_rows(place, COLUMNS))
    assert path.is_fifo()


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path):
    (tmp_path / f"rows.csv.{os.getpid()}.new").write_text("half")
    write_rows(tmp_path / "rows.csv", COLUMNS, [A])
    assert list(read_rows(tmp_path / "rows.csv", COLUMNS)) == [A]
