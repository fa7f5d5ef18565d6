"""Faces to order: the same networks, training, runs and command line, with attributes."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_helpers import (
    GAN,
    Recipe,
    build_gan,
    discriminator_model,
    draw_faces,
    face_batches,
    generate_images,
    generator_model,
    load_generator,
    prepare_images,
    read_recipe,
    sample_latents,
    train,
)
from gan_helpers.__main__ import main
from gan_helpers.data.label_tables import read_labels
from gan_helpers.data.labels import Attribute, Labels, drawn_labels
from gan_helpers.models.conditional import network_inputs
from gan_helpers.training.checkpoints import state
from gan_helpers.training.fused import PRECISIONS, for_training, stock_copy
from gan_helpers.visualization.plots import attributes_for

SMALL = {"image_size": 32, "base_filters": 4}
NAN = float("nan")
TINY = Recipe(base_filters=4, latent_dim=10, batch_size=16)


def test_networks_are_called_with_attributes_where_there_are_any():
    latents, rows = np.zeros((2, 10), np.float32), np.ones((2, 2), np.float32)
    assert network_inputs(latents) is latents
    given = network_inputs(latents, rows)
    assert given[0] is latents and given[1] is rows and len(given) == 2
    assert generator_model(10, **SMALL)(network_inputs(latents)).shape == (2, 32, 32, 3)
    assert generator_model(10, **SMALL, attributes=2)(given).shape == (2, 32, 32, 3)


def _labels(values):
    values = np.array(values, np.float32)
    return Labels(tuple(Attribute(f"attribute {n}") for n in range(values.shape[1])), values)


LABELS = _labels([[1, -1], [-1, 1], [1, -1], [1, NAN]] * 4)


def _gan(network=None, compiled=None, precision=None, labels=LABELS, **arguments):
    keras.utils.set_random_seed(7)
    networks = [
        generator_model(10, **SMALL, attributes=2),
        discriminator_model(**SMALL, attributes=2, **(network or {})),
    ]
    if precision:
        networks = [for_training(network, precision) for network in networks]
    gan = GAN(*networks, seed=3, labels=labels, **arguments)
    gan.compile(**{"jit_compile": False} | (compiled or {}))
    return gan


@pytest.fixture
def batch(real_batch):
    """16 images and their attributes, of which some are unknown."""
    return tf.constant(real_batch), tf.constant(LABELS.values)


# Networks


@pytest.mark.parametrize("architecture", ["dcgan", "growing", "resnet", "light"])
def test_every_architecture_takes_attributes(architecture):
    keras.utils.set_random_seed(2)  # untrained networks hardly differ; by chance not even by 1e-4
    shared = SMALL | {"architecture": architecture, "attributes": 3}
    generator, discriminator = generator_model(10, **shared), discriminator_model(**shared, minibatch_std=True)
    latents = keras.random.normal((2, 10), seed=1)
    on, off = (generator([latents, tf.fill((2, 3), value)]) for value in (1.0, -1.0))
    assert on.shape == (2, 32, 32, 3) and float(tf.reduce_max(tf.abs(on - off))) > 1e-4
    logits = discriminator([on, tf.ones((2, 3))])
    assert logits.shape == (2, 1) and logits.dtype == "float32"


@pytest.mark.parametrize("architecture", ["dcgan", "growing", "resnet", "light"])
def test_without_attributes_networks_are_as_ever(architecture):
    networks = []
    for given in ({}, {"attributes": 0}):
        keras.utils.set_random_seed(1)
        shared = SMALL | {"architecture": architecture} | given
        networks.append((generator_model(10, **shared), discriminator_model(**shared)))
    for plain, zero in zip(*networks, strict=True):
        assert len(plain.inputs) == 1 and isinstance(plain.input_shape, tuple)
        assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), zero.get_weights(), strict=True))
        kinds = [type(layer).__name__ for layer in plain.layers]
        assert not {"Dot", "Add", "Concatenate"} & set(kinds) or architecture != "dcgan"


@pytest.mark.parametrize("normalisation", ["batch", "none", "spectral"])
def test_projection_by_hand(real_batch, normalisation):
    """The logit is `w h + b + <V y, h>`, and an unknown attribute adds nothing to it."""
    discriminator = discriminator_model(**SMALL, normalisation=normalisation, attributes=2)
    dense = {layer.kernel.shape[-1]: layer for layer in discriminator.layers if "Dense" in type(layer).__name__}
    (_, unit), (_, matrix) = sorted(dense.items())
    dot = next(layer for layer in discriminator.layers if type(layer).__name__ == "Dot")
    hidden = keras.Model(discriminator.inputs, dot.input[1])
    attributes = np.array([[1, 0], [0, 1], [-1, 1], [0, 0]] * 4, np.float32)
    h = hidden([real_batch, attributes]).numpy()
    w, v = (
        layer.divided_kernel(False).numpy() if normalisation == "spectral" else layer.kernel.numpy()
        for layer in (unit, matrix)
    )
    alone = h @ w + unit.bias.numpy()
    expected = alone + ((attributes @ v) * h).sum(1, keepdims=True)
    logits = discriminator([real_batch, attributes]).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits[3::4], alone[3::4], rtol=1e-4, atol=1e-5)
    assert np.abs(logits - alone).max() > 0.1 * np.abs(alone).max() and matrix.bias is None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_networks_built_for_speed_and_back(precision, real_batch):
    generator, discriminator = generator_model(10, **SMALL, attributes=2), discriminator_model(**SMALL, attributes=2)
    given = [sample_latents(16, 10), np.sign(sample_latents(16, 2, seed=1))], [real_batch, LABELS.filled().values]
    tolerance = 1e-4 if precision == "float32" else 0.05
    for network, inputs in zip((generator, discriminator), given, strict=True):
        expected, fast = network(inputs), for_training(network, precision)
        assert fast(inputs).dtype == "float32"
        np.testing.assert_allclose(fast(inputs), expected, atol=tolerance)
        np.testing.assert_allclose(stock_copy(fast)(inputs), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attributes": -1}, "expected attributes as a whole number of at least 0; received -1"),
        ({"attributes": 1.5}, "received 1.5"),
        ({"attributes": 2, "architecture": "script_32"}, "expected attributes 0 for script_32"),
    ],
)
def test_attributes_that_networks_cannot_take(given, message):
    for build in (generator_model, discriminator_model):
        with pytest.raises(ValueError, match=message):
            build(**SMALL | given)


# Batches


def test_batches_hold_pictures_with_their_own_labels(faces):
    labels = _labels(np.arange(96 * 2).reshape(96, 2) / 100)
    for start in (0, 9):  # also in a later epoch
        images, rows = next(iter(face_batches(faces, 16, seed=4, start_step=start, flip=False, labels=labels)))
        numbers = np.round(rows[:, 0].numpy() * 50).astype(int)
        np.testing.assert_array_equal(images, faces[numbers].astype(np.float32) / 127.5 - 1)
        plain = next(iter(face_batches(faces, 16, seed=4, start_step=start, flip=False)))
        np.testing.assert_array_equal(images, plain)


def test_what_has_a_left_and_a_right_turns_with_the_picture(faces):
    both = Attribute("turn", "scalar", -1, 1, mirrored=True), Attribute("smile", "scalar", -1, 1)
    values = np.linspace(0.1, 1, 96, dtype=np.float32)
    labels = Labels(both, np.stack([values, values], 1))
    images, rows = next(iter(face_batches(faces, 64, seed=2, labels=labels)))
    for image, (turn, smile) in zip(images, rows.numpy(), strict=True):
        picture = faces[np.argmin(np.abs(values - smile))].astype(np.float32) / 127.5 - 1
        assert (image.numpy() == (picture[:, ::-1] if turn < 0 else picture)).all() and abs(turn) == smile > 0
    assert 16 < (rows[:, 0] < 0).numpy().sum() < 48


def test_labels_of_other_pictures(faces):
    with pytest.raises(ValueError, match="expected a row of labels for each of 96 pictures; received 16"):
        face_batches(faces, 16, labels=LABELS)


# Training steps


def _written_out(plain, batch, mismatch_weight, wanted):
    """Both halves of an alternating step of a conditional GAN, with plain TensorFlow."""
    real_images, attributes = batch
    known = tf.where(tf.math.is_nan(attributes), 0.0, attributes)
    generator, discriminator = plain.generator, plain.discriminator
    g_optimizer, d_optimizer = (keras.optimizers.SGD(0.1) for _ in range(2))
    latents = [tf.random.stateless_normal((16, 10), [3, half]) for half in (0, 1)]
    fake_images = generator([latents[0], wanted[0]], training=True)
    with tf.GradientTape() as tape:
        real = discriminator([real_images, known], training=True)
        fake = discriminator([fake_images, wanted[0]], training=True)
        d_loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
        if mismatch_weight:
            wrong = discriminator([real_images, tf.roll(known, 1, 0)], training=True)
            a, b = attributes.numpy(), np.roll(attributes, 1, 0)
            differ = [
                any(x != y and x == x and y == y for x, y in zip(*rows, strict=True)) for rows in zip(a, b, strict=True)
            ]
            not_real = [
                mismatch_weight * tf.nn.softplus(wrong[n] if differ[n] else fake[n])
                + (1 - mismatch_weight) * tf.nn.softplus(fake[n])
                for n in range(16)
            ]
            d_loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(not_real)
            assert 4 <= sum(differ) < 16
    d_optimizer.apply(tape.gradient(d_loss, discriminator.trainable_variables), discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        fake = discriminator([generator([latents[1], wanted[1]], training=True), wanted[1]], training=True)
        g_loss = tf.reduce_mean(tf.nn.softplus(-fake))
    g_optimizer.apply(tape.gradient(g_loss, generator.trainable_variables), generator.trainable_variables)
    return float(d_loss), float(g_loss)


@pytest.mark.parametrize("mismatch_weight", [0.0, 0.5, 0.3])
def test_one_step_equals_one_written_out(batch, mismatch_weight):
    # Adam's first step is as long for a gradient that is nothing but rounding as for any other.
    optimizers = {name: keras.optimizers.SGD(0.1) for name in ("g_optimizer", "d_optimizer")}
    gan, plain = _gan(compiled=optimizers, mismatch_weight=mismatch_weight), _gan()
    wanted = [gan._drawn(half, gan.d_updates, 16)[1] for half in (0, 1)]
    gan.train_step(batch)
    d_loss, g_loss = _written_out(plain, batch, mismatch_weight, wanted)
    assert [float(mean.result()) for mean in gan.means[:2]] == pytest.approx([d_loss, g_loss], rel=1e-5)
    for mine, by_hand in ((gan.generator, plain.generator), (gan.discriminator, plain.discriminator)):
        for a, b in zip(mine.get_weights(), by_hand.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_attributes_are_drawn_from_the_datas_rows_by_seed_and_step():
    gan, other = _gan(), _gan()
    drawn = np.concatenate(
        [gan._drawn(half, tf.constant(step, tf.int64), 50)[1] for step in range(20) for half in (0, 1)]
    )
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    filled = LABELS.filled(3).values
    expected, frequency = np.unique(filled, axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, expected)  # none that the data has not
    np.testing.assert_allclose(counts / 2000, frequency / 16, atol=0.04)
    step = tf.constant(5, tf.int64)
    np.testing.assert_array_equal(gan._drawn(0, step, 16)[1], other._drawn(0, step, 16)[1])
    assert (gan._drawn(0, step, 16)[1].numpy() != gan._drawn(1, step, 16)[1].numpy()).any()
    assert (gan._drawn(0, step, 16)[1].numpy() != gan._drawn(0, step + 1, 16)[1].numpy()).any()


def test_what_is_unknown_teaches_nothing(batch):
    """With all unknown, real images leave the projection as it is; only what fakes say of it is learnt."""
    gan, seen = _gan(), []
    gan.d_loss = lambda real_logits, fake_logits: seen.append(real_logits) or tf.reduce_mean(real_logits)
    projection = gan.discriminator.get_layer("projection")
    for scale in (1.0, 3.0):
        before = gan.discriminator.get_weights()
        projection.kernel.assign(scale * projection.kernel)
        kernel = projection.kernel.numpy()
        gan.train_discriminator(batch[0], tf.fill((16, 2), NAN))
        np.testing.assert_array_equal(projection.kernel, kernel)
        gan.discriminator.set_weights(before)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)


INGREDIENTS = {
    "hinge and spectral": ({"normalisation": "spectral"}, {}, {"loss": "hinge"}),
    "wasserstein and gradient penalty": (
        {"normalisation": "none"}, {"gradient_penalty_weight": 10.0}, {"loss": "wasserstein"}),
    "relativistic, R1 and R2": (
        {"normalisation": "none"}, {"r1_weight": 1.0, "r2_weight": 1.0},
        {"loss": "relativistic", "simultaneous": True}),
    "lazy R1, adaptive augmentation": (
        {"minibatch_std": True},
        {"r1_weight": 1.0, "penalty_every": 4, "augmentation": ("colour", "cutout"), "augmentation_target": 0.6}, {}),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", INGREDIENTS)
def test_every_ingredient_trains_with_attributes(name, precision, batch):
    network, given, compiled = INGREDIENTS[name]
    gan = _gan(network, {"simultaneous": True} | compiled, precision, mismatch_weight=0.5, **given)
    gan.keep_signals()
    kernels = [w for network in (gan.discriminator, gan.generator) for w in network.trainable_variables if w.ndim > 1]
    before = [kernel.numpy() for kernel in kernels]
    for _ in range(3):
        results = gan.train_step(batch)
    assert gan.step == 3 and int(gan.broken_at) == -1
    assert np.isfinite([float(value) for value in results.values()]).all()
    assert all((old != kernel.numpy()).any() for old, kernel in zip(before, kernels, strict=True))


def test_penalties_are_taken_at_the_images_own_attributes(batch):
    """Of `w x + <V y, h>` with `h = x` flat, the slope is `w + V y`."""
    images, given = keras.Input((32, 32, 3)), keras.Input((2,))
    flat = keras.layers.Flatten()(images)
    embedded = keras.layers.Dense(3072, use_bias=False)(given)
    logits = keras.layers.Add()([keras.layers.Dense(1)(flat), keras.layers.Dot(1)([embedded, flat])])
    gan = GAN(
        generator_model(10, **SMALL, attributes=2), keras.Model([images, given], logits), labels=LABELS, r1_weight=2.0
    )
    known, (matrix, w, _) = np.nan_to_num(LABELS.values), sorted(gan.discriminator.get_weights(), key=lambda a: -a.size)
    slopes = known @ matrix + w[:, 0]
    penalty = float(gan._penalty(batch[0], batch[0], tf.constant(known), tf.zeros((16, 2))))
    assert penalty == pytest.approx((slopes**2).sum(1).mean(), rel=1e-4)


def test_the_generator_learns_what_an_attribute_means():
    """Bright pictures are 1, dark ones -1, by the second attribute; the first means nothing."""
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, 1.0], (64, 2))
    images = np.clip(values[:, 1, None, None, None] * 0.5 + rng.normal(0, 0.2, (64, 32, 32, 3)), -1, 1)
    gan = _gan({"normalisation": "none"}, labels=_labels(values))
    learn = tf.function(gan.train_step)
    batches = tf.data.Dataset.from_tensor_slices((images.astype("float32"), values.astype("float32")))
    for batch in batches.repeat().batch(16).take(100):
        learn(batch)

    def brightness(*row):
        rows = np.tile(np.float32(row), (32, 1))
        return generate_images(gan.generator, sample_latents(32, 10), attributes=rows).mean() / 127.5 - 1

    for first in (-1, 1):
        assert brightness(first, 1) - brightness(first, -1) > 0.3
    for second in (-1, 1):
        assert abs(brightness(1, second) - brightness(-1, second)) < 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": None}, "as many attributes; received a generator with 2, a discriminator with 2, labels with 0"),
        ({"labels": _labels([[1], [-1]])}, "labels with 1; give both networks attributes=len"),
        ({"mismatch_weight": 1.0}, r"expected mismatch_weight in \[0, 1\).*received 1.0 with 2 attributes"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        _gan(**given)


def test_an_unconditional_gan_has_nothing_to_mismatch(small_gan):
    with pytest.raises(ValueError, match="0 without attributes; received 0.5 with 0 attributes"):
        small_gan(mismatch_weight=0.5)


# Pictures


def test_pictures_to_order():
    gan = _gan()
    generator, latents = gan.averaged_generator, sample_latents(6, 10, seed=5)
    wished = attributes_for(generator, 6, {"attribute 0": 0}, seed=5)
    assert (wished[:, 0] == -1).all() and (wished[:, 1] == 1).all()  # as in the data, where only such have it off
    pictures = generate_images(generator, latents, attributes={"attribute 0": 0}, seed=5)
    np.testing.assert_array_equal(pictures, generate_images(generator, 6, attributes=wished, seed=5))
    np.testing.assert_array_equal(generate_images(generator, latents), generate_images(generator, latents))
    assert attributes_for(_plain(), 3) is None


def _plain():
    return generator_model(10, **SMALL)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"attribut": 1}, "received 'attribut'; did you mean attribute"),
        ({"attribute 0": 2}, "expected attribute 0 from 0 to 1"),
        (np.ones((3, 2)), r"attributes of shape \(4, 2\) in \[-1, 1\]; received \(3, 2\)"),
        (np.full((4, 2), 3.0), "received .* from 3 to 3"),
        (np.full((4, 2), NAN), "received .* from nan"),
    ],
)
def test_attributes_that_a_generator_has_not(attributes, message):
    with pytest.raises(ValueError, match=message):
        generate_images(_gan().averaged_generator, 4, attributes=attributes)


def test_generators_that_know_no_labels():
    with pytest.raises(ValueError, match="for a generator that was trained without; .*Smiling"):
        generate_images(_plain(), 4, attributes={"Smiling": 1})
    with pytest.raises(ValueError, match="the 2 attributes of each face, .* does not know its data's"):
        generate_images(generator_model(10, **SMALL, attributes=2), 4)


# Runs


@pytest.fixture
def drawn(tmp_path):
    return prepare_images("drawn", 32, count=72, cache=tmp_path / "cache")


def _train(data, output, epochs, **arguments):
    tf.config.experimental.enable_op_determinism()
    given = {"recipe": TINY, "report": lambda line: None, "attributes": ("eyeglasses", "smile")}
    return train(data, output, epochs=epochs, **given | arguments)


class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training |= self.model.step >= 3


def test_a_conditional_run_stopped_and_gone_on_equals_one_never_stopped(drawn, tmp_path):
    recipe = Recipe(**vars(TINY) | {"mismatch_weight": 0.5, "augmentation": ("colour",), "simultaneous": True})
    whole = _train(drawn, tmp_path / "whole", 2, recipe=recipe)
    assert _train(drawn, tmp_path / "parts", 2, recipe=recipe, callbacks=[Stop()]).gan.step == 3
    parts = _train(drawn, tmp_path / "parts", 2, recipe=recipe)
    expected = state(whole.gan)
    for name, variable in state(parts.gan).items():
        assert np.array_equal(variable.numpy(), expected[name].numpy()), name
    for file in ("history.csv", "faces.png", "samples/epoch_2.png"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file

    settings = json.loads((tmp_path / "whole/settings.json").read_text())["settings"]
    assert [(one["name"], one["kind"], one["low"], one["high"]) for one in settings["attributes"]] == [
        ("eyeglasses", "binary", 0, 1), ("smile", "scalar", -1, 1),
    ]  # fmt: skip
    looks = (tmp_path / "whole/health.csv").read_text().splitlines()
    assert len(looks) >= 2 and "nan" not in looks[1].split(",")[:4]

    generator = load_generator(tmp_path / "whole")
    assert generator.labels.fingerprint == whole.gan.labels.fingerprint
    faces = generate_images(whole.gan.averaged_generator, 5, attributes={"smile": 0.5})
    np.testing.assert_array_equal(generate_images(generator, 5, attributes={"smile": 0.5}), faces)
    plain = keras.models.load_model(tmp_path / "whole/generator.keras")  # stock layers, without this library
    given = [sample_latents(2, 10), np.ones((2, 2), np.float32)]
    np.testing.assert_array_equal(plain(given), generator(given))
    raw = load_generator(tmp_path / "whole", averaged=False)
    np.testing.assert_allclose(raw(given), whole.gan.generator(given), atol=1e-3)


def test_attributes_that_do_not_match_count_as_fake_unless_told_otherwise():
    labels = drawn_labels(20, ["hat", "smile"])
    for recipe, given, weight in ((TINY, labels, 0.5), (TINY, None, 0), ("quick,mismatch_weight=0.2", labels, 0.2)):
        recipe = read_recipe(recipe) if isinstance(recipe, str) else recipe
        assert build_gan(recipe, 32, labels=given).mismatch_weight == weight


def test_other_attributes_on_the_same_run(drawn, tmp_path):
    _train(drawn, tmp_path / "run", 1)
    with pytest.raises(ValueError, match="received others .*attributes: .*eyeglasses.* there, .*hat.* now"):
        _train(drawn, tmp_path / "run", 1, attributes=("hat", "smile"))
    with pytest.raises(ValueError, match="attributes: .* there, None now"):
        _train(drawn, tmp_path / "run", 1, attributes=())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attributes": ("glasses",)}, "received 'glasses'; did you mean eyeglasses"),
        ({"attributes": ("smile",), "labels": "labels.csv"}, "expected no table of labels for drawn faces"),
        ({"attributes": (), "labels": "labels.csv"}, "the names of attributes beside a table of labels"),
        ({"recipe": "script_32"}, "expected attributes 0 for script_32"),
        ({"recipe": "quick,mismatch_weight=2"}, r"expected mismatch_weight in \[0, 1\)"),
        ({"recipe": "quick,mismatch_weight=0.5", "attributes": ()}, "and 0 without attributes"),
    ],
)
def test_bad_arguments(arguments, message, drawn, tmp_path):
    with pytest.raises(ValueError, match=message):
        _train(drawn, tmp_path / "run", 1, **arguments)
    assert not (tmp_path / "run").exists()


# The command line, in this process, and pictures from elsewhere


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 40 pictures with a `labels.csv`, in which one row and one value are missing."""
    folder = tmp_path_factory.mktemp("labelled")
    images, table = draw_faces(40, 32, seed=3)
    rows = ["\ufefffile;Eyeglasses;Smile"]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
        smile = "?" if number == 7 else f"{50 + 50 * table['smile'][number]:.0f}"
        rows += [f"{number:02d}.png;{table['eyeglasses'][number]};{smile}"] * (number != 9)
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """What `train --attributes` made of it, and said."""
    output = tmp_path_factory.mktemp("runs") / "run"
    words = [
        "--image-size",
        "32",
        "--base-filters",
        "4",
        "--batch-size",
        "16",
        "--epochs",
        "1",
        "--precision",
        "float32",
    ]
    assert (
        main(["train", "--data", str(folder), "--attributes", "Eyeglasses,Smile", "--output", str(output), *words]) == 0
    )
    return output


def _failed(capsys, *words):
    assert main([*map(str, words)]) == 1
    return capsys.readouterr().err


def test_train_finds_the_labels_and_counts_what_is_unknown(folder, tmp_path, capsys):
    words = ["--image-size", "32", "--base-filters", "4", "--batch-size", "16", "--epochs", "1", "--slice", "5:35"]
    given = ["--attributes", "Smile", "--labels", folder / "labels.csv", "--output", tmp_path / "run"]
    assert main(["train", "--data", str(folder), *map(str, given), *words]) == 0
    said = capsys.readouterr()
    assert "1 of 30 faces have no labels" in said.err and "Smile is unknown of 1 of 29 faces" in said.err
    assert "--set Smile=1" in said.out


@pytest.mark.parametrize("place", [".", ".."])
def test_prepared_pictures_find_the_table_in_or_beside_their_folder(place, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "img")
    shutil.move(tmp_path / "img/labels.csv", tmp_path / "img" / place / "labels.csv")
    prepared = prepare_images(tmp_path / "img", 32, cache=tmp_path / "cache")
    given = {"attributes": ("Eyeglasses", "Smile"), "image_size": 32, "health": False}
    by_folder = _train(tmp_path / "img", tmp_path / "by_folder", 1, **given)
    trained = _train(prepared, tmp_path / "prepared", 1, **given)
    assert trained.gan.labels.fingerprint == by_folder.gan.labels.fingerprint
    assert trained.run.settings == by_folder.run.settings
    part = _train(prepared.part(5, 35), tmp_path / "part", 1, **given)
    np.testing.assert_array_equal(part.gan.labels.values[10:], trained.gan.labels.values[15:35])


def test_prepared_pictures_whose_folder_is_not_known_need_a_table(folder, tmp_path):
    prepared = dataclasses.replace(prepare_images(folder, 32, cache=tmp_path), origin=None)
    with pytest.raises(ValueError, match="expected a table of labels for the attributes Smile; received none"):
        _train(prepared, tmp_path / "run", 1, attributes=("Smile",))
    _train(prepared, tmp_path / "run", 1, attributes=("Smile",), labels=folder / "labels.csv")


def _trained_by_command(data, output):
    small = ["--image-size", "32", "--batch-size", "16", "--base-filters", "4", "--epochs", "1"]
    assert main(["train", "--data", data, "--output", str(output), "--attributes", "Smile", *small]) == 0


@pytest.mark.parametrize(
    "train_on",
    [lambda data, output: _train(data, output, 1, attributes=("Smile",), image_size=32), _trained_by_command],
    ids=["python", "command line"],
)
def test_training_by_attributes_fetches_once(train_on, folder, tmp_path, capsys):
    """Every fetching says the licence."""
    shutil.copytree(folder, tmp_path / "img_align_celeba")
    shutil.move(tmp_path / "img_align_celeba/labels.csv", tmp_path)
    for path in (tmp_path / "img_align_celeba").iterdir():
        Image.open(path).resize((178, 218)).save(path)
    train_on(f"celeba:{tmp_path}", tmp_path / "run")
    assert (tmp_path / "run/generator.keras").exists()
    assert capsys.readouterr().err.count("non-commercial research only") == 1


def test_generate_makes_faces_to_order(run, tmp_path, capsys):
    output = tmp_path / "faces"
    given = ["generate", "--model", run, "--count", 12, "--set", "Eyeglasses=1,Smile=75", "--output"]
    assert main([*map(str, given), str(output)]) == 0
    assert f"their attributes in {output}/labels.csv" in capsys.readouterr().out
    names = tuple(sorted(path.name for path in output.glob("*.png")))
    labels = read_labels(output / "labels.csv", names)  # what was made is data with labels again
    assert len(names) == 12 and labels.unlabelled == 0 and labels.names == ("Eyeglasses", "Smile")
    assert (output / "labels.csv").read_text().splitlines()[1] == "00000.png,1,75"
    assert main([*map(str, given), str(tmp_path / "faces.npy")]) == 0
    pictures = np.load(tmp_path / "faces.npy")
    np.testing.assert_array_equal(pictures[3], np.asarray(Image.open(output / names[3])))
    assert (tmp_path / "faces.labels.csv").read_text().splitlines()[12] == "11,1,75"
    assert "faces.labels.csv', which exists" in _failed(capsys, *given, tmp_path / "faces.png")


def test_generate_without_wishes_makes_faces_as_the_data_has_them(run, tmp_path):
    assert main(["generate", "--model", str(run / "generator.keras"), "--count", "60", "--output", str(tmp_path)]) == 0
    rows = (tmp_path / "labels.csv").read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"0", "1"} and len({row.split(",")[2] for row in rows}) > 10


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ("Eyeglasses=2", "expected Eyeglasses from 0 to 1 (0 off, 1 on); received 2"),
        ("Smile=200", "expected Smile from"),
        ("eyeglasses=1", "received 'eyeglasses'; did you mean Eyeglasses?"),
        ("Eyeglasses", "expected NAME=VALUE"),
    ],
)
def test_orders_that_cannot_be_met(run, wishes, message, tmp_path, capsys):
    assert message in _failed(capsys, "generate", "--model", run, "--set", wishes, "--output", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_orders_to_an_unconditional_generator(tmp_path, capsys):
    _plain().save(tmp_path / "plain.keras")
    said = _failed(
        capsys, "generate", "--model", tmp_path / "plain.keras", "--set", "Smile=1", "--output", tmp_path / "a.png"
    )
    assert "expected no attributes for a generator that was trained without" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--attributes", "Smil"], "labels.csv'; received 'Smil'; did you mean Smile?"),
        (["--attributes", "Smile", "--labels", "none.csv"], "expected a table of labels at 'none.csv'"),
        (["--labels", "none.csv"], "expected the names of attributes beside a table"),
    ],
)
def test_bad_options_of_train(folder, given, message, tmp_path, capsys):
    words = ["train", "--data", folder, "--image-size", 32, "--batch-size", 16, "--output", tmp_path / "run", *given]
    assert message in _failed(capsys, *words)
    assert not (tmp_path / "run").exists()


def test_attributes_without_any_table(photographs, tmp_path, capsys):
    words = ["train", "--data", photographs, "--image-size", 32, "--batch-size", 16, "--output", tmp_path / "run"]
    assert "expected a table of labels for the attributes Smile; received none" in _failed(
        capsys, *words, "--attributes", "Smile"
    )


def test_a_drawn_choice_is_no_attribute_to_train_by():
    with pytest.raises(ValueError, match="received 'hair_colour', a choice between black"):
        drawn_labels(4, ["hair_colour"])
