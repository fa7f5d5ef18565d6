"""Killed at any instant, a run goes on and ends in the same bits as one that was never stopped."""

import collections
import dataclasses
import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from gan_helpers import Recipe, Run, load_generator, prepare_images
from gan_helpers.training.build import build_gan
from gan_helpers.training.checkpoints import state

ROOT = Path(__file__).resolve().parent.parent
COUNT, STEPS = 160, 60  # 10 steps an epoch
MODES = {
    "plain": {},
    "simultaneous": {"recipe": {"simultaneous": True}},
    "dropout": {"recipe": {"architecture": "script_32", "loss": "probability"}},
    "augmentation": {"recipe": {"augmentation": ["colour", "translation", "cutout"], "simultaneous": True}},
    "penalty": {"recipe": {"r1_weight": 1.0, "final_learning_rate": 0.1}},
    "bfloat16": {"precision": "mixed_bfloat16", "recipe": {"simultaneous": True, "r1_weight": 1.0}},
    "float16": {"precision": "mixed_float16", "recipe": {"simultaneous": True}},
    "several steps at once": {"recipe": {"simultaneous": True}, "steps_per_execution": 5},
}
POINTS = [
    (f"{side} {point}", nth)
    for side in ("before", "after")
    for point, nth in (
        ("write checkpoint", 200),
        ("flush checkpoint", 2),
        ("rename checkpoint", 3),
        ("delete checkpoint", 2),
        ("save generator.keras", 3),
        ("rename generator.keras", 2),
        ("rename history.csv", 1),
    )
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that runs one training, perhaps killed, in a process of its own."""
    folder = tmp_path_factory.mktemp("kills")
    prepare_images("drawn", 32, count=COUNT, cache=folder / "cache")
    nursery = subprocess.Popen(
        [sys.executable, ROOT / "tests/killing.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    def train(output, checkpoint_seconds=0.0, **job):
        job = {"epochs": STEPS // 10, "count": COUNT, "checkpoint_seconds": checkpoint_seconds} | job
        job |= {"output": str(folder / output), "cache": str(folder / "cache")}
        nursery.stdin.write(json.dumps(job) + "\n")
        nursery.stdin.flush()
        answer = json.loads(nursery.stdout.readline())
        return folder / output, answer["code"], answer["phase"]

    yield train
    nursery.stdin.close()
    assert nursery.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def whole(trained):
    """The run that was never stopped, of each mode."""
    runs = {}

    def run(mode):
        if mode not in runs:
            runs[mode], code, _ = trained(f"whole {mode}", **MODES[mode])
            assert code == 0
        return runs[mode]

    return run


def _assert_same_end(killed, whole):
    with (
        np.load(killed / f"checkpoints/step_{STEPS:08d}.npz") as mine,
        np.load(whole / f"checkpoints/step_{STEPS:08d}.npz") as other,
    ):
        assert sorted(mine.files) == sorted(other.files) and len(mine.files) > 50
        for name in set(mine.files) - {"tables"}:
            assert np.array_equal(mine[name], other[name]), name
    assert Run(killed).history() == Run(whole).history() and len(Run(whole).history()) == STEPS // 10
    names = ["history.csv", "faces.png", *(f"samples/epoch_{epoch}.png" for epoch in range(0, STEPS // 10 + 1, 2))]
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_killed_at_points_of_saving(trained, whole):
    """One run, killed at one point after another; it comes to its end all the same."""
    for point, nth in POINTS:
        folder, code, _ = trained("points", kill_at=point, nth=nth, **MODES["plain"])
        if code == 0:  # the run has come to its end: the next points are of another one
            _assert_same_end(folder, whole("plain"))
            folder.rename(folder.with_name(f"points until {point} {nth}"))
            folder, code, _ = trained("points", kill_at=point, nth=nth, **MODES["plain"])
        assert code == -9, (point, nth)
    folder, code, _ = trained("points", **MODES["plain"])
    assert code == 0
    _assert_same_end(folder, whole("plain"))


def test_every_instant_of_saving_leaves_a_run_that_goes_on(trained, tmp_path):
    """At every write, flush, rename and deletion of a short training, a copy of what a kill would leave goes on."""
    (tmp_path / "copies").mkdir()
    folder, code, _ = trained("instants", epochs=2, count=32, snapshots=str(tmp_path / "copies"))
    assert code == 0
    labels = json.loads((tmp_path / "copies/labels.json").read_text())
    assert len(labels) > 200 and {label.split()[1] for label in labels} >= {"open", "write", "rename", "delete"}
    states = {}  # of each step, from its own checkpoint
    for file in sorted((tmp_path / "copies").glob("*/checkpoints/step_*.npz")):
        if file.stem not in states:
            states[file.stem] = _arrays(file)
    assert len(states) == 5
    gan = _gan_of(Run(folder).settings)
    reached = collections.Counter()
    for number, label in enumerate(labels):
        copy = tmp_path / f"copies/{number:05d}"
        for half_written in copy.rglob("*.writing*"):  # a loss of power would take what was not flushed
            half_written.write_bytes(half_written.read_bytes()[: half_written.stat().st_size // 2])
        run = Run(copy)
        if not (copy / "settings.json").exists():
            run.open(Run(folder).settings)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            step = run.restore(gan)
        reached[step] += 1
        if step or (copy / "checkpoints/step_00000000.npz").exists():
            expected = states[f"step_{step:08d}"]
            for name, variable in state(gan).items():
                assert np.array_equal(variable.numpy(), expected[name]), (label, name)
            assert [row["step"] for row in run.history()] == [n for n in (2, 4) if n <= step], label
        if (copy / "generator.keras").exists() and reached[step] == 1:
            load_generator(copy)
        run.close()
    assert set(reached) == {0, 1, 2, 3, 4}


def _arrays(file):
    with np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


def _gan_of(settings):
    recipe = Recipe(**{field.name: settings[field.name] for field in dataclasses.fields(Recipe)})
    return build_gan(recipe, settings["image_size"], settings["seed"], settings["precision"], None)


def test_killed_at_random_steps(trained, whole, record_property, capsys):
    steps = sorted(random.Random(4).sample(range(1, STEPS - 10), 20))
    phases = collections.Counter()
    for step in steps:
        folder, code, phase = trained(
            "random", checkpoint_seconds=0.05, kill_at_step=step, within=0.1, **MODES["simultaneous"]
        )
        assert code == -9, step
        phases[phase] += 1
    folder, code, _ = trained("random", **MODES["simultaneous"])
    assert code == 0
    _assert_same_end(folder, whole("simultaneous"))
    with capsys.disabled():
        print(f"\n20 kills at random steps fell in: {dict(phases)}")
    assert phases["start"] == 0 and len(phases) >= 2


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("plain", "simultaneous")])
def test_killed_in_every_mode(mode, trained, whole):
    for step in (14, 37):
        folder, code, _ = trained(mode, checkpoint_seconds=0.1, kill_at_step=step + 2, within=0.02, **MODES[mode])
        assert code == -9 or mode == "several steps at once"
    folder, code, _ = trained(mode, **MODES[mode])
    assert code == 0
    _assert_same_end(folder, whole(mode))
