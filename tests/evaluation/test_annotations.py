import json

import pytest
import torch
from PIL import Image

from deepinside.evaluation.annotations import (
    Truth,
    boxes_in_photo,
    label_classes,
    read_classes,
    read_truths,
)
from deepinside.images import load_photo

COLUMNS = "file,label,x0,y0,x1,y1\n"
# file, label, half-open box
ROWS = [
    ("coffee.png", "espresso", (172, 17, 407, 307)),
    ("rocket.jpg", "missile", (305, 128, 340, 405)),
    ("rocket.jpg", "missile", (5.5, 6, 7, 8.25)),
]


def as_csv(folder):
    lines = [",".join(map(str, (file, label, *box))) for file, label, box in ROWS]
    (folder / "boxes.csv").write_text(COLUMNS + "\n".join(lines) + "\n")
    return folder / "boxes.csv"


def as_coco(folder, *more):
    files, labels = sorted({row[0] for row in ROWS}), sorted({row[1] for row in ROWS})
    annotations = [
        {
            "image_id": 10 + files.index(file),
            "category_id": 20 + labels.index(label),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for file, label, (x0, y0, x1, y1) in ROWS
    ]
    content = {
        "images": [{"id": 10 + i, "file_name": file} for i, file in enumerate(files)],
        "categories": [{"id": 20 + i, "name": label} for i, label in enumerate(labels)],
        "annotations": [*annotations, *more],
    }
    (folder / "boxes.JSON").write_text(json.dumps(content))
    return folder / "boxes.JSON"


def as_voc(folder, name="{}"):
    for file in {row[0] for row in ROWS}:
        objects = [
            f"<object><name>{label}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
            f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            for other, label, (x0, y0, x1, y1) in ROWS
            if other == file
        ]
        (folder / file).with_suffix(".xml").write_text(
            f"<annotation><filename>{name.format(file)}</filename>{''.join(objects)}</annotation>"
        )
    return folder


def truths(path, folder=None):
    """Label and boxes of each photo; none may have a problem."""
    found = read_truths(path, folder or path.parent)
    assert not [truth.problem for truth in found if truth.problem]
    return {truth.file: truth[1:3] for truth in found}


def problems(path, folder=None):
    """The problem of each photo, by file: one row a photo, in one line, without boxes."""
    found = read_truths(path, folder or path.parent)
    assert len({truth.file for truth in found}) == len(found)
    for truth in found:
        assert truth.problem == " ".join(truth.problem.split())
        assert bool(truth.boxes) != bool(truth.problem)
        truth.file.encode()
    return {truth.file: truth.problem for truth in found}


@pytest.mark.parametrize("write", [as_csv, as_coco, as_voc])
def test_three_formats_hold_the_same(write, tmp_path):
    assert truths(write(tmp_path)) == {
        "coffee.png": ("espresso", [ROWS[0][2]]),
        "rocket.jpg": ("missile", [ROWS[1][2], ROWS[2][2]]),
    }


def test_imagenet_s_files_name_the_photo_without_its_ending(tmp_path):
    file = (as_voc(tmp_path) / "coffee.xml").read_text()
    (tmp_path / "n07920052_1.xml").write_text(file.replace("coffee.png", "n07920052_1"))
    (tmp_path / "coffee.xml").unlink()
    assert set(truths(tmp_path)) == {"n07920052_1.JPEG", "rocket.jpg"}


def test_crowds_are_no_objects(tmp_path):
    crowd = {"image_id": 10, "category_id": 21, "bbox": [0, 0, 600, 400], "iscrowd": 1}
    alone = crowd | {"iscrowd": 0}
    assert truths(as_coco(tmp_path, crowd))["coffee.png"] == ("espresso", [ROWS[0][2]])
    assert truths(as_coco(tmp_path, alone))["coffee.png"] == ("missile", [(0, 0, 600, 400)])


def test_of_several_labels_the_largest_box_decides(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        COLUMNS + "a.png,cup,0,0,5,5\na.png,dog,1,1,2,2\na.png,dog,0,0,3,9\na.png,cup,0,0,2,2\n"
    )
    assert truths(path) == {"a.png": ("dog", [(1, 1, 2, 2), (0, 0, 3, 9)])}


def test_boxes_without_area_are_a_problem(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        COLUMNS + "a.png,cup,5,5,0,0\na.png,dog,0,0,1,1\nb.png,cup,3,3,3,9\nc.png,cup,3,3,9,3\n"
        "d.png,dog,0,0,1,1\n"
    )
    assert problems(path) == {
        "a.png": "boxes.csv, line 2: expected x0 < x1 and y0 < y1, got a box (5.0, 5.0, 0.0, 0.0)",
        "b.png": "boxes.csv, line 4: expected x0 < x1 and y0 < y1, got a box (3.0, 3.0, 3.0, 9.0)",
        "c.png": "boxes.csv, line 5: expected x0 < x1 and y0 < y1, got a box (3.0, 3.0, 9.0, 3.0)",
        "d.png": "",
    }


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.csv",
            "file,label\n",
            "expected columns file, label, x0, y0, x1, y1 in .*a.csv, line 1",
        ),
        ("a.csv", "", "expected columns .* got ''"),
        ("a.csv", "sep=;\n", "expected columns .* line 2, got ''"),
        ("a.csv", "\n" + COLUMNS.replace("x0", "x\0"), "expected columns .* line 2, got"),
        ("a.csv", COLUMNS.replace("\n", ",X0\n"), "expected one column x0 in .*a.csv, got 2"),
        ("a.json", "{}", "COCO .*'images'"),
        ("a.json", "[]", "COCO .*'images'"),
        ("a.json", '{"images": [], "categories": {}}', "COCO .*'categories'"),
        ("a.json", '{"images": [], "categories": []}', "COCO .*'annotations'"),
        ("a.json", "{", "COCO .*a.json.* line 1"),
        ("a.json", "[" * 100_000, "COCO .*recursion"),
        ("a.txt", "", "a .json or a .csv"),
        ("folder/a.txt", "", "expected XML files in .*folder, found none"),
    ],
)
def test_bad_annotations_raise(tmp_path, name, content, words):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_truths(path if path.parent == tmp_path else path.parent, tmp_path)


@pytest.mark.parametrize(
    "content", ["<annotation>", "<annotation><object><name>dog</name></object></annotation>"]
)
def test_bad_xml_is_one_photo_with_a_problem(tmp_path, content):
    (as_voc(tmp_path) / "a.xml").write_text(content)
    found = {truth.file: truth for truth in read_truths(tmp_path, tmp_path)}
    assert found["a"].problem.startswith("a.xml")
    assert found["a"].boxes == []
    assert found["coffee.png"] == Truth("coffee.png", "espresso", [ROWS[0][2]])


def test_labels_are_names_indices_wordnet_ids_or_listed(network, tmp_path):
    path, names = tmp_path / "classes.csv", network.class_names
    path.write_text("label,class_index\ncat,281\ncat,285\ngoldfish,3\n")
    listed = read_classes(path, names)
    assert label_classes("cat", names, listed) == [281, 285]
    assert label_classes("goldfish", names, listed) == [3]
    assert label_classes("goldfish", names, {}) == [1]
    assert label_classes("n01443537", names, {}) == [1]
    assert label_classes("1", names, {}) == [1]
    assert label_classes("1", ["no", "yes"], {}) == [1]
    with pytest.raises(ValueError, match="name of a class"):
        label_classes("kangaroo rat", names, {})
    path.write_text("label,class_index\ncat,1000\n")
    with pytest.raises(ValueError, match="from 0 to 999, got 1000"):
        read_classes(path, names)
    for line, words in (
        (",281", "expected a label"),
        ("cat,tabby", "expected a class index, got 'tabby'"),
        ("cat,281.5", "expected a class index"),
        ("cat,-1", "expected a class index"),
        ("cat", "expected a class index, got ''"),
        ("cat,281,282", "2 fields, got 3"),
        ('"cat,281', "closed quotes"),
    ):
        path.write_text(f"label,class_index\n\ndog,207\n{line}\n")
        with pytest.raises(ValueError, match=rf"classes.csv, line 4: .*{words}"):
            read_classes(path, names)
    path.write_text("label,index\n")
    with pytest.raises(ValueError, match=r"columns label, class_index in .*classes.csv, line 1"):
        read_classes(path, names)


def test_classes_may_come_from_excel(network, tmp_path):
    path = tmp_path / "classes.csv"
    path.write_bytes("sep=;\r\nClass_Index; Label;\r\n281;K\xe4tzchen;\r\n;;\r\n".encode("cp1252"))
    assert read_classes(path, network.class_names) == {"K\xe4tzchen": [281]}


# how a camera stores a picture that it notes to turn: what undoes EXIF's orientation
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(folder, orientation, size, scale=1):
    """A photo as it is seen, with a white box, and the size and box of how it is stored.

    The annotations may be of the stored picture at another scale.
    """
    height, width = size
    seen = Image.new("L", (width, height))
    seen.paste(255, (3, 5, 14, 9))
    stored = seen if orientation == 1 else seen.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(folder / "a.png", exif=exif)
    annotated = stored.resize(
        (stored.width * scale, stored.height * scale), Image.Resampling.NEAREST
    )
    truth = Truth("a.png", "dog", [annotated.getbbox()], (annotated.height, annotated.width))
    return load_photo(folder / "a.png"), truth


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("orientation", STORED)
def test_boxes_are_turned_as_the_photo_is(tmp_path, orientation, scale):
    photo, truth = turned(tmp_path, orientation, (20, 30), scale)
    assert photo.shape == (3, 20, 30)
    if orientation in (2, 3, 4):
        with pytest.raises(ValueError, match=rf"orientation {orientation}\).* cannot tell"):
            boxes_in_photo(truth, (20, 30), orientation)
        return
    (box,) = boxes_in_photo(truth, (20, 30), orientation)
    assert box == pytest.approx((3, 5, 14, 9))
    inside = torch.zeros(20, 30, dtype=torch.bool)
    x0, y0, x1, y1 = map(round, box)
    inside[y0:y1, x0:x1] = True
    assert torch.equal(photo[0] > 0.5, inside)


@pytest.mark.parametrize("orientation", STORED)
def test_boxes_of_the_photo_as_it_is_seen_stay(orientation):
    boxes = [(3.25, 5, 14.1, 9), (0, 0, 30, 20)]
    assert boxes_in_photo(Truth("", "", boxes), (20, 30), orientation) == boxes
    if orientation not in (2, 3, 4):
        assert boxes_in_photo(Truth("", "", boxes, (20, 30)), (20, 30), orientation) == boxes


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("orientation", STORED)
def test_a_square_does_not_tell_how_it_is_turned(orientation, scale):
    truth = Truth("", "", [(3, 5, 14, 9)], (20 * scale, 20 * scale))
    if orientation == 1:
        assert len(boxes_in_photo(truth, (20, 20), 1)) == 1
    else:
        with pytest.raises(ValueError, match="cannot tell whether its boxes are"):
            boxes_in_photo(truth, (20, 20), orientation)


@pytest.mark.parametrize(
    ("stated", "box"),
    [
        ((40, 60), (6, 10, 28, 18)),
        ((10, 15), (1.5, 2.5, 7, 4.5)),
        # a side rounded to a whole pixel, as it comes from shrinking
        ((133, 200), (20, 33.25, 280 / 3, 59.85)),
        ((14, 20), (2, 3.5, 28 / 3, 6.3)),
    ],
)
def test_boxes_of_a_picture_of_another_scale_are_scaled(stated, box):
    truth = Truth("", "", [box], stated)
    assert boxes_in_photo(truth, (20, 30), 1)[0] == pytest.approx((3, 5, 14, 9))


@pytest.mark.parametrize(
    ("stated", "orientation"), [((30, 20), 1), ((20, 32), 1), ((200, 330), 6), ((30, 20), 3)]
)
def test_boxes_of_another_picture_are_refused(stated, orientation):
    words = rf"of the photo, 30 x 20 pixels, got .* of {stated[1]} x {stated[0]} pixels"
    with pytest.raises(ValueError, match=words):
        boxes_in_photo(Truth("", "", [(3, 5, 14, 9)], stated), (20, 30), orientation)


def test_a_size_that_is_the_photo_s_decides_before_one_that_nearly_is():
    truth = Truth("", "", [(3, 5, 14, 9)], (31, 30))
    assert boxes_in_photo(truth, (31, 30), 6) == truth.boxes
    assert boxes_in_photo(truth, (30, 31), 6) == [(22, 3, 26, 14)]
    with pytest.raises(ValueError, match="cannot tell"):
        boxes_in_photo(truth._replace(size=(61, 61)), (30, 31), 6)


def test_boxes_are_cut_by_a_pixel_at_most():
    truth = Truth("", "", [(-1, -0.5, 31, 21), (5, 5, 9, 9)])
    assert boxes_in_photo(truth, (20, 30), 1) == [(0, 0, 30, 20), (5, 5, 9, 9)]
    # a pixel of the picture that they are of, not of the photo
    half = Truth("", "", [(-1, 0, 15, 10)], (10, 15))
    assert boxes_in_photo(half, (20, 30), 1) == [(0, 0, 30, 20)]


@pytest.mark.parametrize(
    "box",
    [
        (-1.5, 0, 9, 9), (0, -2, 9, 9), (0, 0, 31.5, 9), (0, 0, 9, 40), (0, 0, 60, 40),
        (30, 0, 31, 9), (0, -1, 9, 0), (0, 0, float("inf"), 9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stated", [None, (20, 30)])
def test_boxes_outside_of_the_picture_are_refused(box, stated):
    with pytest.raises(ValueError, match=r"expected a box within 30 x 20 pixels, got \("):
        boxes_in_photo(Truth("", "", [(1, 1, 9, 9), box], stated), (20, 30), 1)


def test_shares_of_the_picture_are_refused():
    shares = Truth("", "", [(0.1, 0.2, 0.5, 0.9), (0, 0, 1, 1)])
    over = shares._replace(boxes=[(0.1, 0.2, 0.5, 1.0001)])
    for truth in (shares, shares._replace(size=(20, 30)), over):
        with pytest.raises(ValueError, match="shares of the picture"):
            boxes_in_photo(truth, (20, 30), 1)
    assert boxes_in_photo(shares, (2, 3), 1) == shares.boxes
    pixels = shares._replace(boxes=[(0, 0, 1, 1), (2, 2, 5, 5)])
    assert boxes_in_photo(pixels, (20, 30), 1) == pixels.boxes
