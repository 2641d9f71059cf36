import numpy as np
import pytest
import torch
from tables import judge_watched, right_cases, wrong_cases

from deepinside.classroom.checks import network as check_network
from deepinside.classroom.checks.network import (
    HINTS,
    check_class_probabilities,
    check_class_score,
    check_directional_derivative,
    check_network_input,
    check_ten_crop_scores,
    check_top_classes,
)

CHECKS = {
    "network_input": check_network_input,
    "class_score": check_class_score,
    "class_probabilities": check_class_probabilities,
    "top_classes": check_top_classes,
    "directional_derivative": check_directional_derivative,
    "ten_crop_scores": check_ten_crop_scores,
}


# ---- right answers, written in different ways


def input_by_permute(photo, mean, std):
    return ((photo / 255 - mean) / std).permute(2, 0, 1)


def input_by_column(photo, mean, std):
    channels_first = photo.permute(2, 0, 1).float() / 255
    return (channels_first - mean[:, None, None]) / std[:, None, None]


def input_in_bytes(photo, mean, std):
    return torch.moveaxis((photo - 255 * mean) / (255 * std), -1, 0)


def input_by_numpy(photo, mean, std):
    scaled = (photo.numpy() / 255 - mean.numpy()) / std.numpy()
    return scaled.transpose(2, 0, 1)


def score_by_index(network, image, c):
    return network(image[None])[0, c]


def score_as_number(network, image, c):
    with torch.no_grad():
        return network(image.unsqueeze(0)).squeeze()[c].item()


def score_as_batch(network, image, c):
    return network(torch.stack([image]))[:, c]


def softmax_of_torch(scores):
    return torch.softmax(scores, dim=1)


def softmax_by_hand(scores):
    powers = (scores - scores.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def softmax_by_logarithm(scores):
    return (scores - scores.logsumexp(1, keepdim=True)).exp()


def softmax_by_numpy(scores):
    powers = np.exp(scores.numpy() - scores.numpy().max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def top_by_topk(network, image, class_names, count):
    return [class_names[i] for i in network(image[None])[0].topk(count).indices]


def top_by_sorting(network, image, class_names, count):
    scores = network(image[None])[0].tolist()
    pairs = sorted(zip(scores, class_names, strict=True), reverse=True)
    return tuple(name for _, name in pairs[:count])


def top_by_probability(network, image, class_names, count):
    p = network(image[None]).softmax(1)[0]
    order = p.argsort(descending=True)[:count].tolist()
    return list(np.array(class_names)[order])


def central(function, image, direction, step):
    ahead = function(image + step * direction)
    behind = function(image - step * direction)
    return (ahead - behind) / (2 * step)


def central_as_number(function, image, direction, step):
    return (
        0.5
        * (function(image + step * direction) - function(image - step * direction)).item()
        / step
    )


def crops_of(photo, size, *, middle=True, flip=-1):
    (height, width), (h, w) = photo.shape[1:], size
    bottom, right = height - h, width - w
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    if middle:
        places.append((bottom // 2, right // 2))
    crops = [photo[:, top : top + h, left : left + w] for top, left in places]
    if flip:
        crops += [crop.flip(flip) for crop in crops]
    return torch.stack(crops)


def ten_in_one_batch(network, photo, size):
    return network(crops_of(photo, size)).mean(0)


def ten_by_loop(network, photo, size):
    total = 0
    for turned in (photo, photo.flip(2)):
        for crop in crops_of(turned, size, flip=None):
            total = total + network(crop[None])[0]
    return total / 10


def ten_by_torchvision(network, photo, size):
    from torchvision.transforms.functional import ten_crop

    return torch.stack([network(crop[None])[0] for crop in ten_crop(photo, size)]).mean(0)


RIGHT = {
    "network_input": [input_by_permute, input_by_column, input_in_bytes, input_by_numpy],
    "class_score": [score_by_index, score_as_number, score_as_batch],
    "class_probabilities": [
        softmax_by_hand,
        softmax_of_torch,
        softmax_by_logarithm,
        softmax_by_numpy,
    ],
    "top_classes": [top_by_topk, top_by_sorting, top_by_probability],
    "directional_derivative": [central, central_as_number],
    "ten_crop_scores": [ten_in_one_batch, ten_by_loop, ten_by_torchvision],
}


# ---- wrong answers, one for each hint at least


def first(values):
    return values.permute(2, 0, 1)


def score_of(choose):
    return lambda network, image, c: choose(network(image[None])[0], c)


def top_of(choose):
    def answer(network, image, class_names, count):
        return choose(network(image[None])[0], class_names, count)

    return answer


def named(order, names):
    return [names[i] for i in order]


def slope_of(slope):
    """What `slope` makes of the values ahead, here and behind, and of h."""

    def answer(function, image, direction, h):
        ahead, behind = function(image + h * direction), function(image - h * direction)
        return slope(ahead, function(image), behind, h)

    return answer


def exact(function, image, direction, step):
    variable = image.clone().requires_grad_()
    return (torch.autograd.grad(function(variable), variable)[0] * direction).sum()


def ten_of(reduce=lambda scores: scores.mean(0), **how):
    return lambda network, photo, size: reduce(network(crops_of(photo, size, **how)))


WRONG = {
    "network_input": {
        "range": [lambda photo, mean, std: first((photo - mean) / std)],
        "not_normalized": [lambda photo, mean, std: first(photo / 255)],
        "mean_only": [lambda photo, mean, std: first(photo / 255 - mean)],
        "order": [lambda photo, mean, std: first(photo / 255 / std - mean)],
        "exchanged": [lambda photo, mean, std: first((photo / 255 - std) / mean)],
        "own_statistics": [
            lambda photo, mean, std: first(
                (photo / 255 - (photo / 255).mean((0, 1))) / (photo / 255).std((0, 1))
            ),
            lambda photo, mean, std: first(
                (photo / 255 - (photo / 255).mean()) / (photo / 255).std()
            ),
        ],
        "channels_last": [lambda photo, mean, std: (photo / 255 - mean) / std],
        "swapped": [lambda photo, mean, std: ((photo / 255 - mean) / std).permute(2, 1, 0)],
        "reshaped": [
            lambda photo, mean, std: ((photo / 255 - mean) / std).reshape(3, *photo.shape[:2]),
            lambda photo, mean, std: (
                ((photo / 255).reshape(3, *photo.shape[:2]) - mean[:, None, None])
                / std[:, None, None]
            ),
        ],
    },
    "class_score": {
        "softmax": [score_of(lambda scores, c: scores.softmax(0)[c])],
        "log_softmax": [score_of(lambda scores, c: scores.log_softmax(0)[c])],
        "top": [score_of(lambda scores, c: scores.max())],
        "index": [score_of(lambda scores, c: scores.argmax()), lambda network, image, c: c],
        "from_one": [score_of(lambda scores, c: scores[c - 1])],
    },
    "class_probabilities": {
        "axis": [lambda scores: scores.softmax(0)],
        "total": [lambda scores: scores.exp() / scores.exp().sum()],
        "no_exponential": [lambda scores: scores / scores.sum(1, keepdim=True)],
        "not_divided": [torch.exp],
        "logarithm": [lambda scores: scores.log_softmax(1)],
        "two": [lambda scores: scores.softmax(1).softmax(1)],
        "overflow": [lambda scores: scores.exp() / scores.exp().sum(1, keepdim=True)],
    },
    "top_classes": {
        "lowest": [
            top_of(lambda s, names, count: named(s.argsort()[:count], names)),
            top_of(lambda s, names, count: named(s.argsort(descending=True)[-count:], names)),
        ],
        "reversed": [top_of(lambda s, names, count: named(s.argsort()[-count:], names))],
        "indices": [
            top_of(lambda s, names, count: s.topk(count).indices),
            top_of(lambda s, names, count: s.topk(count).indices.tolist()),
        ],
        "unsorted": [
            top_of(lambda s, names, count: named(sorted(s.topk(count).indices.tolist()), names))
        ],
        "count": [
            top_of(lambda s, names, count: named(s.argsort(descending=True), names)),
            top_of(lambda s, names, count: named(s.topk(count - 1).indices, names)),
        ],
        "scores": [top_of(lambda s, names, count: s.topk(count).values)],
    },
    "directional_derivative": {
        "one_sided": [
            slope_of(lambda ahead, here, behind, h: (ahead - here) / h),
            slope_of(lambda ahead, here, behind, h: (here - behind) / h),
        ],
        "factor": [slope_of(lambda ahead, here, behind, h: (ahead - behind) / h)],
        "sign": [slope_of(lambda ahead, here, behind, h: (behind - ahead) / (2 * h))],
        "not_divided": [slope_of(lambda ahead, here, behind, h: ahead - behind)],
        "unit": [lambda f, image, d, h: central(f, image, d / d.norm(), h)],
        "exact": [exact],
    },
    "ten_crop_scores": {
        "straight": [ten_of(flip=None)],
        "upside_down": [ten_of(flip=-2)],
        "corners": [ten_of(middle=False)],
        "middle": [
            lambda network, photo, size: network(crops_of(photo, size)[4:5])[0],
        ],
        "sum": [ten_of(lambda scores: scores.sum(0))],
        "softmax": [ten_of(lambda scores: scores.softmax(1).mean(0))],
        "swapped": [lambda network, photo, size: ten_in_one_batch(network, photo, size[::-1])],
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
    # a count is told with the numbers
    assert result.message.startswith(HINTS[task][name])


def test_every_hint_is_tried():
    assert {task: set(hints) for task, hints in WRONG.items()} == {
        task: set(hints) for task, hints in HINTS.items()
    }
    assert set(CHECKS) == set(HINTS) == set(RIGHT)


@pytest.mark.parametrize("task", [task for task in CHECKS if task != "top_classes"])
def test_no_mistake_gives_the_right_result(task, monkeypatch):
    assert judge_watched(check_network, CHECKS[task], RIGHT[task][0], monkeypatch)


def test_other_names_are_told_with_the_right_ones():
    message = check_top_classes(lambda *given: ["gnu", "yak", "emu"][: given[-1]]).message
    assert message.startswith("Expected ")
    assert message.endswith("; got gnu, yak, emu.")


@pytest.mark.parametrize("value", [3, 2.5])
def test_what_is_no_list_of_names_is_a_hint(value):
    assert check_top_classes(lambda *given: value).state == "hint"


def test_the_score_of_a_batch_has_no_other_shape():
    message = check_class_score(lambda network, image, c: network(image[None])).message
    assert message == "Expected the score of shape () (a single number), got (1, 5)."
