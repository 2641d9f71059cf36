"""Write a repository's address and branch or tag wherever the book names them.

``python tools/set_repository.py https://github.com/OWNER/NAME main`` changes `_config.yml`, which
the pages' buttons follow, the notebooks' setup cells, which install from there, the links to
files of the repository, to its README and to the published pages, and the project's addresses in
README.md, CITATION.cff, pyproject.toml, the teacher's guide and the page for lost addresses.
Nothing else of these files changes. Whoever forks the book calls it once; ``make release`` calls
it for the tag. It needs no packages.
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/"
ADDRESS = re.compile(r"https://github\.com/[\w-][\w.-]*/(?!.*\.git$)[\w.-]+", re.ASCII)
TAG = re.compile(r"\w[\w.-]*(?:/[\w.-]+)*", re.ASCII)
IN_CONFIG = re.compile(
    r"^(?P<before>repository:\n  url: )(?P<url>\S+)\n  branch: (?P<tag>\S+)$", re.MULTILINE
)
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


def set_repository(url: str, tag: str, root: Path = ROOT) -> list[Path]:
    """Return the files that were changed so that the book names this address and tag.

    Parameters
    ----------
    url
        ``https://github.com/OWNER/NAME``, with nothing after it: Colab opens only these.
    tag
        A tag or a branch.
    root
        The repository's folder.

    Raises
    ------
    ValueError
        If the address or the tag is not of this form, or a notebook installs from
        elsewhere than the configuration says. Nothing is written then.
    """
    if not ADDRESS.fullmatch(url):
        raise ValueError(f"the address must be https://github.com/OWNER/NAME, not {url!r}")
    if not TAG.fullmatch(tag):
        raise ValueError(f"the tag must be the name of a tag or branch, not {tag!r}")
    old_url, old_tag = repository(root)
    for notebook in notebooks(root):
        for source in INSTALLED_FROM.findall(_read(notebook)):
            if source != f"git+{old_url}@{old_tag}":
                expected = f"git+{old_url}@{old_tag}"
                raise ValueError(f"{notebook} must install from {expected}, not {source}")
    changed = {}
    for path in [*notebooks(root), *texts(root)]:
        text = _read(path)
        new = _renamed(text, old=(old_url, old_tag), new=(url, tag))
        if path.name == "_config.yml":
            new = IN_CONFIG.sub(rf"\g<before>{url}\n  branch: {tag}", new)
        if new != text:
            changed[path] = new
    for path, new in changed.items():
        path.write_bytes(new.encode("utf-8"))
    return list(changed)


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that readers open: the chapters', and the classroom's if there are."""
    found = [*root.glob("book/*.ipynb"), *root.glob("classroom/**/*.ipynb")]
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def texts(root: Path) -> list[Path]:
    """Return the other files that name the address; pages of exercises link to Colab."""
    named = ("_config.yml", "README.md", "CITATION.cff", "pyproject.toml", "book/404.html")
    written = [*root.glob("book/exercises/*.md"), *root.glob("book/teaching.md")]
    return [root / name for name in named] + sorted(written)


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
    given = parser.parse_args()
    try:
        changed = set_repository(given.url, given.tag)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(f"changed {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
