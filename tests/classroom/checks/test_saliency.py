import numpy as np
import pytest
import torch
from tables import judge_watched, right_cases, wrong_cases
from torch import nn

from deepinside.classroom.checks import saliency as check_saliency
from deepinside.classroom.checks.saliency import (
    HINTS,
    check_image_gradient,
    check_linear_map,
    check_saliency_map,
    check_saliency_maps,
    check_smooth_grad,
    check_ten_crop_map,
)

CHECKS = {
    "image_gradient": check_image_gradient,
    "saliency_map": check_saliency_map,
    "linear_map": check_linear_map,
    "saliency_maps": check_saliency_maps,
    "ten_crop_map": check_ten_crop_map,
    "smooth_grad": check_smooth_grad,
}


# ---- right answers, written in different ways


def by_grad(network, image, c):
    network.eval()
    variable = image.detach().clone().requires_grad_()
    return torch.autograd.grad(network(variable[None])[0, c], variable)[0]


def by_backward(network, image, c):
    network.eval()
    batch = image[None].clone().requires_grad_()
    network(batch)[:, c].sum().backward()
    return batch.grad[0]


def by_cleared_grad(network, image, c):
    network.eval()
    image.requires_grad_()
    image.grad = None
    network.zero_grad()
    network(image.unsqueeze(0))[0][c].backward()
    return image.grad.clone()


def by_jacobian(network, image, c):
    network.train(False)
    return torch.func.grad(lambda one: network(one[None])[0, c])(image)


def by_numpy(network, image, c):
    return by_grad(network, image, c).numpy()


def map_by_amax(network, image, c):
    return by_grad(network, image, c).abs().amax(0)


def map_by_max(network, image, c):
    return torch.max(by_backward(network, image, c).abs(), dim=0)[0]


def map_by_numpy(network, image, c):
    return np.abs(by_numpy(network, image, c)).max(axis=0)


def map_by_loop(network, image, c):
    red, green, blue = by_grad(network, image, c)
    return torch.maximum(torch.maximum(red.abs(), green.abs()), blue.abs())


def linear_by_view(weight, shape, c):
    return weight[c].view(shape).abs().amax(0)


def linear_by_places(weight, shape, c):
    channels, height, width = shape
    found = torch.zeros(height, width)
    for k in range(channels):
        for i in range(height):
            for j in range(width):
                one = abs(weight[c, (k * height + i) * width + j].item())
                found[i, j] = max(found[i, j].item(), one)
    return found


def maps_by_sum(network, images, classes):
    variable = images.clone().requires_grad_()
    scores = network(variable)[torch.arange(len(images)), classes]
    return torch.autograd.grad(scores.sum(), variable)[0].abs().amax(1)


def maps_by_loop(network, images, classes):
    pairs = zip(images, classes, strict=True)
    return torch.stack([map_by_amax(network, image, c) for image, c in pairs])


def maps_by_gather(network, images, classes):
    images.requires_grad_()
    own = network(images).gather(1, torch.tensor(classes)[:, None])
    own.backward(torch.ones_like(own))
    return images.grad.abs().max(dim=1).values


def ten_crops(map_of, photo, size, *, middle=True, flip=-1, back=True):
    """The usual solution, to be spoilt."""
    (height, width), (h, w) = photo.shape[1:], size
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    corners = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    if middle:
        corners.append(((height - h) // 2, (width - w) // 2))
    for top, left in corners:
        crop = photo[:, top : top + h, left : left + w]
        total[top : top + h, left : left + w] += map_of(crop)
        count[top : top + h, left : left + w] += 1
        if flip:
            mirrored = map_of(crop.flip(flip))
            total[top : top + h, left : left + w] += mirrored.flip(flip) if back else mirrored
            count[top : top + h, left : left + w] += 1
    return total, count


def ten_by_slices(map_of, photo, size):
    total, count = ten_crops(map_of, photo, size)
    return total / count


def ten_by_canvases(map_of, photo, size):
    """Each map on a canvas of its own, NaN where its crop does not reach."""
    h, w = size
    bottom, right = photo.shape[1] - h, photo.shape[2] - w
    canvases = []
    for turned in (False, True):
        source = photo.flip(2) if turned else photo
        places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
        for top, left in places:
            if turned:
                left = right - left
            canvas = torch.full(photo.shape[1:], torch.nan, dtype=photo.dtype)
            canvas[top : top + h, left : left + w] = map_of(
                source[:, top : top + h, left : left + w]
            )
            canvases.append(canvas.flip(1) if turned else canvas)
    return torch.stack(canvases).nanmean(0)


def smooth_by_loop(network, image, c, noise):
    total = torch.zeros_like(image)
    for one in noise:
        total += by_grad(network, image + one, c)
    return (total / len(noise)).abs().amax(0)


def smooth_in_one_pass(network, image, c, noise):
    noisy = (image + noise).requires_grad_()
    gradients = torch.autograd.grad(network(noisy)[:, c].mean(), noisy)[0]
    return gradients.sum(0).abs().max(0).values


RIGHT = {
    "image_gradient": [by_grad, by_backward, by_cleared_grad, by_jacobian, by_numpy],
    "saliency_map": [map_by_amax, map_by_max, map_by_numpy, map_by_loop],
    "linear_map": [linear_by_view, linear_by_places],
    "saliency_maps": [maps_by_sum, maps_by_loop, maps_by_gather],
    "ten_crop_map": [ten_by_slices, ten_by_canvases],
    "smooth_grad": [smooth_by_loop, smooth_in_one_pass],
}


# ---- wrong answers, one for each hint at least


def gradient_of(objective):
    def answer(network, image, c):
        network.eval()
        variable = image.clone().requires_grad_()
        return torch.autograd.grad(objective(network(variable[None])[0], c), variable)[0]

    return answer


def in_training_mode(network, image, c):
    variable = image.clone().requires_grad_()
    return torch.autograd.grad(network(variable[None])[0, c], variable)[0]


def left_gradients(network, image, c):
    network.eval()
    image.requires_grad_()
    network(image[None])[0, c].backward()
    return image.grad.clone()


def of_gradient(reduce):
    return lambda network, image, c: reduce(by_grad(network, image, c))


def of_gradients(reduce):
    def answer(network, images, classes):
        variable = images.clone().requires_grad_()
        own = network(variable)[range(len(images)), classes].sum()
        return reduce(torch.autograd.grad(own, variable)[0])

    return answer


def maps_of(objective):
    def answer(network, images, classes):
        variable = images.clone().requires_grad_()
        value = objective(network(variable), classes)
        return torch.autograd.grad(value, variable)[0].abs().amax(1)

    return answer


def spoilt_ten(finish=lambda total, count: total / count, **how):
    return lambda map_of, photo, size: finish(*ten_crops(map_of, photo, size, **how))


def ten_replacing(map_of, photo, size):
    h, w = size
    found = torch.zeros(photo.shape[1:])
    bottom, right = photo.shape[1] - h, photo.shape[2] - w
    for top, left in [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]:
        crop = photo[:, top : top + h, left : left + w]
        found[top : top + h, left : left + w] = map_of(crop)
        found[top : top + h, left : left + w] = map_of(crop.flip(2)).flip(1)
    return found


def ten_short(map_of, photo, size):
    """Starts that are one pixel short of the far corners."""
    total, count = ten_crops(map_of, photo[:, :-1, :-1], size)
    padded = [nn.functional.pad(one, (0, 1, 0, 1)) for one in (total, count)]
    return padded[0] / padded[1]


def smooth_of(reduce):
    def answer(network, image, c, noise):
        return reduce(torch.stack([by_grad(network, image + one, c) for one in noise]))

    return answer


WRONG = {
    "image_gradient": {
        "softmax": [gradient_of(lambda scores, c: scores.softmax(0)[c])],
        "log_softmax": [gradient_of(lambda scores, c: scores.log_softmax(0)[c])],
        "top": [gradient_of(lambda scores, c: scores.max())],
        "training": [in_training_mode],
        "left": [left_gradients],
        "magnitude": [of_gradient(torch.abs)],
        "sign": [of_gradient(torch.neg)],
        "all_classes": [gradient_of(lambda scores, c: scores.sum())],
    },
    "saliency_map": {
        "no_magnitude": [of_gradient(lambda w: w.amax(0))],
        "late_magnitude": [of_gradient(lambda w: w.amax(0).abs())],
        "sum": [of_gradient(lambda w: w.abs().sum(0)), of_gradient(lambda w: w.sum(0))],
        "mean": [of_gradient(lambda w: w.abs().mean(0)), of_gradient(lambda w: w.mean(0))],
        "norm": [of_gradient(lambda w: w.square().sum(0).sqrt())],
        "cancel": [
            of_gradient(lambda w: w.sum(0).abs()),
            of_gradient(lambda w: w.mean(0).abs()),
        ],
        "signed": [of_gradient(lambda w: w), of_gradient(torch.abs)],
        "axis": [
            of_gradient(lambda w: w.abs().amax(1)),
            of_gradient(lambda w: w.abs().amax(-1)),
        ],
        "swapped": [of_gradient(lambda w: w.abs().amax(0).T)],
        "rescaled": [
            of_gradient(lambda w: w.abs().amax(0) / w.abs().max()),
            of_gradient(
                lambda w: (
                    (w.abs().amax(0) - w.abs().amax(0).min())
                    / (w.abs().amax(0).max() - w.abs().amax(0).min())
                )
            ),
        ],
        "input": [lambda network, image, c: (by_grad(network, image, c) * image).abs().amax(0)],
        "softmax": [lambda *given: gradient_of(lambda s, c: s.softmax(0)[c])(*given).abs().amax(0)],
        "log_softmax": [
            lambda *given: gradient_of(lambda s, c: s.log_softmax(0)[c])(*given).abs().amax(0)
        ],
        "top": [lambda *given: gradient_of(lambda s, c: s.max())(*given).abs().amax(0)],
        "training": [lambda *given: in_training_mode(*given).abs().amax(0)],
        "left": [lambda *given: left_gradients(*given).abs().amax(0)],
    },
    "linear_map": {
        "no_magnitude": [lambda weight, shape, c: weight[c].view(shape).amax(0)],
        "sum": [lambda weight, shape, c: weight[c].view(shape).abs().sum(0)],
        "mean": [lambda weight, shape, c: weight[c].view(shape).abs().mean(0)],
        "order": [
            lambda weight, shape, c: weight[c].view(*shape[1:], shape[0]).abs().amax(2),
        ],
        "swapped": [
            lambda weight, shape, c: weight[c].view(shape[0], shape[2], shape[1]).abs().amax(0),
            lambda weight, shape, c: weight[c].view(shape).abs().amax(0).T,
        ],
        "class": [
            lambda weight, shape, c: weight[c - 1].view(shape).abs().amax(0),
            lambda weight, shape, c: weight[c + 1].view(shape).abs().amax(0),
        ],
    },
    "saliency_maps": {
        "mean_score": [maps_of(lambda s, classes: s[range(len(s)), classes].mean())],
        "one_class": [maps_of(lambda s, classes: s[:, classes[0]].sum())],
        "all_pairs": [maps_of(lambda s, classes: s[:, classes].sum())],
        "axis": [of_gradients(lambda w: w.abs().amax(0))],
        "no_magnitude": [of_gradients(lambda w: w.amax(1))],
        "sum": [of_gradients(lambda w: w.abs().sum(1))],
        "mean": [of_gradients(lambda w: w.abs().mean(1))],
        "softmax": [maps_of(lambda s, classes: s.softmax(1)[range(len(s)), classes].sum())],
        "top": [maps_of(lambda s, classes: s.amax(1).sum())],
    },
    "ten_crop_map": {
        "not_back": [spoilt_ten(back=False)],
        "ten": [spoilt_ten(lambda total, count: total / 10)],
        "sum": [spoilt_ten(lambda total, count: total)],
        "straight": [spoilt_ten(flip=None)],
        "upside_down": [spoilt_ten(flip=-2)],
        "corners": [spoilt_ten(middle=False)],
        "swapped": [lambda map_of, photo, size: ten_by_slices(map_of, photo, size[::-1])],
        "laid_once": [ten_replacing],
        "no_number": [ten_short],
    },
    "smooth_grad": {
        "early_magnitude": [
            smooth_of(lambda w: w.abs().mean(0).amax(0)),
            smooth_of(lambda w: w.abs().amax(1).mean(0)),
        ],
        "clean": [lambda network, image, c, noise: map_by_amax(network, image, c)],
        "noise_only": [
            lambda network, image, c, noise: smooth_by_loop(network, 0 * image, c, noise)
        ],
        "mean_image": [
            lambda network, image, c, noise: map_by_amax(network, (image + noise).mean(0), c)
        ],
        "sum": [smooth_of(lambda w: w.sum(0).abs().amax(0))],
        "squared": [
            smooth_of(lambda w: w.square().mean(0).amax(0)),
            smooth_of(lambda w: w.square().mean(0).sqrt().amax(0)),
        ],
        "no_magnitude": [smooth_of(lambda w: w.mean(0).amax(0))],
        "mean": [smooth_of(lambda w: w.mean(0).abs().mean(0))],
    },
}


@pytest.mark.parametrize(("task", "answer"), right_cases(RIGHT))
def test_right_answers_pass(task, answer):
    result = CHECKS[task](answer)
    assert result.passed, result
    assert result.task == task


@pytest.mark.parametrize(("task", "name", "answer"), wrong_cases(WRONG))
def test_each_mistake_gets_its_hint(task, name, answer):
    result = CHECKS[task](answer)
    assert result.state == "hint"
    assert result.message == HINTS[task][name]


def test_every_hint_is_tried():
    assert {task: set(hints) for task, hints in WRONG.items()} == {
        task: set(hints) for task, hints in HINTS.items()
    }
    assert set(CHECKS) == set(HINTS) == set(RIGHT)


@pytest.mark.parametrize("task", CHECKS)
def test_no_mistake_gives_the_right_result(task, monkeypatch):
    assert judge_watched(check_saliency, CHECKS[task], RIGHT[task][0], monkeypatch)


def test_a_missing_evaluation_mode_is_told_although_gradients_are_left_as_well():
    def both(network, image, c):
        image.requires_grad_()
        network(image[None])[0, c].backward()
        return image.grad

    assert check_image_gradient(both).message == HINTS["image_gradient"]["training"]


def test_the_gradient_of_a_batch_is_told_by_its_shape():
    message = check_image_gradient(lambda *given: by_grad(*given)[None]).message
    assert message == "Expected the gradient of shape (3, 4, 6), got (1, 3, 4, 6)."
