"""The package as others get it: built into a wheel and installed away from this checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import deepinside

ROOT = Path(__file__).resolve().parents[1]
NOT_SHIPPED = ("__pycache__", "*.egg-info", ".*")

LOAD_EVERYTHING = """
import importlib, pkgutil, sys

import deepinside

assert deepinside.__file__.startswith(sys.argv[1]), deepinside.__file__
for module in pkgutil.walk_packages(deepinside.__path__, "deepinside."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

import torch
from deepinside import digits, explorers, images, networks
from deepinside.explorers import Answer, Control, Explorer, Panel

for name in networks.NEED_NO_DOWNLOAD:
    network = networks.load_network(name)
    print("network", name, len(network.class_names))
for name in images.photo_names():
    photo = images.load_photo(name)
    print("photo", name, *photo.shape, len(images.photo_boxes(name)), images.photo_credit(name)[0])
print("digits", len(digits.load_digits().images))
panel = Panel("gray", "a gray square", torch.full((1, 4, 4), 0.5))
made = Explorer("gray", [Control("x", "x", (1, 2))], lambda states: [Answer([panel], {})] * 2)
print("explorer", len(made._esm) > 1000, len(made._css) > 1000)
"""


def shipped(package):
    files = (path for path in package.rglob("*") if path.is_file())
    return {
        path.relative_to(package.parent).as_posix()
        for path in files
        if not any(part == "__pycache__" for part in path.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built offline from a copy: setuptools would leave its folders in the checkout."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    shutil.copytree(ROOT / "lib", copy / "lib", ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, copy)
    (path,) = built.glob("*.whl")
    return path


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    subprocess.run([*command, *arguments], check=True, capture_output=True)


def test_wheel_has_every_file_of_the_package_and_its_version(wheel):
    within = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("deepinside/")}
    assert within == shipped(ROOT / "lib" / "deepinside")
    assert {"deepinside/py.typed", "deepinside/explorers/widget.js"} <= within
    licenses = {name for name in zipfile.ZipFile(wheel).namelist() if "/licenses/" in name}
    assert {name.rpartition("/")[2] for name in licenses} == {"LICENSE", "squeezenet.LICENSE.txt"}
    assert wheel.name.startswith(f"deepinside-{deepinside.__version__}-")


def test_everything_loads_from_the_wheel(wheel, tmp_path):
    target = tmp_path / "installed"
    pip("install", "--no-deps", "--no-index", "--target", target, wheel)
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EVERYTHING, str(target)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    counts = {kind: sum(line[0] == kind for line in found) for kind in ("network", "photo")}
    assert counts == {"network": 5, "photo": 7}
    assert ["network", "efficientnet_lite2", "1000"] in found
    assert ["explorer", "True", "True"] in found
