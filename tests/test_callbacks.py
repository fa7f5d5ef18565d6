import io
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import Recipe, Run, face_batches, prepare_images, train
from gan_helpers.training.callbacks import SaveRun, StopWhenBroken, StopWhenTold

TINY = Recipe(base_filters=4, latent_dim=10, batch_size=16, simultaneous=True)


@pytest.fixture
def drawn(tmp_path):
    return prepare_images("drawn", 32, count=32, cache=tmp_path / "cache")  # 2 steps an epoch


@pytest.fixture(autouse=True)
def _eagerly():
    tf.config.run_functions_eagerly(True)  # a handful of steps takes less time than tracing one
    yield
    tf.config.run_functions_eagerly(False)


pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config", "ignore:`shuffle=True`")


def _train(drawn, output, *callbacks, **arguments):
    return train(drawn, output, recipe=TINY, callbacks=callbacks, report=lambda line: None, **arguments)


class After(keras.callbacks.Callback):
    """Does something to the GAN after a step, and after its checkpoint if there is one."""

    def __init__(self, step, do):
        super().__init__()
        self.step, self.do = step, do

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.step == self.step:
            self.do(self.model)


def _assert_finite(folder):
    files = list((folder / "checkpoints").glob("*.npz"))
    for file in files:
        with np.load(file) as stored:
            assert all(np.isfinite(stored[name]).all() for name in stored.files if stored[name].dtype.kind == "f")
    generator = keras.models.load_model(folder / "generator.keras")
    assert all(np.isfinite(weight).all() for weight in generator.get_weights())
    return {file.name for file in files}


# Broken


@pytest.mark.parametrize("network", ["g", "d"])
def test_a_broken_learning_rate_stops_at_its_step(drawn, tmp_path, network):
    def break_rate(gan):
        getattr(gan, f"{network}_optimizer").learning_rate = float("nan")

    with pytest.raises(ValueError, match="expected finite losses and weights; received NaN or .* at step 4 in") as e:
        _train(drawn, tmp_path / "run", After(3, break_rate), epochs=5, checkpoint_seconds=0, keep=9)
    named = "generator/" if network == "g" else "discriminator/"
    assert named in str(e.value) and "more; the last good checkpoint is kept" in str(e.value)
    assert "try a lower learning rate, precision float32, or another seed" in str(e.value)
    assert _assert_finite(tmp_path / "run") == {f"step_0000000{step}.npz" for step in (0, 1, 2, 3)}


@pytest.mark.parametrize("watched", [True, False])
def test_broken_pictures(small_gan, faces, tmp_path, watched):
    def poison(number, batch):
        return tf.where(tf.equal(number, 2), batch * np.nan, batch)

    batches = face_batches(faces, 16).enumerate().map(poison)
    gan, run = small_gan(), Run(tmp_path / "run", keep=9)
    run.open({})
    callbacks = [*([StopWhenBroken()] if watched else []), SaveRun(run, 10, 16, seconds=0)]
    if watched:
        with pytest.raises(ValueError, match=r"at step 3 in .*d_loss.* and \d+ more; .*must lie in \[-1, 1\]"):
            gan.fit(batches, steps_per_epoch=10, callbacks=callbacks, verbose=0)
        assert gan.step == 3
        assert run.restore(gan) == 2 and int(gan.broken_at) == -1
    else:  # SaveRun by itself never saves it either
        gan.fit(batches, steps_per_epoch=4, callbacks=callbacks, verbose=0)
        assert gan.step == 4
    run.close()
    assert _assert_finite(run.folder) == {f"step_0000000{step}.npz" for step in (0, 1, 2)}


# The best


class Measure(keras.callbacks.Callback):
    """Adds a measure to each epoch's logs, as a user's callback may."""

    def __init__(self, values, name="measure"):
        super().__init__()
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ((3.0, 1.0, 2.0), 2),
        ((float("nan"), 2.0, 0.5), 3),  # an epoch in which it was not measured
    ],
)
def test_the_best_is_kept_across_a_resume(drawn, tmp_path, values, best):
    folder = tmp_path / "run"
    kept = {}

    class Remember(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch + 1] = self.model.averaged_generator.get_weights()

    for epochs in (2, 3):
        trained = _train(drawn, folder, Measure(values), Remember(), epochs=epochs, best_by="measure")
    assert [row["measure"] for row in trained.run.history()] == pytest.approx(list(values), nan_ok=True)
    generator = keras.models.load_model(folder / "best.keras")
    for weight, expected in zip(generator.get_weights(), kept[best], strict=True):
        np.testing.assert_array_equal(weight, expected)
    with np.load(folder / "checkpoints/best.npz") as stored:
        assert int(stored["updates/001"]) == 2 * best
        np.testing.assert_array_equal(stored["averaged_generator/000"], kept[best][0])


def test_unknown_best_by(drawn, tmp_path):
    with pytest.raises(ValueError, match="expected best_by as one of epoch, step, .*g_loss.*; received 'fid'"):
        _train(drawn, tmp_path / "run", epochs=1, best_by="fid")


# What is left when something fails


class Failing(keras.callbacks.Callback):
    def __init__(self, where):
        super().__init__()
        setattr(self, where, self._fail)

    def _fail(self, *arguments, **named):
        raise OSError("no space left on device")


@pytest.mark.parametrize("where", ["on_train_begin", "on_train_batch_end", "on_epoch_end", "on_train_end"])
def test_terminal_and_signals_after_an_exception(drawn, tmp_path, where):
    def mine(number, frame):
        pass

    written, numbers = io.StringIO(), (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, mine) for number in numbers]
    try:
        with pytest.raises(OSError, match="no space left on device"):
            _train(drawn, tmp_path / "run", Failing(where), epochs=1, progress=written)
        assert [signal.getsignal(number) for number in numbers] == [mine, mine]
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert "training:" in written.getvalue() and written.getvalue().endswith("\n")  # a bar that is closed ends its line
    run = Run(tmp_path / "run")
    run.open(run.settings)  # and the lock is free
    run.close()


def test_ctrl_c_ends_between_two_steps(drawn, tmp_path):
    previous = signal.getsignal(signal.SIGINT)
    trained = _train(drawn, tmp_path / "run", After(2, lambda gan: signal.raise_signal(signal.SIGINT)), epochs=9)
    assert trained.interrupted and trained.gan.step == 3
    assert (tmp_path / "run/checkpoints/step_00000003.npz").exists()
    assert signal.getsignal(signal.SIGINT) is previous


def test_the_second_ctrl_c_interrupts_at_once(small_gan):
    stop = StopWhenTold()
    stop.set_model(small_gan())
    stop.on_train_begin()
    try:
        signal.raise_signal(signal.SIGINT)
        assert stop.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        stop.close()
