"""Files of boxes with damage of all kinds: a bad record costs its own photo's row."""

import json
import os
import random

import pytest
from PIL import Image

from deepinside.evaluation.annotations import Truth, read_classes, read_truths

COLUMNS = "file,label,x0,y0,x1,y1\n"
BOX = (1.0, 2.0, 4.0, 6.0)
GOOD = Truth("good.png", "dog", [BOX])


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def by_file(path, folder):
    """The truths by file: one a file, either boxes or a problem in one line."""
    found = read_truths(path, folder)
    for truth in found:
        assert truth.problem == " ".join(truth.problem.split())
        assert bool(truth.boxes) != bool(truth.problem)
        assert truth.file.encode()
    assert len({truth.file for truth in found}) == len(found)
    return {truth.file: truth for truth in found}


def problems(path, folder):
    return {file: truth.problem for file, truth in by_file(path, folder).items()}


# CSV


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.png,dog,1,2,3,x", "four numbers, got ['1', '2', '3', 'x']"),
        ("a.png,dog,1,2,3", "four numbers, got ['1', '2', '3', '']"),
        ("a.png,dog,1,2,,9", "four numbers"),
        ("a.png,dog,1,2,3,nan", "four numbers"),
        ("a.png,dog,1,2,-inf,5", "four numbers"),
        ("a.png,dog,1,2,1_0,5", "four numbers"),
        ('a.png,dog,1,2,"3,5",5', "four numbers"),
        ("a.png,dog,1,5,2,5,3,5,4,5", "6 fields, got 10"),
        ("a.png,dog,4,2,3,5", "x0 < x1"),
        ("a.png,dog,1,2,3,2", "y0 < y1"),
        ("a.png,,1,2,3,5", "expected a label"),
        ('a.png,"dog,1,2,3,5', "closed quotes"),
        ("a.png,d\0g,1,2,3,5", "UTF-8"),
    ],
)
def test_a_bad_line_costs_its_photo(folder, tmp_path, row, words):
    path = tmp_path / "boxes.csv"
    path.write_text(f"{COLUMNS}a.png,cat,1,1,9,9\n{row}\ngood.png,dog,1,2,4,6\n")
    found = by_file(path, folder)
    assert found["good.png"] == GOOD
    assert found["a.png"].problem.startswith("boxes.csv, line 3: expected ")
    assert words in found["a.png"].problem
    assert len(found) == 2


def test_a_row_without_a_box_is_a_photo_without_one(folder, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(f"{COLUMNS}a.png,dog,,,,\nb.png\ngood.png,,,,,\ngood.png,dog,1,2,4,6\n,,,,,\n")
    assert problems(path, folder) == {"a.png": "no box", "b.png": "no box", "good.png": ""}


def test_columns_may_state_the_size(folder, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "width,HEIGHT,file,label,x0,y0,x1,y1\n"
        "40,30,good.png,dog,1,2,4,6\n,,good.png,dog,2,2,4,6\n"
        "0,0,none.png,dog,1,2,4,6\n40,,none.png,dog,1,2,4,7\n"
        "40,30,two.png,dog,1,2,4,6\n30,40,two.png,dog,1,2,4,6\n"
        "40.5,30,half.png,dog,1,2,4,6\n-40,30,less.png,dog,1,2,4,6\n4e400,x,text.png,dog,1,2,4,6\n"
    )
    found = by_file(path, folder)
    assert found["good.png"] == Truth("good.png", "dog", [BOX, (2, 2, 4, 6)], (30, 40))
    assert found["none.png"].size is None
    assert found["none.png"].problem == ""
    words = "line 7: expected one size of the photo, got 40 x 30 pixels and 30 x 40 pixels"
    assert words in found["two.png"].problem
    for name in ("half.png", "less.png", "text.png"):
        assert "expected a width and a height in whole pixels" in found[name].problem


def test_files_are_below_the_folder_of_photos(folder, tmp_path):
    path = tmp_path / "boxes.csv"
    (folder / "back\\slash.png").touch()
    names = [
        "a.png", "./a.png", "sub/../a.png", "sub\\b.png", "sub/b.png", str(folder / "a.png"),
        "back\\slash.png", "../a.png", "/etc/a.png", "sub\\..\\..\\b.png", "",
        '"a\nb"', "c\x07.png",
    ]  # fmt: skip
    rows = [f"{name},dog,{x},2,40,6\n" for x, name in enumerate(names)]
    path.write_text(COLUMNS + "".join(rows))
    found = by_file(path, folder)
    assert [box[0] for box in found.pop("a.png").boxes] == [0, 1, 2, 5]
    assert [box[0] for box in found.pop("sub/b.png").boxes] == [3, 4]
    assert found.pop("back\\slash.png").boxes
    for name in ("../a.png", "/etc/a.png", "sub/../../b.png"):
        assert f"expected a photo below {folder}, got {name}" in found.pop(name).problem
    for line, got in ((12, "''"), (13, r"'a\nb'"), (15, r"'c\x07.png'")):
        assert found.pop(f"boxes.csv, line {line}").problem.endswith(
            f"expected the name of a photo, got {got}"
        )
    assert not found


# COCO


def coco(tmp_path, **more):
    content = {
        "images": [{"id": 1, "file_name": "good.png"}, {"id": 2, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    for name, entries in more.items():
        content[name] += entries
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": []}, "four numbers, got []"),
        ({"bbox": None, "segmentation": [[1, 1, 5, 1, 5, 5]]}, "four numbers, got None"),
        ({"bbox": [1, 2, 3]}, "four numbers, got [1, 2, 3]"),
        ({"bbox": "1 2 3 4"}, "four numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "four numbers"),
        ({"bbox": [1, 2, float("inf"), 4]}, "four numbers"),
        ({"bbox": [1, 2, 10**400, 4]}, "four numbers"),
        ({"bbox": [1, 2, True, 4]}, "four numbers"),
        ({"bbox": [1, 2, [3], {}]}, "four numbers"),
        ({"bbox": [1, 2, 0, 4]}, "x0 < x1"),
        ({"bbox": [1, 2, 3, -4]}, "y0 < y1"),
        ({"category_id": 7}, "one category of id 7, got 0"),
        ({"category_id": None}, "one category of id none, got 0"),
        ({"category_id": 2}, "expected a label"),
        ({"category_id": 3}, "expected a label"),
        ({"category_id": 4}, "one category of id 4, got 2"),
    ],
)
def test_a_bad_annotation_costs_its_image(folder, tmp_path, change, words):
    bad = {"id": 6, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}
    categories = [
        {"id": 2}, {"id": 3, "name": " "}, {"id": 4, "name": "x"}, {"id": 4, "name": "y"}, None,
        {"name": "z"},
    ]  # fmt: skip
    path = coco(tmp_path, categories=categories, annotations=[bad, bad | change])
    found = by_file(path, folder)
    assert found["good.png"] == GOOD
    assert found["a.png"].problem.startswith("boxes.json, annotation 6: expected ")
    assert words in found["a.png"].problem
    assert len(found) == 2


def test_numbers_may_be_text(folder, tmp_path):
    images = [{"id": "3", "file_name": "b.png", "width": "40", "height": "30.0"}]
    more = {"image_id": 3.0, "category_id": "1", "bbox": ["1", " 2", "3.0", "4"], "iscrowd": "0"}
    found = by_file(coco(tmp_path, images=images, annotations=[more]), folder)
    assert found["b.png"] == Truth("b.png", "dog", [BOX], (30, 40))


@pytest.mark.parametrize("crowd", [1, "1", True, "true"])
def test_each_image_is_a_photo(folder, tmp_path, crowd):
    images = [{"id": 3, "file_name": "crowd.png"}, {"id": 4, "file_name": "few.png"}]
    crowds = [
        {"id": 7, "image_id": 3, "category_id": 1, "iscrowd": crowd},
        {"id": 8, "image_id": 4, "category_id": 1, "iscrowd": crowd, "bbox": [0, 0, 90, 90]},
        {"id": 9, "image_id": 4, "category_id": 1, "bbox": [1, 2, 3, 4]},
    ]
    found = by_file(coco(tmp_path, images=images, annotations=crowds), folder)
    assert found["a.png"].problem == "no box"
    assert found["crowd.png"].problem == "no box, only crowds"
    assert found["few.png"] == Truth("few.png", "dog", [BOX])


def test_annotations_of_no_image_are_reported(folder, tmp_path):
    more = [
        {"id": 6, "image_id": 77, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 7, "image_id": 77, "category_id": 1, "bbox": []},
        {"id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"image_id": [1], "category_id": 1},
        None,
    ]
    found = problems(coco(tmp_path, annotations=more), folder)
    expected = "expected the image_id of an image, got"
    assert found == {
        "good.png": "",
        "a.png": "no box",
        "boxes.json, image 77": f"boxes.json, annotation 6: {expected} 77",
        "boxes.json, annotation 8": f"boxes.json, annotation 8: {expected} none",
        "boxes.json, image [1]": f"boxes.json, annotation number 5: {expected} [1]",
        "boxes.json, annotation number 6": f"boxes.json, annotation number 6: {expected} none",
    }


def test_images_that_cannot_be_told_apart_are_reported(folder, tmp_path):
    images = [
        {"id": 3, "file_name": "b.png"}, {"id": 4, "file_name": "./b.png"},
        {"id": 5, "file_name": "c.png"}, {"id": "5", "file_name": "d.png"},
        {"id": 6}, {"file_name": "e.png"}, "f.png", {"id": 7, "file_name": ["g.png"]},
        {"id": 8, "file_name": "\ud800.png"}, {"id": 9, "file_name": "../h.png"},
        {"id": 10, "file_name": "i.png", "width": 40, "height": "?"},
    ]  # fmt: skip
    more = [{"image_id": of, "category_id": 1, "bbox": [1, 2, 3, 4]} for of in range(3, 11)]
    found = problems(coco(tmp_path, images=images, annotations=more), folder)
    assert found.pop("good.png") == ""
    assert found.pop("a.png") == "no box"
    words = {
        "b.png": "image 4: expected one image of this file_name, got two",
        "c.png": "image 5: expected one of this id, got 2",
        "d.png": "image 5: expected one of this id, got 2",
        "boxes.json, image 6": "expected the name of a photo, got None",
        "e.png": "image number 8: expected an id, got none",
        "boxes.json, image number 9": "expected the name of a photo, got None",
        "boxes.json, image 7": "expected the name of a photo, got ['g.png']",
        "boxes.json, image 8": r"expected the name of a photo, got '\ud800.png'",
        "../h.png": "image 9: expected a photo below",
        "i.png": "image 10: expected a width and a height in whole pixels, got (40, '?')",
    }
    assert set(found) == set(words)
    for file, expected in words.items():
        assert expected in found[file]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_json_may_come_in_any_of_windows_encodings(folder, tmp_path, encoding):
    path = coco(tmp_path, images=[{"id": 3, "file_name": "MÜ.png"}])
    path.write_bytes(path.read_text().replace("\\u00dc", "Ü").encode(encoding))
    assert set(by_file(path, folder)) == {"good.png", "a.png", "MÜ.png"}


# Pascal VOC


def voc(path, filename="", body=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if body is None:
        body = thing()
    path.write_text(f"<annotation><filename>{filename}</filename>{body}</annotation>")


def thing(box="<xmin>2</xmin><ymin>3</ymin><xmax>4</xmax><ymax>6</ymax>", name="dog"):
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def photos(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "no box"),
        ("<object><name>dog</name></object>", "a.xml, object 1: expected four numbers, got [None"),
        (thing() + thing(box=""), "a.xml, object 2: expected four numbers"),
        (thing(box="<xmin>2</xmin><ymin>x</ymin><xmax/><ymax>6</ymax>"), "four numbers, got ['2'"),
        (thing(name=""), "object 1: expected a label"),
        (thing(name=" \n "), "object 1: expected a label"),
        (thing().replace("<name>dog</name>", ""), "object 1: expected a label"),
        (thing().replace(">4<", ">1<"), "x0 < x1"),
        (thing() + "<size><width>a</width><height>9</height></size>", "in whole pixels, got"),
        (thing() + "&nbsp;", "a.xml: undefined entity"),
    ],
)
def test_a_bad_object_costs_its_photo(folder, tmp_path, body, words):
    photos(folder, "a.png", "good.png")
    voc(tmp_path / "boxes" / "a.xml", "a.png", body)
    voc(tmp_path / "boxes" / "good.XML", "good.png")
    found = by_file(tmp_path / "boxes", folder)
    assert found["good.png"] == Truth("good.png", "dog", [(1, 2, 4, 6)])
    assert words in found["a.png"].problem
    assert len(found) == 2


@pytest.mark.parametrize("size", [(30, 40), None])
def test_xml_may_state_the_size(folder, size):
    height, width = size or (0, 0)
    voc(
        folder / "a.xml",
        "a.png",
        thing() + f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    )
    assert by_file(folder, folder)["a.png"] == Truth("a.png", "dog", [(1, 2, 4, 6)], size)


def test_xml_that_cannot_be_read_costs_its_photo(folder):
    texts = {
        "cut": b"<annotation><obj", "empty": b"", "other": b"<maven/>",
        "byte": b"<annotation>\xff</annotation>", "nul": b"<annotation>\0</annotation>",
        "unknown": b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        "multibyte": b'<?xml version="1.0" encoding="gbk"?><annotation/>',
        "outside": b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>',
        # a billion letters, if they were unfolded
        "bomb": b"<!DOCTYPE a [<!ENTITY e0 'eeeeeeeeee'>"
        + b"".join(b"<!ENTITY e%d '%s'>" % (i + 1, b"&e%d;" % i * 10) for i in range(8))
        + b"]><annotation>&e8;</annotation>",
    }  # fmt: skip
    for name, text in texts.items():
        photos(folder, f"{name}.png")
        (folder / f"{name}.xml").write_bytes(text)
    found = problems(folder, folder)
    assert set(found) == {f"{name}.png" for name in texts}
    assert all(found[f"{name}.png"].startswith(f"{name}.xml: ") for name in texts)
    assert "amplification" in found["bomb.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_xml_may_declare_its_encoding(folder, encoding):
    text = f"<annotation>{thing(name='Bär')}</annotation>"
    head = f"<?xml version='1.0' encoding='{encoding}'?>"
    photos(folder, "a.png")
    (folder / "a.xml").write_bytes((head + text).encode(encoding))
    assert by_file(folder, folder)["a.png"].label == "Bär"


@pytest.mark.parametrize(
    ("pictures", "xml", "filename", "found"),
    [
        # beside the XML file, whatever it says
        (["1.jpg", "2.jpg"], "photos/1.xml", "2.jpg", "1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "photos/b/1.xml", "1.jpg", "b/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "photos/b/1.xml", "a/1.jpg", "b/1.jpg"),
        (["1.JPG", "1.txt", "1.json"], "photos/1.xml", "", "1.JPG"),
        (["1.jpg", "photos/1.jpg"], "photos/photos/1.xml", "", "photos/1.jpg"),
        # the same place in another tree
        (["a/1.jpg", "b/1.jpg"], "boxes/a/1.xml", "b/1.jpg", "a/1.jpg"),
        (["1.jpg", "a/1.jpg"], "boxes/1.xml", "", "1.jpg"),
        (["1.jpg"], "photos/boxes/1.xml", "", "1.jpg"),
        # the only one of this name
        (["a/1.jpg", "a/2.jpg"], "boxes/1.xml", "2.jpg", "a/1.jpg"),
        (["1.jpg"], "boxes/train/1.xml", "", "1.jpg"),
        (["1.jpg"], "boxes/1.jpg.xml", "", "1.jpg"),
        # of several the one that is named
        (["1.jpg", "1.png"], "boxes/1.xml", "1.png", "1.png"),
        (["1.jpg", "1.png"], "boxes/1.xml", "C:\\mine\\1.png", "1.png"),
        (["a/1.jpg", "b/1.jpg"], "boxes/1.xml", "b/1.jpg", "b/1.jpg"),
        # no picture of this name: the one that is named
        (["2.jpg"], "boxes/1.xml", "2.jpg", "2.jpg"),
        (["a/2.jpg"], "boxes/1.xml", "D:\\photos\\2.jpg", "a/2.jpg"),
        (["a/2.png"], "boxes/1.xml", "2.jpg", "a/2.png"),
        (["a/2.jpg", "b/2.jpg"], "boxes/1.xml", "b\\2.jpg", "b/2.jpg"),
        (["a/2.JPEG"], "boxes/1.xml", "2", "a/2.JPEG"),
        # none: as the XML file, to be found missing
        ([], "boxes/a/1.xml", "2.png", "a/1.png"),
        ([], "boxes/1.xml", "2", "1.JPEG"),
        ([], "boxes/1.xml", "2.v3", "1.JPEG"),
        (["2.txt"], "boxes/1.xml", "", "1"),
    ],
)
def test_which_photo_an_xml_file_means(folder, tmp_path, pictures, xml, filename, found):
    photos(folder, *pictures)
    voc(tmp_path / xml, filename)
    path = folder if xml.startswith("photos") else tmp_path / "boxes"
    assert by_file(path, folder) == {found: Truth(found, "dog", [(1, 2, 4, 6)])}


@pytest.mark.parametrize(
    ("pictures", "filename"),
    [
        (["a/1.jpg", "b/1.jpg"], ""),
        (["a/1.jpg", "b/1.jpg"], "1.jpg"),
        (["1.jpg", "1.png"], "1.tif"),
        (["a/2.jpg", "b/2.jpg"], "2.jpg"),
    ],
)
def test_several_photos_that_an_xml_file_may_mean_are_a_problem(
    folder, tmp_path, pictures, filename
):
    photos(folder, *pictures)
    voc(tmp_path / "boxes" / "1.xml", filename)
    assert problems(tmp_path / "boxes", folder) == {
        "1.xml": f"1.xml: ambiguous: {', '.join(pictures)}"
    }


def test_two_xml_files_of_one_photo_are_a_problem(folder, tmp_path):
    photos(folder, "1.jpg", "2.jpg", "3.jpg")
    boxes = tmp_path / "boxes"
    voc(boxes / "a" / "1.xml")
    voc(boxes / "b" / "1.xml")
    voc(boxes / "2.xml")
    # its photo is missing, and it names that of another
    voc(boxes / "9.xml", "2.jpg")
    voc(boxes / "7.xml", "3.jpg")
    voc(boxes / "8.xml", "3.jpg")
    assert problems(boxes, folder) == {
        "1.jpg": "expected one XML file of this photo, got 2: a/1.xml, b/1.xml",
        "2.jpg": "",
        "9.xml": "9.xml: expected a photo of its own, got 2.jpg, which 2.xml describes",
        "3.jpg": "expected one XML file of this photo, got 2: 7.xml, 8.xml",
    }


def test_names_that_are_not_unicode_are_reported(folder):
    bad = folder / b"\xff.png".decode(errors="surrogateescape")
    try:
        bad.touch()
    except OSError:
        pytest.skip("the file system has Unicode names only")
    voc(bad.with_suffix(".xml"))
    assert problems(folder, folder) == {
        r"\udcff.png": r"expected a photo's name in Unicode, got \udcff.png"
    }


@pytest.mark.parametrize("form", ["csv", "json", "xml"])
def test_whatever_is_damaged_is_read_or_told(folder, tmp_path, form):
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    (tmp_path / "boxes.csv").write_text(
        COLUMNS + 'good.png,dog,1,2,4,6\na.png,"c,t",1.5,2,4,6\n' * 3
    )
    coco(tmp_path)
    voc(tmp_path / "xml" / "good.xml", "good.png", thing() * 2)
    voc(tmp_path / "xml" / "a.xml", "a.png", thing())
    path = tmp_path / ("xml" if form == "xml" else f"boxes.{form}")
    file = path / "a.xml" if form == "xml" else path
    whole, generator = file.read_bytes(), random.Random(0)
    pieces = [b"", b"\0", b"\xff", b"\x81", b'"', b",", b"\n", b"{", b"<", b"9e999", b"-", b"null"]
    outcomes = set()
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(content))
            end = at + generator.choice([0, 1, 1, 1, 5, 40])
            content[at:end] = generator.choice(pieces)
        file.write_bytes(content)
        try:
            by_file(path, folder)
            outcomes.add("read")
        except ValueError as error:
            outcomes.add("told")
            assert str(path) in str(error)
    assert outcomes == ({"read"} if form == "xml" else {"read", "told"})


@pytest.mark.parametrize("separator", ["\r", "\n", " \t ", "\u2028"])
def test_labels_are_one_line(folder, tmp_path, separator):
    label = f"hot{separator}dog"
    annotation = {"image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4]}
    path = coco(tmp_path, categories=[{"id": 9, "name": label}], annotations=[annotation])
    assert by_file(path, folder)["a.png"] == Truth("a.png", "hot dog", [BOX])
    classes = tmp_path / "classes.csv"
    classes.write_text(f'label,class_index\n"{label}",1\n', encoding="utf-8", newline="")
    assert read_classes(classes, ["cat", "dog"]) == {"hot dog": [1]}


def test_names_and_labels_without_end_cost_their_photo(folder, tmp_path):
    long = "x" * 200_000
    annotation = {"id": 6, "image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4]}
    images = [{"id": 3, "file_name": long}]
    path = coco(
        tmp_path, images=images, categories=[{"id": 9, "name": long}], annotations=[annotation]
    )
    found = problems(path, folder)
    assert found["a.png"].startswith("boxes.json, annotation 6: expected a label, got 'xxx")
    assert found["boxes.json, image 3"].startswith("boxes.json, image 3: expected the name of a")
    assert max(map(len, [*found, *found.values()])) < 200


def test_line_ends_in_the_names_of_files_are_reported(folder):
    try:
        voc(folder / "a\rb.xml")
    except OSError:
        pytest.skip("the file system has no such names")
    (found,) = problems(folder, folder).values()
    assert found == r"expected a photo's name in Unicode, got a\rb"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_in_the_place_of_an_xml_file_is_reported(folder):
    os.mkfifo(folder / "endless.xml")
    assert list(problems(folder, folder).values()) == ["endless.xml: expected a file"]
