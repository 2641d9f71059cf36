import csv
import os
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside.evaluation import localization
from deepinside.evaluation.annotations import Truth
from deepinside.evaluation.localization import (
    COLUMNS,
    Method,
    evaluate,
    merge,
    parts_of,
    records,
)
from deepinside.images import load_photo, squash_photo
from deepinside.integrated_gradients import integrated_gradients
from deepinside.localization import find_object, find_top_objects, rescaled_box
from deepinside.measures import iou, threshold_overlaps
from deepinside.networks import copy_sharing_weights
from deepinside.object_maps import object_maps
from deepinside.rows import write_rows
from deepinside.saliency import smooth_grad

COFFEE, ROCKET = (172, 17, 407, 307), (305, 128, 340, 405)
ESPRESSO, CUP, GOLDFISH = 967, 968, 1
TRUTHS = [
    Truth("coffee.png", "espresso", [COFFEE]),
    Truth("broken.png", "missile", [(1, 1, 9, 9)]),
    Truth("rocket.png", "missile", [ROCKET]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photos, and one that is cut short."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("coffee", "rocket"):
        array = load_photo(name).mul(255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "coffee.png").read_bytes()[:5000])
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.csv"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measured(folder, output, network, truths=TRUTHS, *, classes=None, scales=(1.0,), **options):
    """The rows by file, after an evaluation at one size."""
    method = Method(network, scales=scales)
    wanted = records(folder, truths, method, classes)
    added = evaluate(wanted, output, method, **options)
    merge(output, wanted, method.settings)
    return {row["file"]: row for row in rows_of(output)}, added


def test_a_row_a_photo_holds_what_the_plain_helpers_give(folder, network, output):
    rows, added = measured(folder, output, network)
    assert added == 3
    for name, true, target, top1 in (("coffee", COFFEE, 967, "1"), ("rocket", ROCKET, 657, "0")):
        photo, row = load_photo(name), rows[f"{name}.png"]
        box = find_object(network, photo, target, scales=(1.0,))
        assert row["network"] == "efficientnet_lite0"
        assert (row["map"], row["box"], row["scales"]) == ("object_map", "otsu", "1")
        assert int(row["class_index"]) == target
        corners = [float(row[side]) for side in ("x0", "y0", "x1", "y1")]
        assert corners == pytest.approx(box, abs=2)
        assert float(row["iou"]) == pytest.approx(iou(box, true), abs=0.02)
        localized = iou(box, true) >= 0.5
        assert row["localized"] == str(int(localized))
        # the highest pixel of the map, scaled to the photo, and the distance from the box
        saliency = object_maps(network, [photo], target, scales=[1])[0]
        y, x = divmod(saliency.argmax().item(), 224)
        x, y = (x + 0.5) * photo.shape[2] / 224, (y + 0.5) * photo.shape[1] / 224
        away = torch.tensor([true[0] - x, x - true[2], true[1] - y, y - true[3]]).clamp(min=0)
        assert row["pointing"] == str(int(away.norm() <= 15))
        assert (row["top1"], row["error"]) == (top1, "")
        assert row["top1_localized"] == str(int(top1 == "1" and localized))
        five = {found.answer.index for found in find_top_objects(network, photo, scales=(1.0,))}
        assert row["top5"] == str(int(target in five))
        assert row["top5_localized"] == str(int(target in five and localized))
        # a bit for each threshold, at three IoUs of all contours and one of the largest's
        height, width = photo.shape[1:]
        every, largest = threshold_overlaps(saliency, [true], (height, width))
        expected = [*(every >= least for least in (0.3, 0.5, 0.7)), largest >= 0.5]
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(row["max_box"]), np.uint8))
        assert bits[: 4 * len(every)].tolist() == torch.cat(expected).int().tolist()
    assert [rows[f"{name}.png"]["localized"] for name in ("coffee", "rocket")] == ["1", "0"]


def test_a_photo_that_cannot_be_read_is_reported_and_the_others_are_measured(
    folder, network, output, capsys
):
    truths = [
        *TRUTHS,
        Truth("none.png", "missile", [], problem="no box"),
        Truth("coffee.png", "spoon", [COFFEE]),
        Truth("rocket.png", "missile", [COFFEE], size=(300, 200)),
    ]
    method = Method(network, scales=(1.0,))
    wanted = records(folder, truths, method)
    assert evaluate(wanted, output, method, batch_size=2) == 6
    rows = rows_of(output)
    assert [row["file"] for row in rows] == [truth.file for truth in truths]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, True, True]
    assert "ends early" in rows[1]["error"]
    assert rows[3]["error"] == "no box"
    assert "name of a class, got 'spoon'" in rows[4]["error"]
    assert "300" in rows[5]["error"]
    assert rows[1]["iou"] == ""
    told = capsys.readouterr().err
    assert "skipped broken.png: expected a whole picture" in told
    assert "localized=1, skipped=4" in told


def test_an_error_that_nobody_foresaw_costs_one_row(folder, network, output, monkeypatch):
    def load(path):
        if path.name == "broken.png":
            raise RuntimeError("of a decoder\nsomewhere")
        return load_photo(path)

    monkeypatch.setattr(localization, "load_photo", load)
    rows, _ = measured(folder, output, network)
    assert rows["broken.png"]["error"] == "RuntimeError: of a decoder somewhere"
    assert rows["coffee.png"]["localized"] == "1"


def test_a_map_without_an_object_is_a_miss(folder, network, output, monkeypatch):
    monkeypatch.setattr(localization, "object_maps", lambda *_, **__: torch.ones(1, 224, 224))
    row = measured(folder, output, network, TRUTHS[:1])[0]["coffee.png"]
    assert (row["iou"], row["localized"], row["top5_localized"]) == ("0.0000", "0", "0")
    assert (row["error"], row["x0"], row["class_index"]) == ("", "", "967")


@pytest.mark.parametrize("classes", [[ESPRESSO, CUP, GOLDFISH], [GOLDFISH, CUP, ESPRESSO]])
def test_of_a_label_s_classes_the_one_of_the_highest_score_is_taken(
    folder, network, output, classes
):
    rows, _ = measured(folder, output, network, TRUTHS[:1], classes={"espresso": classes})
    assert rows["coffee.png"]["class_index"] == str(ESPRESSO)
    assert rows["coffee.png"]["top1"] == "1"


def test_top1_is_whether_the_first_class_is_one_of_the_label_s(
    folder, network, output, monkeypatch
):
    box = rescaled_box(COFFEE, (400, 600), (224, 224))
    monkeypatch.setitem(localization.BOXES, "otsu", lambda *_: box)
    listed = {"espresso": [GOLDFISH, CUP]}
    row = measured(folder, output, network, TRUTHS[:1], classes=listed)[0]["coffee.png"]
    assert row["class_index"] == str(CUP)
    assert (row["top1"], row["top1_localized"], row["localized"]) == ("0", "0", "1")


def test_scores_are_those_of_evaluation_mode_and_of_the_network_s_own_interpolation(
    folder, network, output, monkeypatch
):
    used = []

    def noted(photo, size, *, interpolation):
        used.append(interpolation)
        return squash_photo(photo, size, interpolation=interpolation)

    monkeypatch.setattr("deepinside.images.squash_photo", noted)
    trained = copy_sharing_weights(network)
    trained.interpolation = "bilinear"
    # in training mode no score would depend on the image
    trained.layers.classifier = nn.Sequential(nn.Dropout(1.0), trained.layers.classifier)
    row = measured(folder, output, trained.train(), TRUTHS[:1])[0]["coffee.png"]
    assert row["top1"] == "1"
    # for the scores and for the map
    assert used == ["bilinear", "bilinear"]
    assert trained.training


def test_an_iou_of_exactly_a_half_is_localized(folder, network, output, monkeypatch):
    # of a photo of 400 x 600 pixels at 224 x 224
    x0, y0, x1, y1 = rescaled_box(COFFEE, (400, 600), (224, 224))
    half = (x0, y0, x1, (y0 + y1) / 2)
    monkeypatch.setitem(localization.BOXES, "otsu", lambda *_: half)
    row = measured(folder, output, network, TRUTHS[:1])[0]["coffee.png"]
    assert (row["iou"], row["localized"]) == ("0.5000", "1")


@pytest.mark.parametrize(
    ("classes", "boxes", "hit"),
    [
        # any class of the label may bring the right box
        ([ESPRESSO, CUP], {CUP: COFFEE, ESPRESSO: ROCKET}, "1"),
        ([ESPRESSO], {CUP: COFFEE, ESPRESSO: ROCKET}, "0"),
        ([ESPRESSO], {CUP: ROCKET, ESPRESSO: COFFEE}, "1"),
        # which is not among the five
        ([GOLDFISH], {CUP: COFFEE, GOLDFISH: COFFEE}, "0"),
    ],
)
def test_top5_needs_a_class_of_the_label_and_its_box(
    folder, network, output, monkeypatch, classes, boxes, hit
):
    # the map of a class is the class itself, from which the box is looked up
    def maps(network, photos, classes, *, scales):
        return torch.stack([torch.full((224, 224), float(index)) for index in classes])

    def box(saliency, image):
        return rescaled_box(boxes[int(saliency[0, 0])], (400, 600), (224, 224))

    monkeypatch.setattr(localization, "object_maps", maps)
    monkeypatch.setitem(localization.BOXES, "otsu", box)
    listed = {"espresso": classes}
    row = measured(folder, output, network, TRUTHS[:1], classes=listed)[0]["coffee.png"]
    assert row["top5_localized"] == hit


@pytest.mark.parametrize(
    ("name", "box", "used", "least"),
    [
        ("object_map", "", "otsu", 0.5),
        ("object_map", "graph_cut", "graph_cut", 0.3),
        ("gradient", "", "graph_cut", 0.3),
        ("ten_crops", "", "graph_cut", 0.3),
        ("smooth_grad", "", "graph_cut", 0.3),
        ("cam", "", "otsu", 0.3),
        ("grad_cam", "", "otsu", 0.3),
        ("integrated_gradients", "", "graph_cut", 0.3),
        ("occlusion", "", "otsu", 0.3),
        ("center", "", "otsu", 0.3),
        # 235 x 290 of 600 x 400 pixels
        ("whole", "", "otsu", 0.28),
    ],
)
def test_each_map_has_a_box_by_its_own_rule(
    folder, network, output, monkeypatch, name, box, used, least
):
    # of SmoothGrad's copies and of the steps of integrated gradients a few serve here
    for slow in (partial(smooth_grad, samples=4), partial(integrated_gradients, steps=4)):
        monkeypatch.setattr(f"deepinside.evaluation.methods.{slow.func.__name__}", slow)
    method = Method(network, name, box, scales=[1])
    evaluate(records(folder, TRUTHS[:1], method), output, method)
    (row,) = rows_of(output)
    assert (row["map"], row["box"], row["error"]) == (name, used, "")
    assert row["scales"] == ("1" if name == "object_map" else "")
    assert float(row["iou"]) > least
    if name == "whole":
        assert float(row["iou"]) == pytest.approx(235 * 290 / (600 * 400), abs=1e-4)


def test_a_large_photo_is_measured_smaller_and_its_box_is_in_its_own_pixels(
    folder, network, output, monkeypatch
):
    whole, _ = measured(folder, output, network, TRUTHS[:1])
    output.unlink()
    monkeypatch.setattr(localization, "_PIXELS", 300 * 450)
    seen = []

    def noted(network, photos, classes, *, scales):
        seen.append(tuple(photos[0].shape[1:]))
        return object_maps(network, photos, classes, scales=scales)

    monkeypatch.setattr(localization, "object_maps", noted)
    smaller, _ = measured(folder, output, network, TRUTHS[:1])
    assert seen == [(300, 450)]
    corners = [
        [float(rows["coffee.png"][side]) for side in ("x0", "y0", "x1", "y1")]
        for rows in (whole, smaller)
    ]
    # the map differs a little, and a pixel more or less above the threshold moves a side
    assert corners[0] == pytest.approx(corners[1], abs=25)


def test_it_goes_on_where_it_was_interrupted(folder, network, output, tmp_path):
    whole, method = tmp_path / "whole.csv", Method(network, scales=(1.0,))
    truths = [TRUTHS[0], TRUTHS[2], TRUTHS[1]]
    wanted = records(folder, truths, method)
    evaluate(wanted, whole, method)
    lines = whole.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # killed within the second row
    assert evaluate(wanted, output, method) == 2
    assert rows_of(output) == rows_of(whole)
    # the photo that cannot be read is tried again, and has no second row
    assert evaluate(wanted, output, method) == 1
    assert rows_of(output) == rows_of(whole)


def test_a_photo_that_is_mended_gets_its_row(folder, network, output, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in folder.iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    measured(photos, output, network)
    (photos / "broken.png").write_bytes((photos / "coffee.png").read_bytes())
    rows, added = measured(photos, output, network)
    assert added == 1
    assert rows["broken.png"]["error"] == ""
    assert len(rows) == len(rows_of(output)) == 3


def changed_boxes(folder):
    return {"truths": [TRUTHS[0]._replace(boxes=[ROCKET]), *TRUTHS[1:]]}


def changed_label(folder):
    return {"truths": [TRUTHS[0]._replace(label="cup"), *TRUTHS[1:]]}


def changed_classes(folder):
    return {"classes": {"espresso": [CUP]}}


def another_photo(folder):
    """A photo of the same name in another folder."""
    other = folder.with_name("others")
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes((folder / "rocket.png").read_bytes())
    return {"folder": other}


@pytest.mark.parametrize(
    ("change", "kept"),
    [(changed_boxes, 1), (changed_label, 1), (changed_classes, 1), (another_photo, 0)],
)
def test_what_determines_a_row_is_part_of_its_key(
    folder, network, output, tmp_path, change, kept, capsys
):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("coffee", "rocket"):
        (photos / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes())
    given = {"folder": photos, "truths": TRUTHS}
    before, _ = measured(output=output, network=network, **given)
    given |= change(photos)
    after, added = measured(output=output, network=network, **given)
    assert added == 3 - kept  # broken.png among them, of which there is no photo
    fresh, _ = measured(output=tmp_path / "fresh.csv", network=network, **given)
    assert after == fresh
    assert after["coffee.png"] != before["coffee.png"]
    # what was measured before is beside it
    old = rows_of(output.with_name("out.csv.old"))
    assert before["coffee.png"] in old
    assert "rows of other photos, boxes, classes or folders" in capsys.readouterr().err


def test_another_photo_of_the_same_size_and_time_is_another(folder, network, output, tmp_path):
    measured_of = []
    for name in ("coffee", "rocket"):
        photos = tmp_path / name
        photos.mkdir()
        with Image.open(folder / f"{name}.png") as picture:
            picture.crop((0, 0, 420, 320)).save(photos / "coffee.bmp")
        os.utime(photos / "coffee.bmp", (0, 0))
        truth = TRUTHS[0]._replace(file="coffee.bmp")
        measured_of.append(measured(photos, output, network, [truth]))
    assert [added for _, added in measured_of] == [1, 1]
    assert measured_of[0][0] != measured_of[1][0]


def test_results_come_back_if_they_are_wanted_again(folder, network, output, tmp_path):
    method, before = Method(network, scales=(1.0,)), None
    # as of a drive that is not there for a while
    for photos, expected in ((folder, 3), (tmp_path, 3), (folder, 1), (tmp_path, 3), (folder, 1)):
        wanted = records(photos, TRUTHS, method)
        merge(output, wanted, method.settings)
        assert evaluate(wanted, output, method) == expected
        before = before or rows_of(output)
    merge(output, wanted, method.settings)
    assert rows_of(output) == before
    old = [row["key"] for row in rows_of(output.with_name("out.csv.old"))]
    assert len(old) == len(set(old)) == 6


@pytest.mark.parametrize(
    ("column", "value"),
    [("max_box", "0"), ("max_box", "zz" * 128), ("localized", ""), ("pointing", "TRUE")],
)
def test_rows_that_were_changed_by_hand_are_measured_again(folder, network, output, column, value):
    before, _ = measured(folder, output, network, TRUTHS[:1])
    write_rows(output, COLUMNS, [before["coffee.png"] | {column: value}])
    assert measured(folder, output, network, TRUTHS[:1]) == (before, 1)


def test_a_photo_of_which_there_is_no_map_costs_its_row_alone(folder, network, output, tmp_path):
    (tmp_path / "coffee.png").write_bytes((folder / "coffee.png").read_bytes())
    Image.new("RGB", (3000, 1)).save(tmp_path / "long.png")  # too long for ten crops
    truths = [Truth("long.png", "cup", [(0, 0, 9, 1)]), TRUTHS[0]]
    truths.append(Truth("x" * 300, "cup", [COFFEE]))  # longer than names of files can be
    method = Method(network, "ten_crops")
    evaluate(records(tmp_path, truths, method), output, method)
    rows = rows_of(output)
    assert [bool(row["error"]) for row in rows] == [True, False, True]
    assert rows[0]["error"].startswith("expected a less elongated photo")


def test_rows_of_photos_that_are_not_asked_for_do_not_stay(folder, network, output):
    measured(folder, output, network)
    rows, added = measured(folder, output, network, TRUTHS[2:])
    assert (list(rows), added) == (["rocket.png"], 0)
    assert [row["file"] for row in rows_of(output.with_name("out.csv.old"))] == [
        "coffee.png",
        "broken.png",
    ]


def test_results_of_other_settings_are_not_mixed(folder, network, output):
    measured(folder, output, network, TRUTHS[1:2])
    before = output.read_bytes()
    with pytest.raises(ValueError, match=r"holds results of .*'scales': '1'.* not of .*'1 2'"):
        measured(folder, output, network, scales=(1.0, 2.0))
    # nor if a rank of another run left them
    output.rename(output.with_name("out.csv.rank3"))
    with pytest.raises(ValueError, match=r"rank3 holds results"):
        measured(folder, output, network, scales=(1.0, 2.0))
    assert output.with_name("out.csv.rank3").read_bytes() == before


@pytest.mark.parametrize(
    "text", ["name,grade\nanna,1\n", "file,label,x0,y0,x1,y1\na.png,cat,1,2,3,4", "a note"]
)
def test_another_file_is_not_written_over(folder, network, output, text):
    output.write_text(text)
    with pytest.raises(ValueError, match="begins with file,label,network"):
        measured(folder, output, network)
    assert output.read_text() == text
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_without_a_folder_there_are_no_rows(folder, network, output):
    with pytest.raises(ValueError, match=r"folder of photos, found none at .*nowhere"):
        measured(folder / "nowhere", output, network)
    assert not output.exists()


def test_ranks_share_the_photos_and_merge(folder, network, output):
    # the name decides which rank takes a photo, and these are not all of one
    truths = [*TRUTHS, Truth("b.png", "missile", [], problem="no box")]
    method = Method(network, scales=(1.0,))
    wanted = records(folder, truths, method)
    first = evaluate(wanted, output, method, rank=0, ranks=2)
    # its rows count although they are not merged yet: whoever starts again has the rest
    assert evaluate(wanted, output, method, rank=0, ranks=2) == 1  # that cannot be read
    second = evaluate(wanted, output, method, rank=1, ranks=2)
    assert (first, second) == (3, 1)
    parts = parts_of(output)
    assert [part.name for part in parts] == ["out.csv.rank0", "out.csv.rank1"]
    assert sum(len(rows_of(part)) for part in parts) == 4
    merge(output, wanted, method.settings)
    assert not parts_of(output)
    assert [row["file"] for row in rows_of(output)] == [truth.file for truth in truths]


def test_a_merge_that_was_killed_leaves_no_photo_twice(folder, network, output):
    method = Method(network, scales=(1.0,))
    wanted = records(folder, [Truth(name, "cup", [COFFEE]) for name in "abc"], method)
    rows = [
        method.settings | {"file": record.truth.file, "key": record.key, "iou": "0.5"}
        for record in wanted
    ]
    write_rows(output, COLUMNS, rows[:2])
    for rank, some in enumerate((rows[1:2], rows[2:])):
        write_rows(output.with_name(f"out.csv.rank{rank}"), COLUMNS, some)
    output.with_name("out.csv.rank1.new").write_text("half written")
    merge(output, wanted, method.settings)
    assert [row["file"] for row in rows_of(output)] == ["a", "b", "c"]
    merge(output, wanted, method.settings)
    assert len(rows_of(output)) == 3
