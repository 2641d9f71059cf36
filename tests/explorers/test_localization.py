"""The explorer of localization: boxes and shares counted pixel by pixel."""

import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from deepinside.explorers import localization_explorer
from deepinside.explorers.packing import map_panel
from deepinside.images import load_photo, photo_boxes, squash_photo
from deepinside.localization import graph_cut_localization
from deepinside.object_maps import object_maps
from deepinside.saliency import saliency_map

SIDE = 224
FINE = 8  # cells a pixel's side is counted by


@pytest.fixture
def answer(answer_of, network):
    return answer_of(localization_explorer, network)


def map_of(network, name, kind):
    photo, label = load_photo(name), next(iter(photo_boxes(name)))
    if kind == "object map":
        return object_maps(network, [photo], label)[0]
    return saliency_map(network, squash_photo(photo, (SIDE, SIDE))[None], label)[0]


def component(saliency, quantile, *, by_saliency):
    """The mask of the component above a quantile that has most saliency, or most pixels."""
    values = saliency.numpy()
    labels, count = ndimage.label(values > np.quantile(values, quantile), np.ones((3, 3)))
    parts = [labels == i for i in range(1, count + 1)]
    return max(parts, key=lambda part: values[part].sum() if by_saliency else part.sum())


def corners(mask):
    (rows, columns) = np.nonzero(mask)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def drawn_by_hand(name):
    """The shipped box, as it lies in the photo squashed to 224 x 224."""
    (box,) = photo_boxes(name).values()
    _, height, width = load_photo(name).shape
    return [c * SIDE / length for c, length in zip(box, (width, height) * 2, strict=True)]


def counted_iou(box, other):
    cells = np.zeros((2, SIDE * FINE, SIDE * FINE), dtype=bool)
    for layer, (x0, y0, x1, y1) in zip(cells, (box, other), strict=True):
        layer[round(y0 * FINE) : round(y1 * FINE), round(x0 * FINE) : round(x1 * FINE)] = True
    return cells.all(0).sum() / cells.any(0).sum()


def check_box_and_numbers(found, name, mask):
    """Compare what is shown of a shipped photo with the mask that should have been found."""
    panel = found.panels[0]
    assert torch.equal(panel.mask, torch.from_numpy(mask))
    assert panel.boxes["found"] == corners(mask)
    assert panel.boxes["drawn by hand"] == pytest.approx(drawn_by_hand(name), abs=1e-3)
    overlap = counted_iou(corners(mask), drawn_by_hand(name))
    assert float(found.numbers["IoU"]) == pytest.approx(overlap, abs=0.012)
    share = 100 * mask.sum() / SIDE**2
    for text in (found.numbers["component"], panel.alt):
        assert float(re.search(r"([\d.]+)%", text)[1]) == pytest.approx(share, abs=0.051)
    assert panel.alt.endswith("in a box at ({}, {}, {}, {}).".format(*corners(mask)))


# in each case the component of most pixels is not that of most saliency
@pytest.mark.parametrize(
    ("name", "kind", "quantile"), [("cat", "one pass", 0.9), ("motorcycle", "object map", 0.95)]
)
def test_threshold_finds_the_component_that_counts(answer, network, name, kind, quantile):
    saliency = map_of(network, name, kind)
    found = answer(photo=name, way="threshold", upper=quantile, **{"map": kind})
    mask = component(saliency, quantile, by_saliency=kind == "object map")
    other = component(saliency, quantile, by_saliency=kind != "object map")
    assert (mask != other).any()
    check_box_and_numbers(found, name, mask)


@pytest.mark.parametrize(
    ("name", "kind", "upper", "lower"),
    [("cat", "one pass", 0.95, 0.5), ("coffee", "object map", 0.95, 0.3)],
)
def test_graph_cut_has_both_quantiles(answer, network, name, kind, upper, lower):
    saliency = map_of(network, name, kind)
    image = squash_photo(load_photo(name), (SIDE, SIDE))
    found = answer(photo=name, way="GraphCut", upper=upper, lower=lower, **{"map": kind})
    plain = graph_cut_localization(
        image,
        saliency,
        object_quantile=upper,
        background_quantile=lower,
        by_saliency=kind == "object map",
    )
    check_box_and_numbers(found, name, plain.mask.numpy())


def test_own_photo_is_localized_for_its_first_class_without_an_iou(answer):
    found = answer(photo=load_photo("coffee"))
    assert found.numbers["class"] == "espresso"
    assert "IoU" not in found.numbers
    assert list(found.panels[0].boxes) == ["found"]


def test_both_maps_of_a_photo_are_shown(answer, network):
    for kind in ("one pass", "object map", "one pass"):
        panel = answer(photo="coffee", map=kind).panels[1]
        torch.testing.assert_close(
            panel.image, map_panel("", map_of(network, "coffee", kind)).image
        )
        assert panel.alt == f"Map of espresso, {kind}."


def test_maps_of_own_photos_are_not_taken_for_each_other(answer, network):
    photos = torch.rand(18, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    shown = [answer(photo=photo, map="one pass").panels[1].image for photo in photos]
    # more than are kept: the first one is computed once more
    again = answer(photo=photos[0], map="one pass").panels[1].image
    torch.testing.assert_close(again, shown[0])
    assert len({image.numpy().tobytes() for image in shown}) == len(photos)


def test_where_nothing_is_found_the_answer_says_so(answer):
    found = answer(photo="cat", upper=1.0)
    assert "no object found" in found.numbers["nothing found"]
    assert (found.numbers["IoU"], found.numbers["component"]) == ("0.00", "0.0% of the photo")
    assert found.panels[0].alt.endswith("0.0%, nowhere.")
    assert not found.panels[0].mask.any()


def test_every_photo_has_a_box_that_was_drawn(without_grid, network):
    photo, *others = without_grid(localization_explorer, network)[0]
    assert all(len(photo_boxes(name)) == 1 for name in photo.values)
    assert [control.name for control in others] == ["map", "way", "upper", "lower"]
    assert others[-1].needs == ("way", "GraphCut")
