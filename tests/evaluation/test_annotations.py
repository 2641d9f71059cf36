import json

import pytest

from deepinside.evaluation.annotations import label_classes, read_classes, read_truths

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


def truths(path):
    return {truth.file: truth[1:] for truth in read_truths(path)}


@pytest.mark.parametrize("write", [as_csv, as_coco, as_voc])
def test_three_formats_hold_the_same(write, tmp_path):
    assert truths(write(tmp_path)) == {
        "coffee.png": ("espresso", [ROWS[0][2]]),
        "rocket.jpg": ("missile", [ROWS[1][2], ROWS[2][2]]),
    }


def test_imagenet_s_files_name_the_photo_without_its_ending(tmp_path):
    file = (as_voc(tmp_path) / "coffee.xml").read_text()
    (tmp_path / "coffee.xml").write_text(file.replace("coffee.png", "n07920052_1"))
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


def test_boxes_without_area_are_none(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        COLUMNS + "a.png,cup,5,5,0,0\na.png,dog,0,0,1,1\nb.png,cup,3,3,3,9\nc.png,cup,3,3,9,3\n"
    )
    assert truths(path) == {
        "a.png": ("dog", [(0, 0, 1, 1)]),
        "b.png": ("", []),
        "c.png": ("", []),
    }


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "file,label\n", "expected columns file, label, x0, y0, x1, y1 in"),
        ("a.csv", COLUMNS + "a,b,1,2,3,4\na,b,1,2,3,x\n", "four numbers .* line 3"),
        ("a.csv", COLUMNS + "a,b,1,2,3\n", "four numbers .* line 2"),
        ("a.json", "{}", "COCO .*'images'"),
        ("a.json", "{", "COCO"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "b"}],'
            '"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}',
            "COCO .* unpack",
        ),
        ("a.txt", "", "a .json or a .csv"),
    ],
)
def test_bad_annotations_raise(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        list(read_truths(tmp_path / name))


@pytest.mark.parametrize(
    "content", ["<annotation>", "<annotation><object><name>dog</name></object></annotation>"]
)
def test_bad_xml_is_one_photo_without_boxes(tmp_path, content):
    (as_voc(tmp_path) / "a.xml").write_text(content)
    found = truths(tmp_path)
    assert found["a"] == ("unreadable boxes in a.xml", [])
    assert found["coffee.png"] == ("espresso", [ROWS[0][2]])


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
