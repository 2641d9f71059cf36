from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepinside.class_activation import class_activation_map
from deepinside.evaluation.methods import MAPS, cam_maps, center_maps, gradient_maps, whole_maps
from deepinside.images import load_photo, squashed
from deepinside.integrated_gradients import integrated_gradients
from deepinside.occlusion import occlusion
from deepinside.saliency import saliency_map

ESPRESSO, MISSILE = 967, 657


@pytest.mark.parametrize("name", ["gradient", "ten_crops", "cam", "grad_cam"])
def test_each_map_is_of_its_own_photo_and_class(network, name):
    photos, classes = [load_photo("coffee"), load_photo("rocket")], [ESPRESSO, MISSILE]
    both = MAPS[name](network, photos, classes)
    assert both.shape == (2, *network.input_size)
    assert both.min() >= 0
    for one, photo, target in zip(both, photos, classes, strict=True):
        alone = MAPS[name](network, [photo], [target])[0]
        torch.testing.assert_close(one, alone, rtol=1e-3, atol=1e-3 * alone.max().item())
    swapped = MAPS[name](network, photos, classes[::-1])
    assert ((swapped - both).abs().amax((1, 2)) > 0.1 * both.amax((1, 2))).all()


def test_gradient_and_cam_are_those_of_the_squashed_photo(network):
    photo = load_photo("coffee")
    image = squashed(network, [photo], network.input_size)
    expected = saliency_map(network, image, [ESPRESSO])
    torch.testing.assert_close(gradient_maps(network, [photo], [ESPRESSO]), expected)
    small = class_activation_map(network, image, [ESPRESSO])
    cam = F.interpolate(small[None], (224, 224), mode="bilinear")[0]
    torch.testing.assert_close(cam_maps(network, [photo], [ESPRESSO]), cam - cam.min())


def test_integrated_gradients_are_from_black_and_occlusion_is_by_gray_squares(digits_network):
    photos, classes = [load_photo("coffee"), load_photo("rocket")], [3, 5]
    images = squashed(digits_network, photos, (28, 28))
    black, gray = torch.zeros(()), torch.tensor(0.5)
    shares = integrated_gradients(digits_network, images, classes, baseline=black, steps=50)
    got = MAPS["integrated_gradients"](digits_network, photos, classes)
    torch.testing.assert_close(got, shares.abs().amax(1))
    # a quarter of the side and half of that, as 56 and 28 of 224 pixels
    covered = occlusion(digits_network, images, classes, replacement=gray, patch=7, stride=3)
    assert covered.min() < 0
    expected = covered - covered.amin((1, 2), keepdim=True)
    torch.testing.assert_close(MAPS["occlusion"](digits_network, photos, classes), expected)


def test_center_and_whole_are_as_wide_as_the_picture():
    network = SimpleNamespace(input_size=(40, 80))
    (center,) = center_maps(network, [None], [0])
    y, x = np.mgrid[:40, :80] + 0.5
    expected = np.exp(-(((y - 20) / 10) ** 2 + ((x - 40) / 20) ** 2) / 2)
    np.testing.assert_allclose(center, expected, rtol=1e-5)
    (whole,) = whole_maps(network, [None], [0])
    assert divmod(whole.argmax().item(), 80) == (20, 40)
    assert (whole > 0.5).sum() == 40 * 80 - 1
