"""Maps and localization with what they are not made for: a right result, or an error that says why.

One test a kind, over all functions that it may happen to.
"""

import copy
import math
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import torch
from drawn_networks import Refuses, drawn
from torch import nn

from deepinside.class_activation import class_activation_map, grad_cam, guided_grad_cam
from deepinside.evaluation.localization import Method
from deepinside.evaluation.methods import center_maps
from deepinside.integrated_gradients import integrated_gradients
from deepinside.localization import (
    find_object,
    find_top_objects,
    graph_cut_localization,
    object_box,
    otsu_threshold,
    rescaled_box,
    threshold_localization,
)
from deepinside.measures import (
    best_iou,
    iou,
    max_box_accuracy,
    mean_interval,
    paired_interval,
    pointing_hit,
    threshold_overlaps,
)
from deepinside.networks import from_model
from deepinside.object_maps import object_maps, stage_saliency
from deepinside.occlusion import occlusion
from deepinside.stages import last_activation, layouts, stages

BOX = (4, 5, 12, 9)
LAYER = "layers.3"


def drawn_map(seed=0):
    """A map (20, 30) whose largest values lie in `BOX`."""
    values = 0.1 * torch.rand(20, 30, generator=torch.Generator().manual_seed(seed))
    values[BOX[1] : BOX[3], BOX[0] : BOX[2]] += 0.8
    return values


def photo(height=20, width=30):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def small():
    strides = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()]
    pooled = [nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*strides, *pooled, nn.Linear(8, 5))


def two_images():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(2, 3, 64, 64, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def single():
    """A network of float32."""
    return copy.deepcopy(drawn(small)).float()


# of a network, images and a target: everything that computes maps of images
OF_IMAGES = {
    "stage_saliency": lambda n, i, t: stage_saliency(n, i, t, [LAYER])[0],
    "class_activation_map": class_activation_map,
    "grad_cam": grad_cam,
    "guided_grad_cam": guided_grad_cam,
    "occlusion": lambda n, i, t: occlusion(
        n, i, t, replacement=i.new_tensor(0.5), patch=32, stride=32
    ),
    "integrated_gradients": lambda n, i, t: integrated_gradients(
        n, i, t, baseline=i.new_tensor(0.0), steps=2
    ),
}
OF_PHOTOS = {
    "object_maps": lambda n, p, t=None, **k: object_maps(n, p, t, **{"scales": [1], **k}),
    "find_object": lambda n, p, t=None, **k: find_object(n, p[0], t, **{"scales": [1], **k}),
    "find_top_objects": lambda n, p, t=None, **k: find_top_objects(
        n, p[0], 2, **{"scales": [1], **k}
    ),
}
# of a map alone
OF_A_MAP = {
    "otsu_threshold": otsu_threshold,
    "otsu": lambda m: threshold_localization(m).box,
    "quantile": lambda m: threshold_localization(m, quantile=0.94).box,
    "share": lambda m: threshold_localization(m, share_of_maximum=0.5, by_saliency=True).box,
    "object_box": lambda m: object_box(m, (20, 30)),
    "graph_cut": lambda m: graph_cut_localization(photo(), m, object_quantile=0.94).box,
    "pointing_hit": lambda m: pointing_hit(m, [BOX], tolerance=0),
    "threshold_overlaps": lambda m: threshold_overlaps(m, [BOX], (20, 30)),
}
at_least_0 = ["otsu_threshold", "otsu", "quantile", "share", "object_box", "graph_cut"]


# Half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", OF_A_MAP)
def test_a_map_of_half_precision_is_that_map_in_float32(name, dtype):
    narrow = drawn_map().to(dtype)
    got, expected = OF_A_MAP[name](narrow), OF_A_MAP[name](narrow.float())
    assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["object_maps", *OF_IMAGES])
def test_a_network_of_half_precision_gives_maps_of_float32(name, dtype, single):
    if name == "guided_grad_cam":
        pytest.skip("the pseudo-gradient is tested with DeconvNets")
    narrow = copy.deepcopy(single).to(dtype)
    if name == "object_maps":
        got, expected = (OF_PHOTOS[name](n, [photo()], 1) for n in (narrow, single))
    else:
        images = two_images().to(dtype)
        got = OF_IMAGES[name](narrow, images, [1, 2])
        expected = OF_IMAGES[name](single, images.float(), [1, 2])
    assert got.dtype == torch.float32
    # as exact as the network, which has 8 or 11 bits; ReLUs flip along a line
    close = (got - expected).flatten().norm() / expected.flatten().norm()
    assert close < (0.2 if dtype == torch.bfloat16 else 0.1)


# NaN and extremes


@pytest.mark.parametrize("largest", [1e-43, 1e-38, 1e-37, 1e-10, 1e30, 3e38])
@pytest.mark.parametrize("name", OF_A_MAP)
def test_the_scale_of_a_map_does_not_matter(name, largest):
    # steps of 1 / 8, which the smallest numbers still have
    steps = (8 * drawn_map()).round() / 8
    steps[BOX[1] : BOX[3], BOX[0] : BOX[2]] = torch.linspace(6, 8, 8).round() / 8
    scale = 2.0 ** math.floor(math.log2(largest))
    got, expected = OF_A_MAP[name](steps * scale), OF_A_MAP[name](steps)
    if name == "otsu_threshold":
        got /= scale
    assert torch.equal(torch.as_tensor(got), torch.as_tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["otsu", "quantile", "object_box", "pointing_hit"])
def test_an_almost_flat_map_is_one_of_the_last_digits(name, dtype):
    digits = (20 * drawn_map()).round().to(dtype)
    almost = 1 + digits * torch.finfo(dtype).eps
    assert almost.max() - 1 < 1e-5
    assert OF_A_MAP[name](almost) == OF_A_MAP[name](digits)
    assert OF_A_MAP["otsu"](almost) == BOX


@pytest.mark.parametrize("largest", [5e-324, 1e-310, 1e308])
def test_extremes_of_float64(largest):
    values = torch.zeros(20, 30, dtype=torch.float64)
    values[BOX[1] : BOX[3], BOX[0] : BOX[2]] = largest
    assert threshold_localization(values).box == BOX
    assert 0 <= otsu_threshold(values) < largest
    both = values.masked_fill(values == 0, -largest)
    expected = threshold_overlaps((values > 0).float(), [BOX], (20, 30))
    assert torch.equal(threshold_overlaps(both, [BOX], (20, 30)), expected)


@pytest.mark.parametrize("value", [0.0, 1e-40, 0.5, 3e38])
def test_a_flat_map_finds_nothing_and_points_nowhere(value):
    flat = torch.full((20, 30), value)
    for name in at_least_0:
        with pytest.raises(ValueError, match="no object found: the map is flat"):
            OF_A_MAP[name](flat)
    # where the first of equal values would lie
    assert not pointing_hit(flat, [(0, 0, 5, 5)])
    # the protocol has a box of the first pixel
    assert set(threshold_overlaps(flat, [(0, 0, 2, 1)], (20, 30)).unique().tolist()) == {0.5}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: torch.where(m == m.max(), torch.nan, m), "got 1 values that are NaN"),
        (lambda m: torch.where(m == m.max(), torch.inf, m), "got 1 values that are NaN or inf"),
        (lambda m: m > 0.5, "of torch.bool"),
        (lambda m: (9 * m).int(), "of torch.int32"),
        (lambda m: m + 0j, "of torch.complex64"),
        (lambda m: m[None], r"got shape \(1, 20, 30\)"),
        (lambda m: m[:0], r"got shape \(0, 30\)"),
        (lambda m: m.to("meta"), "on meta"),
        (lambda m: m.numpy(), "got an array"),
        (lambda m: None, "got None"),
        (lambda m: [[0.0, 1.0]], r"got \[\[0.0, 1.0\]\]"),
    ],
)
@pytest.mark.parametrize("name", OF_A_MAP)
def test_what_is_no_map_is_refused(name, spoil, words):
    with pytest.raises(ValueError, match=rf"expected a map as a tensor .* finite floats.*{words}"):
        OF_A_MAP[name](spoil(drawn_map()))


@pytest.mark.parametrize("name", at_least_0)
def test_where_a_map_has_to_be_at_least_0_a_negative_one_is_refused(name):
    with pytest.raises(ValueError, match="of at least 0, got values down to -0"):
        OF_A_MAP[name](drawn_map() - 0.5)


# Boxes


@pytest.mark.parametrize(
    "kind",
    [
        *(lambda box, t=t: np.array(box, t) for t in (np.int16, np.uint16, np.float32)),
        *(lambda box, t=t: torch.tensor(box, dtype=t) for t in (torch.int16, torch.float64)),
        list,
        lambda box: [np.int16(edge) for edge in box],
    ],
)
def test_overlap_of_large_boxes_of_any_type(kind):
    box, other = (30000, 0, 32000, 300), (31000, 0, 32000, 300)
    assert iou(kind(box), kind(other)) == 0.5
    assert best_iou(kind(box), [kind(other), kind(box)]) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.float16, torch.uint8, torch.half, torch.bfloat16])
def test_overlap_of_boxes_of_8_and_16_bits(kind):
    box, other = (100, 100, 250, 250), (200, 50, 250, 200)
    made = [np.array(b, kind) if isinstance(kind, type) else torch.tensor(b, dtype=kind)
            for b in (box, other)]  # fmt: skip
    assert iou(*made) == 5000 / (150 * 150 + 50 * 150 - 5000)


BOXES = [
    ((0, 0, math.nan, 1), "got "),
    ((0, 0, math.inf, 1), "got "),
    ((5, 0, 2, 4), r"x0 < x1 and y0 < y1, got .*\(5.0, 0.0, 2.0, 4.0\)"),
    ((0, 0, 4, 0), "x0 < x1 and y0 < y1"),
    ((1, 2, 3), r"four numbers, got \(1, 2, 3\)"),
    ((1, 2, 3, 4, 5), "four"),
    (None, "four .* got None"),
    ("1234", "four .* got '1234'"),
    (("0", 0, 1, 1), "four"),
    ((True, 0, 2, 2), "four"),
    (torch.empty(4, device="meta"), "four .* on meta"),
    (torch.ones(4) * 1j, "four"),
]


@pytest.mark.parametrize(("box", "words"), BOXES)
@pytest.mark.parametrize(
    "call",
    [
        lambda box: iou(box, BOX),
        lambda box: iou(BOX, box),
        lambda box: best_iou(BOX, [BOX, box]),
        lambda box: pointing_hit(drawn_map(), [BOX, box]),
        lambda box: threshold_overlaps(drawn_map(), [BOX, box], (20, 30)),
        lambda box: rescaled_box(box, (20, 30), (40, 60)),
    ],
)
def test_what_is_no_box_is_refused(call, box, words):
    with pytest.raises(ValueError, match=f"expected .*{words}"):
        call(box)


@pytest.mark.parametrize("boxes", [None, [], BOX, "ab", 3])
def test_a_list_of_true_boxes_is_needed(boxes):
    for call in (
        lambda: best_iou(BOX, boxes),
        lambda: pointing_hit(drawn_map(), boxes),
        lambda: threshold_overlaps(drawn_map(), boxes, (20, 30)),
    ):
        with pytest.raises(ValueError, match=r"expected a (list of at least one true|box of four)"):
            call()


@pytest.mark.parametrize("size", [None, (5,), (5, 5, 5), (0, 5), (5.5, 5), "55", (True, 5)])
def test_a_size_is_two_whole_numbers(size):
    for call in (
        lambda: rescaled_box(BOX, size, (20, 30)),
        lambda: rescaled_box(BOX, (20, 30), size),
        lambda: object_box(drawn_map(), size),
        lambda: threshold_overlaps(drawn_map(), [BOX], size),
    ):
        with pytest.raises(ValueError, match=r"expected a size \(height, width\) in whole pixels"):
            call()
    assert rescaled_box(BOX, np.array([20, 30]), torch.Size([40, 90])) == (12, 10, 36, 18)


# Values of many images


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([True, False], 0.5),
        (torch.tensor([0.25, 0.5]).half(), 0.375),
        (torch.tensor([0.25, 0.5]).bfloat16(), 0.375),
        (np.array([0, 255], np.uint8), 127.5),
        (torch.tensor([1.0, 2.0], requires_grad=True), 1.5),
    ],
)
def test_intervals_are_those_of_float64(values, mean, generator):
    assert mean_interval(values, generator=generator).value == mean
    assert paired_interval(values, [0.0, 0.0], generator=generator).value == mean


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "shape"),
        ([0.5, math.nan], "got 1 of 2 that are NaN or infinite"),
        ([[0.1, 0.2]], r"got values of shape \(1, 2\)"),
        (torch.tensor(0.5), r"got values of shape \(\)"),
        (["0.5"], "got"),
        ("0.5", "got '0.5'"),
        (None, "got None"),
        ([None], "got"),
        (torch.ones(3) * 1j, "torch.complex64"),
        (np.ones(3) * 1j, "complex128"),
        (torch.empty(3, device="meta"), "on meta"),
        ([10**400], "got"),
    ],
)
def test_values_are_one_finite_number_an_image(values, words, generator):
    expected = f"expected finite values, one number an image, {words if 'got' in words else ''}"
    with pytest.raises(ValueError, match=expected):
        mean_interval(values, generator=generator)
    with pytest.raises(ValueError, match=expected):
        paired_interval([0.5], values, generator=generator)


@pytest.mark.parametrize("spoil", [lambda h: h.float(), lambda h: h.numpy(), lambda h: h[0],
                                   lambda h: h.to("meta"), lambda h: "hits"])  # fmt: skip
def test_hits_are_bool(spoil, generator):
    hits = torch.ones(4, 3, 5, dtype=torch.bool)
    for some, other in ((spoil(hits), None), (hits, spoil(hits))):
        with pytest.raises(ValueError, match=r"expected hits \(N, IoUs, thresholds\)"):
            max_box_accuracy(some, baseline=other, generator=generator)


@pytest.mark.parametrize("generator", [None, 0, np.random.default_rng(0)])
def test_a_generator_is_pytorch_s(generator):
    for call in (
        lambda: mean_interval([1.0, 2.0], generator=generator),
        lambda: paired_interval([1.0], [2.0], generator=generator),
        lambda: max_box_accuracy(torch.ones(1, 1, 1, dtype=torch.bool), generator=generator),
    ):
        with pytest.raises(ValueError, match=r"expected a torch\.Generator, got"):
            call()


# Numbers


@pytest.mark.parametrize("value", [None, "0.5", math.nan, True, [0.5], 1j, 2, -0.1])
def test_a_quantile_is_a_number_from_0_to_1(value):
    values, picture = drawn_map(), photo()
    calls = [
        lambda: graph_cut_localization(picture, values, object_quantile=value),
        lambda: graph_cut_localization(picture, values, background_quantile=value),
    ]
    if value is not None:
        calls += [
            lambda: threshold_localization(values, quantile=value),
            lambda: threshold_localization(values, share_of_maximum=value),
        ]
    for call in calls:
        with pytest.raises(ValueError, match=r"expected .*(quantile|share).* of at least 0 and at"):
            call()
    if not isinstance(value, int) or isinstance(value, bool):
        with pytest.raises(ValueError, match="expected a tolerance in pixels of at least 0, got"):
            pointing_hit(values, [BOX], tolerance=value)


@pytest.mark.parametrize("made", [np.float64, np.float32, torch.tensor])
def test_numbers_of_numpy_and_tensors_are_taken(made, single):
    values, images = drawn_map(), two_images().float()
    expected = threshold_localization(values, quantile=0.75)
    assert threshold_localization(values, quantile=made(0.75)).box == expected.box
    assert pointing_hit(values, [(0, 0, 3, 5)], tolerance=made(10.0))
    one = object_maps(single, [photo()], 0, scales=[made(1.0)])
    assert one.equal(object_maps(single, [photo()], 0, scales=(1,)))
    assert one.equal(object_maps(single, [photo()], 0, scales=np.ones(1)))
    whole = {np.float64: np.int64, np.float32: np.int16}.get(made, made)
    gray = torch.tensor(0.5)
    covered = [
        occlusion(single, images, 0, replacement=gray, patch=f(16), stride=f(8))
        for f in (int, whole)
    ]
    assert covered[0].equal(covered[1])
    shares = [integrated_gradients(single, images, 0, baseline=gray, steps=f(2))
              for f in (int, whole)]  # fmt: skip
    assert shares[0].equal(shares[1])
    assert len(find_top_objects(single, photo(), whole(2), scales=[1])) == 2


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ([1e6], "a scale that memory allows, above 0 and at most 31.25, got 1000000.0"),
        ([2, math.nan], "got nan"),
        ([math.inf], "got inf"),
        ([-1], "got -1"),
        (["1"], "got '1'"),
        ([True], "got True"),
        ([None], "got None"),
        ("12", "a list of scales above 0, such as .*, got '12'"),
        (1, "a list of scales above 0, .*, got 1"),
        (None, "a list of scales above 0, .*, got None"),
        (torch.tensor(1.0), "a list of scales above 0"),
        ([], "a list of scales above 0"),
    ],
)
@pytest.mark.parametrize("name", OF_PHOTOS)
def test_scales_are_numbers_that_memory_allows(name, scales, words):
    with pytest.raises(ValueError, match=f"expected .*{words}"):
        OF_PHOTOS[name](drawn(small), [photo()], scales=scales)
    with pytest.raises(ValueError, match=f"expected .*{words}"):
        Method(drawn(small), scales=scales).check()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"map": "hot"}, "map of object_map, .*'hot'"), ({"box": None}, "box of .*otsu, .* got None")],
)
def test_a_method_has_a_map_and_a_box_that_exist(options, words):
    with pytest.raises(ValueError, match=f"expected a {words}"):
        Method(drawn(small), **options).check()


# Photos, classes, layers and networks


@pytest.mark.parametrize("photos", [None, photo(), [], 5, iter([photo()]), photo().numpy()])
def test_photos_are_a_list(photos):
    with pytest.raises(ValueError, match=r"expected a list of at least one photo \(3, H, W\), got"):
        object_maps(drawn(small), photos, 0, scales=[1])


@pytest.mark.parametrize("spoil", [lambda p: None, lambda p: p[0], lambda p: 2 + p,
                                   lambda p: p[:, :0], lambda p: (255 * p).byte()])  # fmt: skip
@pytest.mark.parametrize("name", OF_PHOTOS)
def test_a_list_of_photos_holds_photos(name, spoil):
    with pytest.raises(ValueError, match="expected a photo"):
        OF_PHOTOS[name](drawn(small), [spoil(photo())], 0)


@pytest.mark.parametrize("target", [[0], ("a",), torch.tensor([1]), np.array([1]), [0, 1, 2]])
@pytest.mark.parametrize("name", ["object_maps", *OF_IMAGES])
def test_a_list_of_classes_has_one_for_each_image(name, target):
    with pytest.raises(ValueError, match="expected one class or 2, one for each image; got"):
        if name == "object_maps":
            OF_PHOTOS[name](drawn(small), [photo(), photo()], target)
        else:
            OF_IMAGES[name](drawn(small), two_images(), target)


@pytest.mark.parametrize("target", [1, np.int64(1), torch.tensor(1), "b"])
@pytest.mark.parametrize("name", ["object_maps", *OF_IMAGES])
def test_one_class_is_that_of_all_images(name, target):
    call, given = OF_IMAGES.get(name), two_images()
    if name == "object_maps":
        call, given = OF_PHOTOS[name], [photo(), photo(30, 20)]
    got = call(drawn(small), given, target)
    assert got.equal(call(drawn(small), given, [1, 1]))
    assert got.flatten(1).abs().amax(1).all()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (LAYER, "a list of layers' names, each once, got 'layers.3'"),
        ([LAYER, LAYER], "each once"),
        (None, "each once, got None"),
        ([None], "each once"),
        ([[LAYER]], "each once"),
        (3, "each once, got 3"),
        ([], "names of modules of Sequential, got none"),
        (["nowhere"], "names of modules of Sequential, got .*nowhere"),
        (["layers.8"], "layers of Sequential with activations .* got .*layers.8"),
        ([""], "layers of Sequential with activations"),
    ],
)
def test_layers_are_a_list_of_names(layers, words):
    calls = [
        lambda: layouts(drawn(small), layers),
        lambda: stage_saliency(drawn(small), two_images(), 0, layers),
    ]
    if layers is not None:
        calls.append(lambda: object_maps(drawn(small), [photo()], 0, layers=layers))
    if isinstance(layers, list) and len(layers) == 1 and layers[0] is not None:
        calls.append(lambda: grad_cam(drawn(small), two_images(), 0, layers[0]))
    for call in calls:
        with pytest.raises(ValueError, match=f"expected .*{words}"):
            call()


@pytest.mark.parametrize("network", [None, "resnet", 3])
@pytest.mark.parametrize("name", [*OF_PHOTOS, *OF_IMAGES, "stages", "last_activation", "check"])
def test_what_is_no_network_is_refused(name, network):
    call = {
        "stages": lambda n: stages(n),
        "last_activation": lambda n: last_activation(n),
        "check": lambda n: Method(n).check(),
    }.get(name)
    with pytest.raises(ValueError, match=r"expected a [Nn]etwork"):
        if call:
            call(network)
        elif name in OF_PHOTOS:
            OF_PHOTOS[name](network, [photo()], 0)
        else:
            OF_IMAGES[name](network, two_images(), 0)


@pytest.mark.parametrize("name", ["object_maps", "stage_saliency", "grad_cam", "class_activation"])
def test_what_does_not_know_its_layers_is_told_from_a_network(name):
    plain, images = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5)).double(), two_images()
    with pytest.raises(ValueError, match=r"Network, as load_network returns, got Sequential"):
        if name == "object_maps":
            object_maps(plain, [photo()], 0)
        else:
            OF_IMAGES[name.replace("activation", "activation_map")](plain, images, 0)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda i: 255 * i, r"images in \[0, 1\]"),
        (lambda i: i - 5, r"images in \[0, 1\].*normalized"),
        (lambda i: torch.full_like(i, torch.nan), "finite images"),
        (lambda i: i.float(), "images of the network's type"),
        (lambda i: (255 * i).byte(), "images of floats"),
        (lambda i: i[0], "a batch of images"),
        (lambda i: i[:0], "a batch of images"),
        (lambda i: i[:, :1], r"images .*\(N, 3, "),
        (lambda i: i.to("meta"), "images as a tensor"),
    ],
)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_what_are_no_images_is_refused(name, spoil, words):
    with pytest.raises(ValueError, match=f"expected {words}"):
        OF_IMAGES[name](drawn(small), spoil(two_images()), 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (127.5, r"in \[0, 1\], got values from 127.5 .* 255"),
        (-4.0, r"in \[0, 1\], .* normalized"),
        (math.nan, "got 24576 values that are NaN"),
    ],
)
@pytest.mark.parametrize("name", ["replacement", "baseline"])
def test_what_takes_the_images_place_is_in_their_range(name, value, words):
    given = torch.tensor(value, dtype=torch.float64)
    with pytest.raises(ValueError, match=f"expected .*{name} images.*{words}"):
        if name == "baseline":
            integrated_gradients(Refuses(1, 1).double(), two_images(), 0, baseline=given)
        else:
            options = {"replacement": given, "patch": 2, "stride": 2}
            occlusion(Refuses(1, 1).double(), two_images(), 0, **options)


# No gradient, no score


class Spoiled(nn.Module):
    """A network whose scores are spoiled once it is told how."""

    def __init__(self):
        super().__init__()
        self.inner, self.spoil = small(), lambda scores: scores

    def forward(self, images):
        return self.spoil(self.inner(images))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.detach(), "with a gradient by the image, got none"),
        (lambda s: torch.arange(5.0).expand(len(s), 5), "with a gradient by the image, got none"),
        (lambda s: 0 * s, "that depend on the image, got a gradient of 0 at all places"),
        (lambda s: s * torch.nan, "finite class scores"),
    ],
)
@pytest.mark.parametrize("name", [*OF_PHOTOS, "grad_cam", "stage_saliency", "last_activation"])
def test_scores_without_a_gradient_have_no_maps(name, spoil, words):
    torch.manual_seed(0)
    network = from_model(Spoiled().eval(), class_names=list("abcde"), input_size=(64, 64))
    network.layers.spoil = spoil
    with pytest.raises(ValueError, match=f"expected .*{words}"):
        if name in OF_PHOTOS:
            OF_PHOTOS[name](network, [photo()], 0)
        elif name == "last_activation":
            last_activation(network)
        elif name == "grad_cam":
            grad_cam(network, two_images().float(), 0)
        else:
            stage_saliency(network, two_images().float(), 0, ["layers.inner.3"])


def test_a_stage_that_a_detaching_network_names_is_told_too(network, fitted):
    """EfficientNet's stages are known without a pass."""
    shadow = copy.deepcopy(network)
    shadow.layers.classifier.register_forward_hook(lambda layer, given, output: output.detach())
    assert stages(shadow)
    with pytest.raises(ValueError, match="expected a network with a gradient by the image"):
        object_maps(shadow, [photo()], 0, scales=[1])


# State


@contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def seeded():
    return torch.Generator().manual_seed(3)


HITS = torch.arange(60).reshape(4, 3, 5) % 3 == 0
OF_NO_IMAGES = {
    "max_box_accuracy": lambda: max_box_accuracy(HITS, generator=seeded()),
    "mean_interval": lambda: mean_interval([0.1, 0.4, 0.2], generator=seeded()),
    "graph_cut": lambda: OF_A_MAP["graph_cut"](drawn_map()),
    "otsu": lambda: otsu_threshold(drawn_map()),
    "center_maps": lambda: center_maps(drawn(small), [None], [0]),
}


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, float64_by_default])
@pytest.mark.parametrize("name", ["object_maps", *OF_IMAGES, *OF_NO_IMAGES])
def test_the_caller_s_mode_changes_nothing(name, mode, single):
    given = two_images().float(), drawn_map(), photo()

    def result():
        if name in OF_NO_IMAGES:
            return OF_NO_IMAGES[name]()
        if name == "object_maps":
            return object_maps(single, [given[2]], scales=[1])
        return OF_IMAGES[name](single, given[0], [1, 2])

    expected = result()
    if name in OF_IMAGES and mode is float64_by_default and name == "guided_grad_cam":
        pytest.skip("the pseudo-gradient is tested with DeconvNets")
    if mode is float64_by_default and name in ("graph_cut", "otsu"):
        pytest.skip("the test's own maps are drawn in another type")
    with mode():
        got = result()
    assert isinstance(got, type(expected))
    if isinstance(expected, torch.Tensor):
        assert got.dtype == expected.dtype
        assert got.equal(expected)
    else:
        assert got == expected


@pytest.mark.parametrize("name", ["object_maps", *OF_IMAGES])
def test_autocast_is_refused(name, single):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ValueError, match="expected no autocast"),
    ):
        if name == "object_maps":
            object_maps(single, [photo()], 0)
        else:
            OF_IMAGES[name](single, two_images().float(), 0)


def test_a_cut_leaves_opencv_as_it_was_and_does_not_depend_on_it():
    expected, before = OF_A_MAP["graph_cut"](drawn_map()), cv2.getNumThreads()
    drawn_numbers = np.zeros((1, 4), np.float32)
    try:
        for seed, threads in ((1, 1), (2, 3)):
            cv2.setNumThreads(threads)
            cv2.setRNGSeed(seed)
            cv2.randu(drawn_numbers, 0, 1)
            following = cv2.randu(np.zeros((1, 4), np.float32), 0, 1)
            cv2.setRNGSeed(seed)
            cv2.randu(drawn_numbers, 0, 1)
            assert OF_A_MAP["graph_cut"](drawn_map()) == expected
            assert (cv2.randu(np.zeros((1, 4), np.float32), 0, 1) == following).all()
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)


def test_nothing_is_left_after_what_is_refused():
    network = copy.deepcopy(drawn(small))
    state = [(p.requires_grad, p.grad) for p in network.parameters()]
    for call in (
        lambda: object_maps(network, [photo()], [0, 1]),
        lambda: stage_saliency(network, two_images(), 0, ["nowhere"]),
        lambda: grad_cam(network, two_images() * 255, 0),
        lambda: occlusion(network, two_images(), 0, replacement=None, patch=1, stride=1),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    assert [(p.requires_grad, p.grad) for p in network.parameters()] == state
    assert not any(module._forward_hooks for module in network.modules())
