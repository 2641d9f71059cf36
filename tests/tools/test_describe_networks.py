import base64
import io
import json
import re

import describe_networks
import numpy as np
import pytest
import torch
from PIL import Image

from deepinside.description import network_description
from deepinside.digits import load_digits
from deepinside.images import load_photo, photo_names, resize_photo
from deepinside.networks import load_network


def called(script):
    """Return the function that a script calls, and what it hands over."""
    function, arguments = re.fullmatch(r"(\w+)\((.*)\);\n", script, re.DOTALL).groups()
    return function, json.loads(f"[{arguments}]")


@pytest.fixture(scope="module")
def photos():
    function, (photos,) = called(describe_networks.photos_script())
    assert function == "photosArrived"
    return photos


@pytest.mark.parametrize("name", describe_networks.NAMES)
def test_a_script_hands_over_a_network(name):
    network = load_network(name)
    fields, weights = network_description(network)
    function, (given, packed) = called(describe_networks.network_script(network))
    assert (function, given) == ("networkArrived", name)
    assert packed["description"] == fields
    stored = np.frombuffer(base64.b64decode(packed["weights"]), "<f2")
    assert torch.from_numpy(stored.copy()).equal(weights)


def test_samples_come_with_the_network(digits_network, digits):
    eight, three = digits.images[[808, 308]]
    _, (_, packed) = called(describe_networks.network_script(digits_network, [eight, three]))
    for sample, image in zip(packed["description"]["samples"], (eight, three), strict=True):
        levels = torch.frombuffer(bytearray(base64.b64decode(sample)), dtype=torch.uint8)
        assert (levels.float() / 255).reshape(1, 28, 28).equal(image)


def test_every_photo_is_as_the_network_will_have_it(photos):
    assert list(photos) == photo_names()
    for name, photo in photos.items():
        kind, content = photo["url"].split(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(content)))
        expected = resize_photo(load_photo(name), 256)
        got = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
        assert got.shape == expected.shape
        # a JPEG's rounding, and nothing else
        assert (got - expected).pow(2).mean().sqrt() < 0.02
    assert photos["cat"]["title"] == "Chelsea the cat"
    assert photos["cat"]["credit"] == "Stéfan van der Walt, CC0"


def test_all_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "web"
    monkeypatch.setattr("sys.argv", ["describe_networks.py", str(folder)])
    describe_networks.main()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.js")}
    assert names == {"photos.js", *(f"networks/{name}.js" for name in describe_networks.NAMES)}
    _, (_, digits) = called((folder / "networks" / "digits.js").read_text("utf-8"))
    held_out = load_digits()
    assert held_out.labels[8::100].tolist() == list(range(10))
    assert len(digits["description"]["samples"]) == 10
    # what a click loads, as the button says: 3.3 MB
    size = (folder / "networks" / "squeezenet.js").stat().st_size
    assert 3.25e6 < size < 3.35e6
