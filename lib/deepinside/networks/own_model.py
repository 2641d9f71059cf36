"""Your own classifier as a network, once it has been seen to be one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepinside.networks.network import (
    Network,
    Normalization,
    channel_normalization,
    checked_gradient,
    checked_size,
    tried,
)
from deepinside.networks.pretrained import imagenet_class_names

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@torch.inference_mode(False)
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
        more, or those of a soft-max, or other scores each time; if no gradient reaches the images;
        or if names are missing.
    """
    model = getattr(model, "_orig_mod", model)  # of one that torch.compile returned
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise ValueError(f"expected a model as an nn.Module of Python, got {type(model).__name__}")
    # where timm and transformers note what goes with the weights
    training, config = getattr(model, "pretrained_cfg", None), getattr(model, "config", None)
    if not isinstance(training, Mapping):
        training = {}
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
    normalization.to(weight.device, weight.dtype)
    kind = type(model).__name__
    output, images = tried(model, normalization, size, kind)
    scores = _scores_in(output)
    if not checked_gradient(scores, images, kind).any():
        raise ValueError(
            f"expected class scores of {kind} with a gradient by the image, got none: all of it "
            "is 0"
        )
    if class_names is None:
        count, labels = scores.shape[1], getattr(config, "id2label", None) or {}
        if {*labels} == {*range(count)}:
            class_names = [labels[i] for i in range(count)]
        elif count == 1000:
            class_names = imagenet_class_names()
    if isinstance(class_names, str):  # whose letters are no names
        raise ValueError(
            f"expected class_names, a str for each of {scores.shape[1]} classes, got "
            f"{len(class_names)}: {class_names!r:.60}"
        )
    interpolation = training.get("interpolation")
    return Network(
        normalization,
        model if scores is output else Scores(model),
        name=kind,
        class_names=class_names,
        input_size=size,
        resized_side=round(max(size) / training.get("crop_pct", 0.875)),
        interpolation="bicubic" if interpolation == "bicubic" else "bilinear",
    )


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


def _scores_in(output: Any) -> Tensor:  # noqa: ANN401
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, dict):
        return output["logits"] if "logits" in output else next(iter(output.values()))
    return output[0] if isinstance(output, tuple | list) else output
