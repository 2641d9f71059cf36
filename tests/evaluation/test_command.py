import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepinside.__main__ import main
from deepinside.images import load_photo
from deepinside.rows import claiming


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
    (folder / "digits.csv").write_text("label,class_index\ncoffee,9\n")
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
    assert "MaxBoxAccV2: " in told
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


def test_two_processes_do_not_write_to_one_output(folder, tmp_path, capsys):
    output = tmp_path / "out.csv"
    with claiming(output), pytest.raises(SystemExit, match="2"):
        main(arguments(folder, output))
    assert "another one is writing to it" in capsys.readouterr().err
    assert not output.exists()
    assert main(arguments(folder, output)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_run_that_is_killed_is_gone_on_with(folder, tmp_path):
    names = [f"{i}.png" for i in range(60)]
    photos, boxes, output = tmp_path / "photos", tmp_path / "boxes.csv", tmp_path / "out.csv"
    photos.mkdir()
    for name in names:
        (photos / name).write_bytes((folder / "coffee.png").read_bytes())
    lines = [f"{name},espresso,172,17,407,307\n" for name in names]
    boxes.write_text("file,label,x0,y0,x1,y1\n" + "".join(lines))
    command = [
        sys.executable, "-m", "deepinside", "evaluate-localization", photos, "--boxes", boxes,
        "--output", output, "--map", "center", "--batch-size", "1", "--workers", "0",
        "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 100
        while not (output.exists() and output.read_bytes().count(b"\n") > 3):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed.kill()
    whole = [line for line in output.read_text().splitlines(keepends=True) if line.endswith("\n")]
    left = len(names) + 1 - len(whole)
    assert left > 0
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=120, env=environment
    )
    after = output.read_text()
    assert [line.split(",")[0] for line in after.splitlines()[1:]] == names
    assert after.startswith("".join(whole))
    # what was there is not measured again; of the rest the end is estimated
    assert re.search(rf" {left}/{left} \[", done.stderr)
    assert re.search(r"\d+/\d+ \[\d\d:\d\d<\d\d:\d\d", done.stderr)


def test_help_says_what_boxes_are_and_how_processes_share_the_photos(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate-localization", "--help"])
    told = capsys.readouterr().out
    assert "file, label, x0, y0, x1, y1" in told
    assert "torchrun --nproc-per-node 4 -m deepinside evaluate-localization" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--scales", "nan"], "above 0 and at most 71.4286, got nan"),
        (["--scales", "1", "0"], "above 0 and at most 71.4286, got 0.0"),
        (["--batch-size", "0"], "expected --batch-size of at least 1, got 0"),
        (["--workers", "-1"], "expected --workers of at least 0, got -1"),
        (["--device", "gpu"], "expected a device that works here, got gpu: "),
        (["--device", "meta"], "expected a device that works here, got meta: "),
        (["--map", "cam"], "got digits, which is for grad_cam"),
        (["--scales", "2"], "expected scales=[1] for digits"),
    ],
)
def test_what_cannot_work_ends_before_any_work(folder, tmp_path, capsys, given, told):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments(folder, tmp_path / "out.csv"), "--network", "digits",
              "--classes", str(folder / "digits.csv"), *given])  # fmt: skip
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
