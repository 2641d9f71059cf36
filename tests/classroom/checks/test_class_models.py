import numpy as np
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
    ],
    checks.check_optimum: [
        optimum_by_formula,
        optimum_by_ascent,
        optimum_by_numpy,
    ],
    checks.check_ascent_step: [
        step_by_formula,
        step_by_objective,
        step_by_cleared_grad,
    ],
    checks.check_ascend: [
        ascend_by_steps,
        ascend_in_place,
        ascend_by_optimizer,
    ],
    checks.check_step_size_limit: [
        limit,
        limit_from_factor,
    ],
    checks.check_log_probability_gradient: [
        log_p_by_einsum,
        log_p_by_loop,
        log_p_by_autograd,
    ],
}


# ---- wrong answers, one for each hint at least


def objective_of(value):
    return lambda network, image, c, weight: value(network(image[None])[0], image, c, weight)


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
            "The value is right, but no",
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
        (step_on_the_graph, "The new image still carries the graph"),
    ],
    checks.check_ascend: [
        (ascend_of(lambda n: 1), "This is one step: take as"),
        (ascend_of(lambda n: n - 1), "This is one step too few:"),
        (ascend_of(lambda n: n + 1), "This is one step too many:"),
        (ascend_of(start=torch.zeros_like), "This starts from zero: start"),
        (ascend_from_the_start_again, "Every step uses the gradient"),
        (ascend_without_clearing, "The gradients of earlier"),
        (ascend_of(sign=-1), "The sign of λ is wrong: the"),
    ],
    checks.check_step_size_limit: [
        (lambda weight: 1 / (2 * weight), "At this step size the optimum"),
        (lambda weight: 1 / 2 / weight, "At this step size the optimum"),
        (lambda weight: 2 / weight, "This is twice the limit:"),
        (lambda weight: weight, "λ is on the wrong side: with"),
        (lambda weight: 2 * weight, "λ is on the wrong side: with"),
    ],
    checks.check_log_probability_gradient: [
        (log_p_of(lambda g, s, p, c: g[c]), "This is the score's gradient"),
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
    ],
}


(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


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
