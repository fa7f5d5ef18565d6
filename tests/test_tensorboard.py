import sys

import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import Recipe, prepare_images, sample_latents, train
from gan_helpers.training.tensorboard import WriteTensorBoard

TINY = Recipe(base_filters=4, latent_dim=10, batch_size=16, simultaneous=True)
NAMES = ("d_loss", "g_loss", "real_score", "fake_score")


@pytest.fixture
def drawn(tmp_path):
    return prepare_images("drawn", 32, count=32, cache=tmp_path / "cache")  # 2 steps an epoch


@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
def test_what_train_writes_is_read_back(drawn, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tf.config.run_functions_eagerly(True)  # a handful of steps takes less time than tracing one
    try:
        trained = train(drawn, tmp_path / "run", recipe=TINY, epochs=2, tensorboard=True, report=lambda line: None)
    finally:
        tf.config.run_functions_eagerly(False)
    events = accumulators.EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    kinds = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in events.Tags()["tensors"]}
    assert kinds == {f"{name}/epoch": "scalars" for name in NAMES} | {"faces": "images"}
    history = trained.run.history()
    for name in NAMES:
        points = [(event.step, tf.make_ndarray(event.tensor_proto).item()) for event in events.Tensors(f"{name}/epoch")]
        assert [step for step, _ in points] == [2, 4]
        assert [value for _, value in points] == pytest.approx([row[name] for row in history], rel=1e-6)
    pictures = events.Tensors("faces")
    assert [event.step for event in pictures] == [2, 4]
    width, height, png = tf.make_ndarray(pictures[-1].tensor_proto)
    decoded = tf.io.decode_png(png).numpy()
    assert decoded.shape == (int(height), int(width), 3) and decoded.std() > 1


def test_points_every_few_steps(small_gan, tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    gan = small_gan()
    writer = WriteTensorBoard(tmp_path, sample_latents(4, 10), every=3)
    writer.set_model(gan)
    gan.g_updates.assign(100)  # gone on with
    writer.on_train_begin()
    for step in range(101, 109):
        gan.g_updates.assign(step)
        writer.on_train_batch_end(0, {"d_loss": np.float32(step / 7)})
    writer.on_train_end()
    events = accumulators.EventAccumulator(str(tmp_path))
    events.Reload()
    points = [(event.step, tf.make_ndarray(event.tensor_proto).item()) for event in events.Tensors("d_loss/step")]
    assert points == [(step, pytest.approx(step / 7)) for step in (103, 106)]


def test_without_the_package(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ValueError, match=r"expected the package tensorboard.*; pip install 'gan_helpers\["):
        train(drawn, tmp_path / "run", recipe=TINY, epochs=1, tensorboard=True, report=lambda line: None)
    assert not (tmp_path / "run/checkpoints").exists() or not list((tmp_path / "run/checkpoints").iterdir())
