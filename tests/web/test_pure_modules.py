"""The modules of web/ that need no page, in Node, against the Python package on the same inputs."""

import base64
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from deepinside import images, localization, plots, regularizers, saliency
from deepinside.class_score import class_index
from deepinside.networks import Network, imagenet_class_names, load_network


def described(network):
    channels = network.input_channels
    return {"input": [channels, *network.input_size], "resized_side": network.resized_side}


def image_data(pixels):
    """Return (H, W, 4) bytes as ImageData has them."""
    return {"width": pixels.shape[1], "height": pixels.shape[0], "data": pixels}


def rgba(photo):
    """Return a photo (3, H, W) as bytes (H, W, 4), and as a photo of just these bytes."""
    pixels = (photo.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    return np.concatenate([pixels, opaque], 2), images.load_photo(pixels)


@pytest.fixture
def photo(request):
    return rgba(images.load_photo(getattr(request, "param", "cat")))


@pytest.fixture
def signal(generator):
    return torch.randn(3, 19, 23, generator=generator)


# maps as they are thresholded: one of few large parts, one of grains, one of many equal values
@pytest.fixture(params=["smooth", "grainy", "steps"])
def saliency_values(request, generator):
    grains = torch.randn(1, 1, 60, 75, generator=generator)
    smooth = gaussian_blur(grains, [19, 19], [3.0, 3.0]).abs()[0, 0]
    if request.param == "steps":
        return (smooth / smooth.max() * 7).round()
    return smooth if request.param == "smooth" else grains.abs()[0, 0]


def test_all_half_floats_are_those_of_numpy(in_node):
    halves = np.arange(2**16, dtype=np.uint16)
    found = in_node("return half.singles(halves)", halves=halves)
    expected = halves.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def test_weights_in_base64_are_read(in_node):
    values = np.array([1.5, -0.25, 6e-8, 65504], np.float16)
    found = in_node("return half.decoded(text)", text=base64.b64encode(values.tobytes()).decode())
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_softmax_and_best_classes(in_node, generator):
    scores = 5 * torch.randn(1000, generator=generator)
    body = """return {
      probabilities: class_score.softmax(scores),
      best: class_score.topClasses(scores, names, 5),
    }"""
    found = in_node(body, scores=scores.numpy(), names=imagenet_class_names())
    probabilities = scores.double().softmax(0)
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-12)
    for one, index in zip(found["best"], scores.topk(5).indices.tolist(), strict=True):
        assert (one["index"], one["name"]) == (index, imagenet_class_names()[index])
        assert one["score"] == scores[index].item()
        assert one["probability"] == pytest.approx(probabilities[index].item())


def test_every_class_is_found_by_its_name(in_node):
    body = "return names.map((name) => class_score.findClasses(name, names)[0])"
    names = imagenet_class_names()
    found = in_node(body, names=names)
    assert [names[index] for index in found] == list(names)


@pytest.mark.parametrize(
    "typed", ["goldfihs", "expresso", "lapdog", "tigr cat", "golden retreiver"]
)
def test_names_spelled_nearly_so_are_those_of_python(in_node, typed):
    names = imagenet_class_names()
    with pytest.raises(ValueError, match="expected the name of a class") as error:
        class_index(typed, names)
    _, _, nearest = str(error.value).partition("the nearest are ")
    body = """try {
      return class_score.classIndex(typed, names);
    } catch (error) {
      return error.message;
    }"""
    said = in_node(body, typed=typed, names=names)
    start, nearest = f"No class is called “{typed}”. ", re.sub(r" \(\d+\)", "", nearest)
    if " " in typed:
        # a word of it is right: the names that have it, the most alike first
        first = nearest.partition(",")[0]
        assert re.match(f"{start}Names that have a word of it: {first}[,.]", said)
    else:
        assert said == f"{start}The nearest in spelling are {nearest}."


def test_maps_of_a_signal(in_node, signal, generator):
    image = torch.rand(signal.shape, generator=generator)
    body = """return [
      saliency.magnitude(signal, 3),
      saliency.signed(signal, 3),
      saliency.timesInput(signal, image, 3),
    ]"""
    found = in_node(body, signal=signal.numpy(), image=image.numpy())
    expected = [signal.abs().amax(0), signal.sum(0), (signal * image).sum(0)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.flatten(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [26, 37, 70])
def test_ten_crops_are_those_of_python(in_node, width, generator):
    layers = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    layers.append(nn.Linear(36, 2))
    for weights in layers.parameters():
        nn.init.normal_(weights, std=0.1, generator=generator)
    network = Network(
        name="small",
        layers=layers,
        normalization=load_network("squeezenet").normalization,
        class_names=("a", "b"),
        input_size=(20, 24),
        resized_side=26,
        interpolation="bilinear",
    )
    # of a size at which it is neither resized nor laid back
    photo = torch.rand(3, 26, width, generator=generator)
    expected = saliency.ten_crop_saliency(network, photo, "a")
    size = [26, width]
    body = """const places = saliency.cropPlaces(size, [20, 24]);
    const cut = (mirrored) =>
      places.map((place) => saliency.crop(photo, [3, ...size], place, [20, 24], mirrored));
    return [...cut(false), ...cut(true)]"""
    crops = in_node(body, photo=photo.numpy(), size=size)
    batch = torch.from_numpy(np.stack(crops)).view(-1, 3, 20, 24)
    maps = saliency.saliency_map(network, batch, "a").numpy()
    body = """const places = saliency.cropPlaces(size, [20, 24]);
    const mean = new saliency.CropMean(size);
    maps.forEach((map, i) => {
      const mirrored = i >= places.length;
      mean.add(map, places[i % places.length], [20, 24], mirrored);
    });
    return mean.mean"""
    found = in_node(body, maps=list(maps), size=size)
    # laying back interpolates, at places that are whole numbers but for their last bits
    atol = 1e-5 * expected.max().item()
    np.testing.assert_allclose(found, expected.flatten(), rtol=1e-5, atol=atol)


@pytest.mark.parametrize("photo", ["cat", "rocket", "camera"], indirect=True)
@pytest.mark.parametrize("name", ["squeezenet", "digits"])
def test_photos_are_fitted_as_in_python(in_node, photo, name):
    pixels, same = photo
    network = load_network(name)
    fitted, view = images.fit_photo(same, network)
    values = {"photo": image_data(pixels), "network": described(network)}
    found = in_node("return images.fitPhoto(photo, network)", **values)
    np.testing.assert_allclose(found["image"], fitted.flatten(), atol=1e-5)
    assert (found["view"]["top"], found["view"]["left"]) == (view.top, view.left)
    assert tuple(found["view"]["resizedSize"]) == view.resized_size
    whole = in_node("return images.resizePhoto(photo, network).image", **values)
    resized = images.resize_photo(same, network.resized_side)
    np.testing.assert_allclose(whole, images.in_channels_of(network, resized).flatten(), atol=1e-5)


def test_photos_are_fitted_to_other_sizes_as_in_python(in_node, photo):
    pixels, same = photo
    values = {"photo": image_data(pixels), "network": described(load_network("squeezenet"))}
    for size in ((128, 128), (160, 192)):
        network = load_network("squeezenet", input_size=size)
        fitted, _ = images.fit_photo(same, network)
        body = "return images.fitPhoto(photo, network, size).image"
        found = in_node(body, size=size, **values)
        np.testing.assert_allclose(found, fitted.flatten(), atol=1e-5)
    body = "return images.squashPhoto(photo, network, [100, 227]).image"
    squashed = images.squashed(load_network("squeezenet"), [same], (100, 227))
    np.testing.assert_allclose(in_node(body, **values), squashed.flatten(), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (20, 13), (5, 300), (700, 40)])
def test_small_long_and_transparent_pictures_are_fitted_as_in_python(in_node, shape, squeezenet):
    drawn = np.random.default_rng(3).integers(0, 256, (*shape, 4), np.uint8)
    fitted, _ = images.fit_photo(images.load_photo(drawn), squeezenet)
    body = "return images.fitPhoto(photo, network).image"
    found = in_node(body, photo=image_data(drawn), network=described(squeezenet))
    np.testing.assert_allclose(found, fitted.flatten(), atol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 3.3])
def test_blur_is_that_of_python(in_node, signal, sigma):
    side = 2 * int(np.ceil(3 * sigma)) + 1
    body = """return ["mirror", "zero"].map((outside) =>
      images.gaussianBlur(signal, [3, 19, 23], sigma, outside))"""
    mirrored, zero = in_node(body, signal=signal.numpy(), sigma=sigma)
    expected = gaussian_blur(signal, [side, side], [sigma, sigma])
    np.testing.assert_allclose(mirrored, expected.flatten(), atol=1e-6)
    expected = regularizers.gaussian_blur(signal[None], sigma)[0]
    np.testing.assert_allclose(zero, expected.flatten(), atol=1e-6)


def test_colors_are_those_of_the_plots(in_node, signal):
    assert in_node("return images.COLORS") == plots.COLORS
    values, magnitude = signal[0], signal[0].abs()
    body = "return [images.colored(magnitude), images.colored(values, undefined, {signed: true})]"
    found = in_node(body, values=values.numpy(), magnitude=magnitude.numpy())
    expected = [plots.colored(magnitude), plots.colored(values, signed=True)]
    for one, other in zip(found, expected, strict=True):
        close = other.permute(1, 2, 0).flatten(0, 1).numpy() * 255
        # nine stops stand for matplotlib's 256 colors
        assert np.abs(one.reshape(-1, 4)[:, :3] - close).max() < 16


def test_an_image_becomes_bytes_as_in_pillow(in_node, photo):
    pixels, same = photo
    found = in_node("return images.pixelsOf(image, 3)", image=same.numpy())
    np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)


@pytest.mark.parametrize("by_saliency", [False, True])
@pytest.mark.parametrize("quantile", [None, 0.0, 0.35, 0.8, 0.9, 0.97])
def test_object_is_found_as_in_python(in_node, saliency_values, quantile, by_saliency):
    expected = localization.threshold_localization(
        saliency_values, quantile=quantile, by_saliency=by_saliency
    )
    body = """const threshold = quantile === null
      ? localization.otsuThreshold(map)
      : localization.quantile(map, quantile);
    return {threshold, ...localization.locate(map, size, threshold, {bySaliency})}"""
    found = in_node(
        body,
        map=saliency_values.numpy(),
        size=list(saliency_values.shape),
        quantile=quantile,
        bySaliency=by_saliency,
    )
    if quantile is None:
        threshold = localization.otsu_threshold(saliency_values)
    else:
        threshold = np.quantile(saliency_values.numpy(), quantile)
    assert found["threshold"] == pytest.approx(float(threshold), rel=1e-6)
    np.testing.assert_array_equal(found["foreground"], expected.foreground.flatten())
    np.testing.assert_array_equal(found["mask"], expected.mask.flatten())
    assert tuple(found["box"]) == expected.box


def test_held_out_digits_come_out_as_they_are(in_node, digits):
    found = digits_of(in_node, digits.images, 28)
    # but for the faintest border, which does not count as drawn
    same = (found - digits.images).abs().amax((1, 2, 3)) < 0.05
    assert same.float().mean() >= 0.99


@pytest.mark.parametrize("scale", [(2.5, 4.5), (4.5, 9.0)])
@pytest.mark.parametrize("is_crisp", [True, False])
def test_strokes_of_any_size_and_place_are_read_as_the_digits_they_are(
    in_node, digits, digits_network, generator, scale, is_crisp
):
    chosen = torch.randperm(1000, generator=generator)[:200]
    originals, labels = digits.images[chosen], digits.labels[chosen]
    drawings = drawn_on_canvas(originals, scale, is_crisp, generator)
    with torch.no_grad():
        first = digits_network(originals).argmax(1) == labels
        as_drawn = (
            digits_network(F.interpolate(drawings, (28, 28), mode="area")).argmax(1) == labels
        )
        read = digits_network(digits_of(in_node, drawings, 280)).argmax(1) == labels
    assert read[first].float().mean() >= 0.99
    # and that is the doing of MNIST's form
    assert as_drawn.float().mean() < 0.8


def drawn_on_canvas(originals, scale, is_crisp, generator):
    """Return digits drawn larger, anywhere on canvases of 280 x 280; crisp as a pen's strokes."""
    count, side = len(originals), 280

    def draw(low, high):
        return low + (high - low) * torch.rand(count, generator=generator)

    reach = 14 * draw(*scale)
    places = torch.arange(side) + 0.5
    centers = draw(reach, side - reach), draw(reach, side - reach)
    x, y = ((places - center[:, None]) / reach[:, None] for center in centers)
    shape = (count, side, side)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], -1)
    drawn = F.grid_sample(originals, grid, mode="bicubic", align_corners=False)
    return (3 * (drawn - 0.5) + 0.5 if is_crisp else drawn).clamp(0, 1)


def digits_of(in_node, drawings, side):
    """Return square drawings (N, 1, side, side) in MNIST's form, as web/digits.js brings them."""
    body = """const length = side * side;
    const all = new Float32Array((drawings.length / length) * 784);
    for (let i = 0; i * length < drawings.length; i++) {
      const pixels = drawings.subarray(i * length, (i + 1) * length);
      all.set(digits.digitOf(Float32Array.from(pixels, (ink) => ink / 255), [side, side]), i * 784);
    }
    return all"""
    # as bytes, of which a canvas is made
    pixels = (drawings * 255).round().byte().numpy()
    found = in_node(body, drawings=pixels, side=side)
    return torch.from_numpy(found).view(-1, 1, 28, 28)
