"""Whom a file is from, a row a student, and tables for learning platforms, on made-up exports."""

import io
import json
import unicodedata
import zipfile
from types import SimpleNamespace

import pytest

from deepinside.classroom.grading import archives
from deepinside.classroom.grading.archives import Found, find_notebooks
from deepinside.classroom.grading.command import Graded, write_students
from deepinside.classroom.grading.course import Course
from deepinside.classroom.grading.students import (
    Sender,
    Student,
    find_student,
    read_roster,
    senders,
)  # fmt: skip
from deepinside.classroom.grading.submissions import read_submission
from deepinside.rows import read_rows

TASKS = {
    "network": (
        SimpleNamespace(name="twice", answer="double", points=1),
        SimpleNamespace(name="half-of-it", answer="half", points=2),
    ),
    "later_methods": (SimpleNamespace(name="shout", answer="shout", points=1),),
}
STUB = "*Write your answer here.*"
QUESTION = {"grade_id": "network-question", "grade": True, "solution": True, "points": 4}
DOUBLE = "def double(n):\n    one = n\n    other = n\n    both = one + other\n    return both"
HALF = "def half(n):\n    return n / 2"
LONG = "The curve is made of straight pieces, as every layer is linear up to a constant, or " * 3


def cell(kind, source, **more):
    outputs = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source} | outputs | more


def notebook(*cells):
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def answers(text=STUB, double=DOUBLE, half=HALF):
    return notebook(
        cell("code", double), cell("code", half), cell("markdown", "## 7. A question\n\nWhy?"),
        cell("markdown", text),
    )  # fmt: skip


@pytest.fixture
def course(tmp_path):
    """A course with one open question."""
    for folder, text in (
        ("students", STUB),
        ("source/network", "### BEGIN SOLUTION\nAs it is <linear>.\n\n- 4: so\n### END SOLUTION"),
    ):
        path = tmp_path / "course" / folder / "network.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(
            notebook(
                cell("code", DOUBLE, metadata={"nbgrader": {"grade_id": "twice"}}),
                cell("markdown", "## 7. A question\n\nWhy?"),
                cell("markdown", text, metadata={"nbgrader": QUESTION}),
            )
        )
    return Course(tmp_path / "course")


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("file", "sender"),
    [
        ("Ada Müller_1234_assignsubmission_file_/network.ipynb", ("Ada Müller", "1234", "moodle")),
        ("Ada Müller_1234_assignsubmission_file/my work.ipynb", ("Ada Müller", "1234", "moodle")),
        ("Zoë O'Neil_77_assignsubmission_file_network.ipynb", ("Zoë O'Neil", "77", "moodle")),
        ("week 1/王 小明_9_assignsubmission_file_/x.zip/y.ipynb", ("王 小明", "9", "moodle")),
        ("mullerada_12345_67890_network.ipynb", ("mullerada", "12345", "canvas")),
        ("mullerada_LATE_12345_67890_network-2.ipynb", ("mullerada", "12345", "canvas", True)),
        ("network/Łukasz Żak.ipynb", ("Łukasz Żak",)),
        ("Łukasz Żak/network.ipynb", ("Łukasz Żak",)),
        ("submitted/ada/network/network.ipynb", ("submitted",)),
        ("later_methods_ada.ipynb", ("ada",)),
        ("ada - later methods (2).ipynb", ("ada",)),
        ("Copy of network.ipynb", ("",)),
        ("network-1.ipynb", ("",)),
        ("ada.zip/network.ipynb", ("ada",)),
    ],
)
def test_exports_of_platforms_and_plain_folders_tell_the_student(file, sender):
    assert senders([file], TASKS)[file] == Sender(*sender)


def test_a_folder_that_all_share_is_nobodys():
    found = senders(["submitted/ada/network.ipynb", "submitted/bob/network.ipynb"], TASKS)
    assert [sender.name for sender in found.values()] == ["ada", "bob"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    "table",
    [
        "First name,Surname,ID number,Email address\nAda,Müller,s1,ada@example.org\n",
        "Student;ID;SIS User ID;SIS Login ID\n    Points Possible;;;\nMüller, Ada;55;s1;ada\n",
        "E-MAIL\tmatriculation number\tNAME\nada@example.org\ts1\tAda Müller\n\t\t\n",
        "Vorname;Nachname;Matrikelnummer;E-Mail-Adresse\nAda;Müller;s1;ada@example.org\n",
    ],
)
def test_rosters_are_read_whoever_wrote_them(tmp_path, table, encoding):
    (tmp_path / "roster.csv").write_text(table, encoding)
    (student,) = read_roster(tmp_path / "roster.csv")
    assert find_student(Sender("ada muller"), [student]) is student
    assert "s1" in (student.id, student.given.get("SIS User ID"))


def test_a_roster_without_a_known_column_is_refused(tmp_path):
    (tmp_path / "roster.csv").write_text("color,size\nred,2\n")
    with pytest.raises(ValueError, match=r"expected a header with .*, got color,size"):
        read_roster(tmp_path / "roster.csv")


ROSTER = [
    Student("Ada Müller", "s1", "ada.mueller@example.org"),
    Student("Łukasz Żak", "s2", "lz@example.org", given={"ID": "555"}),
    Student("王 小明", "s3", "wang@example.org"),
    Student("José María de la Cruz", "s4", "jose@example.org"),
    Student("Иванова Анна", "s5"),
    Student("Kim Lee", "s6"),
    Student("Kim Lee", "s7"),
    Student("Jean-Luc O'Neil", "s8"),
    Student("Adam Muller", "s9"),
]


@pytest.mark.parametrize(
    ("sender", "found"),
    [
        (Sender("Ada Müller", "s9", "moodle"), "s1"),  # Moodle's number is no ID
        (Sender(unicodedata.normalize("NFD", "Ada Müller"), "1", "moodle"), "s1"),
        (Sender("Mueller Ada"), "s1"),
        (Sender("müllerada", "1", "canvas"), "s1"),
        (Sender("muellerada", "1", "canvas"), "s1"),
        (Sender("ada.mueller"), "s1"),
        (Sender("ADA.MUELLER@example.org"), "s1"),
        (Sender("someone", "555", "canvas"), "s2"),
        (Sender("lukasz_zak"), "s2"),
        (Sender("s2"), "s2"),
        (Sender("abgabe s2 v3"), "s2"),
        (Sender("王小明", "1", "canvas"), "s3"),
        (Sender("小明 王"), "s3"),
        (Sender("José Cruz"), "s4"),
        (Sender("Анна Иванова"), "s5"),
        (Sender("Kim Lee"), None),
        (Sender("s7"), "s7"),
        (Sender("oneiljeanluc", "1", "canvas"), "s8"),
        (Sender("adammuller", "1", "canvas"), "s9"),
        (Sender("Ada"), None),
        (Sender("Bob"), None),
        (Sender("..."), None),
    ],
)
def test_a_student_is_found_however_the_name_is_written(sender, found):
    student = find_student(sender, ROSTER)
    assert (student.id if student else None) == found


def grade(files, course, points):
    """Return what grading would make of files, {name: (content, time)}."""
    submissions = [
        read_submission(Found(name, content.encode(), time), TASKS, course)
        for name, (content, time) in files.items()
    ]
    rows = [
        {"file": s.file, "notebook": s.notebook, "points": points.get(s.file, "3"), "of": "3",
         "remarks": s.error} for s in submissions
    ]  # fmt: skip
    present = {s.notebook for s in submissions}
    questions = {name: course.questions(name) for name in TASKS if name in present}
    return Graded(rows, submissions, questions)


def test_a_row_a_student(tmp_path, course):
    laid_out = DOUBLE.replace(":\n", ":\n    'Doubled.'\n\n", 1).replace(
        "one + other", "(one+other)"
    )
    files = {
        "Ada Müller_1_assignsubmission_file_/network.ipynb": (answers(), 1),
        "Ada Müller_1_assignsubmission_file_/network-1.ipynb": (answers(half="x = 1"), 2),
        "王 小明_2_assignsubmission_file_/a.ipynb": (answers(LONG, half="def half(n):\n    1"), 1),
        "Eve_3_assignsubmission_file_/a.ipynb": (answers(LONG + ".", DOUBLE + "  # twice"), 1),
        "network.ipynb": (answers(), 1),
        "Bob_4_assignsubmission_file_/a.ipynb": ("{", 1),
        "Zoe_5_assignsubmission_file_/a.ipynb": (answers(double=laid_out), 1),
    }  # fmt: skip
    (tmp_path / "roster.csv").write_text("ID,Name\ns1,Ada Müller\ns3,小明 王\ns4,Bob\ns9,Nobody\n")
    points = {"Ada Müller_1_assignsubmission_file_/network-1.ipynb": "1"}
    said = {}
    for keep in ("latest", "best"):
        said[keep] = write_students(
            grade(files, course, points), tmp_path / "grades.csv", tasks=TASKS,
            roster=read_roster(tmp_path / "roster.csv"), keep=keep,
        )  # fmt: skip
        path = tmp_path / "grades-students.csv"
        assert path.read_bytes().startswith(b"\xef\xbb\xbfname,id,email,network,points,of,remarks")
        rows = {row["name"]: row for row in read_rows(path, ("name", "id"))}
        assert list(rows) == ["Ada Müller", "小明 王", "Bob", "Nobody", "Eve", "Zoe"]
        assert rows["Ada Müller"]["network"] == {"latest": "1", "best": "3"}[keep]
        counted = {
            "latest": "network-1.ipynb counts (latest)",
            "best": "network.ipynb counts (best)",
        }
        assert counted[keep] in rows["Ada Müller"]["remarks"]
    assert (rows["Nobody"]["remarks"], rows["Nobody"]["network"]) == ("handed in nothing", "")
    assert "a.ipynb is no notebook: " in rows["Bob"]["remarks"]
    assert rows["Eve"]["remarks"] == "not in the roster; same answers in network as Ada Müller, Zoe"
    assert "Eve" in rows["Zoe"]["remarks"] and "小明" not in rows["Eve"]["remarks"]
    assert said["latest"][1:] == [
        "not in the roster: Eve, Zoe", "of no student that the name tells: network.ipynb",
    ]  # fmt: skip


def test_same_texts_and_two_numbers_of_moodle_are_named(tmp_path, course):
    files = {
        "Ada_1_assignsubmission_file_/a.ipynb": (answers(LONG), 1),
        "Ada_2_assignsubmission_file_/a.ipynb": (answers(STUB, half="0"), 2),
        "Bob_3_assignsubmission_file_/a.ipynb": (answers(LONG.replace(" ", "\n"), half="1"), 1),
    }
    write_students(grade(files, course, {}), tmp_path / "grades.csv", tasks=TASKS)
    rows = {row["name"]: row for row in read_rows(tmp_path / "grades-students.csv", ("name",))}
    assert "Moodle's numbers 1, 2: one student?" in rows["Ada"]["remarks"]
    assert rows["Bob"]["remarks"] == "same text in network-question as Ada"


def test_short_functions_that_are_the_same_are_no_copy(tmp_path, course):
    short = "def double(n):\n    return 2 * n"
    files = {f"{who}/network.ipynb": (answers(double=short), 1) for who in ("Ada", "Bob")}
    write_students(grade(files, course, {}), tmp_path / "grades.csv", tasks=TASKS)
    rows = read_rows(tmp_path / "grades-students.csv", ("name",))
    assert [row["remarks"] for row in rows] == ["", ""]


def test_tables_to_upload(tmp_path, course):
    files = {
        "mullerada_LATE_55_1_network.ipynb": (answers(), 1),
        "zak_66_2_later_methods.ipynb": (notebook(cell("code", "def shout(s): return s")), 1),
    }
    gradebook = (
        "Student,ID,SIS User ID,SIS Login ID,Section,Later Methods (88)\n"
        '"Müller, Ada",55,s1,ada,A,\n"Żak, Łukasz",66,s2,lz,A,\n"Student, Test",7,,x,A,\n'
    )
    (tmp_path / "roster.csv").write_text(gradebook, "utf-8")
    graded = grade(files, course, {"zak_66_2_later_methods.ipynb": "0.5"})
    for platform in ("canvas", "moodle"):
        write_students(
            graded, tmp_path / "g.csv", tasks=TASKS, roster=read_roster(tmp_path / "roster.csv"),
            platform=platform,
        )  # fmt: skip
    assert (tmp_path / "g-canvas.csv").read_text("utf-8-sig").splitlines() == [
        "Student,ID,SIS User ID,SIS Login ID,Section,network,Later Methods (88)",
        "    Points Possible,,,,,7,1",
        '"Müller, Ada",55,s1,ada,A,3,',
        '"Żak, Łukasz",66,s2,lz,A,,0.5',
    ]
    assert (tmp_path / "g-moodle.csv").read_text("utf-8-sig").splitlines() == [
        "ID number,Email address,Full name,network,Later Methods (88)",
        's1,,"Müller, Ada",3,',
        's2,,"Żak, Łukasz",,0.5',
    ]
    rows = {row["id"]: row for row in read_rows(tmp_path / "g-students.csv", ("name",))}
    assert rows["s1"]["remarks"] == "network: late"


def test_zip_files_are_opened_and_what_cannot_be_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 10_000)
    inner = zipped(**{"n.ipynb": answers(), "z.zip": zipped(**{"m.ipynb": "1"})})
    files = {
        "a.zip": zipped(**{
            "x/network.ipynb": answers(), "__MACOSX/x/._network.ipynb": b"\0", "x/._n.ipynb": b"\0",
            ".ipynb_checkpoints/n.ipynb": answers(), "../../out.ipynb": answers(),
            "/etc/abs.ipynb": answers(), "inner.zip": inner,
            "large.ipynb": b"0" * 10_001, "notes.txt": b"",
        }),
        "b.zip": b"PK no zip",
        "c.zip": zipped(**{"notes.txt": "none"}),
        "d.zip": zipped(**{"n.ipynb": answers()}).replace(b"cells", b"sllec")[:-30],
        "._e.ipynb": b"\0", "f/work.pdf": b"%PDF", "g/work.pdf": b"%PDF", "h.txt": b"",
        "i/.ipynb_checkpoints/n-checkpoint.ipynb": answers().encode(),
    }  # fmt: skip
    files["g/n.ipynb"] = answers().encode()
    for name, content in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = list(find_notebooks(tmp_path / "in"))
    assert [f.file for f in found if not f.error] == [
        "a.zip/x/network.ipynb", "a.zip/out.ipynb", "a.zip/etc/abs.ipynb",
        "a.zip/inner.zip/n.ipynb", "g/n.ipynb",
    ]  # fmt: skip
    errors = {f.file: f.error for f in found if f.error}
    assert errors["a.zip/large.ipynb"] == "is too large: 0 MB"
    assert errors["a.zip/inner.zip/z.zip"] == "is a zip file in a zip file in a zip file"
    assert errors["b.zip"].startswith("is a zip file that cannot be opened")
    assert errors["c.zip"] == "is a zip file without a notebook"
    assert errors["d.zip"].startswith("is a zip file that cannot be opened")
    assert errors["f/work.pdf"] == "is no notebook but a .pdf file"
    assert len(errors) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_an_archive_unpacks_to_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_IN_ALL", 25_000)
    (tmp_path / "a.zip").write_bytes(zipped(**{f"{i}.ipynb": b"0" * 10_000 for i in range(4)}))
    found = list(find_notebooks(tmp_path))
    assert [bool(f.error) for f in found] == [False, False, True, True]


def test_the_time_of_a_member_is_that_of_its_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, year in (("a.ipynb", 2024), ("b.ipynb", 2023)):
            archive.writestr(zipfile.ZipInfo(name, (year, 5, 1, 0, 0, 0)), answers())
    first, second = find_notebooks(tmp_path)
    assert first.time > second.time > 0


def test_open_questions_are_found_and_shown_without_doing_harm(tmp_path, course):
    evil = "<script>alert(1)</script> & **bold** `code` *really*"
    files = {
        "Ada/network.ipynb": (answers(evil), 1),
        "Bob/network.ipynb": (answers(), 1),
        '"><b>Eve/network.ipynb': (answers("Fine."), 1),
    }
    graded = grade(files, course, {})
    graded.rows[0]["network-question"] = "2.5"
    sheet = tmp_path / "essays.html"
    write_students(graded, tmp_path / "grades.csv", tasks=TASKS, essays=sheet)
    text = sheet.read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <strong>bold</strong>" in text
    assert text.count("<script>") == 1 and "<b>" not in text
    assert "As it is &lt;linear&gt;." in text and "BEGIN SOLUTION" not in text
    assert text.count("<em>no answer</em>") == 1 and text.count("<label ") == 3
    assert "<em>really</em>" in text
    assert 'value="2.5"' in text and "Points of 4" in text
