"""The explorers of localization: boxes and shares counted pixel by pixel."""

import itertools
import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from deepinside.explorers import localization_explorer, threshold_explorer
from deepinside.explorers.packing import map_panel
from deepinside.images import load_photo, photo_boxes, squash_photo
from deepinside.localization import graph_cut_localization
from deepinside.networks import load_network
from deepinside.object_maps import object_maps
from deepinside.saliency import saliency_map

QUANTILE = "a quantile"
IOU = "IoU with the box drawn by hand"
SIDE = 224
FINE = 8  # cells a pixel's side is counted by


@pytest.fixture
def answer(answer_of, network):
    return answer_of(localization_explorer, network)


def map_of(network, name, kind, label=None):
    photo, label = load_photo(name), label or next(iter(photo_boxes(name)))
    if kind == "object map":
        return object_maps(network, [photo], label)[0]
    return saliency_map(network, squash_photo(photo, (SIDE, SIDE))[None], label)[0]


def component(saliency, quantile, *, by_saliency):
    """The mask of the component above a quantile that has most saliency, or most pixels."""
    return component_above(
        saliency, np.quantile(saliency.numpy(), quantile), by_saliency=by_saliency
    )


def component_above(saliency, threshold, *, by_saliency):
    values = saliency.numpy()
    labels, count = ndimage.label(values > threshold, np.ones((3, 3)))
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


def otsu(saliency):
    """Otsu's threshold from its definition: least variance within the two classes."""
    values = saliency.double().flatten()
    steps = torch.linspace(0, 1, 256, dtype=values.dtype)
    levels = values.min() + (values.max() - values.min()) * steps

    def within(level):
        parts = (values[values <= level], values[values > level])
        return sum(part.var(correction=0) * len(part) for part in parts)

    return min(levels[1:-1], key=within).item()


def check_box_and_numbers(found, name, mask, told=IOU):
    """Compare what is shown of a shipped photo with the mask that should have been found."""
    panel = found.panels[0]
    assert {one.aspect for one in found.panels} == {tuple(load_photo(name).shape[1:])}
    assert torch.equal(panel.mask, torch.from_numpy(mask))
    assert panel.boxes["found"] == corners(mask)
    assert panel.boxes["drawn by hand"] == pytest.approx(drawn_by_hand(name), abs=1e-3)
    overlap = counted_iou(corners(mask), drawn_by_hand(name))
    assert float(found.numbers[told]) == pytest.approx(overlap, abs=0.012)
    share = 100 * mask.sum() / SIDE**2
    for text in (found.numbers["component"], panel.alt):
        assert float(re.search(r"([\d.]+)%", text)[1]) == pytest.approx(share, abs=0.051)
    edges = re.findall(r"from (\d+)% to (\d+)% of the (width|height)", panel.alt)
    told = [((x0, x1, "width"), (y0, y1, "height")) for x0, y0, x1, y1 in panel.boxes.values()]
    for edge, pair in zip(edges, itertools.chain(*told), strict=True):
        assert edge[2] == pair[2]
        assert [float(e) for e in edge[:2]] == pytest.approx(
            [100 * c / SIDE for c in pair[:2]], abs=0.51
        )


# in each case the component of most pixels is not that of most saliency
@pytest.mark.parametrize(
    ("name", "kind", "quantile"), [("cat", "one pass", 0.9), ("astronaut", "object map", 0.7)]
)
def test_threshold_finds_the_component_that_counts(answer, network, name, kind, quantile):
    saliency = map_of(network, name, kind)
    found = answer(photo=name, way=QUANTILE, quantile=quantile, **{"map": kind})
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


@pytest.mark.parametrize("kind", ["object map", "one pass"])
def test_photos_are_resized_as_in_the_network_s_training(answer_of, kind):
    squeezenet = load_network("squeezenet", input_size=(96, 128))
    found = answer_of(localization_explorer, squeezenet)(photo="cat", **{"map": kind})
    image = squash_photo(load_photo("cat"), (96, 128), interpolation="bilinear")
    assert found.panels[0].image.equal(image)
    (label,) = photo_boxes("cat")
    saliency = (
        saliency_map(squeezenet, image[None], label)[0]
        if kind == "one pass"
        else object_maps(squeezenet, [load_photo("cat")], label)[0]
    )
    assert found.panels[1].image.equal(map_panel("", saliency).image)


def test_otsus_threshold_is_the_first_way_and_fits_the_shuttle(answer, network):
    found = answer()
    saliency = map_of(network, "astronaut", "object map")
    mask = component_above(saliency, otsu(saliency), by_saliency=True)
    shown = found.panels[0].mask.numpy()
    # the helper has 256 levels, and so has this: they may differ by one of them
    assert (shown != mask).mean() < 0.005
    check_box_and_numbers(found, "astronaut", shown)
    assert found.numbers[IOU] == "0.89"


@pytest.mark.parametrize("asked", ["the object's", "the network's 1st", "Goldfish"])
def test_map_is_that_of_the_class_asked_for(answer, network, asked):
    scores = network(squash_photo(load_photo("astronaut"), (SIDE, SIDE))[None])[0]
    first = network.class_names[scores.argmax().item()]
    label = {"the object's": "space shuttle", "the network's 1st": first}.get(asked, "goldfish")
    found = answer(map="one pass", **{"class": asked})
    assert found.numbers["class"] == label
    expected = map_panel("", map_of(network, "astronaut", "one pass", label)).image
    torch.testing.assert_close(found.panels[1].image, expected)


def test_class_that_is_none_is_named(answer):
    with pytest.raises(ValueError, match="expected the name of a class, got 'gold fish'"):
        answer(**{"class": "gold fish"})


def test_own_photo_is_localized_for_its_first_class_without_an_iou(answer):
    found = answer(photo=load_photo("coffee"))
    assert found.numbers["class"] == "espresso"
    assert IOU not in found.numbers
    assert list(found.panels[0].boxes) == ["found"]


def test_both_maps_of_a_photo_are_shown(answer, network):
    for kind in ("one pass", "object map", "one pass"):
        panel = answer(photo="coffee", map=kind).panels[1]
        torch.testing.assert_close(
            panel.image, map_panel("", map_of(network, "coffee", kind)).image
        )
        assert panel.alt == f"Map of espresso, {kind}."


def test_own_tall_photo_is_shown_in_its_own_shape(answer):
    photo = torch.rand(3, 90, 40, generator=torch.Generator().manual_seed(0))
    panels = answer(photo=photo, map="one pass", way=QUANTILE).panels
    assert [panel.aspect for panel in panels] == [(90, 40)] * 2
    assert panels[0].image.shape == (3, SIDE, SIDE)
    assert panels[0].mask.any()


def test_maps_of_own_photos_are_not_taken_for_each_other(answer, network):
    photos = torch.rand(34, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    shown = [answer(photo=photo, map="one pass").panels[1].image for photo in photos]
    # more than are kept: the first one is computed once more
    again = answer(photo=photos[0], map="one pass").panels[1].image
    torch.testing.assert_close(again, shown[0])
    assert len({image.numpy().tobytes() for image in shown}) == len(photos)


def test_where_nothing_is_found_the_answer_says_so(answer):
    found = answer(photo="cat", way=QUANTILE, quantile=1.0)
    assert "no object found" in found.numbers["nothing found"]
    assert (found.numbers[IOU], found.numbers["component"]) == ("0.00", "0.0% of the photo")
    assert found.panels[0].alt.startswith(
        "Chelsea the cat: nothing found. The box drawn by hand goes from 0% to "
    )
    assert list(found.panels[0].boxes) == ["drawn by hand"]
    assert not found.panels[0].mask.any()


def test_every_photo_has_a_box_that_was_drawn(without_grid, network):
    photo, target, _, way, *quantiles = without_grid(localization_explorer, network)[0]
    assert all(len(photo_boxes(name)) == 1 for name in photo.values)
    assert target.free == "or any class"
    # each quantile takes part in one way only, and Otsu's threshold needs none
    assert [(control.name, control.needs) for control in quantiles] == [
        ("quantile", ("way", way.values[1])),
        ("upper", ("way", way.values[2])),
        ("lower", ("way", way.values[2])),
    ]


@pytest.fixture
def first_page(answer_of, network):
    return answer_of(threshold_explorer, network)


@pytest.mark.parametrize("kept", [1, 10, 40])
def test_threshold_of_the_first_page_keeps_the_brightest_percent(first_page, network, kept):
    found = first_page(kept=kept)
    saliency = map_of(network, "astronaut", "object map")
    mask = component(saliency, 1 - kept / 100, by_saliency=True)
    check_box_and_numbers(found, "astronaut", mask, told="overlap of the two boxes (IoU)")
    torch.testing.assert_close(found.panels[1].image, map_panel("", saliency).image)


def test_first_page_has_one_slider_whose_best_value_is_not_the_first(without_grid, network):
    (kept,), answers = without_grid(threshold_explorer, network)
    assert kept.kind == "slider"
    assert list(kept.values) == sorted(kept.values)
    found = answers([{"kept": value} for value in kept.values])
    overlaps = [float(answer.numbers["overlap of the two boxes (IoU)"]) for answer in found]
    assert overlaps[kept.first] < 0.3 < 0.8 < max(overlaps)
