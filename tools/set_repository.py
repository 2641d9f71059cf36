"""Write a repository's address and branch or tag wherever the book names them.

``python tools/set_repository.py https://github.com/OWNER/NAME TAG`` changes `_config.yml`, which
the pages' buttons follow, the notebooks' setup cells, which install from there, and the links of
notebooks and exercises to files of the repository. Nothing else of these files changes. The
publishing workflow runs it, so that a fork's pages lead to the fork. It needs no packages.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https://github\.com/[\w-][\w.-]*/(?!.*\.git$)[\w.-]+", re.ASCII)
TAG = re.compile(r"\w[\w.-]*(?:/[\w.-]+)*", re.ASCII)
IN_CONFIG = re.compile(
    rb"^(?P<before>repository:\n  url: )(?P<url>\S+)\n  branch: (?P<tag>\S+)$", re.MULTILINE
)
IN_NOTEBOOK = re.compile(rb"git\+https?://[^\s\"'\\]+")


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
    config = root / "_config.yml"
    content = config.read_bytes()
    found = IN_CONFIG.search(content)
    if not found:
        raise ValueError(f"{config} must have a repository with a url and a branch")
    addresses = found.group("url", "tag"), as_bytes(url, tag)
    old, new = (b"git+%s@%s" % one for one in addresses)
    # on GitHub, or behind Colab's own address
    linked, to_link = (
        b"/%s/blob/%s/" % (one.removeprefix(b"https://github.com/"), of) for one, of in addresses
    )
    changed = {config: IN_CONFIG.sub(rb"\g<before>%s\n  branch: %s" % as_bytes(url, tag), content)}
    for notebook in notebooks(root):
        content = notebook.read_bytes()
        for named in set(IN_NOTEBOOK.findall(content)) - {old}:
            raise ValueError(f"{notebook} must install from {old.decode()}, not {named.decode()}")
        changed[notebook] = content.replace(old, new).replace(linked, to_link)
    for page in exercises(root):
        changed[page] = page.read_bytes().replace(linked, to_link)
    changed = {path: content for path, content in changed.items() if path.read_bytes() != content}
    for path, content in changed.items():
        path.write_bytes(content)
    return list(changed)


def notebooks(root: Path) -> list[Path]:
    """Return the notebooks that readers open: the chapters', and the classroom's if there are."""
    found = [*root.glob("book/*.ipynb"), *root.glob("classroom/**/*.ipynb")]
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def exercises(root: Path) -> list[Path]:
    """Return the pages of exercises, which link to the students' notebooks in Colab."""
    return sorted(root.glob("book/exercises/*.md"))


def as_bytes(*texts: str) -> tuple[bytes, ...]:
    """Return texts as the files hold them."""
    return tuple(text.encode("utf-8") for text in texts)


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
