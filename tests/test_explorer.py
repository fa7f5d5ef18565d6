import keras
import numpy as np
import pytest

from gan_helpers import (
    GAN,
    discriminator_model,
    explore_attributes,
    explore_latents,
    explore_morph,
    generate_images,
    generator_model,
    interpolate,
    sample_latents,
    train,
)
from gan_helpers.data.labels import Attribute, Labels, drawn_labels
from gan_helpers.visualization import explorer

NAMES = ("eyeglasses", "smile", "skin_tone")


def _lively(generator):
    """Weights that make pictures as different as a trained generator's."""
    for weight in generator.trainable_weights:
        if len(weight.shape) > 1:
            weight.assign(weight * 16)
    assert generate_images(generator, 16).std(axis=0).mean() > 20
    return generator


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(1)
    return _lively(generator_model(10, image_size=32, base_filters=4))


@pytest.fixture(scope="module")
def ordered():
    keras.utils.set_random_seed(2)
    generator = generator_model(12, image_size=32, base_filters=4, attributes=len(NAMES))
    generator.labels = drawn_labels(200, NAMES).excerpt()
    return _lively(generator)


def _control(panel, name):
    return next(control for control in panel.controls if control.description == name)


def _near(picture, faces, scale):
    enlarged = faces.repeat(scale, axis=-3).repeat(scale, axis=-2)
    return picture.shape == enlarged.shape and np.abs(picture.astype(int) - enlarged).max() <= 1


def _cut(sheet, place, columns, side, gap):
    top, left = place // columns * (side + gap), place % columns * (side + gap)
    return sheet[top : top + side, left : left + side]


def test_the_walk_begins_at_the_seeds_own_face(plain):
    panel = explore_latents(plain, seed=4)
    assert list(panel.values) == ["seed", "walk", "strength"]
    assert _near(panel.picture, generate_images(plain, 1, seed=4)[0], 8)


def test_an_ordered_face_is_the_one_that_generate_makes(ordered):
    wishes = {"eyeglasses": 1, "smile": -0.5, "skin_tone": 0.25}
    panel = explore_latents(ordered, seed=4, attributes=wishes)
    assert {name: panel.values[name] for name in NAMES} == pytest.approx(wishes)
    assert _near(panel.picture, generate_images(ordered, 1, seed=4, attributes=wishes)[0], 8)


@pytest.mark.parametrize("name", ["walk", "strength", *NAMES])
def test_each_slider_changes_the_face_and_keeps_to_its_range(ordered, name):
    panel = explore_latents(ordered)
    before, control = panel.picture, _control(panel, name)
    control.value = control.min if control.value >= (control.min + control.max) / 2 else control.max / 2
    assert (panel.picture != before).mean() > 0.1
    control.value = 1e6
    assert control.value == control.max


def test_what_a_slider_says_is_what_is_drawn(ordered):
    panel = explore_latents(ordered, seed=9)
    for attribute, name in zip(ordered.labels.attributes, NAMES, strict=True):
        steps = (panel.values[name] - attribute.low) / (attribute.high - attribute.low) * explorer.STEPS
        assert steps == pytest.approx(round(steps), abs=1e-6)
    units = {name: panel.values[name] for name in NAMES}
    assert _near(panel.picture, generate_images(ordered, 1, seed=9, attributes=units)[0], 8)


def test_the_walk_keeps_to_the_sphere_and_comes_back():
    start = sample_latents(1, 100, seed=3)[0]
    way = [explorer._on_the_circle(3, 100, degrees) for degrees in (0, 45, 90, 180, 360)]
    assert np.allclose(way[0], start) and np.allclose(way[-1], start, atol=1e-4)
    assert np.allclose(way[3], -start, atol=1e-4) and abs(way[2] @ start) < 1e-3
    assert np.allclose([np.linalg.norm(one) for one in way], np.linalg.norm(start), rtol=1e-5)


@pytest.mark.parametrize(("seed", "then"), [(4, 5), (explorer.LAST_SEED, 1)])
def test_another_face(plain, seed, then):
    panel = explore_latents(plain, seed=seed)
    another = panel.widget.children[1].children[1].children[0]
    assert another.description == "Another face"
    another.click()
    assert panel.values["seed"] == then and _near(panel.picture, generate_images(plain, 1, seed=then)[0], 8)
    panel.back()
    assert panel.values["seed"] == seed


def test_a_morph_goes_over_the_sphere_from_one_face_to_the_other(plain):
    panel = explore_morph(plain, 4, 9)
    ends = [sample_latents(1, 10, seed=seed)[0] for seed in (4, 9)]
    for position in (0, 30, 100):
        _control(panel, "position").value = position
        between = interpolate(*ends, 101)[position]
        faces = generate_images(plain, np.stack([ends[0], between, ends[1]]))
        for place, face in enumerate(faces):
            assert _near(_cut(panel.picture, place, 3, 224, 14), face, 7)


def test_a_morph_takes_attributes_along(ordered):
    panel = explore_morph(ordered, 4, 9, attributes={"smile": 1})
    _control(panel, "position").value = 25
    rows = [ordered.labels.sample(1, seed=seed, wishes={"smile": 1}) for seed in (4, 9)]
    latents = interpolate(*(sample_latents(1, 12, seed=seed)[0] for seed in (4, 9)), 101)[25]
    face = generate_images(ordered, latents[None], attributes=0.75 * rows[0] + 0.25 * rows[1])[0]
    assert rows[0][0, 1] == rows[1][0, 1] == 1 and _near(_cut(panel.picture, 1, 3, 224, 14), face, 7)


def test_one_attribute_against_another(ordered):
    panel = explore_attributes(ordered, "smile", "eyeglasses", seed=4, steps=3)
    others = ordered.labels.sample(1, seed=4)[0]
    grid = panel.picture[-3 * 136 + 8 :, -3 * 136 + 8 :]
    for place in range(9):
        row = others.copy()
        row[1], row[0] = (-1, 0, 1)[place % 3], (-1, 0, 1)[place // 3]
        face = generate_images(ordered, sample_latents(1, 12, seed=4), attributes=row[None])[0]
        assert _near(_cut(grid, place, 3, 128, 8), face, 4), place
    beside = panel.picture[:, : panel.picture.shape[1] - grid.shape[1]]
    assert (beside < 100).any()  # values and names are written there


def test_attributes_against_each_other_by_default(ordered):
    assert explore_attributes(ordered).values == {"across": "eyeglasses", "down": "smile", "seed": 0}
    assert explore_attributes(ordered, down="eyeglasses").values["across"] == "smile"


def test_the_same_attribute_twice_is_refused_in_the_panel_too(ordered):
    panel = explore_attributes(ordered)
    before = panel.picture
    _control(panel, "down").value = "eyeglasses"
    assert "received eyeglasses twice" in panel.message and panel.picture is before


def test_forty_attributes_and_names_like_the_panels_own():
    generator = generator_model(8, image_size=32, base_filters=4, attributes=40)
    attributes = tuple(Attribute(name) for name in ("seed", "walk", *(f"a_long_name_{n}" for n in range(38))))
    generator.labels = Labels(attributes, np.resize(np.float32([-1, 1]), (6, 40)))
    panel = explore_latents(generator)
    assert len(panel.controls) == 43
    before = panel.controls[0].value
    panel.controls[3].value = 0.5  # the attribute "seed"
    assert panel.controls[0].value == before == 0


def test_generators_of_any_latent_size_and_a_run_or_file(tmp_path):
    given = {"image_size": 32, "count": 32, "epochs": 1, "recipe": "quick,latent_dim=7,base_filters=4"}
    trained = train("drawn", tmp_path / "run", attributes=["smile", "hat"], **given)
    faces = [explore_latents(model).picture for model in (trained.run.folder, trained.run.generator_file)]
    assert (faces[0] == faces[1]).all()
    assert list(explore_latents(str(trained.run.folder)).values)[3:] == ["smile", "hat"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, o: explore_latents(g, attributes={"Smiling": 1}), "no attributes for a generator that was trained"),
        (lambda g, o: explore_latents(o, attributes={"smil": 1}), "received 'smil'; did you mean smile"),
        (lambda g, o: explore_latents(o, attributes={"smile": 7}), "smile from -1 to 1; received 7"),
        (lambda g, o: explore_morph(o, attributes={"smile": 7}), "smile from -1 to 1; received 7"),
        (lambda g, o: explore_latents(g, strength=3), "a strength from 0 to 2; received 3"),
        (lambda g, o: explore_latents(g, seed=-1), "a seed that is a whole number from 0 to 2147483647; received -1"),
        (lambda g, o: explore_morph(g, 0, 1.5), "a second that is a whole number"),
        (
            lambda g, o: explore_attributes(g),
            "at least two attributes; received one with 0; train one with --attributes",
        ),
        (lambda g, o: explore_attributes(o, "smile", "hat"), "an attribute of the generator; received 'hat'"),
        (lambda g, o: explore_attributes(o, "smile", "smile"), "two different attributes; received smile twice"),
        (lambda g, o: explore_attributes(o, steps=1), "2 to 9 steps; received 1"),
        (lambda g, o: explore_latents("no/such/run"), "a run's folder or a .keras file at 'no/such/run'"),
        (lambda g, o: explore_latents(discriminator_model(image_size=32)), "a model from .*32, 32, 3.* to .*1"),
        (lambda g, o: explore_latents(GAN(g, discriminator_model(image_size=32))), "a GAN; give .* averaged_generator"),
        (lambda g, o: explore_latents(generator_model(8, image_size=32, attributes=3)), "does not know its data's"),
    ],
)
def test_bad_arguments(plain, ordered, call, message):
    with pytest.raises(ValueError, match=message):
        call(plain, ordered)
