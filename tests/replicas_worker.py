"""A process in which `test_replicas.py` trains on one device, on two of one process, or as one of two workers.

`python replicas_worker.py one|mirrored|multiworker FILE.npz`: first gradients, later weights, results and signals.
"""

import contextlib
import functools
import sys

import keras
import numpy as np
import tensorflow as tf

from gan_helpers import Recipe, draw_faces, face_batches
from gan_helpers.data.labels import Attribute, Labels
from gan_helpers.training.build import build_gan
from gan_helpers.training.distribute import open_devices
from gan_helpers.training.replicas import SharedLossScale

BATCH, SEED = 16, 3
BARE = {"g_normalisation": "none", "d_normalisation": "none"}
EVERYTHING = {"augmentation": ("colour", "translation", "cutout"), "augmentation_target": 0.6, "simultaneous": True}
# Steps, precision, recipe. After a step in 16 bits, or with second derivatives through a normalised batch, rounding
# grows by itself.
CASES = {
    "alternating": (20, "float32", BARE | {"mismatch_weight": 0.5, "gradient_penalty_weight": 1.0, "penalty_every": 2}),
    "augmented": (20, "float32", BARE | EVERYTHING | {"d_normalisation": "spectral", "loss": "hinge"}),
    "synchronised": (20, "float32", {"simultaneous": True}),
    "synchronised penalty": (1, "float32", {"simultaneous": True, "r1_weight": 1.0}),
    "float16": (20, "mixed_float16", BARE | {"simultaneous": True}),
    "bfloat16": (1, "mixed_bfloat16", BARE | {"d_normalisation": "spectral", "r1_weight": 1.0}),
}
ON_ONE_MACHINE = ("synchronised penalty", "float16", "bfloat16")


def labels():
    values = np.random.default_rng(3).choice([-1.0, 0.5, 1.0, np.nan], (96, 2)).astype(np.float32)
    return Labels((Attribute("hat"), Attribute("smile")), values)


def built(name, given):
    _, precision, recipe = CASES[name]
    recipe = Recipe(base_filters=4, latent_dim=10, batch_size=BATCH, **recipe)
    gan = build_gan(recipe, 32, SEED, precision, None, given, name.startswith("synchronised"))
    gan.keep_signals()
    for side in ("g_optimizer", "d_optimizer"):
        # So small a momentum changes nothing; after a step its slot is minus the rate times the gradient.
        # Beyond 0.003 normalised batches make so much of rounding that one device differs from itself, too.
        optimizer = keras.optimizers.SGD(0.003 if name.startswith("synchronised") else 0.02, momentum=1e-30)
        if precision == "mixed_float16":
            optimizer = SharedLossScale(optimizer, initial_scale=2.0**10)
        setattr(gan, side, optimizer)
        optimizer.build((gan.generator if side[0] == "g" else gan.discriminator).trainable_variables)
    return gan


def weights(gan, when):
    networks = {name: getattr(gan, name).get_weights() for name in ("generator", "discriminator", "running_average")}
    return {f"{when}/{name}/{number:03d}": one for name, all_ in networks.items() for number, one in enumerate(all_)}


def trained(name, devices, faces):
    given = labels() if name == "alternating" else None
    with devices.scope():
        gan = built(name, given)
    if name == "synchronised penalty":  # which two replicas take at every step, since their discriminator has a state
        gan.penalty_every = devices.replicas
    policies = [layer.dtype_policy.name for layer in gan.discriminator.layers]
    stream = devices.stream(functools.partial(face_batches, faces, BATCH, seed=SEED, labels=given))
    fit = functools.partial(
        devices.fit(gan), initial_epoch=0, epochs=1, shuffle=False, callbacks=[keras.callbacks.Callback()], verbose=0
    )
    found = weights(gan, "before")
    fit(stream(start_step=0), steps_per_epoch=1)
    for side in ("g_optimizer", "d_optimizer"):
        optimizer = getattr(gan, side)
        for number, momentum in enumerate(getattr(optimizer, "inner_optimizer", optimizer).momentums):
            found[f"gradients/{side}/{number:03d}"] = momentum.numpy()
    if CASES[name][0] > 1:
        if name == "alternating":
            gan.steps_per_execution, gan.train_function = 19, None
        fit(stream(start_step=1), steps_per_epoch=19)
    found |= weights(gan, "after")
    found["signals"] = gan.signals.numpy()[: gan.step]
    found["means"] = np.array([float(mean.result()) for mean in gan.means])
    found["updates"] = np.array([float(one.numpy()) for one in (gan.d_updates, gan.g_updates, *gan.adaptive)])
    assert policies == [layer.dtype_policy.name for layer in gan.discriminator.layers]
    return found


def main(kind, file):
    if kind == "mirrored":
        [processor] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # half of these seconds
    devices = open_devices(None if kind == "one" else kind)
    assert devices.replicas == (1 if kind == "one" else 2)
    faces, found = draw_faces(96, 32, seed=5)[0], {}
    with contextlib.closing(devices):
        for name in CASES:
            if kind != "multiworker" or name not in ON_ONE_MACHINE:
                found |= {f"{name}/{what}": value for what, value in trained(name, devices, faces).items()}
        devices.finish()
    np.savez(file, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
