import numpy as np
import pytest
import torch
from tables import usual_tests

from deepinside.classroom.checks import network as checks

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
    return torch.from_numpy(scaled.transpose(2, 0, 1))


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
    return torch.from_numpy(powers / powers.sum(axis=1, keepdims=True))


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
    checks.check_network_input: [
        input_by_permute,
        input_by_column,
        input_in_bytes,
        input_by_numpy,
    ],
    checks.check_class_score: [
        score_by_index,
        score_as_number,
        score_as_batch,
    ],
    checks.check_class_probabilities: [
        softmax_by_hand,
        softmax_of_torch,
        softmax_by_logarithm,
        softmax_by_numpy,
    ],
    checks.check_top_classes: [
        top_by_topk,
        top_by_sorting,
        top_by_probability,
    ],
    checks.check_directional_derivative: [
        central,
        central_as_number,
    ],
    checks.check_ten_crop_scores: [
        ten_in_one_batch,
        ten_by_loop,
        ten_by_torchvision,
    ],
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
    checks.check_network_input: [
        (
            lambda photo, mean, std: first((photo - mean) / std),
            "Wrong normalization: mean and deviation are",
        ),
        (lambda photo, mean, std: first(photo / 255), "The mean and the deviation"),
        (lambda photo, mean, std: first(photo / 255 - mean), "Wrong normalization: the mean"),
        (lambda photo, mean, std: first(photo / 255 / std - mean), "Wrong normalization: first"),
        (
            lambda photo, mean, std: first((photo / 255 - std) / mean),
            "Wrong normalization: mean and deviation have",
        ),
        (
            lambda photo, mean, std: first(
                (photo / 255 - (photo / 255).mean((0, 1))) / (photo / 255).std((0, 1))
            ),
            "Wrong normalization: this is",
        ),
        (
            lambda photo, mean, std: first(
                (photo / 255 - (photo / 255).mean()) / (photo / 255).std()
            ),
            "Wrong normalization: this is",
        ),
        (lambda photo, mean, std: (photo / 255 - mean) / std, "The channels are still last:"),
        (
            lambda photo, mean, std: ((photo / 255 - mean) / std).permute(2, 1, 0),
            "Rows and columns are swapped:",
        ),
        (
            lambda photo, mean, std: ((photo / 255 - mean) / std).reshape(3, *photo.shape[:2]),
            "The shape is right but the",
        ),
        (
            lambda photo, mean, std: (
                ((photo / 255).reshape(3, *photo.shape[:2]) - mean[:, None, None])
                / std[:, None, None]
            ),
            "The shape is right but the",
        ),
    ],
    checks.check_class_score: [
        (score_of(lambda scores, c: scores.softmax(0)[c]), "This is the soft-max"),
        (score_of(lambda scores, c: scores.log_softmax(0)[c]), "This is the log-probability:"),
        (score_of(lambda scores, c: scores.max()), "This is the highest score:"),
        (score_of(lambda scores, c: scores.argmax()), "This is the index of a class:"),
        (lambda network, image, c: c, "This is the index of a class:"),
        (score_of(lambda scores, c: scores[c - 1]), "This is the score of a"),
    ],
    checks.check_class_probabilities: [
        (lambda scores: scores.softmax(0), "The probabilities of one"),
        (lambda scores: scores.exp() / scores.exp().sum(), "The sum runs over the whole"),
        (lambda scores: scores / scores.sum(1, keepdim=True), "The scores themselves were"),
        (torch.exp, "These are the exponentials:"),
        (lambda scores: scores.log_softmax(1), "These are log-probabilities:"),
        (lambda scores: scores.softmax(1).softmax(1), "Soft-max seems to be applied"),
        (
            lambda scores: scores.exp() / scores.exp().sum(1, keepdim=True),
            "With scores around 1000 the",
        ),
    ],
    checks.check_top_classes: [
        (
            top_of(lambda s, names, count: named(s.argsort()[:count], names)),
            "These are the classes of the",
        ),
        (
            top_of(lambda s, names, count: named(s.argsort(descending=True)[-count:], names)),
            "These are the classes of the",
        ),
        (
            top_of(lambda s, names, count: named(s.argsort()[-count:], names)),
            "The right classes, the worst",
        ),
        (top_of(lambda s, names, count: s.topk(count).indices), "These are the indices of the"),
        (
            top_of(lambda s, names, count: s.topk(count).indices.tolist()),
            "These are the indices of the",
        ),
        (
            top_of(lambda s, names, count: named(sorted(s.topk(count).indices.tolist()), names)),
            "The right classes in another",
        ),
        (
            top_of(lambda s, names, count: named(s.argsort(descending=True), names)),
            "Return as many names as",
        ),
        (
            top_of(lambda s, names, count: named(s.topk(count - 1).indices, names)),
            "Return as many names as",
        ),
        (top_of(lambda s, names, count: s.topk(count).values), "These are scores: return the"),
    ],
    checks.check_directional_derivative: [
        (
            slope_of(lambda ahead, here, behind, h: (ahead - here) / h),
            "This is the difference to the",
        ),
        (
            slope_of(lambda ahead, here, behind, h: (here - behind) / h),
            "This is the difference to the",
        ),
        (
            slope_of(lambda ahead, here, behind, h: (ahead - behind) / h),
            "This is twice as large as it",
        ),
        (
            slope_of(lambda ahead, here, behind, h: (behind - ahead) / (2 * h)),
            "The sign is wrong: the value",
        ),
        (slope_of(lambda ahead, here, behind, h: ahead - behind), "The difference of the two"),
        (
            lambda f, image, d, h: central(f, image, d / d.norm(), h),
            "The direction was normalized to",
        ),
        (exact, "This is the exact derivative:"),
    ],
    checks.check_ten_crop_scores: [
        (ten_of(flip=None), "The mirrored crops are"),
        (ten_of(flip=-2), "Mirrored crops swap left and"),
        (ten_of(middle=False), "The crop in the middle is"),
        (
            lambda network, photo, size: network(crops_of(photo, size)[4:5])[0],
            "This is the crop in the",
        ),
        (ten_of(lambda scores: scores.sum(0)), "The scores are added up:"),
        (ten_of(lambda scores: scores.softmax(1).mean(0)), "The probabilities are"),
        (
            lambda network, photo, size: ten_in_one_batch(network, photo, size[::-1]),
            "Rows and columns are swapped:",
        ),
    ],
}


(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_other_names_are_told_with_the_right_ones():
    message = checks.check_top_classes(lambda *given: ["gnu", "yak", "emu"][: given[-1]]).message
    assert message.startswith("Expected ")
    assert message.endswith("; got gnu, yak, emu.")


@pytest.mark.parametrize("value", [3, 2.5])
def test_what_is_no_list_of_names_is_a_hint(value):
    assert checks.check_top_classes(lambda *given: value).state == "hint"


def test_the_score_of_a_batch_has_no_other_shape():
    message = checks.check_class_score(lambda network, image, c: network(image[None])).message
    assert message.startswith("Expected the score as a single number, got a tensor of (1, 5).")
