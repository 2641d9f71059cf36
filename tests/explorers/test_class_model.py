"""The explorer of class models, beside an ascent of five lines."""

import re

import pytest
import torch
from torch import nn

from deepinside import digits
from deepinside.explorers import class_model_explorer
from deepinside.networks import Network, load_network

STATE = {"class": "3", "start": "noise", "l2_weight": 0.3, "step_size": 0.02}


@pytest.fixture(scope="module")
def judge():
    return load_network("cluttered_digits")


@pytest.fixture
def answer(answer_of, digits_network, judge):
    return answer_of(class_model_explorer, digits_network, judge)


def score_of_3(network, image):
    return network(image)[0, 3]


def plain_ascent(network, start, *, l2_weight, step_size):
    """The images (1, 1, 28, 28) of every step, the start first."""
    mean = network.normalization.mean
    images = [start[None]]
    for _ in range(100):
        image = images[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score_of_3(network, image), image)
        images.append(images[-1] + step_size * (gradient - 2 * l2_weight * (images[-1] - mean)))
    return images


@pytest.fixture(scope="module")
def plain(digits_network):
    noise = torch.randn(1, 28, 28, generator=torch.Generator().manual_seed(0))
    start = digits_network.normalization.mean + 0.1 * noise
    return plain_ascent(digits_network, start, l2_weight=0.3, step_size=0.02)


def last_frame(panel):
    width = panel.image.shape[-1] // panel.frames
    return panel.image[..., -width:]


def test_pictures_are_the_start_and_every_twentieth_step(answer, plain):
    start, model = answer(**STATE).panels
    torch.testing.assert_close(start.image, plain[0][0])
    assert (start.frames, model.frames) == (1, 6)
    steps = torch.cat([image[0] for image in plain[::20]], dim=-1)
    torch.testing.assert_close(model.image, steps, atol=1e-3, rtol=0)


def test_numbers_are_those_of_the_last_picture(answer, digits_network, judge):
    # of this one the two networks think differently, and neither is certain
    found = answer(**{"class": "0", "start": "noise", "l2_weight": 0.1, "step_size": 0.01})
    last = last_frame(found.panels[1])[None]
    with torch.no_grad():
        scores = digits_network(last)[0]
        canvas = torch.zeros(1, 1, 64, 64)
        canvas[:, :, 18:46, 18:46] = last.clamp(0, 1)
        judged = judge(canvas)[0].exp()
        start = digits_network(found.panels[0].image[None])[0, 0]
    assert judged.argmax() != 0
    mean = digits_network.normalization.mean
    images = (found.panels[0].image, last)
    begun, squared = [(image - mean).square().sum() for image in images]
    expected = {
        "objective, start to end": ([start - 0.1 * begun, scores[0] - 0.1 * squared], 0.051),
        "norm of the image less the mean": ([squared.sqrt()], 0.051),
        "probability, by the climbed network": ([scores[0].exp() / scores.exp().sum()], 0.0051),
        "probability, by a second network": ([judged[0] / judged.sum()], 0.0051),
    }
    assert list(found.numbers) == list(expected)
    for name, (values, tolerance) in expected.items():
        shown = [float(part) for part in found.numbers[name].split(" to ")]
        assert shown == pytest.approx([value.item() for value in values], abs=tolerance), name


def test_judge_sees_the_class_model_in_the_middle_of_a_black_canvas(answer_of, digits_network):
    class Judge(Network):
        def __init__(self):
            nn.Module.__init__(self)
            self.class_names, self.input_size = digits_network.class_names, (40, 66)
            self.normalization = digits_network.normalization

        def forward(self, images):
            self.seen = images
            return images.new_zeros(len(images), 10)

    judge = Judge().eval()
    found = answer_of(class_model_explorer, digits_network, judge)(**STATE)
    rows, columns = slice(6, 34), slice(19, 47)
    assert torch.equal(judge.seen[0, :, rows, columns], last_frame(found.panels[1]).clamp(0, 1))
    judge.seen[:, :, rows, columns] = 0
    assert not judge.seen.any()
    assert found.numbers["probability, by a second network"] == "0.10"


def test_words_tell_what_share_is_bright_and_dark(answer):
    _, model = answer(**STATE).panels
    shares = [
        int(share) / 100 for share in re.findall(r"(\d+)% of it bright, (\d+)% dark", model.alt)[0]
    ]
    values = last_frame(model).flatten().tolist()
    assert shares[0] == pytest.approx(sum(v > 0.6 for v in values) / 784, abs=0.006)
    assert shares[1] == pytest.approx(sum(v < 0.1 for v in values) / 784, abs=0.006)


def test_curve_is_the_class_score_at_every_tenth_step(answer, plain, digits_network):
    with torch.no_grad():
        scores = [score_of_3(digits_network, image).item() for image in plain[::10]]
    curve = answer(**STATE).curve
    assert (curve.title, curve.steps) == ("class score", 100)
    assert curve.values == pytest.approx(scores, abs=1e-2)


def test_class_models_of_many_states_are_those_of_each(
    without_grid, digits_network, judge, own_photo
):
    _, answers = without_grid(class_model_explorer, digits_network, judge)
    states = [
        {"class": name, "start": start, "l2_weight": 1.0, "step_size": 0.03}
        for name, start in (("8", "noise"), ("1", "a handwritten 3"), ("8", own_photo))
    ]
    for together, state in zip(answers(states), states, strict=True):
        (alone,) = answers([state])
        numbers = [
            [float(part) for text in found.numbers.values() for part in text.split(" to ")]
            for found in (together, alone)
        ]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.11)
        assert together.curve.values == pytest.approx(alone.curve.values, abs=0.1)
        for panel, other in zip(together.panels, alone.panels, strict=True):
            torch.testing.assert_close(panel.image, other.image, atol=1e-3, rtol=0)


def test_diverged_class_model_says_so(answer):
    found = answer(l2_weight=10.0, step_size=0.3)
    assert set(found.numbers.values()) == {"diverged"}
    assert "diverged" in found.panels[1].alt
    assert found.panels[1].image.isfinite().all()


def test_start_from_the_readers_photo_is_gray_and_small(answer, own_photo):
    begun = answer(start=own_photo).panels[0].image
    assert begun.shape == (1, 28, 28)
    assert begun.mean() == pytest.approx(own_photo.mean().item(), abs=0.02)


def test_controls_are_the_books_classes_and_three_starts(without_grid, digits_network, judge):
    controls, _ = without_grid(class_model_explorer, digits_network, judge)
    assert [control.name for control in controls] == ["class", "start", "l2_weight", "step_size"]
    assert controls[0].values == digits.CLASS_NAMES
    assert [control.kind for control in controls] == ["list", "photo", "slider", "slider"]
