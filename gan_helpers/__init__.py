"""Learn and use GANs for human faces, on Keras 3 and TensorFlow.

The main names are offered here and loaded when first used, so that `import gan_helpers` (and `--help`) does
not wait for TensorFlow:

>>> from gan_helpers import GAN, generator_model, discriminator_model
"""

import contextlib
import importlib
import os
import sys

# The networks are plain Keras; the training loop needs Keras on TensorFlow. A choice that the user made stands.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow's start-up notices would drown the first line that matters. Errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# On processors without AVX-512 TensorFlow leaves its fast convolutions (oneDNN) off: a step takes twice the time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

_HOME_OF = {
    "draw_faces": "data.drawn_faces",
    "find_faces": "data.sources",
    "fetch_faces": "data.sources",
    "prepare_images": "data.images",
    "data_report": "data.report",
    "perceptual_hash": "data.near_duplicates",
    "near_duplicates": "data.near_duplicates",
    "face_batches": "data.batches",
    "read_labels": "data.label_tables",
    "labels_of": "data.label_tables",
    "generator_model": "models.networks",
    "discriminator_model": "models.networks",
    "Recipe": "models.recipes",
    "RECIPES": "models.recipes",
    "read_recipe": "models.recipes",
    "augment": "models.augment",
    "GAN": "training.gan",
    "for_training": "training.fused",
    "build_gan": "training.build",
    "HealthMonitor": "training.health",
    "diagnose": "training.conditions",
    "Run": "training.runs",
    "train": "training.train",
    "load_generator": "training.runs",
    "sample_latents": "visualization.plots",
    "generate_images": "visualization.plots",
    "generate_and_save_images": "visualization.plots",
    "image_grid": "visualization.plots",
    "show_images": "visualization.plots",
    "plot_history": "visualization.plots",
    "interpolate": "visualization.plots",
    "save_animation": "visualization.plots",
    "compare_runs": "visualization.compare",
    "plot_health": "visualization.health",
    "explore_latents": "visualization.explorer",
    "explore_morph": "visualization.explorer",
    "explore_attributes": "visualization.explorer",
    "explore_run": "visualization.timeline",
}
__all__ = sorted(_HOME_OF)


@contextlib.contextmanager
def quiet_start():
    """Keeps TensorFlow's notice that oneDNN is on, which no setting of its own silences, out of the first import."""
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        yield
        return
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'gan_helpers' has no attribute {name!r}; it offers {', '.join(__all__)}")
    try:
        with quiet_start():
            module = importlib.import_module(f"gan_helpers.{_HOME_OF[name]}")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(
                "expected TensorFlow, which this package leaves to you to choose; received none; install "
                "'gan_helpers[cpu]' (no GPU) or 'gan_helpers[gpu]'",
                name="tensorflow",
            ) from error
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
