"""Checks of the tasks on class models (paper §2, chapter *Class models*)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Compared, Comparisons, Example, Hint, task
from deepinside.classroom.small_networks import (
    class_gradient,
    drawn,
    gradient,
    linear_network,
    relu_network,
)

_SIGN = (
    "The sign of λ is wrong: the penalty is subtracted, so its gradient pulls towards zero. "
    "With your sign a larger image is rewarded."
)
_FACTOR = "A factor is missing: the gradient of λ‖I‖² is 2λI, not λI."
_PILED = (
    "Called again with the same image, it returns something else: gradients were left from the "
    "earlier call. `.backward()` *adds* to `.grad`; start from `image.detach().clone()`, or use "
    "`torch.autograd.grad`."
)


def _centered() -> list[tuple[nn.Sequential, Tensor, int]]:
    """Return networks, zero-centered images and classes, none of them 0 or that on top."""
    cases = (((4, 6), 7, 3), ((5, 3), 11, 1))
    found = [
        (relu_network(size, classes=5, seed=seed), drawn(3, *size, seed=seed) / 4, c)
        for size, seed, c in cases
    ]
    found[1][0].requires_grad_(False)  # as the networks of the book are
    return found


def _two_pixels() -> tuple[nn.Sequential, Tensor]:
    """Return the score 3 I₀ - I₁ of two pixels, and the image (1, -2)."""
    network = linear_network(torch.tensor([[[[3.0, -1.0]]]]), torch.zeros(1))
    return network, torch.tensor([[[1.0, -2.0]]])


def _objective_example() -> Example:
    network, image = _two_pixels()
    shown = (
        "The image is (1, -2), the score 3 · 1 - 1 · (-2) = 5. ‖I‖² is 1 + 4 = 5, and λ is 0.5: "
        "5 - 0.5 · 5."
    )
    return Example((network, image, 0, 0.5), shown, 2.5)


@task(
    "class-models-objective",
    points=1,
    minutes=10,
    praise="The class score less the penalty, as a function of the image.",
    example=_objective_example,
)
def check_objective(answer: Answer) -> Comparisons:
    """Check ``objective(network, image, class_index, l2_weight)``.

    It should return S_c(I) - λ ||I||² of an image (3, H, W), differentiable.
    """
    for network, image, c in _centered():
        scores, penalty = network(image[None])[0].detach(), image.square().sum()
        for weight in (0.0625, 0.625):
            cost, squares = weight * penalty, image.square()
            mistakes = {
                "The sign of λ is wrong: the penalty is subtracted, so that a long image "
                "costs.": scores[c] + cost,
                "This is what a minimization takes, with its sign turned: return S_c(I) − λ‖I‖², "
                "which is to become large.": cost - scores[c],
                "The norm is not squared: the penalty is λ times the sum of the squared "
                "values.": scores[c] - weight * penalty.sqrt(),
                "These are magnitudes or plain values, added up: ‖I‖² is the sum of the squares.": [
                    scores[c] - weight * image.abs().sum(),
                    scores[c] - weight * image.sum(),
                ],
                "The values were added before they were squared: square each, then add.": scores[c]
                - weight * image.sum().square(),
                "The squares are averaged: ‖I‖² is their sum.": scores[c] - weight * squares.mean(),
                "The penalty is halved: it is λ‖I‖², without a factor.": scores[c] - cost / 2,
                "The penalty has a factor 2: that comes with its gradient. Here it is "
                "λ‖I‖².": scores[c] - 2 * cost,
                "λ is squared: the penalty is λ‖I‖².": scores[c] - weight * cost,
                "λ is missing: the penalty is λ‖I‖².": scores[c] - penalty,
                "The penalty is missing: subtract λ‖I‖².": scores[c],
                "The score is missing: it is S_c(I) − λ‖I‖².": [-cost, cost],
                "This is the soft-max probability less the penalty: take the class score.": (
                    scores.softmax(0)[c] - cost
                ),
                "This is the log-probability less the penalty: take the class score.": (
                    scores.log_softmax(0)[c] - cost
                ),
                "This is the highest score: take that of the class that was asked for.": (
                    scores.max() - cost
                ),
                "This takes another class's score: take that of the class that was asked for.": [
                    scores[k] - cost for k in (0, c - 1, (c + 1) % 5)
                ],
                "This takes the scores of all classes: take that of the class that was asked "
                "for.": [scores.sum() - cost, scores.mean() - cost],
            }
            value = answer(network, image, c, weight)
            yield Compared("the objective", value, scores[c] - cost, mistakes)
            _check_graph(answer, network, image, c, weight)


def _check_graph(answer: Answer, network: nn.Module, image: Tensor, c: int, weight: float) -> None:
    """Raise a hint unless the gradient of the answer reaches the image."""
    answer(network, image.clone().requires_grad_(), c, weight)
    value, given = answer.again(), answer.given[1]
    reached = None
    if isinstance(value, Tensor) and value.requires_grad:
        reached = torch.autograd.grad(value.sum(), given, allow_unused=True)[0]
    of_score, of_penalty = class_gradient(network, image, c), -2 * weight * image
    if reached is None:
        raise Hint(
            "The value is right, but no gradient leads from it back to the image: return the "
            "tensor, without `.item()`, `float(...)`, `.detach()` or `torch.no_grad()`, and use "
            "the very `image` that was handed over."
        )
    if _close(reached, of_score):
        raise Hint(
            "The value is right, and the score's gradient arrives at the image; that of the "
            "penalty does not: compute it of `image` without `.item()` or `.detach()`."
        )
    if _close(reached, of_penalty):
        raise Hint(
            "The value is right, and the penalty's gradient arrives at the image; that of the "
            "score does not: hand `image` itself to the network, without `.detach()`."
        )
    if not _close(reached, of_score + of_penalty):
        raise Hint("The value is right, but its gradient with respect to the image is not.")


def _close(got: Tensor, right: Tensor) -> bool:
    return torch.allclose(got.double(), right, rtol=0, atol=1e-4 * right.abs().max().item())


def _optimum_example() -> Example:
    shown = (
        "w is (3, -1) and λ is 0.25. Where wᵀI − λ‖I‖² is largest its gradient w − 2λI is zero: "
        "3 - 0.5 I₀ = 0 and -1 - 0.5 I₁ = 0."
    )
    return Example((torch.tensor([[[3.0, -1.0]]]), 0.25), shown, torch.tensor([[[6.0, -2.0]]]))


@task(
    "class-models-optimum",
    points=1,
    minutes=5,
    praise="There the gradient w − 2λI is zero.",
    example=_optimum_example,
)
def check_optimum(answer: Answer) -> Comparisons:
    """Check ``optimum(w, l2_weight)``.

    It should return the image of the largest w^T I - λ ||I||², which is w / 2λ.
    """
    for seed, weight in ((1, 0.1875), (2, 3.0)):
        w = drawn(3, 2, 4, seed=seed)
        right = w / (2 * weight)
        mistakes = {
            _FACTOR: w / weight,
            "A factor is wrong: w − 2λI = 0 gives I = w / (2λ).": [
                2 * w / weight,
                w / (4 * weight),
            ],
            "The sign is wrong: the best image points along the weights, not against them.": [
                -right,
                -w / weight,
            ],
            "The sign is lost: where a weight is negative, so is the best image.": [
                right.abs(),
                right.clamp(min=0),
            ],
            "λ is on the wrong side: a larger penalty gives an image of smaller norm. Without "
            "parentheses `w / 2 * λ` multiplies by λ.": [
                2 * weight * w,
                weight * w,
                weight * w / 2,
            ],
            "λ is taken to a power: w − 2λI = 0 is solved for I.": [
                w / (2 * weight**2),
                w / math.sqrt(2 * weight),
                w / (2 * math.sqrt(weight)),
            ],
            "Only the direction is right: λ decides the norm of the image.": [
                w,
                w / 2,
                w / w.norm(),
            ],
            "The image was scaled to a norm of its own: it is w / (2λ).": right / w.norm(),
            "The image was clipped: here it is zero-centered, and the penalty alone bounds it.": [
                right.clamp(0, 1),
                right.clamp(-1, 1),
            ],
            "This is the largest value: return the image at which it lies.": (
                w.square().sum() / (4 * weight)
            ),
        }
        yield Compared("the image", answer(w, weight), right, mistakes)


_STEP, _AGAIN = "the step", "a new image, the same again"


def _step_example() -> Example:
    network, image = _two_pixels()
    shown = (
        "The score is 3 I₀ - I₁, the image (1, -2), λ is 0.5 and α 0.25. The score's gradient is "
        "(3, -1), 2λI is (1, -2): the difference is (2, 1). α times it, (0.5, 0.25), is added to "
        "the image."
    )
    return Example((network, image, 0, 0.5, 0.25), shown, torch.tensor([[[1.5, -1.75]]]))


@task(
    "class-models-step",
    points=2,
    minutes=15,
    praise="One step uphill in the score, and towards zero by the penalty.",
    parts={_STEP: 1, _AGAIN: 1},
    example=_step_example,
)
def check_ascent_step(answer: Answer) -> Comparisons:
    """Check ``ascent_step(network, image, class_index, l2_weight, step_size)``.

    It should return I + α (dS_c/dI - 2λI), without a graph, the same when called again.
    """
    for network, image, c in _centered():
        for weight, size in ((0.0625, 0.375), (0.625, 0.125)):
            value = answer(network, image, c, weight, size)
            passes = answer.forwards
            uphill, penalty = class_gradient(network, image, c), 2 * weight * image
            change = uphill - penalty
            right = image + size * change
            mistakes = {
                hint: [step(image) for step in steps]
                for hint, steps in _wrong_steps(network, c, weight, size).items()
            }
            mistakes["This is the change alone: return the image with the change added."] = [
                size * change,
                change,
                uphill,
            ]
            yield Compared("the image", value, right, mistakes, part=_STEP)
            yield _few_passes(passes, 1, _STEP)
            graph = {
                "The new image still requires a gradient, and so would carry the graphs of all "
                "steps after it: return `.detach()` of it, or use `torch.autograd.grad`.": 1.0
            }
            if not any(parameter.requires_grad for parameter in network.parameters()):
                has_graph = float(isinstance(value, Tensor) and value.requires_grad)
                yield Compared("the graph", has_graph, 0.0, graph, part=_AGAIN)
            try:
                second = answer.again()
            except Hint as hint:
                second = hint
            piled = {_PILED: [image + size * (change + extra) for extra in (change, uphill)]}
            yield Compared("the second image", second, right, piled, part=_AGAIN)


def _few_passes(passes: int, steps: int, part: str = "") -> Compared:
    """Compare whether the network was called a few times a step, and not for every pixel."""
    hint = (
        "The image is right, but the network was called again and again for one step, as if each "
        "pixel or each class needed its own: one forward and one backward pass give the whole "
        "gradient. With a real network yours would take minutes."
    )
    return Compared("the passes", float(passes > 4 * steps), 0.0, {hint: [1.0, 0.0]}, part=part)


_Step = Callable[[Tensor], Tensor]


def _wrong_steps(network: nn.Module, c: int, weight: float, size: float) -> dict[str, list[_Step]]:
    """Return the steps that are wrong in one thing."""

    def uphill(image: Tensor) -> Tensor:
        return class_gradient(network, image, c)

    def change(image: Tensor) -> Tensor:
        return uphill(image) - 2 * weight * image

    def along(direction: _Step, penalty: float = 2 * weight) -> _Step:
        """Return the step whose score's gradient is another one."""
        return lambda image: image + size * (direction(image) - penalty * image)

    def of_class(k: int) -> _Step:
        return along(lambda image: class_gradient(network, image, k))

    def of_goal(goal: Callable[[Tensor, int], Tensor]) -> _Step:
        return along(lambda image: class_gradient(network, image, c, goal))

    def top(image: Tensor) -> Tensor:
        return gradient(network, image, lambda scores: scores.max())

    def then_shrunk(image: Tensor) -> Tensor:
        moved = image + size * uphill(image)
        return moved - 2 * size * weight * moved

    return {
        _SIGN: [along(uphill, -2 * weight)],
        _FACTOR: [along(uphill, weight)],
        "The penalty is missing: its gradient, 2λI, is subtracted from the score's.": [
            along(uphill, 0)
        ],
        "The norm is not squared, or its squares are averaged: the penalty is λ times the sum of "
        "the squares, its gradient 2λI.": [
            lambda image: image + size * (uphill(image) - weight * image / image.norm()),
            lambda image: image + size * (uphill(image) - 2 * weight * image / image.numel()),
        ],
        "The penalty itself was subtracted: its gradient is 2λI.": [
            lambda image: image + size * (uphill(image) - weight * image.square().sum()),
            lambda image: image + size * (uphill(image) - weight * image.square()),
        ],
        "This goes downhill: add the step size times the gradient.": [
            lambda image: image - size * change(image),
            lambda image: image - size * uphill(image),
        ],
        "The gradient was scaled to norm 1, or to a largest value of 1: the paper's step follows "
        "it as it is.": [
            lambda image: image + size * change(image) / change(image).norm(),
            along(lambda image: uphill(image) / uphill(image).norm()),
            lambda image: image + size * change(image) / change(image).abs().max(),
            along(lambda image: uphill(image) / uphill(image).abs().max()),
        ],
        "Only the signs of the gradient were used: the step follows the gradient as it is.": [
            lambda image: image + size * change(image).sign(),
            along(lambda image: uphill(image).sign()),
        ],
        "The sign of the gradient is lost: where it is negative, the image becomes darker.": [
            lambda image: image + size * change(image).abs(),
            along(lambda image: uphill(image).abs()),
        ],
        "The step size is missing: the step is α times the gradient.": [
            lambda image: image + change(image)
        ],
        "The step size belongs to the penalty's gradient as well: α (∂S_c/∂I − 2λI).": [
            lambda image: image + size * uphill(image) - 2 * weight * image,
            lambda image: image + uphill(image) - 2 * size * weight * image,
        ],
        "The penalty's gradient was taken after the step: take both at the same image.": [
            then_shrunk
        ],
        "This climbs the soft-max probability: the paper climbs the class score.": [
            of_goal(torch.softmax)
        ],
        "This climbs the log-probability: the paper climbs the class score.": [
            of_goal(torch.log_softmax)
        ],
        "This climbs another class's score, or all of them: take the class that was asked for.": [
            along(top),
            along(lambda image: gradient(network, image, torch.sum)),
            *(of_class(k) for k in {0, c - 1, c + 1} if 0 <= k != c and k < _count(network)),
        ],
        "The image was clipped: here it is zero-centered, and the penalty alone bounds it.": [
            lambda image: (image + size * change(image)).clamp(0, 1),
            lambda image: (image + size * change(image)).clamp(-0.5, 0.5),
            lambda image: (image + size * change(image)).clamp(-1, 1),
        ],
    }


def _count(network: nn.Module) -> int:
    """Return how many classes a small network has."""
    return next(layer.out_features for layer in network.children() if isinstance(layer, nn.Linear))


def _ascent_example() -> Example:
    network, _ = _two_pixels()
    shown = (
        "The score is 3 I₀ - I₁, the start (0, 0), λ is 0.5 and α 0.25; two steps. The first "
        "gradient is (3, -1), so the image becomes (0.75, -0.25). The second is (3, -1) - "
        "(0.75, -0.25) = (2.25, -0.75), of which a quarter is added."
    )
    right = torch.tensor([[[1.3125, -0.4375]]])
    return Example((network, torch.zeros(1, 1, 2), 0, 0.5, 0.25, 2), shown, right)


@task(
    "class-models-ascent",
    points=2,
    minutes=10,
    praise="On a linear score it reaches w / 2λ, on a network it climbs as it should.",
    example=_ascent_example,
)
def check_ascend(answer: Answer) -> Comparisons:
    """Check ``ascend(network, start, class_index, l2_weight, step_size, steps)``.

    It should return the image after so many ascent steps from a start (C, H, W).
    """
    linear = linear_network(drawn(2, 3, 2, 4, seed=3), drawn(2, seed=4))
    cases = [(*case, 0.125, 0.375, steps) for case, steps in zip(_centered(), (4, 3), strict=True)]
    # the same for other numbers of steps, one of them long enough for the closed form, in which
    # most mistakes end as well
    cases += [(linear, drawn(3, 2, 4, seed=5), 1, 0.5, 0.25, steps) for steps in (1, 3, 36)]
    for network, start, c, weight, size, steps in cases:
        value = answer(network, start, c, weight, size, steps)
        passes = answer.forwards
        step = _step(network, start, c, weight, size)
        mistakes = {
            "This is the start: move it, step by step.": start,
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
            "This is not the image but how far it has moved: return the image.": (
                _ascended(network, start, c, weight, size, steps) - start
            ),
            "The gradients of earlier steps are still in the sum: `.backward()` adds to `.grad`, "
            "so set it to `None` after each step, or use `torch.autograd.grad`.": _accumulated(
                network, start, c, weight, size, steps
            ),
            "The number of steps is fixed: take as many as `steps` says.": [
                _ascended(network, start, c, weight, size, fixed) for fixed in (10, 20)
            ],
        }
        for hint, wrong in _wrong_steps(network, c, weight, size).items():
            mistakes[hint] = [_repeated(one, start, steps) for one in wrong]
        right = _ascended(network, start, c, weight, size, steps)
        yield Compared("the image", value, right, mistakes)
        yield _few_passes(passes, steps)
        answer.repeat(right)


def _repeated(step: _Step, image: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        image = step(image)
    return image


def _limit_example() -> Example:
    shown = (
        "λ is 0.25, so the factor 1 − 2αλ is 1 - 0.5 α. It is 0 for α = 2; asked for is the α for "
        "which it is -1."
    )
    return Example((0.25,), shown, 4.0)


@task(
    "class-models-limit",
    points=1,
    minutes=5,
    optional=True,
    praise="From this step size on, every step ends at least as far from the optimum as it began.",
    example=_limit_example,
)
def check_step_size_limit(answer: Answer) -> Comparisons:
    """Check ``step_size_limit(l2_weight)``.

    It should return the step size from which the ascent of a linear score diverges, 1 / λ.
    """
    weights = (0.0625, 0.3, 4.0)
    values = [answer(weight) for weight in weights]
    for value, weight in zip(values, weights, strict=True):
        mistakes = {
            "At this step size the optimum is reached in one step, the factor is 0: the limit is "
            "where the factor 1 − 2αλ is −1.": 1 / weight / 2,
            "This is twice the limit: where is the factor 1 − 2αλ equal to −1?": 2 / weight,
            "λ is on the wrong side: with a larger penalty the steps must be smaller.": [
                weight,
                2 * weight,
                weight / 2,
            ],
            "The sign is wrong: 1 − 2αλ = −1 holds for a positive α.": [-1 / weight, -weight],
            "λ is taken to a power: 1 − 2αλ = −1 is solved for α.": [
                1 / weight**2,
                1 / math.sqrt(weight),
            ],
            "The result was cut to a whole number: `/` keeps the fraction, `//` and `int` drop "
            "it.": math.floor(1 / weight),
            "It returns the same for any λ, but the smaller λ, the larger the steps may "
            "be.": values[0],
        }
        yield Compared("the limit", value, 1 / weight, mistakes)


def _log_probability_example() -> Example:
    gradients = torch.tensor([[[[2.0, 0.0]]], [[[0.0, 4.0]]]])
    shown = (
        "Two classes with the scores 0 and 1.0986, so P = (0.25, 0.75), and the gradients (2, 0) "
        "and (0, 4). Weighted by P they add up to 0.25 · (2, 0) + 0.75 · (0, 4) = (0.5, 3). "
        "Asked for is the class 0: (2, 0) - (0.5, 3)."
    )
    scores = torch.tensor([0.0, math.log(3)])
    return Example((gradients, scores, 0), shown, torch.tensor([[[1.5, -3.0]]]))


@task(
    "class-models-log-probability",
    points=3,
    minutes=20,
    praise="Every class enters with its probability, so pushing a strong rival down counts, too.",
    example=_log_probability_example,
)
def check_log_probability_gradient(answer: Answer) -> Comparisons:
    """Check ``log_probability_gradient(gradients, scores, class_index)``.

    It should return d log P_c / dI, made of all classes' gradients (K, C, H, W) and
    scores (K,).
    """
    for size, seed, c in (((4, 3, 2, 5), 1, 2), ((5, 1, 3, 2), 2, 1)):
        gradients, scores = drawn(*size, seed=seed), drawn(size[0], seed=seed + 10)
        p = scores.softmax(0)
        own, mean = gradients[c], _weighted(p, gradients)
        mistakes = {
            "This is the score's gradient alone: the other classes enter with their P_k.": own,
            "This is the gradient of the probability: that of its logarithm has no factor P_c.": p[
                c
            ]
            * (own - mean),
            "This is the score's gradient with a factor: the other classes enter with their own "
            "gradients, each with its P_k.": [p[c] * own, p[c] * (1 - p[c]) * own],
            "Divided by P_c once too often: the formula is ∂S_c − Σ P_k ∂S_k.": (
                (own - mean) / p[c]
            ),
            "The sum leaves out the class itself: k runs over all classes, c included.": (
                own - (mean - p[c] * own)
            ),
            "The sum has the class c alone: k runs over all classes.": own - p[c] * own,
            "All classes enter with the same weight: weight each gradient by its probability.": [
                own - gradients.sum(0),
                own - gradients.mean(0),
                own - mean / len(p),
            ],
            "Every gradient is weighted by P_c: each class enters with its own P_k.": (
                own - p[c] * gradients.sum(0)
            ),
            "The gradients are weighted by the scores, or by what comes of them on the way: use "
            "their soft-max, the P_k.": [
                own - _weighted(weights, gradients)
                for weights in (scores, scores.exp(), p.log(), scores / scores.sum())
            ],
            "The sign of the sum is wrong: a rising rival lowers the log-probability.": own + mean,
            "The sign is wrong: this is the gradient of −log P_c.": mean - own,
            "This is the sum over the classes alone: subtract it from ∂S_c/∂I.": [mean, -mean],
            "This belongs to another class: take the one that was asked for.": [
                gradients[k] - mean for k in (0, c - 1, c + 1, int(scores.argmax()))
            ],
        }
        yield Compared("the gradient", answer(gradients, scores, c), own - mean, mistakes)


def _weighted(weights: Tensor, gradients: Tensor) -> Tensor:
    return (weights[:, None, None, None] * gradients).sum(0)


def _step(network: nn.Module, image: Tensor, c: int, weight: float, size: float) -> Tensor:
    return image + size * (class_gradient(network, image, c) - 2 * weight * image)


def _ascended(
    network: nn.Module, image: Tensor, c: int, weight: float, size: float, steps: int
) -> Tensor:
    return _repeated(lambda moved: _step(network, moved, c, weight, size), image, steps)


def _accumulated(
    network: nn.Module, image: Tensor, c: int, weight: float, size: float, steps: int
) -> Tensor:
    """Return what comes of steps that never clear the gradient."""
    total = torch.zeros_like(image)
    for _ in range(steps):
        total = total + _step(network, image, c, weight, 1.0) - image
        image = image + size * total
    return image
