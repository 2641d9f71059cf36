import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FORK = ("https://github.com/some-school/conv.nets", "v2.1")


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "set_repository.py"
    specification = importlib.util.spec_from_file_location("set_repository", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tool, tmp_path):
    """The files of this repository that name its address, and one of a classroom."""
    for path in [ROOT / "_config.yml", *tool.notebooks(ROOT), *tool.exercises(ROOT)]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    lesson = tmp_path / "classroom" / "lesson 1" / "exercises.ipynb"
    lesson.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "book" / "saliency.ipynb", lesson)
    return tmp_path


def link_of(url, tag):
    return f"/{url.removeprefix('https://github.com/')}/blob/{tag}/"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_configuration_and_every_setup_cell_name_the_fork(tool, copy):
    before, old = contents(copy), yaml.safe_load((copy / "_config.yml").read_text("utf-8"))
    changed = tool.set_repository(*FORK, copy)
    assert set(changed) == set(before)
    new = yaml.safe_load((copy / "_config.yml").read_text("utf-8"))
    assert (new["repository"]["url"], new["repository"]["branch"]) == FORK
    here = old["repository"]
    for path in tool.notebooks(copy):
        text = before[path].decode("utf-8")
        there = f"git+{here['url']}@{here['branch']}"
        assert text.count(there) == 1
        # and no other byte of the notebook is another, but in links to the repository's files
        link, to = link_of(here["url"], here["branch"]), link_of(*FORK)
        new = text.replace(there, "git+" + "@".join(FORK)).replace(link, to)
        assert path.read_text("utf-8") == new


def test_links_to_files_of_the_repository_name_the_fork(tool, copy):
    here = yaml.safe_load((copy / "_config.yml").read_text("utf-8"))["repository"]
    tool.set_repository(*FORK, copy)
    pages = tool.exercises(copy)
    assert pages
    for page in pages:
        notebook = f"classroom/students/{page.stem}.ipynb"
        address = (
            f"https://colab.research.google.com/github/some-school/conv.nets/blob/v2.1/{notebook}"
        )
        assert page.read_text("utf-8").count(f"({address})") == 1
        assert address in (copy / "book" / f"{page.stem}.ipynb").read_text("utf-8")
    here = link_of(here["url"], here["branch"]).encode()
    assert not [path for path, content in contents(copy).items() if here in content]


def test_the_rest_of_the_configuration_stays(tool, copy):
    before = (copy / "_config.yml").read_text("utf-8").splitlines()
    tool.set_repository(*FORK, copy)
    after = (copy / "_config.yml").read_text("utf-8").splitlines()
    pairs = zip(before, after, strict=True)
    assert [new for old, new in pairs if old != new] == [
        f"  url: {FORK[0]}",
        f"  branch: {FORK[1]}",
    ]


def test_a_second_time_changes_nothing(tool, copy):
    tool.set_repository(*FORK, copy)
    once = contents(copy)
    assert tool.set_repository(*FORK, copy) == []
    assert contents(copy) == once


def test_there_and_back(tool, copy):
    before = contents(copy)
    here = yaml.safe_load((copy / "_config.yml").read_text("utf-8"))["repository"]
    tool.set_repository(*FORK, copy)
    tool.set_repository(here["url"], here["branch"], copy)
    assert contents(copy) == before


@pytest.mark.parametrize(
    "url",
    [
        "",
        "some-school/nets",
        "http://github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b/",
        "https://github.com/a/b.git",
        "https://github.com/a/b/tree/main",
        "https://gitlab.com/a/b",
        'https://github.com/a/b"',
        "https://github.com/a/b c",
        "https://github.com/a/b\n",
        "https://github.com/a/ä",
    ],
)
def test_a_wrong_address_is_refused_and_nothing_changes(tool, copy, url):
    before = contents(copy)
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, not"):
        tool.set_repository(url, "main", copy)
    assert contents(copy) == before


@pytest.mark.parametrize("tag", ["", "-x", "a b", "a//b", "a/", "a@b", "main\n", 'x"'])
def test_a_wrong_tag_is_refused(tool, copy, tag):
    with pytest.raises(ValueError, match="must be the name of a tag or branch, not"):
        tool.set_repository(FORK[0], tag, copy)


@pytest.mark.parametrize("tag", ["main", "v1.0.2", "release/2027", "a1b2c3d"])
def test_tags_and_branches_are_taken(tool, copy, tag):
    tool.set_repository(FORK[0], tag, copy)
    assert f"  branch: {tag}\n" in (copy / "_config.yml").read_text("utf-8")


def test_a_notebook_from_elsewhere_is_named_and_nothing_changes(tool, copy):
    odd = copy / "classroom" / "lesson 1" / "exercises.ipynb"
    odd.write_text(odd.read_text("utf-8").replace("git+https://", "git+https://other."), "utf-8")
    before = contents(copy)
    with pytest.raises(
        ValueError, match=r"exercises\.ipynb must install from git\+https://.*other\."
    ):
        tool.set_repository(*FORK, copy)
    assert contents(copy) == before


def test_a_configuration_without_a_repository_is_refused(tool, copy):
    (copy / "_config.yml").write_text("title: none\n", "utf-8")
    with pytest.raises(ValueError, match="must have a repository"):
        tool.set_repository(*FORK, copy)
