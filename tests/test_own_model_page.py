"""The page on models of one's own: its table is computed here, and its code runs as written."""

import contextlib
import io
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import timm
import torch
import torchvision
from drawn_networks import densenet, resnet
from test_own_model import (
    CLASSES,
    convnext,
    drawn,
    plain,
    swin,
    timm_convnext,
    timm_swin,
    timm_vit,
    vit,
)
from timm.models import _efficientnet_builder as builder
from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from deepinside import (
    backward_network,
    class_activation,
    class_model,
    class_score,
    deconvnet,
    integrated_gradients,
    limits,
    localization,
    networks,
    object_maps,
    occlusion,
    saliency,
)

PAGE = (Path(__file__).parents[1] / "book" / "own_model.md").read_text("utf-8")
# of the page's list-table, row by row, as a reader sees it
TABLE = PAGE.split(":name: table-helpers\n")[1].split("\n```")[0].replace("&shy;", "")
ROWS = [re.split(r"\n +- ", row.strip()) for row in TABLE.split("\n* - ")[1:]]
# what the error has among its words
REASONS = dict(re.findall(r"^- \*\*([a-z])\*\*: \*(.+?)\*", PAGE, re.MULTILINE))
SNIPPETS = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", PAGE, re.DOTALL | re.M)


def vgg():
    features = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)]
    features += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    dense = [nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(392, 9), nn.ReLU(), nn.Linear(9, 5)]
    return nn.Sequential(*features, *dense)


def squeezenet():
    return torchvision.models.squeezenet1_1(num_classes=5)


def timm_resnet():
    return timm.models.ResNet(timm.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)


def timm_densenet():
    return timm.models.DenseNet(8, (2, 2), num_classes=5)


def efficientnet():
    sizes = [(1, 1, 8, 8), (4, 2, 8, 16), (4, 2, 16, 24), (4, 2, 24, 32)]
    blocks = [MBConvConfig(grow, 3, *rest, 1) for grow, *rest in sizes]
    return EfficientNet(blocks, 0.1, num_classes=5, last_channel=32)


def timm_efficientnet(squeezed="_se0.25", activation=nn.SiLU):
    blocks = [f"ir_r1_k3_s2_e4_c{c}{squeezed}" for c in (8, 16, 24)]
    return timm.models.EfficientNet(
        builder.decode_arch_def([[block] for block in blocks]),
        num_classes=5,
        num_features=32,
        stem_size=8,
        act_layer=activation,
    )


def lite():
    return timm_efficientnet("", nn.ReLU6)


# each column's networks: torch's or torchvision's, and where they are another's timm's
COLUMNS = {
    "VGG": ([vgg], []),
    "ResNet": ([squeezenet, resnet], [timm_resnet, lite]),
    "DenseNet": ([densenet], [timm_densenet]),
    "EfficientNet": ([efficientnet], [timm_efficientnet]),
    "ConvNeXt": ([convnext], [timm_convnext]),
    "Swin": ([swin], [timm_swin]),
    "ViT": ([vit], [timm_vit]),
}
IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
BLACK = torch.zeros(1, 3, 1, 1)


def by(module, name, **options):
    return lambda network: getattr(module, name)(network, IMAGES, **options)


def drawing(call):
    return lambda network: call(network, torch.Generator().manual_seed(0))


def rebuilt(rule):
    """Rebuild from the last stage."""

    def call(network):
        layer = object_maps.stage_names(network)[-1]
        return deconvnet.reconstruction(network, IMAGES, layer, rule=rule)

    return call


# each row's helpers, of which none is refused unless all are
HELPERS = {
    "class_score": by(class_score, "class_score"),
    "class_probability": by(class_score, "class_probability"),
    "top_classes": by(class_score, "top_classes"),
    "image_gradient": by(saliency, "image_gradient"),
    "saliency_map": by(saliency, "saliency_map"),
    "gradient_times_input": by(saliency, "gradient_times_input"),
    "smooth_grad": drawing(
        lambda network, generator: saliency.smooth_grad(
            network, IMAGES, generator=generator, samples=2
        )
    ),
    "ten_crop_saliency": lambda network: saliency.ten_crop_saliency(network, IMAGES[0]),
    "integrated_gradients": by(
        integrated_gradients, "integrated_gradients", baseline=BLACK, steps=2
    ),
    "occlusion": by(occlusion, "occlusion", replacement=BLACK, patch=32, stride=32),
    "class_model": lambda network: class_model.class_model(
        network, network(IMAGES).argmax().item(), start=IMAGES, steps=1, step_size=1e-3
    ),
    "stage_saliency": lambda network: object_maps.stage_saliency(
        network, IMAGES, 0, object_maps.stage_names(network)
    ),
    "grad_cam": by(class_activation, "grad_cam"),
    "randomize_layers": drawing(
        lambda network, generator: limits.randomize_layers(
            network, limits.layers_top_down(network), generator=generator
        )
    ),
    "deletion_curve": by(limits, "deletion_curve", maps=IMAGES[:, 0], replacement=BLACK, steps=1),
    "insertion_curve": by(limits, "insertion_curve", maps=IMAGES[:, 0], replacement=BLACK, steps=1),
    "pseudo_gradient, the rule gradient": by(deconvnet, "pseudo_gradient", rule="gradient"),
    "object_maps": lambda network: object_maps.object_maps(network, [IMAGES[0]]),
    "find_object": lambda network: localization.find_object(network, IMAGES[0]),
    "find_top_objects": lambda network: localization.find_top_objects(network, IMAGES[0], 1),
    "class_activation_map": by(class_activation, "class_activation_map"),
    "pseudo_gradient, the rule guided": by(deconvnet, "pseudo_gradient", rule="guided"),
    "pseudo_gradient, the rule deconvnet": by(deconvnet, "pseudo_gradient", rule="deconvnet"),
    "guided_grad_cam": by(class_activation, "guided_grad_cam"),
    "reconstruction, the rule gradient": rebuilt("gradient"),
    "reconstruction, the rule deconvnet": rebuilt("deconvnet"),
    "backward_network": lambda network: backward_network.backward_network(network),
}


@cache
def network_of(build):
    torch.manual_seed(3)
    return networks.from_model(drawn(build().float()), class_names=CLASSES, input_size=(64, 64))


def outcome(helper, build):
    """Return "yes", or the letter of the reason whose words the error has."""
    try:
        HELPERS[helper](network_of(build))
    except ValueError as error:
        letters = [letter for letter, words in REASONS.items() if words in str(error)]
        return letters[0] if len(letters) == 1 else f"none of the page's reasons: {error}"
    return "yes"


def cell(helpers, kinds):
    """Return what the page's table has to say."""
    found = []
    for builds in filter(None, kinds):
        each = {outcome(helper, build) for helper in helpers for build in builds}
        assert len(each) == 1, f"{helpers} give {each}: of one row or column, so split it"
        (one,) = each
        found.append(one if one == "yes" else f"no ({one})")
    return ", timm ".join(dict.fromkeys(found))


def helpers_of(row):
    """Return the helpers that a row names, for a rule or for all."""
    names = re.findall(r"\[`(\w+)`\]", row[0])
    rules = re.findall(r"`rule=\"(\w+)\"`", row[0])
    asked = names + [f"{name}, the rule {rule}" for name in names for rule in rules]
    found = [helper for helper in asked if helper in HELPERS]
    assert {helper.split(",")[0] for helper in found} == {*names}, f"unknown helpers in {row[0]}"
    return found


def test_the_table_has_all_helpers_and_all_kinds():
    header, *rows = ROWS
    assert header[1:] == [*COLUMNS]
    named = [helper for row in rows for helper in helpers_of(row)]
    assert sorted(named) == sorted(HELPERS), "a helper without a row, or with two"


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_table_says_what_the_helpers_do(kind):
    header, *rows = ROWS
    place = header.index(kind)
    said = {row[0]: row[place] for row in rows}
    computed = {row[0]: cell(helpers_of(row), COLUMNS[kind]) for row in rows}
    assert said == computed, "book/own_model.md: write into the column what was computed"


@pytest.mark.parametrize(("build", "layer"), [(vit, "conv_proj"), (timm_vit, "patch_embed.proj")])
def test_a_vit_s_patch_embedding_is_rebuilt(build, layer):
    found = deconvnet.reconstruction(
        network_of(build), IMAGES, f"layers.{layer}", rule="gradient", channel=0
    )
    assert found.any()


def test_code_runs_as_written_and_prints_what_the_page_says(monkeypatch, squeezenet):
    """Of what has to be downloaded, another network stands in."""

    def trained(weights=None):
        """Return an untrained ResNet, or what has weights."""
        return squeezenet.layers if weights else resnet18()

    resnet18 = torchvision.models.resnet18
    monkeypatch.setattr(torchvision.models, "resnet18", trained)
    transformers = ModuleType("transformers")
    processor = SimpleNamespace(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
    model = plain()
    model.config = SimpleNamespace(image_size=28, id2label=dict(enumerate(CLASSES)))
    for name, given in (
        ("AutoImageProcessor", processor),
        ("AutoModelForImageClassification", model),
    ):
        stand_in = SimpleNamespace(from_pretrained=lambda name, given=given: given)
        setattr(transformers, name, stand_in)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    names = {}
    for code, said in SNIPPETS:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        if said:
            assert printed.getvalue() == said, code
    for name in ("calm", "coarse", "middle"):
        assert names[name].shape == (1, 224, 224)
    assert names["shares"].shape == (1, 3, 224, 224)
