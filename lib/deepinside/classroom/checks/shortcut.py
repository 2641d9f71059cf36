"""Checks of *Find the shortcut*: accuracy by class, mean maps, patches and what they flip.

Networks are tiny and linear or of one hidden layer; nothing here uses
`deepinside.classroom.shortcut`.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.classroom.answers import Answer, Compared, Comparisons, Example, task
from deepinside.classroom.small_networks import (
    class_gradient,
    drawn,
    drawn_image,
    linear_network,
    relu_network,
)


def _network(classes: int, size: tuple[int, int], seed: int) -> nn.Sequential:
    """Return a linear network whose score of images around gray is 0 on average."""
    weight = drawn(classes, 3, *size, seed=seed)
    return linear_network(weight, -weight.flatten(1).sum(1) / 2)


def _read_as(network: nn.Module, images: Tensor) -> Tensor:
    return network(images).detach().argmax(1)


def _accuracies_example() -> Example:
    network = linear_network(torch.eye(2).reshape(2, 1, 1, 2), torch.zeros(2))
    images = torch.tensor([[1.0, 0], [0, 1], [0, 1]]).reshape(3, 1, 1, 2)
    shown = (
        "three images of two pixels, and the brighter pixel is the class that is read: 0, 1, 1. "
        "The labels are 0, 0, 1. Of the two images of class 0 one is read as 0, and the image of "
        "class 1 is read as 1."
    )
    return Example((network, images, torch.tensor([0, 0, 1])), shown, torch.tensor([0.5, 1.0]))


@task(
    "shortcut-accuracies",
    points=1,
    minutes=10,
    example=_accuracies_example,
    praise="Of the images of each class, the share that is read as this class.",
)
def check_class_accuracies(answer: Answer) -> Comparisons:
    """Check ``class_accuracies(network, images, labels)``.

    It should return, for each class, the share (classes,) of its images (N, 3, H, W) whose
    highest score is that of the class.
    """
    for classes, size, seed in ((4, (3, 5), 1), (5, (4, 2), 2)):
        network = _network(classes, size, seed)
        images = drawn_image(12 * classes, 3, *size, seed=seed + 10)
        read = _read_as(network, images)
        # a third of the images, and more of the first class, bear another label
        wrong = (torch.arange(len(read)) % 3 == 0) | ((read == 0) & (torch.arange(len(read)) < 20))
        labels = torch.where(wrong, (read + 1) % classes, read)
        hits = torch.zeros(classes).scatter_add(0, labels, (read == labels).float())
        counts = labels.bincount(minlength=classes)
        share = (read == labels).double().mean()
        right = (hits / counts).double()
        scores = network(images).detach()
        probability = scores.softmax(1).gather(1, labels[:, None])[:, 0]
        mean_probability = torch.stack([probability[labels == k].mean() for k in range(classes)])
        mistakes = {
            "This is the accuracy over all images. The task wants one for each class, over the "
            "images of that class alone.": [share, share.expand(classes)],
            "These are counts. Divide by the number of images of the class.": hits,
            "It is divided by the number of all images. Divide by the number of images of the "
            "class.": hits / len(labels),
            "It is divided by how often the class is *read*. The task wants the share of the "
            "class's own images, `labels == c`.": hits / read.bincount(minlength=classes),
            "These are the shares read wrongly: 1 minus what is wanted.": 1 - right,
            "This is in percent: the task wants shares, from 0 to 1.": 100 * right,
            "This is how often each class is read, right or wrong: compare with `labels`.": [
                read.bincount(minlength=classes) / len(read),
                read.bincount(minlength=classes),
                read.bincount(minlength=classes) / counts,
            ],
            "It is divided by the same number for each class. Divide by how many images the class "
            "has, `(labels == c).sum()`.": [hits / 100, hits * classes / len(labels)],
            "This counts the *lowest* score: a class is read where its score is highest, "
            "`argmax`.": _accuracies(scores.argmin(1), labels, classes),
            "This is a probability, averaged. Count the images whose highest score is that of "
            "their class.": mean_probability,
        }
        yield Compared("the accuracies", answer(network, images, labels), right, mistakes)


def _accuracies(read: Tensor, labels: Tensor, classes: int) -> Tensor:
    return torch.stack([(read[labels == k] == k).double().mean() for k in range(classes)])


def _map_example() -> Example:
    weight = torch.tensor([[[[1.0, -3]]], [[[0.0, 0]]]])
    network = nn.Sequential(nn.ReLU(), *linear_network(weight, torch.zeros(2)).float())
    images = torch.tensor([[1.0, 1], [-1, 1]]).reshape(2, 1, 1, 2)
    shown = (
        "two images of two pixels; class 0 has the score ReLU(a) - 3 ReLU(b). At the image (1, 1) "
        "the gradient is (1, -3); at (-1, 1), where the first ReLU is off, it is (0, -3). The "
        "magnitudes are (1, 3) and (0, 3), and each pixel of the map is the mean of two."
    )
    return Example((network, images, 0), shown, torch.tensor([[0.5, 3.0]]))


@task(
    "shortcut-mean-map",
    points=2,
    minutes=15,
    example=_map_example,
    praise="How strongly the score reacts at each pixel, on average over the images.",
)
def check_mean_map(answer: Answer) -> Comparisons:
    """Check ``mean_map(network, images, class_index)``.

    It should return the mean over images (N, C, H, W) of one class's saliency maps, (H, W).
    """
    for size, count, seed in (((4, 6), 3, 1), ((5, 3), 4, 2)):
        network = relu_network(size, classes=5, seed=seed)
        images = 2 * drawn(count, 3, *size, seed=seed + 20)
        c = int(network(images).detach().mean(0).argsort()[-2])
        w = class_gradient(network, images, c)
        softmax, log_softmax = (
            class_gradient(network, images, c, goal) for goal in (torch.softmax, torch.log_softmax)
        )
        top, of_all = (
            class_gradient(network, images, 0, goal)
            for goal in (lambda s, _: s.amax(1, keepdim=True), lambda s, _: s.sum(1, keepdim=True))
        )

        def of(w: Tensor) -> Tensor:
            return w.abs().amax(1).mean(0)

        right, maps = of(w), w.abs().amax(1)
        left = torch.arange(count, 0, -1)[:, None, None] / count
        mistakes = {
            "The gradients are averaged first, so that signs cancel. Take the magnitudes of each "
            "image's gradient first, then the mean over the images.": [
                w.mean(0).abs().amax(0),
                w.amax(1).mean(0).abs(),
            ],
            "The signs are kept: take magnitudes, `.abs()`, before the largest of the channels.": [
                w.amax(1).mean(0),
                w.mean((0, 1)),
                w.mean(0).amax(0),
                w.sum((0, 1)),
            ],
            "The mean over the images was taken before the largest of the channels: first the "
            "map of each image, then the mean of the maps.": w.abs().mean(0).amax(0),
            "The magnitude was taken after the largest of the channels, which leaves out strong "
            "negative values: `.abs()` comes first.": w.amax(1).abs().mean(0),
            "The axes are exchanged: the largest magnitude is that of the channels, axis 1, the "
            "mean that over the images, axis 0.": w.abs().amax(0).mean(0),
            "Each map was divided by its own maximum: take the mean of the maps as they are.": (
                maps / maps.amax((1, 2), keepdim=True)
            ).mean(0),
            "Gradients pile up: each `.backward()` adds to `.grad`, so that the first images "
            "count several times. Take a fresh gradient in each round.": (left * maps).sum(0),
            "This is the map of the mean image: take the mean of the images' maps.": class_gradient(
                network, images.mean(0, keepdim=True), c
            )[0]
            .abs()
            .amax(0),
            "This is the sum over the images: the task wants the mean.": count * right,
            "This is the largest map value over the images: the task wants the mean over "
            "them.": w.abs().amax((0, 1)),
            "The channels are averaged or added up: take the largest magnitude of the channels, "
            "then the mean over the images.": [
                w.abs().mean((0, 1)),
                w.abs().sum(1).mean(0),
                w.abs().sum((0, 1)),
                w.square().sum(1).sqrt().mean(0),
            ],
            "The channels are still there: take the largest magnitude over them.": w.abs().mean(0),
            "These are the maps of the single images: take their mean.": w.abs().amax(1),
            "The map is one image's alone: take the mean over all of them.": [
                one.abs().amax(0) for one in w
            ],
            "Soft-max was taken, so this is the gradient of the probability. The task asks for the "
            "class score, as the network returns it.": [of(softmax), of(log_softmax)],
            "This belongs to each image's class of the highest score: take the class that was "
            "asked for.": of(top),
            "All scores were added up: take that of the class `class_index` alone.": of(of_all),
            "The gradient is multiplied with the image: the task wants the gradient's magnitude "
            "alone.": [of(w * images), (w * images).abs().sum(1).mean(0)],
            "The score was averaged before the gradient was taken, which divides it by the number "
            "of images, and so was the map. Take the gradient of the sum.": right / count,
        }
        value = answer(network, images, c)
        yield Compared("the mean map", value, right, mistakes)
        answer.repeat(right)


def _patch_example() -> Example:
    values = torch.tensor([[9.0, 0, 0, 0], [0, 0, 4, 4], [0, 0, 4, 4]])
    shown = (
        "a map of 3 rows and 4 columns, side 2. The 9 at the top left has zeros around it: the "
        "mean of its patch is 9 / 4. The patch of the four 4 at the bottom right has the mean 4. "
        "It begins at row 1 and column 2."
    )
    return Example((values, 2), shown, (1, 2))


@task(
    "shortcut-brightest-patch",
    points=1,
    minutes=10,
    example=_patch_example,
    praise="A patch can be brighter than the one around the brightest pixel.",
)
def check_brightest_patch(answer: Answer) -> Comparisons:
    """Check ``brightest_patch(values, side)``.

    It should return row and column of the top left corner of the patch of side x side pixels
    that has the highest mean in a map (H, W).
    """
    for values, side in _patched_maps():
        right = _place(_means(values, side))
        half = side // 2
        padded = F.avg_pool2d(values[None], side, 1, half, count_include_pad=False)[0]
        row, column = right
        index = row * (values.shape[1] - side + 1) + column
        above = right if _means(values, side).max() > 0 else (0, 0)
        mistakes = {
            "The highest mean so far begins at 0, so a map below 0 has no patch: begin with "
            "`-math.inf`.": above,
            "This is always the first place: does the loop return in its first round?": (0, 0),
            "Patches that reach over the edge took part: the last begin at row H - side and "
            "column W - side.": [_place(some) for some in _over_the_edge(values, side)],
            "This is the brightest pixel. The task wants the patch whose mean is highest, which "
            "need not hold this pixel.": _place(values),
            "Column and row are swapped: the row comes first.": (column, row),
            "This is the middle of the patch: the task wants its top left corner.": [
                (row + half, column + half),
                _place(padded),
            ],
            "`argmax` numbers the places row by row, and there are W - side + 1 of them in a row: "
            "divide by this, not by the width of the map.": [
                divmod(index, values.shape[1]),
                divmod(index, values.shape[0]),
            ],
            "This is the darkest patch.": _place(-_means(values, side)),
            "A patch may begin at every pixel: move it by 1, not by its side.": tuple(
                side * i for i in _place(F.avg_pool2d(values[None], side)[0])
            ),
            "The signs are lost: negative values are low here.": _place(_means(values.abs(), side)),
            "This is the patch with the highest pixel: take the mean over the patch.": _place(
                F.max_pool2d(values[None], side, 1)[0]
            ),
            "This is the bottom right corner: the task wants the top left one.": [
                (row + side - 1, column + side - 1),
                (row + side, column + side),
            ],
            "The last row or column of patches is left out: a patch may reach the edge, so "
            "there are H - side + 1 rows of them.": [
                _place(_means(values, side)[:-1, :-1]),
                _place(_means(values, side)[:-1]),
                _place(_means(values, side)[:, :-1]),
            ],
        }
        yield Compared("row and column of the patch", answer(values, side), right, mistakes)


def _patched_maps() -> list[tuple[Tensor, int]]:
    """Return maps and sides: a bright patch apart from the brightest pixel, at edges, too."""
    made = []
    for size, side, place, pixel, seed in (
        ((7, 9), 3, (1, 5), (5, 1), 1),
        ((9, 6), 2, (5, 3), (1, 1), 2),
        ((6, 8), 3, (3, 5), (1, 2), 3),
        ((8, 5), 2, (6, 1), (2, 3), 4),
    ):
        values = 0.3 * drawn(*size, seed=30 + seed)
        row, column = place
        values[row : row + side, column : column + side] += 2
        values[pixel] = 4
        # large without its sign: dark in two of the maps, dark and bright in the other two
        rows = slice(-2, None) if row < 3 else slice(0, 2)
        if seed % 2:
            values[rows, 2:5] -= 5
        else:
            values[rows, 2:5] += torch.tensor([[3.5, -3.5, 3.5], [-3.5, 3.5, -3.5]])
        # one of them is negative throughout
        below = 10 if seed == 3 else 1
        made.append(((values - below).float().double(), side))
    return made


def _over_the_edge(values: Tensor, side: int) -> list[Tensor]:
    """Return means of patches from every pixel, of what lies inside or with zeros outside."""
    padded = F.pad(values, (0, side - 1, 0, side - 1))
    inside = F.pad(torch.ones_like(values), (0, side - 1, 0, side - 1))
    return [_means(padded, side) / _means(inside, side), _means(padded, side)]


def _means(values: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(values[None], side, stride=1)[0]


def _place(values: Tensor) -> tuple[int, int]:
    return divmod(int(values.argmax()), values.shape[1])


def _pasted_example() -> Example:
    images = torch.zeros(1, 1, 3, 4)
    right = images.clone()
    right[0, 0, 1:3, 1:3] = 1
    shown = (
        "one black image of 3 rows and 4 columns; a patch of side 2 and value 1 at row 1, column 1."
    )
    return Example((images, 1, 1, 2, 1.0), shown, right)


@task(
    "shortcut-patch",
    points=1,
    minutes=10,
    example=_pasted_example,
    praise="The images that were given are as before.",
)
def check_with_patch(answer: Answer) -> Comparisons:
    """Check ``with_patch(images, row, column, side, value)``.

    It should return copies of images (N, C, H, W) with a square of one value in each.
    """
    for size, (row, column), side, value in (
        ((6, 7), (1, 0), 3, 1.0),
        ((5, 8), (3, 5), 2, 0.25),
        # images that were normalized have such values
        ((7, 6), (4, 3), 3, -1.5),
    ):
        images = drawn_image(3, 3, *size, seed=40 + side + row)
        pasted = partial(_pasted, images)
        rows, columns = slice(row, row + side), slice(column, column + side)
        right = pasted(rows, columns, value)
        inside = pasted(rows, columns, 2.0) == 2
        first, one, half = images.clone(), images.clone(), side // 2
        first[:, 0, rows, columns] = value
        one[0, :, rows, columns] = value
        top, left = max(row - half, 0), max(column - half, 0)
        first_axes = images.clone()
        first_axes[rows, columns] = value
        mistakes = {
            "Rows and columns are swapped: in `images[:, :, i, j]` the row comes first.": pasted(
                columns, rows, value
            ),
            "Only one channel is changed: all of them take the value.": first,
            "Only the first image is changed: the patch goes into all of them.": one,
            "The patch is one pixel too large: a slice ends before its end, so `row : row + side` "
            "holds `side` rows.": pasted(
                slice(row, row + side + 1), slice(column, column + side + 1), value
            ),
            "The patch is one pixel too small: a slice ends before its end, so `row : row + side` "
            "holds `side` rows.": pasted(
                slice(row, row + side - 1), slice(column, column + side - 1), value
            ),
            "Row and column are taken as the middle of the patch: they are its top left corner.": [
                pasted(
                    slice(top, row + half + side % 2), slice(left, column + half + side % 2), value
                ),
                pasted(slice(top, top + side), slice(left, left + side), value),
            ],
            "`side` was taken as the end of a slice: `row : row + side` holds `side` rows.": pasted(
                slice(row, side), slice(column, side), value
            ),
            "The first two axes were indexed, images and channels: rows and columns are the last "
            "two, `[:, :, rows, columns]`.": first_axes,
            "Only one pixel is changed: the patch has `side` rows and columns.": pasted(
                slice(row, row + 1), slice(column, column + 1), value
            ),
            "The value was cut off at 0 and 1: set the pixels to `value` as it is.": pasted(
                rows, columns, min(max(value, 0.0), 1.0)
            ),
            "The patch is as before, and all around it is changed.": torch.where(
                inside, images, value
            ),
            "The value is added to the image or multiplied with it: set the pixels to it.": [
                torch.where(inside, images + value, images),
                torch.where(inside, images + value, images).clamp(0, 1),
                torch.where(inside, images * value, images),
            ],
            "The patch is white or black whatever `value` is: set the pixels to `value`.": [
                pasted(rows, columns, 1.0),
                pasted(rows, columns, 0.0),
            ],
            "The rest of the image is gone: only the pixels of the patch change.": inside * value,
            "Pixels brighter than the value stay as they were: all pixels of the patch take "
            "it.": torch.where(inside, images.clamp(min=value), images),
            "Whole rows, or whole columns, are changed: use both slices at once, "
            "`[:, :, rows, columns]`.": [
                pasted(rows, slice(None), value),
                pasted(slice(None), columns, value),
                pasted(rows, slice(None), value) + pasted(slice(None), columns, value) - images,
            ],
            "Nothing is changed.": images,
        }
        value_of = answer(images, row, column, side, value)
        yield Compared("the images with the patch", value_of, right, mistakes)


def _pasted(images: Tensor, rows: slice, columns: slice, value: float = 1.0) -> Tensor:
    made = images.clone()
    made[:, :, rows, columns] = value
    return made


def _flips_example() -> Example:
    network = linear_network(torch.eye(2).reshape(2, 1, 1, 2), torch.zeros(2))
    images = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]]).reshape(4, 1, 1, 2)
    changed = torch.tensor([[0.0, 1], [1, 0], [1, 0], [0, 1]]).reshape(4, 1, 1, 2)
    shown = (
        "four images of two pixels, and the brighter pixel is the class that is read: 0, 0, 0, 1 "
        "before the change and 1, 0, 0, 1 after it. For class 1 the last image does not count, as "
        "it was read as 1 before. Of the other three, one is read as 1 now."
    )
    return Example((network, images, changed, 1), shown, 1 / 3)


@task(
    "shortcut-flips",
    points=2,
    minutes=10,
    example=_flips_example,
    praise="Only images that were read as something else can flip to the class.",
)
def check_flip_share(answer: Answer) -> Comparisons:
    """Check ``flip_share(network, images, changed, class_index)``.

    It should return, of the images (N, C, H, W) that are not read as a class, the share that
    is read as this class once they are changed.
    """
    for network, images, changed, c in _changed_images():
        before, after = (_read_as(network, some) == c for some in (images, changed))
        moved = _read_as(network, images) != _read_as(network, changed)
        flipped = (after & ~before).double()
        right = flipped.sum().item() / (~before).sum().item()
        was, now = (network(some).detach().argmax(0) == c for some in (images, changed))
        probability = [network(some).detach().softmax(1)[:, c] for some in (images, changed)]
        mistakes = {
            "It is divided by the number of all images. Images that were read as the class before "
            "cannot flip to it: leave them out of both numbers.": flipped.mean(),
            "Images that were read as the class before count as well. Leave them out: "
            "they cannot flip to it.": [
                after.double().mean(),
                after.sum() / (~before).sum(),
            ],
            "This counts every prediction that changes, whatever it changes to. The task wants "
            "those that are read as `class_index` afterwards.": [
                moved.double().mean(),
                moved[~before].double().mean(),
            ],
            "This counts images that *leave* the class: the task wants those that come to it.": [
                (before & ~after).double().mean(),
                (before & ~after).sum() / before.sum(),
            ],
            "This is a number of images: divide it by how many were not read as the class "
            "before.": flipped.sum(),
            "Those that come to the class and those that leave it are set off against each other: "
            "count the images that come.": [
                after.double().mean() - before.double().mean(),
                (after.sum() - before.sum()) / (~before).sum(),
            ],
            "It is divided by the number of predictions that change. Divide by how many images "
            "were not read as the class before.": [
                flipped.sum() / moved.sum(),
                flipped.sum() / moved[~before].sum(),
            ],
            "It is divided by the number of images that are read as the class afterwards. Divide "
            "by how many were not read as it before.": flipped.sum() / after.sum(),
            "It is divided by the number of images that were read as the class before. Divide "
            "by how many were not.": flipped.sum() / before.sum(),
            "This is the share that does not flip: 1 minus what is wanted.": 1 - right,
            "`images` and `changed` are swapped.": (before & ~after).sum() / (~after).sum(),
            "This is in percent: the task wants a share, from 0 to 1.": 100 * right,
            "This is one value for each image: the task wants a share, one number.": [
                flipped,
                flipped[~before],
            ],
            "`argmax` was taken over the images, axis 0: the class that is read is the `argmax(1)` "
            "of scores (N, classes).": [now[~was].double().mean(), (now & ~was).sum() / len(now)],
            "This is a difference of probabilities. Count the images that are read as the class, "
            "by the highest score.": [
                (probability[1] - probability[0]).mean(),
                (probability[1] - probability[0])[~before].mean(),
            ],
        }
        value = answer(network, images, changed, c)
        yield Compared("the share of flips", value, right, mistakes)


def _changed_images() -> list[tuple[nn.Sequential, Tensor, Tensor, int]]:
    cases = []
    for classes, size, c, seed in ((3, (3, 4), 2, 5), (4, (2, 5), 1, 6)):
        network, images = _network(classes, size, seed), drawn_image(47, 3, *size, seed=50 + seed)
        noise = drawn_image(47, 3, *size, seed=60 + seed)
        changed = (0.4 * images + 0.6 * noise).float().double()
        # image c has the highest score of a class only once it is changed, so that `argmax` over
        # the images finds it
        order = torch.arange(len(images))
        old, new = (network(some).detach().argmax(0) for some in (images, changed))
        best = int(new[old != new][0])
        order[[c, best]] = order[[best, c]]
        images, changed = images[order], changed[order]
        cases.append((network, images, changed, c))
    return cases


def _flip_map_example() -> Example:
    weight = torch.tensor([[[[0.0, 0, 0]]], [[[2.0, 1, 0]]]])
    network = linear_network(weight, torch.tensor([0.0, -1.5]))
    shown = (
        "two black images of three pixels (a, b, c), side 1; class 1 has the score "
        "2 a + b - 1.5, class 0 has 0. A white first pixel gives 0.5 and flips both, a white "
        "second one gives -0.5 and flips none, and nor does the third."
    )
    return Example((network, torch.zeros(2, 1, 1, 3), 1, 1), shown, torch.tensor([[1.0, 0, 0]]))


@task(
    "shortcut-flip-map",
    points=2,
    minutes=15,
    optional=True,
    example=_flip_map_example,
    praise="A map of what a patch does, and no longer of what a gradient promises.",
)
def check_flip_map(answer: Answer) -> Comparisons:
    """Check ``flip_map(network, images, class_index, side)``.

    It should return, for each place of a white patch, the share of images (N, C, H, W) that
    it flips to a class, (H - side + 1, W - side + 1).
    """
    for size, side, c, seed in (((5, 5), 2, 2, 7), ((4, 6), 3, 1, 8), ((6, 4), 2, 0, 9)):
        network, images = _network(4, size, seed), drawn_image(25, 3, *size, seed=70 + seed)
        value = answer(network, images, c, side)
        right, mistakes = _flips_at_places(network, images, c, side)
        yield Compared("the map of flips", value, right, mistakes)


def _flips_at_places(
    network: nn.Module, images: Tensor, c: int, side: int
) -> tuple[Tensor, dict[str, object]]:
    """Return the map of flips, and what the usual mistakes make of it."""
    height, width = (length - side + 1 for length in images.shape[2:])
    was = _read_as(network, images)

    def white(i: int, j: int, value: float = 1.0) -> Tensor:
        return _pasted(images, slice(i, i + side), slice(j, j + side), value)

    def staying(i: int, j: int) -> Tensor:
        made = images
        for k in range(i * width + j + 1):
            y, x = divmod(k, width)
            made = _pasted(made, slice(y, y + side), slice(x, x + side))
        return made

    def flips(now: Tensor) -> Tensor:
        return (now[was != c] == c).double().mean()

    def shares(
        patched: Callable[[int, int], Tensor] = white,
        share: Callable[[Tensor], Tensor] = flips,
        rows: int = height,
        columns: int = width,
    ) -> Tensor:
        found = [
            share(_read_as(network, patched(i, j))) for i in range(rows) for j in range(columns)
        ]
        return torch.stack(found).reshape(rows, columns)

    right, others = shares(), (was != c).double()
    less, first, steps = (torch.zeros_like(right) for _ in range(3))
    less[:-1, :-1], first[0, 0] = right[:-1, :-1], right[0, 0]
    steps[::side, ::side] = right[::side, ::side]
    mistakes = {
        "The patches of earlier places are still there: begin with the images themselves at "
        "each place.": shares(staying),
        "The patch is black: the task wants a white one, of value 1.": shares(
            lambda i, j: white(i, j, 0.0)
        ),
        "A patch that reaches over the edge does not count: there are H - side + 1 rows "
        "of places and W - side + 1 columns.": shares(
            rows=images.shape[2], columns=images.shape[3]
        ),
        "The last row and column of places are left out: there are H - side + 1 rows of "
        "places and W - side + 1 columns.": [right[:-1, :-1], less],
        "Rows and columns are swapped.": [right.T, shares(lambda i, j: white(j, i))],
        "This is the place of the highest share. The task wants the shares at all places, as a "
        "tensor.": torch.tensor(_place(right)),
        "One place alone has a share: does the loop return in its first round?": first,
        "`images` and the changed ones are swapped: an image can flip only if it is not read as "
        "the class *before* the change.": shares(
            share=lambda now: (was[now != c] == c).double().mean()
        ),
        "This counts images that *leave* the class: the task wants those that come to it.": shares(
            share=lambda now: (now[was == c] != c).double().mean()
        ),
        "Images that were read as the class before count as well. Leave them out, as in "
        "`flip_share`.": [
            shares(share=lambda now: (now == c).double().mean()),
            right * others.mean(),
        ],
        "This counts every prediction that changes, whatever it changes to: the task wants "
        "those that are read as `class_index` afterwards.": shares(
            share=lambda now: (now != was).double().mean()
        ),
        "These are numbers of images: the task wants shares.": right * others.sum(),
        "The patch moves by its side: it has to be at every pixel.": [
            right[::side, ::side],
            steps,
        ],
    }
    return right, mistakes
