"""Finding the notebooks of a folder, also those in zip files.

Nothing is unpacked onto the disk, so that no name in an archive can lead out of the folder.
"""

import contextlib
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# of one notebook in an archive, and of all that is read from one archive, in bytes
LARGEST = 50 * 2**20
LARGEST_IN_ALL = 500 * 2**20
# what is handed in instead of a notebook
_OTHERS = (
    ".7z", ".doc", ".docx", ".gz", ".htm", ".html", ".json", ".odt", ".pdf", ".py", ".rar", ".tar",
    ".tgz", ".txt",
)  # fmt: skip


class Found(NamedTuple):
    """A file that was handed in.

    Attributes
    ----------
    file : str
        Its path below the folder, through archives.
    content : bytes
        What is in it.
    time : float
        When it was last changed, in seconds; an archive knows it, too.
    error : str
        Why there is no content, or "".
    """

    file: str
    content: bytes = b""
    time: float = 0.0
    error: str = ""


def find_notebooks(folder: Path) -> Iterator[Found]:
    """Yield the notebooks of a folder in the order of their names, and what cannot be one.

    Copies that Jupyter and macOS keep for themselves are left out. Another kind of file is
    named only where there is no notebook beside it.
    """
    paths = sorted(path for path in folder.rglob("*") if _is_handed_in(path.relative_to(folder)))
    answered = {path.parent for path in paths if path.suffix.lower() in (".ipynb", ".zip")}
    for path in paths:
        # as it will be in the table; the name of a file on disk need not be Unicode
        file = path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
        kind = path.suffix.lower()
        if kind in (".ipynb", ".zip") and path.is_file():
            try:
                content, time = path.read_bytes(), path.stat().st_mtime
            except OSError as reason:
                yield Found(file, error=f"cannot be read: {reason}")
                continue
            yield from _unpacked(file, content) if kind == ".zip" else [Found(file, content, time)]
        elif kind in _OTHERS and path.parent not in answered | {folder}:
            yield Found(file, error=f"is no notebook but a {kind} file")


def _unpacked(file: str, content: bytes, *, nested: bool = True) -> Iterator[Found]:
    """Yield the notebooks of a zip file, and of those in it."""
    found, left = False, LARGEST_IN_ALL
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                inner = _path(member)
                kind = inner.suffix.lower()
                if member.is_dir() or not _is_handed_in(inner) or kind not in (".ipynb", ".zip"):
                    continue
                found, path = True, f"{file}/{inner}"
                if kind == ".zip" and not nested:
                    yield Found(path, error="is a zip file in a zip file in a zip file")
                elif member.file_size > min(LARGEST, left):
                    yield Found(path, error=f"is too large: {member.file_size / 2**20:.0f} MB")
                else:
                    with archive.open(member) as opened:  # whatever size it says that it has
                        data = opened.read(member.file_size)
                    left -= len(data)
                    if kind == ".zip":
                        yield from _unpacked(path, data, nested=False)
                    else:
                        yield Found(path, data, _time(member))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as reason:
        yield Found(file, error=f"is a zip file that cannot be opened: {reason}")
    except Exception as reason:  # zlib's and lzma's errors
        yield Found(file, error=f"is a zip file that cannot be opened: {type(reason).__name__}")
    else:
        if not found:
            yield Found(file, error="is a zip file without a notebook")


def _is_handed_in(path: Path | PurePosixPath) -> bool:
    hidden = {".ipynb_checkpoints", "__MACOSX"} & set(path.parts)
    return not hidden and not path.name.startswith("._")


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    """Return a member's path without what would lead out of the archive."""
    name = member.filename
    if not member.flag_bits & 0x800:  # macOS writes UTF-8 and does not say so
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    parts = re.split(r"[/\\]", name)
    return PurePosixPath(*(part for part in parts if part.strip(". ")))


def _time(member: zipfile.ZipInfo) -> float:
    try:
        return datetime(*member.date_time).timestamp()
    except (ValueError, OverflowError):
        return 0.0
