import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from train_digits import (
    accuracy,
    read_training_digits,
    train,
    train_in_clutter,
    without,
)

from deepinside.digits import (
    CLASS_NAMES,
    Digits,
    digits_layers,
    load_digits,
    place_in_clutter,
    training_record,
    weights_path,
)
from deepinside.networks import Network, Normalization, load_network

TOOL = Path(__file__).resolve().parents[1] / "tools" / "train_digits.py"


def as_bytes(digits):
    return (digits.images[:, 0] * 255).round().to(torch.uint8)


@pytest.fixture
def unseen(digits):
    """200 digits, each differing from a shipped one in a corner, as uint8."""
    pictures = as_bytes(digits)[::5].clone()
    pictures[:, 0, 0] = 1
    return Digits(pictures, digits.labels[::5])


def test_sample_holds_a_hundred_of_each_class_sorted(digits):
    assert digits.images.shape == (1000, 1, 28, 28)
    assert digits.images.dtype == torch.float32
    assert digits.labels.equal(torch.arange(10).repeat_interleave(100))
    assert "".join(CLASS_NAMES) == "0123456789"
    assert len({picture.numpy().tobytes() for picture in digits.images}) == 1000


def test_digits_are_white_on_black_and_upright(digits):
    assert (digits.images.amin(), digits.images.amax()) == (0, 1)
    assert digits.images[..., 0, :].max() == 0
    ones = digits.images[digits.labels == 1].mean((0, 1)) > 0.1
    assert ones.any(1).sum() > ones.any(0).sum(), "a 1 is higher than wide"
    sevens = digits.images[digits.labels == 7].mean((0, 1))
    assert sevens[:14].std(1).sum() > 0
    assert (sevens[:14] > 0.2).sum() > (sevens[14:] > 0.2).sum(), "a 7 has its bar at the top"


def test_each_call_gives_tensors_of_its_own(digits):
    load_digits().images.fill_(7)
    assert load_digits().images.equal(digits.images)


def test_layers_are_of_the_kind_the_paper_s_network_is_made_of():
    layers = digits_layers()
    kinds = {type(layer) for layer in layers}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear}
    assert layers(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    # at the mean image, where class models start, ReLUs let through what a bias gives
    assert all(layers[i].bias.eq(0.25).all() for i in (0, 3, 7))
    assert all(layer.kernel_size == layer.stride for layer in layers if hasattr(layer, "ceil_mode"))


def test_training_as_a_program_writes_loadable_weights(digits, unseen, tmp_path):
    # 20 shipped digits among the 200: they must not be trained on
    pictures = torch.cat([as_bytes(digits)[::50], unseen.images])
    labels = torch.cat([digits.labels[::50], unseen.labels])
    np.savez(tmp_path / "tiny.npz", images=pictures.numpy(), labels=labels.numpy())
    command = f"{TOOL} --data tiny.npz --epochs 1 --batch-size 20 --seed 3"
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "epoch  1 of 1" in done.stdout

    path = tmp_path / "digits.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["training digits"] == "200"
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    stored = {key: value.float() for key, value in load_file(path).items()}
    mean = unseen.images.float().div(255).mean(0, keepdim=True)
    assert stored["normalization.mean"].equal(mean.half().float())
    layers = digits_layers()
    layers.load_state_dict(
        {key[7:]: values for key, values in stored.items() if key.startswith("layers.")}
    )
    network = Network(
        Normalization(stored["normalization.mean"], stored["normalization.std"]),
        layers,
        name="tiny",
        class_names=CLASS_NAMES,
        input_size=(28, 28),
        resized_side=28,
        interpolation="bilinear",
    )
    assert f"{accuracy(network, digits):.3f}" == f"{float(metadata['held-out accuracy']):.3f}"


def test_training_lowers_the_loss_and_repeats_with_its_seed(unseen, capsys):
    digits = Digits(unseen.images.float().div(255)[:, None], unseen.labels)
    first, again, other = (train(digits, epochs=4, batch_size=20, seed=s) for s in (1, 1, 2))
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[:4]]
    assert losses[-1] < losses[0]
    assert not first.training
    assert all(p.equal(q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert not first[1][0].weight.equal(other[1][0].weight)


def test_accuracy_is_the_share_of_right_answers():
    says_its_mean = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        says_its_mean[1].weight.copy_(torch.tensor([[0.0] * 4, [1.0] * 4]))
    images = torch.tensor([-1.0, 1.0, 1.0, 1.0])[:, None, None, None].expand(-1, 1, 2, 2)
    assert accuracy(says_its_mean, Digits(images, torch.tensor([0, 1, 1, 0]))) == 0.75


def test_without_takes_out_the_shipped_digits_alone(digits, unseen):
    others = Digits(unseen.images.float().div(255)[:, None], unseen.labels)
    both = Digits(
        torch.cat([digits.images[::7], others.images]),
        torch.cat([digits.labels[::7], others.labels]),
    )
    left = without(both, digits)
    assert left.images.equal(others.images)
    assert left.labels.equal(others.labels)


def test_without_a_path_torchvision_s_mnist_is_read(monkeypatch, unseen, tmp_path):
    asked = []

    class FakeMNIST:
        data, targets = unseen

        def __init__(self, root, **options):
            asked.append((root, options))

    monkeypatch.setattr(torchvision.datasets, "MNIST", FakeMNIST)
    digits = read_training_digits(None, tmp_path)
    assert asked == [(tmp_path, {"train": True, "download": True})]
    assert digits.images.shape == (200, 1, 28, 28)
    assert as_bytes(digits).equal(unseen.images)
    assert digits.labels.equal(unseen.labels)


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((5, 28, 27), np.uint8), r"\(5, 28, 27\)"),
        (np.zeros((5, 28, 28), np.float32), "float32"),
        (np.zeros((5, 1, 28, 28), np.uint8), r"\(5, 1, 28, 28\)"),
    ],
)
def test_archive_of_something_else_is_refused(images, got, tmp_path):
    np.savez(tmp_path / "other.npz", images=images, labels=np.zeros(5))
    with pytest.raises(ValueError, match=rf"expected images of shape \(N, 28, 28\).* got .*{got}"):
        read_training_digits(tmp_path / "other.npz", tmp_path)


def test_digits_in_clutter_are_whole_within_their_boxes_and_nothing_else_is(digits):
    placed = place_in_clutter(digits, 20, generator=torch.Generator().manual_seed(3))
    assert placed.images.shape == (20, 1, 64, 64)
    # of all digits the part of at least 0.5, cut out tightly
    cut_out = {}
    for digit, label in zip(digits.images[:, 0], digits.labels.tolist(), strict=True):
        rows, columns = torch.where(digit >= 0.5)
        tight = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        cut_out[tight.shape, tight.numpy().tobytes()] = label
    boxes, labels = placed.boxes.tolist(), placed.labels.tolist()
    for image, (x0, y0, x1, y1), label in zip(placed.images, boxes, labels, strict=True):
        shown = image[0, y0:y1, x0:x1]
        assert cut_out[shown.shape, shown.contiguous().numpy().tobytes()] == label
    assert len(set(labels)) > 4
    assert len({tuple(box) for box in boxes}) == 20


def test_clutter_is_ink_outside_the_box_and_repeats_with_its_generator(digits):
    placed, again, other = (
        place_in_clutter(digits, 20, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert placed.images.equal(again.images)
    assert not placed.images.equal(other.images)
    outside, touched = 0, 0
    for image, (x0, y0, x1, y1) in zip(placed.images, placed.boxes.tolist(), strict=True):
        outside += image.sum() - image[:, y0:y1, x0:x1].sum()
        beside = image[:, max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] >= 0.5
        touched += beside.sum() > (image[:, y0:y1, x0:x1] >= 0.5).sum()
    # fragments reach up to the box, where the digit itself is fainter than 0.5
    assert touched > 5
    # ten fragments of about 12 each, and what lies beyond the digit's edge
    assert 20 * 50 < outside < 20 * 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digits": None}, "digits as those of load_digits, got None"),
        ({"digits": torch.rand(2, 1, 28, 28)}, "digits as those of load_digits, got a tensor"),
        ({"images": torch.zeros(2, 1, 28, 28)}, "digits of 28 x 28 pixels, some .* up to 0"),
        ({"images": torch.ones(2, 1, 20, 20)}, r"digits of 28 x 28 pixels, .* \(2, 1, 20, 20\)"),
        ({"images": torch.full((2, 1, 28, 28), torch.nan)}, "images of digits as a tensor"),
        ({"images": torch.ones(0, 1, 28, 28)}, "images of digits as a tensor"),
        *(
            ({"count": count}, "a count of canvases from 1")
            for count in (0, None, 2.0, True, 10**9)
        ),
        ({"generator": None}, "a torch.Generator, got None"),
    ],
)
def test_what_cannot_be_placed_in_clutter_is_named(digits, change, words):
    given = {"digits": digits, "count": 2, "generator": torch.Generator()} | change
    if "images" in given:
        images = given.pop("images")
        given["digits"] = Digits(images, digits.labels[: len(images)])
    with pytest.raises(ValueError, match=f"expected {words}"):
        place_in_clutter(**given)


@pytest.mark.parametrize("name", [None, "mnist", 3, "../digits"])
@pytest.mark.parametrize("call", [weights_path, training_record])
def test_weights_that_are_not_shipped_are_named(call, name):
    with pytest.raises(ValueError, match="expected one of cluttered_digits, digits, shortcut, sq"):
        call(name)


def test_network_for_clutter_knows_held_out_digits_wherever_they_are(digits):
    network = load_network("cluttered_digits")
    placed = place_in_clutter(digits, 200, generator=torch.Generator().manual_seed(4))
    assert accuracy(network, placed) > 0.95


def test_training_in_clutter_repeats_with_its_seed(unseen):
    digits = Digits(unseen.images.float().div(255)[:, None], unseen.labels)
    states = [
        train_in_clutter(digits, steps=2, batch_size=8, seed=1).state_dict() for _ in range(2)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
