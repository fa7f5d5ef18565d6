"""What several tests share: a cache of their own, and small networks and pictures."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    os.environ["GAN_FACES_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of 40 drawn faces as files of several formats, shapes and depths of folder."""
    from gan_helpers import draw_faces

    folder = tmp_path_factory.mktemp("photographs")
    images, _ = draw_faces(40, 64, seed=11)
    for number, image in enumerate(images):
        picture = Image.fromarray(image)
        if number % 2:
            picture = picture.resize((64 + number, 80))
        ending = ("jpg", "png", "webp", "bmp")[number % 4]
        below = folder / ("nested/deeper" if number % 5 == 0 else ".")
        below.mkdir(parents=True, exist_ok=True)
        picture.save(below / f"face {number:02d}.{ending}")
    return folder


@pytest.fixture(scope="session")
def faces():
    """uint8 `(96, 32, 32, 3)` drawn faces."""
    from gan_helpers import draw_faces

    return draw_faces(96, 32, seed=5)[0]


@pytest.fixture
def small_gan():
    """A function that builds the same small GAN at every call."""
    import keras

    from gan_helpers import GAN, discriminator_model, generator_model

    def build(loss="non_saturating", seed=3, **arguments):
        keras.utils.set_random_seed(7)
        architecture = "script_32" if loss == "probability" else "dcgan"
        shared = {"image_size": 32, "base_filters": 4, "architecture": architecture}
        gan = GAN(generator_model(10, **shared), discriminator_model(**shared), seed=seed, **arguments)
        gan.compile(loss=loss)
        return gan

    return build


@pytest.fixture(scope="session")
def real_faces():
    """The folder of real photographs that `GAN_FACES_DIR` names; tests that need it are skipped without it."""
    folder = os.environ.get("GAN_FACES_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GAN_FACES_DIR does not name a folder of photographs")
    return Path(folder)


@pytest.fixture(scope="session")
def real_batch(faces):
    """float32 `(16, 32, 32, 3)` in [-1, 1]."""
    return (faces[:16] / np.float32(127.5) - 1).astype(np.float32)


@pytest.fixture(scope="session")
def inception(_own_cache):
    """Path of Inception's real weights, fetched once (81 MB); without them the tests that need them are skipped."""
    from gan_helpers.metrics.weights import inception_weights

    if not os.environ.get("GAN_HELPERS_INCEPTION"):
        try:
            os.environ["GAN_HELPERS_INCEPTION"] = inception_weights().source
        except ValueError as error:
            pytest.skip(f"Inception's weights cannot be fetched here: {error}")
    return os.environ["GAN_HELPERS_INCEPTION"]
