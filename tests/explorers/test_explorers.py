"""What the explorers of the chapters answer, computed a second time by the plain helpers.

Their grids are replaced by a few states, as the book's build computes the whole ones.
"""

import re

import pytest
import torch

from deepinside import (
    deconvnet,
    digits,
    explorers,
    images,
    localization,
    measures,
    networks,
    saliency,
)
from deepinside.class_model import class_model
from deepinside.explorers import widget as widgets

OWN = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def answers_of(monkeypatch):
    """A function from an explorer's maker to its controls and its answers, without a grid."""

    def without_grid(make, *arguments):
        made = []
        monkeypatch.setattr(explorers, "Explorer", lambda *given: made.append(given))
        make(*arguments)
        ((_, controls, answers),) = made
        first = {one.name: one.values[0] if one.start is None else one.start for one in controls}
        return controls, lambda **changed: answers([first | changed])[0]

    return without_grid


@pytest.fixture(scope="module")
def lite0():
    return networks.load_network()


@pytest.fixture(scope="module")
def small():
    return networks.load_network("digits")


@pytest.fixture(scope="module")
def judge():
    return networks.load_network("cluttered_digits")


def test_class_model_is_that_of_its_state_and_judged_in_the_middle(answers_of, small, judge):
    _, answer = answers_of(explorers.class_model_explorer, small, judge)
    found = answer(**{"class": "3", "l2_weight": 0.3, "step_size": 0.02})
    plain = class_model(small, "3", l2_weight=0.3, step_size=0.02, steps=100)
    torch.testing.assert_close(found.panels[1].image, plain.images[0], atol=1e-4, rtol=0)
    canvas = torch.zeros(1, 1, 64, 64)
    canvas[:, :, 18:46, 18:46] = plain.images.clamp(0, 1)
    probability = judge(canvas).softmax(1)[0, 3]
    assert float(found.numbers["judge's probability"]) == pytest.approx(
        probability.item(), abs=0.006
    )
    assert float(found.numbers["class score"]) == pytest.approx(
        plain.class_scores[-1, 0].item(), abs=0.06
    )
    assert found.curve.steps == 100
    assert found.curve.values[-1] == pytest.approx(plain.class_scores[-1, 0].item(), abs=1e-3)


def test_class_models_of_many_states_are_those_of_each(small, judge, monkeypatch):
    made = []
    monkeypatch.setattr(explorers, "Explorer", lambda *given: made.append(given))
    explorers.class_model_explorer(small, judge)
    answers = made[0][2]
    states = [
        {"class": name, "start": start, "l2_weight": 1.0, "step_size": 0.03}
        for name, start in (("8", "noise"), ("1", "a handwritten 3"), ("8", OWN))
    ]
    for together, state in zip(answers(states), states, strict=True):
        (alone,) = answers([state])
        for one, other in zip(together.panels, alone.panels, strict=True):
            torch.testing.assert_close(one.image, other.image, atol=1e-3, rtol=0)


def test_diverged_class_model_says_so(answers_of, small, judge):
    _, answer = answers_of(explorers.class_model_explorer, small, judge)
    found = answer(l2_weight=10.0, step_size=0.3)
    assert set(found.numbers.values()) == {"diverged"}
    assert "diverged" in found.panels[1].alt
    assert found.panels[1].image.isfinite().all()


def test_start_from_the_readers_photo_is_gray_and_small(answers_of, small, judge):
    _, answer = answers_of(explorers.class_model_explorer, small, judge)
    begun = answer(start=OWN).panels[0].image
    assert begun.shape == (1, 28, 28)
    assert begun.mean() == pytest.approx(OWN.mean().item(), abs=0.02)


def test_saliency_of_the_second_class_by_the_mean(answers_of, lite0):
    _, answer = answers_of(explorers.saliency_explorer, lite0)
    found = answer(photo="coffee", **{"class": "the network's 2nd", "map": "mean magnitude"})
    image = images.fit_photo(images.load_photo("coffee"), lite0)[0][None]
    second = lite0(image)[0].topk(2).indices[1].item()
    assert found.numbers["class"] == lite0.class_names[second]
    expected = saliency.image_gradient(lite0, image, second)[0].abs().mean(0)
    brightness = found.panels[1].image.sum(0)
    # magma grows brighter all the way up to the percentile at which it ends
    below = expected <= expected.flatten().quantile(0.98)
    rank = torch.corrcoef(torch.stack([brightness[below], expected[below]]))[0, 1]
    assert rank > 0.98


def test_saliency_of_any_class_and_any_photo(answers_of, lite0):
    controls, answer = answers_of(explorers.saliency_explorer, lite0)
    assert answer(photo=OWN, **{"class": "Tiger Cat"}).numbers["class"] == "tiger cat"
    with pytest.raises(ValueError, match="expected the name of a class, got 'tigercat'"):
        answer(**{"class": "tigercat"})
    assert [one.free for one in controls] == ["", "or any class", ""]


@pytest.mark.parametrize("way", ["threshold", "GraphCut"])
def test_box_and_iou_are_those_of_the_helpers(answers_of, lite0, way):
    _, answer = answers_of(explorers.localization_explorer, lite0)
    found = answer(photo="astronaut", map="one pass", way=way, upper=0.9, lower=0.2)
    image = images.squash_photo(images.load_photo("astronaut"), (224, 224))
    one = saliency.saliency_map(lite0, image[None], "space shuttle")[0]
    if way == "threshold":
        plain = localization.threshold_localization(one, quantile=0.9)
    else:
        plain = localization.graph_cut_localization(
            image, one, object_quantile=0.9, background_quantile=0.2
        )
    boxes = found.panels[0].boxes
    assert boxes["found"] == plain.box
    assert torch.equal(found.panels[0].mask, plain.mask)
    overlap = measures.iou(plain.box, boxes["drawn by hand"])
    assert found.numbers["IoU"] == f"{overlap:.2f}"


def test_own_photo_is_localized_for_its_first_class_without_an_iou(answers_of, lite0):
    _, answer = answers_of(explorers.localization_explorer, lite0)
    found = answer(photo=images.load_photo("coffee"))
    assert found.numbers["class"] == "espresso"
    assert "IoU" not in found.numbers
    assert list(found.panels[0].boxes) == ["found"]


def test_where_nothing_is_found_the_answer_says_so(answers_of, lite0, monkeypatch):
    _, answer = answers_of(explorers.localization_explorer, lite0)
    found = answer(photo="cat", upper=1.0)
    assert "no object found" in found.numbers["nothing found"]
    assert found.numbers["IoU"] == "0.00"
    assert not found.panels[0].mask.any()


@pytest.mark.parametrize("rule", deconvnet.RULES)
def test_signal_is_the_reconstruction_with_gray_as_zero(answers_of, lite0, rule):
    _, answer = answers_of(explorers.deconvnet_explorer, lite0)
    found = answer(photo="cat", layer="stage 1", rule=rule)
    image = images.fit_photo(images.load_photo("cat"), lite0)[0][None]
    signal = deconvnet.reconstruction(lite0, image, "layers.blocks.1", rule=rule)[0]
    gray = found.panels[1].image - 0.5
    assert torch.equal(gray > 0, signal > 0)
    likeness = torch.corrcoef(torch.stack([signal.flatten(), image.flatten()]))[0, 1]
    shown = float(found.numbers["correlation with the photo"])
    assert shown == pytest.approx(likeness.item(), abs=0.006)
    if rule == "gradient":
        assert found.numbers["length, over the gradient's"] == "1"


def test_names_of_the_book_are_the_values_of_its_controls(answers_of, lite0, small, judge):
    made = [
        answers_of(explorers.class_model_explorer, small, judge)[0],
        answers_of(explorers.saliency_explorer, lite0)[0],
        answers_of(explorers.localization_explorer, lite0)[0],
        answers_of(explorers.deconvnet_explorer, lite0)[0],
    ]
    for controls in made:
        widgets._check_controls(controls)
        photos = [one for one in controls if one.kind == "photo"]
        assert len(photos) == 1
        if photos[0].name == "photo":
            assert set(photos[0].values) <= set(images.photo_names())
    assert made[0][0].values == digits.CLASS_NAMES
    assert all(re.search(r"\S", one.label) for controls in made for one in controls)
