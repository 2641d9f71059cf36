"""Telling students apart by the names of files, and finding them in a roster.

Learning platforms name what they export: Moodle ``Ada Lovelace_12345_assignsubmission_file_``,
a folder or the beginning of a file's name, whose number belongs to the submission; Canvas
``lovelaceada_LATE_67890_13579_network.ipynb``, where the first number is the student's.
"""

import csv
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deepinside.classroom.grading.submissions import text_of

_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_?")
_CANVAS = re.compile(r"(?P<name>[^\W_]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_.+", re.IGNORECASE)
# what browsers, Canvas and students add to a file's name
_COPY = re.compile(r"[ _-]*(\(\d+\)|-\d+|copy\d*|final|solution|abgabe)$|^copy of ", re.IGNORECASE)

# headers of rosters, in lower case and without what is no letter
_HEADERS = {
    "id": (
        "idnumber", "studentid", "studentnumber", "sisuserid", "matriculationnumber",
        "matrikelnummer", "idnummer", "numerodetudiant", "id", "number",
    ),
    "login": ("username", "login", "loginid", "sisloginid", "user", "userid", "anmeldename"),
    "email": ("email", "emailaddress", "mail", "emailadresse", "mailaddress", "adresseemail"),
    "name": ("name", "fullname", "student", "studentname", "vollstandigername", "nomcomplet"),
    "first": ("firstname", "givenname", "forename", "vorname", "prenom"),
    "last": ("lastname", "surname", "familyname", "nachname", "nom"),
}  # fmt: skip
# letters that have no accent to take off, and what stands for them in names of accounts
_SPELLED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


class Sender(NamedTuple):
    """Whom a file is from, by its name: a name or account, a platform's number, and if late."""

    name: str
    number: str = ""
    platform: str = ""
    is_late: bool = False


class Student(NamedTuple):
    """A line of a roster, or whoever is known by a file's name only."""

    name: str
    id: str = ""
    email: str = ""
    login: str = ""
    given: Mapping[str, str] = {}


def senders(files: Sequence[str], notebooks: Collection[str]) -> dict[str, Sender]:
    """Return whom each file is from; a name is "" where none can be told.

    Parameters
    ----------
    files : sequence of str
        Paths below the folder.
    notebooks : collection of str
        Names of assignments, which are nobody's name.
    """
    parts = {file: [re.sub(r"\.(ipynb|zip)$", "", part, flags=re.I) for part in file.split("/")]
             for file in files}  # fmt: skip
    # a folder that all have in common is nobody's
    shared = 0
    folders = [tuple(split[:-1]) for split in parts.values()]
    if len(set(folders)) > 1:
        while len({split[shared : shared + 1] for split in folders}) == 1 and folders[0][shared:]:
            shared += 1
    return {file: _sender(split, split[shared:], notebooks) for file, split in parts.items()}


def read_roster(path: Path) -> list[Student]:
    """Return the students of a CSV file with a header, as Moodle, Canvas or a teacher wrote it.

    Raises
    ------
    ValueError
        If no column has the names, IDs or e-mail addresses.
    """
    text = text_of(path.read_bytes())
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    headers = [header for header in (rows[0] if rows else ()) if header]
    columns: dict[str, str] = {}
    for kind, known in _HEADERS.items():
        for wanted in known:  # the first of these names that there is
            for header in headers:
                if _letters(header) == wanted:
                    columns.setdefault(kind, header)
    if not columns:
        raise ValueError(
            f"expected a header with columns such as ID, Email and Name in {path}, got {first[:80]}"
        )
    students = []
    for row in rows:
        value = {kind: (row.get(header) or "").strip() for kind, header in columns.items()}
        given = {header: (row.get(header) or "").strip() for header in headers}
        name = value.get("name") or f"{value.get('first', '')} {value.get('last', '')}".strip()
        is_person = _letters(name) not in ("pointspossible", "studenttest", "teststudent")
        if any(value.values()) and is_person:
            own = {kind: value.get(kind, "") for kind in ("id", "email", "login")}
            students.append(Student(name, **own, given=given))
    return students


def find_student(sender: Sender, roster: Sequence[Student]) -> Student | None:
    """Return the one student of a roster whom a sender is, or None.

    By the e-mail address, the account or the ID, else by the name, however it is written: in
    any order, with or without accents, or in one word as Canvas writes it.
    """
    tokens = set(_tokens(sender.name))
    if sender.platform != "moodle":  # Moodle's number is that of a submission
        numbers = {sender.number} - {""} or {word for word in re.split(r"[\W_]+", sender.name)}
        accounts = numbers | {sender.name.casefold()}
        for student in roster:
            local = student.email.casefold().partition("@")[0]
            ids = {student.id, student.given.get("ID", "")} | {
                student.login.casefold(), student.email.casefold(), local
            }  # fmt: skip
            if (ids - {""}) & accounts:
                return student
    if not tokens:
        return None
    for same in (_same_name, _part_of_name):
        found = [student for student in roster if same(sender.name, student.name)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def name_key(name: str) -> str:
    """Return what is the same for two spellings of a name: no accents, no order, no case."""
    return " ".join(sorted(_tokens(name)))


def _sender(split: Sequence[str], parts: Sequence[str], notebooks: Collection[str]) -> Sender:
    for part in split:
        if found := _MOODLE.match(part):
            return Sender(found["name"].strip(), found["id"], "moodle")
    for part in split:
        if found := _CANVAS.fullmatch(part):
            return Sender(found["name"], found["id"], "canvas", bool(found["late"]))
    for part in parts:
        if name := _without(part, notebooks):
            return Sender(name)
    return Sender("")


def _without(part: str, notebooks: Collection[str]) -> str:
    """Return what a part of a path says beside the name of an assignment."""
    rest = _COPY.sub("", part)
    for notebook in sorted(notebooks, key=len, reverse=True):
        words = re.escape(notebook).replace("_", "[ _-]")
        rest = re.sub(rf"(?:^|(?<=[\W_])){words}(?=$|[\W_])", "", rest, flags=re.IGNORECASE)
    return rest.strip(" _-.")


def _same_name(sent: str, known: str) -> bool:
    if name_key(sent) == name_key(known):
        return True
    joined = {"".join(_tokens(sent, spelled)) for spelled in (False, True)}
    for spelled in (False, True):
        tokens = _tokens(known, spelled)
        turned = {"".join(tokens[i:] + tokens[:i]) for i in range(len(tokens))}
        if joined & turned - {""} or sorted(_tokens(sent)) == sorted(tokens):
            return True
    return False


def _part_of_name(sent: str, known: str) -> bool:
    """Return whether one has all words of the other, and two at least."""
    one, other = set(_tokens(sent)), set(_tokens(known))
    return min(len(one), len(other)) > 1 and (one <= other or other <= one)


def _tokens(name: str, spelled: bool = False) -> list[str]:
    """Return a name's words in lower case, of any script, without accents."""
    folded = unicodedata.normalize("NFC", name).casefold()
    folded = folded.translate(_UMLAUTS) if spelled else folded
    apart = unicodedata.normalize("NFKD", folded.translate(_SPELLED))
    # a dash within a name splits it, an apostrophe does not
    plain = "".join(c for c in apart if not unicodedata.combining(c) and c not in "'’`")
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain))


def _letters(header: str) -> str:
    return "".join(_tokens(header))
