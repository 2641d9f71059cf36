import copy
import sys

import onnx
import onnxruntime
import pytest
import torch
from backward_network.small_networks import relative_difference
from plain_squeezenet import small_squeezenet

from deepinside.backward_network import backward_network, export_onnx
from deepinside.deconvnet import pseudo_gradient
from deepinside.images import fit_photo, load_photo
from deepinside.networks import load_network
from deepinside.saliency import image_gradient


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory):
    """Write a network's graph, once; returns the file and a session that runs it."""

    def write(network, images):
        path = tmp_path_factory.mktemp("graph") / "both_ways.onnx"
        export_onnx(backward_network(network), path, images=images)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return path, session

    return write


def run(session, images, classes):
    given = {"image": images.numpy(), "class": classes.numpy()}
    return [torch.from_numpy(values) for values in session.run(["scores", "gradient"], given)]


def test_graph_of_efficientnet_gives_scores_and_gradient(network, fitted, graph_of):
    images = torch.stack(list(fitted.values()))
    _, session = graph_of(network, images)
    classes = network(images).argmax(1)
    scores, gradients = run(session, images, classes)
    expected = network(images)
    assert (scores - expected).abs().max() < 1e-4
    # on the other photos some ReLU6 stands at its kink, and rounding decides on its mask
    clear = [list(fitted).index(name) for name in ("astronaut", "cat")]
    exact = image_gradient(network, images, classes)
    assert relative_difference(gradients[clear], exact[clear]) < 1e-4
    assert relative_difference(gradients, exact) < 0.01
    # one image as a batch, another class
    scores, gradients = run(session, images[2:3], torch.tensor([281]))
    assert (scores - expected[2:3]).abs().max() < 1e-4
    assert relative_difference(gradients, image_gradient(network, images[2:3], 281)) < 1e-4


def test_graph_is_one_lean_file(network, four_images, graph_of):
    path, _ = graph_of(network, four_images[:1])
    assert [file.name for file in path.parent.iterdir()] == ["both_ways.onnx"]
    weights = sum(p.numel() * 4 for p in network.parameters())
    assert path.stat().st_size < 1.02 * weights
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert all(opset.version <= 21 for opset in model.opset_import if not opset.domain)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == kinds.count("ConvTranspose") == 49
    names = {given.name: given.type.tensor_type for given in model.graph.input}
    assert names["image"].elem_type == onnx.TensorProto.FLOAT
    assert names["class"].elem_type == onnx.TensorProto.INT64
    assert [output.name for output in model.graph.output] == ["scores", "gradient"]


def test_graph_of_the_digits_network_has_its_switches(digits_network, digits, graph_of):
    images, classes = digits.images[::10], torch.arange(100) % 10
    _, session = graph_of(digits_network, images)
    scores, gradient = run(session, images, classes)
    assert (scores - digits_network(images)).abs().max() < 1e-4
    expected = image_gradient(digits_network, images, classes)
    assert relative_difference(gradient, expected) < 1e-4


def test_graph_has_the_place_of_each_channel_s_maximum(graph_of, generator):
    network, classes = load_network("cluttered_digits"), torch.tensor([3, 0, 9])
    images = torch.rand(3, 1, 64, 64, generator=generator)
    _, session = graph_of(network, images)
    scores, gradient = run(session, images, classes)
    assert relative_difference(scores, network(images)) < 1e-5
    assert relative_difference(gradient, image_gradient(network, images, classes)) < 1e-4


@pytest.mark.parametrize(("side", "unpooling"), [(33, "add"), (36, "overwrite")])
def test_graph_has_overlapping_windows_and_concatenations(side, unpooling, tmp_path, generator):
    network = small_squeezenet().float()
    both_ways = backward_network(network, rule="deconvnet", unpooling=unpooling)
    images, classes = torch.rand(3, 3, side, side + 2, generator=generator), torch.tensor([0, 4, 2])
    export_onnx(both_ways, tmp_path / "a", images=images)
    session = onnxruntime.InferenceSession(tmp_path / "a", providers=["CPUExecutionProvider"])
    for count in (1, 3):
        expected = both_ways(images[:count], classes[:count])
        got = run(session, images[:count], classes[:count])
        for values, others in zip(got, expected, strict=True):
            assert relative_difference(values, others) < 1e-5


def test_graph_of_squeezenet_gives_scores_and_gradient(graph_of, squeezenet):
    # on the other photos rounding decides on a switch or on the mask of some neuron
    photos = [load_photo(name) for name in ("coffee", "coins")]
    images = torch.stack([fit_photo(photo, squeezenet)[0] for photo in photos])
    _, session = graph_of(squeezenet, images)
    expected, classes = squeezenet(images), torch.tensor([967, 574])
    scores, gradient = run(session, images, classes)
    assert relative_difference(scores, expected) < 1e-5
    assert relative_difference(gradient, image_gradient(squeezenet, images, classes)) < 1e-4


def test_graph_has_the_rules_of_the_time(digits_network, digits, tmp_path):
    images, classes = digits.images[::100], torch.arange(10)
    export_onnx(backward_network(digits_network, rule="guided"), tmp_path / "a", images=images)
    session = onnxruntime.InferenceSession(tmp_path / "a", providers=["CPUExecutionProvider"])
    expected = pseudo_gradient(digits_network, images, classes, rule="guided")
    assert relative_difference(run(session, images, classes)[1], expected) < 1e-4


def test_export_leaves_the_network_as_it_was(digits, digits_network, tmp_path):
    network = copy.deepcopy(digits_network.layers).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_onnx(backward_network(network), tmp_path / "a.onnx", images=digits.images[:1])
    assert all(module.training for module in network.modules())
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_missing_package_is_named(digits_network, digits, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'deepinside\[onnx\]'"):
        export_onnx(backward_network(digits_network), tmp_path / "a", images=digits.images[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "expected images as a tensor"),
        ({"images": torch.zeros(1, 28, 28)}, "expected a batch of images"),
        ({"path": None}, "expected a BackwardNetwork and a path, got"),
        ({"path": 3}, "expected a BackwardNetwork and a path, got"),
        ({"network": None}, "expected a BackwardNetwork and a path, got None"),
        ({"network": torch.nn.Linear(2, 2)}, "expected a BackwardNetwork and a path, got Linear"),
    ],
)
def test_what_cannot_be_written_is_named(digits_network, digits, tmp_path, change, message):
    pytest.importorskip("onnxscript")
    given = {"network": backward_network(digits_network), "path": tmp_path / "both.onnx"}
    given |= {"images": digits.images[:1], **change}
    with pytest.raises(ValueError, match=message):
        export_onnx(given["network"], given["path"], images=given["images"])
    assert not list(tmp_path.iterdir())


def test_what_is_not_the_networks_is_not_written(digits, digits_network, tmp_path):
    both_ways = backward_network(copy.deepcopy(digits_network))
    both_ways.network.layers[1].register_forward_hook(lambda module, given, output: output * 2)
    with pytest.raises(ValueError, match=r"a forward hook on 'layers\.1'"):
        export_onnx(both_ways, tmp_path / "a", images=digits.images[:1])
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 1, 28, 28\)"):
        export_onnx(backward_network(digits_network), tmp_path / "a", images=torch.rand(1, 1, 9, 9))
    assert not list(tmp_path.iterdir())
