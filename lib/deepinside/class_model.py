"""Class models: images found by climbing a network's score of a class (paper §2).

    I* = arg max over I of  S_c(I) - λ ||I||²,    sought by    I ← I + α · gradient

from the zero image. I is zero-centered: 0 is the training mean, which is added to the
result (Simonyan, Vedaldi, Zisserman, 2013). The ascent ends wherever its steps lead: near a
local maximum if α is small enough, and below its start if α is too large, so compare the
objective of the first and the last snapshot. `ascent` is the loop. What describes an image
(`Pixels`), what is climbed (`OBJECTIVES`, `NORMS`) and what the network sees of it are its
arguments; what later work puts in their place is in `deepinside.regularizers`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from deepinside.arguments import full_precision, number, shown, whole_number
from deepinside.class_score import (
    Target,
    check_images,
    class_indices,
    log_probabilities,
    probabilities,
    scores_and_classes,
)
from deepinside.networks import Network, in_evaluation_mode
from deepinside.networks.scores import gradient_by
from deepinside.regularizers import (
    PAPER,
    Adam,
    Fourier,
    Regularizers,
    drawn,
    transformed,
)

OBJECTIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "score": lambda scores: scores,
    "log_probability": log_probabilities,
}
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "squared": lambda centered: full_precision(centered).square().sum((1, 2, 3)),
    "plain": lambda centered: torch.linalg.vector_norm(full_precision(centered), dim=(1, 2, 3)),
}
PerImage = float | Sequence[float] | Tensor

# an image whose root mean square is larger than this has diverged
_DIVERGED = 1e3
_MOST_STEPS = 100_000
# values of all snapshots together: 4 GB
_MOST_KEPT = 10**9
_FLOATS = (torch.float32, torch.float64)


class Pixels(NamedTuple):
    """The paper's parametrization: what is climbed in are zero-centered intensities.

    `clip` keeps images in [0, 1]; `noise` is the standard deviation of noise to start from.
    """

    mean: Tensor
    clip: bool = False
    noise: float = 0.1

    def unknown(self, images: Tensor) -> Tensor:
        """Return what stands for images (N, C, H, W) in [0, 1]."""
        return images - self.mean

    def centered(self, unknown: Tensor) -> Tensor:
        """Return the zero-centered images that the unknown stands for."""
        return unknown

    def bounded(self, unknown: Tensor) -> Tensor:
        """Return the unknown of the nearest images allowed; NaN for those that diverged."""
        if self.clip:
            unknown = (unknown + self.mean).clamp(0, 1) - self.mean
        sound = full_precision(unknown).square().mean((1, 2, 3), keepdim=True) < _DIVERGED**2
        return unknown.masked_fill(~sound, torch.nan)


def ascent(
    network: Callable[[Tensor], Tensor],
    objective: Callable[[Tensor, Tensor], Tensor],
    unknown: Tensor,
    step_size: Callable[[int], Tensor],
    steps: int,
    *,
    parametrization: Pixels | Fourier,
    transform: Callable[[Tensor], Tensor] = lambda centered: centered,
    direction: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the zero-centered images before each step and after the last: I ← I + α · gradient.

    Paper §2. `network` gives zero-centered images their scores, (N, classes), `objective`
    makes of both what is climbed, (N,). `unknown` is where to start, `parametrization` says
    which images it stands for, `step_size` gives α of a step, `transform` what the network
    sees of images, and `direction` which way to go for a gradient.

    Scores come with the images, or None where the network saw a view of them or nothing yet.
    """
    for step in _bar(steps):
        unknown = unknown.detach().requires_grad_()
        centered = parametrization.centered(unknown)
        seen = transform(centered)
        scores = network(seen)
        yield centered, scores if seen is centered else None
        (gradient,) = torch.autograd.grad(objective(scores, centered).sum(), unknown)
        unknown = unknown.detach() + step_size(step) * direction(gradient)
        unknown = parametrization.bounded(unknown)
    yield parametrization.centered(unknown), None


class ClassModels(NamedTuple):
    """Where an ascent went: T snapshots of N images.

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
        (T, N), the norms ||I|| of the zero-centered images.
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
        return _own(probabilities(self.scores), self.classes)


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
) -> ClassModels:
    """Return the images that an ascent of the objective less λ ||I||² reaches, as one batch.

    Paper §2, chapter *Class models*; by default the paper's plain `ascent`, with λ and α to be
    chosen for each network. What is given as N values belongs to N images, what is given once
    to each.

    Parameters
    ----------
    network : nn.Module
        To scores (N, classes). If it is no `Network`, the mean is 0 and `start` must be given.
        Of half precision, it is climbed in float32.
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
    regularizers, generator : Regularizers, torch.Generator or N of them
        What later work adds; for noise and views, the same of all images or each its own.

    Raises
    ------
    ValueError
        Before any step, if an argument is none of these or their numbers differ, or if the score
        of a class does not change with the image where it starts.
    FloatingPointError
        If an image diverges: the step size is too large.
    """
    for given, known, what in (
        (objective, [*OBJECTIVES], "an objective"),
        (norm, [*NORMS], "a norm"),
        (diverging, ["raise", "mark"], "diverging"),
    ):
        _expect(isinstance(given, str) and given in known, f"{what} of {', '.join(known)}", given)
    steps = whole_number(steps, "a number of steps", 1, _MOST_STEPS)
    snapshots = whole_number(snapshots, "a number of snapshots", 1, steps + 1)
    if stop_at is not None:
        stop_at = number(stop_at, "a probability to stop at", 0, 1, above=True)
        _expect(stop_at < 1, "a probability below 1 to stop at", stop_at)
    _expect(isinstance(clip, bool), "clip as True or False", clip)
    _expect(isinstance(regularizers, Regularizers), "regularizers as Regularizers", regularizers)
    regularizers.check()
    noisy = isinstance(start, str) and start == "noise"
    generators = _generators(generator, needed=noisy or regularizers.views)
    mean, images = _mean_and_start(network, start)
    images, weights, sizes = _of_each(images, generators, target, l2_weight, step_size)
    names = getattr(network, "class_names", None)
    if target is not None and names:
        # before the generators are moved
        class_indices(target, len(images), names)
    values = snapshots * images.numel()
    _expect(values <= _MOST_KEPT, f"snapshots of up to {_MOST_KEPT:,} values together", values)
    # at every plain step the term λ ||I||² alone multiplies I by 1 - 2 α λ
    plain = norm == "squared" and not (regularizers.fourier or regularizers.adam)
    hopeless = (weights * sizes >= 1) & plain
    if diverging == "raise":
        _raise_if_diverged(hopeless, 0, weights, sizes)
    sizes[hopeless] = torch.nan

    network = in_evaluation_mode(network)
    # an image of half precision would lose small steps, and its norm may be beyond the type
    narrow = images.dtype
    if narrow not in _FLOATS:
        mean, images, weights, sizes = (v.float() for v in (mean, images, weights, sizes))

    def scored(centered: Tensor) -> Tensor:
        return network((centered + mean).to(narrow)).to(images)

    parametrization = Fourier(images, mean) if regularizers.fourier else Pixels(mean, clip)
    unknown = parametrization.unknown(images)
    if noisy:
        unknown = unknown + parametrization.noise * drawn(torch.randn, generators, unknown)
    unknown = parametrization.bounded(unknown)
    begun = parametrization.centered(unknown) + mean
    classes = _climbable_classes(network, begun, narrow, target)
    # the same memory: a size set to 0 below leaves its image alone from then on
    alpha = sizes.view(-1, *[1] * (unknown.ndim - 1))

    def value(scores: Tensor, centered: Tensor) -> Tensor:
        return _own(OBJECTIVES[objective](scores), classes) - weights * NORMS[norm](centered)

    states = ascent(
        scored,
        value,
        unknown,
        lambda step: regularizers.share_of_step(step, steps) * alpha,
        steps,
        parametrization=parametrization,
        transform=lambda centered: transformed(centered, regularizers, generators),
        direction=Adam().direction if regularizers.adam else lambda gradient: gradient,
    )
    wanted = {steps, *(round(i * steps / (snapshots - 1)) for i in range(snapshots - 1))}
    kept = []
    for step, (centered, scores) in enumerate(states):
        centered = centered.detach()
        if diverging == "raise":
            _raise_if_diverged(centered.isnan().flatten(1).any(1), step, weights, sizes)
        if step not in wanted and stop_at is None:
            continue
        if scores is None:
            with torch.no_grad():
                scores = scored(centered)
        if stop_at is not None:
            sizes[_own(probabilities(scores), classes) >= stop_at] = 0
        if step in wanted or not sizes.any():
            norms = centered.flatten(1).norm(dim=1)
            kept.append((torch.tensor(step), centered + mean, scores.detach(), norms))
        if not sizes.any():
            break
    return ClassModels(classes, *map(torch.stack, zip(*kept, strict=True)))


def _own(values: Tensor, classes: Tensor) -> Tensor:
    """Return each image's value of its own class, (..., N), of values (..., N, classes)."""
    return values[..., torch.arange(len(classes), device=classes.device), classes]


def _bar(steps: int) -> tqdm:
    """Return a range of steps that shows a bar after two seconds, on terminals and in Colab."""
    shown = sys.stderr.isatty() or "google.colab" in sys.modules
    return tqdm(range(steps), "class model", unit="step", leave=False, delay=2, disable=not shown)


def _expect(good: bool, what: str, got: object) -> None:
    if not good:
        raise ValueError(f"expected {what}, got {got if isinstance(got, type) else shown(got)}")


def _generators(
    given: torch.Generator | Sequence[torch.Generator] | None, *, needed: bool
) -> Sequence[torch.Generator]:
    if isinstance(given, torch.Generator):
        return [given]
    if given is None and not needed:
        return ()
    are_some = isinstance(given, Sequence) and (len(given) > 0 or not needed)
    if are_some and all(isinstance(each, torch.Generator) for each in given or ()):
        return given or ()
    expected = "expected a torch.Generator for noise and views, or one for each image"
    raise ValueError(f"{expected}, got {shown(given)}")


def _climbable_classes(
    network: nn.Module, images: Tensor, narrow: torch.dtype, target: Target
) -> Tensor:
    """Return the class of each image, whose score has to change with the image where it starts."""
    images = images.detach().to(narrow).requires_grad_()
    scores, classes = scores_and_classes(network, images, target)
    gradient = gradient_by(_own(scores, classes), images, finite=False)
    flat = (gradient == 0).flatten(1).all(1)
    if flat.any():
        i = int(flat.nonzero()[0])
        raise ValueError(
            "expected a class score that changes with the image at the start, got a gradient of 0 "
            f"for class {int(classes[i])}, image {i}: are all ReLUs closed? Another start may help"
        )
    return classes


def _mean_and_start(network: nn.Module, start: str | Tensor) -> tuple[Tensor, Tensor]:
    """Return the training mean and the images to start from, (1 or N, C, H, W)."""
    _expect(isinstance(network, nn.Module), "a network as an nn.Module", network)
    mean = network.normalization.mean if isinstance(network, Network) else torch.zeros(())
    if isinstance(start, Tensor):
        check_images(network, start)
        if isinstance(network, Network):
            size = (network.input_channels, *network.input_size)
            shape = ", ".join(map(str, size))
            _expect(start.shape[1:] == size, f"a start of shape (N, {shape})", tuple(start.shape))
            low, high = (bound.item() for bound in start.detach().aminmax())
            means = start.detach().float().mean((1, 2, 3))
            # single values may be those of a class model, from which an ascent goes on
            if means.min() < 0 or means.max() > 1:
                raise ValueError(
                    f"expected images in [0, 1] to start from, got values from {low:.4g} to "
                    f"{high:.4g}: are they normalized? The network does that by itself"
                )
        return mean.to(start), start
    known = isinstance(start, str) and start in ("zero", "noise")
    got = start if isinstance(start, str) else type(start)
    _expect(known, 'a start of "zero", "noise" or images (N, C, H, W)', got)
    if not isinstance(network, Network):
        kind = type(network).__name__
        raise ValueError(f"expected images to start from, as a {kind} does not tell its size")
    return mean, mean.expand(1, network.input_channels, *network.input_size)


def _of_each(
    images: Tensor,
    generators: Sequence[torch.Generator],
    target: Target,
    l2_weight: PerImage,
    step_size: PerImage,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the start, λ and α of as many images as the arguments agree on."""
    what = "a finite l2_weight of 0 or more, for all images or each"
    weights = _values(l2_weight, images, what)
    _expect(bool((weights >= 0).all()), what, l2_weight)
    what = "a finite step_size above 0, for all images or each"
    sizes = _values(step_size, images, what)
    _expect(bool((sizes > 0).all()), what, step_size)
    is_one = isinstance(target, str) or getattr(target, "ndim", 1) == 0
    numbers = {
        "start": len(images),
        "generator": max(len(generators), 1),
        "target": 1 if is_one or not isinstance(target, Sized) else len(target),
        "l2_weight": weights.numel(),
        "step_size": sizes.numel(),
    }
    count = max(numbers.values())
    agree = {1, count}.issuperset(numbers.values())
    _expect(agree, "one value for all images or as many as images", numbers)
    return images.expand(count, -1, -1, -1), weights.expand(count), sizes.expand(count).clone()


def _values(given: PerImage, images: Tensor, what: str) -> Tensor:
    """Return a finite number, or one an image, in the images' type."""
    try:
        values = torch.as_tensor(given, dtype=None if isinstance(given, Tensor) else images.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"expected {what}, got {shown(given)}") from error
    real = not (values.is_complex() or values.dtype == torch.bool or values.is_meta)
    _expect(real and not isinstance(given, bool) and values.ndim < 2, what, given)
    # a copy, as sizes are set to 0
    values = values.detach().to(images, copy=True)
    _expect(bool(values.isfinite().all()), what, given)
    return values


def _raise_if_diverged(diverged: Tensor, step: int, weights: Tensor, sizes: Tensor) -> None:
    if diverged.any():
        i = int(diverged.nonzero()[0])
        raise FloatingPointError(
            f"image {i} diverges with a step size of {sizes[i]:g} and an L2 weight of "
            f"{weights[i]:g} after step {step}: expected a product of both below 1 and a root "
            f"mean square below {_DIVERGED:g}; a smaller step size helps, if the gradient is finite"
        )
