"""Class models in the page, in Node, against `deepinside.class_model` (paper §2)."""

import math

import pytest
import torch

from deepinside.class_model import class_model
from deepinside.description import network_description
from deepinside.networks import load_network
from deepinside.regularizers import Regularizers, gaussian_blur, random_view

STEPS = 50
CLIMB = """
const net = new network.Network(new WebAssembly.Module(wasm), fields, weights, size);
const ascent = new class_model.Ascent(net, { target, start, seed: 4 }, how);
const states = [{ ...ascent.now, image: ascent.image }];
for (let i = 0; i < steps; i++) states.push({ ...ascent.step(), image: ascent.image });
return states;
"""


@pytest.fixture(scope="module")
def climb(in_node, wasm):
    """Return a function that climbs in Node: the numbers and the image of each step."""

    def climbed(network, target, *, start="zero", **how):
        fields, weights = network_description(network)
        states = in_node(
            CLIMB,
            wasm=wasm,
            fields=fields,
            weights=weights.float().numpy(),
            size=list(network.input_size),
            target=target,
            start=start,
            how={"jitter": 0, "blur": 0, **how},
            steps=STEPS,
        )
        shape = (network.input_channels, *network.input_size)
        for state in states:
            state["image"] = torch.from_numpy(state["image"]).view(shape)
        return states

    return climbed


def distances(ours, theirs, mean):
    """Return the length of each difference over that of what was added to the mean."""
    missed, added = (ours - theirs).flatten(1), (theirs - mean).flatten(1)
    return missed.norm(dim=1) / added.norm(dim=1)


def check(states, network, target, **options):
    """Compare the image and the numbers of each step with those of Python."""
    start = states[0]["image"][None]
    options = {"l2_weight": 1.0, "step_size": 0.05, "steps": STEPS, "start": start} | options
    right = class_model(network, target, snapshots=STEPS + 1, **options)
    ours = torch.stack([state["image"] for state in states[1:]])
    assert distances(ours, right.snapshots[1:, 0], network.normalization.mean).max() < 1e-4
    for name, values in (("score", right.class_scores), ("norm", right.norms)):
        found = [state[name] for state in states]
        assert found == pytest.approx(values[:, 0].tolist(), rel=1e-4)
    assert [state["step"] for state in states] == right.steps.tolist()


PLAIN = {"lambda": 1, "alpha": 0.05}


@pytest.mark.parametrize("start", ["zero", "noise"])
@pytest.mark.parametrize("target", [3, 8])
def test_digits_climb_as_in_python(climb, start, target):
    network = load_network("digits")
    states = climb(network, target, start=start, **PLAIN)
    check(states, network, target)
    added = states[0]["image"] - network.normalization.mean
    assert float(added.std()) == pytest.approx(0.1 if start == "noise" else 0, rel=0.1)
    last = states[-1]
    assert last["objective"] > states[0]["objective"] + 5
    assert last["penalty"] == pytest.approx(last["norm"] ** 2)
    assert last["objective"] == pytest.approx(last["score"] - last["penalty"])


def test_a_blurred_view_is_climbed_as_in_python(climb):
    network = load_network("digits")
    states = climb(network, 8, start="noise", blur=1.2, **PLAIN)
    check(states, network, 8, regularizers=Regularizers(blur=1.2))


@pytest.mark.parametrize("start", ["zero", "noise"])
def test_each_step_of_squeezenet_is_that_of_python(climb, start):
    # A mask or a switch that rounding turns makes of one climb two, of torch's in float32 and in
    # float64, too. So each step is compared alone, from where ours has come to.
    network = load_network("squeezenet", input_size=(128, 128))
    target = network.class_names.index("flamingo")
    states = climb(network, target, start=start, **{"lambda": 1, "alpha": 0.04})
    ours = torch.stack([state["image"] for state in states])
    options = {"l2_weight": 1.0, "step_size": 0.04, "steps": 1}
    right = class_model(network, target, start=ours[:-1], **options)
    missed = distances(ours[1:], right.images, network.normalization.mean)
    assert missed.median() < 1e-5
    assert (missed < 1e-4).sum() >= 0.9 * STEPS
    assert missed.max() < 0.05
    assert states[-1]["objective"] > states[0]["objective"] + 100


def test_blur_and_shift_are_those_of_python(in_node, generator):
    image = torch.randn(2, 13, 17, generator=generator)
    body = """
    const shape = [2, 13, 17];
    const blurred = images.gaussianBlur(image, shape, 1.7, "zero");
    return [blurred, ...shifts.map((shift) => class_model.shifted(image, shape, shift))];
    """
    drawn = torch.rand(5, 4, generator=generator)
    how = Regularizers(jitter=9.0)
    shifts = [[round(9 * (2 * u - 1)) for u in row] for row in drawn[:, :2].tolist()]
    blurred, *seen = in_node(body, image=image.numpy(), shifts=shifts)
    right = gaussian_blur(image[None], 1.7)[0].flatten()
    assert torch.from_numpy(blurred).allclose(right, atol=1e-6)
    views = random_view(image.expand(5, -1, -1, -1), drawn, how)
    for ours, view in zip(seen, views, strict=True):
        # torch samples at places that are whole numbers but for rounding
        assert torch.from_numpy(ours).allclose(view.flatten(), atol=1e-4)


def test_what_diverges_is_told_by_its_norm_and_left_alone(climb):
    network = load_network("digits")
    states = climb(network, 8, **{"lambda": 10, "alpha": 0.3})
    assert states[-1]["norm"] > 1e3 * math.sqrt(math.prod(network.input_size))
    assert states[-1]["step"] < STEPS
    assert states[-1]["image"].equal(states[-2]["image"])
