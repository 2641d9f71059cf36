import datetime
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import release
import set_repository
import yaml

ROOT = Path(__file__).resolve().parents[2]
TODAY = datetime.date(2027, 3, 1)
BOOK = "https://github.com/some-school/a-book"
NEW = "### Added\n\n- A chapter.\n"


def git(folder, *arguments):
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with this one's files that a release writes, on main."""
    for variable in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{variable}_NAME", "A tester")
        monkeypatch.setenv(f"GIT_{variable}_EMAIL", "tester@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    owner = set_repository.repository(ROOT)[0].split("/")[-2].encode()
    for path in set_repository.files(ROOT):
        if owner not in path.read_bytes():
            continue
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    set_repository.set_repository(BOOK, "main", tmp_path)
    package = release.package(tmp_path)
    package.parent.mkdir(parents=True)
    package.write_text('"""Helpers."""\n\n__version__ = "0.4.1.dev0"\n', "utf-8")
    changes = f"# Changelog\n\n## Unreleased\n\n{NEW}\n## 0.4.0 (2026-12-01)\n\nOld.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes, "utf-8")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "as it is")
    return tmp_path


def passes(folder):
    """Stands for `make test`."""


def released(checkout, version="0.5.0"):
    return release.release(version, checkout, test=passes, today=TODAY)


def test_tag_names_itself_and_main_names_main_again(checkout):
    before = {name: git(checkout, "show", f"HEAD:{name}") for name in names(checkout)}
    assert released(checkout) == "v0.5.0"
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "log", "--format=%s", "-3").splitlines() == [
        "Setup cells, badges and README name main again",
        "Version 0.5.0",
        "as it is",
    ]
    assert git(checkout, "rev-parse", "v0.5.0^{commit}") == git(checkout, "rev-parse", "HEAD~1")

    tagged = {name: git(checkout, "show", f"v0.5.0:{name}") for name in before}
    for name, text in tagged.items():
        assert f"{BOOK}@main" not in text, name
        assert "some-school/a-book/blob/main/" not in text, name
    assert f"git+{BOOK}@v0.5.0" in tagged["book/saliency.ipynb"]
    assert f"git+{BOOK}@v0.5.0" in tagged["classroom/students/saliency.ipynb"]
    assert f"git+{BOOK}@v0.5.0" in tagged["README.md"]
    assert "/a-book/blob/v0.5.0/classroom/" in tagged["book/exercises/saliency.md"]
    assert yaml.safe_load(tagged["_config.yml"])["repository"]["branch"] == "v0.5.0"

    own = {"CHANGELOG.md", "CITATION.cff", "lib/deepinside/__init__.py"}
    for name in before.keys() - own:
        assert git(checkout, "show", f"HEAD:{name}") == before[name], name


def names(folder):
    return git(folder, "ls-files").splitlines()


def test_version_and_changes_are_those_of_the_release(checkout):
    released(checkout)

    def at(commit, name):
        return git(checkout, "show", f"{commit}:{name}")

    package = "lib/deepinside/__init__.py"
    assert '\n__version__ = "0.5.0"\n' in at("v0.5.0", package)
    assert '\n__version__ = "0.5.1.dev0"\n' in at("main", package)
    changes = f"## 0.5.0 (2027-03-01)\n\n{NEW}\n## 0.4.0 (2026-12-01)\n\nOld.\n"
    assert at("v0.5.0", "CHANGELOG.md") == f"# Changelog\n\n{changes}"
    assert at("main", "CHANGELOG.md") == f"# Changelog\n\n## Unreleased\n\n{changes}"
    for commit in ("v0.5.0", "main"):
        citation = yaml.safe_load(at(commit, "CITATION.cff"))
        assert citation["version"] == "0.5.0"
        assert citation["date-released"] == TODAY


def test_a_second_release_replaces_what_the_first_wrote(checkout):
    released(checkout)
    changes = checkout / "CHANGELOG.md"
    news = changes.read_text("utf-8").replace("## Unreleased\n\n", f"## Unreleased\n\n{NEW}\n")
    changes.write_text(news, "utf-8")
    git(checkout, "commit", "--quiet", "--all", "--message", "a chapter more")
    released(checkout, "0.5.1")
    citation = (checkout / "CITATION.cff").read_text("utf-8")
    assert citation.count("\nversion: ") == citation.count("\ndate-released: ") == 1
    assert git(checkout, "tag", "--list").split() == ["v0.5.0", "v0.5.1"]


def test_tests_see_the_files_that_are_tagged(checkout):
    seen = []

    def test(folder):
        seen.append((folder / "_config.yml").read_text("utf-8"))

    release.release("0.5.0", checkout, test=test)
    assert seen == [git(checkout, "show", "v0.5.0:_config.yml")]


def refused(checkout, message, version="0.5.0", test=passes):
    """Nothing is written, committed or tagged."""
    before = git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD")
    tags = git(checkout, "tag", "--list")
    with pytest.raises(ValueError, match=message):
        release.release(version, checkout, test=test)
    assert before == (git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD"))
    assert git(checkout, "tag", "--list") == tags


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.0", "1.2.0rc1", "1.2.0\n"])
def test_a_version_of_another_form_is_refused(checkout, version):
    refused(checkout, "must be three numbers", version)


def test_an_older_version_is_refused(checkout):
    refused(checkout, r"must not be before 0\.4\.1\.dev0, got 0\.4\.0", "0.4.0")


def test_what_is_not_committed_is_named(checkout):
    (checkout / "draft.md").write_text("a draft", "utf-8")
    refused(checkout, r"commit these first.*\n.*draft\.md")
    (checkout / "draft.md").unlink()
    (checkout / "README.md").write_text("changed", "utf-8")
    refused(checkout, r"commit these first.*\n.*README\.md")


def test_an_existing_tag_is_refused(checkout):
    git(checkout, "tag", "v0.5.0")
    refused(checkout, r"the tag v0\.5\.0 exists")


def test_another_branch_is_refused(checkout):
    git(checkout, "switch", "--quiet", "--create", "draft")
    refused(checkout, "released from main, not from 'draft'")


def test_a_release_without_news_is_refused(checkout):
    path = checkout / "CHANGELOG.md"
    path.write_text(path.read_text("utf-8").replace(NEW + "\n", ""), "utf-8")
    git(checkout, "commit", "--quiet", "--all", "--message", "no news")
    refused(checkout, "must say under '## Unreleased' what is new")


def test_nothing_is_released_where_tests_fail(checkout):
    def fails(folder):
        raise ValueError("make test failed")

    refused(checkout, "make test failed", test=fails)


def test_make_test_that_fails_is_noticed(tmp_path):
    (tmp_path / "Makefile").write_text("test:\n\t@exit 3\n", "utf-8")
    with pytest.raises(ValueError, match="make test failed"):
        release.make_test(tmp_path)


@pytest.mark.parametrize(("folder", "noticed"), [("book", True), ("classroom", False)])
def test_skipped_tests_of_the_pages_are_noticed(tmp_path, folder, noticed):
    """The others may be of a GPU or of a kernel that this machine does not have."""
    path = tmp_path / "tests" / folder / "test_some.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import pytest\ndef test_page(): pytest.skip('no Chromium')\ndef test_other(): pass\n"
    )
    call = f"{sys.executable} -m pytest -q -p no:cacheprovider --import-mode=importlib tests"
    (tmp_path / "Makefile").write_text(f"test:\n\t@{call}\n", "utf-8")
    if noticed:
        with pytest.raises(ValueError, match="not tested here: test_page: no Chromium"):
            release.make_test(tmp_path)
    else:
        release.make_test(tmp_path)
