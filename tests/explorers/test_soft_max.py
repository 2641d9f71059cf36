"""The explorer of scores and soft-max: each number by autograd on a network with other biases."""

import re

import pytest
import torch
from torch import nn

from deepinside.explorers import soft_max_explorer
from deepinside.networks import load_network

NAMES = ["tabby", "tiger cat", "Egyptian cat", "lynx"]
ASKED, RIVAL = 281, 282


class Biased(nn.Module):
    """A network whose last layer has other biases."""

    def __init__(self, network, *, own, rival, everything):
        super().__init__()
        self.network = network
        self.added = torch.full((1000,), float(everything))
        self.added[ASKED] += own
        self.added[RIVAL] += rival

    def forward(self, images):
        return self.network(images) + self.added


@pytest.fixture
def answer(answer_of, network):
    return answer_of(soft_max_explorer, network)


def told(panel):
    """The values that a panel's alt text names."""
    return {name: float(re.search(rf"{name} (-?\d+\.\d+)", panel.alt)[1]) for name in NAMES}


@pytest.mark.parametrize(("own", "rival", "everything"), [(0, 0, 0), (4, -2, 0), (-2, 4, 1.5)])
def test_bars_and_numbers_are_those_of_a_network_with_these_biases(
    answer, network, fitted, own, rival, everything
):
    found = answer(own=own, rival=rival, all=everything)
    image = fitted["cat"][None].requires_grad_()
    scores = Biased(network, own=own, rival=rival, everything=everything)(image)[0]
    (of_score,) = torch.autograd.grad(scores[ASKED], image, retain_graph=True)
    scores.retain_grad()
    probability = scores.softmax(0)[ASKED]
    probability.backward()
    indices = [network.class_names.index(name) for name in NAMES]
    expected = [scores, scores.softmax(0), scores.grad]
    for panel, values, margin in zip(found.panels, expected, (0.06, 0.0006, 0.0006), strict=True):
        assert [*told(panel).values()] == pytest.approx(values[indices].tolist(), abs=margin)

    norms = {"∂P/∂I, norm": image.grad.norm(), "∂S/∂I, norm": of_score.norm()}
    for name, norm in norms.items():
        assert float(found.numbers[name]) == pytest.approx(norm.item(), abs=0.006)
    cosine = (image.grad * of_score).sum() / image.grad.norm() / of_score.norm()
    assert float(found.numbers["cosine of the two"]) == pytest.approx(cosine.item(), abs=0.006)
    assert float(found.numbers["P(tabby)"]) == pytest.approx(probability.item(), abs=0.0006)


def test_a_constant_changes_the_scores_alone(answer):
    first, other = answer(), answer(all=4)
    assert told(first.panels[0]) != told(other.panels[0])
    assert [panel.alt for panel in first.panels[1:]] == [panel.alt for panel in other.panels[1:]]
    assert first.numbers == other.numbers


def test_own_score_up_and_all_others_down_are_one_probability(answer):
    assert answer(own=2).numbers == answer(own=2, all=-2).numbers
    assert told(answer(own=2, all=-2).panels[0])["tabby"] == told(answer().panels[0])["tabby"]


def test_bars_stay_within_their_pictures(without_grid, network):
    controls, answers = without_grid(soft_max_explorer, network)
    for ends in (min, max):
        state = {control.name: ends(control.values) for control in controls}
        for panel in answers([state])[0].panels:
            width = panel.image.shape[2]
            assert all(0 <= left < right <= width for left, _, right, _ in panel.bars.values())


def test_photo_of_a_network_with_other_classes_is_refused():
    with pytest.raises(ValueError, match="expected the name of a class, got 'tabby'"):
        soft_max_explorer(load_network("cluttered_digits"))
