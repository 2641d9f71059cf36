"""The measures of a file of results, each with its interval, and two files compared."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepinside.evaluation.localization import ALL_IOUS, results
from deepinside.measures import (
    THRESHOLDS,
    Estimate,
    max_box_accuracy,
    mean_interval,
    paired_interval,
)

Rows = Mapping[str, dict[str, str]]

# a column of 0 and 1, and what its mean is
SHARES = {
    "localized": "localization accuracy, class given (IoU of at least 0.5)",
    "top1_localized": "top-1 localization",
    "top5_localized": "top-5 localization",
    "pointing": "pointing game (within 15 pixels)",
    "pointing_exact": "pointing game (in the box)",
    "top1": "top-1 accuracy of the classes",
    "top5": "top-5 accuracy of the classes",
}


def summary(output: Path) -> str:
    """Return the measures of a file of results, each with its 95 % interval."""
    rows, skipped = _read(output)
    lines = [f"{len(rows)} photos, {skipped} skipped"]
    for what, estimate in MEASURES.items() if rows else ():
        value, low, high = estimate(rows)
        lines.append(f"{what}: {value:.1%} ({low:.1%} to {high:.1%})")
        if what.endswith(" localization"):
            lines.append(f"{what} error: {1 - value:.1%} ({1 - high:.1%} to {1 - low:.1%})")
    return "\n".join(lines)


def comparison(output: Path, baseline: Path) -> str:
    """Return by how many points a file of results is better than another, photo by photo.

    Raises
    ------
    ValueError
        If no photo is in both, or one was measured with other boxes or another label.
    """
    pair = [_read(path)[0] for path in (output, baseline)]
    common = [file for file in pair[0] if file in pair[1]]
    if not common:
        raise ValueError(f"expected photos that {output} and {baseline} both have, found none")
    rows, others = ({file: some[file] for file in common} for some in pair)
    differing = [file for file in common if rows[file]["truth"] != others[file]["truth"]]
    if differing:
        raise ValueError(
            f"expected the same boxes and labels in {output} and {baseline}, but those of "
            f"{differing[0]} differ" + (f", and of {n} more" if (n := len(differing) - 1) else "")
        )
    lines = [f"{len(common)} photos in both, {len(pair[0]) - len(common)} only in the first, "
             f"{len(pair[1]) - len(common)} only in the second"]  # fmt: skip
    for what, estimate in MEASURES.items():
        points = [100 * end for end in estimate(rows, others)]
        lines.append("{}: {:+.1f} ({:+.1f} to {:+.1f}) points".format(what, *points))
    return "\n".join(lines)


def _read(path: Path) -> tuple[dict[str, dict[str, str]], int]:
    """Return the rows of photos that were measured, by file, and how many were not."""
    if not path.is_file():
        raise ValueError(f"expected a file of results, found none at {path}")
    rows = list(results(path))
    return {row["file"]: row for row in rows if not row["error"]}, sum(
        bool(row["error"]) for row in rows
    )


def _max_box(part: slice) -> Callable[..., Estimate]:
    def estimate(rows: Rows, baseline: Rows | None = None) -> Estimate:
        return max_box_accuracy(
            _hits(rows)[:, part],
            baseline=None if baseline is None else _hits(baseline)[:, part],
            generator=_seeded(),
        )

    return estimate


def _share(column: str) -> Callable[..., Estimate]:
    def estimate(rows: Rows, baseline: Rows | None = None) -> Estimate:
        values = [float(row[column]) for row in rows.values()]
        if baseline is None:
            return mean_interval(values, generator=_seeded())
        others = [float(row[column]) for row in baseline.values()]
        return paired_interval(values, others, generator=_seeded())

    return estimate


def _hits(rows: Rows) -> Tensor:
    """Return which thresholds hit, (photos, IoUs, thresholds)."""
    whole = np.stack(
        [np.frombuffer(bytes.fromhex(row["max_box"]), np.uint8) for row in rows.values()]
    )
    count = (len(ALL_IOUS) + 1) * THRESHOLDS
    bits = np.unpackbits(whole, axis=1, count=count)
    return torch.from_numpy(bits).bool().unflatten(1, (-1, THRESHOLDS))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# of the rows of one method, or of two, in which case their difference
MEASURES = {
    "MaxBoxAccV2": _max_box(slice(0, len(ALL_IOUS))),
    "MaxBoxAcc": _max_box(slice(len(ALL_IOUS), None)),
} | {what: _share(column) for column, what in SHARES.items()}
