"""Two devices of one process, and two workers over loopback, train as one device with the same global batch does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers.training.fused import FUSED, FusedBatchNormalization, for_training, in_float32, stock_copy
from gan_helpers.training.replicas import (
    SharedLossScale,
    apply_mean,
    drawn,
    mean_over_replicas,
    neighbours,
    results_of_all,
    together,
)

ROOT = Path(__file__).resolve().parent.parent
BOTH = [(case, other) for case in ("alternating", "augmented", "synchronised") for other in ("mirrored", "worker 0")]
CASES = [*BOTH, ("synchronised penalty", "mirrored")]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each way of training found: a dict of arrays by name."""
    folder = tmp_path_factory.mktemp("replicas")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    jobs = {"one": ("one", {}), "mirrored": ("mirrored", {})}
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        jobs[f"worker {index}"] = "multiworker", {"TF_CONFIG": json.dumps(task)}

    def run(*names):
        running = {}
        try:
            for name in names:
                kind, more = jobs[name]
                command = [sys.executable, ROOT / "tests/replicas_worker.py", kind, folder / f"{name}.npz"]
                with open(folder / f"{name}.log", "wb") as log:
                    running[name] = subprocess.Popen(command, env=environment | more, stderr=log)
            for name, process in running.items():
                assert process.wait(timeout=500) == 0, (folder / f"{name}.log").read_text()[-3000:]
        finally:
            for process in running.values():
                process.kill()

    run("one", "mirrored")
    run("worker 0", "worker 1")
    return {name: dict(np.load(folder / f"{name}.npz")) for name in jobs}


def _free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _all(arrays, case, part):
    chosen = [arrays[name].ravel() for name in sorted(arrays) if name.startswith(f"{case}/{part}")]
    return np.concatenate(chosen).astype(np.float64)


def _distance(found, other, case, part):
    one, two = (_all(found[name], case, part) for name in ("one", other))
    assert np.abs(one).max() > 0
    return np.linalg.norm(one - two) / np.linalg.norm(one)


@pytest.mark.parametrize(("case", "other"), CASES)
def test_first_gradients_are_those_of_one_device(found, case, other):
    for side in ("g_optimizer", "d_optimizer"):
        assert _distance(found, other, case, f"gradients/{side}") < 1e-5


@pytest.mark.parametrize(("case", "other"), CASES)
def test_later_weights_are_those_of_one_device(found, case, other):
    """After 20 steps, or the first one; the generator's average, what the health monitor sees and means too."""
    for network in ("generator", "discriminator", "running_average"):
        distance = _distance(found, other, case, f"after/{network}")
        before, after = (_all(found["one"], case, f"{when}/{network}") for when in ("before", "after"))
        moved = np.linalg.norm(after - before) / np.linalg.norm(after)
        assert distance < 1e-4 and distance < moved / 100
    assert _distance(found, other, case, "signals") < 1e-4 and _distance(found, other, case, "means") < 1e-4
    assert np.array_equal(found["one"][f"{case}/updates"], found[other][f"{case}/updates"])


@pytest.mark.parametrize(("case", "moved"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_mixed_precision_differs_by_its_own_rounding(found, case, moved):
    digits = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[case]
    assert _distance(found, "mirrored", case, "gradients/d_optimizer") < 8 * digits
    assert _distance(found, "mirrored", case, "after") < moved
    assert np.array_equal(found["one"][f"{case}/updates"], found["mirrored"][f"{case}/updates"])


def test_workers_end_in_the_same_bits(found):
    first, second = found["worker 0"], found["worker 1"]
    assert first.keys() == second.keys() and len(first) > 100
    assert all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def test_one_replica_is_given_back_what_it_gave():
    rows = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    assert mean_over_replicas(rows) is rows and together(rows) is rows
    assert np.array_equal(neighbours(rows), [[3, 4], [1, 2]])
    results = {"d_loss": tf.constant(1.0)}
    assert results_of_all(results) is results
    expected = tf.random.stateless_normal((4, 3), (1, 2))
    assert np.array_equal(drawn(tf.random.stateless_normal, (4, 3), (1, 2)), expected)


def test_a_mean_is_applied_as_it_is_by_one_replica():
    weight, optimizer = keras.Variable([1.0, 2.0]), keras.optimizers.SGD(0.5)
    gradients = apply_mean(optimizer, [tf.constant([1.0, -1.0])], [weight])
    assert np.array_equal(weight, [0.5, 2.5]) and np.array_equal(gradients[0], [1, -1])


@pytest.mark.parametrize("big", [False, True])
def test_a_shared_scale_moves_as_keras_does(big):
    """One replica: Keras' own code; the arithmetic of several is in `found`."""
    pairs = []
    for kind in (SharedLossScale, keras.optimizers.LossScaleOptimizer):
        weight, optimizer = keras.Variable([1.0]), kind(keras.optimizers.SGD(0.5), initial_scale=8.0)
        optimizer.build([weight])
        optimizer.apply([tf.constant([np.inf if big else 8.0])], [weight])
        pairs.append((float(weight.numpy()[0]), float(optimizer.dynamic_scale.numpy())))
    assert pairs[0] == pairs[1] == ((1.0, 4.0) if big else (0.5, 8.0))


def test_what_is_saved_for_others_synchronises_nothing(small_gan):
    training = for_training(small_gan().generator, synchronised=True)
    layers = [layer for layer in training.layers if isinstance(layer, FusedBatchNormalization)]
    assert layers and all(layer.synchronized for layer in layers)
    stock = [layer for layer in stock_copy(training).layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(stock) == len(layers) and not any(layer.synchronized for layer in stock)
    assert not any(type(layer) in FUSED.values() for layer in stock)


def test_precision_comes_back_when_the_last_one_leaves(small_gan):
    network = for_training(small_gan().discriminator, "mixed_bfloat16")
    before = [layer.dtype_policy.name for layer in network.layers]
    first, second = in_float32(network), in_float32(network)
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
    second.__exit__(None, None, None)
    assert [layer.dtype_policy.name for layer in network.layers] == before and "mixed_bfloat16" in before


def test_shared_work_is_not_done_between_replicas(monkeypatch):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        assert mean_over_replicas(tf.constant(2.0)) == 2.0  # one replica: nobody to ask
    monkeypatch.setattr("gan_helpers.training.replicas.replica_count", lambda: 2)
    with strategy.scope(), pytest.raises(RuntimeError, match="a replica of tf.distribute; received the code around"):
        mean_over_replicas(tf.constant(2.0))
