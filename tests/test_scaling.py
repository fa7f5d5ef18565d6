"""The benchmark of several devices runs, small, and counts right."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.scaling import model_row, table

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--image-size", "32", "--base-filters", "1", "--batch-size", "4", "--rounds", "1", "--steps", "3"]


def _scaling(*words):
    command = [sys.executable, "-m", "benchmarks.scaling", *TINY, *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="needs two cores")
def test_all_parts_are_measured():
    done = _scaling("--counts", "100,10000")
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    figures = result["workers"]["figures"]
    assert figures.keys() == {"one", "half", "two"}
    assert all(value > 0 for one in figures.values() for value in one.values())
    for name, batch in (("one", 4), ("half", 2), ("two", 4)):
        assert figures[name]["images_per_second"] == pytest.approx(batch / figures[name]["step_seconds"])
    ratio = figures["two"]["images_per_second"] / figures["one"]["images_per_second"]
    assert result["workers"]["speedup"] == pytest.approx(ratio)
    share = 1 - 2 * figures["half"]["step_processor"] / figures["two"]["step_processor"]
    assert result["workers"]["exchange_share_of_processor"] == pytest.approx(share)
    assert [row["pictures"] for row in result["input"]["rows"]] == [100, 10_000]
    for row in result["input"]["rows"]:
        assert 0 < row["batch_processor"] < row["step_processor"] and row["step_seconds"] > 0
    assert [row["gpus"] for row in result["model"]["rows"]] == [1, 2, 4, 8, 16, 32, 64]
    assert table(result) in done.stderr and "a model, not measured" in done.stderr


def test_a_row_of_the_model_by_hand():
    options = SimpleNamespace(near=100.0, far=10.0, latency=0.5)
    alone = model_row(1, 400.0, 8.0, options)
    assert alone["sent_bytes"] == alone["exchange_share"] == 0 and alone["speedup"] == 1
    near = model_row(2, 400.0, 8.0, options)  # 400 bytes at 100 a second, 4 messages of half a second
    assert near["sent_bytes"] == 400 and near["step_seconds"] == 8 + 4 + 2
    assert near["exchange_share"] == pytest.approx(6 / 14) and near["speedup"] == pytest.approx(16 / 14)
    far = model_row(16, 400.0, 8.0, options)  # 750 bytes at 10 a second, 60 messages
    assert far["sent_bytes"] == 750 and far["step_seconds"] == 8 + 75 + 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts", "workers,gpus"], "expected parts of workers, model, input; received 'workers,gpus'"),
        (["--batch-size", "5"], "an even --batch-size; received 1, 3, 1 and 5"),
        (["--rounds", "0"], "expected --rounds, --steps and --base-filters above 0"),
    ],
)
def test_scaling_refuses(words, message):
    done = _scaling(*words)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
