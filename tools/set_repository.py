"""Write a repository's address and branch or tag wherever the book names them.

``python tools/set_repository.py https://github.com/OWNER/NAME main`` changes `_config.yml`, which
the pages' buttons follow, and every other file of the tree that names the address: the notebooks'
setup cells, which install from there, the links to the repository's files and to the published
pages, README.md, CITATION.cff, pyproject.toml. ``--title`` and ``--author`` change these two, in
all files but LICENSE and CHANGELOG.md. Nothing else changes. Whoever forks the book calls it once;
``make release`` calls it for the tag. It needs no packages.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/"
# as a browser shows it, as git clones it, and by ssh
ADDRESS = re.compile(
    r"(?:https://github\.com/|git@github\.com:|ssh://git@github\.com/)"
    r"(?P<name>[\w-][\w.-]*/(?!\.git/?$)[\w.-]+?)(?:\.git)?/?",
    re.ASCII,
)
TAG = re.compile(r"\w[\w.-]*(?:/[\w.-]+)*", re.ASCII)
IN_CONFIG = re.compile(
    r"^(?P<before>repository:\n  url: )(?P<url>\S+)\n  branch: (?P<tag>\S+)$", re.MULTILINE
)
# a title or an author: what YAML, HTML and Markdown read as it stands
PLAIN = re.compile(r"\w[\w ,.'()-]*")
# what others wrote or what happened keeps its names
KEPT = ("LICENSE", "CHANGELOG.md")
NOT_OURS = {"node_modules", "_build", "__pycache__"}
INSTALLED_FROM = re.compile(r"git\+https?://[^\s\"'\\]+")


def repository(root: Path = ROOT) -> tuple[str, str]:
    """Return the address and the branch or tag that the configuration names.

    Raises
    ------
    ValueError
        If it names none.
    """
    config = root / "_config.yml"
    found = IN_CONFIG.search(_read(config))
    if not found:
        raise ValueError(f"{config} must have a repository with a url and a branch")
    return found["url"], found["tag"]


def set_repository(
    url: str, tag: str, root: Path = ROOT, *, title: str = "", author: str = ""
) -> list[Path]:
    """Return the files that were changed so that the book names this address and tag.

    Parameters
    ----------
    url
        ``https://github.com/OWNER/NAME``, also with ``.git`` or a slash behind it, or the address
        by ssh. Only GitHub's: Colab opens no others.
    tag
        A tag or a branch.
    root
        The repository's folder.
    title, author
        The book's, if they change.

    Raises
    ------
    ValueError
        If one of them is not of this form, or a notebook installs from elsewhere than the
        configuration says. Nothing is written then.
    """
    url = canonical(url)
    if not TAG.fullmatch(tag):
        raise ValueError(f"the tag must be the name of a tag or branch, not {tag!r}")
    for text in (title, author):
        if text and not PLAIN.fullmatch(text):
            raise ValueError(f"letters, digits, spaces and , . ' ( ) - are taken, not {text!r}")
    old_url, old_tag = repository(root)
    words = _words(_read(root / "_config.yml"), title=title, author=author)
    for notebook in notebooks(root):
        for source in INSTALLED_FROM.findall(_read(notebook)):
            if source != f"git+{old_url}@{old_tag}":
                expected = f"git+{old_url}@{old_tag}"
                raise ValueError(f"{notebook} must install from {expected}, not {source}")
    changed = {}
    for path in files(root):
        try:
            text = _read(path)
        except UnicodeDecodeError:  # a picture, weights
            continue
        new = _renamed(text, old=(old_url, old_tag), new=(url, tag))
        if path == root / "_config.yml":
            new = IN_CONFIG.sub(rf"\g<before>{url}\n  branch: {tag}", new)
        if path.name not in KEPT:
            for old_word, new_word in words:
                new = re.sub(old_word, lambda _, word=new_word: word, new)
        if new != text:
            changed[path] = new
    for path, new in changed.items():
        path.write_bytes(new.encode("utf-8"))
    return list(changed)


def canonical(url: str) -> str:
    """Return an address of a repository as ``https://github.com/OWNER/NAME``."""
    found = ADDRESS.fullmatch(url)
    if not found:
        raise ValueError(f"the address must be https://github.com/OWNER/NAME, not {url!r}")
    return GITHUB + found["name"]


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that readers open: the chapters', and the classroom's if there are."""
    found = [
        path
        for pattern in ("book/*.ipynb", "classroom/**/*.ipynb", "tools/chapter/*.ipynb")
        for path in root.glob(pattern)
    ]
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def files(root: Path) -> Iterator[Path]:
    """Yield the files of the tree, without what is installed or built."""
    for folder, inner, names in os.walk(root):
        hidden = {name for name in inner if name.startswith(".")} - {".github", ".ci"}
        inner[:] = sorted({*inner} - hidden - NOT_OURS)
        yield from (Path(folder, name) for name in sorted(names))


def _words(config: str, *, title: str, author: str) -> list[tuple[str, str]]:
    """Return what to replace by what for another title and author: patterns and texts."""
    old = {
        kind: re.search(rf"^{kind}: (.+)$", config, re.MULTILINE) for kind in ("title", "author")
    }
    words = []
    if author and old["author"]:
        words.append((re.escape(old["author"][1]), author))
    if title and old["title"]:
        # not within the name of the authors, who may stay
        words.append((rf"(?<!authors of ){re.escape(old['title'][1])}", title))
        # the names of the PDF and of the npm package; not the owner of a repository
        words.append((rf"(?<![\w/.-]){_slug(old['title'][1])}(?![\w/-]|\.github)", _slug(title)))
    return words


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower(), flags=re.ASCII).strip("-")


def _renamed(text: str, *, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Return a text with the one repository and tag in place of the other.

    An address stands alone, before a tag (``@main``, ``/blob/main/``), behind Colab's, in an
    nbgitpuller link with its slashes encoded, and as the address of the published pages.
    """
    (old_name, old_tag), (new_name, new_tag) = (
        (url.removeprefix(GITHUB), tag) for url, tag in (old, new)
    )
    end = r"(?![\w-]|\.\w)"
    pattern = re.compile(
        rf"(?P<host>github\.com/|/github/){re.escape(old_name)}{end}"
        rf"(?:(?P<at>@|/blob/){re.escape(old_tag)}{end})?"
        rf"|github\.com%2F{re.escape(quote(old_name, safe=''))}&branch={re.escape(old_tag)}{end}"
        rf"|{re.escape(pages_address(old[0]))}{end}"
    )

    def replaced(found: re.Match) -> str:
        if found["host"]:
            return found["host"] + new_name + (found["at"] + new_tag if found["at"] else "")
        if "%2F" in found[0]:
            return f"github.com%2F{quote(new_name, safe='')}&branch={new_tag}"
        return pages_address(new[0])

    return pattern.sub(replaced, text)


def pages_address(url: str) -> str:
    """Return where GitHub publishes a repository's pages, without a slash at the end."""
    owner, name = url.removeprefix(GITHUB).split("/")
    return f"https://{owner.lower()}.github.io/{name}"


def _read(path: Path) -> str:
    """Return a file's text with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def main() -> int:
    """Set what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="https://github.com/OWNER/NAME")
    parser.add_argument("tag", help="a tag or a branch")
    parser.add_argument("--title", default="", help="another title of the book")
    parser.add_argument("--author", default="", help="another author, or several")
    given = parser.parse_args()
    try:
        changed = set_repository(given.url, given.tag, title=given.title, author=given.author)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(f"changed {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
