import re

import numpy as np
import pytest
import torch
from tables import usual_tests
from torch import nn

from deepinside.classroom.checks import saliency as checks

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
    return torch.func.grad(lambda variable: network(variable[None])[0, c])(image)


def by_numpy(network, image, c):
    return torch.from_numpy(by_grad(network, image, c).numpy())


def by_vmap(network, image, c):
    network.eval()
    one = torch.func.grad(lambda variable: network(variable[None])[0, c])
    return torch.func.vmap(one)(image[None])[0]


def by_jacrev(network, image, c):
    network.eval()
    return torch.func.jacrev(lambda variable: network(variable[None]))(image)[0, c]


def by_hook(network, image, c):
    for module in network.modules():
        module.training = False
    kept = []
    variable = image.clone().requires_grad_()
    variable.register_hook(kept.append)
    network(variable.unsqueeze(0)).index_select(1, torch.tensor([c])).sum().backward()
    return kept[0]


def by_seed(network, image, c):
    network.eval()
    batch = image.unsqueeze(0).requires_grad_()
    scores = network(batch)
    seed = torch.zeros_like(scores)
    seed[0, c] = 1
    return torch.autograd.grad(scores, batch, grad_outputs=seed)[0].squeeze(0)


def map_by_places(network, image, c):
    gradient = by_grad(network, image, c)
    height, width = image.shape[1:]
    found = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            found[i, j] = max(abs(value.item()) for value in gradient[:, i, j])
    return found


def map_by_sorting(network, image, c):
    return by_jacrev(network, image, c).abs().sort(dim=0, descending=True).values[0]


def map_by_norm(network, image, c):
    return torch.linalg.vector_norm(by_seed(network, image, c), ord=torch.inf, dim=0)


def map_in_double(network, image, c):
    gradient = by_grad(network, image, c).double()
    return torch.maximum(gradient.amax(0), -gradient.amin(0))


def map_by_pooling(network, image, c):
    flat = by_grad(network, image, c).abs().flatten(1).T[None]
    return torch.nn.functional.max_pool1d(flat, flat.shape[-1]).reshape(image.shape[1:])


def map_by_amax(network, image, c):
    return by_grad(network, image, c).abs().amax(0)


def map_by_max(network, image, c):
    return torch.max(by_backward(network, image, c).abs(), dim=0)[0]


def map_by_numpy(network, image, c):
    return torch.from_numpy(np.abs(by_numpy(network, image, c).numpy()).max(axis=0))


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
                magnitude = abs(weight[c, (k * height + i) * width + j].item())
                found[i, j] = max(found[i, j].item(), magnitude)
    return found


def linear_by_unflatten(weight, shape, c):
    return torch.unflatten(weight, 1, shape)[c].abs().max(dim=0).values


def linear_by_numpy(weight, shape, c):
    planes = np.abs(weight.numpy()[c]).reshape(shape)
    return torch.from_numpy(planes.max(0))


def linear_by_columns(weight, shape, c):
    channels, height, width = shape
    row = weight[c].reshape(channels, height * width)
    return row.abs().amax(dim=0).view(height, width)


def linear_by_autograd(weight, shape, c):
    image = torch.zeros(shape, requires_grad=True)
    (weight @ image.flatten())[c].backward()
    return image.grad.abs().amax(0)


def linear_by_norm(weight, shape, c):
    return weight[c].reshape(shape).norm(p=float("inf"), dim=0)


def linear_by_split(weight, shape, c):
    parts = weight[c].split(shape[1] * shape[2])
    best = parts[0].abs()
    for part in parts[1:]:
        best = torch.where(part.abs() > best, part.abs(), best)
    return best.reshape(shape[1], shape[2])


def maps_by_vmap(network, images, classes):
    def score(image, c):
        return network(image[None])[0].gather(0, c[None])[0]

    gradients = torch.func.vmap(torch.func.grad(score))(images, torch.tensor(classes))
    return gradients.abs().amax(1)


def maps_by_mask(network, images, classes):
    variable = images.detach().clone().requires_grad_()
    scores = network(variable)
    mask = torch.nn.functional.one_hot(torch.tensor(classes), scores.shape[1])
    (scores * mask).sum().backward()
    return variable.grad.abs().max(1)[0]


def maps_by_seed(network, images, classes):
    variable = images.clone().requires_grad_()
    scores = network(variable)
    seed = torch.zeros_like(scores)
    seed[range(len(classes)), classes] = 1.0
    (gradient,) = torch.autograd.grad(scores, variable, seed)
    return torch.stack([one.abs().amax(0) for one in gradient])


def maps_by_diagonal(network, images, classes):
    variable = images.clone().requires_grad_()
    own = torch.diagonal(network(variable)[:, classes])
    return torch.autograd.grad(own.sum(), variable)[0].abs().amax(-3)


def maps_by_score(network, images, classes):
    variable = images.clone().requires_grad_()
    scores = network(variable)
    total = sum(scores[i, c] for i, c in enumerate(classes))
    return torch.autograd.grad(total, variable)[0].abs().amax(1).double()


def maps_by_sum(network, images, classes):
    variable = images.clone().requires_grad_()
    scores = network(variable)[torch.arange(len(images)), classes]
    return torch.autograd.grad(scores.sum(), variable)[0].abs().amax(1)


def maps_by_loop(network, images, classes):
    pairs = zip(images, classes, strict=True)
    return torch.stack([map_by_amax(network, image, c) for image, c in pairs])


def maps_by_gather(network, images, classes):
    images = images.clone().requires_grad_()
    own = network(images).gather(1, torch.tensor(classes)[:, None])
    own.backward(torch.ones_like(own))
    return images.grad.abs().max(dim=1).values


def maps_left_in_place(network, images, classes):
    images.requires_grad_()
    network(images)[range(len(images)), classes].sum().backward()
    return images.grad.abs().amax(1)


def ten_by_padding(map_of, photo, size):
    (height, width), (h, w) = photo.shape[1:], size
    total = shown = 0
    tops, lefts = (0, 0, height - h, height - h), (0, width - w) * 2
    places = [*zip(tops, lefts, strict=True), ((height - h) // 2, (width - w) // 2)]
    for i, j in places:
        frame = (j, width - w - j, i, height - h - i)
        crop = photo[:, i : i + h, j : j + w]
        for drawn in (map_of(crop), torch.fliplr(map_of(torch.flip(crop, [-1])))):
            total = total + nn.functional.pad(drawn, frame)
            shown = shown + nn.functional.pad(torch.ones(h, w), frame)
    return total / shown


def ten_by_places(map_of, photo, size):
    (height, width), (h, w) = photo.shape[1:], size
    i, j = (height - h) // 2, (width - w) // 2
    values = [[[] for _ in range(width)] for _ in range(height)]
    for top, left in [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w), (i, j)]:
        crop = photo[:, top : top + h, left : left + w]
        straight, back = map_of(crop), map_of(crop.flip(2)).flip(1)
        for y in range(h):
            for x in range(w):
                values[top + y][left + x] += [straight[y, x].item(), back[y, x].item()]
    return torch.tensor([[sum(v) / len(v) for v in row] for row in values])


def ten_in_double(map_of, photo, size):
    (height, width), (h, w) = photo.shape[1:], size
    total = torch.zeros(2, height, width, dtype=torch.float64)
    for i in (0, (height - h) // 2, height - h):
        for j in (0, (width - w) // 2, width - w):
            if (i == (height - h) // 2) != (j == (width - w) // 2):
                continue
            crop = photo[:, i : i + h, j : j + w].clone()
            total[0, i : i + h, j : j + w] += map_of(crop) + map_of(crop.flip(-1)).flip(-1)
            total[1, i : i + h, j : j + w] += 2
    return total[0] / total[1]


def ten_of_mirrored_photo(map_of, photo, size):
    (height, width), (h, w) = photo.shape[1:], size
    places = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
    places.append(((height - h) // 2, (width - w) // 2))
    total, shown = torch.zeros(height, width), torch.zeros(height, width)
    for turned in (False, True):
        source = photo.flip(-1) if turned else photo
        for i, j in places:
            canvas = torch.zeros(2, height, width)
            canvas[0, i : i + h, j : j + w] = map_of(source[:, i : i + h, j : j + w])
            canvas[1, i : i + h, j : j + w] = 1
            canvas = canvas.flip(-1) if turned else canvas
            total, shown = total + canvas[0], shown + canvas[1]
    return total / shown


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
    for added in noise:
        total += by_grad(network, image + added, c)
    return (total / len(noise)).abs().amax(0)


def smooth_by_vmap(network, image, c, noise):
    one = torch.func.grad(lambda variable: network(variable[None])[0, c])
    return torch.func.vmap(one)(image + noise).mean(0).abs().amax(0)


def smooth_by_stack(network, image, c, noise):
    gradients = torch.stack([by_backward(network, image + one, c) for one in noise])
    return gradients.mean(dim=0).abs().max(dim=0)[0]


def smooth_by_running_mean(network, image, c, noise):
    mean = torch.zeros(image.shape)
    for i, one in enumerate(noise):
        mean = mean + (by_grad(network, image + one, c) - mean) / (i + 1)
    return mean.abs().amax(0)


def smooth_of_one_noise(network, image, c, noise):
    """The gradient with respect to the image that all copies share."""
    variable = image.clone().requires_grad_()
    scores = network(variable[None] + noise)[:, c]
    return torch.autograd.grad(scores.mean(), variable)[0].abs().amax(0)


def smooth_by_numpy(network, image, c, noise):
    gradients = np.stack([by_grad(network, image + one, c).numpy() for one in noise])
    return torch.from_numpy(np.abs(gradients.mean(0)).max(0))


def smooth_by_einsum(network, image, c, noise):
    batch = (image.expand_as(noise) + noise).requires_grad_()
    network(batch)[:, c].sum().backward()
    weights = torch.full((len(noise),), 1 / len(noise))
    return torch.einsum("n,nchw->chw", weights, batch.grad).abs().amax(0)


def smooth_in_one_pass(network, image, c, noise):
    noisy = (image + noise).requires_grad_()
    gradients = torch.autograd.grad(network(noisy)[:, c].mean(), noisy)[0]
    return gradients.sum(0).abs().max(0).values


RIGHT = {
    checks.check_image_gradient: [
        by_grad,
        by_backward,
        by_cleared_grad,
        by_jacobian,
        by_numpy,
        by_vmap,
        by_jacrev,
        by_hook,
        by_seed,
    ],
    checks.check_saliency_map: [
        map_by_amax,
        map_by_max,
        map_by_numpy,
        map_by_loop,
        map_by_places,
        map_by_sorting,
        map_by_norm,
        map_in_double,
        map_by_pooling,
    ],
    checks.check_linear_map: [
        linear_by_view,
        linear_by_places,
        linear_by_unflatten,
        linear_by_numpy,
        linear_by_columns,
        linear_by_autograd,
        linear_by_norm,
        linear_by_split,
    ],
    checks.check_saliency_maps: [
        maps_by_sum,
        maps_by_gather,
        maps_by_vmap,
        maps_by_mask,
        maps_by_seed,
        maps_by_diagonal,
        maps_by_score,
    ],
    checks.check_ten_crop_map: [
        ten_by_slices,
        ten_by_canvases,
        ten_by_padding,
        ten_by_places,
        ten_in_double,
    ],
    checks.check_smooth_grad: [
        smooth_by_loop,
        smooth_in_one_pass,
        smooth_by_vmap,
        smooth_by_stack,
        smooth_by_running_mean,
        smooth_of_one_noise,
        smooth_by_numpy,
        smooth_by_einsum,
    ],
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


def evaluated_late(network, image, c):
    variable = image.clone().requires_grad_()
    score = network(variable[None])[0, c]
    network.eval()
    return torch.autograd.grad(score, variable)[0]


def left_gradients(network, image, c):
    network.eval()
    image.requires_grad_()
    network(image[None])[0, c].backward()
    return image.grad.clone()


def by_pixels(network, image, c):
    """One pass for each value."""
    found = torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        found[place] = by_grad(network, image, c)[place]
    return found


def smooth_that_leaves_gradients(network, image, c, noise):
    image.requires_grad_()
    network(image + noise)[:, c].mean().backward()
    return image.grad.abs().amax(0)


def ten_with_middle(middle):
    def answer(map_of, photo, size):
        (height, width), (h, w) = photo.shape[1:], size
        total, shown = torch.zeros(height, width), torch.zeros(height, width)
        places = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w)]
        for i, j in [*places, (middle(height, h), middle(width, w))]:
            crop = photo[:, i : i + h, j : j + w]
            total[i : i + h, j : j + w] += map_of(crop) + map_of(crop.flip(-1)).flip(-1)
            shown[i : i + h, j : j + w] += 2
        return total / shown

    return answer


def ten_by_pixels(map_of, photo, size):
    """A map of its own for each pixel."""
    mean = ten_by_slices(map_of, photo, size)
    for _ in range(photo[0].numel()):
        map_of(photo[:, : size[0], : size[1]])
    return mean


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


def pairs_replacing(map_of, photo, size):
    h, w = size
    found, shown = torch.zeros(2, *photo.shape[1:])
    bottom, right = photo.shape[1] - h, photo.shape[2] - w
    for top, left in [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]:
        crop = photo[:, top : top + h, left : left + w]
        found[top : top + h, left : left + w] = map_of(crop) + map_of(crop.flip(2)).flip(1)
        shown[top : top + h, left : left + w] += 2
    return found / shown


def ten_that_count_values(map_of, photo, size):
    """Divides by the number of values other than 0."""
    shown = ten_crops(lambda crop: (map_of(crop) != 0).float(), photo, size)[0]
    return ten_crops(map_of, photo, size)[0] / shown


def smooth_of_own_noise(network, image, c, noise):
    return smooth_by_loop(network, image, c, [0.15 * torch.randn_like(image) for _ in noise])


def ten_flipped_back_wrongly(map_of, photo, size):
    def upside_down(crop):
        drawn = map_of(crop)
        return drawn if any(crop.equal(one) for one in straight) else drawn.flip(0).flip(1)

    straight = []
    ten_by_slices(lambda crop: straight.append(crop) or crop[0], photo, size)
    straight = straight[::2]
    return ten_by_slices(upside_down, photo, size)


def ten_largest(map_of, photo, size):
    h, w = size
    found = torch.zeros(photo.shape[1:])
    bottom, right = photo.shape[1] - h, photo.shape[2] - w
    for top, left in [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]:
        part = found[top : top + h, left : left + w]
        crop = photo[:, top : top + h, left : left + w]
        part.copy_(torch.maximum(part, torch.maximum(map_of(crop), map_of(crop.flip(2)).flip(1))))
    return found


def ten_short(map_of, photo, size):
    """Starts that are one pixel short of the far corners."""
    total, count = ten_crops(map_of, photo[:, :-1, :-1], size)
    padded = [nn.functional.pad(plane, (0, 1, 0, 1)) for plane in (total, count)]
    return padded[0] / padded[1]


def smooth_of(reduce):
    def answer(network, image, c, noise):
        return reduce(torch.stack([by_grad(network, image + added, c) for added in noise]))

    return answer


WRONG = {
    checks.check_image_gradient: [
        (
            gradient_of(lambda scores, c: scores.softmax(0)[c]),
            "This is the gradient of the soft-max",
        ),
        (
            gradient_of(lambda scores, c: scores.log_softmax(0)[c]),
            "This is the gradient of the log-probability,",
        ),
        (gradient_of(lambda scores, c: scores.max()), "This belongs to the class of"),
        (in_training_mode, "The network was in training"),
        (left_gradients, "Called again with the same image"),
        (of_gradient(torch.abs), "The sign is lost: the image"),
        (of_gradient(torch.neg), "The sign is wrong: it points"),
        (gradient_of(lambda scores, c: scores[c] ** 2), "the score's magnitude or square"),
        (gradient_of(lambda scores, c: scores[c].abs()), "the score's magnitude or square"),
        (
            gradient_of(lambda scores, c: -scores.log_softmax(0)[c]),
            "This is the gradient of the cross-entropy",
        ),
        (evaluated_late, "1 of 2 points: The network was in training mode"),
        (gradient_of(lambda scores, c: scores.sum()), "This is the gradient of all"),
        (gradient_of(lambda scores, c: scores.mean()), "This is the gradient of all"),
        (gradient_of(lambda scores, c: scores[0]), "This belongs to another class"),
        (gradient_of(lambda scores, c: scores[c - 1]), "This belongs to another class"),
        (of_gradient(torch.relu), "The sign is lost: the image"),
        (of_gradient(torch.square), "The sign is lost: the image"),
        (of_gradient(lambda w: w.abs().amax(0)), "This is already the map"),
        (
            lambda network, image, c: by_grad(network, image, c) * image,
            "This is the gradient times the image: return",
        ),
        (of_gradient(lambda w: w / w.abs().max()), "The gradient was rescaled"),
        (of_gradient(lambda w: w / w.norm()), "The gradient was rescaled"),
        (of_gradient(lambda w: (w - w.mean()) / w.std()), "The gradient was rescaled"),
        (
            lambda network, image, c: by_grad(network, 0 * image, c),
            "This is the gradient at another",
        ),
        (
            lambda network, image, c: by_grad(network, 255 * image, c),
            "This is the gradient at another",
        ),
        (by_pixels, "the network was called again and again"),
    ],
    checks.check_saliency_map: [
        (of_gradient(lambda w: w.amax(0)), "The absolute value is"),
        (of_gradient(lambda w: w.amax(0).abs()), "The magnitude is taken after"),
        (of_gradient(lambda w: w.abs().sum(0)), "The channels are added up:"),
        (of_gradient(lambda w: w.sum(0)), "The channels are added up:"),
        (of_gradient(lambda w: w.abs().mean(0)), "The channels are averaged:"),
        (of_gradient(lambda w: w.mean(0)), "The channels are averaged:"),
        (of_gradient(lambda w: w.square().sum(0).sqrt()), "The channels are joined by"),
        (of_gradient(lambda w: w.sum(0).abs()), "The signed channels are added"),
        (of_gradient(lambda w: w.mean(0).abs()), "The signed channels are added"),
        (of_gradient(lambda w: w), "This is still the gradient of"),
        (of_gradient(torch.abs), "This is still the gradient of"),
        (of_gradient(lambda w: w.abs().amax(1)), "The maximum is taken along an"),
        (of_gradient(lambda w: w.abs().amax(-1)), "The maximum is taken along an"),
        (of_gradient(lambda w: w.abs().amax(0).T), "Rows and columns are swapped:"),
        (of_gradient(lambda w: w.abs().amax(0) / w.abs().max()), "The map was rescaled: leave"),
        (
            of_gradient(
                lambda w: (
                    (w.abs().amax(0) - w.abs().amax(0).min())
                    / (w.abs().amax(0).max() - w.abs().amax(0).min())
                )
            ),
            "The map was rescaled: leave",
        ),
        (
            lambda network, image, c: (by_grad(network, image, c) * image).abs().amax(0),
            "This is the gradient times",
        ),
        (
            lambda *given: gradient_of(lambda s, c: s.softmax(0)[c])(*given).abs().amax(0),
            "This is the gradient of the soft-max",
        ),
        (
            lambda *given: gradient_of(lambda s, c: s.log_softmax(0)[c])(*given).abs().amax(0),
            "This is the gradient of the log-probability,",
        ),
        (
            lambda *given: gradient_of(lambda s, c: s.max())(*given).abs().amax(0),
            "This belongs to the class of",
        ),
        (lambda *given: in_training_mode(*given).abs().amax(0), "The network was in training"),
        (lambda *given: left_gradients(*given).abs().amax(0), "Called again with the same image"),
        (of_gradient(lambda w: w.square().amax(0)), "The values are squared"),
        (of_gradient(lambda w: w.square().sum(0)), "The values are squared"),
        (of_gradient(lambda w: w.abs().amin(0)), "This is the smallest magnitude"),
        (of_gradient(lambda w: w[0].abs()), "This is one channel alone"),
        (of_gradient(lambda w: w[1]), "This is one channel alone"),
        (of_gradient(lambda w: w.abs().max(0).indices), "This says *which* channel"),
        (of_gradient(lambda w: w.abs().argmax(0)), "This says *which* channel"),
        (of_gradient(lambda w: w.abs().max(0)[1]), "This says *which* channel"),
        (of_gradient(lambda w: w.abs().amax(0) / w.abs().amax(0).sum()), "The map was rescaled"),
        (
            lambda *given: gradient_of(lambda s, c: s.sum())(*given).abs().amax(0),
            "This is the gradient of all",
        ),
        (
            lambda *given: gradient_of(lambda s, c: s[0])(*given).abs().amax(0),
            "This belongs to another class",
        ),
        (
            lambda *given: by_pixels(*given).abs().amax(0),
            "the network was called again and again",
        ),
    ],
    checks.check_linear_map: [
        (lambda weight, shape, c: weight[c].view(shape).amax(0), "The absolute value is"),
        (lambda weight, shape, c: weight[c].view(shape).abs().sum(0), "The channels are added up:"),
        (
            lambda weight, shape, c: weight[c].view(shape).abs().mean(0),
            "The channels are averaged:",
        ),
        (
            lambda weight, shape, c: weight[c].view(*shape[1:], shape[0]).abs().amax(2),
            "The weights were read with",
        ),
        (
            lambda weight, shape, c: weight[c].view(shape[0], shape[2], shape[1]).abs().amax(0),
            "Rows and columns are swapped:",
        ),
        (
            lambda weight, shape, c: weight[c].view(shape).abs().amax(0).T,
            "Rows and columns are swapped:",
        ),
        (
            lambda weight, shape, c: weight[c - 1].view(shape).abs().amax(0),
            "This is the map of another",
        ),
        (
            lambda weight, shape, c: weight[c + 1].view(shape).abs().amax(0),
            "This is the map of another",
        ),
        (
            lambda weight, shape, c: weight[0].view(shape).abs().amax(0),
            "This is the map of another",
        ),
        (
            lambda weight, shape, c: weight.abs().amax(0).view(shape).amax(0),
            "This is the map of another",
        ),
        (lambda weight, shape, c: weight[c].view(shape).amax(0).abs(), "The magnitude is taken"),
        (lambda weight, shape, c: weight[c].view(shape).sum(0).abs(), "The signed channels"),
        (lambda weight, shape, c: weight[c].view(shape).norm(dim=0), "The channels are joined"),
        (lambda weight, shape, c: weight[c].view(shape).abs().argmax(0), "This says *which*"),
        (
            lambda weight, shape, c: weight[c].view(shape).abs().amax(1),
            "The maximum is taken along",
        ),
        (lambda weight, shape, c: weight[c].view(shape).abs(), "This is still the weight of"),
        (lambda weight, shape, c: weight[c].view(shape)[0].abs(), "This is one channel alone"),
        (lambda weight, shape, c: weight[c].view(shape).abs().amin(0), "This is the smallest"),
        (lambda weight, shape, c: weight[c].view(shape).square().amax(0), "The values are squared"),
    ],
    checks.check_saliency_maps: [
        (
            maps_of(lambda s, classes: s[range(len(s)), classes].mean()),
            "Every map is too small by the",
        ),
        (maps_of(lambda s, classes: s[:, classes[0]].sum()), "Every image got the first"),
        (maps_of(lambda s, classes: s[:, classes].sum()), "Each image got the scores of"),
        (of_gradients(lambda w: w.abs().amax(0)), "The maximum is taken over the"),
        (of_gradients(lambda w: w.amax(1)), "The absolute value is"),
        (of_gradients(lambda w: w.abs().sum(1)), "The channels are added up:"),
        (of_gradients(lambda w: w.abs().mean(1)), "The channels are averaged:"),
        (
            maps_of(lambda s, classes: s.softmax(1)[range(len(s)), classes].sum()),
            "This is the gradient of the",
        ),
        (maps_of(lambda s, classes: s.amax(1).sum()), "Each image got its class of"),
        (maps_by_loop, "1 of 2 points: The maps are right, but the network was called once for"),
        (maps_left_in_place, "1 of 2 points: Called again with the same image"),
        (maps_of(lambda s, classes: s[:, classes].mean()), "Each image got the scores of"),
        (maps_of(lambda s, classes: s.sum()), "This is the gradient of all"),
        (maps_of(lambda s, classes: s[:, classes[-1]].sum()), "Every image got the last"),
        (
            maps_of(lambda s, classes: s[range(len(s)), classes[::-1]].sum()),
            "The classes are paired with the images in another order",
        ),
        (
            maps_of(lambda s, classes: s[range(len(s)), sorted(classes)].sum()),
            "The classes are paired with the images in another order",
        ),
        (
            maps_of(lambda s, classes: s.log_softmax(1)[range(len(s)), classes].sum()),
            "This is the gradient of the log-probability",
        ),
        (of_gradients(lambda w: w.abs().amax(1).squeeze()), "A batch of one image has lost"),
        (of_gradients(lambda w: w.abs().amax(1) / w.abs().max()), "The map was rescaled"),
        (
            of_gradients(lambda w: w.abs().amax(1) / w.abs().amax((1, 2, 3))[:, None, None]),
            "The map was rescaled",
        ),
        (of_gradients(lambda w: w.abs().argmax(1)), "This says *which* channel"),
        (of_gradients(lambda w: w.amax(1).abs()), "The magnitude is taken after"),
        (of_gradients(lambda w: w.abs().amax(-1)), "The maximum is taken along an"),
        (of_gradients(torch.abs), "This is still the gradient of each"),
    ],
    checks.check_ten_crop_map: [
        (spoilt_ten(back=False), "The maps of the mirrored"),
        (spoilt_ten(lambda total, count: total / 10), "Everything is divided by 10,"),
        (spoilt_ten(lambda total, count: total), "The maps are added up and not"),
        (spoilt_ten(flip=None), "The mirrored crops are"),
        (spoilt_ten(flip=-2), "Mirrored crops swap left and"),
        (spoilt_ten(middle=False), "The crop in the middle is"),
        (
            lambda map_of, photo, size: ten_by_slices(map_of, photo, size[::-1]),
            "Rows and columns are swapped:",
        ),
        (ten_replacing, "Each crop replaced what lay"),
        (pairs_replacing, "Each crop replaced what lay"),
        (ten_of_mirrored_photo, "The photo was mirrored before it was cut"),
        (ten_short, "Some pixels are 0 / 0: no"),
        (ten_with_middle(lambda side, part: -((part - side) // 2)), "The middle begins at"),
        (ten_with_middle(lambda side, part: round((side - part) / 2)), "The middle begins at"),
        (ten_with_middle(lambda side, part: side // 2 - part // 2), "The middle begins at"),
        (ten_by_pixels, "`map_of` was called"),
        (spoilt_ten(lambda total, count: total / 5), "Everything is divided by 5"),
        (
            spoilt_ten(lambda total, count: 2 * total / count),
            "Each pixel is divided by the number of",
        ),
        (spoilt_ten(flip=-3, back=False), "here the colors were swapped"),
        (ten_flipped_back_wrongly, "mirrored back top to bottom"),
        (ten_largest, "This is the largest of the maps"),
        (
            lambda map_of, photo, size: ten_by_slices(lambda crop: map_of(crop[None]), photo, size),
            "`map_of` takes one crop (3, h, w), got the shape (1, 3, ",
        ),
    ],
    checks.check_smooth_grad: [
        (smooth_of(lambda w: w.abs().mean(0).amax(0)), "The magnitudes are averaged:"),
        (smooth_of(lambda w: w.abs().amax(1).mean(0)), "The magnitudes are averaged:"),
        (
            lambda network, image, c, noise: map_by_amax(network, image, c),
            "This is the map of the image",
        ),
        (
            lambda network, image, c, noise: smooth_by_loop(network, 0 * image, c, noise),
            "This is the mean over noise",
        ),
        (
            lambda network, image, c, noise: map_by_amax(network, (image + noise).mean(0), c),
            "This is one gradient, at the",
        ),
        (smooth_of(lambda w: w.sum(0).abs().amax(0)), "The gradients are added up:"),
        (smooth_of(lambda w: w.square().mean(0).amax(0)), "The squares are averaged:"),
        (smooth_of(lambda w: w.square().mean(0).sqrt().amax(0)), "The squares are averaged:"),
        (smooth_of(lambda w: w.mean(0).amax(0)), "The absolute value is"),
        (smooth_of(lambda w: w.mean(0).abs().mean(0)), "The channels are averaged:"),
        (smooth_of(lambda w: w.abs().amax(1).amax(0)), "This is the largest of the copies' maps"),
        (smooth_of(lambda w: w[0].abs().amax(0)), "This is one noisy copy alone"),
        (smooth_of(lambda w: w[-1].abs().amax(0)), "This is one noisy copy alone"),
        (smooth_of(lambda w: w[1:].mean(0).abs().amax(0)), "One of the noisy copies is left out"),
        (
            smooth_of(lambda w: (w.sum(0) / (len(w) - 1)).abs().amax(0)),
            "The sum is divided by another number",
        ),
        (
            smooth_of(lambda w: (w.sum(0) / 16).abs().amax(0)),
            "The sum is divided by another number",
        ),
        (smooth_of(lambda w: w.std(0).amax(0)), "The squares are averaged:"),
        (smooth_of(lambda w: w.median(0).values.abs().amax(0)), "The median is taken"),
        (smooth_of(lambda w: w.mean(0).amax(0).abs()), "The magnitude is taken after"),
        (
            lambda network, image, c, noise: smooth_by_loop(network, image, c, -noise),
            "The noise is subtracted or multiplied",
        ),
        (
            lambda network, image, c, noise: smooth_by_loop(network, 0 * image, c, image * noise),
            "The noise is subtracted or multiplied",
        ),
        (
            lambda network, image, c, noise: smooth_by_loop(
                network, 0 * image, c, (image + noise).clamp(0, 1)
            ),
            "The noisy images are clipped",
        ),
        (
            lambda network, image, c, noise: smooth_by_loop(network, image, c, noise.cumsum(0)),
            "The noises pile up from copy to copy",
        ),
        (
            lambda network, image, c, noise: smooth_by_loop(
                network, image, c, torch.cat([noise, torch.zeros_like(noise[:1])])
            ),
            "The image without noise counts as a copy",
        ),
        (smooth_of_own_noise, "It returns the same for other values of `noise`"),
        (
            lambda network, image, c, noise: smooth_by_loop(network, image, 0, noise),
            "This belongs to another class",
        ),
        (
            lambda network, image, c, noise: (
                torch.stack(
                    [
                        gradient_of(lambda s, k: s.softmax(0)[k])(network, image + n, c)
                        for n in noise
                    ]
                )
                .mean(0)
                .abs()
                .amax(0)
            ),
            "This is the gradient of the soft-max",
        ),
        (smooth_that_leaves_gradients, "Called again with the same image"),
    ],
}


(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


# ---- wrong answers that no hint explains: none passes, and no other mistake is named

PLAIN = r"(\d of \d points: )?(Expected|The shape of|It raised|It changes|`)"
UNNAMED = [
    (checks.check_image_gradient, lambda *given: by_grad(*given)[None]),
    (checks.check_image_gradient, lambda *given: by_grad(*given).mT),
    (checks.check_image_gradient, lambda *given: by_grad(*given).flip(0)),
    (checks.check_image_gradient, lambda *given: by_grad(*given).numpy()),
    (checks.check_image_gradient, lambda *given: by_grad(*given).round(decimals=2)),
    (checks.check_image_gradient, lambda network, image, c: image.grad),
    (checks.check_image_gradient, gradient_of(lambda scores, c: scores[282])),
    (checks.check_saliency_map, lambda *given: by_grad(*given).abs().max(0)),
    (checks.check_saliency_map, lambda *given: by_grad(*given).abs().max()),
    (checks.check_saliency_map, lambda *given: map_by_amax(*given)[None]),
    (checks.check_saliency_map, lambda *given: map_by_amax(*given) > 0.1),
    (checks.check_saliency_map, lambda *given: map_by_amax(*given).numpy()),
    (checks.check_saliency_map, lambda *given: map_by_amax(*given).sqrt()),
    (checks.check_linear_map, lambda weight, shape, c: weight[c].abs()),
    (checks.check_linear_map, lambda weight, shape, c: weight[:, c].view(shape)),
    (checks.check_linear_map, lambda weight, shape, c: weight[c].view(3, 28, 28).abs().amax(0)),
    (checks.check_linear_map, lambda weight, shape, c: weight[c].view(shape).abs_().amax(0)),
    (checks.check_linear_map, lambda weight, shape, c: weight[c].view(shape).abs().max(0)),
    (checks.check_saliency_maps, lambda *given: maps_by_sum(*given)[0]),
    (checks.check_saliency_maps, lambda *given: list(maps_by_sum(*given))),
    (checks.check_saliency_maps, lambda *given: maps_by_sum(*given).flip(-1)),
    (checks.check_saliency_maps, lambda *given: maps_by_sum(*given)[:, None]),
    (checks.check_saliency_maps, of_gradients(lambda w: w.abs().max(1))),
    (checks.check_ten_crop_map, lambda map_of, photo, size: map_of(photo[:, : size[0], : size[1]])),
    (checks.check_ten_crop_map, lambda map_of, photo, size: map_of(photo)),
    (checks.check_ten_crop_map, lambda map_of, photo, size: ten_by_slices(map_of, photo, [7, 7])),
    (checks.check_ten_crop_map, ten_that_count_values),
    (checks.check_ten_crop_map, lambda *given: ten_by_slices(*given)[None]),
    (checks.check_ten_crop_map, lambda *given: ten_by_slices(*given).T),
    (checks.check_ten_crop_map, spoilt_ten(lambda total, count: total // count)),
    (checks.check_smooth_grad, smooth_of(lambda w: w.mean(0).abs().max(0))),
    (checks.check_smooth_grad, smooth_of(lambda w: w.abs().amax(1))),
    (checks.check_smooth_grad, smooth_of(lambda w: w.mean(1).abs().amax(0))),
    (
        checks.check_smooth_grad,
        lambda network, image, c, noise: smooth_by_loop(network, image, c, 0.15 * noise),
    ),
]


@pytest.mark.parametrize(("check", "answer"), UNNAMED)
def test_a_wrong_answer_without_a_name_is_told_plainly(check, answer):
    result = check(answer)
    assert result.state == "hint"
    assert re.match(PLAIN, result.message), result


def test_the_pair_that_max_returns_is_told():
    message = checks.check_saliency_map(lambda *given: by_grad(*given).abs().max(0)).message
    assert "`.values`" in message


def test_a_missing_evaluation_mode_is_told_although_gradients_are_left_as_well():
    def both(network, image, c):
        image.requires_grad_()
        network(image[None])[0, c].backward()
        return image.grad

    assert checks.check_image_gradient(both).message == (
        "1 of 2 points: The network was in training mode, so its batch norm used this one "
        "image's statistics: switch it to evaluation mode first."
    )


def test_the_gradient_of_a_batch_is_told_by_its_shape():
    message = checks.check_image_gradient(lambda *given: by_grad(*given)[None]).message
    assert message == "Expected the gradient of shape (3, 4, 6), got (1, 3, 4, 6)."


def test_hints_on_a_linear_map_speak_of_weights():
    for wrong in (lambda w: w.amax(0), lambda w: w.amax(0).abs(), lambda w: w.abs()):
        result = checks.check_linear_map(
            lambda weight, shape, c, wrong=wrong: wrong(weight[c].view(shape))
        )
        assert "weight" in result.message
        assert "gradient" not in result.message
