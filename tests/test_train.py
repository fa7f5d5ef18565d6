import dataclasses
import io

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import Recipe, Run, prepare_images, train
from gan_helpers.data.batches import face_batches
from gan_helpers.training.bench import seconds_a_step, start_and_step
from gan_helpers.training.build import build_gan, steps_in
from gan_helpers.training.callbacks import DrawSamples
from gan_helpers.training.checkpoints import state as _state
from gan_helpers.training.train import _nearest_divisor

TINY = Recipe(base_filters=4, latent_dim=10, batch_size=16)


@pytest.fixture
def drawn(tmp_path):
    return prepare_images("drawn", 32, count=72, cache=tmp_path / "cache")  # 4 steps an epoch, 8 pictures left over


def _train(data, output, recipe=TINY, report=lambda line: None, **arguments):
    tf.config.experimental.enable_op_determinism()
    return train(data, output, recipe=recipe, report=report, **arguments)


class Stop(keras.callbacks.Callback):
    """Ends training after a step, as Ctrl-C would."""

    def __init__(self, step):
        super().__init__()
        self.at = step

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training |= self.model.step >= self.at


def test_a_run_holds_everything(drawn, tmp_path):
    trained = _train(drawn, tmp_path / "run", epochs=2)
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert names == {
        "settings.json", "history.csv", "timing.csv", "generator.keras", "faces.png", ".lock",
        "health.csv", "health.png",
        "checkpoints/step_00000000.npz", "checkpoints/step_00000008.npz",
        "samples/epoch_0.png", "samples/epoch_1.png", "samples/epoch_2.png",
    }  # fmt: skip
    assert [(row["epoch"], row["step"]) for row in trained.run.history()] == [(1, 4), (2, 8)]
    assert trained.gan.step == 8 and not trained.interrupted
    assert trained.run.settings["image_count"] == 72 and trained.run.settings["data"] == drawn.fingerprint


@pytest.mark.parametrize("stops", [(4,), (2,), (5, 7), (1, 2, 3)])
def test_stopped_and_gone_on_equals_never_stopped(drawn, tmp_path, stops):
    whole = _train(drawn, tmp_path / "whole", epochs=3)
    for step in stops:
        _train(drawn, tmp_path / "parts", epochs=3, callbacks=[Stop(step)])
    parts = _train(drawn, tmp_path / "parts", epochs=3)
    expected = _state(whole.gan)
    for name, variable in _state(parts.gan).items():
        assert np.array_equal(variable.numpy(), expected[name].numpy()), name
    for file in ("history.csv", "faces.png", "samples/epoch_3.png"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file


def test_stopped_between_an_epochs_last_step_and_its_row(drawn, tmp_path, monkeypatch):
    whole = _train(drawn, tmp_path / "whole", epochs=3)
    with monkeypatch.context() as patch:

        def fail_at_second(run, row):
            if row["epoch"] == 2:
                raise RuntimeError("killed")
            add_history(run, row)

        add_history = Run.add_history
        patch.setattr(Run, "add_history", fail_at_second)
        with pytest.raises(RuntimeError, match="killed"):
            _train(drawn, tmp_path / "parts", epochs=3, checkpoint_seconds=0)
    parts = _train(drawn, tmp_path / "parts", epochs=3)
    assert parts.run.history() == whole.run.history()
    assert [row["epoch"] for row in parts.run.history()] == [1, 2, 3]


def test_more_epochs_go_on(drawn, tmp_path):
    assert _train(drawn, tmp_path / "run", epochs=1).gan.step == 4
    assert _train(drawn, tmp_path / "run", epochs=2).gan.step == 8
    assert _train(drawn, tmp_path / "run", epochs=2).gan.step == 8


def test_minutes_stop(drawn, tmp_path):
    trained = _train(drawn, tmp_path / "run", minutes=0.02)
    assert 0 < trained.gan.step < 10_000
    assert (tmp_path / f"run/checkpoints/step_{trained.gan.step:08d}.npz").exists()


FALLING = dataclasses.replace(TINY, final_learning_rate=0.1)


def _rate(trained):
    return float(trained.gan.g_optimizer.learning_rate)


def test_learning_rates_fall_over_the_planned_epochs_and_stay(drawn, tmp_path):
    trained = _train(drawn, tmp_path / "run", FALLING, epochs=2, callbacks=[Stop(4)])
    assert trained.run.settings["planned_steps"] == 8 and _rate(trained) == pytest.approx(2e-4 * 1.1 / 2)
    assert _rate(_train(drawn, tmp_path / "run", FALLING, epochs=2)) == pytest.approx(2e-5)
    said = []
    further = _train(drawn, tmp_path / "run", FALLING, said.append, epochs=3)
    assert further.gan.step == 12 and _rate(further) == pytest.approx(2e-5)
    assert "the learning rates fell until step 8, as planned, and stay low from there" in said


def test_minutes_are_planned_once_by_the_speed_measured(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr("gan_helpers.training.build.start_and_step", lambda gan, batches, seconds, clock: (0.2, 0.1))
    said = []
    trained = _train(drawn, tmp_path / "run", FALLING, said.append, minutes=0.02)
    assert trained.run.settings["planned_steps"] == 10  # 1.2 s, 0.2 of them to start
    assert "planned: 10 steps in 0.02 minutes; kept in settings.json" in said
    monkeypatch.undo()
    said.clear()
    again = _train(drawn, tmp_path / "run", FALLING, said.append, minutes=0.01)
    assert again.run.settings["planned_steps"] == 10 and not any("planned:" in line for line in said)


def test_each_size_starts_within_the_planned_minutes(monkeypatch):
    recipe, pictures = Recipe("growing", base_filters=1, batch_size=8, growth=0.8), np.zeros((8, 64, 64, 3), np.uint8)
    times = {32: (10, 0.1), 64: (20, 0.35)}  # 0.8 * 0.1 + 0.2 * 0.35 = 0.15 s a step
    measured = "gan_helpers.training.build.start_and_step"
    monkeypatch.setattr(measured, lambda gan, *others: times[gan.generator.output_shape[1]])
    assert steps_in(2, recipe, pictures, "float32") == (120 - 30) / 0.15
    assert steps_in(0.5, recipe, pictures, "float32") == 15 / 0.15, "at least half of the minutes are for steps"


def test_the_speed_is_that_of_steps(drawn):
    gan = build_gan(TINY, 32)
    assert 1e-4 < seconds_a_step(gan, face_batches(drawn.images, 16), 0.05) < 5
    assert gan.step >= 4
    ticks = iter([100, 107, 108, 110, 112, 114])  # a start of 8 s, then 2 s a step
    assert start_and_step(gan, face_batches(drawn.images, 16), 6, lambda: next(ticks)) == (8, 2)


def test_progress_ends_where_training_did(drawn, tmp_path):
    written = io.StringIO()
    _train(drawn, tmp_path / "run", epochs=3, callbacks=[Stop(5)], progress=written)
    last = written.getvalue().replace("\r", "\n").split("\n")[-2]
    assert "5/12 steps" in last and "images/s=" in last and "d_loss=" in last and "<" in last


def test_sample_names_of_the_script_origin(drawn, tmp_path):
    _train(drawn, tmp_path / "run", epochs=2, sample_path=tmp_path / "generate_face/epochs{epoch}batch_{batch}.jpg")
    names = sorted(path.name for path in (tmp_path / "generate_face").iterdir())
    assert names == ["epochs0batch_1.jpg", "epochs1batch_1.jpg", "epochs1batch_4.jpg"]


def test_sample_every(drawn, tmp_path):
    _train(drawn, tmp_path / "run", epochs=4, sample_every=2)
    assert sorted(path.name for path in (tmp_path / "run/samples").iterdir()) == [
        "epoch_0.png", "epoch_2.png", "epoch_4.png",
    ]  # fmt: skip


def test_callbacks_work_in_plain_fit(small_gan, faces, tmp_path):
    from gan_helpers import face_batches, sample_latents

    gan = small_gan()
    drawing = DrawSamples(sample_latents(4, 10), 3, directory=tmp_path)
    gan.fit(face_batches(faces, 16), steps_per_epoch=3, epochs=2, callbacks=[drawing], verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_0.png", "epoch_1.png", "epoch_2.png"]


def test_other_settings_on_the_same_run(drawn, tmp_path):
    _train(drawn, tmp_path / "run", epochs=1)
    with pytest.raises(ValueError, match="seed: 0 there, 1 now"):
        _train(drawn, tmp_path / "run", epochs=1, seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "magic"}, "expected a recipe of quick, .*; received 'magic'"),
        ({"recipe": "script_32", "image_size": 64}, "expected image_size 32 for script_32"),
        ({"epochs": 0}, "expected epochs above 0; received 0"),
        ({"minutes": -1}, "expected minutes above 0"),
        ({"sample_path": "samples/{number}.png"}, "a sample path whose file name holds {epoch}"),
        ({"sample_path": "samples/same.png"}, "received 'samples/same.png'"),
        ({"count": 10}, "expected at least one batch of 32 pictures; received 10"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train("drawn", tmp_path / "run", **({"count": 64, "image_size": 32} | arguments))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("steps", "wanted", "taken"), [(187, 10, 11), (93, 10, 3), (100, 10, 10), (7, 1, 1), (13, 10, 13)]
)
def test_steps_at_once_divide_an_epoch(steps, wanted, taken):
    assert _nearest_divisor(steps, wanted) == taken
