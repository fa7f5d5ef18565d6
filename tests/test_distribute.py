"""What a training over several devices asks for and refuses, and its command; more in test_distributed_runs.py."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from gan_helpers import Recipe, prepare_images, train
from gan_helpers.training.build import build_gan
from gan_helpers.training.distribute import Devices, open_devices

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--image-size", 32, "--base-filters", 4, "--batch-size", 16, "--count", 96]
TWO = Devices(SimpleNamespace(num_replicas_in_sync=2))


def _gan(**recipe):
    return build_gan(Recipe(**{"base_filters": 1, "latent_dim": 4} | recipe), 32)


def _begun(*words, cwd, **environment):
    command = [sys.executable, "-m", "gan_helpers", "train", *map(str, (*SMALL, *words))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **pipes)


def _two_begun(*words, cwd):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)]
    words = "--distribute", "multiworker", "--output", "run", *words
    return [_begun(*words, cwd=cwd, TF_CONFIG=json.dumps(task)) for task in tasks]


def test_one_device_is_what_there_was():
    devices = open_devices()
    assert devices.replicas == 1 and devices.first and str(devices) == "1 device"
    gan = SimpleNamespace(fit=object())
    assert devices.stream(len) is len and devices.fit(gan) is gan.fit
    devices.check(_gan(architecture="script_32", loss="probability"), 5)
    devices.plan(None, 3)


def test_mirrored_on_one_device_ends_in_the_same_bits(tmp_path):
    """All that several replicas need is there, and changes nothing for one."""
    prepared = prepare_images("drawn", 32, count=48, cache=tmp_path / "cache")
    shared = {"recipe": Recipe(base_filters=4, latent_dim=10, batch_size=16), "epochs": 2, "report": lambda line: None}
    runs = [train(prepared, tmp_path / str(kind), distribute=kind, **shared) for kind in (None, "mirrored")]
    one, other = (run.gan.generator.get_weights() for run in runs)
    assert all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))
    assert "replicas" not in runs[0].run.settings and runs[1].run.settings["replicas"] == 1


@pytest.mark.parametrize("word", ["all", ""])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match=f"expected distribute as None or one of mirrored, multiworker; .*{word!r}"):
        open_devices(word)


@pytest.mark.parametrize(
    ("recipe", "batch_size", "message"),
    [
        ({}, 15, "2 replicas can share evenly; received 15 images; try --batch-size 16"),
        ({}, 1, "received 1 images; try --batch-size 2"),
        ({"architecture": "script_32", "loss": "probability"}, 16, "without dropout for 2 replicas"),
    ],
)
def test_what_replicas_cannot_share_is_refused(recipe, batch_size, message):
    with pytest.raises(ValueError, match=message):
        TWO.check(_gan(**recipe), batch_size)


def test_what_replicas_can_share_passes():
    TWO.check(_gan(r1_weight=1.0, penalty_every=4), 16)
    TWO.check(_gan(r1_weight=1.0, penalty_every=4, d_normalisation="none"), 16)
    TWO.check(_gan(penalty_every=4), 2)
    TWO.plan(100, None)


def test_a_length_that_would_be_measured_is_refused():
    with pytest.raises(ValueError, match="expected epochs for a recipe that depends on its length.*received 3 minutes"):
        TWO.plan(None, 3)


def test_several_workers_come_before_anything_is_computed(monkeypatch):
    """TensorFlow asks for that; here it has computed long ago."""
    keras.ops.zeros(1)
    meeting = SimpleNamespace(exchange=lambda *_: None, close=lambda: closed.append(True), index=0)
    closed = []
    monkeypatch.setattr("gan_helpers.training.distribute.Meeting", lambda: meeting)
    task = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(ValueError, match="before TensorFlow computes anything; received a process in which it has"):
        open_devices("multiworker")
    assert closed


def test_a_command_without_tf_config_says_so_in_a_line(tmp_path):
    done = _begun("--distribute", "multiworker", "--output", "run", cwd=tmp_path, TF_CONFIG="")
    _, said = done.communicate(timeout=120)
    assert done.returncode == 1 and "expected TF_CONFIG as JSON" in said and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_two_commands_one_killed_and_both_started_again(tmp_path):
    """As their users see them: one command on each machine, and the same two again."""
    workers = _two_begun("--epochs", 10**6, "--checkpoint-seconds", 1, cwd=tmp_path)
    try:
        until = time.monotonic() + 240
        while not list((tmp_path / "run/checkpoints").glob("step_*[1-9].npz")) and time.monotonic() < until:
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.2)
        workers[1].send_signal(signal.SIGKILL)
        _, said = workers[0].communicate(timeout=60)  # a clear line, within a minute
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert workers[0].returncode == 1, said
    assert "expected all workers to the end; received the loss of one after step" in said and "Traceback" not in said
    step = max(int(file.stem[5:]) for file in (tmp_path / "run/checkpoints").glob("step_*.npz"))
    workers = _two_begun("--minutes", 0.01, cwd=tmp_path)
    (told, said), (told_other, said_other) = (worker.communicate(timeout=240) for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], said + said_other
    assert f"goes on at step {step}" in said and "on 2 devices on 2 workers, each with 8 of 16 images" in said
    assert "run/faces.png" in told
    reached = re.fullmatch(r"worker 1 is done at step (\d+); worker 0 wrote run\n", told_other)
    assert reached and int(reached[1]) > step
    assert (tmp_path / f"run/checkpoints/step_{int(reached[1]):08d}.npz").exists()
