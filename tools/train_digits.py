"""Train the digits network and write its weights: ``python tools/train_digits.py``.

Without arguments the training set is the 60,000 digits of torchvision's MNIST, which it
downloads. ``--data FILE.npz`` takes any archive with `images` (N, 28, 28) uint8 and
`labels` (N,) instead. Digits of the shipped sample are taken out of the training set
first, so accuracy on the sample is always accuracy on digits never seen.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from deepinside.digits import (
    Cluttered,
    Digits,
    cluttered_digits_layers,
    digits_layers,
    load_digits,
    place_in_clutter,
)
from deepinside.networks import Normalization


def read_training_digits(path: Path | None, download_folder: Path) -> Digits:
    """Return the training digits from an archive, or from torchvision's MNIST."""
    if path is None:
        from torchvision.datasets import MNIST

        mnist = MNIST(download_folder, train=True, download=True)
        images, labels = mnist.data, mnist.targets
    else:
        archive = np.load(path)
        images = torch.from_numpy(archive["images"])
        labels = torch.from_numpy(archive["labels"])
    if images.dtype != torch.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"expected images of shape (N, 28, 28) and type uint8, "
            f"got {tuple(images.shape)} and {images.dtype}"
        )
    return Digits(images.float().div(255).unsqueeze(1), labels.long())


def without(digits: Digits, held_out: Digits) -> Digits:
    """Return `digits` less every picture that is also in `held_out`."""
    seen = {image.numpy().tobytes() for image in held_out.images}
    keep = torch.tensor([image.numpy().tobytes() not in seen for image in digits.images])
    return Digits(digits.images[keep], digits.labels[keep])


def train(digits: Digits, *, epochs: int, batch_size: int, seed: int) -> nn.Sequential:
    """Return normalization and layers, trained with Adam on small shifts and rotations."""
    if len(digits.images) < batch_size:
        raise ValueError(
            f"expected at least one batch of {batch_size} digits, got {len(digits.images)}"
        )
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mean, std = digits.images.mean(0), digits.images.std()
    parts = OrderedDict(normalization=Normalization(mean, std), layers=digits_layers())
    network = nn.Sequential(parts).train()
    augment = v2.RandomAffine(degrees=10, translate=(0.07, 0.07), scale=(0.9, 1.1))
    steps = epochs * (len(digits.images) // batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(digits.images), generator=generator)
        total = 0.0
        for chosen in order.split(batch_size):
            if len(chosen) < batch_size:
                continue
            images = torch.stack([augment(image) for image in digits.images[chosen]])
            loss = F.cross_entropy(network(images), digits.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d} of {epochs}: mean loss {total * epochs / steps:.4f}")
    return network.eval()


def train_in_clutter(digits: Digits, *, steps: int, batch_size: int, seed: int) -> nn.Sequential:
    """Return normalization and layers, trained with Adam on canvases drawn for each step."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    example = place_in_clutter(digits, 2000, generator=generator).images
    # the same mean everywhere, as the digit may lie anywhere
    normalization = Normalization(example.mean().reshape(1, 1, 1), example.std())
    parts = OrderedDict(normalization=normalization, layers=cluttered_digits_layers())
    network = nn.Sequential(parts).train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for step in range(steps):
        drawn = place_in_clutter(digits, batch_size, generator=generator)
        loss = F.cross_entropy(network(drawn.images), drawn.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1:4d} of {steps}: loss {loss.item():.4f}")
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, digits: Digits | Cluttered) -> float:
    """Return the share of `digits` whose highest score is the score of their class."""
    predicted: Tensor = network(digits.images).argmax(1)
    return (predicted == digits.labels).double().mean().item()


def main() -> None:
    """Train, report the accuracy on the held-out sample, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="archive of digits (.npz) to train on")
    parser.add_argument("--download-folder", type=Path, default=Path.home() / ".cache" / "mnist")
    parser.add_argument("--output", type=Path, default=Path("digits.safetensors"))
    clutter = "train the network for digits in clutter instead, so many steps"
    parser.add_argument("--clutter", type=int, default=0, metavar="STEPS", help=clutter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    held_out = load_digits()
    digits = without(read_training_digits(options.data, options.download_folder), held_out)
    length = {"epochs": str(options.epochs)}
    settings = {"batch_size": options.batch_size, "seed": options.seed}
    if options.clutter:
        length = {"steps": str(options.clutter)}
        network = train_in_clutter(digits, steps=options.clutter, **settings)
        generator = torch.Generator().manual_seed(options.seed + 1)
        held_out = place_in_clutter(held_out, 1000, generator=generator)
    else:
        network = train(digits, epochs=options.epochs, **settings)
    # as it is stored, so that the accuracy is that of the numbers in the file
    network.half().float()
    share = accuracy(network, held_out)
    print(f"{share:.1%} of {len(held_out.images)} held-out digits")
    metadata = {
        "training digits": str(len(digits.images)),
        **length,
        "batch size": str(options.batch_size),
        "seed": str(options.seed),
        "held-out digits": str(len(held_out.images)),
        "held-out accuracy": f"{share:.4f}",
    }
    save_file(network.half().state_dict(), options.output, metadata=metadata)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
