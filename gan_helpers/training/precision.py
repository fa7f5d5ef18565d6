"""Which precision pays on this machine, by what its hardware reports."""

from pathlib import Path

import tensorflow as tf

PROCESSOR = Path("/proc/cpuinfo")


def hardware_precision():
    """The precision that this machine's hardware is made for.

    On an NVIDIA GPU its compute capability tells: from 8.0 on bfloat16, from 7.0 on (T4, V100) float16, below it
    float32. On a processor the instructions do: bfloat16 products need AVX512-BF16 or AMX; without them 16 bits are
    emulated, and slower.

    Returns:
        `(precision, reason)`: a name of `fused.PRECISIONS`, and what was found, as text.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        found = f"{details.get('device_name', 'GPU')}, compute capability {'.'.join(map(str, capability))}"
        if capability >= (8, 0):
            return "mixed_bfloat16", found
        return ("mixed_float16" if capability >= (7, 0) else "float32"), found
    lines = PROCESSOR.read_text().splitlines() if PROCESSOR.exists() else []
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    units = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    if units:
        return "mixed_bfloat16", f"processor with {units[0]}"
    return "float32", "processor without bfloat16 products"
