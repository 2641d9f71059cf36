"""Checks of the tasks on class models (paper §2, chapter *Class models*).

Images are zero-centered here: 0 is the training mean.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from deepinside.classroom.answers import Answer, Hint, Result, compare, judged
from deepinside.classroom.small_networks import drawn, linear_network, relu_network

_SOFTMAX = "This climbs the soft-max probability: the paper climbs the class score."
_LOG_SOFTMAX = "This climbs the log-probability: the paper climbs the class score."
_SIGN = (
    "The sign of λ is wrong: the penalty is subtracted, so its gradient pulls towards zero. "
    "Here a longer image is rewarded."
)
_LEFT = (
    "The first call is right, the second adds to it: gradients were left from the earlier call. "
    "`.backward()` adds to `.grad`; start from `image.detach().clone()`, or use "
    "`torch.autograd.grad`."
)

HINTS: dict[str, dict[str, str]] = {
    "objective": {
        "sign": ("The sign of λ is wrong: the penalty is subtracted, so that a long image costs."),
        "root": "The norm is not squared: the penalty is λ times the sum of the squared values.",
        "mean": "The squares are averaged: ‖I‖² is their sum.",
        "half": "The penalty is halved: it is λ‖I‖², without a factor.",
        "no_penalty": "The penalty is missing: subtract λ‖I‖².",
        "softmax": "This is the soft-max probability less the penalty: take the class score.",
        "log_softmax": "This is the log-probability less the penalty: take the class score.",
        "top": "This is the highest score: take that of the class that was asked for.",
        "cut": (
            "The value is right, but no gradient leads from it back to the image: return the "
            "tensor, without `.item()`, `.detach()` or `torch.no_grad()`."
        ),
    },
    "optimum": {
        "factor": "A factor is missing: the gradient of λ‖I‖² is 2λI, not λI.",
        "sign": "The sign is wrong: the best image points along the weights, not against them.",
        "product": "λ is on the wrong side: a larger penalty gives a shorter image.",
        "direction": "Only the direction is right: λ decides how long the image is.",
    },
    "ascent_step": {
        "sign": _SIGN,
        "factor": "A factor is missing: the gradient of λ‖I‖² is 2λI, not λI.",
        "no_penalty": "The penalty is missing: its gradient, 2λI, is subtracted from the score's.",
        "descent": "This goes downhill: add the step size times the gradient.",
        "normalized": "The gradient was brought to length 1: the paper's step follows it as it is.",
        "increment": "This is the change alone: return the image with the change added.",
        "no_step_size": "The step size is missing: the step is α times the gradient.",
        "softmax": _SOFTMAX,
        "log_softmax": _LOG_SOFTMAX,
        "left": _LEFT,
        "graph": (
            "The new image still hangs on the graph of the step, and so would all steps after it: "
            "return `.detach()` of it, or use `torch.autograd.grad`."
        ),
    },
    "ascend": {
        "once": "This is one step: take as many as were asked for, each from the last one's image.",
        "few": "This is one step too few: does the loop run `steps` times?",
        "many": "This is one step too many: does the loop run `steps` times?",
        "start": "This starts from zero: start from the image that was given.",
        "start_again": (
            "Every step uses the gradient at the start: take it at the image of the step before."
        ),
        "left": (
            "The gradients of earlier steps are still in the sum: `.backward()` adds to `.grad`, "
            "so set it to `None` after each step, or use `torch.autograd.grad`."
        ),
        "sign": _SIGN,
    },
    "step_size_limit": {
        "best": (
            "At this step size the optimum is reached in one step, the factor is 0: the limit is "
            "where the factor 1 − 2αλ is −1."
        ),
        "twice": "This is twice the limit: where is the factor 1 − 2αλ equal to −1?",
        "product": "λ is on the wrong side: with a larger penalty the steps must be smaller.",
    },
    "log_probability_gradient": {
        "score": "This is the score's gradient alone: the other classes enter with their P_k.",
        "probability": (
            "This is the gradient of the probability: that of its logarithm has no factor P_c."
        ),
        "others": "The sum leaves out the class itself: k runs over all classes, c included.",
        "unweighted": "All classes enter alike: weight each gradient with its probability.",
        "by_score": "The gradients are weighted with the scores: use their soft-max, the P_k.",
        "plus": "The sign of the sum is wrong: a rising rival lowers the log-probability.",
        "sum_alone": "This is the sum over the classes alone: subtract it from ∂S_c/∂I.",
    },
}


def check_objective(objective: object) -> Result:
    """Return what is said of ``objective(network, image, class_index, l2_weight)``.

    It should return S_c(I) - λ ||I||² of an image (3, H, W), differentiable.
    """
    return judged("objective", objective, _judge_objective)


def check_optimum(optimum: object) -> Result:
    """Return what is said of ``optimum(w, l2_weight)``.

    It should return the image of the largest w^T I - λ ||I||², which is w / 2λ.
    """
    return judged("optimum", optimum, _judge_optimum)


def check_ascent_step(ascent_step: object) -> Result:
    """Return what is said of ``ascent_step(network, image, class_index, l2_weight, step_size)``.

    It should return I + α (dS_c/dI - 2λI), the same when called again.
    """
    return judged("ascent_step", ascent_step, _judge_ascent_step)


def check_ascend(ascend: object) -> Result:
    """Return what is said of ``ascend(network, start, class_index, l2_weight, step_size, steps)``.

    It should return the image after so many ascent steps from a start (3, H, W).
    """
    return judged("ascend", ascend, _judge_ascend)


def check_step_size_limit(step_size_limit: object) -> Result:
    """Return what is said of ``step_size_limit(l2_weight)``.

    It should return the step size from which the ascent of a linear score diverges, 1 / λ.
    """
    return judged("step_size_limit", step_size_limit, _judge_step_size_limit)


def check_log_probability_gradient(log_probability_gradient: object) -> Result:
    """Return what is said of ``log_probability_gradient(gradients, scores, class_index)``.

    It should return d log P_c / dI, made of all classes' gradients (K, 3, H, W) and
    scores (K,).
    """
    return judged("log_probability_gradient", log_probability_gradient, _judge_log_probability)


def _judge_objective(answer: Answer) -> str:
    for network, image, c in _cases():
        scores, penalty = network(image[None])[0].detach(), image.square().sum()
        for weight in (0.05, 0.6):
            value = answer(network, image, c, weight)
            right = scores[c] - weight * penalty
            mistakes = {
                "sign": scores[c] + weight * penalty,
                "root": scores[c] - weight * penalty.sqrt(),
                "mean": scores[c] - weight * image.square().mean(),
                "half": scores[c] - weight / 2 * penalty,
                "no_penalty": scores[c],
                "softmax": scores.softmax(0)[c] - weight * penalty,
                "log_softmax": scores.log_softmax(0)[c] - weight * penalty,
                "top": scores.max() - weight * penalty,
            }
            _compare("objective", value, right, mistakes)
            _check_graph(answer, network, image, c, weight)
    return "The class score less the penalty, as a function of the image."


def _check_graph(answer: Answer, *arguments: object) -> None:
    """Raise a hint unless the gradient of the answer reaches the image."""
    network, image, c, weight = arguments
    variable = image.clone().requires_grad_()
    answer(network, variable, c, weight)
    value = answer.again()
    given = answer.given[1]
    if not (isinstance(value, Tensor) and value.requires_grad):
        raise Hint(HINTS["objective"]["cut"])
    gradient = torch.autograd.grad(value.sum(), given, allow_unused=True)[0]
    right = _step(network, image, c, weight, 1.0) - image
    if gradient is None or not torch.allclose(gradient, right, rtol=0, atol=1e-6):
        raise Hint(HINTS["objective"]["cut"])


def _judge_optimum(answer: Answer) -> str:
    for seed, weight in ((1, 0.2), (2, 3.0)):
        w = drawn(3, 2, 4, seed=seed)
        mistakes = {
            "factor": w / weight,
            "sign": [-w / (2 * weight), -w / weight],
            "product": [2 * weight * w, weight * w],
            "direction": [w, w / w.norm()],
        }
        _compare("optimum", answer(w, weight), w / (2 * weight), mistakes)
    return "There the gradient w − 2λI is zero."


def _judge_ascent_step(answer: Answer) -> str:
    for case in _cases():
        for weight, size in ((0.05, 0.3), (0.6, 0.1)):
            value = answer(*case, weight, size)
            right, mistakes = _step(*case, weight, size), _wrong_steps(*case, weight, size)
            _compare("ascent_step", value, right, mistakes)
            if isinstance(value, Tensor) and value.grad_fn is not None:
                raise Hint(HINTS["ascent_step"]["graph"])
            twice = [right + (right - case[1]), right + size * _gradient(*case)]
            _compare("ascent_step", answer.again(), right, {"left": twice})
    return "One step uphill in the score, and towards zero by the penalty."


def _wrong_steps(
    network: nn.Module, image: Tensor, c: int, weight: float, size: float
) -> dict[str, Tensor | list[Tensor]]:
    uphill, penalty = _gradient(network, image, c), 2 * weight * image
    change = uphill - penalty
    softmax, log_softmax = (
        image + size * (_gradient(network, image, c, goal) - penalty)
        for goal in (Tensor.softmax, Tensor.log_softmax)
    )
    return {
        "sign": image + size * (uphill + penalty),
        "factor": image + size * (uphill - penalty / 2),
        "no_penalty": image + size * uphill,
        "descent": [image - size * change, image - size * uphill],
        "normalized": [
            image + size * change / change.norm(),
            image + size * (uphill / uphill.norm() - penalty),
        ],
        "increment": [size * change, change],
        "no_step_size": image + change,
        "softmax": softmax,
        "log_softmax": log_softmax,
    }


def _judge_ascend(answer: Answer) -> str:
    w = drawn(2, 3, 2, 4, seed=3)
    network, start = linear_network(w, drawn(2, seed=4)), drawn(3, 2, 4, seed=5)
    cases = [(network, start, 1, 0.5, 0.2, 3), (network, start, 0, 0.5, 0.25, 60)]
    cases += [(*case, 0.1, 0.3, 4) for case in _cases()]
    for network, start, c, weight, size, steps in cases:
        settings = (c, weight, size)
        value = answer(network, start, *settings, steps)
        right = _ascended(network, start, *settings, steps)
        if steps > 20:  # long enough for the closed form, in which most mistakes end as well
            _compare("ascend", value, right, {})
            continue
        change = _step(network, start, *settings) - start
        mistakes = {
            "once": start + change,
            "few": _ascended(network, start, *settings, steps - 1),
            "many": _ascended(network, start, *settings, steps + 1),
            "start": _ascended(network, torch.zeros_like(start), *settings, steps),
            "start_again": start + steps * change,
            "left": _accumulated(network, start, *settings, steps),
            "sign": _ascended(network, start, c, -weight, size, steps),
        }
        _compare("ascend", value, right, mistakes)
    return "On a linear score it reaches w / 2λ, on a network it climbs as it should."


def _judge_step_size_limit(answer: Answer) -> str:
    for weight in (0.05, 0.3, 4.0):
        right = torch.tensor(1 / weight, dtype=torch.float64)
        mistakes = {"best": right / 2, "twice": 2 * right, "product": [1 / right, 2 / right]}
        _compare("step_size_limit", answer(weight), right, mistakes)
    return "From there on every step ends at least as far from the optimum as it began."


def _judge_log_probability(answer: Answer) -> str:
    for seed, c in ((1, 2), (2, 0)):
        gradients, scores = drawn(4, 3, 2, 5, seed=seed), drawn(4, seed=seed + 10)
        p = scores.softmax(0)
        weighted = p[:, None, None, None] * gradients
        own, mean = gradients[c], weighted.sum(0)
        mistakes = {
            "score": own,
            "probability": p[c] * (own - mean),
            "others": own - (mean - weighted[c]),
            "unweighted": [own - gradients.sum(0), own - gradients.mean(0)],
            "by_score": own - (scores[:, None, None, None] * gradients).sum(0),
            "plus": own + mean,
            "sum_alone": [mean, -mean],
        }
        value = answer(gradients, scores, c)
        _compare("log_probability_gradient", value, own - mean, mistakes)
    return "Every class enters with its probability: a fall of a strong rival counts as a rise."


def _cases() -> list[tuple[nn.Module, Tensor, int]]:
    """Return networks, images and classes; no class is the one of the highest score."""
    cases = []
    for size, seed in (((4, 6), 1), ((5, 3), 2)):
        network, image = relu_network(size, classes=5, seed=seed), 0.5 * drawn(3, *size, seed=seed)
        with torch.no_grad():
            cases.append((network, image, network(image[None])[0].argsort()[-2].item()))
    return cases


def _gradient(
    network: nn.Module,
    image: Tensor,
    c: int,
    goal: Callable[[Tensor, int], Tensor] = lambda scores, _: scores,
) -> Tensor:
    """Return the gradient of class c's score, or of what else a goal makes of the scores."""
    variable = image.clone().requires_grad_()
    return torch.autograd.grad(goal(network(variable[None]), 1)[0, c], variable)[0]


def _step(network: nn.Module, image: Tensor, c: int, weight: float, size: float) -> Tensor:
    return image + size * (_gradient(network, image, c) - 2 * weight * image)


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
    gradient = torch.zeros_like(image)
    for _ in range(steps):
        gradient = gradient + _step(network, image, c, weight, 1.0) - image
        image = image + size * gradient
    return image


def _compare(
    task: str, value: object, right: Tensor, mistakes: dict[str, Tensor | Sequence[Tensor]]
) -> None:
    what = {"objective": "the objective", "step_size_limit": "the limit"}.get(task, "the image")
    what = "the gradient" if task == "log_probability_gradient" else what
    named = {HINTS[task][name]: results for name, results in mistakes.items()}
    compare(value, right, named, what=what)
