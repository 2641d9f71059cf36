import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import set_repository as tool
import yaml

ROOT = Path(__file__).resolve().parents[2]
FORK = ("https://github.com/some-school/conv.nets", "v2.1")


@pytest.fixture(scope="module")
def naming():
    """The files of this repository that name its address."""
    owner = tool.repository(ROOT)[0].split("/")[-2].encode()
    return [path for path in tool.files(ROOT) if owner in path.read_bytes().lower()]


def copied(paths, folder):
    for path in paths:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


@pytest.fixture
def copy(naming, tmp_path):
    """The files that name the address, and one of a classroom."""
    copied([path for path in naming if not path.name.startswith("package")], tmp_path)
    lesson = tmp_path / "classroom" / "lesson 1" / "exercises.ipynb"
    lesson.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "book" / "saliency.ipynb", lesson)
    return tmp_path


def link_of(url, tag):
    return f"/{url.removeprefix('https://github.com/')}/blob/{tag}/"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_configuration_and_every_setup_cell_name_the_fork(copy):
    before, old = contents(copy), yaml.safe_load((copy / "_config.yml").read_text("utf-8"))
    changed = tool.set_repository(*FORK, copy)
    assert {*tool.notebooks(copy), copy / "_config.yml", copy / "README.md"} <= {*changed}
    assert tool.repository(copy) == FORK
    new = yaml.safe_load((copy / "_config.yml").read_text("utf-8"))
    assert (new["repository"]["url"], new["repository"]["branch"]) == FORK
    here = old["repository"]
    pages, own_pages = (config["html"]["baseurl"] for config in (old, new))
    texts = [before[path].decode("utf-8") for path in tool.notebooks(copy)]
    assert any(f"{here['url']}#" in text for text in texts)
    assert any(pages in text for text in texts)
    for path, text in zip(tool.notebooks(copy), texts, strict=True):
        there = f"git+{here['url']}@{here['branch']}"
        assert text.count(there) == 1
        # and no other byte of the notebook is another, but in links to its files and pages
        link, to = link_of(here["url"], here["branch"]), link_of(*FORK)
        text = text.replace(there, "git+" + "@".join(FORK)).replace(link, to)
        text = text.replace(f"{here['url']}#", f"{FORK[0]}#").replace(pages, own_pages)
        assert path.read_text("utf-8") == text


def test_links_to_files_of_the_repository_name_the_fork(copy):
    here = yaml.safe_load((copy / "_config.yml").read_text("utf-8"))["repository"]
    tool.set_repository(*FORK, copy)
    pages = sorted((copy / "book" / "exercises").glob("*.md"))
    assert pages
    for page in pages:
        notebook = f"classroom/students/{page.stem}.ipynb"
        address = (
            f"https://colab.research.google.com/github/some-school/conv.nets/blob/v2.1/{notebook}"
        )
        assert page.read_text("utf-8").count(f"({address})") == 1
        chapter = copy / "book" / f"{page.stem}.ipynb"
        assert not chapter.exists() or address in chapter.read_text("utf-8")
    here = link_of(here["url"], here["branch"]).encode()
    assert not [path for path, content in contents(copy).items() if here in content]


def test_nothing_in_the_tree_names_the_old_address_title_or_author(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("no checkout of git")
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    copied([ROOT / name for name in names], tmp_path)
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    title, author = config["title"], config["author"]
    owner, name = config["repository"]["url"].split("/")[-2:]
    new = {"title": "Nets, seen (a fork)", "author": "A. Teacher"}
    tool.set_repository(*FORK, tmp_path, **new)
    old = [f"{owner}/{name}", f"{owner}%2f{name}", f"{owner}.github.io", title, author]
    old = [text.lower() for text in (*old, tool._slug(title))]
    for path, content in contents(tmp_path).items():
        if path.name in tool.KEPT:
            continue
        text = content.decode("utf-8", "ignore").lower()
        assert [word for word in old if word in text] == [], path
    license_text = (tmp_path / "LICENSE").read_text("utf-8")
    assert license_text == (ROOT / "LICENSE").read_text("utf-8")
    made = yaml.safe_load((tmp_path / "_config.yml").read_text("utf-8"))
    assert {kind: made[kind] for kind in new} == new
    assert yaml.safe_load((tmp_path / "CITATION.cff").read_text("utf-8"))["authors"] == [
        {"name": "A. Teacher"}
    ]
    assert '"name": "nets-seen-a-fork"' in (tmp_path / "package.json").read_text("utf-8")


@pytest.mark.parametrize("given", [{"title": 'a "b"'}, {"author": "a: b"}, {"title": "a\nb"}])
def test_a_title_that_would_need_quotes_is_refused(copy, given):
    before = contents(copy)
    with pytest.raises(ValueError, match="are taken, not"):
        tool.set_repository(*FORK, copy, **given)
    assert contents(copy) == before


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/some-school/conv.nets/",
        "https://github.com/some-school/conv.nets.git",
        "https://github.com/some-school/conv.nets.git/",
        "git@github.com:some-school/conv.nets.git",
        "git@github.com:some-school/conv.nets",
        "ssh://git@github.com/some-school/conv.nets.git",
    ],
)
def test_an_address_is_taken_as_git_and_browsers_write_it(url):
    assert tool.canonical(url) == FORK[0]


def test_addresses_without_a_tag_and_of_the_pages_name_the_fork(copy):
    tool.set_repository(*FORK, copy)
    citation = yaml.safe_load((copy / "CITATION.cff").read_text("utf-8"))
    assert citation["repository-code"] == FORK[0]
    assert citation["url"] == "https://some-school.github.io/conv.nets/"
    urls = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert urls == {
        "Documentation": "https://some-school.github.io/conv.nets/",
        "Repository": FORK[0],
        "Issues": f"{FORK[0]}/issues",
        "Changelog": f"{FORK[0]}/blob/v2.1/CHANGELOG.md",
    }
    lost = (copy / "book" / "404.html").read_text("utf-8")
    assert '<a href="https://some-school.github.io/conv.nets/">' in lost
    assert '<a href="https://some-school.github.io/conv.nets/book/saliency.html">' in lost
    readme = (copy / "README.md").read_text("utf-8")
    assert readme.count(f"git+{FORK[0]}@v2.1") == 2
    assert "repo=https%3A%2F%2Fgithub.com%2Fsome-school%2Fconv.nets&branch=v2.1&" in readme


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://github.com/some-school/nets.", "https://github.com/a/b."),
        ("https://github.com/some-school/nets/tree/main", "https://github.com/a/b/tree/main"),
        ("git+https://github.com/some-school/nets@main`", "git+https://github.com/a/b@v1`"),
        ("https://some-school.github.io/nets/x", "https://a.github.io/b/x"),
        # others'
        ("https://github.com/some-school/nets-of-mine", None),
        ("https://github.com/some-school/nets.old", None),
        ("https://github.com/other/some-school/nets", None),
        ("https://some-school.github.io/nets2", None),
        ("some-school/nets", None),
    ],
)
def test_only_this_address_is_renamed(tmp_path, text, expected):
    config = "repository:\n  url: https://github.com/some-school/nets\n  branch: main\n"
    (tmp_path / "_config.yml").write_text(config, "utf-8")
    (tmp_path / "book").mkdir()
    for name in ("README.md", "CITATION.cff", "pyproject.toml", "book/404.html"):
        (tmp_path / name).write_text(text, "utf-8")
    tool.set_repository("https://github.com/a/b", "v1", tmp_path)
    assert (tmp_path / "README.md").read_text("utf-8") == (expected or text)


def test_the_rest_of_the_configuration_stays(copy):
    before = (copy / "_config.yml").read_text("utf-8").splitlines()
    tool.set_repository(*FORK, copy)
    after = (copy / "_config.yml").read_text("utf-8").splitlines()
    pairs = zip(before, after, strict=True)
    assert [new for old, new in pairs if old != new] == [
        f"  url: {FORK[0]}",
        f"  branch: {FORK[1]}",
        "  baseurl: https://some-school.github.io/conv.nets/",
        "    ogp_site_url: https://some-school.github.io/conv.nets/",
        "    ogp_image: https://some-school.github.io/conv.nets/_images/cover.jpg",
    ]


def test_a_second_time_changes_nothing(copy):
    tool.set_repository(*FORK, copy)
    once = contents(copy)
    assert tool.set_repository(*FORK, copy) == []
    assert contents(copy) == once


def test_there_and_back(copy):
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
        "https://github.com/a/.git",
        "git@gitlab.com:a/b.git",
        "https://github.com/a/b/tree/main",
        "https://gitlab.com/a/b",
        'https://github.com/a/b"',
        "https://github.com/a/b c",
        "https://github.com/a/b\n",
        "https://github.com/a/ä",
    ],
)
def test_a_wrong_address_is_refused_and_nothing_changes(copy, url):
    before = contents(copy)
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, not"):
        tool.set_repository(url, "main", copy)
    assert contents(copy) == before


@pytest.mark.parametrize("tag", ["", "-x", "a b", "a//b", "a/", "a@b", "main\n", 'x"'])
def test_a_wrong_tag_is_refused(copy, tag):
    with pytest.raises(ValueError, match="must be the name of a tag or branch, not"):
        tool.set_repository(FORK[0], tag, copy)


@pytest.mark.parametrize("tag", ["main", "v1.0.2", "release/2027", "a1b2c3d"])
def test_tags_and_branches_are_taken(copy, tag):
    tool.set_repository(FORK[0], tag, copy)
    assert f"  branch: {tag}\n" in (copy / "_config.yml").read_text("utf-8")


def test_a_notebook_from_elsewhere_is_named_and_nothing_changes(copy):
    odd = copy / "classroom" / "lesson 1" / "exercises.ipynb"
    odd.write_text(odd.read_text("utf-8").replace("git+https://", "git+https://other."), "utf-8")
    before = contents(copy)
    with pytest.raises(
        ValueError, match=r"exercises\.ipynb must install from git\+https://.*other\."
    ):
        tool.set_repository(*FORK, copy)
    assert contents(copy) == before


def test_a_configuration_without_a_repository_is_refused(copy):
    (copy / "_config.yml").write_text("title: none\n", "utf-8")
    with pytest.raises(ValueError, match="must have a repository"):
        tool.set_repository(*FORK, copy)
