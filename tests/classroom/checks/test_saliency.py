import numpy as np
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
    for added in noise:
        total += by_grad(network, image + added, c)
    return (total / len(noise)).abs().amax(0)


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
    ],
    checks.check_saliency_map: [
        map_by_amax,
        map_by_max,
        map_by_numpy,
        map_by_loop,
    ],
    checks.check_linear_map: [
        linear_by_view,
        linear_by_places,
    ],
    checks.check_saliency_maps: [
        maps_by_sum,
        maps_by_loop,
        maps_by_gather,
    ],
    checks.check_ten_crop_map: [
        ten_by_slices,
        ten_by_canvases,
    ],
    checks.check_smooth_grad: [
        smooth_by_loop,
        smooth_in_one_pass,
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
        (gradient_of(lambda scores, c: scores.sum()), "This is the gradient of all"),
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
        (ten_short, "Some pixels are 0 / 0: no"),
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
    ],
}


(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_a_missing_evaluation_mode_is_told_although_gradients_are_left_as_well():
    def both(network, image, c):
        image.requires_grad_()
        network(image[None])[0, c].backward()
        return image.grad

    assert checks.check_image_gradient(both).message == (
        "The network was in training mode, so its batch norm used this one image's statistics: "
        "switch it to evaluation mode first."
    )


def test_the_gradient_of_a_batch_is_told_by_its_shape():
    message = checks.check_image_gradient(lambda *given: by_grad(*given)[None]).message
    assert message == "Expected the gradient of shape (3, 4, 6), got (1, 3, 4, 6)."
