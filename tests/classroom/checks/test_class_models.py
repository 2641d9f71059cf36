import numpy as np
import pytest
import torch
from tables import judge_watched, right_cases, wrong_cases

from deepinside.classroom.checks import class_models as check_class_models
from deepinside.classroom.checks.class_models import (
    HINTS,
    check_ascend,
    check_ascent_step,
    check_log_probability_gradient,
    check_objective,
    check_optimum,
    check_step_size_limit,
)

CHECKS = {
    "objective": check_objective,
    "optimum": check_optimum,
    "ascent_step": check_ascent_step,
    "ascend": check_ascend,
    "step_size_limit": check_step_size_limit,
    "log_probability_gradient": check_log_probability_gradient,
}


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
    return 0.5 * w.numpy() / l2_weight


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
    "objective": [objective_by_square, objective_by_norm, objective_by_product],
    "optimum": [optimum_by_formula, optimum_by_ascent, optimum_by_numpy],
    "ascent_step": [step_by_formula, step_by_objective, step_by_cleared_grad],
    "ascend": [ascend_by_steps, ascend_in_place, ascend_by_optimizer],
    "step_size_limit": [limit, limit_from_factor],
    "log_probability_gradient": [log_p_by_einsum, log_p_by_loop, log_p_by_autograd],
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


def ascend_of(steps=lambda n: n, start=lambda one: one, sign=1):
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
    "objective": {
        "sign": [objective_of(lambda s, image, c, weight: s[c] + weight * image.square().sum())],
        "root": [objective_of(lambda s, image, c, weight: s[c] - weight * image.norm())],
        "mean": [objective_of(lambda s, image, c, weight: s[c] - weight * (image**2).mean())],
        "half": [objective_of(lambda s, image, c, weight: s[c] - weight / 2 * (image**2).sum())],
        "no_penalty": [objective_of(lambda s, image, c, weight: s[c])],
        "softmax": [
            objective_of(lambda s, image, c, weight: s.softmax(0)[c] - weight * (image**2).sum())
        ],
        "log_softmax": [
            objective_of(
                lambda s, image, c, weight: s.log_softmax(0)[c] - weight * (image**2).sum()
            )
        ],
        "top": [objective_of(lambda s, image, c, weight: s.max() - weight * (image**2).sum())],
        "cut": [
            lambda *given: objective_by_square(*given).item(),
            lambda *given: objective_by_square(*given).detach(),
            torch.no_grad()(objective_by_square),
            lambda network, image, c, weight: (
                network(image[None])[0, c] - weight * image.square().sum().item()
            ),
            lambda network, image, c, weight: objective_by_square(
                network, image.detach().requires_grad_(), c, weight
            ),
        ],
    },
    "optimum": {
        "factor": [lambda w, weight: w / weight],
        "sign": [lambda w, weight: -w / (2 * weight)],
        "product": [lambda w, weight: 2 * weight * w, lambda w, weight: w / 2 * weight * 4],
        "direction": [lambda w, weight: w / w.norm(), lambda w, weight: w],
    },
    "ascent_step": {
        "sign": [step_of(lambda image, g, weight, size: image + size * (g + 2 * weight * image))],
        "factor": [step_of(lambda image, g, weight, size: image + size * (g - weight * image))],
        "no_penalty": [step_of(lambda image, g, weight, size: image + size * g)],
        "descent": [
            step_of(lambda image, g, weight, size: image - size * (g - 2 * weight * image)),
            step_of(lambda image, g, weight, size: image - size * g),
        ],
        "normalized": [
            step_of(
                lambda image, g, weight, size: (
                    image + size * (g - 2 * weight * image) / (g - 2 * weight * image).norm()
                )
            ),
            step_of(lambda image, g, weight, size: usual(image, g / g.norm(), weight, size)),
        ],
        "increment": [
            step_of(lambda image, g, weight, size: size * (g - 2 * weight * image)),
            step_of(lambda image, g, weight, size: g - 2 * weight * image),
        ],
        "no_step_size": [step_of(lambda image, g, weight, size: image + g - 2 * weight * image)],
        "softmax": [step_of(usual, lambda scores, c: scores.softmax(0)[c])],
        "log_softmax": [step_of(usual, lambda scores, c: scores.log_softmax(0)[c])],
        "left": [step_with_left_gradients(True), step_with_left_gradients(False)],
        "graph": [step_on_the_graph],
    },
    "ascend": {
        "once": [ascend_of(lambda n: 1)],
        "few": [ascend_of(lambda n: n - 1)],
        "many": [ascend_of(lambda n: n + 1)],
        "start": [ascend_of(start=torch.zeros_like)],
        "start_again": [ascend_from_the_start_again],
        "left": [ascend_without_clearing],
        "sign": [ascend_of(sign=-1)],
    },
    "step_size_limit": {
        "best": [lambda weight: 1 / (2 * weight), lambda weight: 1 / 2 / weight],
        "twice": [lambda weight: 2 / weight],
        "product": [lambda weight: weight, lambda weight: 2 * weight],
    },
    "log_probability_gradient": {
        "score": [log_p_of(lambda g, s, p, c: g[c])],
        "probability": [log_p_of(lambda g, s, p, c: p[c] * (g[c] - weighted(p, g)))],
        "others": [log_p_of(lambda g, s, p, c: g[c] - weighted(p, g) + p[c] * g[c])],
        "unweighted": [
            log_p_of(lambda g, s, p, c: g[c] - g.sum(0)),
            log_p_of(lambda g, s, p, c: g[c] - g.mean(0)),
        ],
        "by_score": [log_p_of(lambda g, s, p, c: g[c] - weighted(s, g))],
        "plus": [log_p_of(lambda g, s, p, c: g[c] + weighted(p, g))],
        "sum_alone": [log_p_of(lambda g, s, p, c: weighted(p, g))],
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
    assert result.message == HINTS[task][name]


def test_every_hint_is_tried():
    assert {task: set(hints) for task, hints in WRONG.items()} == {
        task: set(hints) for task, hints in HINTS.items()
    }
    assert set(CHECKS) == set(HINTS) == set(RIGHT)


@pytest.mark.parametrize("task", CHECKS)
def test_no_mistake_gives_the_right_result(task, monkeypatch):
    assert judge_watched(check_class_models, CHECKS[task], RIGHT[task][0], monkeypatch)


def test_the_closed_form_does_not_pass_as_an_ascent():
    def jumps(network, start, c, l2_weight, step_size, steps):
        return network[1].weight[c].view_as(start) / (2 * l2_weight)

    assert not check_ascend(jumps).passed


def test_a_step_that_changes_its_image_in_place_is_told():
    def in_place(network, image, c, l2_weight, step_size):
        image += step_by_formula(network, image, c, l2_weight, step_size) - image
        return image

    assert "argument `image` in place" in check_ascent_step(in_place).message


def test_an_image_of_numbers_may_come_as_an_array():
    assert check_ascent_step(lambda *given: np.asarray(step_by_formula(*given))).passed
