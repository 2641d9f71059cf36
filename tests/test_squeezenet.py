import hashlib
import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from convert_squeezenet import converted
from safetensors.torch import load_file

from deepinside.class_model import class_model
from deepinside.class_score import top_classes
from deepinside.digits import weights_path
from deepinside.images import fit_photo, load_photo, photo_boxes
from deepinside.localization import find_object
from deepinside.measures import iou
from deepinside.networks import load_network
from deepinside.object_maps import stage_names
from deepinside.saliency import saliency_map
from deepinside.squeezenet import squeezenet_layers

TOOL = Path(__file__).resolve().parents[1] / "tools" / "convert_squeezenet.py"
# of each photo, the classes of the highest scores, as they were with the weights that are shipped
TOP = {
    "astronaut": "barbell, corkscrew, stethoscope, dumbbell, drumstick",
    "camera": "tripod, violin, microphone, cello, trombone",
    "cat": "Egyptian cat, tabby, tiger cat, lynx, cheetah",
    "clock": "nipple, Petri dish, lotion, sunscreen, measuring cup",
    "coffee": "espresso, consomme, cup, soup bowl, coffee mug",
    "coins": "golf ball, Petri dish, conch, typewriter keyboard, space bar",
    "rocket": "pole, flagpole, crane, missile, obelisk",
}


@pytest.fixture(scope="module")
def network(squeezenet):
    return squeezenet


@pytest.fixture(scope="module")
def photos(network):
    return torch.stack([fit_photo(load_photo(name), network)[0] for name in TOP])


@pytest.fixture(scope="module")
def as_torchvision_has_it():
    """The network as it is written elsewhere, with the weights of the shipped file."""
    stored, theirs = load_file(weights_path("squeezenet")), torchvision.models.squeezenet1_1()
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        names[f"fire{fire}"] = f"features.{place}"
    renamed = {}
    for key, value in stored.items():
        layer, _, rest = key.partition(".")
        renamed[f"{names[layer]}.{rest}"] = value.float()
    theirs.load_state_dict(renamed)
    return theirs.eval()


def test_shipped_file_is_the_one_described_and_of_half_precision():
    path = weights_path("squeezenet")
    readme = (path.parent / "README.md").read_text("utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in readme
    assert path.stat().st_size < 2_500_000
    for name in ("squeezenet", "digits", "cluttered_digits"):
        assert {w.dtype for w in load_file(weights_path(name)).values()} == {torch.float16}


def test_it_is_convolution_relu_and_overlapping_pooling_alone():
    layers = squeezenet_layers()
    leaves = {type(part).__name__ for part in layers.modules() if not list(part.children())}
    assert leaves == {"Conv2d", "ReLU", "MaxPool2d", "AdaptiveAvgPool2d", "Flatten"}
    pools = [part for part in layers.modules() if isinstance(part, torch.nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [(3, 2)] * 3


def test_photos_have_the_classes_that_they_had(network, photos):
    found = top_classes(network, photos)
    assert {
        name: ", ".join(answer.name for answer in answers)
        for name, answers in zip(TOP, found, strict=True)
    } == TOP


def test_some_of_the_objects_in_boxes_are_among_the_first_classes():
    places = {
        label: classes.split(", ").index(label) + 1
        for name, classes in TOP.items()
        for label in photo_boxes(name)
        if label in classes.split(", ")
    }
    # not so the space shuttle, the reflex camera and the wall clock
    assert places == {"tripod": 1, "espresso": 1, "tiger cat": 3, "missile": 4}


def test_stages_are_fire_modules_and_object_maps_fit_the_large_objects(network):
    assert stage_names(network) == ["layers.fire3", "layers.fire5", "layers.fire8"]
    fitting = [
        label
        for name in TOP
        for label, box in photo_boxes(name).items()
        if iou(find_object(network, load_photo(name), label), box) >= 0.5
    ]
    # missed are the tripod, the camera before a face, the blurred clock and the thin rocket
    assert fitting == ["space shuttle", "tiger cat", "espresso"]


@pytest.mark.parametrize("side", [227, 160, 128])
def test_scores_are_those_of_the_network_written_elsewhere(
    network, photos, as_torchvision_has_it, side
):
    sized = load_network("squeezenet", input_size=(side, side)) if side != 227 else network
    images = torch.nn.functional.interpolate(photos, (side, side), mode="area")
    got = sized(images)
    mean, unit = torch.tensor([122.679, 116.669, 104.006])[:, None, None], 255
    with torch.no_grad():
        expected = as_torchvision_has_it(images * unit - mean)
    assert (got - expected).abs().max() < 1e-4 * expected.abs().max()


def test_another_size_is_resized_for_and_serves_maps_and_class_models(network):
    small = load_network("squeezenet", input_size=(128, 128))
    assert (small.input_size, small.resized_side) == ((128, 128), 144)
    image, _ = fit_photo(load_photo("coffee"), small)
    assert image.shape == (3, 128, 128)
    assert top_classes(small, image[None])[0][0].name == "espresso"
    assert saliency_map(small, image[None]).shape == (1, 128, 128)
    options = {"l2_weight": 1.0, "step_size": 0.06, "steps": 10}
    (before, *_, after) = class_model(small, "goose", **options).class_scores[:, 0]
    assert after > before + 1


@pytest.mark.parametrize(("name", "size"), [("digits", (32, 32)), ("squeezenet", (8, 8))])
def test_a_size_that_a_network_does_not_take_is_named(name, size):
    known = load_network(name).input_size
    expected = rf"expected an input size that {name} takes, such as \({known[0]}, {known[1]}\), got"
    with pytest.raises(ValueError, match=expected) as caught:
        load_network(name, input_size=size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("photo", ["astronaut", "rocket"])
def test_a_size_that_is_not_square_is_cut_from_a_photo_of_either_shape(photo):
    network, pixels = load_network("squeezenet", input_size=(96, 128)), load_photo(photo)
    assert network.resized_side == round(256 * 128 / 227)
    for each in (pixels, pixels.transpose(1, 2), pixels[:, :, :200]):
        image, view = fit_photo(each, network)
        assert image.shape == (3, 96, 128)
        x0, y0, x1, y1 = view.box
        assert 0 <= x0 < x1 <= each.shape[2]
        assert 0 <= y0 < y1 <= each.shape[1]


@pytest.mark.parametrize("size", [160, (128.0, 128.0), ("16", "16"), (-1, 16), (128,)])
def test_a_size_that_is_none_is_named_before_the_weights_are_read(size, monkeypatch):
    monkeypatch.setattr("deepinside.networks.pretrained.load_file", None)
    with pytest.raises(ValueError, match=r"expected two whole numbers of at least 1, an input_s"):
        load_network("squeezenet", input_size=size)


def pickled(content):
    return io.BytesIO(pickle.dumps(content, protocol=4))


def test_conversion_turns_kernels_and_the_first_layer_s_channels():
    kernel = np.arange(2 * 3 * 3 * 5, dtype=np.float32).reshape(2, 3, 3, 5)
    bias = np.arange(5, dtype=np.float32)
    layers = {"conv1": [kernel, bias], "fire2/squeeze1x1": [kernel, bias]}
    weights = converted(pickled(layers))
    assert list(weights) == [
        "conv1.weight",
        "conv1.bias",
        "fire2.squeeze.weight",
        "fire2.squeeze.bias",
    ]
    for row, column, inputs, outputs in np.ndindex(kernel.shape):
        value = kernel[row, column, inputs, outputs]
        assert weights["fire2.squeeze.weight"][outputs, inputs, row, column] == value
        assert weights["conv1.weight"][outputs, 2 - inputs, row, column] == value
    assert weights["conv1.bias"].tolist() == bias.tolist()


def test_conversion_reads_no_pickle_that_names_more_than_arrays(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    with pytest.raises(pickle.UnpicklingError, match=r"expected a pickle of arrays, got"):
        converted(pickled({"conv1": Evil()}))
    assert not list(tmp_path.iterdir())


def test_conversion_refuses_another_archive(tmp_path):
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    done = subprocess.run(
        [sys.executable, TOOL, "other.tar.gz"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "expected an archive of SHA-256 a87c0bd2" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other.tar.gz"]
