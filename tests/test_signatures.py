"""The arguments of public functions that have defaults, in one table.

A default that only a chapter or a reader's own code relies on would else be changed unnoticed.
Where nothing has a default, a caller notices a change.
"""

import importlib
import inspect
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[1] / "book" / "api"
# the course, the command for folders of photos, and the explorers have tests of their own
APPLICATIONS = ("deepinside.classroom", "deepinside.evaluation", "deepinside.explorers")

TABLE = """
class_score.class_score(network, images, target=None)
class_score.class_probability(network, images, target=None)
class_score.top_classes(network, images, count=5)
class_score.check_images(network, images, name='images')
class_score.target_classes(network, images, target=None)

class_model.Pixels(mean, clip=False, noise=0.1)
class_model.ascent(network, objective, unknown, step_size, steps, *, parametrization,
    transform=<lambda>, direction=<lambda>)
class_model.class_model(network, target, *, l2_weight=0.01, step_size=1.0, steps=100,
    objective='score', norm='squared', start='zero', regularizers=Regularizers(jitter=0.0,
    scale=(1.0, 1.0), rotation=0.0, blur=0.0, fourier=False, adam=False, anneal=False),
    clip=False, stop_at=None, snapshots=2, diverging='raise', generator=None)

regularizers.Regularizers(jitter=0.0, scale=(1.0, 1.0), rotation=0.0, blur=0.0, fourier=False,
    adam=False, anneal=False)
regularizers.PAPER = Regularizers(jitter=0.0, scale=(1.0, 1.0), rotation=0.0, blur=0.0,
    fourier=False, adam=False, anneal=False)
regularizers.MODERN = Regularizers(jitter=40.0, scale=(0.6, 1.6), rotation=10.0, blur=0.0,
    fourier=True, adam=True, anneal=True)

deconvnet.pseudo_gradient(network, images, target=None, *, rule, layer=None)
deconvnet.reconstruction(network, images, layer, *, rule='deconvnet', channel=None,
    position=None)
deconvnet.relu_backward(x, signal, rule, *, slope=0.0, upper=None)

backward_network.backward_network(network, *, rule='gradient', unpooling='add')

images.resize_photo(photo, shorter_side, *, interpolation='bilinear')
images.squash_photo(photo, size, *, interpolation='bicubic')

digits.weights_path(name='digits')
digits.training_record(name='digits')

networks.load_network(name='efficientnet_lite0', *, pretrained=True, input_size=None)
networks.from_model(model, *, mean=None, std=None, class_names=None, input_size=None)

class_activation.class_activation_map(network, images, target=None)
class_activation.grad_cam(network, images, target=None, layer=None)
class_activation.guided_grad_cam(network, images, target=None, layer=None)

integrated_gradients.integrated_gradients(network, images, target=None, *, baseline, steps=50)

occlusion.occlusion(network, images, target=None, *, replacement, patch, stride)

limits.deletion_curve(network, images, maps, target=None, *, replacement, steps=20)
limits.insertion_curve(network, images, maps, target=None, *, replacement, steps=20)

localization.find_object(network, photo, target=None, *, scales=(1.0, 2.0))
localization.find_top_objects(network, photo, count=5, *, scales=(1.0, 2.0))
localization.threshold_localization(saliency, *, quantile=None, share_of_maximum=None,
    by_saliency=False)
localization.graph_cut_localization(photo, saliency, *, object_quantile=0.95,
    background_quantile=0.3, by_saliency=False)

object_maps.object_maps(network, photos, target=None, *, scales=(1.0, 2.0), mirrored=True,
    layers=None)

stages.Layout(channels, step=None)

measures.pointing_hit(saliency, true_boxes, *, tolerance=15)
measures.max_box_accuracy(hits, *, baseline=None, generator)

plots.colored(values, *, signed=False, percentile=100.0)
plots.pictures_and_curve(images, titles, *, boxes=(), bars=(), curve=None, note='')
plots.image_panels(images, titles=(), *, columns=None, boxes=())
plots.map_panels(maps, titles=(), *, unit, signed=False, percentile=100.0, relative=False,
    columns=None)
plots.photo_map_panels(photos, maps, titles=(), *, unit, percentile=100.0, relative=False)
plots.lines(x, curves, *, x_label, y_label, bands=None, log=False)

saliency.image_gradient(network, images, target=None)
saliency.saliency_map(network, images, target=None)
saliency.gradient_times_input(network, images, target=None)
saliency.smooth_grad(network, images, target=None, *, generator, samples=32, noise=0.15,
    squared=False)
saliency.ten_crop_saliency(network, photo, target=None)
"""

FOLLOWS = """The table of signatures no longer holds:

{changes}

If this is meant, write each line after "now" into the table of tests/test_signatures.py, and tell
readers under "Unreleased" in CHANGELOG.md: code of theirs breaks where an argument has another name
or place. A new default also belongs into the docstring, and changes numbers: run `make notebooks`,
read what changed in the chapters, then `make test`, which compares the slides with them."""


def public(module):
    """Return what a module has under names of its own, less what it imports."""
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None) or [
        name for name in vars(loaded) if not name.startswith("_")
    ]
    found = {name: getattr(loaded, name) for name in names}
    return {
        name: thing
        for name, thing in found.items()
        if getattr(thing, "__module__", "").startswith(module)
    }


def bare(thing):
    """Return a function's arguments and defaults, without types."""
    signature = inspect.signature(thing)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    text = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
    # a function has an address
    return re.sub(r"<function (\S+) at \w+>", r"\1", text)


def signatures():
    """Return the table's lines: functions and records with defaults, values of own classes."""
    pages = [path.read_text("utf-8") for path in sorted(API.glob("*.rst"))]
    modules = re.findall(r"^\.\. automodule:: (\S+)", "\n".join(pages), re.MULTILINE)
    lines = []
    for module in modules:
        for name, thing in public(module).items() if not module.startswith(APPLICATIONS) else ():
            path = f"{module.removeprefix('deepinside.')}.{name}"
            is_record = inspect.isclass(thing) and issubclass(thing, tuple)
            if inspect.isfunction(thing) or is_record:
                lines += [path + bare(thing)] * ("=" in bare(thing))
            elif type(thing).__module__.startswith("deepinside."):
                lines.append(f"{path} = {thing}")
    return lines


def changes(table, lines):
    """Return what differs, a paragraph each."""
    was, now = (
        {re.split(r"[( ]", line)[0]: line for line in given if line}
        for given in (re.sub(r"\s*\n +", " ", table).strip().splitlines(), lines)
    )
    return [
        f"{name}\n    in the table: {was.get(name, 'nothing')}\n    now: {now.get(name, 'nothing')}"
        for name in {**was, **now}
        if was.get(name) != now.get(name)
    ]


def test_arguments_and_defaults_are_those_of_the_table():
    found = changes(TABLE, signatures())
    if found:
        pytest.fail(FOLLOWS.format(changes="\n".join(found)), pytrace=False)


def test_a_changed_default_a_new_and_a_lost_function_are_told():
    table = "a.f(x, *, steps=3)\na.g(x,\n    y=1)\na.h()\n"
    found = changes(table, ["a.f(x, *, steps=4)", "a.g(x, y=1)", "a.new()"])
    assert [each.splitlines()[0] for each in found] == ["a.f", "a.h", "a.new"]
    assert "in the table: a.f(x, *, steps=3)\n    now: a.f(x, *, steps=4)" in found[0]
