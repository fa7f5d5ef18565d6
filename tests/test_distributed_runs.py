"""Whole trainings on several devices and by several workers: killed, they go on; what is wrong is said, in time."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gan_helpers import Run, load_generator, prepare_images

ROOT = Path(__file__).resolve().parent.parent
COUNT, STEPS = 160, 60  # 10 steps an epoch
JOB = {"epochs": STEPS // 10, "count": COUNT, "recipe": {"simultaneous": True}}


class Nursery:
    """A process that forks trainings, one after another."""

    def __init__(self, log):
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "tests/killing.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                stderr=errors, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def begin(self, job):
        self.began = self.log.stat().st_size
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def end(self):
        """Its exit code, and what it said."""
        code = json.loads(self.process.stdout.readline())["code"]
        return code, self.log.read_text()[self.began :]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """A function that trains with two workers; `of` holds what differs, by worker."""
    folder = tmp_path_factory.mktemp("workers")
    prepare_images("drawn", 32, count=COUNT, cache=folder / "cache")
    nurseries = [Nursery(folder / f"worker_{index}.log") for index in range(2)]

    def train(output, checkpoint_seconds=0.0, of=({}, {}), **job):
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
        for index, nursery in enumerate(nurseries):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            place = {"output": str(folder / output), "cache": str(folder / "cache"), "tf_config": cluster}
            place |= {"distribute": "multiworker", "checkpoint_seconds": checkpoint_seconds}
            nursery.begin(JOB | place | job | of[index])
        return folder / output, [nursery.end() for nursery in nurseries]

    yield train
    for nursery in nurseries:
        nursery.close()


def _free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _codes(ends):
    return [code for code, _ in ends]


@pytest.fixture(scope="module")
def whole(workers):
    """The run of two workers that was never stopped."""
    run, ends = workers("whole")
    assert _codes(ends) == [0, 0], ends
    return run


def _assert_same_end(killed, whole):
    name = f"checkpoints/step_{STEPS:08d}.npz"
    with np.load(killed / name) as mine, np.load(whole / name) as other:
        assert sorted(mine.files) == sorted(other.files) and len(mine.files) > 50
        for name in set(mine.files) - {"tables"}:
            assert np.array_equal(mine[name], other[name]), name
    assert Run(killed).history() == Run(whole).history() and len(Run(whole).history()) == STEPS // 10
    for name in ("history.csv", "faces.png", "samples/epoch_0.png", f"samples/epoch_{STEPS // 10}.png"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_one_worker_writes_a_whole_run(whole):
    settings = Run(whole).settings
    assert settings["replicas"] == 2 and settings["synchronised"] is False
    assert [row["step"] for row in Run(whole).history()] == list(range(10, STEPS + 1, 10))
    assert load_generator(whole).output_shape == (None, 32, 32, 3)
    made = {path.name for path in whole.iterdir()}
    assert made >= {"settings.json", "history.csv", "timing.csv", "health.csv", "generator.keras", "faces.png"}
    assert ".meeting" not in made and not list(whole.rglob("*.writing*"))


def test_a_worker_killed_at_ten_random_steps(workers, whole):
    """One run, in which now the one worker is killed, now the other; the other one says so and ends."""
    draw = random.Random(10)
    reached = 0
    for number, step in enumerate(sorted(draw.sample(range(1, STEPS - 8), 10))):
        victim = number % 2
        kill = {"kill_at_step": step, "within": 0.05}
        began = time.monotonic()
        run, ends = workers("killed", checkpoint_seconds=0.05, of=[kill if victim == n else {} for n in range(2)])
        assert time.monotonic() - began < 120
        assert ends[victim][0] == -9 and ends[1 - victim][0] == 1, (step, ends)
        assert "expected all workers to the end; received the loss of one after step" in ends[1 - victim][1]
        assert "goes on from its last checkpoint" in ends[1 - victim][1]
        steps = [int(path.stem[5:]) for path in (run / "checkpoints").glob("step_*.npz")]
        assert max(steps) >= reached
        reached = max(steps)
    assert reached > 10
    run, ends = workers("killed")
    assert _codes(ends) == [0, 0], ends
    _assert_same_end(run, whole)


def test_other_settings_on_one_worker_write_nothing(workers):
    began = time.monotonic()
    run, ends = workers("other seed", of=({}, {"seed": 7}))
    assert time.monotonic() - began < 60 and _codes(ends) == [1, 1]
    for _, said in ends:
        assert "received other settings (seed: 0 on worker 0, 7 on worker 1)" in said
    assert not run.exists()


def test_other_workers_than_before_are_refused(workers, whole, tmp_path):
    """A run of two devices is not gone on with by one, whose batch normalisation is another."""
    copy = shutil.copytree(whole, tmp_path / "run")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    _, ends = workers(copy, of=({}, {"tf_config": None}), distribute=None)
    assert _codes(ends) == [1, 1]
    assert any("replicas: 2 there, None now" in said for _, said in ends)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_not_shared_is_not_written_over(workers, whole, tmp_path):
    copies = [shutil.copytree(whole, tmp_path / str(index)) for index in range(2)]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    began = time.monotonic()
    _, ends = workers("unused", of=[{"output": str(copy), "epochs": 20} for copy in copies])
    assert time.monotonic() - began < 60 and _codes(ends) == [1, 1]
    for _, said in ends:
        assert "expected a folder that all workers share as --output" in said and "worker 1 does not see" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_devices_of_one_process_killed(tmp_path):
    """With several steps at once, as on GPUs, in 16 bits."""
    nursery = Nursery(tmp_path / "log")
    job = JOB | {"distribute": "mirrored", "devices": 2, "cache": str(tmp_path / "cache"), "checkpoint_seconds": 0.05}
    job |= {"steps_per_execution": 5, "precision": "mixed_float16"}
    for name, kill, code in (
        ("whole", {}, 0),
        ("killed", {"kill_at_step": 24, "within": 0.05}, -9),
        ("killed", {}, 0),
    ):
        nursery.begin(job | {"output": str(tmp_path / name)} | kill)
        found, said = nursery.end()
        assert found == code, said[-2000:]
    nursery.close()
    assert Run(tmp_path / "whole").settings["replicas"] == 2
    _assert_same_end(tmp_path / "killed", tmp_path / "whole")
