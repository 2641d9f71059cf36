"""Your own classifier as a network, once it has been seen to be one."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.networks.network import (
    Network,
    Normalization,
    channel_normalization,
    checked_size,
    copy_sharing_weights,
)
from deepinside.networks.pretrained import imagenet_class_names

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def from_model(
    model: nn.Module,
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    input_size: Sequence[int] | None = None,
) -> Network:
    """Return your own classifier as a frozen `Network`, which every helper takes.

    A model of torch, torchvision, timm or transformers, which is left as it is. What is not
    given is taken from the model where timm (``pretrained_cfg``) or transformers (``config``)
    have noted it there. Photos are resized as timm notes it, or else bilinearly to 8/7 of
    the input; ``resized_side`` and ``interpolation`` of the network can be set.

    Parameters
    ----------
    model : nn.Module
        From normalized images (N, C, H, W) to unnormalized class scores (N, classes), alone, or
        as ``logits`` or the first of a dict, a tuple or an object.
    mean, std : float or sequence of float, optional
        What the training subtracted from images in [0, 1], and then divided by: three values
        for RGB, one for gray. Without them the model's own, or ImageNet's, for RGB. A model of
        transformers has its own in its image processor: pass them on.
    class_names : sequence of str, optional
        One name a class. Without them the model's own, or ImageNet's if there are 1,000.
    input_size : sequence of int, optional
        (height, width). Without it the model's own, or (224, 224).

    Raises
    ------
    ValueError
        If the model does not take such images; if it returns no scores of two classes or
        more, or probabilities, or other scores each time; if no gradient reaches the images;
        or if names are missing.
    """
    model = getattr(model, "_orig_mod", model)  # of one that torch.compile returned
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise ValueError(f"expected a model as an nn.Module of Python, got {type(model).__name__}")
    # where timm and transformers note what goes with the weights
    training, config = getattr(model, "pretrained_cfg", None) or {}, getattr(model, "config", None)
    if input_size is None:
        side = getattr(config, "image_size", None) or 224
        sides = (side, side) if isinstance(side, int) else tuple(side)
        input_size = training.get("input_size", (3, *sides))[1:]
    size = checked_size(input_size)
    normalization = _normalization(
        training.get("mean", _IMAGENET_MEAN) if mean is None else mean,
        training.get("std", _IMAGENET_STD) if std is None else std,
    )
    weight = next(model.parameters(), normalization.mean)
    if weight.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected a model of float32, got {weight.dtype}: model.float()?")
    normalization.to(weight)
    layers, count = _checked_layers(model, normalization, size)
    if class_names is None:
        labels = getattr(config, "id2label", None) or {}
        if {*labels} == {*range(count)}:
            class_names = [labels[i] for i in range(count)]
        elif count == 1000:
            class_names = imagenet_class_names()
    names = tuple(class_names) if isinstance(class_names, Iterable) else ()
    is_one_name = isinstance(class_names, str)
    if is_one_name or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"expected class_names, a str for each of {count} classes, got {len(names)}: "
            f"{class_names!r:.60}"
        )
    interpolation = training.get("interpolation")
    try:
        return Network(
            normalization,
            layers,
            name=type(model).__name__,
            class_names=names,
            input_size=size,
            resized_side=round(max(size) / training.get("crop_pct", 0.875)),
            interpolation="bicubic" if interpolation == "bicubic" else "bilinear",
        )
    except RuntimeError as error:
        if "changed its scores" not in str(error):
            raise
        raise ValueError(
            f"expected a {type(model).__name__} that gives one image the same scores each time, "
            f"got {str(error).partition(chr(10))[0]}"
        ) from error


class Scores(nn.Module):
    """A model that returns its class scores, (N, classes), among other things.

    As ``output.logits``, as ``output["logits"]``, or as the first of what it returns.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores alone."""
        return _scores_in(self.model(images))


def _normalization(mean: float | Sequence[float], std: float | Sequence[float]) -> Normalization:
    mistake = ValueError(
        "expected mean and std for images in [0, 1], three values each for RGB or one for "
        f"gray, got {mean} and {std}"
    )
    try:
        layer = channel_normalization(mean, std)
    except (TypeError, ValueError) as error:
        raise mistake from error
    first, second = layer.mean, layer.std
    in_range = bool(((first >= 0) & (first <= 1)).all() and ((second > 0) & (second <= 1)).all())
    if len(first) not in (1, 3) or len(second) != len(first) or not in_range:
        raise mistake
    return layer


def _checked_layers(
    model: nn.Module, normalization: Normalization, size: tuple[int, int]
) -> tuple[nn.Module, int]:
    """Return what gives the model's scores alone, and the number of classes.

    The model is tried on noise of three scales, so that what holds for all of it is no chance.
    """
    kind, shape = type(model).__name__, (3, len(normalization.mean), *size)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = (noise * torch.tensor([1.0, 0.5, 0.1])[:, None, None, None]).to(normalization.mean)
    with torch.inference_mode(False), torch.enable_grad():
        images.requires_grad_()
        try:
            output = copy_sharing_weights(model)(normalization(images))
            scores = _scores_in(output)
        except Exception as error:  # the model's own code raises what it likes
            raise ValueError(
                f"expected a {kind} that takes images {shape}, by input_size and the channels of "
                f"mean and std, got {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            ) from error
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(images):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"expected class scores (N, classes) of {kind}, got {got} for N = 3")
        count = scores.shape[1]
        if count < 2:
            raise ValueError(f"expected a {kind} of two classes or more, got {count}")
        low, sums = scores.min(), scores.detach().sum(1)
        if not sums.isfinite().all():
            raise ValueError(f"expected finite class scores of {kind}, got {sums.tolist()} as sums")
        is_soft = low >= 0 and bool(((sums - 1).abs() < 1e-3).all())
        if is_soft or bool((scores.detach().logsumexp(1).abs() < 1e-3).all()):
            raise ValueError(
                f"expected unnormalized class scores of {kind}, got those of a "
                f"{'soft-max' if is_soft else 'log-soft-max'}: leave this last layer out"
            )
        # in a sum of all scores, their gradients might cancel
        one = (scores * torch.linspace(1, 2, count).to(scores)).sum()
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(one, images, allow_unused=True)
    if gradient is None or not gradient.any():
        raise ValueError(
            f"expected class scores of {kind} with a gradient by the image, got none: they do not "
            "depend on the image, or the model detaches them"
        )
    return model if scores is output else Scores(model), count


def _scores_in(output: Any) -> Tensor:  # noqa: ANN401
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) else output
