"""Reading CSV tables as they come in practice: from Excel in any country, with damaged lines."""

import codecs
import csv
import re
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# what stands for bytes that are no text, here or where the file was made
_NO_TEXT = re.compile("[\0\ufffd]")


class Row(NamedTuple):
    """A row: the line where it begins (the first is 1), its values, and what is wrong with it."""

    line: int
    values: dict[str, str]
    problem: str


def read_table(
    path: Path, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield the rows of a CSV file, with a value for each column, stripped; "" where none is.

    Fields are separated by commas, semicolons, tabs, or what a first line `sep=` says; unless
    commas separate them, numbers may have a decimal comma. Lines without values are left out.

    Parameters
    ----------
    path : Path
        The file, as `text_lines` reads it.
    texts, numbers : sequence of str
        The columns that the file must have, in any case and order. A number's value is still
        text, but with a decimal point.
    optional : sequence of str
        The columns of numbers that the file may have.

    Raises
    ------
    ValueError
        If a column is missing or stands twice.
    """
    lines = text_lines(path)
    # Excel's empty cells leave separators
    start = next((at for at, line in enumerate(lines) if line.strip(" ,;\t\r\n")), 0)
    separators = ",;\t"
    if lines and (stated := re.match(r'"?sep=([^\r\n"])', lines[start], re.IGNORECASE)):
        separators, start = stated[1], start + 1
    needed = (*texts, *numbers)
    for separator in separators:
        rows = _split(lines, start, separator)
        _, names, _ = next(rows, (0, [], ""))
        header = [" ".join(name.split()).lower() for name in names]
        if set(needed) <= set(header):
            break
    else:
        got = reprlib.repr("".join(lines[start : start + 1]).strip())
        where = f"{path}, line {start + 1}"
        raise ValueError(f"expected columns {', '.join(needed)} in {where}, got {got}")
    for name in (*needed, *optional):
        if header.count(name) > 1:
            raise ValueError(f"expected one column {name} in {path}, got {header.count(name)}")
    absent = dict.fromkeys((*needed, *optional), "")
    for line, fields, problem in rows:
        fields = [field.strip() for field in fields]
        if not any(fields):
            continue
        if any(fields[len(header) :]):
            problem = problem or f"expected {len(header)} fields, got {len(fields)}"
        if any(map(_NO_TEXT.search, fields)):
            problem = "expected text in UTF-8, UTF-16 or cp1252, got other bytes"
        values = absent | dict(zip(header, fields, strict=False))
        if separator != ",":
            values |= {name: values[name].replace(",", ".") for name in (*numbers, *optional)}
        yield Row(line, values, problem)


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-16 (with its mark), UTF-8 or cp1252.

    Between the last two each line decides for itself, so that a damaged byte costs only its
    own line. A byte that neither knows becomes U+FFFD.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)
    return [_decoded(line) for line in lines]


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _split(lines: list[str], start: int, separator: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield each row's first line (counted from 1), its fields, and what is wrong with quotes.

    A quote that does not close as it should costs one line, not those that follow.
    """
    while start < len(lines):
        following = (lines[at] for at in range(start, len(lines)))
        reader = csv.reader(following, delimiter=separator, skipinitialspace=True, strict=True)
        first = start
        try:
            for fields in reader:
                yield first + 1, fields, ""
                first = start + reader.line_num
            return
        except csv.Error as error:
            fields = lines[first].replace('"', "").split(separator)
            yield first + 1, fields, f"expected closed quotes, but: {error}"
            start = first + 1
