import csv

import pytest
import torch
from PIL import Image
from torch import nn

from deepinside.class_score import ClassScore
from deepinside.evaluation import localization
from deepinside.evaluation.annotations import Truth
from deepinside.evaluation.localization import COLUMNS, evaluate, merge, parts_of, summary
from deepinside.images import load_photo, squash_photo
from deepinside.localization import Found, find_object
from deepinside.measures import iou
from deepinside.networks import copy_sharing_weights
from deepinside.object_maps import object_maps
from deepinside.rows import write_rows

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


def measured(folder, output, network, truths=TRUTHS, **options):
    """The rows by file, after an evaluation at one size."""
    evaluate(folder, truths, output, network=network, scales=(1.0,), **options)
    return {row["file"]: row for row in rows_of(output)}


def test_a_row_a_photo_holds_what_the_plain_helpers_give(folder, network, output):
    rows = measured(folder, output, network)
    for name, true, target, top1 in (("coffee", COFFEE, 967, "1"), ("rocket", ROCKET, 657, "0")):
        photo, row = load_photo(name), rows[f"{name}.png"]
        box = find_object(network, photo, target, scales=(1.0,))
        assert row["network"] == "efficientnet_lite0"
        assert row["scales"] == "1"
        assert int(row["class_index"]) == target
        corners = [float(row[side]) for side in ("x0", "y0", "x1", "y1")]
        assert corners == pytest.approx(box, abs=2)
        assert float(row["iou"]) == pytest.approx(iou(box, true), abs=0.02)
        assert row["localized"] == str(int(iou(box, true) >= 0.5))
        # the highest pixel of the map, scaled to the photo, and the distance from the box
        saliency = object_maps(network, [photo], target, scales=[1])[0]
        y, x = divmod(saliency.argmax().item(), 224)
        x, y = (x + 0.5) * photo.shape[2] / 224, (y + 0.5) * photo.shape[1] / 224
        away = torch.tensor([true[0] - x, x - true[2], true[1] - y, y - true[3]]).clamp(min=0)
        assert row["pointing"] == str(int(away.norm() <= 15))
        assert (row["top1"], row["top5_localized"], row["error"]) == (top1, "", "")
    assert [rows[f"{name}.png"]["localized"] for name in ("coffee", "rocket")] == ["1", "0"]


def test_a_photo_that_cannot_be_read_is_reported_and_the_others_are_measured(
    folder, network, output, capsys
):
    truths = [*TRUTHS, Truth("none.png", "missile", []), Truth("coffee.png", "spoon", [COFFEE])]
    assert evaluate(folder, truths, output, network=network, scales=(1.0,), batch_size=2) == 5
    rows = rows_of(output)
    assert [row["file"] for row in rows] == [truth.file for truth in truths]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, True]
    assert "ends early" in rows[1]["error"]
    assert "at least one box" in rows[3]["error"]
    assert "name of a class, got 'spoon'" in rows[4]["error"]
    assert rows[1]["iou"] == ""
    told = capsys.readouterr().err
    assert "skipped broken.png: expected a whole picture" in told
    assert "localized=1, skipped=3" in told
    assert "2 photos, 3 skipped" in summary(output)


def test_a_map_without_an_object_is_reported(folder, network, output, monkeypatch):
    monkeypatch.setattr(localization, "object_maps", lambda *_, **__: torch.ones(1, 224, 224))
    row = measured(folder, output, network, TRUTHS[:1])["coffee.png"]
    assert "map is flat" in row["error"]
    assert row["localized"] == row["class_index"] == ""


@pytest.mark.parametrize("classes", [[ESPRESSO, CUP, GOLDFISH], [GOLDFISH, CUP, ESPRESSO]])
def test_of_a_label_s_classes_the_one_of_the_highest_score_is_taken(
    folder, network, output, classes
):
    row = measured(folder, output, network, TRUTHS[:1], classes={"espresso": classes})
    assert row["coffee.png"]["class_index"] == str(ESPRESSO)
    assert row["coffee.png"]["top1"] == "1"


def test_top1_is_whether_the_first_class_is_one_of_the_label_s(folder, network, output):
    row = measured(folder, output, network, TRUTHS[:1], classes={"espresso": [GOLDFISH, CUP]})
    assert row["coffee.png"]["class_index"] == str(CUP)
    assert row["coffee.png"]["top1"] == "0"


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
    row = measured(folder, output, trained.train(), TRUTHS[:1])["coffee.png"]
    assert row["top1"] == "1"
    # for the scores and for the map
    assert used == ["bilinear", "bilinear"]
    assert trained.training


def test_an_iou_of_exactly_a_half_is_localized(folder, network, output, monkeypatch):
    x0, y0, x1, y1 = COFFEE
    monkeypatch.setattr(localization, "object_box", lambda *_: (x0, y0, x1, (y0 + y1) / 2))
    row = measured(folder, output, network, TRUTHS[:1])["coffee.png"]
    assert (row["iou"], row["localized"]) == ("0.5000", "1")


@pytest.mark.parametrize(
    ("classes", "boxes", "hit"),
    [
        # any class of the label may bring the right box
        ([ESPRESSO, CUP], {CUP: COFFEE, ESPRESSO: ROCKET}, "1"),
        ([ESPRESSO], {CUP: COFFEE, ESPRESSO: ROCKET}, "0"),
        ([ESPRESSO], {CUP: ROCKET, ESPRESSO: COFFEE}, "1"),
    ],
)
def test_top5_needs_a_class_of_the_label_and_its_box(
    folder, network, output, monkeypatch, classes, boxes, hit
):
    asked = []

    def top_objects(network, photo, *, scales):
        asked.append(scales)
        return [Found(ClassScore(index, "", 0.0, 0.0), box) for index, box in boxes.items()]

    monkeypatch.setattr(localization, "find_top_objects", top_objects)
    options = {"top5": True, "classes": {"espresso": classes}}
    row = measured(folder, output, network, TRUTHS[:1], **options)["coffee.png"]
    assert row["top5_localized"] == hit
    assert asked == [(1.0,)]


def test_summary_is_the_mean_of_each_measure(output):
    hits = {"localized": "1100", "pointing": "1110", "top1": "1000", "top5_localized": "1101"}
    rows = [
        {"file": f"{i}.png", **{name: values[i] for name, values in hits.items()}} for i in range(4)
    ]
    write_rows(output, COLUMNS, [*rows, {"file": "x.png", "error": "cut short"}])
    lines = summary(output).splitlines()
    assert lines[0] == "4 photos, 1 skipped"
    means = [line.split(": ")[1].split(" (")[0] for line in lines[1:]]
    # of the last the error: 1 of 4 is no hit
    assert means == ["50.0%", "75.0%", "25.0%", "25.0%"]
    assert "top-5 localization error: 25.0% (0.0% to 75.0%)" in lines
    write_rows(output, COLUMNS, [{"file": "a.png", "localized": 1}])
    assert summary(output).splitlines()[1:] == [
        "localization accuracy (IoU of at least 0.5): 100.0% (100.0% to 100.0%)"
    ]


def test_it_goes_on_where_it_was_interrupted(folder, network, output, tmp_path):
    whole, options = tmp_path / "whole.csv", {"network": network, "scales": (1.0,)}
    evaluate(folder, TRUTHS, whole, **options)
    lines = whole.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # killed within the second row
    assert evaluate(folder, TRUTHS, output, **options) == 2
    assert rows_of(output) == rows_of(whole)
    assert evaluate(folder, TRUTHS, output, **options) == 0
    assert rows_of(output) == rows_of(whole)


def test_results_of_other_settings_are_not_mixed(folder, network, output):
    measured(folder, output, network, TRUTHS[1:2])
    before = output.read_bytes()
    with pytest.raises(ValueError, match=r"holds results of .*'scales': '1'.* not of .*'1 2'"):
        evaluate(folder, TRUTHS, output, network=network, scales=(1.0, 2.0))
    # nor if a rank of another run left them
    output.rename(output.with_name("out.csv.rank3"))
    with pytest.raises(ValueError, match=r"rank3 holds results"):
        evaluate(folder, TRUTHS, output, network=network, scales=(1.0, 2.0))
    assert output.with_name("out.csv.rank3").read_bytes() == before


def test_another_file_is_not_written_over(folder, network, output):
    output.write_text("name,grade\nanna,1\n")
    with pytest.raises(ValueError, match="begins with file,label,network"):
        evaluate(folder, TRUTHS, output, network=network)
    assert output.read_text() == "name,grade\nanna,1\n"


def test_without_a_folder_there_are_no_rows(folder, network, output):
    with pytest.raises(ValueError, match=r"folder of photos, found none at .*nowhere"):
        evaluate(folder / "nowhere", TRUTHS, output, network=network)
    assert not output.exists()


def test_ranks_share_the_photos_and_merge(folder, network, output):
    options = {"network": network, "scales": (1.0,), "ranks": 2}
    # the name decides which rank takes a photo, and these are not all of one
    truths = [*TRUTHS, Truth("b.png", "missile", [])]
    first = evaluate(folder, truths, output, rank=0, **options)
    # its rows count although they are not merged yet: whoever starts again has the rest
    assert evaluate(folder, truths, output, rank=0, **options) == 0
    second = evaluate(folder, truths, output, rank=1, **options)
    assert (first, second) == (3, 1)
    parts = parts_of(output)
    assert [part.name for part in parts] == ["out.csv.rank0", "out.csv.rank1"]
    assert sum(len(rows_of(part)) for part in parts) == 4
    merge(output)
    assert not parts_of(output)
    assert sorted(row["file"] for row in rows_of(output)) == sorted(t.file for t in truths)


def test_a_merge_that_was_killed_leaves_no_photo_twice(output):
    rows = [{"file": name, "iou": "0.5"} for name in "abc"]
    write_rows(output, COLUMNS, rows[:2])
    for rank, some in enumerate((rows[1:2], rows[2:])):
        write_rows(output.with_name(f"out.csv.rank{rank}"), COLUMNS, some)
    output.with_name("out.csv.rank1.new").write_text("half written")
    merge(output)
    assert [row["file"] for row in rows_of(output)] == ["a", "b", "c"]
    merge(output)
    assert len(rows_of(output)) == 3
