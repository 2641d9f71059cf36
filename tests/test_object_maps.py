import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepinside.class_score import class_score
from deepinside.images import load_photo, squash_photo
from deepinside.localization import find_top_objects
from deepinside.networks import copy_sharing_weights
from deepinside.object_maps import (
    object_maps,
    stage_names,
    stage_saliency,
)
from deepinside.saliency import saliency_map


@pytest.fixture(scope="module")
def coffee():
    return load_photo("coffee")


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


def test_a_layer_that_changes_nothing_gives_the_papers_map(network, four_images):
    """Taken before the first convolution, the measure is the saliency map of the input."""
    shadow = copy.deepcopy(network)
    shadow.layers = nn.Sequential(OrderedDict(before=nn.Identity(), others=shadow.layers))
    classes = [281, 967, 657, 872]
    (one,) = stage_saliency(shadow, four_images, classes, ["layers.before"])
    expected = saliency_map(network, four_images, classes) * (128 / 255)
    torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-5)


def test_stage_saliency_is_the_derivative_of_the_score(network, fitted):
    """A step of one activation changes the score by the gradient, whose magnitude is the map."""
    image, (name,) = fitted["coffee"][None], ["layers.blocks.3"]
    (one,) = stage_saliency(network, image, [967], [name])
    row, column = divmod(one[0].argmax().item(), one.shape[2])
    changes = []
    module = network.get_submodule(name)
    for channel in range(80):
        scores = []
        for step in (1e-2, -1e-2):

            def push(module, inputs, output, step=step, channel=channel):
                output = output.clone()
                output[0, channel, row, column] += step
                return output

            handle = module.register_forward_hook(push)
            scores.append(class_score(network, image, 967).item())
            handle.remove()
        changes.append(abs(scores[0] - scores[1]) / 2e-2)
    assert max(changes) == pytest.approx(one[0, row, column].item(), rel=0.05)


def test_maps_have_mean_1_and_the_mirror_image_is_turned_back(network, coffee):
    one = object_maps(network, [coffee], 967)
    assert one.shape == (1, 224, 224)
    assert one.mean().item() == pytest.approx(1, abs=0.03)
    mirrored = object_maps(network, [coffee.flip(-1)], 967)
    torch.testing.assert_close(mirrored.flip(-1), one, rtol=1e-2, atol=1e-2)


def test_map_is_the_mean_of_the_last_three_stages_at_two_sizes(network, coffee):
    total = torch.zeros(224, 224)
    for side in (224, 448):
        image = squash_photo(coffee, (side, side), interpolation="bicubic")
        images = torch.stack([image, image.flip(-1)])
        for stage in stage_saliency(
            network, images, 967, [f"layers.blocks.{i}" for i in (4, 5, 6)]
        ):
            maps = (stage / stage.mean((1, 2), keepdim=True))[:, None]
            straight, turned = F.interpolate(maps, (224, 224), mode="bilinear")[:, 0]
            total += (straight + turned.flip(-1)) / 12
    torch.testing.assert_close(object_maps(network, [coffee], 967)[0], total, rtol=1e-3, atol=1e-3)


def test_batch_of_photos_of_different_size_equals_the_loop(network, coffee):
    photos = [coffee, load_photo("rocket")]
    both = object_maps(network, photos, [967, 657], scales=[1])
    for one, photo, target in zip(both, photos, (967, 657), strict=True):
        alone = object_maps(network, [photo], target, scales=[1])[0]
        torch.testing.assert_close(one, alone, rtol=1e-3, atol=1e-3)


def test_nothing_is_left_in_the_network(network, fitted, coffee):
    before = hooks(network)
    object_maps(network, [coffee], 967, scales=[1])
    # the head takes no other images than those that see the layouts
    failing = copy_sharing_weights(network)
    failing.layers.classifier.register_forward_pre_hook(lambda layer, given: given[0][1:0])
    with pytest.raises(ValueError, match=r"scores of shape \(1, classes\), got \(0, 1000\)"):
        stage_saliency(failing, fitted["coffee"][None], "espresso", ["layers.blocks.1"])
    assert hooks(network) == hooks(failing) == before
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_stages_of_other_networks(network, digits_network):
    assert stage_names(network) == [f"layers.blocks.{i}" for i in range(1, 7)]
    before = hooks(digits_network)
    assert stage_names(digits_network) == ["layers.4", "layers.5"]
    assert hooks(digits_network) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scales": []}, "scales above 0"),
        ({"scales": [0.0]}, "scale .* above 0"),
        ({"target": 1000}, "class index"),
    ],
)
def test_bad_options_raise(network, coffee, options, words):
    with pytest.raises(ValueError, match=words):
        object_maps(network, [coffee], **options)


def test_a_class_that_is_given_costs_no_pass_and_layers_that_are_none_cost_none_either(
    network, coffee, monkeypatch
):
    monkeypatch.setattr("deepinside.object_maps.target_classes", None)
    assert object_maps(network, [coffee], "espresso", scales=[1], mirrored=False).any()
    for target in (967, None):
        with pytest.raises(ValueError, match="expected names of modules"):
            object_maps(network, [coffee], target, layers=["nowhere"])


def test_a_network_of_float64_takes_a_shipped_photo(digits_network, coffee):
    exact = copy.deepcopy(digits_network).double()
    got = object_maps(exact, [coffee], scales=[1])
    assert got.dtype == torch.float64
    expected = object_maps(digits_network, [coffee], scales=[1])
    torch.testing.assert_close(got.float(), expected, rtol=1e-3, atol=1e-3)
    ((answer, _),) = find_top_objects(exact, coffee, 1, scales=[1])
    assert answer.index == find_top_objects(digits_network, coffee, 1, scales=[1])[0].answer.index


@pytest.mark.parametrize("layers", [["nowhere"], []])
def test_layers_that_are_none_raise(network, fitted, layers):
    with pytest.raises(ValueError, match="expected names of modules of efficientnet_lite0, got"):
        stage_saliency(network, fitted["coffee"][None], 967, layers)


def test_maps_are_those_of_evaluation_mode(network, fitted):
    images, names = fitted["coffee"][None], ["layers.blocks.2", "layers.blocks.5"]
    expected = stage_saliency(network, images, [967], names)
    training = copy.deepcopy(network)
    training.layers.conv_head = nn.Sequential(nn.Dropout(0.5), training.layers.conv_head)
    training.train()
    for stage, other in zip(stage_saliency(training, images, [967], names), expected, strict=True):
        assert stage.equal(other)
    assert all(module.training for module in training.modules())


def test_layers_come_in_the_order_that_is_asked_for(network, fitted):
    images, names = fitted["coffee"][None], ["layers.blocks.5", "layers.blocks.2"]
    sizes = [stage.shape[1:] for stage in stage_saliency(network, images, [967], names)]
    assert sizes == [(7, 7), (28, 28)]
