"""Tell what one file of results has on another, photo by photo.

Both are files that evaluate-localization wrote, of the same photos and boxes, with another
map, network or rule. A difference can be relied on where its interval leaves out 0.
"""

import argparse
from pathlib import Path

from deepinside.evaluation.summary import comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="CSV file")
    parser.add_argument("baseline", type=Path, metavar="BASELINE", help="CSV file")


def run(options: argparse.Namespace) -> int:
    """Print the differences."""
    print(comparison(options.results, options.baseline))
    return 0
