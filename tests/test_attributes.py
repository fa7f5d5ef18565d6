"""The judge of faces to order learns, and its measures count right."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from benchmarks import attributes
from gan_helpers import Recipe, draw_faces, train
from gan_helpers.data.labels import Attribute, Labels, drawn_labels

ROWS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
LABELS = Labels((Attribute("red"), Attribute("green", "scalar", 2.0, 4.0)), ROWS)


def _channels(images):
    """Scores of a judge that needs no learning: how red and how green the pictures are."""
    return (np.asarray(images)[..., :2].mean(axis=(1, 2)) + 1) / 2


JUDGE = SimpleNamespace(predict_on_batch=_channels)


def _generator(weights):
    """Plain pictures whose channels are sums of the attributes with these weights; latents do nothing."""
    latents, given = layers.Input((3,)), layers.Input((2,))
    colour = layers.Dense(3, use_bias=False, trainable=False)
    flat = layers.Add()([colour(given), layers.Dense(3, use_bias=False, kernel_initializer="zeros")(latents)])
    model = keras.Model([latents, given], layers.UpSampling2D(32)(layers.Reshape((1, 1, 3))(flat)))
    colour.set_weights([np.array(weights, np.float32)])
    model.labels = LABELS
    return model


def test_measures_of_a_generator_that_obeys():
    generator = _generator([[1, 0, 0], [0, 1, 0]])
    assert attributes.accuracy(JUDGE, generator, LABELS, 16) == [1.0, 1.0]
    found = attributes.combinations(JUDGE, generator, 4)
    assert found["present"] == {"red": 1.0, "green": 1.0} and found["all"] == 1.0 and len(found["worst"]) == 4
    assert {tuple(one["asked"].values()) for one in found["worst"]} == {(0, 2), (0, 4), (1, 2), (1, 4)}
    moved = attributes.switching(JUDGE, generator, 8)
    assert moved == {"red": {"red": 100.0, "green": 0.0}, "green": {"red": 0.0, "green": 100.0}}


def test_measures_of_one_that_does_not():
    deaf = _generator([[0, 0, 0], [0, 1, 0]])
    deaf.set_weights([weight + 0.1 if weight.shape == (2, 3) else weight for weight in deaf.get_weights()])
    red, green = attributes.accuracy(JUDGE, deaf, LABELS, 400)
    assert 0.4 < red < 0.75 and green == 1.0
    entangled = _generator([[1, 0.5, 0], [0, 0.5, 0]])
    moved = attributes.switching(JUDGE, entangled, 8)
    assert moved["red"] == {"red": 100.0, "green": pytest.approx(50, abs=0.5)} and moved["green"]["red"] == 0.0
    found = attributes.combinations(JUDGE, entangled, 4)
    assert found["present"]["red"] == 1.0 and found["worst"][0]["share"] < 1


def test_what_makes_on_and_off_weigh_the_same():
    labels = Labels((Attribute("rare"),), np.array([[1], [-1], [-1], [-1]], np.float32))
    loss, half = attributes.balanced_loss(labels), np.full((1, 1), 0.5, np.float32)
    on, off = (float(loss(np.array([[value]], np.float32), half)) for value in (1, -1))
    assert on == pytest.approx(2 * np.log(2), rel=1e-4) and on == pytest.approx(3 * off, rel=1e-4)
    assert float(loss(np.array([[np.nan]], np.float32), half)) == 0


def test_judge_learns_and_numbers_near_the_middle_do_not_count():
    names = ("background_light", "eyeglasses")
    sets = [(draw_faces(n, 32, seed=seed)[0], drawn_labels(n, names, seed=seed)) for n, seed in ((512, 1), (200, 2))]
    judge = attributes.trained_judge(*sets[0], epochs=4, batch_size=16)
    light, _ = attributes.on_real(judge, *sets[1])
    assert light > 0.8
    table = Labels(LABELS.attributes, np.array([[1, 0.1], [-1, -0.1], [1, 1], [-1, -1]], np.float32))
    images = np.zeros((4, 32, 32, 3), np.uint8)
    images[[0, 2], ..., 0], images[[1, 2], ..., 1] = 255, 255  # the green of the first two is on the wrong side
    assert attributes.ends_of(table) == pytest.approx(np.array([[-1, -0.865], [1, 0.865]]))
    assert attributes.on_real(JUDGE, images, table) == [1.0, 1.0]


def test_command_measures_a_run_beside_one_without_attributes(tmp_path, capsys):
    settings = {"image_size": 32, "count": 64, "recipe": Recipe(base_filters=4, batch_size=16), "epochs": 1}
    settings |= {"health": False, "report": lambda line: None, "cache": tmp_path / "cache"}
    train("drawn", tmp_path / "run", attributes=("eyeglasses", "smile"), **settings)
    train("drawn", tmp_path / "plain", **settings)
    words = [tmp_path / "run", "--plain", tmp_path / "plain", "--parts", "64,192", "--epochs", 1]
    attributes.main([*map(str, words), "--count", "8", "--each", "2"])
    result = json.loads(capsys.readouterr().out)
    names = ["eyeglasses", "smile"]
    assert result["names"] == names and all(list(result[kind]) == names for kind in ("real", "ordered", "plain"))
    assert all(0 <= result[kind][name] <= 1 for kind in ("share", "real", "ordered", "plain") for name in names)
    assert set(result["moved"]["smile"]) == set(names) and len(result["combinations"]["worst"]) == 4
    shown = attributes.table(result).splitlines()
    assert shown[2].startswith("eyeglasses") and len(shown) == 2 + 2 + 3 + 2
