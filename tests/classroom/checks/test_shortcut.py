"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

import numpy as np
import torch
from tables import usual_tests
from torch.func import grad, vmap
from torch.nn import functional as F

from deepinside import saliency
from deepinside.classroom.checks import shortcut as checks


def read_as(network, images):
    with torch.no_grad():
        return network(images).argmax(1)


# ---- accuracies


def accuracies(network, images, labels):
    read = read_as(network, images)
    classes = network(images).shape[1]
    return torch.stack([(read[labels == c] == c).float().mean() for c in range(classes)])


def accuracies_by_counts(network, images, labels):
    hit = read_as(network, images) == labels
    return labels[hit].bincount(minlength=int(labels.max()) + 1) / labels.bincount()


def accuracies_in_a_loop(network, images, labels):
    hits, counts = {}, {}
    for image, label in zip(images, labels.tolist(), strict=True):
        counts[label] = counts.get(label, 0) + 1
        hits[label] = hits.get(label, 0) + int(network(image[None])[0].argmax() == label)
    return torch.tensor([hits[c] / counts[c] for c in sorted(counts)])


def accuracies_by_one_hot(network, images, labels):
    own = F.one_hot(labels).double()
    hit = (read_as(network, images) == labels).double()
    return (hit @ own) / own.sum(0)


def accuracies_by_confusion(network, images, labels):
    n = network(images).shape[1]
    pairs = (labels * n + read_as(network, images)).bincount(minlength=n * n).reshape(n, n)
    return pairs.diag() / pairs.sum(1)


def overall(network, images, labels):
    return (read_as(network, images) == labels).float().mean().expand(labels.max() + 1)


def counts(network, images, labels):
    return accuracies(network, images, labels) * labels.bincount()


def of_all_images(network, images, labels):
    return counts(network, images, labels) / len(images)


def precision(network, images, labels):
    read = read_as(network, images)
    return torch.stack([(labels[read == c] == c).float().mean() for c in range(labels.max() + 1)])


def errors(network, images, labels):
    return 1 - accuracies(network, images, labels)


def percent(network, images, labels):
    return 100 * accuracies(network, images, labels)


def how_often_read(network, images, labels):
    return read_as(network, images).bincount() / len(images)


def mean_probability(network, images, labels):
    own = network(images).softmax(1)[range(len(labels)), labels]
    return torch.stack([own[labels == c].mean() for c in range(labels.max() + 1)])


def lowest_score(network, images, labels):
    return accuracies(lambda some: -network(some), images, labels)


# ---- the mean map


def map_of(network, images, class_index):
    variable = images.clone().requires_grad_()
    return torch.autograd.grad(network(variable)[:, class_index].sum(), variable)[0]


def mean_map(network, images, class_index):
    return map_of(network, images, class_index).abs().amax(1).mean(0)


def mean_map_of_package(network, images, class_index):
    return saliency.saliency_map(network, images, class_index).mean(0)


def mean_map_in_a_loop(network, images, class_index):
    total = 0
    for image in images:
        one = image.detach().clone().requires_grad_()
        network(one[None])[0, class_index].backward()
        total = total + one.grad.abs().max(0).values
    return total / len(images)


def mean_map_by_vmap(network, images, class_index):
    gradient = vmap(grad(lambda image: network(image[None])[0, class_index]))(images)
    return gradient.abs().amax(1).mean(0)


def mean_map_of_the_mean_score(network, images, class_index):
    variable = images.clone().requires_grad_()
    network(variable)[:, class_index].mean().backward()
    return variable.grad.abs().amax(1).sum(0)


def mean_map_by_double(network, images, class_index):
    return mean_map(network, images, class_index).double()


def reduced(reduce):
    """The answer that reduces the gradients (N, C, H, W) otherwise."""

    def answer(network, images, class_index):
        return reduce(map_of(network, images, class_index))

    return answer


def of_goal(goal):
    def answer(network, images, class_index):
        variable = images.clone().requires_grad_()
        total = goal(network(variable), class_index).sum()
        return torch.autograd.grad(total, variable)[0].abs().amax(1).mean(0)

    return answer


def times_image(network, images, class_index):
    return (map_of(network, images, class_index) * images).abs().amax(1).mean(0)


def gradients_pile_up(network, images, class_index):
    images.requires_grad_()
    network(images)[:, class_index].sum().backward()
    return images.grad.abs().amax(1).mean(0)


def gradients_pile_up_in_a_loop(network, images, class_index):
    variable, total = images.clone().requires_grad_(), 0
    for n in range(len(images)):
        network(variable)[n, class_index].backward()
        total = total + variable.grad.abs().amax(1).sum(0)
    return total / len(images)


def map_of_the_mean_image(network, images, class_index):
    return mean_map(network, images.mean(0, keepdim=True), class_index)


# ---- the brightest patch


def brightest_patch(values, side):
    means = F.avg_pool2d(values[None, None], side, stride=1)[0, 0]
    return divmod(int(means.argmax()), means.shape[1])


def brightest_by_loop(values, side):
    height, width = values.shape
    places = [(i, j) for i in range(height - side + 1) for j in range(width - side + 1)]
    return max(places, key=lambda p: values[p[0] : p[0] + side, p[1] : p[1] + side].mean())


def brightest_by_unfold(values, side):
    sums = values.unfold(0, side, 1).unfold(1, side, 1).sum((2, 3))
    return torch.tensor(np.unravel_index(sums.argmax().item(), sums.shape))


def brightest_by_cumsum(values, side):
    total = F.pad(values, (1, 0, 1, 0)).cumsum(0).cumsum(1)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    i, j = (sums == sums.max()).nonzero()[0]
    return [i.item(), j]


def brightest_by_convolution(values, side):
    kernel = torch.ones(1, 1, side, side).to(values)
    sums = F.conv2d(values[None, None], kernel)[0, 0]
    return np.unravel_index(int(sums.argmax()), sums.shape)


def of_means(pick):
    """The answer that makes something else of the patches' means."""

    def answer(values, side):
        return pick(F.avg_pool2d(values[None, None], side, stride=1)[0, 0], values, side)

    return answer


def brightest(values):
    return divmod(int(values.argmax()), values.shape[1])


def shifted(by):
    def answer(values, side):
        row, column = brightest_patch(values, side)
        return row + by(side), column + by(side)

    return answer


def above_zero(values, side):
    """The highest so far starts at 0, so that a map below 0 has no patch."""
    best, place = 0, (0, 0)
    for i, j in np.ndindex(values.shape[0] - side + 1, values.shape[1] - side + 1):
        mean = values[i : i + side, j : j + side].mean()
        if mean > best:
            best, place = mean, (i, j)
    return place


def over_the_edge(values, side):
    places = [(i, j) for i in range(values.shape[0]) for j in range(values.shape[1])]
    return max(places, key=lambda p: values[p[0] : p[0] + side, p[1] : p[1] + side].mean())


def by_its_side(values, side):
    row, column = brightest(F.avg_pool2d(values[None, None], side)[0, 0])
    return side * row, side * column


# ---- the patch


def with_patch(images, row, column, side, value):
    made = images.clone()
    made[:, :, row : row + side, column : column + side] = value
    return made


def with_patch_by_where(images, row, column, side, value):
    y, x = torch.arange(images.shape[2])[:, None], torch.arange(images.shape[3])
    inside = (y >= row) & (y < row + side) & (x >= column) & (x < column + side)
    return torch.where(inside, torch.tensor(value), images)


def with_patch_in_a_loop(images, row, column, side, value):
    made = []
    for image in images:
        new = image.clone()
        for i in range(side):
            for j in range(side):
                new[:, row + i, column + j] = value
        made.append(new)
    return torch.stack(made)


def with_patch_by_fill(images, row, column, side, value):
    made = images.detach().clone()
    made[..., row : row + side, column : column + side].fill_(value)
    return made


def with_patch_by_mask(images, row, column, side, value):
    mask = torch.zeros_like(images[:1, :1])
    mask[..., row : row + side, column : column + side] = 1
    return images * (1 - mask) + value * mask


def patched(put):
    def answer(images, row, column, side, value):
        made = images.clone()
        put(made, row, column, side, value)
        return made

    return answer


def swapped(made, row, column, side, value):
    made[:, :, column : column + side, row : row + side] = value


def one_channel(made, row, column, side, value):
    made[:, 0, row : row + side, column : column + side] = value


def one_image(made, row, column, side, value):
    made[0, :, row : row + side, column : column + side] = value


def too_large(made, row, column, side, value):
    made[:, :, row : row + side + 1, column : column + side + 1] = value


def too_small(made, row, column, side, value):
    made[:, :, row : row + side - 1, column : column + side - 1] = value


def centered(made, row, column, side, value):
    half, end = side // 2, side // 2 + side % 2
    made[:, :, max(row - half, 0) : row + end, max(column - half, 0) : column + end] = value


def added(made, row, column, side, value):
    made[:, :, row : row + side, column : column + side] += value


def white(made, row, column, side, value):
    made[:, :, row : row + side, column : column + side] = 1


def alone(made, row, column, side, value):
    made.zero_()
    made[:, :, row : row + side, column : column + side] = value


def lightened(made, row, column, side, value):
    made[:, :, row : row + side, column : column + side].clamp_(min=value)


def whole_rows(made, row, column, side, value):
    made[:, :, row : row + side] = value


def nothing(made, row, column, side, value):
    made[:, :, row : row + side][:, :, :, column : column + side].clone().fill_(value)


def centered_of_side(made, row, column, side, value):
    top, left = max(row - side // 2, 0), max(column - side // 2, 0)
    made[:, :, top : top + side, left : left + side] = value


def side_as_end(made, row, column, side, value):
    made[:, :, row:side, column:side] = value


def first_axes(made, row, column, side, value):
    made[row : row + side, column : column + side] = value


def one_pixel(made, row, column, side, value):
    made[:, :, row, column] = value


def cut_off(made, row, column, side, value):
    made[:, :, row : row + side, column : column + side] = min(max(value, 0), 1)


def around(images, row, column, side, value):
    made = torch.full_like(images, value)
    square = slice(row, row + side), slice(column, column + side)
    made[:, :, square[0], square[1]] = images[:, :, square[0], square[1]]
    return made


def in_place(images, row, column, side, value):
    images[:, :, row : row + side, column : column + side] = value
    return images


# ---- flips


def flip_share(network, images, changed, class_index):
    before, after = (read_as(network, some) for some in (images, changed))
    return (after[before != class_index] == class_index).float().mean()


def flips_in_a_loop(network, images, changed, class_index):
    others = flipped = 0
    for image, new in zip(images, changed, strict=True):
        if network(image[None])[0].argmax() != class_index:
            others += 1
            flipped += int(network(new[None])[0].argmax() == class_index)
    return flipped / others


def flips_by_masks(network, images, changed, class_index):
    was, now = (network(some).argmax(1) == class_index for some in (images, changed))
    return (now & ~was).sum() / (~was).sum()


def flips_by_choice(network, images, changed, class_index):
    chosen = changed[network(images).argmax(1) != class_index]
    return (network(chosen).argmax(1) == class_index).double().mean().item()


def flips_by_numpy(network, images, changed, class_index):
    before, after = (read_as(network, some).numpy() for some in (images, changed))
    return np.mean(after[before != class_index] == class_index)


def of_masks(share):
    """The answer that makes another share of before and after, the classes that are read."""

    def answer(network, images, changed, class_index):
        was, now = (read_as(network, some) for some in (images, changed))
        return share(was, now, was == class_index, now == class_index)

    return answer


def of_probabilities(network, images, changed, class_index):
    was, now = (network(some).softmax(1)[:, class_index] for some in (images, changed))
    return (now - was).mean()


def argmax_over_images(network, images, changed, class_index):
    before, after = (network(some).argmax(0) for some in (images, changed))
    return (after[before != class_index] == class_index).float().mean()


def swapped_sets(network, images, changed, class_index):
    return flip_share(network, changed, images, class_index)


# ---- the map of flips


def flip_map(network, images, class_index, side):
    height, width = (length - side + 1 for length in images.shape[2:])
    return torch.stack(
        [
            torch.stack(
                [
                    flip_share(network, images, with_patch(images, i, j, side, 1.0), class_index)
                    for j in range(width)
                ]
            )
            for i in range(height)
        ]
    )


def flip_map_of_others(network, images, class_index, side):
    """Only images that can flip are changed, and read once."""
    rest = images[read_as(network, images) != class_index]
    found = torch.zeros(images.shape[2] - side + 1, images.shape[3] - side + 1)
    for i, j in np.ndindex(*found.shape):
        patch = with_patch(rest, i, j, side, 1)
        found[i, j] = (read_as(network, patch) == class_index).float().mean()
    return found


def flip_map_in_rows(network, images, class_index, side):
    """All places of a row in one batch."""
    rest = images[read_as(network, images) != class_index]
    rows = []
    for i in range(images.shape[2] - side + 1):
        places = range(images.shape[3] - side + 1)
        batch = torch.cat([with_patch(rest, i, j, side, 1) for j in places])
        flipped = (read_as(network, batch) == class_index).reshape(len(places), -1)
        rows.append(flipped.double().mean(1))
    return torch.stack(rows)


def flip_map_by_numbers(network, images, class_index, side):
    return torch.tensor(flip_map(network, images, class_index, side).tolist())


def flip_map_by_vmap(network, images, class_index, side):
    found = flip_map_of_others(network, images, class_index, side)
    return found.to(images.dtype)


def mapped(share=flip_share, *, value=1.0, over=0, less=0, stays=False):
    """The map with another share, another value, other places, or patches that stay."""

    def answer(network, images, class_index, side):
        height, width = (n - side + 1 - less for n in images.shape[2:])
        if over:
            height, width = images.shape[2:]
        found, kept = torch.zeros(height, width), images.clone()
        for i, j in np.ndindex(height, width):
            kept = with_patch(kept if stays else images, i, j, side, value)
            found[i, j] = share(network, images, kept, class_index)
        return found

    return answer


def only_at(rows_and_columns):
    """The right shares where a loop has been, and zeros elsewhere."""

    def answer(network, images, class_index, side):
        found = flip_map(network, images, class_index, side)
        kept, places = torch.zeros_like(found), rows_and_columns(side)
        kept[places, places] = found[places, places]
        return kept

    return answer


def patches_transposed(network, images, class_index, side):
    found = torch.zeros(images.shape[2] - side + 1, images.shape[3] - side + 1)
    for i, j in np.ndindex(*found.shape):
        changed = with_patch(images, j, i, side, 1.0)
        found[i, j] = flip_share(network, images, changed, class_index)
    return found


def highest_place(network, images, class_index, side):
    return brightest(flip_map(network, images, class_index, side))


def transposed(network, images, class_index, side):
    return flip_map(network, images, class_index, side).T


def by_the_side(network, images, class_index, side):
    return flip_map(network, images, class_index, side)[::side, ::side]


share_of_all = of_masks(lambda was, now, _, after: after.float().mean())
share_left = of_masks(lambda w, n, was, now: (was & ~now).sum() / was.sum())
share_moved = of_masks(lambda was, now, *_: (was != now).float().mean())
number = of_masks(lambda was, now, before, after: (after & ~before).sum())

right = {
    checks.check_class_accuracies: [
        accuracies,
        accuracies_by_counts,
        accuracies_in_a_loop,
        accuracies_by_one_hot,
        accuracies_by_confusion,
    ],
    checks.check_mean_map: [
        mean_map,
        mean_map_of_package,
        mean_map_in_a_loop,
        mean_map_by_vmap,
        mean_map_of_the_mean_score,
        mean_map_by_double,
    ],
    checks.check_brightest_patch: [
        brightest_patch,
        brightest_by_loop,
        brightest_by_unfold,
        brightest_by_cumsum,
        brightest_by_convolution,
    ],
    checks.check_with_patch: [
        with_patch,
        with_patch_by_where,
        with_patch_in_a_loop,
        with_patch_by_fill,
        with_patch_by_mask,
    ],
    checks.check_flip_share: [
        flip_share,
        flips_in_a_loop,
        flips_by_masks,
        flips_by_choice,
        flips_by_numpy,
    ],
    checks.check_flip_map: [
        flip_map,
        flip_map_of_others,
        flip_map_in_rows,
        flip_map_by_numbers,
        flip_map_by_vmap,
    ],
}

wrong = {
    checks.check_class_accuracies: [
        (overall, "the accuracy over all images"),
        (lambda *given: overall(*given)[0], "the accuracy over all images"),
        (counts, "These are counts"),
        (of_all_images, "divided by the number of all images"),
        (precision, "how often the class is *read*"),
        (errors, "the shares read wrongly"),
        (percent, "in percent"),
        (how_often_read, "how often each class is read"),
        (mean_probability, "a probability, averaged"),
        (lambda *given: counts(*given) / 100, "by the same number"),
        (lambda n, i, labels: counts(n, i, labels) / (len(i) / (labels.max() + 1)), "by the same"),
        (lowest_score, "the *lowest* score"),
        (lambda *given: accuracies(*given).tolist(), "as a tensor"),
        (lambda *given: accuracies(*given)[1:], "shape"),
    ],
    checks.check_mean_map: [
        (reduced(lambda w: w.mean(0).abs().amax(0)), "signs cancel"),
        (reduced(lambda w: w.amax(1).mean(0)), "The signs are kept"),
        (reduced(lambda w: w.abs().amax(1).sum(0)), "the sum over the images"),
        (reduced(lambda w: w.abs().amax((0, 1))), "the largest map value"),
        (reduced(lambda w: w.abs().mean((0, 1))), "The channels are averaged"),
        (reduced(lambda w: w.abs().mean(0)), "The channels are still there"),
        (reduced(lambda w: w.abs().amax(1)), "the maps of the single images"),
        (reduced(lambda w: w[0].abs().amax(0)), "one image's alone"),
        (of_goal(lambda s, c: s.softmax(1)[:, c]), "Soft-max was taken"),
        (of_goal(lambda s, c: s.amax(1)), "each image's class of the highest score"),
        (of_goal(lambda s, c: s), "All scores were added up"),
        (of_goal(lambda s, c: s[:, c].mean()), "divides it by the number"),
        (reduced(lambda w: w.abs().mean(0).amax(0)), "before the largest of the channels"),
        (reduced(lambda w: w.amax(1).abs().mean(0)), "after the largest of the channels"),
        (reduced(lambda w: w.abs().amax(0).mean(0)), "The axes are exchanged"),
        (
            reduced(lambda w: (w.abs().amax(1) / w.abs().amax((1, 2, 3))[:, None, None]).mean(0)),
            "divided by its own maximum",
        ),
        (gradients_pile_up_in_a_loop, "Gradients pile up"),
        (map_of_the_mean_image, "the map of the mean image"),
        (times_image, "multiplied with the image"),
        (gradients_pile_up, "`.backward()` *adds*"),
    ],
    checks.check_brightest_patch: [
        (lambda values, side: brightest(values), "the brightest pixel"),
        (lambda values, side: brightest_patch(values, side)[::-1], "swapped"),
        (shifted(lambda side: side // 2), "the middle of the patch"),
        (shifted(lambda side: side - 1), "the bottom right corner"),
        (of_means(lambda m, v, s: divmod(int(m.argmax()), v.shape[1])), "W - side + 1"),
        (of_means(lambda m, v, s: brightest(-m)), "the darkest"),
        (by_its_side, "move it by 1"),
        (above_zero, "begins at 0"),
        (lambda values, side: (0, 0), "in its first round"),
        (over_the_edge, "reach over the edge"),
        (lambda v, side: brightest_patch(F.pad(v, (0, side - 1, 0, side - 1)), side), "the edge"),
        (lambda values, side: brightest_patch(values.abs(), side), "The signs are lost"),
        (
            lambda values, side: brightest(F.max_pool2d(values[None], side, 1)[0]),
            "the highest pixel",
        ),
        (of_means(lambda m, v, s: brightest(m[:-1, :-1])), "left out"),
        (of_means(lambda m, v, s: int(m.argmax())), "2 values"),
        (of_means(lambda m, v, s: m.max()), "2 values"),
    ],
    checks.check_with_patch: [
        (patched(swapped), "Rows and columns are swapped"),
        (patched(one_channel), "Only one channel"),
        (patched(one_image), "Only the first image"),
        (patched(too_large), "too large"),
        (patched(too_small), "too small"),
        (patched(centered), "the middle of the patch"),
        (patched(centered_of_side), "the middle of the patch"),
        (patched(side_as_end), "as the end of a slice"),
        (patched(first_axes), "The first two axes"),
        (patched(one_pixel), "Only one pixel"),
        (patched(cut_off), "cut off at 0 and 1"),
        (around, "all around it"),
        (patched(added), "added to the image"),
        (patched(white), "whatever `value` is"),
        (patched(alone), "The rest of the image is gone"),
        (patched(lightened), "Pixels brighter"),
        (patched(whole_rows), "Whole rows"),
        (patched(nothing), "Nothing is changed"),
        (in_place, "changes its argument `images` in place"),
        (lambda images, *rest: with_patch(images, *rest)[0], "shape"),
    ],
    checks.check_flip_share: [
        (of_masks(lambda w, n, was, now: (now & ~was).float().mean()), "number of all images"),
        (share_of_all, "count as well"),
        (share_moved, "every prediction that changes"),
        (share_left, "*leave* the class"),
        (number, "a number of images"),
        (
            of_masks(lambda w, n, was, now: now.float().mean() - was.float().mean()),
            "set off against each other",
        ),
        (of_masks(lambda w, n, was, now: (now & ~was).sum() / (w != n).sum()), "that change"),
        (of_masks(lambda w, n, was, now: (now & ~was).sum() / now.sum()), "class afterwards"),
        (of_masks(lambda w, n, was, now: (now & ~was).sum() / was.sum()), "how many were not"),
        (lambda *given: 1 - flip_share(*given), "does not flip"),
        (swapped_sets, "`images` and `changed` are swapped"),
        (lambda *given: 100 * flip_share(*given), "in percent"),
        (of_masks(lambda w, n, was, now: (now & ~was).float()), "one value for each image"),
        (of_probabilities, "a difference of probabilities"),
        (argmax_over_images, "over the images, axis 0"),
        (lambda *given: 0 * flip_share(*given), "cut to a whole number"),
    ],
    checks.check_flip_map: [
        (mapped(stays=True), "still there"),
        (mapped(value=0.0), "The patch is black"),
        (mapped(over=1), "reaches over the edge"),
        (mapped(less=1), "left out"),
        (transposed, "Rows and columns are swapped"),
        (mapped(share_of_all), "count as well"),
        (mapped(share_moved), "every prediction that changes"),
        (mapped(number), "numbers of images"),
        (by_the_side, "moves by its side"),
        (only_at(lambda side: slice(None, None, side)), "moves by its side"),
        (only_at(lambda side: slice(-1)), "left out"),
        (only_at(lambda side: slice(1)), "in its first round"),
        (patches_transposed, "Rows and columns are swapped"),
        (highest_place, "the place of the highest share"),
        (
            mapped(lambda n, images, changed, c: flip_share(n, changed, images, c)),
            "are swapped: an image can flip only",
        ),
        (mapped(share_left), "*leave* the class"),
        (lambda *given: flip_map(*given).numpy(), "got a NumPy array"),
        (lambda *given: flip_map(*given).max(), "shape"),
    ],
}

(
    test_right_answers_pass,
    test_usual_mistakes_get_their_hints,
    test_no_hint_is_without_a_wrong_answer,
    test_no_mistake_is_right,
) = usual_tests(checks, right, wrong)
