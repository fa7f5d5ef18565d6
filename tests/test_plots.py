import os

import numpy as np
import pytest
from PIL import Image

from gan_helpers import generate_and_save_images, generate_images, image_grid, interpolate, sample_latents
from gan_helpers.visualization import plots


@pytest.fixture(scope="module")
def generator():
    from gan_helpers import generator_model

    return generator_model(10, image_size=32, base_filters=4)


def test_latents_begin_alike_whatever_their_count():
    assert np.array_equal(sample_latents(64, 100)[:8], sample_latents(8, 100))
    assert sample_latents(8).dtype == np.float32 and sample_latents(8).shape == (8, 100)
    assert not np.array_equal(sample_latents(8), sample_latents(8, seed=1))


def test_called_as_the_notebook_origin_does(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for epoch in (0, 100):
        generate_and_save_images(generator, epoch, sample_latents(16, 10))
    assert sorted(os.listdir("images")) == ["epoch_0.png", "epoch_100.png"]
    with Image.open("images/epoch_100.png") as picture:
        assert picture.size == (4 * 34 - 2, 4 * 34 - 2)


def test_script_origin_names_and_replacing(generator, tmp_path):
    given = {"directory": tmp_path, "name": "epochs{epoch}batch_{batch}.jpg", "batch": 1}
    first = generate_and_save_images(generator, 0, sample_latents(4, 10), **given)
    generate_and_save_images(generator, 0, sample_latents(9, 10), **given)
    assert first.name == "epochs0batch_1.jpg" and len(os.listdir(tmp_path)) == 1
    with Image.open(first) as picture:
        assert picture.format == "JPEG" and picture.size == (100, 100)


def test_generated_images_do_not_depend_on_batches(generator):
    whole = generate_images(generator, 10, seed=3)
    assert whole.shape == (10, 32, 32, 3) and whole.dtype == np.uint8
    apart = generate_images(generator, sample_latents(10, 10, seed=3), batch_size=3)
    assert np.abs(whole.astype(int) - apart.astype(int)).max() <= 1


@pytest.mark.parametrize(("value", "expected"), [(-1.0, 0), (1.0, 255), (0.0, 128), (-5.0, 0), (5.0, 255)])
def test_to_uint8(value, expected):
    assert plots.to_uint8(np.array([value]))[0] == expected


def test_every_grey_value_survives_the_way_there_and_back():
    values = np.arange(256, dtype=np.uint8)
    assert (plots.to_uint8(values / np.float32(127.5) - 1) == values).all()


def test_grid_places_each_picture(faces):
    grid = image_grid(faces[:7], columns=3, gap=1)
    assert grid.shape == (3 * 33 - 1, 3 * 33 - 1, 3)
    assert (grid[33:65, 33:65] == faces[4]).all() and (grid[66:, 33:] == 255).all()
    twice = image_grid(faces[:7], columns=3, gap=1, scale=2)
    assert twice.shape == (196, 196, 3) and (twice[1::2, ::2] == grid).all()


def test_spherical_interpolation_keeps_the_radius():
    first, second = sample_latents(2)
    way = interpolate(first, second, 9)
    assert np.allclose(way[0], first, atol=1e-5) and np.allclose(way[-1], second, atol=1e-5)
    radii = np.linalg.norm(way, axis=1)
    assert radii.min() > 0.97 * min(np.linalg.norm(first), np.linalg.norm(second))
    assert np.linalg.norm(interpolate(first, second, 9, method="straight")[4]) < 0.85 * radii[4]
    cosines = (way[1:] * way[:-1]).sum(1) / (radii[1:] * radii[:-1])
    assert np.ptp(np.arccos(cosines)) < 0.05


def test_interpolation_between_equal_latents():
    first = sample_latents(1)[0]
    assert np.allclose(interpolate(first, first, 4), first, atol=1e-6)


def test_nearest_neighbours_find_the_picture_itself(faces):
    shifted = np.clip(faces[[5, 17]].astype(int) + 3, 0, 255).astype(np.uint8)
    indices, distances = plots.nearest_neighbours(shifted, faces, 2)
    assert indices[:, 0].tolist() == [5, 17]
    by_hand = np.sqrt(((shifted[0] / 1.0 - faces[indices[0, 1]]) ** 2).mean())
    assert distances[0, 1] == pytest.approx(by_hand, rel=1e-3) and (distances[:, 0] <= 3.01).all()


def test_history_curves():
    rows = [{"epoch": n, "d_loss": 1, "g_loss": 2, "real_score": 0.6, "fake_score": 0.4} for n in (1, 2, 3)]
    figure = plots.plot_history(rows)
    assert [line.get_label() for line in figure.axes[0].lines] == ["d_loss", "g_loss"]
    keras_history = {name: [row[name] for row in rows] for name in rows[0] if name != "epoch"}
    again = plots.plot_history(keras_history)
    assert again.axes[0].lines[1].get_ydata().tolist() == [2, 2, 2]


def test_animation(faces, tmp_path):
    path = plots.save_animation(faces[:5], tmp_path / "faces.gif")
    with Image.open(path) as picture:
        assert picture.n_frames == 5 and picture.info["loop"] == 0


def test_show_images(faces):
    figure = plots.show_images(faces[:4], title="four", scale=2)
    assert figure.axes[0].get_title() == "four"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: generate_images(g, sample_latents(4, 9)), r"latents of shape \(count, 10\).*received \(4, 9\)"),
        (lambda g: generate_and_save_images(g, 0, sample_latents(1, 10), name="b{batch}.png"), "pass batch=1"),
        (
            lambda g: generate_and_save_images(g, 0, sample_latents(1, 10), name="{step}.png"),
            "epoch} and {batch} alone",
        ),
        (lambda g: image_grid(np.zeros((8, 8, 3), np.uint8)), "add a batch axis"),
        (lambda g: interpolate(np.zeros(3), np.zeros(4)), "two latents of one shape"),
        (lambda g: interpolate(np.ones(3), np.zeros(3), method="curved"), "'spherical' or 'straight'"),
        (lambda g: plots.plot_history([]), "at least one finished epoch"),
        (lambda g: plots.save_animation([], "x.gif"), "expected frames"),
        (
            lambda g: plots.nearest_neighbours(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((9, 4, 4, 3), np.uint8)),
            "prepare both at one image_size",
        ),
    ],
)
def test_bad_arguments(generator, call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call(generator)
    assert os.listdir(tmp_path) == []
