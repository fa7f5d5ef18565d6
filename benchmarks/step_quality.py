"""Does the fast step train as well as the plain one? `python -m benchmarks.step_quality`.

Both train on the same drawn faces for the same number of steps, several seeds each. Their averaged generators' faces
are compared with faces that neither has seen, by the Frechet distance between features of a small network that was
trained to tell the drawn faces' attributes. Its figures compare with nothing outside this table.

A table goes to stderr, JSON to stdout. Runs that its folder holds already are not made again.
"""

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np

from gan_helpers.data.batches import face_batches
from gan_helpers.data.drawn_faces import ATTRIBUTES, draw_faces
from gan_helpers.data.images import prepare_images
from gan_helpers.metrics.distances import fid
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.training.fused import FusedAdam, for_training
from gan_helpers.training.gan import GAN
from gan_helpers.training.precision import hardware_precision
from gan_helpers.visualization.plots import generate_images

SIZE, FILTERS, BATCH = 32, 32, 32


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_quality", description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=5000, help="steps of each run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each path (default: %(default)s)")
    parser.add_argument("--count", type=int, default=8000, help="faces to train on (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/step_quality"), help="(default: %(default)s)")
    options = parser.parse_args()
    network = feature_network(options.folder / "features.keras")
    unseen = features(network, draw_faces(5000, SIZE, seed=2)[0])
    prepared = prepare_images("drawn", SIZE, count=options.count)
    result = {"steps": options.steps, "fast_precision": hardware_precision()[0]}
    result |= {"floor": fid(unseen, features(network, draw_faces(5000, SIZE, seed=3)[0]), groups=0).value}
    for path in ("plain", "fast"):
        result[path] = []
        for seed in range(options.seeds):
            file = options.folder / f"{path}-seed{seed}-{options.steps}steps.npy"
            if not file.exists():
                np.save(file, trained_faces(prepared.images, path == "fast", seed, options.steps))
            result[path].append(fid(unseen, features(network, np.load(file)), groups=0).value)
    plain, fast = (np.array(result[path]) for path in ("plain", "fast"))
    result["difference"] = float(fast.mean() - plain.mean())
    result["standard_error"] = float(np.sqrt(plain.var(ddof=1) / len(plain) + fast.var(ddof=1) / len(fast)))
    for name, value in result.items():
        values = value if isinstance(value, list) else [value]
        shown = ", ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)
        print(f"{name:15} {shown}", file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def trained_faces(images, fast, seed, steps):
    """5,000 faces of a GAN trained by the fast step or the plain one.

    Fast: fused layers and Adam, one generator pass, the precision that the hardware is made for, as `train` does it.
    Plain: stock layers, Keras' Adam, alternating halves, float32.
    """
    keras.utils.set_random_seed(seed)
    networks = [
        generator_model(image_size=SIZE, base_filters=FILTERS),
        discriminator_model(image_size=SIZE, base_filters=FILTERS),
    ]
    if fast:
        networks = [for_training(network, hardware_precision()[0]) for network in networks]
    gan = GAN(*networks, seed=seed)
    kind = FusedAdam if fast else keras.optimizers.Adam
    gan.compile(*(kind(2e-4, beta_1=0.5) for _ in networks), simultaneous=fast)
    gan.fit(face_batches(images, BATCH, seed=seed), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=2)
    return generate_images(gan.averaged_generator, 5000, seed=seed)


def feature_network(file):
    """A small convolutional network that tells the drawn faces' attributes, trained here where there is none yet."""
    if file.exists():
        return keras.models.load_model(file)
    keras.utils.set_random_seed(0)
    images, attributes = draw_faces(20_000, SIZE, seed=1)
    labels = np.stack([np.asarray(attributes[name], "float32") for name in ATTRIBUTES], axis=1)
    inputs = x = keras.Input((SIZE, SIZE, 3))
    for filters in (32, 64, 128):
        x = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(x))
    reader = keras.Model(inputs, keras.layers.Dense(labels.shape[1])(x))
    reader.compile("adam", "mse")
    labels = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    reader.fit(_scaled(images), labels, epochs=8, batch_size=64, verbose=2)
    network = keras.Model(inputs, x)
    file.parent.mkdir(parents=True, exist_ok=True)
    network.save(file)
    return network


def features(network, images):
    return network.predict(_scaled(images), batch_size=500, verbose=0)


def _scaled(images):
    return images.astype("float32") / 127.5 - 1


if __name__ == "__main__":
    main()
