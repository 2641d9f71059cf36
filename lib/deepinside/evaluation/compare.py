"""Compare two files of results, photo by photo.

Both were written by evaluate-localization for the same photos and boxes, but with another map,
network or rule. Each difference has a 95 % interval: if it contains 0, these photos do not tell
which of the two is better.
"""

import argparse
from pathlib import Path

from deepinside.evaluation.summary import comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="CSV file")
    parser.add_argument("baseline", type=Path, metavar="BASELINE", help="CSV file")


def run(options: argparse.Namespace) -> int:
    """Print the differences."""
    print(comparison(options.results, options.baseline))
    return 0
