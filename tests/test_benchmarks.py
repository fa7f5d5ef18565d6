"""The benchmarks run, small, and count right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from PIL import Image

from benchmarks.speed import layer_flops, step_flops
from gan_helpers import discriminator_model, generator_model

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--sizes", "32", "--base-filters", "1", "--rounds", "1", "--seconds", "0.01"]


def _speed(*words):
    command = [sys.executable, "-m", "benchmarks.speed", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)


def test_speed_measures_all_systems():
    done = _speed(*TINY)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.keys() >= {"machine", "systems", "ratios", "peak", "peak_share", "memory", "start_seconds", "skipped"}
    systems = result["systems"]["32"]
    kinds = {"ours_float32_simultaneous", "ours_float32_alternating", "deterministic"}
    kinds |= {"tf_tutorial", "tf_tutorial_onednn"}
    assert systems.keys() >= kinds
    for one in systems.values():
        assert one["images_per_second"] == one["rounds"][0] > 0 and one["memory_mib"] > 100
    ours = max(one["images_per_second"] for name, one in systems.items() if name.startswith("ours"))
    ratio = ours / systems["tf_tutorial"]["images_per_second"]
    assert result["ratios"]["32"]["tf_tutorial"] == pytest.approx(ratio, abs=1e-3)
    assert result["ratios"]["32"]["deterministic"] > 0
    assert result["peak"]["32"]["gflop_per_second"]["float32"] > 0 and result["start_seconds"] > 0
    assert result["peak_share"] is None and result["memory"] is None  # they are of 64 pixels
    if result["ratios"]["32"]["torch_best"] is None:
        assert "give --torch-python" in result["skipped"]["torch"]
    assert "32 pixels, batch 64" in done.stderr and "start to first step" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "32,48"], "expected sizes of 32, 64 and 128, such as 32,64; received '32,48'"),
        (["--rounds", "0"], "expected --rounds, --seconds and --base-filters above 0"),
        (["--torch-python", "/bin/false"], "expected an interpreter that has torch; received /bin/false"),
        (["--torch-python", "/no/python"], "expected an interpreter that has torch; received /no/python"),
    ],
)
def test_speed_refuses(words, message):
    done = _speed(*words)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_torch_worker_needs_nothing_of_ours():
    source = (ROOT / "benchmarks/torch_worker.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))}
    assert imported <= {"torch", "numpy", *sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        # 16x16 places of 4x4x3 products for each of 8 channels; a product and a sum are two
        (keras.layers.Conv2D(8, 4, 2, "same"), (32, 32, 3), 2 * 16 * 16 * 4 * 4 * 3 * 8),
        # each of 4x4 places of 16 channels spreads over 4x4 places of 8 channels
        (keras.layers.Conv2DTranspose(8, 4, 2, "same"), (4, 4, 16), 2 * 4 * 4 * 16 * 4 * 4 * 8),
        (keras.layers.Dense(10), (100,), 2 * 100 * 10),
        (keras.layers.ReLU(), (4, 4, 16), 0),
    ],
)
def test_flops_of_a_layer(layer, shape, flops):
    inputs = keras.Input(shape)
    keras.Model(inputs, layer(inputs))
    assert layer_flops(layer) == flops


def test_flops_of_a_step():
    networks = generator_model(image_size=32, base_filters=2), discriminator_model(image_size=32, base_filters=2)
    g, d = (sum(map(layer_flops, network.layers)) for network in networks)
    first = layer_flops(networks[0].layers[1]) + 2 * layer_flops(networks[1].layers[1])
    assert step_flops(*networks, simultaneous=True) == 3 * g + 8 * d - first
    assert step_flops(*networks, simultaneous=False) == 4 * g + 8 * d - first


def test_loading_measures_all_systems(faces, tmp_path):
    for number, face in enumerate(faces[:20]):
        Image.fromarray(face).save(tmp_path / f"{number}.png")
    command = [sys.executable, "-m", "benchmarks.loading", "--data", str(tmp_path), "--rounds", "1", "--memory", "300"]
    command += ["--image-size", "32", "--batch-size", "8"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    [folder] = result["folders"]
    assert folder["images"] == 20 and folder["systems"].keys() == {"prepare", "keras", "keras_antialiased", "epoch"}
    for one in folder["systems"].values():
        assert one["images_per_second"] == one["rounds"][0] > 0 and one["images_per_processor_second"] > 0
    assert all(ratio["images_per_second"] > 0 for ratio in folder["ratios"].values())
    assert result["memory"]["many"]["images"] == 300 and abs(result["memory"]["beyond"]["peak_mib"]) < 500
    assert "20 pictures, 32 pixels" in done.stderr and "300 drawn faces: " in done.stderr


def test_loading_wants_something_to_load():
    command = [sys.executable, "-m", "benchmarks.loading"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2 and "expected --data FOLDER or --memory N" in done.stderr
