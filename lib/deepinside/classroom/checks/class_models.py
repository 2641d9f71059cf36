"""Checks of the tasks on class models (paper §2, chapter *Class models*)."""

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Compared, Comparisons, Hint, task
from deepinside.classroom.small_networks import class_gradient, drawn, linear_network, scored_images

_SIGN = (
    "The sign of λ is wrong: the penalty is subtracted, so its gradient pulls towards zero. "
    "With your sign a larger image is rewarded."
)
_FACTOR = "A factor is missing: the gradient of λ‖I‖² is 2λI, not λI."


@task(
    "class-models-objective",
    points=1,
    praise="The class score less the penalty, as a function of the image.",
)
def check_objective(answer: Answer) -> Comparisons:
    """Check ``objective(network, image, class_index, l2_weight)``.

    It should return S_c(I) - λ ||I||² of an image (3, H, W), differentiable.
    """
    for network, image, c in scored_images():
        scores, penalty = network(image[None])[0].detach(), image.square().sum()
        for weight in (0.05, 0.6):
            mistakes = {
                "The sign of λ is wrong: the penalty is subtracted, so that a long image "
                "costs.": scores[c] + weight * penalty,
                "The norm is not squared: the penalty is λ times the sum of the squared "
                "values.": scores[c] - weight * penalty.sqrt(),
                "The squares are averaged: ‖I‖² is their sum.": (
                    scores[c] - weight * image.square().mean()
                ),
                "The penalty is halved: it is λ‖I‖², without a factor.": (
                    scores[c] - weight / 2 * penalty
                ),
                "The penalty is missing: subtract λ‖I‖².": scores[c],
                "This is the soft-max probability less the penalty: take the class score.": (
                    scores.softmax(0)[c] - weight * penalty
                ),
                "This is the log-probability less the penalty: take the class score.": (
                    scores.log_softmax(0)[c] - weight * penalty
                ),
                "This is the highest score: take that of the class that was asked for.": (
                    scores.max() - weight * penalty
                ),
            }
            value = answer(network, image, c, weight)
            yield Compared("the objective", value, scores[c] - weight * penalty, mistakes)
            _check_graph(answer, network, image, c, weight)


def _check_graph(answer: Answer, network: nn.Module, image: Tensor, c: int, weight: float) -> None:
    """Raise a hint unless the gradient of the answer reaches the image."""
    answer(network, image.clone().requires_grad_(), c, weight)
    value, given = answer.again(), answer.given[1]
    reached = None
    if isinstance(value, Tensor) and value.requires_grad:
        reached = torch.autograd.grad(value.sum(), given, allow_unused=True)[0]
    right = (_step(network, image, c, weight, 1.0) - image).to(given.dtype)
    if reached is None or not torch.allclose(reached, right, rtol=0, atol=1e-4):
        raise Hint(
            "The value is right, but no gradient leads from it back to the image: return the "
            "tensor, without `.item()`, `.detach()` or `torch.no_grad()`."
        )


@task("class-models-optimum", points=1, praise="There the gradient w − 2λI is zero.")
def check_optimum(answer: Answer) -> Comparisons:
    """Check ``optimum(w, l2_weight)``.

    It should return the image of the largest w^T I - λ ||I||², which is w / 2λ.
    """
    for seed, weight in ((1, 0.2), (2, 3.0)):
        w = drawn(3, 2, 4, seed=seed)
        mistakes = {
            _FACTOR: w / weight,
            "The sign is wrong: the best image points along the weights, not against them.": [
                -w / (2 * weight),
                -w / weight,
            ],
            "λ is on the wrong side: a larger penalty gives an image of smaller norm.": [
                2 * weight * w,
                weight * w,
            ],
            "Only the direction is right: λ decides the norm of the image.": [w, w / w.norm()],
        }
        yield Compared("the image", answer(w, weight), w / (2 * weight), mistakes)


@task(
    "class-models-step",
    points=2,
    praise="One step uphill in the score, and towards zero by the penalty.",
)
def check_ascent_step(answer: Answer) -> Comparisons:
    """Check ``ascent_step(network, image, class_index, l2_weight, step_size)``.

    It should return I + α (dS_c/dI - 2λI), the same when called again.
    """
    for network, image, c in scored_images():
        for weight, size in ((0.05, 0.3), (0.6, 0.1)):
            uphill, penalty = class_gradient(network, image, c), 2 * weight * image
            change = uphill - penalty
            mistakes = {
                _SIGN: image + size * (uphill + penalty),
                _FACTOR: image + size * (uphill - penalty / 2),
                "The penalty is missing: its gradient, 2λI, is subtracted from the score's.": image
                + size * uphill,
                "This goes downhill: add the step size times the gradient.": [
                    image - size * change,
                    image - size * uphill,
                ],
                "The gradient was scaled to norm 1: the paper's step follows it as it is.": [
                    image + size * change / change.norm(),
                    image + size * (uphill / uphill.norm() - penalty),
                ],
                "This is the change alone: return the image with the change added.": [
                    size * change,
                    change,
                ],
                "The step size is missing: the step is α times the gradient.": image + change,
                "This climbs the soft-max probability: the paper climbs the class score.": (
                    image + size * (class_gradient(network, image, c, torch.softmax) - penalty)
                ),
                "This climbs the log-probability: the paper climbs the class score.": (
                    image + size * (class_gradient(network, image, c, torch.log_softmax) - penalty)
                ),
            }
            value, right = answer(network, image, c, weight, size), image + size * change
            yield Compared("the image", value, right, mistakes)
            if isinstance(value, Tensor) and value.grad_fn is not None:
                raise Hint(
                    "The new image still carries the graph of the step, and so would all steps "
                    "after it: return `.detach()` of it, or use `torch.autograd.grad`."
                )
            answer.repeat(right)


@task(
    "class-models-ascent",
    points=2,
    praise="On a linear score it reaches w / 2λ, on a network it climbs as it should.",
)
def check_ascend(answer: Answer) -> Comparisons:
    """Check ``ascend(network, start, class_index, l2_weight, step_size, steps)``.

    It should return the image after so many ascent steps from a start (3, H, W).
    """
    linear = linear_network(drawn(2, 3, 2, 4, seed=3), drawn(2, seed=4))
    cases = [(linear, drawn(3, 2, 4, seed=5), 1, 0.5, 0.2, 3)]
    # long enough for the closed form, in which most mistakes end as well
    cases += [(linear, drawn(3, 2, 4, seed=5), 0, 0.5, 0.25, 60)]
    cases += [(*scored, 0.1, 0.3, 4) for scored in scored_images()]
    for network, start, c, weight, size, steps in cases:
        step = _step(network, start, c, weight, size)
        mistakes = {
            "This is one step: take as many as were asked for, each from the last one's "
            "image.": step,
            "This is one step too few: does the loop run `steps` times?": _ascended(
                network, start, c, weight, size, steps - 1
            ),
            "This is one step too many: does the loop run `steps` times?": _ascended(
                network, start, c, weight, size, steps + 1
            ),
            "This starts from zero: start from the image that was given.": _ascended(
                network, torch.zeros_like(start), c, weight, size, steps
            ),
            "Every step uses the gradient at the start: take it at the image of the step "
            "before.": start + steps * (step - start),
            "The gradients of earlier steps are still in the sum: `.backward()` adds to `.grad`, "
            "so set it to `None` after each step, or use `torch.autograd.grad`.": _accumulated(
                network, start, c, weight, size, steps
            ),
            _SIGN: _ascended(network, start, c, -weight, size, steps),
        }
        value = answer(network, start, c, weight, size, steps)
        right = _ascended(network, start, c, weight, size, steps)
        yield Compared("the image", value, right, mistakes)


@task(
    "class-models-limit",
    points=1,
    praise="From this step size on, every step ends at least as far from the optimum as it began.",
)
def check_step_size_limit(answer: Answer) -> Comparisons:
    """Check ``step_size_limit(l2_weight)``.

    It should return the step size from which the ascent of a linear score diverges, 1 / λ.
    """
    for weight in (0.05, 0.3, 4.0):
        mistakes = {
            "At this step size the optimum is reached in one step, the factor is 0: the limit is "
            "where the factor 1 − 2αλ is −1.": 1 / weight / 2,
            "This is twice the limit: where is the factor 1 − 2αλ equal to −1?": 2 / weight,
            "λ is on the wrong side: with a larger penalty the steps must be smaller.": [
                weight,
                2 * weight,
            ],
        }
        yield Compared("the limit", answer(weight), 1 / weight, mistakes)


@task(
    "class-models-log-probability",
    points=3,
    praise="Every class enters with its probability, so pushing a strong rival down counts, too.",
)
def check_log_probability_gradient(answer: Answer) -> Comparisons:
    """Check ``log_probability_gradient(gradients, scores, class_index)``.

    It should return d log P_c / dI, made of all classes' gradients (K, 3, H, W) and
    scores (K,).
    """
    for seed, c in ((1, 2), (2, 0)):
        gradients, scores = drawn(4, 3, 2, 5, seed=seed), drawn(4, seed=seed + 10)
        p = scores.softmax(0)
        weighted = p[:, None, None, None] * gradients
        own, mean = gradients[c], weighted.sum(0)
        mistakes = {
            "This is the score's gradient alone: the other classes enter with their P_k.": own,
            "This is the gradient of the probability: that of its logarithm has no factor P_c.": p[
                c
            ]
            * (own - mean),
            "The sum leaves out the class itself: k runs over all classes, c included.": (
                own - (mean - weighted[c])
            ),
            "All classes enter with the same weight: weight each gradient by its probability.": [
                own - gradients.sum(0),
                own - gradients.mean(0),
            ],
            "The gradients are weighted by the scores: use their soft-max, the P_k.": (
                own - (scores[:, None, None, None] * gradients).sum(0)
            ),
            "The sign of the sum is wrong: a rising rival lowers the log-probability.": own + mean,
            "This is the sum over the classes alone: subtract it from ∂S_c/∂I.": [mean, -mean],
        }
        yield Compared("the gradient", answer(gradients, scores, c), own - mean, mistakes)


def _step(network: nn.Module, image: Tensor, c: int, weight: float, size: float) -> Tensor:
    return image + size * (class_gradient(network, image, c) - 2 * weight * image)


def _ascended(
    network: nn.Module, image: Tensor, c: int, weight: float, size: float, steps: int
) -> Tensor:
    for _ in range(steps):
        image = _step(network, image, c, weight, size)
    return image


def _accumulated(
    network: nn.Module, image: Tensor, c: int, weight: float, size: float, steps: int
) -> Tensor:
    """Return what comes of steps that never clear the gradient."""
    total = torch.zeros_like(image)
    for _ in range(steps):
        total = total + _step(network, image, c, weight, 1.0) - image
        image = image + size * total
    return image
