import pytest
import tensorflow as tf

from gan_helpers.training import precision
from gan_helpers.training.precision import hardware_precision


@pytest.fixture
def processor(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "PROCESSOR", file)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    return file


@pytest.mark.parametrize(
    ("flags", "expected", "reason"),
    [
        ("fpu avx512f avx512_bf16", "mixed_bfloat16", "processor with avx512_bf16"),
        ("fpu amx_bf16 avx512_bf16 amx_tile", "mixed_bfloat16", "processor with amx_bf16"),
        ("fpu avx2 avx512f avx512_bf16_not", "float32", "processor without bfloat16 products"),
        ("", "float32", "processor without bfloat16 products"),
    ],
)
def test_processors(processor, flags, expected, reason):
    processor.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert hardware_precision() == (expected, reason)


@pytest.mark.parametrize("content", [None, "Features\t: fp asimd bf16\n", ""])
def test_processors_that_do_not_tell(processor, content):
    if content is not None:
        processor.write_text(content)
    assert hardware_precision() == ("float32", "processor without bfloat16 products")


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "float32"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16"), ((9, 0), "mixed_bfloat16")],
)
def test_gpus(processor, monkeypatch, capability, expected):
    details = {"device_name": "Accelerator", "compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["gpu"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    major, minor = capability
    assert hardware_precision() == (expected, f"Accelerator, compute capability {major}.{minor}")


def test_a_gpu_that_does_not_tell(processor, monkeypatch):
    processor.write_text("flags\t: amx_bf16\n")  # what computes is the GPU, whatever the processor could
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {})
    assert hardware_precision()[0] == "float32"
