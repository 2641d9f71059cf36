"""Class models: the images that a network scores highest for a class (paper §2).

    I* = arg max over I of  S_c(I) - λ ||I||²,    found by    I ← I + α · gradient

from the zero image. I is zero-centered: 0 is the training mean, which is added to the
result (Simonyan, Vedaldi, Zisserman, 2013). What later work adds to the same loop is in
`deepinside.regularizers`.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from deepinside.class_score import Target, check_images, target_classes
from deepinside.inference.preparation import evaluation_mode
from deepinside.networks import Network
from deepinside.regularizers import (
    PAPER,
    Adam,
    Regularizers,
    annealed,
    fourier_images,
    gaussian_blur,
    random_view,
)

OBJECTIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "score": lambda scores: scores,
    "log_probability": lambda scores: scores.log_softmax(1),
}
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda centered: centered.square().sum((1, 2, 3)),
    "plain": lambda centered: torch.linalg.vector_norm(centered, dim=(1, 2, 3)),
}
PerImage = float | Sequence[float] | Tensor

# standard deviation of the noise to start from: in intensities, and in Fourier coefficients
_NOISE, _SPECTRAL_NOISE = 0.1, 0.01
# intensities that far from [0, 1], in the root mean square, are no image any more
_DIVERGED = 1e3


class ClassModels(NamedTuple):
    """What an ascent found: T snapshots of N images.

    Attributes
    ----------
    classes : Tensor
        (N,), the class that each image was made for.
    steps : Tensor
        (T,), after how many steps each snapshot was taken; the first is the start.
    snapshots : Tensor
        (T, N, C, H, W), with the training mean added. Values may lie outside of [0, 1].
    scores : Tensor
        (T, N, classes), those of the snapshots themselves, without view or blur.
    norms : Tensor
        (T, N), the lengths ||I|| of the zero-centered images.
    """

    classes: Tensor
    steps: Tensor
    snapshots: Tensor
    scores: Tensor
    norms: Tensor

    @property
    def images(self) -> Tensor:
        """The class models, (N, C, H, W): the last snapshots."""
        return self.snapshots[-1]

    @property
    def class_scores(self) -> Tensor:
        """The score of each image's own class, (T, N)."""
        return _own(self.scores, self.classes)

    @property
    def class_probabilities(self) -> Tensor:
        """The probability of each image's own class, (T, N)."""
        return _own(self.scores.softmax(-1), self.classes)


@torch.inference_mode(False)
@torch.enable_grad()
def class_model(
    network: nn.Module,
    target: Target,
    *,
    l2_weight: PerImage = 0.01,
    step_size: PerImage = 1.0,
    steps: int = 100,
    objective: Literal["score", "log_probability"] = "score",
    norm: Literal["squared", "plain"] = "squared",
    start: Literal["zero", "noise"] | Tensor = "zero",
    regularizers: Regularizers = PAPER,
    clip: bool = False,
    stop_at: float | None = None,
    snapshots: int = 2,
    diverging: Literal["raise", "mark"] = "raise",
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    progress: bool | None = None,
) -> ClassModels:
    """Return images that maximize the objective less λ ||I||², all of a batch in one pass.

    Paper §2, chapter *Class models*; the defaults are the paper's ascent. What is given
    as N values belongs to N images, what is given once to each.

    Parameters
    ----------
    network : nn.Module
        From images to scores (N, classes). The training mean of one that is no `Network`
        is taken to be 0, and its `start` must be given.
    target : int, str, sequence or tensor
        The class of all images or N classes, by index or name.
    l2_weight, step_size : float or N of them
        λ, at least 0, and α, above 0.
    objective, norm : str
        The class score or its log-probability; λ ||I||² or λ ||I||.
    start : str or Tensor
        The zero image, Gaussian noise, or images (N, C, H, W) in [0, 1].
    clip, stop_at : bool, float
        Keep images in [0, 1]; leave an image alone once its class has this probability.
    snapshots : int
        How many to return, evenly spaced from start to end; fewer if all stop earlier.
    diverging : str
        Raise if an image diverges, or return it as NaN and go on with the others.
    generator : torch.Generator or N of them
        For what is random. A single one gives all images the same noise and views, N
        give each image its own, as if it were made alone.
    progress : bool, optional
        Show a bar. Unless given: on terminals and in Colab, after two seconds.

    Raises
    ------
    ValueError
        Before any step, if an argument is none of these or their numbers differ.
    FloatingPointError
        If an image diverges: the step size is too large.
    """
    _check_options(objective, norm, diverging, steps, snapshots, stop_at)
    regularizers.check()
    noisy = isinstance(start, str) and start == "noise"
    generators = _generators(generator)
    if not generators and (noisy or regularizers.views):
        raise ValueError(
            "expected a torch.Generator, or one for each image, as noise and views are random; "
            f"got {generator!r}"
        )
    mean, images = _mean_and_start(network, start)
    count = _count(target, l2_weight, step_size, images, generators)
    weights = _per_image("l2_weight", l2_weight, count, images)
    sizes = _per_image("step_size", step_size, count, images)
    # at every plain step the term λ ||I||² alone multiplies I by 1 - 2 α λ
    plain = norm == "squared" and not (regularizers.fourier or regularizers.adam)
    hopeless = (weights * sizes >= 1) & plain
    if diverging == "raise":
        _raise_if_diverged(hopeless, 0, weights, sizes)
    # a copy, as a tensor made in inference mode takes no part in autograd
    images = images.detach().clone().expand(count, -1, -1, -1)
    classes = target_classes(network, images, target)
    goal, length = OBJECTIVES[objective], NORMS[norm]
    fourier = fourier_images(images) if regularizers.fourier else None
    adam = Adam() if regularizers.adam else None
    # an image between 0 and 1 by construction cannot diverge, but its spectrum can be no number
    limit = math.inf if fourier else _DIVERGED**2
    wanted = {round(i * steps / (snapshots - 1)) for i in range(snapshots - 1)}
    kept, last, moving = [], steps, torch.ones_like(sizes, dtype=torch.bool)

    def image_of(unknown: Tensor) -> Tensor:
        """Return the zero-centered images that the ascent's variables stand for."""
        return fourier.images(unknown) - mean if fourier else unknown

    unknown = fourier.spectra(images) if fourier else images - mean
    if noisy:
        deviation = _SPECTRAL_NOISE if fourier else _NOISE
        unknown = unknown + deviation * _draw(torch.randn, generators, unknown)
    if clip and not fourier:
        unknown = (unknown + mean).clamp(0, 1) - mean
    with evaluation_mode(network):
        for step in _bar(steps, progress):
            unknown = unknown.detach().requires_grad_()
            centered = image_of(unknown)
            seen = _seen(centered, regularizers, generators)
            scores = network(seen + mean)
            if step in wanted or stop_at is not None:
                clean = scores if seen is centered else network(centered + mean)
                if stop_at is not None:
                    moving = moving & ~(_own(clean.softmax(1), classes) >= stop_at)
                if not moving.any():
                    last = step
                    break
                if step in wanted:
                    kept.append(_snapshot(step, centered, mean, clean))
            value = _own(goal(scores), classes) - weights * length(centered)
            gradient = torch.autograd.grad(value.sum(), unknown)[0]
            direction = adam.direction(gradient) if adam else gradient
            alpha = sizes * moving * (annealed(step, steps) if regularizers.anneal else 1.0)
            unknown = unknown.detach() + alpha.view(-1, *[1] * (direction.ndim - 1)) * direction
            if clip and not fourier:
                unknown = (unknown + mean).clamp(0, 1) - mean
            diverged = hopeless | ~(unknown.flatten(1).square().mean(1) < limit)
            if diverging == "raise":
                _raise_if_diverged(diverged, step + 1, weights, sizes)
            unknown[diverged] = torch.nan
        with torch.no_grad():
            centered = image_of(unknown)
            kept.append(_snapshot(last, centered, mean, network(centered + mean)))
    steps_kept, snapshots_kept, scores_kept, norms = zip(*kept, strict=True)
    return ClassModels(
        classes,
        torch.tensor(steps_kept),
        torch.stack(snapshots_kept),
        torch.stack(scores_kept),
        torch.stack(norms),
    )


def _own(values: Tensor, classes: Tensor) -> Tensor:
    """Return each image's value of its own class, (..., N), of values (..., N, classes)."""
    return values[..., torch.arange(len(classes), device=classes.device), classes]


def _snapshot(
    step: int, centered: Tensor, mean: Tensor, scores: Tensor
) -> tuple[int, Tensor, Tensor, Tensor]:
    centered = centered.detach()
    return step, centered + mean, scores.detach(), centered.flatten(1).norm(dim=1)


def _seen(
    centered: Tensor, regularizers: Regularizers, generators: Sequence[torch.Generator]
) -> Tensor:
    """Return what the network sees of the images: themselves, or a blurred random view."""
    if regularizers.views:
        uniform = _draw(torch.rand, generators, centered.new_empty(len(centered), 4))
        centered = random_view(centered, uniform, regularizers)
    return gaussian_blur(centered, regularizers.blur) if regularizers.blur else centered


def _draw(
    sample: Callable[..., Tensor], generators: Sequence[torch.Generator], like: Tensor
) -> Tensor:
    """Return random values in the shape of `like`, each image's from its own generator."""
    # drawn as float32 on the generator's device, so that a run repeats on any device
    drawn = [sample(like.shape[1:], generator=g, device=g.device) for g in generators]
    return torch.stack(drawn).to(like).expand_as(like)


def _bar(steps: int, progress: bool | None) -> tqdm:
    if progress is None:
        progress = sys.stderr.isatty() or "google.colab" in sys.modules
    return tqdm(
        range(steps), desc="class model", unit="step", leave=False, delay=2, disable=not progress
    )


def _mean_and_start(network: nn.Module, start: str | Tensor) -> tuple[Tensor, Tensor]:
    """Return the training mean and the images to start from, (1 or N, C, H, W)."""
    mean = network.normalization.mean if isinstance(network, Network) else torch.zeros(())
    if isinstance(start, Tensor):
        check_images(network, start)
        return mean.to(start), start
    if not isinstance(start, str) or start not in ("zero", "noise"):
        got = repr(start) if isinstance(start, str) else type(start).__name__
        raise ValueError(f'expected a start of "zero", "noise" or images (N, C, H, W), got {got}')
    if not isinstance(network, Network):
        raise ValueError(
            f"expected images (N, C, H, W) to start from, as a {type(network).__name__} does not "
            f"tell its input size; got {start!r}"
        )
    return mean, mean.expand(1, network.input_channels, *network.input_size)


def _count(
    target: Target,
    l2_weight: PerImage,
    step_size: PerImage,
    images: Tensor,
    generators: Sequence[torch.Generator],
) -> int:
    """Return the number of images that the arguments agree on."""
    counts = {
        "images to start from": len(images),
        "generators": max(len(generators), 1),
        "classes": 1 if isinstance(target, str) else _length(target),
        "L2 weights": _length(l2_weight),
        "step sizes": _length(step_size),
    }
    count = max(counts.values())
    wrong = {name: number for name, number in counts.items() if number not in (1, count)}
    if wrong or min(counts.values()) < 1:
        found = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise ValueError(f"expected one value for all images or as many as images, got {found}")
    return count


def _length(values: object) -> int:
    if getattr(values, "ndim", 1) > 1:
        raise ValueError(f"expected one value an image, got shape {tuple(values.shape)}")
    return len(values) if hasattr(values, "__len__") and getattr(values, "ndim", 1) else 1


def _per_image(name: str, values: PerImage, count: int, like: Tensor) -> Tensor:
    """Return one finite value an image, (N,): λ of 0 or more, or α above 0."""
    parsed = torch.as_tensor(values, dtype=like.dtype, device=like.device).detach().reshape(-1)
    good = parsed.isfinite() & ((parsed > 0) if name == "step_size" else (parsed >= 0))
    if not good.all():
        least = "above 0" if name == "step_size" else "of 0 or more"
        raise ValueError(f"expected a finite {name} {least}, got {parsed[~good][0].item():.4g}")
    return parsed.expand(count)


def _generators(
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> Sequence[torch.Generator]:
    generators = [generator] if isinstance(generator, torch.Generator) else generator
    if generators is None:
        return []
    if not isinstance(generators, Sequence) or not all(
        isinstance(one, torch.Generator) for one in generators
    ):
        raise ValueError(f"expected a torch.Generator, or one for each image, got {generator!r}")
    return generators


def _check_options(
    objective: str, norm: str, diverging: str, steps: int, snapshots: int, stop_at: float | None
) -> None:
    for value, name, known in (
        (objective, "objective", tuple(OBJECTIVES)),
        (norm, "norm", tuple(NORMS)),
        (diverging, "value of diverging", ("raise", "mark")),
    ):
        if value not in known:
            raise ValueError(f"expected {name} to be one of {', '.join(known)}, got {value!r}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"expected at least 1 step, got {steps!r}")
    if not isinstance(snapshots, int) or not 1 <= snapshots <= steps + 1:
        raise ValueError(f"expected from 1 to {steps + 1} snapshots, got {snapshots!r}")
    if stop_at is not None and not 0 < stop_at < 1:
        raise ValueError(f"expected to stop at a probability between 0 and 1, got {stop_at!r}")


def _raise_if_diverged(diverged: Tensor, step: int, weights: Tensor, sizes: Tensor) -> None:
    if not diverged.any():
        return
    i = int(diverged.nonzero()[0])
    alpha, weight = sizes[i].item(), weights[i].item()
    reason = (
        f"a root mean square below {_DIVERGED:g} after step {step}"
        if step
        else "a product of both below 1, as ||I|| grows at every step from there"
    )
    raise FloatingPointError(
        f"image {i} diverges with a step size of {alpha:g} and an L2 weight of {weight:g}: "
        f"expected {reason}; a smaller step size helps"
    )
