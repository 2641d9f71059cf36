"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

import numpy as np
import pytest
import torch
from tables import usual_tests
from torch import nn
from torch.nn import functional as F

from deepinside.classroom.checks import TASKS
from deepinside.classroom.checks import later_methods as checks
from deepinside.classroom.small_networks import drawn_image, relu_network
from deepinside.integrated_gradients import integrated_gradients
from deepinside.occlusion import occlusion


def cam(activation, weights, c):
    return torch.einsum("k,khw->hw", weights[c], activation)


def cam_by_product(activation, weights, c):
    return (weights[c][:, None, None] * activation).sum(0)


def cam_by_matrix(activation, weights, c):
    return (weights @ activation.flatten(1))[c].view(activation.shape[1:])


def cam_by_convolution(activation, weights, c):
    return F.conv2d(activation[None], weights[c : c + 1, :, None, None])[0, 0]


def cam_by_layer(activation, weights, c):
    """The network's own layer, called at each position."""
    layer = nn.Linear(*weights.shape[::-1], bias=False)
    layer.weight.data.copy_(weights)
    return layer(activation.permute(1, 2, 0))[..., c]


def grad_cam(activation, gradient):
    return torch.einsum("k,khw->hw", gradient.mean((1, 2)), activation).relu()


def grad_cam_by_product(activation, gradient):
    weights = gradient.mean(dim=(1, 2), keepdim=True)
    return torch.clamp((weights * activation).sum(0), min=0)


def grad_cam_by_loop(activation, gradient):
    made = np.zeros(activation.shape[1:])
    for channel, slope in zip(activation.numpy(), gradient.numpy(), strict=True):
        made += slope.sum() / slope.size * channel
    return torch.from_numpy(np.maximum(made, 0))


def grad_cam_by_pooling(activation, gradient):
    pooled = F.adaptive_avg_pool2d(gradient[None], 1)
    return F.relu(F.conv2d(activation[None], pooled))[0, 0]


def integrated(gradient_at, image, baseline, steps):
    total = torch.zeros_like(image)
    for k in range(steps):
        total += gradient_at(baseline + (k + 0.5) / steps * (image - baseline))
    return (image - baseline) * total / steps


def integrated_in_one_pass(gradient_at, image, baseline, steps):
    shares = ((torch.arange(steps) + 0.5) / steps)[:, None, None, None]
    return gradient_at(torch.lerp(baseline, image, shares)).mean(0) * (image - baseline)


def integrated_backwards(gradient_at, image, baseline, steps):
    """From the image to the baseline: the points in the middle of the steps are the same."""
    shares = [1 - (k + 0.5) / steps for k in range(steps)]
    points = [share * image + (1 - share) * baseline for share in shares]
    return (image - baseline) * sum(gradient_at(point) for point in points) / len(points)


def integrated_without_gradients(gradient_at, image, baseline, steps):
    with torch.no_grad():
        return integrated(gradient_at, image, baseline, steps)


def box_of(image, box):
    x0, y0, x1, y1 = box
    mask = torch.zeros(image.shape[1:], dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


def both(score_of, gradient_at, image, replacement, box):
    x0, y0, x1, y1 = box
    covered = image.clone()
    covered[:, y0:y1, x0:x1] = replacement[:, y0:y1, x0:x1]
    promise = -(gradient_at(image) * (covered - image)).sum()
    return score_of(image) - score_of(covered), promise


def both_by_mask(score_of, gradient_at, image, replacement, box):
    covered = torch.where(box_of(image, box), replacement, image)
    before, after = score_of(torch.stack([image, covered])).tolist()
    promise = (gradient_at(image) * (image - covered))[:, box_of(image, box)].sum()
    return np.array([before - after, promise.item()])


def both_by_slices(score_of, gradient_at, image, replacement, box):
    place = (slice(None), slice(box[1], box[3]), slice(box[0], box[2]))
    change = (image - replacement)[place]
    covered = image.clone()
    covered[place] -= change
    promise = gradient_at(image)[place].flatten() @ change.flatten()
    return torch.stack([score_of(image) - score_of(covered), promise])


def both_by_difference(score_of, gradient_at, image, replacement, box):
    """The promise is what a small change keeps, so no gradient has to be asked for."""
    change = torch.where(box_of(image, box), replacement - image, 0)
    small = 1e-2 * change
    slope = (score_of(image - small) - score_of(image + small)) / 2e-2
    return [score_of(image[None]) - score_of((image + change)[None]), slope]


RIGHT = {
    checks.check_class_activation_map: [
        cam,
        cam_by_product,
        cam_by_matrix,
        cam_by_convolution,
        cam_by_layer,
    ],
    checks.check_grad_cam: [grad_cam, grad_cam_by_product, grad_cam_by_loop, grad_cam_by_pooling],
    checks.check_integrated_gradients: [
        integrated,
        integrated_in_one_pass,
        integrated_backwards,
        integrated_without_gradients,
    ],
    checks.check_drop_and_prediction: [both, both_by_mask, both_by_slices, both_by_difference],
}


def weighing(weights_of):
    """The right map, of other weights."""
    return lambda a, weights, c: torch.einsum("k,khw->hw", weights_of(weights, c), a)


def cam_read(read):
    return lambda a, weights, c: read(cam(a, weights, c))


def to_unit(values):
    return (values - values.min()) / (values.max() - values.min())


def to_unit_positive(values):
    return values.clamp(min=0) / values.clamp(min=0).max()


def column(weights, c):
    return weights[:, c]


def products(weights, activation):
    return weights[:, None, None] * activation


MAPS = [
    (lambda a, w, c: products(w[c], a).sum(0).numpy(), "got a NumPy array"),
    (lambda a, w, c: products(w[c], a).sum(0).tolist(), "as a tensor, got a list"),
    (cam_read(torch.neg), "The sign is wrong"),
    (lambda a, w, c: cam(a, w, 0), "the map of another class"),
    (lambda a, w, c: cam(a, w, c - 1), "the map of another class"),
    (lambda a, w, c: (w[c][:, None] * a).sum(0), "met the rows or the columns"),
    (lambda a, w, c: products(w[c], a).sum(1), "added up over rows or columns"),
    (lambda a, w, c: products(w[c], a).sum(-1), "added up over rows or columns"),
    (lambda a, w, c: products(w[c], a).sum((1, 2)), "The positions are gone"),
    (lambda a, w, c: products(w[c], a).amax(0), "The largest channel was taken"),
    (lambda a, w, c: products(w[c][:-1], a[:-1]).sum(0), "The first or the last channel"),
    (lambda a, w, c: products(w[c][1:], a[1:]).sum(0), "The first or the last channel"),
    (lambda a, w, c: w[c][-1] * a[-1], "One channel alone is left"),
    (lambda a, w, c: w[c][0] * a[0], "One channel alone is left"),
    (cam_read(lambda values: values / values.numel()), "divided by the number of positions"),
    (cam_read(lambda values: values - values.mean()), "shifted or scaled by its own values"),
    (weighing(lambda w, c: w[c] / w[c].norm()), "The weights were scaled"),
    (weighing(lambda w, c: w.softmax(0)[c]), "Soft-max was taken of the weights"),
    (weighing(lambda w, c: w[c].softmax(0)), "Soft-max was taken of the weights"),
    (
        lambda a, w, c: torch.einsum("ck,khw->chw", w, a).softmax(0)[c],
        "Soft-max was taken of the maps",
    ),
    (weighing(column), "a column of the weights"),
    (lambda a, w, c: w[c] @ a.mean((1, 2)), "The positions are gone"),
    (lambda a, w, c: w[c] * a.mean((1, 2)), "The positions are gone"),
    (cam_read(torch.sum), "The positions are gone"),
    (lambda a, w, c: w[c][:, None, None] * a, "still one map a channel"),
    (lambda a, w, c: (w[c][:, None, None] * a).mean(0), "The mean over the channels"),
    (lambda a, w, c: (w[c] * a).sum(0), "met the rows or the columns"),
    (cam_read(torch.relu), "The negative part was cut off"),
    (weighing(lambda w, c: w[c].clamp(min=0)), "The negative part was cut off"),
    (cam_read(torch.abs), "Magnitudes were taken"),
    (weighing(lambda w, c: w[c].abs()), "Magnitudes were taken"),
    (lambda a, w, c: a[c], "one channel of the activation"),
    (lambda a, w, c: a.mean(0), "The weights have no part"),
    (lambda a, w, c: torch.einsum("ck,khw->chw", w, a), "the maps of all classes"),
    (cam_read(to_unit), "shifted or scaled by its own values"),
    (cam_read(to_unit_positive), "shifted or scaled by its own values"),
    (cam_read(lambda values: values / values.max()), "shifted or scaled by its own values"),
    (cam_read(torch.t), "Rows and columns are swapped"),
]


def by_weights(weights_of):
    """Grad-CAM with other weights of the channels, or of the positions."""

    def answer(activation, gradient):
        return (weights_of(gradient) * activation).sum(0).relu()

    return answer


def summed_weights(gradient):
    return gradient.sum((1, 2), keepdim=True)


def mean_weights(gradient):
    return gradient.mean((1, 2), keepdim=True)


def grad_cam_read(read):
    return lambda a, gradient: read((mean_weights(gradient) * a).sum(0))


GRAD_CAMS = [
    (lambda a, g: grad_cam(a.relu(), g), "taken too early"),
    (lambda a, g: grad_cam(a.abs(), g), "Magnitudes were taken"),
    (lambda a, g: grad_cam(a, g).numpy(), "got a NumPy array"),
    (lambda a, g: grad_cam(a, g) / a[0].numel(), "by the number of positions again"),
    (grad_cam_read(lambda signed: signed.clamp(0, 1)), "cut off at 1 as well"),
    (by_weights(lambda g: g.mean(1, keepdim=True)), "over other axes"),
    (by_weights(lambda g: g.mean((0, 1))), "over other axes"),
    (by_weights(lambda g: g.amax((1, 2), keepdim=True)), "not its largest value"),
    (lambda a, g: a.sum(0), "The gradient has no part"),
    (lambda a, g: g.mean(0).relu(), "The activation has no part"),
    (lambda a, g: (mean_weights(g) * a).sum(-1).relu(), "added up over rows or columns"),
    (lambda a, g: (mean_weights(g) * a).amax(0), "The largest channel was taken"),
    (lambda a, g: grad_cam(a[:-1], g[:-1]), "The first or the last channel"),
    (lambda a, g: grad_cam(a[-1:], g[-1:]), "One channel alone is left"),
    (by_weights(lambda g: mean_weights(g) / mean_weights(g).norm()), "The weights were scaled"),
    (by_weights(summed_weights), "The weights are sums"),
    (lambda a, g: (summed_weights(g) * a).sum(0), "The weights are sums"),
    (by_weights(lambda g: g), "position by position"),
    (lambda a, g: (g * a).sum(0), "position by position"),
    (grad_cam_read(lambda signed: signed), "The positive part is missing"),
    (grad_cam_read(torch.abs), "Magnitudes were taken"),
    (by_weights(lambda g: mean_weights(g.abs())), "Magnitudes were taken"),
    (by_weights(lambda g: mean_weights(g).abs()), "Magnitudes were taken"),
    (by_weights(lambda g: mean_weights(g.relu())), "taken too early"),
    (by_weights(lambda g: mean_weights(g).relu()), "taken too early"),
    (lambda a, g: (mean_weights(g) * a).relu().sum(0), "taken too early"),
    (grad_cam_read(lambda signed: signed.clamp(max=0)), "the negative part"),
    (lambda a, g: grad_cam(a, -g), "the negative part"),
    (lambda a, g: grad_cam(g, a), "are exchanged"),
    (by_weights(lambda g: g.mean(0)), "The mean was taken over the channels"),
    (by_weights(torch.mean), "One mean was taken"),
    (by_weights(lambda g: mean_weights(g).softmax(0)), "Soft-max was taken of the weights"),
    (lambda a, g: (mean_weights(g) * a).relu(), "still one map a channel"),
    (lambda a, g: (mean_weights(g) * a).mean(0).relu(), "The mean over the channels was taken"),
    (by_weights(lambda g: g.mean((1, 2))), "met the rows or the columns"),
    (lambda a, g: g.mean((1, 2)), "The positions are gone"),
    (grad_cam_read(torch.mean), "The positions are gone"),
    (grad_cam_read(to_unit_positive), "shifted or scaled by its own values"),
    (grad_cam_read(to_unit), "shifted or scaled by its own values"),
    (lambda a, g: grad_cam(a, g).T, "Rows and columns are swapped"),
]


def middles(steps):
    return [(k + 0.5) / steps for k in range(steps)]


def along(shares_of=middles, *, factor=torch.sub, join=torch.mean, start=None, point=torch.lerp):
    """Integrated gradients, along another path, with other points on it, or another factor."""

    def answer(gradient_at, image, baseline, steps):
        begin = baseline if start is None else start(image)
        gradients = [
            gradient_at(point(begin, image, torch.tensor(share).double()))
            for share in shares_of(steps)
        ]
        return factor(image, baseline) * join(torch.stack(gradients), dim=0)

    return answer


def shares_read(read):
    return lambda *given: read(integrated(*given))


def trapezoids(gradient_at, image, baseline, steps):
    ends = torch.linspace(0, 1, steps + 1)[:, None, None, None]
    gradients = gradient_at(baseline + ends * (image - baseline))
    return (image - baseline) * torch.trapezoid(gradients, dx=1 / steps, dim=0)


def factor_of_step(gradient_at, image, baseline, steps):
    total = 0
    for share in middles(steps):
        point = baseline + share * (image - baseline)
        total = total + (point - baseline) * gradient_at(point)
    return total / steps


def times_the_point(gradient_at, image, baseline, steps):
    points = [torch.lerp(baseline, image, share) for share in middles(steps)]
    return sum(point * gradient_at(point) for point in points) / steps


def taking_image(image, baseline):
    return image


def one(image, baseline):
    return 1


def one_gradient(gradient_at, image, baseline, steps):
    for k in range(steps):
        gradient = gradient_at(torch.lerp(baseline, image, (k + 0.5) / steps))
    return (image - baseline) * gradient


SHARES = [
    (one_gradient, "Does each round of a loop overwrite the sum"),
    (lambda at, image, base, steps: integrated(at, image, base, 50), "changes nothing"),
    (shares_read(lambda shares: shares.numpy()), "got a NumPy array"),
    (shares_read(lambda shares: shares.relu()), "Magnitudes were taken"),
    (shares_read(lambda shares: shares.mean(0)), "were joined to one"),
    (shares_read(lambda shares: shares / shares.abs().max()), "scaled by their own size"),
    (along(lambda n: middles(n)[:-1]), "A step is missing"),
    (along(lambda n: [*middles(n), 1 + 0.5 / n]), "A step is missing"),
    (along(lambda n: [(k + 1.5) / n for k in range(n)]), "A step is missing"),
    (along(join=lambda g, dim: g.sum(dim) / (len(g) + 1)), "another number than `steps`"),
    (along(join=lambda g, dim: g), "There is still a result for each step"),
    (along(point=lambda base, image, share: share * (image - base)), "The path misses"),
    (lambda at, image, base, steps: at(image), "`image - baseline` is missing"),
    (along(join=torch.sum), "The gradients were added up"),
    (lambda at, image, base, steps: (image - base) * at(image), "at one point of the path"),
    (lambda at, image, base, steps: (image - base) * at(base), "at one point of the path"),
    (lambda at, image, base, steps: integrated(at, image, base, 1), "by `//`?"),
    (along(lambda n: [0.5 / n]), "Does each round of a loop overwrite"),
    (along(lambda n: [1 - 0.5 / n]), "Does each round of a loop overwrite"),
    (along(factor=one), "`image - baseline` is missing"),
    (along(factor=one, join=torch.sum), "`image - baseline` is missing"),
    (along(factor=taking_image), "the image or the baseline alone"),
    (along(factor=lambda image, baseline: baseline), "the image or the baseline alone"),
    (along(factor=lambda image, baseline: baseline - image), "The sign is wrong"),
    (along(lambda n: [k / n for k in range(n)]), "at the beginning or the end of each step"),
    (along(lambda n: [(k + 1) / n for k in range(n)]), "at the beginning or the end of each step"),
    (along(lambda n: torch.linspace(0, 1, n).tolist()), "include both ends"),
    (along(lambda n: torch.linspace(0, 1, n + 1).tolist()), "include both ends"),
    (along(lambda n: [k / (n + 1) for k in range(1, n + 1)]), "include both ends"),
    (trapezoids, "include both ends"),
    (along(start=torch.zeros_like), "The path begins at black"),
    (along(start=torch.zeros_like, factor=taking_image), "The path begins at black"),
    (
        along(point=lambda base, image, share: base + share * image),
        "The path misses the image or the baseline",
    ),
    (
        along(point=lambda base, image, share: image + share * (image - base)),
        "The path misses the image or the baseline",
    ),
    (factor_of_step, "a factor of its own step"),
    (times_the_point, "a factor of its own step"),
    (shares_read(torch.abs), "Magnitudes were taken"),
    (along(join=lambda g, dim: g.abs().mean(dim)), "Magnitudes were taken"),
    (along(factor=lambda image, base: (image - base).abs()), "Magnitudes were taken"),
    (shares_read(torch.sum), "were joined to one"),
    (shares_read(lambda shares: shares.abs().amax(0)), "were joined to one"),
]


def replacing(replace):
    """Both numbers, of an image covered in another way."""

    def answer(score_of, gradient_at, image, replacement, box):
        covered = replace(image, replacement, box)
        promise = (gradient_at(image) * (image - covered)).sum()
        return score_of(image) - score_of(covered), promise

    return answer


def of_box(change_box):
    return lambda *given: both(*given[:4], change_box(*given[4]))


def promising(promise):
    """The right drop, and another promise of the gradient, image and replacement in the box."""

    def answer(score_of, gradient_at, image, replacement, box):
        x0, y0, x1, y1 = box
        inside = (some[:, y0:y1, x0:x1] for some in (gradient_at(image), image, replacement))
        return both(score_of, gradient_at, image, replacement, box)[0], promise(*inside)

    return answer


def read_both(read):
    return lambda *given: read(*both(*given))


def one_channel(image, replacement, box):
    return torch.cat([torch.where(box_of(image, box), replacement, image)[:1], image[1:]])


def promise_at_the_covered(score_of, gradient_at, image, replacement, box):
    covered = torch.where(box_of(image, box), replacement, image)
    promise = (gradient_at(covered) * (image - covered)).sum()
    return score_of(image) - score_of(covered), promise


def promise_of_all(score_of, gradient_at, image, replacement, box):
    drop, _ = both(score_of, gradient_at, image, replacement, box)
    return drop, (gradient_at(image) * (image - replacement)).sum()


def scores(score_of, gradient_at, image, replacement, box):
    drop, promise = both(score_of, gradient_at, image, replacement, box)
    return score_of(image) - drop, score_of(image) - promise


def score_and_promise(score_of, gradient_at, image, replacement, box):
    return score_of(torch.where(box_of(image, box), replacement, image)), both(
        score_of, gradient_at, image, replacement, box
    )[1]


def shares_of_the_score(score_of, gradient_at, image, replacement, box):
    drop, promise = both(score_of, gradient_at, image, replacement, box)
    return drop / score_of(image), promise


def in_place(score_of, gradient_at, image, replacement, box):
    before, w = score_of(image), gradient_at(image)
    image[:, box_of(image, box)] = replacement[:, box_of(image, box)]
    return before - score_of(image), (w * image).sum()


def corner_of_replacement(image, replacement, box):
    x0, y0, x1, y1 = box
    covered = image.clone()
    covered[:, y0:y1, x0:x1] = replacement[:, : y1 - y0, : x1 - x0]
    return covered


DROPS = [
    (read_both(lambda drop, promise: (drop, drop - promise)), "the difference of the two drops"),
    (read_both(lambda drop, promise: (drop.relu(), promise.relu())), "Magnitudes were taken"),
    (of_box(lambda x0, x1, y0, y1: (x0, y0, x1, y1)), "read in another order"),
    (of_box(lambda x0, y0, x1, y1: (x0, y0, x1, y1 + 1)), "The box is too large"),
    (of_box(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)), "The box is too small"),
    (of_box(lambda x0, y0, x1, y1: (x0 + 1, y0 + 1, x1, y1)), "The box is too small"),
    (
        replacing(lambda i, r, box: torch.where(box_of(i, box), r.mean(), i)),
        "filled with one value",
    ),
    (replacing(corner_of_replacement), "another place of the replacement"),
    (promising(lambda w, i, r: w.sum()), "1 of 2 points: The gradient was multiplied with"),
    (read_both(lambda drop, promise: (-drop, -promise)), "The sign is wrong"),
    (read_both(lambda drop, promise: (-drop, promise)), "The sign is wrong"),
    (promising(lambda w, i, r: (w * (r - i)).sum()), "The sign is wrong"),
    (read_both(lambda drop, promise: (promise, drop)), "The order is wrong"),
    (read_both(lambda drop, promise: (drop, drop)), "One number came twice"),
    (replacing(lambda image, replacement, box: replacement), "The whole image"),
    (promise_of_all, "The whole image"),
    (
        replacing(lambda i, r, box: torch.where(box_of(i, box), i, r)),
        "The box was kept, and all around it",
    ),
    (of_box(lambda x0, y0, x1, y1: (y0, x0, y1, x1)), "Rows and columns are swapped"),
    (of_box(lambda x0, y0, x1, y1: (x0, y0, x1 + 1, y1 + 1)), "The box is too large"),
    (of_box(lambda x0, y0, w, h: (x0, y0, x0 + w, y0 + h)), "as its width and height"),
    (replacing(lambda i, r, box: i * ~box_of(i, box)), "filled with one value"),
    (replacing(one_channel), "One channel alone"),
    (promising(lambda w, i, r: (w * i).sum()), "the image or the replacement"),
    (promising(lambda w, i, r: -(w * r).sum()), "the image or the replacement"),
    (promising(lambda w, i, r: (w.abs() * (i - r)).sum()), "Magnitudes were taken"),
    (promising(lambda w, i, r: (w.abs() * (i - r).abs()).sum()), "Magnitudes were taken"),
    (read_both(lambda drop, promise: (drop.abs(), promise.abs())), "Magnitudes were taken"),
    (read_both(lambda drop, promise: (drop, promise.abs())), "Magnitudes were taken"),
    (promise_at_the_covered, "at the covered image"),
    (promising(lambda w, i, r: (w * (i - r)).mean()), "The mean was taken"),
    (promising(lambda w, i, r: (w * (i - r)).sum(0).mean()), "The mean was taken"),
    (scores, "These are scores"),
    (score_and_promise, "These are scores"),
    (shares_of_the_score, "divided by the score"),
    (in_place, "argument `image` in place"),
    (lambda *given: both(*given)[0], "Expected two numbers"),
    (
        lambda *given: (both(*given)[0], given[2] - given[3]),
        "got one number and a tensor of (3, 6, 6)",
    ),
]
WRONG = {
    checks.check_class_activation_map: MAPS,
    checks.check_grad_cam: GRAD_CAMS,
    checks.check_integrated_gradients: SHARES,
    checks.check_drop_and_prediction: DROPS,
}
(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_the_package_gives_what_is_asked_for_here():
    size, c = (6, 6), 2
    image, other = (drawn_image(3, *size, seed=seed) for seed in (1, 2))
    score_of, gradient_at = checks._score_and_gradient(size, c=c, seed=3)
    network = relu_network(size, classes=4, seed=3)

    shares = integrated_gradients(network, image[None], c, baseline=other, steps=7)[0]
    assert torch.allclose(integrated(gradient_at, image, other, 7), shares)

    drops = occlusion(network, image[None], c, replacement=other, patch=3, stride=3)[0]
    for x, y in ((0, 0), (3, 0), (0, 3), (3, 3)):
        drop, _ = both(score_of, gradient_at, image, other, (x, y, x + 3, y + 3))
        assert torch.allclose(drop, drops[y, x])


def test_a_small_change_keeps_the_promise():
    image, other = (drawn_image(3, 5, 5, seed=seed) for seed in (4, 5))
    functions = checks._score_and_gradient((5, 5), c=0, seed=6)
    drop, promise = both(*functions, image, torch.lerp(image, other, 1e-6), (1, 1, 4, 4))
    assert torch.allclose(drop, promise, rtol=1e-6, atol=0)
    drop, promise = both(*functions, image, other, (1, 1, 4, 4))
    assert not torch.allclose(drop, promise, rtol=1e-2, atol=0)


def test_each_of_the_two_drops_earns_its_point():
    task = next(task for task in TASKS["later_methods"] if task.answer == "drop_and_prediction")
    wrong = {
        2: both,
        1: promising(lambda w, i, r: (w * i).sum()),
        0: read_both(lambda drop, promise: (promise, drop)),
    }
    assert {task.grade(answer).points: answer for answer in wrong.values()} == wrong
    assert task.grade(read_both(lambda drop, promise: (2 * drop, promise))).points == 1


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_there_where_they_are_switched_off(context):
    def answer(*given):
        with context():
            return integrated(*given)

    assert checks.check_integrated_gradients(answer).passed


def test_an_answer_may_map_over_the_points():
    def answer(gradient_at, image, baseline, steps):
        shares = (torch.arange(steps) + 0.5) / steps
        points = torch.lerp(baseline, image, shares[:, None, None, None])
        return torch.vmap(gradient_at)(points).mean(0) * (image - baseline)

    assert checks.check_integrated_gradients(answer).passed
