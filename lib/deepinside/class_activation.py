"""Class activation maps: what each position of the last activation adds to a class score.

Where a network averages its last activation A over positions and then weighs the channels, the
class score is itself an average over positions, of the map ``sum_k w^c_k A_k`` (CAM; Zhou et
al., CVPR 2016, arXiv 1512.04150). The weight w^c_k is then the number of positions times the
score's gradient at any of them in A_k. Grad-CAM takes the gradient's mean over the positions as
the weight, at any layer that has positions (Selvaraju et al., ICCV 2017, arXiv 1610.02391).
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepinside.arguments import full_precision
from deepinside.class_score import Target, check_images, class_score, target_classes
from deepinside.deconvnet import pseudo_gradient
from deepinside.networks import Network, copy_sharing_weights
from deepinside.networks.network import check_network
from deepinside.networks.scores import gradient_by
from deepinside.stages import last_activation, layouts, listened_to


@torch.no_grad()
def class_activation_map(network: Network, images: Tensor, target: Target = None) -> Tensor:
    """Return the class score of each position, before the average, signed, (N, h_n, w_n).

    In logits. The map's mean, plus the class's bias, is the score. SqueezeNet weighs first, then
    cuts at 0 and averages: there the bias is in the map, and the mean of its positive part is the
    score. Which of the two holds is tested on the scores. One forward pass. The map of a network
    of half precision is computed in, and returned as, float32. Zhou et al. (2016).

    Parameters
    ----------
    network : Network
        From `deepinside.networks.load_network`.
    images : Tensor
        (N, C, H, W), RGB in [0, 1].
    target : int, str, sequence or tensor, optional
        The class, by index or name, one for all images or one each; without it each image's
        class of the highest score.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`, or if the score is no such mean.
    """
    check_network(network)
    check_images(network, images)
    network = copy_sharing_weights(network)
    seen = listened_to(network, [name for name, _ in network.named_modules()])
    classes = target_classes(network, images, target)
    scores = full_precision(seen[""].gather(1, classes[:, None])[:, 0])
    for head, activation in _weighings(network, seen):
        weights = full_precision(head.weight[classes].flatten(1))
        maps = torch.einsum("nk,nkhw->nhw", weights, full_precision(activation))
        bias = torch.zeros_like(scores) if head.bias is None else head.bias[classes].to(scores)
        means = maps.mean((1, 2)) + bias
        if isinstance(head, nn.Conv2d):
            maps = maps + bias[:, None, None]
            means = maps.relu().mean((1, 2))
        # relative to the largest score, as the class's own may be 0
        slack = max(1e-3, 4 * torch.finfo(images.dtype).eps)
        if (means - scores).abs().max() <= slack * seen[""].abs().max():
            return maps
    raise ValueError(
        "expected a network whose score is an average over positions, weighed by its only linear "
        f"layer, got {network.name}, which is for grad_cam"
    )


def grad_cam(
    network: Network, images: Tensor, target: Target = None, layer: str | None = None
) -> Tensor:
    """Return the positive part of an activation weighed by its mean gradient, (N, h_n, w_n).

    ``max(0, sum_k a^c_k A_k)``, where a^c_k is the mean over positions of dS_c/dA_k. One pass
    forward and one back. If the last activation is averaged and then weighed, Grad-CAM there is the
    positive part of `class_activation_map` divided by the number of positions. In SqueezeNet it is
    proportional to the positive part of that map less the bias. Of float32 if the network has half
    precision. Selvaraju et al. (2017).

    Parameters
    ----------
    network, images, target
        As for `class_activation_map`; any network with positions.
    layer : str, optional
        Of ``network.named_modules()``, one whose output A has positions; without it
        `deepinside.stages.last_activation`.

    Raises
    ------
    ValueError
        As `deepinside.class_score.class_score`, if the layer has no positions, or if the score
        does not depend on it.
    """
    check_network(network)
    check_images(network, images)
    if layer is None:
        layer, layout = last_activation(network)
    else:
        layout = layouts(network, [layer])[layer]
    network = copy_sharing_weights(network)
    seen = listened_to(network, [layer])
    with torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        scores = class_score(network, images, target)
        gradient = gradient_by(scores, seen[layer])
    gradient, activation = (
        full_precision(layout.as_picture(values, images.shape[2:]))
        for values in (gradient, seen[layer].detach())
    )
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1).relu()


def guided_grad_cam(
    network: Network, images: Tensor, target: Target = None, layer: str | None = None
) -> Tensor:
    """Return guided back-propagation's signal times Grad-CAM's map, signed, (N, C, H, W).

    The map (N, h_n, w_n) is enlarged to the images, bilinearly. Parameters and errors as for
    `grad_cam` and, with the rule "guided", `deepinside.deconvnet.pseudo_gradient`. Selvaraju et
    al. (2017).
    """
    check_network(network)
    classes = target_classes(network, images, target)
    signal = pseudo_gradient(network, images, classes, rule="guided")
    maps = grad_cam(network, images, classes, layer)
    return signal * F.interpolate(maps[:, None], images.shape[2:], mode="bilinear")


def _weighings(
    network: Network, seen: dict[str, Tensor]
) -> list[tuple[nn.Linear | nn.Conv2d, Tensor]]:
    """Return the layer that weighs channels for the classes, with what it may have weighed.

    That is the last activation before it with as many channels and with positions, as it is
    and cut at 0, which DenseNet does in none of its layers. Empty if there are none.
    """
    modules = dict(network.named_modules())
    linear = [m for name in seen if isinstance(m := modules[name], nn.Linear | nn.Conv2d)]
    if not linear or len(linear[-1].weight) != seen[""].shape[1]:
        return []
    head = linear[-1]
    before = itertools.takewhile(lambda name: modules[name] is not head, seen)
    fitting = [
        values
        for values in (seen[name] for name in before)
        if values.ndim == 4
        and values[0, 0].numel() > 1
        and values.shape[1] == head.weight[0].numel()
    ]
    return [(head, values) for last in fitting[-1:] for values in (last, last.relu())]
