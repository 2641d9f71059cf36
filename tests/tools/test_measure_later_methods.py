import csv

import measure_later_methods as tool
import numpy as np
import pytest
import torch
from measure_localization import chosen_on
from PIL import Image
from scipy.stats import spearmanr
from skimage.filters import sobel
from torch import nn

from deepinside.limits import layers_top_down, randomize_layers
from deepinside.measures import max_box_accuracy, recorded_methods, threshold_overlaps
from deepinside.networks import from_model

BOXES = [(10.0, 12.0, 50.0, 40.0)]


@pytest.fixture(scope="module")
def small():
    """A network whose score is an average over 8 x 8 positions, of images of 64 x 64."""
    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 6, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1)]
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    model = nn.Sequential(*layers, *head).eval()
    with torch.no_grad():
        model[-1].weight *= 20
    return from_model(model, class_names=list("abcde"), input_size=(64, 64))


@pytest.fixture(scope="module")
def networks(small):
    names = layers_top_down(small)
    some = {"last_random": names[:1], "all_random": names}
    return {"trained": small} | {
        key: randomize_layers(small, chosen, generator=torch.Generator().manual_seed(0))
        for key, chosen in some.items()
    }


@pytest.fixture
def photo(generator):
    """One that is squashed to itself."""
    return torch.rand(3, 64, 64, generator=generator)


def rank(one, other):
    return spearmanr(one.flatten(), other.flatten()).statistic


def test_row_of_class_activation_maps_is_what_plain_arithmetic_gives(small, networks, photo):
    scores = small(photo[None])[0]
    other, own = scores.argsort()[-2:].tolist()
    label = next(c for c in range(5) if c not in (own, other))
    rows = tool.measure_photo(networks, photo, label, BOXES, "some.jpg")
    assert [row["method"] for row in rows] == list(tool.ALL_METHODS)
    row = rows[tool.ALL_METHODS.index("cam")]

    def cam(network, target):
        activation = network.layers[:4](network.normalization(photo[None]))
        coarse = torch.einsum("k,nkhw->nhw", network.layers[-1].weight[target], activation)
        return nn.functional.interpolate(coarse[None], (64, 64), mode="bilinear")[0, 0].numpy()

    trained = cam(small, own)
    edges = sobel(photo.mean(0).numpy())
    expected = {"edges": edges, "second": cam(small, other)}
    expected |= {name: cam(networks[name], own) for name in ("last_random", "all_random")}
    for name, values in expected.items():
        assert float(row[name]) == pytest.approx(rank(trained, values), abs=6e-4), name

    def mean_height(start, end):
        heights, order = [], (-trained).argsort(axis=None, kind="stable")
        for step in range(11):
            mixed = start.clone().flatten(1)
            gone = order[: round(step * 64 * 64 / 10)]
            mixed[:, gone] = end.flatten(1)[:, gone]
            heights.append(small(mixed.view(1, 3, 64, 64)).softmax(1)[0, own].item())
        return (sum(heights) - (heights[0] + heights[-1]) / 2) / 10

    blank = tool.blurred(photo[None])[0]
    assert float(row["deletion"]) == pytest.approx(mean_height(photo, blank), abs=1e-3)
    assert float(row["insertion"]) == pytest.approx(mean_height(blank, photo), abs=1e-3)
    overlaps = threshold_overlaps(torch.from_numpy(cam(small, label)), BOXES, (64, 64))[0]
    hits = tool.unpacked([row])[0]
    assert (hits == torch.stack([overlaps >= least for least in (0.3, 0.5, 0.7)])).all()
    assert hits.any() and not hits.all()


def test_coarse_maps_are_the_means_of_cells(generator):
    maps = torch.rand(1, 96, 64, generator=generator)
    found = tool.coarse(maps)
    assert found.shape == maps.shape
    # a corner's pixels lie beyond the middles of all cells but one
    for corner, cell in ((found[0, :16, :16], maps[0, :32, :32]),
                         (found[0, -16:, -16:], maps[0, -32:, -32:])):  # fmt: skip
        torch.testing.assert_close(corner, cell.mean().expand(16, 16))


def test_maps_without_an_order_leave_the_cell_empty(generator):
    maps = torch.rand(1, 8, 8, generator=generator)
    assert tool.ranked(maps, torch.ones(1, 8, 8)) == tool.ranked(0 * maps, maps) == ""
    assert tool.ranked(maps, maps * maps) == "1.000"


def test_mean_of_the_hits_is_max_box_accuracy(generator):
    hits = torch.rand(40, 3, 255, generator=generator) < torch.rand(255, generator=generator)
    packed = [{"max_box": np.packbits(photo.numpy()).tobytes().hex()} for photo in hits]
    assert (tool.unpacked(packed) == hits).all()
    expected = max_box_accuracy(hits, generator=generator).value
    assert tool.best_hits(hits).mean().item() == pytest.approx(expected)


def test_a_run_goes_on_where_it_ended_and_writes_the_record(
    small, tmp_path, monkeypatch, generator
):
    names = [name for name in map("{}.png".format, range(20)) if not chosen_on(name)][:4]
    (tmp_path / "photos").mkdir()
    lines = ["file,label,x0,y0,x1,y1"]
    for name in [*names, next(n for n in map("{}.png".format, range(20)) if chosen_on(n))]:
        pixels = torch.randint(256, (64, 64, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / "photos" / name)
        lines.append(f"{name},3,10,12,50,40")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    output, work = tmp_path / "record.csv", tmp_path / "work.csv"
    monkeypatch.setattr(tool, "OUTPUT", output)
    monkeypatch.setattr(tool, "load_network", lambda: small)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    measured, plain = [], tool.measure_photo

    def noted(networks, photo, label, boxes, file):
        measured.append(file)
        assert (label, boxes) == (3, BOXES)
        return plain(networks, photo, label, boxes, file)

    monkeypatch.setattr(tool, "measure_photo", noted)
    tool.measure(tmp_path, work, 2)
    first = measured[:]
    # the run is killed before the second photo's last row
    work.write_text("".join(work.read_text().splitlines(keepends=True)[:-1]))
    tool.measure(tmp_path, work, 20)
    assert measured[:3] == [*first, first[1]]
    assert sorted(measured[2:]) == sorted({*names} - {first[0]})
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(tool.COLUMNS)
    assert [row["file"] for row in rows[:: len(tool.ALL_METHODS)]] == [first[0], *measured[2:]]
    assert [row["method"] for row in rows] == list(tool.ALL_METHODS) * 4
    hits = tool.unpacked([row for row in tool.read_rows(work, ()) if row["method"] == "cam"])
    found = [float(row["hits"]) for row in rows if row["method"] == "cam"]
    expected = max_box_accuracy(hits, generator=generator).value
    assert sum(found) / 4 == pytest.approx(expected, abs=5e-4)


def test_record_has_each_measure_of_each_method_on_each_photo():
    rows = recorded_methods()
    files = list(dict.fromkeys(row["file"] for row in rows))
    assert len(files) == 100 and not any(map(chosen_on, files))
    assert list(rows[0]) == list(tool.COLUMNS)
    pairs = [(row["file"], row["method"]) for row in rows]
    assert pairs == [(file, method) for file in files for method in tool.ALL_METHODS]
    for row in rows:
        for name in ("deletion", "insertion"):
            assert 0 <= float(row[name]) <= 1
        assert row["hits"] in ("0.000", "0.333", "0.667", "1.000")
        assert -1 <= float(row["edges"]) <= 1
        for name in ("second", "last_random", "all_random", "seconds"):
            if row["method"] in tool.CONTROLS:
                assert row[name] == ""
            elif name == "seconds":
                assert 0 < float(row[name]) < 60
            elif row[name]:
                assert -1 <= float(row[name]) <= 1
    assert {row["edges"] for row in rows if row["method"] == "edges"} == {"1.000"}
