"""Notebooks that JupyterLab named itself: drafts, which the book's rules do not bind."""

import re

DRAFT = re.compile(r"Untitled|untitled|.*-Copy\d")


def without(paths):
    """The paths, sorted, whose last name is not that of a draft, as git ignores them."""
    return sorted(path for path in paths if not DRAFT.match(path.name))
