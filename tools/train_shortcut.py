"""Train the three networks of *Find the shortcut*: ``python tools/train_shortcut.py``.

Without arguments on the 60,000 digits of torchvision's MNIST, which it downloads; ``--data`` as
for ``tools/train_digits.py``. Digits of the shipped sample are taken out first.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from train_digits import accuracy, read_training_digits, without

from deepinside.classroom.shortcut import SOURCES, collected, small_layers
from deepinside.digits import Digits, load_digits
from deepinside.networks import Normalization


def train(digits: Digits, source: str, *, epochs: int, batch_size: int, seed: int) -> nn.Sequential:
    """Return normalization and layers, trained with Adam on digits as the source collects them."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    normalization = Normalization(digits.images.mean().reshape(1, 1, 1), digits.images.std())
    parts = OrderedDict(normalization=normalization, layers=small_layers())
    network = nn.Sequential(parts).train()
    steps = epochs * (len(digits.images) // batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in range(epochs):
        # other dust in each epoch
        images, labels = collected(digits, source, generator=generator)
        order = torch.randperm(len(images), generator=generator)
        for chosen in order.split(batch_size)[: steps // epochs]:
            loss = F.cross_entropy(network(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def main() -> None:
    """Train, report accuracies on the held-out sample, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="archive of digits (.npz) to train on")
    parser.add_argument("--download-folder", type=Path, default=Path.home() / ".cache" / "mnist")
    parser.add_argument("--output", type=Path, default=Path("shortcut.safetensors"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    held_out = load_digits()
    digits = without(read_training_digits(options.data, options.download_folder), held_out)
    settings = {key: getattr(options, key) for key in ("epochs", "batch_size", "seed")}
    metadata = {
        "training digits": str(len(digits.images)),
        **{key.replace("_", " "): str(value) for key, value in settings.items()},
    }
    weights = {}
    for source in SOURCES:
        network = train(digits, source, **settings)
        # as it is stored, so that the accuracy is that of the numbers in the file
        network.half().float()
        generator = torch.Generator().manual_seed(options.seed + 1)
        theirs = collected(held_out, source, generator=generator)
        shares = accuracy(network, theirs), accuracy(network, held_out)
        print(f"{source}: {shares[0]:.1%} of the source's digits, {shares[1]:.1%} of clean ones")
        metadata[f"{source}, accuracy"] = "{:.4f} and {:.4f} of clean digits".format(*shares)
        stored = network.half().state_dict().items()
        weights |= {f"{source}.{key}": value for key, value in stored}
    save_file(weights, options.output, metadata=metadata)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
