"""What a notebook needs to know of the machine it runs on, Google Colab's above all."""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_helpers import quiet_start
from gan_helpers.data.workers import usable_cores

with quiet_start():  # a notebook imports this first
    import keras
    import tensorflow as tf

DRIVE = Path("/content/drive")


@dataclass(frozen=True)
class Machine:
    """The hardware found.

    Attributes:
        gpu: the GPU's name, or `None`.
        cores: processor cores that may be used.
        colab: whether this is Google Colab.
        folder: where runs are kept: a folder on Google Drive where it is mounted, else the current one.
    """

    gpu: str | None
    cores: int
    colab: bool
    folder: Path


def setup(drive=False):
    """Looks at the machine, says what it found, and mounts Google Drive when asked.

    Colab forgets its disk when it disconnects; a run on Drive can be gone on with.

    Args:
        drive: in Colab, mount Google Drive (it asks for your consent) and keep runs there. Elsewhere without
            effect. Defaults to `False`.

    Returns:
        A `Machine`.

    Example:
        >>> machine = setup()
        Python 3.13, TensorFlow 2.20.0, Keras 3.13.2, NumPy 2.1.3
        GPU: none, training runs on 2 processor cores
    """
    colab = "google.colab" in sys.modules
    gpus = tf.config.list_physical_devices("GPU")
    gpu = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else None
    cores = usable_cores()
    folder = Path()
    if drive and colab:
        from google.colab import drive as google_drive

        google_drive.mount(str(DRIVE))
        folder = DRIVE / "MyDrive" / "gan_helpers"
        folder.mkdir(exist_ok=True)
    python = ".".join(platform.python_version_tuple()[:2])
    print(f"Python {python}, TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}")
    if gpu:
        print(f"GPU: {gpu}")
    else:
        print(f"GPU: none, training runs on {cores} processor cores")
        if colab:
            print("for a GPU: menu Runtime, Change runtime type, T4 GPU; then run all cells again")
    return Machine(gpu, cores, colab, folder)
