import codecs

import pytest

from deepinside.evaluation.csv_tables import read_table, text_lines

PLAIN = "file,x\nä.jpg,1.5\nb.jpg,2\n"
SEMICOLONS = PLAIN.replace(",", ";").replace(".5", ",5")
TABS = PLAIN.replace(",", "\t").replace(".5", ",5")


def rows(path, content, optional=()):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_table(path, ["file"], ["x"], optional))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("cp1252"),
        SEMICOLONS.encode("cp1252"),
        SEMICOLONS.replace("\n", "\r\n"),
        SEMICOLONS.replace("\n", "\r"),
        TABS,
        TABS.encode("utf-16"),
        codecs.BOM_UTF16_BE + TABS.encode("utf-16-be"),
        codecs.BOM_UTF8 + b"sep=;\r\n" + SEMICOLONS.encode(),
        "SEP=|\n" + PLAIN.replace(",", "|"),
        '"sep=;"\n' + SEMICOLONS,
        "sep=\t\n" + TABS,
        PLAIN.replace("file,x", " FILE , X"),
        PLAIN.replace("file,x", "\xa0x,File").replace("ä.jpg,1.5", "1.5,ä.jpg").replace(
            "b.jpg,2", "2, b.jpg "
        ),
        PLAIN.replace("\n", ",,\n"),
        PLAIN.replace("\n", "\n,\n \n\n"),
        "\n;;\n" + SEMICOLONS,
        PLAIN.replace("x", '"x"').replace("ä.jpg", '"ä.jpg"').replace("1.5", ' "1.5"'),
        PLAIN.replace(",", ",note,").replace("ä.jpg,note", 'ä.jpg,"said ""no"",\nand went"'),
        PLAIN.removesuffix("\n"),
    ],
)  # fmt: skip
def test_tables_as_programs_and_countries_write_them(path, content):
    found = rows(path, content)
    assert [(row.values["file"], row.values["x"]) for row in found] == [
        ("ä.jpg", "1.5"),
        ("b.jpg", "2"),
    ]
    assert [row.problem for row in found] == ["", ""]


def test_a_line_is_told_where_its_row_begins(path):
    content = 'file,x\n\n"a\nb",1\n,\nc,2\n"d\r\n\r\ne",3\nf,4,5\n'
    found = rows(path, content)
    assert [row.line for row in found] == [3, 6, 7, 10]
    assert [row.problem for row in found] == ["", "", "", "expected 2 fields, got 3"]


def test_missing_fields_are_empty(path):
    found = rows(path, "file,x,y,more\na\nb,,7\n", optional=("y", "z"))
    assert [(row.values["x"], row.values["y"], row.values["z"]) for row in found] == [
        ("", "", ""),
        ("", "7", ""),
    ]


def test_a_comma_is_no_decimal_point_where_it_separates(path):
    assert rows(path, 'file,x\na,"1,5"\n')[0].values["x"] == "1,5"
    assert rows(path, 'file;x\na,b;"1,5"\n')[0].values == {"file": "a,b", "x": "1.5"}


@pytest.mark.parametrize("bad", ['"b,2', '"b"c,2', '"b,"2', '"' + "b" * 200_000 + ",2"])
def test_a_quote_that_does_not_close_costs_its_line(path, bad):
    found = rows(path, f'file,x\na,1\n{bad}\nc,3\n"d",4\n')
    assert [(row.line, row.values["file"]) for row in found if not row.problem] == [
        (2, "a"),
        (4, "c"),
        (5, "d"),
    ]
    assert found[1].line == 3
    assert "closed quotes" in found[1].problem
    assert found[1].values["file"].startswith("b")


def test_a_damaged_byte_costs_its_line(path):
    # neither UTF-8 nor cp1252, beside whole UTF-8; and what a power failure leaves
    found = rows(path, "file,x\nä,1\n".encode() + b"b\x81,2\nc,3\n\0\0\0\0")
    assert [row.values["file"] for row in found if not row.problem] == ["ä", "c"]
    assert [row.line for row in found if row.problem] == [3, 5]
    assert all("UTF-8, UTF-16 or cp1252" in row.problem for row in found if row.problem)


def test_each_line_decides_for_itself_between_utf_8_and_cp1252(path):
    path.write_bytes("ä\n".encode() + "ä\n".encode("cp1252"))
    assert text_lines(path) == ["ä\n", "ä\n"]
    path.write_bytes(b"")
    assert text_lines(path) == []
