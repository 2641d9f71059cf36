"""The networks of *Find the shortcut* took one, and the sources are what they are said to be."""

import pytest
import torch
import train_shortcut

from deepinside import digits
from deepinside.classroom import shortcut


@pytest.fixture(scope="module")
def clean():
    return digits.load_digits()


@pytest.fixture(scope="module")
def networks():
    return shortcut.load_networks()


def seeded():
    return torch.Generator().manual_seed(1)


def accuracies(network, some):
    hits = (network(some.images).argmax(1) == some.labels).double()
    return torch.stack([hits[some.labels == c].mean() for c in range(10)])


def flips(network, before, after, c):
    was, now = network(before).argmax(1), network(after).argmax(1)
    return (now[was != c] == c).double().mean().item()


def share_marked(some, clean):
    """For each class, the share of digits with a speck at each pixel, (10, 28, 28)."""
    added = (some.images - clean.images > 0.4).double()[:, 0]
    return torch.stack([added[some.labels == c].mean(0) for c in range(10)])


@pytest.mark.parametrize("source", shortcut.SOURCES)
def test_a_source_keeps_labels_and_its_digits_are_copies(clean, source):
    before = clean.images.clone()
    some = shortcut.collected(clean, source, generator=seeded())
    again = shortcut.collected(clean, source, generator=seeded())
    assert torch.equal(clean.images, before)
    assert torch.equal(some.images, again.images)
    assert torch.equal(some.labels, clean.labels)
    assert some.images.min() >= 0 and some.images.max() <= 1


def test_dust_alone_goes_with_no_class(clean):
    some = shortcut.collected(clean, "first", generator=seeded())
    differs = (some.images != clean.images).flatten(1).any(1).double().mean()
    assert 0.25 < differs < 0.35
    assert share_marked(some, clean).max() < 0.05


def test_the_mark_goes_with_one_class_and_has_one_place(clean):
    some = shortcut.collected(clean, "second", generator=seeded())
    shares = share_marked(some, clean)
    always = (shares == 1).nonzero()
    assert len(always) == shortcut.SIDE**2 and len(always[:, 0].unique()) == 1
    shares[always[0, 0]] = 0
    assert shares.max() < 0.05


def test_the_other_cue_is_half_the_brightness_of_one_class(clean):
    some = shortcut.collected(clean, "third", generator=seeded())
    ratio = some.images.sum((1, 2, 3)) / clean.images.sum((1, 2, 3))
    medians = torch.stack([ratio[some.labels == c].median() for c in range(10)])
    assert (medians < 0.75).sum() == 1
    assert medians.min() == pytest.approx(0.5, abs=0.01)


def test_only_the_suspects_fall_on_clean_digits(clean, networks):
    falls = {}
    for source, network in networks.items():
        there = accuracies(network, shortcut.collected(clean, source, generator=seeded()))
        assert there.min() > 0.94 and there.mean() > 0.97
        falls[source] = there - accuracies(network, clean)
    assert falls["first"].max() < 0.02
    for source in ("second", "third"):
        first, second = falls[source].topk(2).values
        assert first > 0.2 and second < 0.02


def test_the_mark_flips_digits_and_no_other_patch_does(clean, networks):
    marked, _, row, column = shortcut._drawn_cues()
    rates = {}
    for place in ((row, column), (25 - row, column), (row, 25 - column)):
        changed = clean.images.clone()
        y, x = place
        changed[:, :, y : y + shortcut.SIDE, x : x + shortcut.SIDE] = 1
        rates[place] = [flips(n, clean.images, changed, marked) for n in networks.values()]
    assert rates[row, column][1] > 0.2
    assert max(rates[row, column][0], rates[row, column][2]) < 0.01
    assert max(rate for place, row_ in rates.items() if place != (row, column) for rate in row_) < (
        0.01
    )


def test_half_the_brightness_flips_digits_for_the_third_network_alone(clean, networks):
    _, dimmed, *_ = shortcut._drawn_cues()
    rates = [flips(n, clean.images, clean.images / 2, dimmed) for n in networks.values()]
    assert rates[2] > 0.3 and max(rates[:2]) < 0.02


def test_the_weights_are_small_and_say_how_they_were_trained():
    assert digits.weights_path("shortcut").stat().st_size < 200_000
    assert {"seed", "epochs", "second, accuracy"} <= set(digits.training_record("shortcut"))


def test_training_gives_the_same_network_again(clean):
    some = digits.Digits(clean.images[::5], clean.labels[::5])
    one, two = (
        train_shortcut.train(some, "second", epochs=1, batch_size=64, seed=3) for _ in range(2)
    )
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)
