import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deepinside.evaluation.localization import (
    evaluate,
    label_classes,
    main,
    merge,
    parts_of,
    read_classes,
    read_truths,
    summary,
)
from deepinside.images import load_photo

PHOTOS = {"coffee": (172, 17, 407, 307), "rocket": (305, 128, 340, 405)}
LABELS = {"coffee": "espresso", "rocket": "missile"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photos, one that is cut short, and their boxes in three formats."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "xml").mkdir()
    rows, coco = [], {"images": [], "annotations": [], "categories": []}
    for i, (name, (x0, y0, x1, y1)) in enumerate([*PHOTOS.items(), ("broken", (1, 1, 9, 9))]):
        file, label = f"{name}.png", LABELS.get(name, "missile")
        if name == "broken":
            (folder / file).write_bytes((folder / "coffee.png").read_bytes()[:5000])
        else:
            array = load_photo(name).mul(255).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(array).save(folder / file)
        rows.append([file, label, x0, y0, x1, y1])
        coco["images"].append({"id": 10 + i, "file_name": file})
        coco["categories"].append({"id": 20 + i, "name": label})
        coco["annotations"].append(
            {"image_id": 10 + i, "category_id": 20 + i, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        )
        (folder / "xml" / f"{name}.xml").write_text(
            f"<annotation><filename>{file}</filename><object><name>{label}</name><bndbox>"
            f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            "</bndbox></object></annotation>"
        )
    with (folder / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "x0", "y0", "x1", "y1"], *rows])
    (folder / "coco.json").write_text(json.dumps(coco))
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def options(network, **others):
    return {"network": network, "scales": (1.0,), **others}


def test_three_formats_hold_the_same(folder):
    known = {truth.file: truth for truth in read_truths(folder / "boxes.csv")}
    assert known["coffee.png"].boxes == [PHOTOS["coffee"]]
    assert known["coffee.png"].label == "espresso"
    for source in ("xml", "coco.json"):
        assert {truth.file: truth for truth in read_truths(folder / source)} == known


def test_of_several_labels_the_largest_box_decides(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "file,label,x0,y0,x1,y1\na.png,cup,0,0,5,5\na.png,dog,0,0,9,9\na.png,dog,1,1,2,2\n"
    )
    (truth,) = read_truths(path)
    assert truth.label == "dog"
    assert truth.boxes == [(0, 0, 9, 9), (1, 1, 2, 2)]


def test_a_row_a_photo_and_a_broken_photo_is_reported(folder, network, tmp_path, capsys):
    output = tmp_path / "out.csv"
    truths = list(read_truths(folder / "boxes.csv"))
    assert evaluate(folder, truths, output, **options(network, top5=True)) == 3
    rows = {row["file"]: row for row in rows_of(output)}
    assert set(rows) == {"coffee.png", "rocket.png", "broken.png"}
    assert rows["broken.png"]["error"]
    assert "skipped broken.png" in capsys.readouterr().err
    good = rows["coffee.png"]
    assert good["class_index"] == "967"
    assert int(good["localized"]) == (float(good["iou"]) >= 0.5)
    assert good["top1"] == "1"
    assert good["top5_localized"] == good["localized"]
    assert "2 photos, 1 skipped" in summary(output)
    assert "top-5 localization error" in summary(output)


def test_it_goes_on_where_it_was_interrupted(folder, network, tmp_path):
    output, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    truths = list(read_truths(folder / "boxes.csv"))
    evaluate(folder, truths, whole, **options(network))
    lines = whole.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # killed within the second row
    assert evaluate(folder, truths, output, **options(network)) == 2
    assert rows_of(output) == rows_of(whole)
    assert evaluate(folder, truths, output, **options(network)) == 0


def test_results_of_other_settings_are_not_mixed(folder, network, tmp_path):
    output = tmp_path / "out.csv"
    truths = list(read_truths(folder / "boxes.csv"))[:1]
    evaluate(folder, truths, output, **options(network))
    with pytest.raises(ValueError, match="holds results"):
        evaluate(folder, truths, output, network=network, scales=(1.0, 2.0))


def test_ranks_share_the_photos_and_merge(folder, network, tmp_path):
    output, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    truths = list(read_truths(folder / "boxes.csv"))
    evaluate(folder, truths, whole, **options(network))
    added = [
        evaluate(folder, truths, output, **options(network, rank=rank, ranks=2))
        for rank in (0, 1)
    ]  # fmt: skip
    assert sum(added) == 3
    merge(output)
    assert not parts_of(output)
    assert sorted(r["file"] for r in rows_of(output)) == sorted(r["file"] for r in rows_of(whole))


def test_labels_are_names_indices_wordnet_ids_or_listed(network, tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("label,class_index\ncat,281\ncat,285\n")
    classes = read_classes(path, network)
    assert label_classes("cat", network, classes) == [281, 285]
    assert label_classes("goldfish", network, {}) == [1]
    assert label_classes("n01443537", network, {}) == [1]
    assert label_classes("1", network, {}) == [1]
    with pytest.raises(ValueError, match="name of a class"):
        label_classes("kangaroo rat", network, {})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "file,label\n", "expected columns"),
        ("a.csv", "file,label,x0,y0,x1,y1\na,b,1,2,3,x\n", "four numbers"),
        ("a.json", "{}", "COCO"),
        ("a.json", "{", "COCO"),
        ("a.txt", "", "a .json or a .csv"),
    ],
)
def test_bad_annotations_raise(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        list(read_truths(tmp_path / name))


def test_bad_xml_is_one_skipped_photo(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation>")
    (truth,) = read_truths(tmp_path)
    assert truth.boxes == []
    assert "a.xml" in truth.label


def test_command(folder, tmp_path, capsys):
    output = tmp_path / "out.csv"
    arguments = [str(folder), "--boxes", str(folder / "xml"), "--output", str(output)]
    main([*arguments, "--scales", "1", "--workers", "0", "--device", "cpu"])
    assert "2 photos, 1 skipped" in capsys.readouterr().out


def test_torchrun_splits_the_photos(folder, tmp_path):
    output = tmp_path / "out.csv"
    torchrun = Path(sys.executable).with_name("torchrun")
    subprocess.run(
        [torchrun, "--standalone", "--nproc-per-node", "2", "-m",
         "deepinside.evaluation.localization", folder, "--boxes", folder / "boxes.csv",
         "--output", output, "--scales", "1", "--workers", "0", "--device", "cpu"],
        check=True, capture_output=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert len(rows_of(output)) == 3
    assert not parts_of(output)
