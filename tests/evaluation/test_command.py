import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepinside.__main__ import main
from deepinside.images import load_photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photos, one that is missing, and their boxes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for name in ("coffee", "rocket"):
        array = load_photo(name).mul(255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(folder / f"{name}.png")
    (folder / "boxes.csv").write_text(
        "file,label,x0,y0,x1,y1\ncoffee.png,coffee,172,17,407,307\n"
        "rocket.png,missile,305,128,340,405\nmissing.png,missile,1,1,9,9\n"
    )
    (folder / "classes.csv").write_text("label,class_index\ncoffee,968\ncoffee,967\n")
    return folder


def arguments(folder, output):
    return [
        "evaluate-localization", str(folder), "--boxes", str(folder / "boxes.csv"),
        "--classes", str(folder / "classes.csv"), "--output", str(output),
        "--scales", "1", "--workers", "0", "--device", "cpu",
    ]  # fmt: skip


def rows_of(path):
    with path.open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_command(folder, tmp_path, capsys):
    output = tmp_path / "out.csv"
    assert main([*arguments(folder, output), "--top5"]) == 0
    told = capsys.readouterr().out
    assert "2 photos, 1 skipped" in told
    assert "top-5 localization error" in told
    rows = rows_of(output)
    assert rows["coffee.png"]["class_index"] == "967"
    assert rows["coffee.png"]["scales"] == "1"
    assert "found none at" in rows["missing.png"]["error"]


def test_torchrun_splits_the_photos(folder, tmp_path):
    output = tmp_path / "out.csv"
    torchrun = Path(sys.executable).with_name("torchrun")
    done = subprocess.run(
        [torchrun, "--standalone", "--nproc-per-node", "2", "-m", "deepinside",
         *arguments(folder, output)],
        check=True, capture_output=True, text=True, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert set(rows_of(output)) == {"coffee.png", "rocket.png", "missing.png"}
    assert done.stdout.count("2 photos, 1 skipped") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_help_says_what_boxes_are_and_how_processes_share_the_photos(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate-localization", "--help"])
    told = capsys.readouterr().out
    assert "file, label, x0, y0, x1, y1" in told
    assert "torchrun --nproc-per-node 4 -m deepinside evaluate-localization" in told
