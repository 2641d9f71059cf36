import re

import numpy as np
import pytest
import torch
from tables import usual_tests

from deepinside.classroom.checks import class_models as checks

# ---- right answers, written in different ways


def objective_by_square(network, image, c, l2_weight):
    return network(image[None])[0, c] - l2_weight * image.square().sum()


def objective_by_norm(network, image, c, l2_weight):
    penalty = l2_weight * torch.linalg.vector_norm(image) ** 2
    return network(image.unsqueeze(0)).squeeze(0)[c] - penalty


def objective_by_product(network, image, c, l2_weight):
    flat = image.flatten()
    return network(image[None])[:, c] - l2_weight * torch.dot(flat, flat)


def objective_by_einsum(network, image, c, l2_weight):
    scores = torch.func.vmap(lambda one: network(one[None])[0])(image[None])[0]
    return scores[c] - l2_weight * torch.einsum("chw,chw->", image, image)


def objective_by_loss(network, image, c, l2_weight):
    zero = torch.zeros_like(image)
    loss = torch.nn.functional.mse_loss(image, zero, reduction="sum")
    return network(image[None]).squeeze()[c] - loss * l2_weight


def objective_by_channels(network, image, c, l2_weight):
    total = torch.zeros(())
    for channel in image:
        total = total + (channel**2).sum()
    return -(l2_weight * total - network(image[None])[0][c])


def optimum_by_solving(w, l2_weight):
    matrix = 2 * l2_weight * torch.eye(w.numel())
    return torch.linalg.solve(matrix, w.flatten()).reshape(w.shape)


def optimum_in_double(w, l2_weight):
    return (w.double() * 0.5).div(l2_weight)


def optimum_by_places(w, l2_weight):
    found = torch.zeros(w.shape)
    for i, value in enumerate(w.flatten().tolist()):
        found.view(-1)[i] = value / l2_weight / 2
    return found


def optimum_by_formula(w, l2_weight):
    return w / (2 * l2_weight)


def optimum_by_ascent(w, l2_weight):
    image = torch.zeros_like(w)
    for _ in range(200):
        image = image + 0.2 / l2_weight * (w - 2 * l2_weight * image)
    return image


def optimum_by_numpy(w, l2_weight):
    return torch.from_numpy(0.5 * w.numpy() / l2_weight)


def step_by_formula(network, image, c, l2_weight, step_size):
    variable = image.clone().requires_grad_()
    gradient = torch.autograd.grad(network(variable[None])[0, c], variable)[0]
    return image + step_size * (gradient - 2 * l2_weight * image)


def step_by_objective(network, image, c, l2_weight, step_size):
    variable = image.detach().clone().requires_grad_()
    objective_by_square(network, variable, c, l2_weight).backward()
    return (variable + step_size * variable.grad).detach()


def step_by_cleared_grad(network, image, c, l2_weight, step_size):
    image.grad = None
    image.requires_grad_()
    objective_by_norm(network, image, c, l2_weight).backward()
    with torch.no_grad():
        return image + step_size * image.grad


def step_by_func(network, image, c, l2_weight, step_size):
    gradient = torch.func.grad(objective_by_square, argnums=1)(network, image, c, l2_weight)
    return image + step_size * gradient


def step_by_jacobian(network, image, c, l2_weight, step_size):
    gradient = torch.func.jacrev(lambda one: network(one[None])[0, c])(image)
    return (1 - 2 * step_size * l2_weight) * image + step_size * gradient


def step_by_batch(network, image, c, l2_weight, step_size):
    batch = image[None].clone().requires_grad_()
    network(batch)[:, c].sum().backward()
    return (batch + step_size * (batch.grad - 2 * l2_weight * batch)).detach()[0]


def step_by_descent(network, image, c, l2_weight, step_size):
    variable = image.clone().requires_grad_()
    loss = l2_weight * variable.pow(2).sum() - network(variable[None])[0, c]
    loss.backward()
    return image - step_size * variable.grad


def step_by_weight_decay(network, image, c, l2_weight, step_size):
    variable = image.clone().requires_grad_()
    decay = 2 * l2_weight
    optimizer = torch.optim.SGD([variable], lr=step_size, weight_decay=decay)
    (-network(variable[None])[0, c]).backward()
    optimizer.step()
    return variable.detach()


def ascend_recursively(network, start, c, l2_weight, step_size, steps):
    if steps == 0:
        return start
    before = ascend_recursively(network, start, c, l2_weight, step_size, steps - 1)
    return step_by_func(network, before, c, l2_weight, step_size)


def ascend_while(network, start, c, l2_weight, step_size, steps):
    image = start.clone()
    while steps > 0:
        image = step_by_batch(network, image, c, l2_weight, step_size)
        steps -= 1
    return image


def ascend_with_data(network, start, c, l2_weight, step_size, steps):
    variable = torch.nn.Parameter(start.clone())
    for _ in range(steps):
        variable.grad = None
        (-objective_by_norm(network, variable, c, l2_weight)).backward()
        variable.data -= step_size * variable.grad
    return variable.data


def ascend_by_steps(network, start, c, l2_weight, step_size, steps):
    image = start
    for _ in range(steps):
        image = step_by_formula(network, image, c, l2_weight, step_size)
    return image


def ascend_in_place(network, start, c, l2_weight, step_size, steps):
    image = start.clone().requires_grad_()
    for _ in range(steps):
        objective_by_square(network, image, c, l2_weight).backward()
        with torch.no_grad():
            image += step_size * image.grad
        image.grad = None
    return image


def ascend_by_optimizer(network, start, c, l2_weight, step_size, steps):
    image = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([image], lr=step_size, maximize=True)
    for _ in range(steps):
        optimizer.zero_grad()
        objective_by_square(network, image, c, l2_weight).backward()
        optimizer.step()
    return image.detach()


def limit(l2_weight):
    return 1 / l2_weight


def limit_from_factor(l2_weight):
    # 1 - 2 α λ = -1
    return torch.tensor((1 + 1) / (2 * l2_weight))


def limit_by_search(l2_weight):
    low, high = 0.0, 1000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - 2 * middle * l2_weight > -1 else (low, middle)
    return high


def limit_as_power(l2_weight):
    return np.float64(l2_weight) ** -1


def limit_of_radius(l2_weight):
    return 2 * (1 / (2 * l2_weight))


def limit_as_tensor(l2_weight):
    return torch.reciprocal(torch.tensor([l2_weight]))


def log_p_by_matrix(gradients, scores, c):
    p = scores.exp() / scores.exp().sum()
    return gradients[c] - (p @ gradients.flatten(1)).reshape(gradients.shape[1:])


def log_p_by_tensordot(gradients, scores, c):
    factors = -scores.softmax(0)
    factors[c] += 1
    return torch.tensordot(factors, gradients, dims=1)


def log_p_of_differences(gradients, scores, c):
    p = scores.softmax(-1)
    parts = [p[k] * (gradients[c] - gradients[k]) for k in range(len(p))]
    return torch.stack(parts).sum(dim=0)


def log_p_by_einsum(gradients, scores, c):
    return gradients[c] - torch.einsum("k,kchw->chw", scores.softmax(0), gradients)


def log_p_by_loop(gradients, scores, c):
    found = gradients[c].clone()
    for p, gradient in zip(scores.softmax(0), gradients, strict=True):
        found -= p * gradient
    return found


def log_p_by_autograd(gradients, scores, c):
    """By the chain rule, the derivative with respect to the scores from autograd."""
    variable = scores.clone().requires_grad_()
    weights = torch.autograd.grad(variable.log_softmax(0)[c], variable)[0]
    return (weights.view(-1, 1, 1, 1) * gradients).sum(0)


RIGHT = {
    checks.check_objective: [
        objective_by_square,
        objective_by_norm,
        objective_by_product,
        objective_by_einsum,
        objective_by_loss,
        objective_by_channels,
    ],
    checks.check_optimum: [
        optimum_by_formula,
        optimum_by_ascent,
        optimum_by_numpy,
        optimum_by_solving,
        optimum_in_double,
        optimum_by_places,
    ],
    checks.check_ascent_step: [
        step_by_formula,
        step_by_objective,
        step_by_cleared_grad,
        step_by_func,
        step_by_jacobian,
        step_by_batch,
        step_by_descent,
        step_by_weight_decay,
    ],
    checks.check_ascend: [
        ascend_by_steps,
        ascend_in_place,
        ascend_by_optimizer,
        ascend_recursively,
        ascend_while,
        ascend_with_data,
    ],
    checks.check_step_size_limit: [
        limit,
        limit_from_factor,
        limit_by_search,
        limit_as_power,
        limit_of_radius,
        limit_as_tensor,
    ],
    checks.check_log_probability_gradient: [
        log_p_by_einsum,
        log_p_by_loop,
        log_p_by_autograd,
        log_p_by_matrix,
        log_p_by_tensordot,
        log_p_of_differences,
    ],
}


# ---- wrong answers, one for each hint at least


def objective_of(value):
    return lambda network, image, c, weight: value(network(image[None])[0], image, c, weight)


class HalfGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient / 2


def with_half_gradient(value):
    return HalfGradient.apply(value)


def step_of(change, goal=lambda scores, c: scores[c]):
    """A step by what `change` makes of the image, the score's gradient, λ and α."""

    def answer(network, image, c, weight, size):
        variable = image.clone().requires_grad_()
        gradient = torch.autograd.grad(goal(network(variable[None])[0], c), variable)[0]
        return change(image, gradient, weight, size)

    return answer


def usual(image, gradient, weight, size):
    return image + size * (gradient - 2 * weight * image)


def step_with_left_gradients(of_penalty):
    def answer(network, image, c, weight, size):
        image.requires_grad_()
        value = network(image[None])[0, c]
        if of_penalty:
            value = value - weight * image.square().sum()
        value.backward()
        with torch.no_grad():
            change = image.grad if of_penalty else image.grad - 2 * weight * image
            return image + size * change

    return answer


def step_on_the_graph(network, image, c, weight, size):
    image = image.clone().requires_grad_()
    value = objective_by_square(network, image, c, weight)
    return image + size * torch.autograd.grad(value, image)[0]


def step_that_requires_grad(network, image, c, weight, size):
    variable = image.clone().requires_grad_()
    objective_by_square(network, variable, c, weight).backward()
    variable.data += size * variable.grad
    return variable


def step_by_pixels(network, image, c, weight, size):
    """The gradient, drawn anew from a pass of its own for each pixel."""
    gradient = torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        variable = image.clone().requires_grad_()
        score = objective_by_square(network, variable, c, weight)
        gradient[place] = torch.autograd.grad(score, variable)[0][place]
    return image + size * gradient


def ascend_with(step):
    def answer(network, start, c, weight, size, steps):
        image = start
        for _ in range(steps):
            image = step(network, image, c, weight, size)
        return image

    return answer


def ascend_leaving_gradients(network, start, c, weight, size, steps):
    start.requires_grad_()
    image = start
    for _ in range(steps):
        objective_by_square(network, image, c, weight).backward()
        with torch.no_grad():
            image = image + size * image.grad
        image.requires_grad_()
    return image.detach()


def ascend_of(steps=lambda n: n, start=lambda image: image, sign=1):
    def answer(network, image, c, weight, size, n):
        return ascend_by_steps(network, start(image), c, sign * weight, size, steps(n))

    return answer


def ascend_from_the_start_again(network, start, c, weight, size, steps):
    change = step_by_formula(network, start, c, weight, size) - start
    image = start
    for _ in range(steps):
        image = image + change
    return image


def ascend_without_clearing(network, start, c, weight, size, steps):
    image = start.clone().requires_grad_()
    for _ in range(steps):
        objective_by_square(network, image, c, weight).backward()
        with torch.no_grad():
            image += size * image.grad
    return image.detach()


def weighted(weights, gradients):
    return (weights.view(-1, 1, 1, 1) * gradients).sum(0)


def log_p_of(change):
    return lambda gradients, scores, c: change(gradients, scores, scores.softmax(0), c)


WRONG = {
    checks.check_objective: [
        (
            objective_of(lambda s, image, c, weight: s[c] + weight * image.square().sum()),
            "The sign of λ is wrong: the",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight * image.norm()),
            "The norm is not squared: the",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight * (image**2).mean()),
            "The squares are averaged:",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight / 2 * (image**2).sum()),
            "The penalty is halved: it is",
        ),
        (objective_of(lambda s, image, c, weight: s[c]), "The penalty is missing:"),
        (
            objective_of(lambda s, image, c, weight: s.softmax(0)[c] - weight * (image**2).sum()),
            "This is the soft-max",
        ),
        (
            objective_of(
                lambda s, image, c, weight: s.log_softmax(0)[c] - weight * (image**2).sum()
            ),
            "This is the log-probability",
        ),
        (
            objective_of(lambda s, image, c, weight: s.max() - weight * (image**2).sum()),
            "This is the highest score:",
        ),
        (lambda *given: objective_by_square(*given).item(), "The value is right, but no"),
        (lambda *given: objective_by_square(*given).detach(), "The value is right, but no"),
        (torch.no_grad()(objective_by_square), "The value is right, but no"),
        (
            lambda network, image, c, weight: (
                network(image[None])[0, c] - weight * image.square().sum().item()
            ),
            "that of the penalty does not",
        ),
        (
            lambda network, image, c, weight: (
                network(image.detach()[None])[0, c] - weight * image.square().sum()
            ),
            "that of the score does not",
        ),
        (
            objective_of(lambda s, image, c, weight: weight * (image**2).sum() - s[c]),
            "This is what a minimization takes",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight * image.abs().sum()),
            "These are magnitudes or plain values",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight * image.sum() ** 2),
            "The values were added before they",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - 2 * weight * (image**2).sum()),
            "The penalty has a factor 2",
        ),
        (
            objective_of(lambda s, image, c, weight: s[c] - weight**2 * (image**2).sum()),
            "λ is squared",
        ),
        (objective_of(lambda s, image, c, weight: s[c] - (image**2).sum()), "λ is missing"),
        (
            objective_of(lambda s, image, c, weight: -weight * (image**2).sum()),
            "The score is missing",
        ),
        (
            objective_of(lambda s, image, c, weight: s[0] - weight * (image**2).sum()),
            "This takes another class's score",
        ),
        (
            objective_of(lambda s, image, c, weight: s.sum() - weight * (image**2).sum()),
            "This takes the scores of all classes",
        ),
        (
            lambda network, image, c, weight: with_half_gradient(
                objective_by_square(network, image, c, weight)
            ),
            "its gradient with respect to the image is not",
        ),
        (
            lambda network, image, c, weight: objective_by_square(
                network, image.detach().requires_grad_(), c, weight
            ),
            "The value is right, but no",
        ),
    ],
    checks.check_optimum: [
        (lambda w, weight: w / weight, "A factor is missing: the"),
        (lambda w, weight: -w / (2 * weight), "The sign is wrong: the best"),
        (lambda w, weight: 2 * weight * w, "λ is on the wrong side: a"),
        (lambda w, weight: w / 2 * weight * 4, "λ is on the wrong side: a"),
        (lambda w, weight: w / w.norm(), "Only the direction is right:"),
        (lambda w, weight: w, "Only the direction is right:"),
        (lambda w, weight: 2 * w / weight, "A factor is wrong: w − 2λI"),
        (lambda w, weight: w / (4 * weight), "A factor is wrong: w − 2λI"),
        (lambda w, weight: (w / (2 * weight)).abs(), "The sign is lost: where a weight"),
        (lambda w, weight: (w / (2 * weight)).relu(), "The sign is lost: where a weight"),
        (lambda w, weight: w / 2 * weight, "λ is on the wrong side: a"),
        (lambda w, weight: w / (2 * weight**2), "λ is taken to a power"),
        (lambda w, weight: w / (2 * weight) ** 0.5, "λ is taken to a power"),
        (lambda w, weight: w / (2 * weight * w.norm()), "The image was scaled to a norm"),
        (lambda w, weight: (w / (2 * weight)).clamp(0, 1), "The image was clipped"),
        (lambda w, weight: (w**2).sum() / (4 * weight), "This is the largest value"),
    ],
    checks.check_ascent_step: [
        (
            step_of(lambda image, g, weight, size: image + size * (g + 2 * weight * image)),
            "The sign of λ is wrong: the",
        ),
        (
            step_of(lambda image, g, weight, size: image + size * (g - weight * image)),
            "A factor is missing: the",
        ),
        (step_of(lambda image, g, weight, size: image + size * g), "The penalty is missing: its"),
        (
            step_of(lambda image, g, weight, size: image - size * (g - 2 * weight * image)),
            "This goes downhill: add the",
        ),
        (step_of(lambda image, g, weight, size: image - size * g), "This goes downhill: add the"),
        (
            step_of(
                lambda image, g, weight, size: (
                    image + size * (g - 2 * weight * image) / (g - 2 * weight * image).norm()
                )
            ),
            "The gradient was scaled to",
        ),
        (
            step_of(lambda image, g, weight, size: usual(image, g / g.norm(), weight, size)),
            "The gradient was scaled to",
        ),
        (
            step_of(lambda image, g, weight, size: size * (g - 2 * weight * image)),
            "This is the change alone:",
        ),
        (
            step_of(lambda image, g, weight, size: g - 2 * weight * image),
            "This is the change alone:",
        ),
        (
            step_of(lambda image, g, weight, size: image + g - 2 * weight * image),
            "The step size is missing: the",
        ),
        (step_of(usual, lambda scores, c: scores.softmax(0)[c]), "This climbs the soft-max"),
        (
            step_of(usual, lambda scores, c: scores.log_softmax(0)[c]),
            "This climbs the log-probability:",
        ),
        (step_with_left_gradients(True), "Called again with the same image"),
        (step_with_left_gradients(False), "Called again with the same image"),
        (step_on_the_graph, "The new image still requires a gradient"),
        (step_that_requires_grad, "The new image still requires a gradient"),
        (step_by_pixels, "the network was called again and again for one step"),
        (
            step_of(lambda image, g, weight, size: image + size * g - 2 * weight * image),
            "The step size belongs to the penalty's",
        ),
        (
            step_of(lambda image, g, weight, size: image + g - 2 * size * weight * image),
            "The step size belongs to the penalty's",
        ),
        (
            step_of(lambda image, g, weight, size: (image + size * g) * (1 - 2 * size * weight)),
            "The penalty's gradient was taken after",
        ),
        (
            step_of(lambda image, g, weight, size: image + size * (g - weight * (image**2).sum())),
            "The penalty itself was subtracted",
        ),
        (
            step_of(
                lambda image, g, weight, size: image + size * (g - weight * image / image.norm())
            ),
            "The norm is not squared, or",
        ),
        (
            step_of(lambda image, g, weight, size: image + size * (g - 2 * weight * image).sign()),
            "Only the signs of the gradient",
        ),
        (
            step_of(lambda image, g, weight, size: image + size * (g - 2 * weight * image).abs()),
            "The sign of the gradient is lost",
        ),
        (
            step_of(lambda *given: usual(*given).clamp(0, 1)),
            "The image was clipped",
        ),
        (step_of(usual, lambda scores, c: scores[0]), "This climbs another class's"),
        (step_of(usual, lambda scores, c: scores.max()), "This climbs another class's"),
        (step_of(usual, lambda scores, c: scores.sum()), "This climbs another class's"),
        (step_of(usual, lambda scores, c: scores[c + 1]), "This climbs another class's"),
    ],
    checks.check_ascend: [
        (ascend_of(lambda n: 1), "This is one step: take as"),
        (ascend_of(lambda n: n - 1), "This is one step too few:"),
        (ascend_of(lambda n: n + 1), "This is one step too many:"),
        (ascend_of(start=torch.zeros_like), "This starts from zero: start"),
        (ascend_from_the_start_again, "Every step uses the gradient"),
        (ascend_without_clearing, "The gradients of earlier"),
        (ascend_of(sign=-1), "The sign of λ is wrong: the"),
        (lambda network, start, *rest: start.clone(), "This is the start: move it"),
        (
            lambda network, start, *rest: ascend_by_steps(network, start, *rest) - start,
            "how far it has moved",
        ),
        (ascend_of(lambda n: 10), "The number of steps is fixed"),
        (ascend_leaving_gradients, "Called again with the same image"),
        (ascend_with(step_by_pixels), "the network was called again and again"),
        (
            ascend_with(step_of(lambda image, g, weight, size: image + size * g)),
            "The penalty is missing: its",
        ),
        (
            ascend_with(
                step_of(lambda image, g, weight, size: image - size * (g - 2 * weight * image))
            ),
            "This goes downhill",
        ),
        (
            ascend_with(step_of(lambda image, g, weight, size: image + g - 2 * weight * image)),
            "The step size is missing",
        ),
        (
            ascend_with(
                step_of(lambda image, g, weight, size: image + size * (g - weight * image))
            ),
            "A factor is missing: the",
        ),
        (
            ascend_with(step_of(lambda *given: usual(*given).clamp(-1, 1))),
            "The image was clipped",
        ),
        (ascend_with(step_of(usual, lambda scores, c: scores[0])), "This climbs another class's"),
    ],
    checks.check_step_size_limit: [
        (lambda weight: 1 / (2 * weight), "At this step size the optimum"),
        (lambda weight: 1 / 2 / weight, "At this step size the optimum"),
        (lambda weight: 2 / weight, "This is twice the limit:"),
        (lambda weight: weight, "λ is on the wrong side: with"),
        (lambda weight: 2 * weight, "λ is on the wrong side: with"),
        (lambda weight: -1 / weight, "The sign is wrong: 1 − 2αλ"),
        (lambda weight: weight**-2, "λ is taken to a power"),
        (lambda weight: weight**-0.5, "λ is taken to a power"),
        (lambda weight: 1 // weight, "The result was cut to a whole"),
        (lambda weight: int(1 / weight), "The result was cut to a whole"),
        (lambda weight: 1 / 0.5, "It returns the same for any λ"),
        (lambda weight: 1.0, "It returns the same for any λ"),
        (lambda weight: 1 - 2 / weight * weight, "It returns the same for any λ"),
    ],
    checks.check_log_probability_gradient: [
        (log_p_of(lambda g, s, p, c: g[c]), "This is the score's gradient"),
        (log_p_of(lambda g, s, p, c: p[c] * g[c]), "This is the score's gradient with a factor"),
        (
            log_p_of(lambda g, s, p, c: p[c] * (1 - p[c]) * g[c]),
            "This is the score's gradient with a factor",
        ),
        (
            log_p_of(lambda g, s, p, c: p[c] * (g[c] - weighted(p, g))),
            "This is the gradient of the",
        ),
        (
            log_p_of(lambda g, s, p, c: g[c] - weighted(p, g) + p[c] * g[c]),
            "The sum leaves out the class",
        ),
        (log_p_of(lambda g, s, p, c: g[c] - g.sum(0)), "All classes enter with the same weight:"),
        (log_p_of(lambda g, s, p, c: g[c] - g.mean(0)), "All classes enter with the same weight:"),
        (log_p_of(lambda g, s, p, c: g[c] - weighted(s, g)), "The gradients are weighted"),
        (log_p_of(lambda g, s, p, c: g[c] + weighted(p, g)), "The sign of the sum is wrong:"),
        (log_p_of(lambda g, s, p, c: weighted(p, g)), "This is the sum over the"),
        (log_p_of(lambda g, s, p, c: weighted(p, g) - g[c]), "The sign is wrong: this is the"),
        (log_p_of(lambda g, s, p, c: (g[c] - weighted(p, g)) / p[c]), "Divided by P_c once"),
        (log_p_of(lambda g, s, p, c: (1 - p[c]) * g[c]), "The sum has the class c alone"),
        (
            log_p_of(lambda g, s, p, c: g[c] - weighted(p, g) / len(p)),
            "All classes enter with the same weight:",
        ),
        (log_p_of(lambda g, s, p, c: g[c] - p[c] * g.sum(0)), "Every gradient is weighted by P_c"),
        (log_p_of(lambda g, s, p, c: g[c] - weighted(s.exp(), g)), "The gradients are weighted"),
        (log_p_of(lambda g, s, p, c: g[c] - weighted(p.log(), g)), "The gradients are weighted"),
        (log_p_of(lambda g, s, p, c: g[0] - weighted(p, g)), "This belongs to another class"),
        (
            log_p_of(lambda g, s, p, c: g[s.argmax()] - weighted(p, g)),
            "This belongs to another class",
        ),
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
    (checks.check_objective, lambda *given: given),
    (
        checks.check_objective,
        objective_of(lambda s, image, c, weight: s - weight * (image**2).sum()),
    ),
    (
        checks.check_objective,
        objective_of(lambda s, image, c, weight: s[c] - weight * (image**2).sum(0)),
    ),
    (
        checks.check_objective,
        objective_of(lambda s, image, c, weight: s[c] - weight * (image**2).amax()),
    ),
    (
        checks.check_objective,
        objective_of(lambda s, image, c, weight: s[c].abs() - weight * (image**2).sum()),
    ),
    (
        checks.check_objective,
        lambda network, image, c, weight: objective_by_square(network, image, c, 0.5),
    ),
    (checks.check_optimum, lambda w, weight: torch.zeros_like(w)),
    (checks.check_optimum, lambda w, weight: (w / (2 * weight)).flatten()),
    (checks.check_optimum, lambda w, weight: w.div_(2 * weight)),
    (checks.check_optimum, lambda w, weight: (w / (2 * weight)).flip(0)),
    (checks.check_optimum, lambda w, weight: (w / (2 * weight)).tolist()),
    (checks.check_optimum, lambda w, weight: w / (2 * 0.7)),
    (checks.check_ascent_step, lambda *given: step_by_formula(*given)[None]),
    (checks.check_ascent_step, lambda *given: step_by_formula(*given[:-1], 0.1)),
    (checks.check_ascent_step, lambda *given: step_by_formula(*given[:3], 0.5, given[4])),
    (
        checks.check_ascent_step,
        step_of(lambda image, g, weight, size: image + size * (g - 2 * weight)),
    ),
    (
        checks.check_ascent_step,
        step_of(lambda image, g, weight, size: usual(image, g.mean(0), weight, size)),
    ),
    (checks.check_ascend, lambda *given: [ascend_by_steps(*given)]),
    (
        checks.check_ascend,
        lambda *given: objective_by_square(given[0], ascend_by_steps(*given), 0, 1),
    ),
    (checks.check_ascend, ascend_of(lambda n: 2 * n)),
    (checks.check_ascend, lambda network, start, *rest: start.add_(1)),
    (checks.check_step_size_limit, lambda weight: (1 / weight, -1 / weight)),
    (checks.check_step_size_limit, lambda weight: 1 - 2 * weight),
    (checks.check_step_size_limit, lambda weight: 1 / weight + 1),
    (checks.check_step_size_limit, lambda weight: str(1 / weight)),
    (checks.check_log_probability_gradient, log_p_of(lambda g, s, p, c: g - weighted(p, g))),
    (
        checks.check_log_probability_gradient,
        log_p_of(lambda g, s, p, c: (g[c] - weighted(p, g)).sum(0)),
    ),
    (checks.check_log_probability_gradient, log_p_of(lambda g, s, p, c: g[c] - weighted(p**2, g))),
    (
        checks.check_log_probability_gradient,
        log_p_of(lambda g, s, p, c: (g[c] - weighted(p, g)).abs()),
    ),
    (checks.check_log_probability_gradient, log_p_of(lambda g, s, p, c: g.softmax(0)[c])),
]


@pytest.mark.parametrize(("check", "answer"), UNNAMED)
def test_a_wrong_answer_without_a_name_is_told_plainly(check, answer):
    result = check(answer)
    assert result.state == "hint"
    assert re.match(PLAIN, result.message), result


def test_a_step_that_leaves_gradients_is_half_of_the_points():
    result = checks.check_ascent_step(step_with_left_gradients(True))
    assert result.points == 1
    assert result.message.startswith("1 of 2 points: Called again")


def test_the_closed_form_does_not_pass_as_an_ascent():
    def jumps(network, start, c, l2_weight, step_size, steps):
        return network[1].weight[c].view_as(start) / (2 * l2_weight)

    assert not checks.check_ascend(jumps).passed


def test_a_step_that_changes_its_image_in_place_is_told():
    def in_place(network, image, c, l2_weight, step_size):
        image += step_by_formula(network, image, c, l2_weight, step_size) - image
        return image

    assert "argument `image` in place" in checks.check_ascent_step(in_place).message


def test_an_array_is_told_how_to_become_an_image():
    result = checks.check_ascent_step(lambda *given: np.asarray(step_by_formula(*given)))
    assert "`torch.from_numpy`" in result.message
