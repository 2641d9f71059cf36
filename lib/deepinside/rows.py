"""Rows of a CSV file that a long run writes as it goes, and continues when started again.

A run that was killed may leave an incomplete last line. `read_rows` skips it, and the next run
removes it, as it begins with `write_rows`.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import IO


def read_rows(path: str | Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the complete rows of an earlier run; none if the file is missing or empty.

    Parameters
    ----------
    path : str or Path
        The file; it is not changed.
    columns : sequence of str
        The columns that its header must begin with; further ones are read as well.

    Raises
    ------
    ValueError
        If it is another kind of file.
    """
    path = Path(path)
    expected = f"no file or one that begins with {','.join(columns)}"
    if path.exists() and not path.is_file():  # a device, say, which nothing may replace
        raise ValueError(f"expected {expected}, got {path}, which is not a file")
    if not path.exists() or not path.stat().st_size:
        return
    # names of files, which need not be Unicode, are among what was written
    with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="\n") as file:
        # a spreadsheet may have saved it with semicolons, as is usual where 1.5 is 1,5
        header = file.readline()
        delimiter = ";" if header.startswith(";".join(columns)) and columns[1:] else ","
        lines = chain([header], file)
        reader = csv.DictReader((line for line in lines if line.endswith("\n")),
                                delimiter=delimiter)  # fmt: skip
        try:
            if list(reader.fieldnames or ())[: len(columns)] != list(columns):
                raise ValueError(f"expected {expected}, got {path}")
            for row in reader:
                if None not in row and None not in row.values():
                    yield row
        except csv.Error as error:
            raise ValueError(f"expected {expected}, got {path}: {error}") from error


def write_rows(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, object]] = (),
    *,
    encoding: str = "utf-8",
) -> None:
    """Replace a file by one with these rows, in one step, so that one of the two always exists.

    The rows may be those that `read_rows` is still reading from the same file. Values without
    a column are left out, and missing values are empty.
    """
    path = path.resolve()  # of a link, what it leads to is replaced
    beside = path.with_name(f"{path.name}.{token_hex(4)}.new")
    with _opened(beside, "x", encoding) as file:
        try:
            write = _writer(file, columns)
            write(dict(zip(columns, columns, strict=True)))
            for row in rows:
                write(row)
            file.close()
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def appending(
    path: Path, columns: Sequence[str]
) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Give a function that appends a row to a file of `write_rows` and flushes it.

    If the process is killed, every row that it appended is in the file.
    """
    with _opened(path, "a") as file:
        write = _writer(file, columns)

        def append(row: Mapping[str, object]) -> None:
            write(row)
            file.flush()

        yield append


@contextmanager
def claiming(path: Path) -> Iterator[None]:
    """Claim a file of rows for this process, until the block or the process ends.

    Raises
    ------
    ValueError
        If another process has claimed it, or a file stands where the claim would.
    """
    # not above, as whoever only says what a system lacks needs no locks
    from filelock import FileLock, Timeout

    path = path.resolve()  # however it is called, it is claimed once
    beside = path.with_name(f".{path.name}.lock")
    if beside.exists() and beside.stat().st_size:  # the lock would empty it
        raise ValueError(f"expected no file or an empty one at {beside}, got one with content")
    lock = FileLock(beside, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"expected {path} for this process alone, but another one is writing to it"
        ) from error
    try:
        yield
    finally:
        # while it is held, so that nobody's next claim is of a file that is gone
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _opened(path: Path, mode: str, encoding: str = "utf-8") -> IO[str]:
    return path.open(mode, encoding=encoding, errors="backslashreplace", newline="")


def _writer(file: IO[str], columns: Sequence[str]) -> Callable[[Mapping[str, object]], None]:
    """Return what writes a row; one with a carriage return in quotes, or it could not be read."""
    plain, quoted = (
        csv.DictWriter(
            file, columns, restval="", extrasaction="ignore", lineterminator="\n", quoting=quoting
        )
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )

    def write(row: Mapping[str, object]) -> None:
        has_return = any("\r" in str(value) for value in row.values())
        (quoted if has_return else plain).writerow(row)

    return write
