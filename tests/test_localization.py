import cv2
import numpy as np
import pytest
import torch

from deepinside.class_score import top_classes
from deepinside.images import load_photo, squash_photo
from deepinside.localization import (
    find_object,
    find_top_objects,
    graph_cut_localization,
    object_box,
    otsu_threshold,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import iou
from deepinside.networks import copy_sharing_weights
from deepinside.object_maps import object_maps


def blob(box, size=(60, 90), inside=1.0, outside=0.1):
    """A map with a planted box, a little uneven so that quantiles have seeds to choose."""
    x0, y0, x1, y1 = box
    values = outside * torch.rand(size, generator=torch.Generator().manual_seed(0))
    values[y0:y1, x0:x1] += inside
    return values


def painted(box, size=(60, 90)):
    """A blue photo with a red box, both noisy."""
    x0, y0, x1, y1 = box
    photo = torch.tensor([0.1, 0.2, 0.8])[:, None, None].repeat(1, *size)
    photo[:, y0:y1, x0:x1] = torch.tensor([0.9, 0.2, 0.1])[:, None, None]
    noise = 0.05 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(1))
    return (photo + noise).clamp(0, 1)


BOX = (50, 10, 80, 30)


def few():
    """A map with three pixels that are not 0."""
    values = torch.zeros(60, 90)
    values[5, 5:8] = 1
    return values


def touched():
    """A map whose largest values lie within the object, and its smallest nowhere in it."""
    values = blob((53, 13, 77, 26))
    x0, y0, x1, y1 = BOX
    values[y0:y1, x0:x1].clamp_(min=0.06)
    return values


# From a class to a box


def two_blobs():
    """A map (20, 30) of two blobs above Otsu's threshold: most saliency, and most pixels."""
    values = torch.zeros(20, 30)
    values[2:6, 3:8] = 9.0
    values[10:15, 10:15] = 5.0
    return values


def test_of_two_blobs_the_one_with_most_saliency_is_the_object(monkeypatch, network):
    assert object_box(two_blobs(), (20, 30)) == (3, 2, 8, 6)
    assert object_box(two_blobs(), (40, 90)) == (9, 4, 24, 12)
    asked = []

    def maps(network, photos, target, *, scales):
        asked.append((target, scales))
        return torch.stack([two_blobs()] * len(photos))

    monkeypatch.setattr("deepinside.localization.object_maps", maps)
    box = find_object(network, torch.rand(3, 40, 60), "goose", scales=[2])
    assert box == (6, 4, 16, 12)
    assert asked == [("goose", [2])]


def test_object_is_found_in_pixels_of_the_photo(network):
    coffee = load_photo("coffee")
    saliency = object_maps(network, [coffee], 967, scales=[1])[0]
    x0, y0, x1, y1 = threshold_localization(saliency, by_saliency=True).box
    x, y = coffee.shape[2] / 224, coffee.shape[1] / 224
    box = find_object(network, coffee, "espresso", scales=[1])
    assert box == pytest.approx((x0 * x, y0 * y, x1 * x, y1 * y))
    assert iou(box, (172, 17, 407, 307)) > 0.3


def test_top_objects_are_the_top_classes_each_with_its_own_box(network):
    cat = load_photo("cat")
    found = find_top_objects(network, cat, 3, scales=[1])
    assert {some.answer.name for some in found} == {"tiger cat", "Egyptian cat", "tabby"}
    scores = [some.answer.score for some in found]
    assert scores == sorted(scores, reverse=True)
    for answer, box in found:
        alone = find_object(network, cat, answer.index, scales=[1])
        assert iou(box, alone) > 0.97


def test_classes_of_top_objects_are_those_of_the_network_s_own_interpolation(network):
    shadow = copy_sharing_weights(network)
    shadow.interpolation = "bilinear"
    rocket = load_photo("rocket")
    image = squash_photo(rocket, (224, 224), interpolation="bilinear")
    (found,) = find_top_objects(shadow, rocket, 1, scales=[1])
    assert found.answer == top_classes(network, image[None], 1)[0][0]


# From a map to a box


@pytest.mark.parametrize("how", [{"quantile": 0.89}, {"share_of_maximum": 0.5}, {}])
def test_planted_box_is_found_and_is_half_open(how):
    found = threshold_localization(blob(BOX), **how)
    if "quantile" in how:
        assert iou(found.box, BOX) > 0.9
    else:
        assert found.box == BOX
        x0, y0, x1, y1 = BOX
        assert found.mask[y0:y1, x0:x1].all()
        assert found.mask.sum() == (x1 - x0) * (y1 - y0)


def test_threshold_is_the_quantile_or_the_share_of_the_maximum():
    values = torch.arange(36.0).reshape(6, 6)
    assert threshold_localization(values, quantile=0.5).foreground.sum() == 18
    assert threshold_localization(values, share_of_maximum=0.5).foreground.sum() == 18
    assert threshold_localization(values, quantile=0.5).box == (0, 3, 6, 6)


def test_component_is_the_largest_or_the_one_with_most_saliency():
    values = torch.zeros(20, 30)
    values[2:5, 2:5] = 10.0
    values[10:18, 10:25] = 0.5
    assert threshold_localization(values, share_of_maximum=0.01).box == (10, 10, 25, 18)
    chosen = threshold_localization(values, share_of_maximum=0.01, by_saliency=True)
    assert chosen.box == (2, 2, 5, 5)
    assert chosen.foreground.sum() == 9 + 8 * 15


def test_diagonal_pixels_are_one_component():
    assert threshold_localization(torch.eye(5), share_of_maximum=0.5).box == (0, 0, 5, 5)


def test_otsu_minimizes_the_variance_within_both_parts(generator):
    low, high = torch.rand(300, generator=generator), 3 + torch.rand(100, generator=generator)
    values = torch.cat([low, high]).reshape(20, 20)
    threshold = otsu_threshold(values)

    def within(t):
        parts = values[values <= t], values[values > t]
        return sum(len(part) * part.var(correction=0) for part in parts)

    candidates = values.flatten()[values.flatten() < values.max()]
    assert within(threshold) <= 1.01 * min(within(t) for t in candidates)
    assert low.max() <= threshold < high.min()
    # neither scale nor offset of the map matters
    assert otsu_threshold(7 * values) == pytest.approx(7 * threshold, rel=1e-4)


def test_graph_cut_fills_what_the_seeds_only_touch():
    values = touched()
    found = graph_cut_localization(painted(BOX), values)
    assert iou(found.box, BOX) > 0.9
    assert found.mask.sum() > 1.5 * found.object_seeds.sum()
    assert not (found.object_seeds & found.background_seeds).any()
    assert found.foreground[found.object_seeds].all()
    assert not found.foreground[found.background_seeds].any()


def test_seeds_are_the_quantiles():
    found = graph_cut_localization(
        painted(BOX), blob(BOX), object_quantile=0.9, background_quantile=0.4
    )
    assert found.object_seeds.double().mean() == pytest.approx(0.1, abs=0.01)
    assert found.background_seeds.double().mean() == pytest.approx(0.4, abs=0.01)


def test_a_second_object_of_the_color_of_the_first_is_found_without_seeds():
    photo, values = painted((50, 10, 80, 30)), touched()
    photo[:, 40:55, 5:30] = photo[:, 12:27, 52:77]
    values[40:55, 5:30] = 0.06
    found = graph_cut_localization(photo, values)
    assert found.foreground[42:53, 8:27].double().mean() > 0.9
    assert iou(found.box, BOX) > 0.9


def test_colors_are_those_of_the_seeds_and_not_of_what_is_undecided(generator):
    """A color between those of the seeds goes to the one that varies more.

    Models fitted to undecided pixels as well, as in GrabCut, would hold it for background.
    """
    red, blue, between = (
        torch.tensor(color)[:, None, None]
        for color in ((0.8, 0.2, 0.2), (0.2, 0.2, 0.8), (0.5, 0.2, 0.5))
    )
    photo, values = blue + 0.02 * torch.randn(3, 60, 90, generator=generator), touched()
    photo[:, 10:30, 50:80] = red + 0.1 * torch.randn(3, 20, 30, generator=generator)
    photo[:, 35:58, 3:80], values[35:58, 3:80] = between, 0.06
    found = graph_cut_localization(photo.clamp(0, 1), values)
    assert not (found.object_seeds | found.background_seeds)[35:58, 3:80].any()
    assert found.foreground[36:57, 4:79].all()
    assert iou(found.box, (3, 35, 80, 58)) > 0.95


def draws(count=3):
    drawn = np.zeros((1, count), np.float32)
    cv2.randu(drawn, 0, 1)
    return drawn.tolist()


def test_cut_repeats_exactly_and_leaves_the_caller_s_generator_as_it_was():
    photo, values = painted(BOX), touched()
    cv2.setRNGSeed(99)
    expected = [draws(), draws()]
    cv2.setRNGSeed(99)
    first = draws()
    found = graph_cut_localization(photo, values)
    assert [first, draws()] == expected
    again = graph_cut_localization(photo, values)
    assert found.box == again.box
    assert torch.equal(found.foreground, again.foreground)


def test_component_of_a_cut_is_the_largest_or_the_one_with_most_saliency():
    photo, values = painted((50, 10, 80, 30)), touched()
    # smaller, of the same color and brighter in the map
    photo[:, 40:52, 5:20] = photo[:, 12:24, 52:67]
    values[40:52, 5:20] = 8
    options = {"object_quantile": 0.9}
    assert iou(graph_cut_localization(photo, values, **options).box, BOX) > 0.9
    found = graph_cut_localization(photo, values, by_saliency=True, **options)
    assert iou(found.box, (5, 40, 20, 52)) > 0.9


def test_a_long_photo_is_cut_smaller_and_the_box_is_in_its_pixels():
    box = (300, 60, 480, 180)
    found = graph_cut_localization(painted(box, (360, 540)), blob(box, (360, 540)))
    assert iou(found.box, box) > 0.95
    assert found.mask.shape == (360, 540)


def test_what_is_made_smaller_is_averaged():
    """Single bright pixels are no seeds where four become one."""
    rows, columns = torch.meshgrid(torch.arange(300), torch.arange(500), indexing="ij")
    values = 4.0 * ((rows % 2 == 0) & (columns % 2 == 0))
    values[60:180, 100:260] = 1.5
    photo = painted((100, 60, 260, 180), (300, 500))
    found = graph_cut_localization(photo, values, object_quantile=0.5)
    assert found.object_seeds[60:180, 100:260].all()
    assert iou(found.box, (100, 60, 260, 180)) > 0.95


def test_rescaled_box_swaps_no_axes():
    assert rescaled_box((10, 20, 30, 40), (100, 50), (300, 100)) == (20, 60, 60, 120)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: threshold_localization(torch.ones(5, 5)), "map is flat"),
        (lambda: threshold_localization(torch.rand(5, 5), quantile=1.0), "no pixel is above"),
        (
            lambda: threshold_localization(torch.rand(5, 5), quantile=1.5),
            "a quantile of at least 0 and at most 1, got 1.5",
        ),
        (
            lambda: threshold_localization(torch.rand(5, 5), share_of_maximum=-1),
            "at most 1, got -1",
        ),
        (
            lambda: threshold_localization(torch.rand(5, 5), quantile=0.5, share_of_maximum=0.5),
            "got both",
        ),
        (
            lambda: threshold_localization(-torch.rand(5, 5)),
            "of at least 0, got values down to -0",
        ),
        (lambda: threshold_localization(torch.full((5, 5), torch.nan)), "finite"),
        (lambda: threshold_localization(torch.rand(1, 5, 5)), "tensor .H, W."),
        (lambda: graph_cut_localization(torch.rand(3, 9, 9), torch.rand(9, 8)), "map's size"),
        (lambda: graph_cut_localization(torch.rand(9, 9), torch.rand(9, 9)), "photo of shape"),
        (lambda: graph_cut_localization(2 + torch.rand(3, 9, 9), torch.rand(9, 9)), r"in \[0, 1\]"),
        (lambda: graph_cut_localization(painted(BOX), few()), "seeds of the object, got 3"),
        (
            lambda: graph_cut_localization(painted(BOX), blob(BOX), background_quantile=-0.1),
            "background's quantile, .* of at least 0 and at most 0.95, got -0.1",
        ),
        (
            lambda: graph_cut_localization(painted(BOX), blob(BOX), object_quantile=0.2),
            "not above the object's, of at least 0 and at most 0.2, got 0.3",
        ),
    ],
)
def test_what_cannot_be_localized_raises_and_says_why(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_input_stays_as_it_is():
    photo, values = painted(BOX), blob(BOX)
    before = photo.clone(), values.clone()
    graph_cut_localization(photo, values)
    threshold_localization(values)
    assert torch.equal(photo, before[0])
    assert torch.equal(values, before[1])
