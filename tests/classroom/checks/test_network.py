import re

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
    return torch.from_numpy(scaled.transpose(2, 0, 1)).float()


def input_by_channels(photo, mean, std):
    channels = [(photo[..., k].double() / 255 - mean[k]) / std[k] for k in range(3)]
    return torch.stack(channels).float()


def input_by_places(photo, mean, std):
    height, width, _ = photo.shape
    found = torch.zeros(3, height, width)
    for k in range(3):
        for i in range(height):
            for j in range(width):
                found[k, i, j] = (photo[i, j, k].item() / 255 - mean[k]) / std[k]
    return found


def input_by_einsum(photo, mean, std):
    centered = torch.einsum("ijk->kij", photo.float()) - 255 * mean.view(3, 1, 1)
    return centered.div(255).div(std.view(3, 1, 1))


def input_by_batch_norm(photo, mean, std):
    batch = photo.permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.batch_norm(batch, mean, std**2, eps=0.0)[0]


def score_by_index(network, image, c):
    return network(image[None])[0, c]


def score_as_number(network, image, c):
    with torch.no_grad():
        return network(image.unsqueeze(0)).squeeze()[c].item()


def score_as_batch(network, image, c):
    return network(torch.stack([image]))[:, c]


def score_by_dot(network, image, c):
    scores = network(image[None])[0]
    return scores @ torch.eye(len(scores))[c]


def score_of_five(network, image, c):
    chosen = torch.zeros(5)
    chosen[c] = 1
    return network(image[None])[0] @ chosen


def score_by_gather(network, image, c):
    return torch.gather(network(image[None]), 1, torch.tensor([[c]])).squeeze()


def score_by_vmap(network, image, c):
    return torch.func.vmap(lambda one: network(one[None])[0, c])(image[None])[0]


def score_of_copies(network, image, c):
    return network(image.expand(3, -1, -1, -1))[:, c].mean()


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


def softmax_by_rows(scores):
    rows = []
    for row in scores:
        powers = torch.exp(row - max(row))
        rows.append(powers / sum(powers))
    return torch.stack(rows)


def softmax_by_differences(scores):
    return 1 / (scores[:, None, :] - scores[:, :, None]).exp().sum(2)


def softmax_by_vmap(scores):
    def of_one(row):
        powers = torch.exp(row - row.max())
        return powers / powers.sum()

    return torch.func.vmap(of_one)(scores)


def softmax_in_double(scores):
    shifted = scores.double() - scores.double().max(dim=1, keepdim=True).values
    return shifted.exp() / shifted.exp().sum(dim=1)[:, None]


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


def top_one_by_one(network, image, class_names, count):
    scores = network(image[None]).detach().squeeze(0).clone()
    names = []
    for _ in range(count):
        best = scores.argmax().item()
        names.append(class_names[best])
        scores[best] = -torch.inf
    return names


def top_by_numpy(network, image, class_names, count):
    scores = network(image[None])[0].detach().numpy()
    return [class_names[i] for i in np.argsort(-scores)[:count]]


def top_by_dictionary(network, image, class_names, count):
    scores = dict(zip(class_names, network(image[None])[0].tolist(), strict=True))
    return sorted(scores, key=scores.get, reverse=True)[:count]


def top_as_generator(network, image, class_names, count):
    yield from top_by_topk(network, image, class_names, count)


def central_by_loop(function, image, direction, step):
    total = 0
    for sign in (1, -1):
        total = total + sign * function(image + sign * step * direction)
    return total / step / 2


def central_by_numpy(function, image, direction, step):
    moved = step * direction.numpy()
    values = [float(function(torch.from_numpy(image.numpy() + s * moved))) for s in (1, -1)]
    return np.diff(values[::-1])[0] / (2 * step)


def central_in_double(function, image, direction, step):
    image, direction = image.double(), direction.double()
    return (function(image + step * direction) - function(image - step * direction)) / (step + step)


def central_of_sides(function, image, direction, step):
    here = function(image)
    ahead = (function(image + step * direction) - here) / step
    behind = (here - function(image - step * direction)) / step
    return (ahead + behind) / 2


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
    for crop in crops_of(photo, size):
        total = total + network(crop[None])[0].detach()
    return total / 10


def ten_of_mirrored_photo(network, photo, size):
    total = 0
    for turned in (photo, photo.flip(2)):
        for crop in crops_of(turned, size, flip=None):
            total = total + network(crop[None])[0]
    return total / 10


def ten_by_narrow(network, photo, size):
    h, w = size
    starts = [(top, left) for top in (0, photo.shape[1] - h) for left in (0, photo.shape[2] - w)]
    starts.append((int((photo.shape[1] - h) / 2), int((photo.shape[2] - w) / 2)))
    scores = []
    for top, left in starts:
        crop = photo.narrow(1, top, h).narrow(2, left, w)
        scores += [network(crop[None])[0], network(torch.flip(crop, [2])[None])[0]]
    return sum(scores) / len(scores)


def ten_by_negative_slices(network, photo, size):
    h, w = size
    i, j = (photo.shape[1] - h) // 2, (photo.shape[2] - w) // 2
    crops = [photo[:, :h, :w], photo[:, :h, -w:], photo[:, -h:, :w], photo[:, -h:, -w:]]
    crops.append(photo[:, i : i + h, j : j + w])
    of = [network(c[None]) for c in crops] + [network(c[:, :, torch.arange(w - 1, -1, -1)][None])
                                              for c in crops]  # fmt: skip
    return torch.cat(of).mean(dim=0)


def ten_by_vmap(network, photo, size):
    return torch.func.vmap(lambda crop: network(crop[None])[0])(crops_of(photo, size)).mean(0)


def ten_by_torchvision(network, photo, size):
    from torchvision.transforms.functional import ten_crop

    return torch.stack([network(crop[None])[0] for crop in ten_crop(photo, size)]).mean(0)


RIGHT = {
    checks.check_network_input: [
        input_by_permute,
        input_by_column,
        input_in_bytes,
        input_by_numpy,
        input_by_channels,
        input_by_places,
        input_by_einsum,
        input_by_batch_norm,
    ],
    checks.check_class_score: [
        score_by_index,
        score_as_number,
        score_as_batch,
        score_by_dot,
        score_by_gather,
        score_by_vmap,
        score_of_copies,
    ],
    checks.check_class_probabilities: [
        softmax_by_hand,
        softmax_of_torch,
        softmax_by_logarithm,
        softmax_by_numpy,
        softmax_by_rows,
        softmax_by_differences,
        softmax_by_vmap,
        softmax_in_double,
    ],
    checks.check_top_classes: [
        top_by_topk,
        top_by_sorting,
        top_by_probability,
        top_one_by_one,
        top_by_numpy,
        top_by_dictionary,
        top_as_generator,
    ],
    checks.check_directional_derivative: [
        central,
        central_as_number,
        central_by_loop,
        central_by_numpy,
        central_in_double,
        central_of_sides,
    ],
    checks.check_ten_crop_scores: [
        ten_in_one_batch,
        ten_by_loop,
        ten_by_narrow,
        ten_by_negative_slices,
        ten_by_vmap,
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


def less_scores(subtracted):
    """The soft-max with something subtracted first."""

    def answer(scores):
        powers = (scores - subtracted(scores)).exp()
        return powers / powers.sum(1, keepdim=True)

    return answer


def of_first_image(scores):
    found = torch.zeros_like(scores)
    for i in range(len(scores)):
        found[i] = scores[i].softmax(0)
        return found


def positive_alone(network, image, class_names, count):
    scores = network(image[None])[0]
    best = [i for i in scores.argsort(descending=True).tolist() if scores[i] > 0]
    return named(best[:count], class_names)


def direction_of(move):
    """The central difference between two images that `move` makes of image, direction and h."""

    def answer(function, image, direction, h):
        ahead, behind = move(image, direction, h), move(image, direction, -h)
        return (function(ahead) - function(behind)) / (2 * h)

    return answer


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
        (
            lambda photo, mean, std: (
                ((photo / 255 - mean) / std).permute(1, 0, 2).reshape(3, *photo.shape[:2])
            ),
            "The shape is right but the",
        ),
        (
            lambda photo, mean, std: first((photo / 255 - mean) * std),
            "Wrong normalization: divide by the",
        ),
        (
            lambda photo, mean, std: first(photo / 255 * std + mean),
            "Wrong normalization: divide by the",
        ),
        (
            lambda photo, mean, std: first((photo / 255 + mean) / std),
            "Wrong normalization: the mean is subtracted, not",
        ),
        (lambda photo, mean, std: first(photo / 255 / std), "Wrong normalization: the deviation"),
        (
            lambda photo, mean, std: first(photo / 255 - mean / std),
            "Wrong normalization: first subtract",
        ),
        (
            lambda photo, mean, std: first((photo / 256 - mean) / std),
            "divide by 255, not by 256",
        ),
        (
            lambda photo, mean, std: first((photo // 255 - mean) / std),
            "The bytes were divided as whole numbers",
        ),
        (lambda photo, mean, std: first(photo / 127.5 - 1), "The mean and the deviation"),
        (lambda photo, mean, std: input_by_permute(photo, mean, std**2), "not by its square"),
        (lambda photo, mean, std: input_by_permute(photo, mean, std).clamp(0, 1), "were cut off"),
        (lambda photo, mean, std: input_by_permute(photo, mean, std).relu(), "were cut off"),
        (
            lambda photo, mean, std: input_by_permute(
                photo, torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            ),
            "These are ImageNet's constants",
        ),
        (
            lambda photo, mean, std: first(
                (photo - (255 * mean).to(torch.uint8)).float() / (255 * std)
            ),
            "The mean was subtracted from bytes",
        ),
        (
            lambda photo, mean, std: first((photo / photo.max() - mean) / std),
            "by the photo's own largest value",
        ),
        (
            lambda *given: input_by_permute(*given).double(),
            "their type is `torch.float64`: return float32",
        ),
        (
            lambda *given: input_by_permute(*given).half(),
            "their type is `torch.float16`: return float32",
        ),
        (
            lambda photo, mean, std: first((photo / 255 - mean) / std).flip(0),
            "The colors are in the order blue",
        ),
        (
            lambda photo, mean, std: first((photo[..., [2, 1, 0]] / 255 - mean) / std),
            "The colors are in the order blue",
        ),
        (
            lambda photo, mean, std: first(
                (photo / 255 - (photo / 255).mean((0, 1))) / (photo / 255).std((0, 1), correction=0)
            ),
            "Wrong normalization: this is",
        ),
    ],
    checks.check_class_score: [
        (score_of_five, "It raised IndexError"),
        (score_of(lambda scores, c: scores[c].exp()), "This is the exponential"),
        (score_of(lambda scores, c: int(scores[c])), "The score was cut or rounded"),
        (score_of(lambda scores, c: round(scores[c].item())), "The score was cut or rounded"),
        (score_of(lambda scores, c: scores[c].floor()), "The score was cut or rounded"),
        (score_of(lambda scores, c: scores[c].abs()), "The sign is lost: a score"),
        (score_of(lambda scores, c: scores[c].relu()), "The sign is lost: a score"),
        (score_of(lambda scores, c: -scores[c]), "The sign is wrong: return the score"),
        (score_of(lambda scores, c: scores[0]), "This is always the score of the class 0"),
        (
            score_of(lambda scores, c: scores[(c + 1) % len(scores)]),
            "This is the score of a neighboring",
        ),
        (score_of(lambda scores, c: scores.sum()), "All scores are added or averaged"),
        (score_of(lambda scores, c: scores.mean()), "All scores are added or averaged"),
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
            "With scores of some thousands the",
        ),
        (
            lambda scores: (scores.exp() / scores.exp().sum(1, keepdim=True)).nan_to_num(),
            "With scores of some thousands the",
        ),
        (less_scores(lambda scores: scores.max()), "The largest score of the whole batch"),
        (less_scores(lambda scores: scores.mean(1, keepdim=True)), "Not the largest score of each"),
        (less_scores(lambda scores: scores.amin(1, keepdim=True)), "Not the largest score of each"),
        (less_scores(lambda scores: scores.amax(0)), "From each score its *class's* largest"),
        (lambda scores: scores.clamp(-50, 50).softmax(1), "Large scores were clipped"),
        (lambda scores: softmax_by_rows(scores.clamp(max=80)), "Large scores were clipped"),
        (lambda scores: (-scores).softmax(1), "The sign of the scores is wrong"),
        (lambda scores: (scores * np.log(2)).softmax(1), "The powers are those of 2"),
        (lambda scores: 2**scores / (2**scores).sum(1, keepdim=True), "The powers are those of 2"),
        (
            lambda scores: softmax_by_hand(scores / scores.amax(1, keepdim=True)),
            "The scores were divided by a scale",
        ),
        (
            lambda scores: softmax_by_hand(scores / scores.norm(dim=1, keepdim=True)),
            "The scores were divided by a scale",
        ),
        (
            lambda scores: (
                (scores - scores.amax(1, keepdim=True)).exp()
                / (scores - scores.amax(1, keepdim=True)).exp().sum()
            ),
            "The sum runs over the whole",
        ),
        (lambda scores: scores.exp() / scores.exp().sum(1), "The sums lost their axis"),
        (
            lambda scores: (scores - scores.amax(1)).exp() / (scores - scores.amax(1)).exp().sum(1),
            "The sums lost their axis",
        ),
        (
            lambda scores: (
                (scores - scores.amax(1, keepdim=True)).exp()
                / (scores - scores.amax(1, keepdim=True)).exp().sum(1)
            ),
            "The sums lost their axis",
        ),
        (
            lambda scores: (
                (scores - scores.amax(1, keepdim=True)).exp() / scores.exp().sum(1, keepdim=True)
            ),
            "above the fraction line alone",
        ),
        (torch.sigmoid, "This is the sigmoid of each score"),
        (of_first_image, "Only the first image has its probabilities"),
        (
            less_scores(lambda scores: scores.abs().amax(1, keepdim=True)),
            "The largest *magnitude* was subtracted",
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
        (
            top_of(lambda s, names, count: named(s.abs().argsort(descending=True)[:count], names)),
            "These are the classes of the largest magnitudes",
        ),
        (
            top_of(lambda s, names, count: named(s.topk(count + 1).indices[1:], names)),
            "The best class is left out",
        ),
        (lambda network, image, names, count: list(names[:count]), "These are the first names"),
        (top_of(lambda s, names, count: named(s.topk(3).indices, names)), "Return as many names"),
        (top_of(lambda s, names, count: named(s.topk(1).indices, names)), "Return as many names"),
        (top_of(lambda s, names, count: names[s.argmax()]), "This is one text, `"),
        (
            top_of(lambda s, names, count: ", ".join(named(s.topk(count).indices, names))),
            "This is one text, `",
        ),
        (
            top_of(lambda s, names, count: set(named(s.topk(count).indices, names))),
            "A set keeps no ranking",
        ),
        (positive_alone, "Return as many names as `count` says. Expected 5, got 4"),
        (lambda *given: np.array(top_by_topk(*given)), "Expected a list of names, got ndarray"),
        (lambda *given: dict.fromkeys(top_by_topk(*given)).keys(), "Expected a list of names"),
        (
            top_of(
                lambda s, names, count: [(names[i], s[i].item()) for i in s.topk(count).indices]
            ),
            "Return the names alone",
        ),
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
        (lambda *given: abs(central(*given)), "The sign is lost: where the function"),
        (
            slope_of(lambda ahead, here, behind, h: (ahead - behind) / (4 * h)),
            "This is half of what it should be",
        ),
        (
            slope_of(lambda ahead, here, behind, h: (ahead + behind) / (2 * h)),
            "The two values are added",
        ),
        (
            slope_of(lambda ahead, here, behind, h: (ahead - behind) / 2 * h),
            "Parentheses are missing: `a / 2",
        ),
        (
            slope_of(lambda ahead, here, behind, h: ahead - behind / (2 * h)),
            "Parentheses are missing: `a / 2",
        ),
        (
            direction_of(lambda image, d, h: image + np.sign(h) * d),
            "The image was moved by the whole direction",
        ),
        (direction_of(lambda image, d, h: image + h / 2 * d), "Each image was moved by half"),
        (direction_of(lambda image, d, h: image + h), "The direction is missing"),
        (
            slope_of(lambda ahead, here, behind, h: (ahead - 2 * here + behind) / h**2),
            "this is a second derivative",
        ),
        (slope_of(lambda ahead, here, behind, h: (ahead - ahead) / (2 * h)), "This is 0:"),
        (
            lambda f, image, d, h: central(f, image, d, 0.01),
            "It returns the same for another `step`",
        ),
        (
            lambda f, image, d, h: central(f, image, d, 0.5),
            "It returns the same for another `step`",
        ),
        (
            lambda f, image, d, h: central(f, image[None], d, h),
            "`function` takes one image (3, 2, 4), got (1, 3, 2, 4)",
        ),
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
        (lambda network, photo, size: ten_with(network, photo, size, up), "The middle begins at"),
        (
            lambda network, photo, size: ten_with(
                network, photo, size, lambda s, p: s // 2 - p // 2
            ),
            "The middle begins at",
        ),
        (
            lambda network, photo, size: ten_with(
                network, photo, size, lambda s, p: round((s - p) / 2)
            ),
            "The middle begins at",
        ),
        (ten_of(flip=-3), "here the colors were swapped"),
        (ten_of_mirrored_photo, "The photo was mirrored before it was cut"),
        (ten_by_torchvision, "The middle begins at"),
        (
            lambda network, photo, size: network(
                torch.cat(
                    [crops_of(photo, size, flip=None), crops_of(photo, size, flip=None).flip(0)]
                )
            ).mean(0),
            "The mirrored crops are missing, or not mirrored",
        ),
        (lambda network, photo, size: 2 * ten_in_one_batch(network, photo, size), "The scores are"),
        (ten_of(lambda scores: scores.amax(0)), "This is each class's highest score"),
        (ten_of(lambda scores: scores.mean(0).softmax(0)), "The probabilities are"),
        (ten_of(lambda scores: scores[:9].mean(0)), "The mirror image of the middle"),
        (
            lambda network, photo, size: ten_in_one_batch(network, photo[:, :-1, :-1], size),
            "The crops at the far sides end",
        ),
    ],
}


def up(side, part):
    return -((part - side) // 2)


def ten_with(network, photo, size, middle):
    """The mean over ten crops, with the middle where `middle` says."""
    i, j = (middle(side, part) for side, part in zip(photo.shape[1:], size, strict=True))
    crops = crops_of(photo, size, middle=False, flip=None)
    five = torch.cat([crops, photo[None, :, i : i + size[0], j : j + size[1]]])
    return network(torch.cat([five, five.flip(-1)])).mean(0)


# ---- wrong answers that no hint explains: none passes, and no other mistake is named

PLAIN = r"(\d of \d points: )?(Expected|The shape of|It raised|It changes)"
UNNAMED = [
    (checks.check_network_input, lambda photo, mean, std: input_by_permute(photo, mean, std)[None]),
    (checks.check_network_input, lambda photo, mean, std: input_by_permute(photo, mean, std)[0]),
    (checks.check_network_input, lambda photo, mean, std: first(photo / 255) - mean / std),
    (
        checks.check_network_input,
        lambda photo, mean, std: input_by_permute(photo, torch.full((3,), 0.5), std),
    ),
    (checks.check_network_input, lambda photo, mean, std: input_by_permute(photo, mean[0], std)),
    (checks.check_network_input, lambda photo, mean, std: photo.sub_(1)),
    (checks.check_class_score, lambda network, image, c: network(image[None])),
    (checks.check_class_score, lambda network, image, c: network(image[None])[c]),
    (checks.check_class_score, lambda network, image, c: network(image)[c]),
    (checks.check_class_score, lambda network, image, c: score_by_index(network, 255 * image, c)),
    (checks.check_class_score, lambda network, image, c: score_by_index(network, image.mT, c)),
    (checks.check_class_score, lambda network, image, c: score_by_index(network.train(), image, c)),
    (checks.check_class_score, lambda network, image, c: 2 * score_by_index(network, image, c)),
    (checks.check_class_score, lambda network, image, c: score_by_index(network, image, 282)),
    (checks.check_class_probabilities, lambda scores: softmax_by_hand(scores)[0]),
    (checks.check_class_probabilities, lambda scores: softmax_by_hand(scores).argmax(1)),
    (checks.check_class_probabilities, lambda scores: softmax_by_hand(scores).round(decimals=2)),
    (checks.check_class_probabilities, lambda scores: 100 * softmax_by_hand(scores)),
    (checks.check_class_probabilities, lambda scores: softmax_by_hand(scores.abs())),
    (checks.check_class_probabilities, lambda scores: softmax_by_hand(scores).T),
    (checks.check_top_classes, lambda *given: [*top_by_topk(*given)[1:], "gnat"]),
    (checks.check_directional_derivative, lambda f, image, d, h: central(f, image, -d, h) ** 2),
    (checks.check_directional_derivative, lambda f, image, d, h: central(f, 0 * image, d, h)),
    (
        checks.check_directional_derivative,
        lambda f, image, d, h: round(float(central(f, image, d, h))),
    ),
    (checks.check_directional_derivative, lambda f, image, d, h: h * d),
    (checks.check_directional_derivative, lambda f, image, d, h: central(f, image, d, h**2)),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores)),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores.mean())),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores.mean(1))),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores.mean(0, keepdim=True))),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores.mean(0).argmax())),
    (checks.check_ten_crop_scores, ten_of(lambda scores: scores.median(0).values)),
]


@pytest.mark.parametrize(("check", "answer"), UNNAMED)
def test_a_wrong_answer_without_a_name_is_told_plainly(check, answer):
    result = check(answer)
    assert result.state == "hint"
    assert re.match(PLAIN, result.message), result


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.check_network_input, lambda *given: input_by_permute(*given).numpy()),
        (checks.check_class_probabilities, lambda scores: softmax_by_rows(scores).numpy()),
    ],
)
def test_an_array_is_told_how_it_becomes_a_tensor(check, answer):
    assert "got a NumPy array: `torch.from_numpy`" in check(answer).message


def test_a_ranking_is_worked_through_with_names():
    lowest = top_of(lambda s, names, count: named(s.argsort()[:count], names))
    *_, third = (checks.check_top_classes(lowest) for _ in range(3))
    assert third.details.endswith("right: (ant, cat)\nyours: (bee, cat)")


def test_soft_max_of_usual_scores_is_half_of_the_points():
    def naive(scores):
        return scores.exp() / scores.exp().sum(1, keepdim=True)

    result = checks.check_class_probabilities(naive)
    assert result.points == 1
    assert result.message.startswith("1 of 2 points: With scores of some thousands")


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


@pytest.mark.parametrize("shift", [1, -1])
def test_a_neighboring_class_is_not_taken_for_the_best(shift):
    result = checks.check_class_score(score_of(lambda scores, c: scores[c + shift]))
    assert result.message.startswith("This is the score of a neighboring class")
