import numpy as np
import pytest

from deepinside.__main__ import main
from deepinside.evaluation.localization import COLUMNS
from deepinside.evaluation.summary import SHARES, comparison, summary
from deepinside.measures import THRESHOLDS
from deepinside.rows import write_rows


def bits(at_30, at_50, at_70, of_largest):
    """What a row holds of a photo that hits below so many of the thresholds."""
    rows = [np.arange(THRESHOLDS) < count for count in (at_30, at_50, at_70, of_largest)]
    return np.packbits(np.stack(rows)).tobytes().hex()


def rows_of(*photos, error=()):
    """Rows of photos, each with the value of all shares and its bits."""
    rows = [
        {"file": f"{i}.png", "truth": "t", "max_box": hits, **dict.fromkeys(SHARES, value)}
        for i, (value, hits) in enumerate(photos)
    ]
    return [*rows, *({"file": name, "error": "cut short"} for name in error)]


ALL, NONE = bits(9, 9, 9, 9), bits(0, 0, 0, 0)


def test_summary_is_the_mean_of_each_measure(tmp_path):
    output = tmp_path / "out.csv"
    hits = {
        "localized": "1100", "pointing": "1110", "pointing_exact": "1000", "top1": "1111",
        "top5": "1111", "top1_localized": "0100", "top5_localized": "1101",
    }  # fmt: skip
    rows = rows_of((0, bits(9, 5, 0, 5)), (0, bits(9, 7, 0, 5)), (0, ALL), (0, NONE), error="x")
    for row, *values in zip(rows, *hits.values(), strict=False):
        row |= dict(zip(hits, values, strict=True))
    write_rows(output, COLUMNS, rows)
    lines = summary(output).splitlines()
    assert lines[0] == "4 photos, 1 skipped"
    means = {line.split(": ")[0]: line.split(": ")[1].split(" (")[0] for line in lines[1:]}
    assert means == {
        # at each IoU the best threshold: 3, 3 and 1 of 4
        "MaxBoxAccV2": "58.3%",
        "MaxBoxAcc": "75.0%",
        "localization accuracy, class given (IoU of at least 0.5)": "50.0%",
        "top-1 localization": "25.0%",
        "top-1 localization error": "75.0%",
        "top-5 localization": "75.0%",
        "top-5 localization error": "25.0%",
        "pointing game (within 15 pixels)": "75.0%",
        "pointing game (in the box)": "25.0%",
        "top-1 accuracy of the classes": "100.0%",
        "top-5 accuracy of the classes": "100.0%",
    }
    assert "top-5 localization error: 25.0% (0.0% to 75.0%)" in lines


def test_each_share_is_of_its_own_column(tmp_path):
    named = {
        "top1_localized": "top-1 localization",
        "pointing_exact": "pointing game (in the box)",
        "top5_localized": "top-5 localization",
        "localized": "localization accuracy, class given (IoU of at least 0.5)",
        "pointing": "pointing game (within 15 pixels)",
        "top1": "top-1 accuracy of the classes",
        "top5": "top-5 accuracy of the classes",
    }
    rows = rows_of(*[(0, ALL)] * 8)
    for count, column in enumerate(named, 1):
        for row in rows[:count]:
            row[column] = 1
    write_rows(tmp_path / "out.csv", COLUMNS, rows)
    lines = summary(tmp_path / "out.csv").splitlines()
    for count, what in enumerate(named.values(), 1):
        assert sum(line.startswith(f"{what}: {count / 8:.1%} (") for line in lines) == 1


def test_without_a_photo_that_was_measured_there_are_no_shares(tmp_path):
    write_rows(tmp_path / "out.csv", COLUMNS, rows_of(error="ab"))
    assert summary(tmp_path / "out.csv") == "0 photos, 2 skipped"


def test_rows_that_were_changed_by_hand_do_not_count(tmp_path):
    whole, *changed = rows_of((1, ALL), (0, "0"), (1, ALL), (1, ALL))
    changed[1]["localized"] = "TRUE"
    changed[2]["top5"] = ""
    write_rows(tmp_path / "out.csv", COLUMNS, [whole, *changed])
    assert summary(tmp_path / "out.csv").startswith("1 photos, 3 skipped\n")
    assert compared(tmp_path, [whole, *changed], rows_of(*[(1, ALL)] * 4))[0] == (
        "1 photos in both, 0 only in the first, 3 only in the second"
    )


def compared(tmp_path, rows, others):
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, some in zip(paths, (rows, others), strict=True):
        write_rows(path, COLUMNS, some)
    return comparison(*paths).splitlines()


def test_comparison_is_photo_by_photo(tmp_path, capsys):
    rows = rows_of((1, ALL), (1, ALL), (0, NONE), (1, ALL), error="x")
    others = rows_of((0, NONE), (1, ALL), (0, NONE))
    lines = compared(tmp_path, rows, others)
    # 2 of 3 against 1 of 3; what is only in one does not count
    assert lines[0] == "3 photos in both, 1 only in the first, 0 only in the second"
    assert [line.split(": ")[1].split(" (")[0] for line in lines[1:]] == ["+33.3"] * 9
    assert main(["compare-localization", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_method_against_itself_differs_by_nothing(tmp_path):
    rows = rows_of((1, ALL), (0, bits(9, 5, 1, 3)), (0, NONE))
    for line in compared(tmp_path, rows, rows)[1:]:
        assert line.endswith("+0.0 (+0.0 to +0.0) points")


def test_only_the_same_boxes_are_compared(tmp_path):
    rows = rows_of((1, ALL), (1, ALL), (0, ALL))
    others = [row | {"truth": "of other boxes"} for row in rows[:2]]
    with pytest.raises(ValueError, match=r"same boxes .* 0\.png differ, and of 1 more"):
        compared(tmp_path, rows, others)
    with pytest.raises(ValueError, match=r"photos that .* both have, found none"):
        compared(tmp_path, rows, rows_of(error="012"))
    with pytest.raises(ValueError, match=r"expected a file of results, found none at .*nowhere"):
        comparison(tmp_path / "a.csv", tmp_path / "nowhere.csv")
