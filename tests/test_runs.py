import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import Run, load_generator
from gan_helpers.training.checkpoints import state as _state


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    run.open({"image_size": 32, "crop": (1, 2, 3, 4)}, {"versions": {}})
    return run


def _row(epoch, step):
    return {"epoch": epoch, "step": step, "d_loss": 1.5, "g_loss": 0.1 + 0.2, "real_score": 0.5, "fake_score": 1e-9}


@pytest.mark.parametrize("loss", ["non_saturating", "probability"])  # the second has dropout's seed as state
def test_going_on_is_bit_identical(run, small_gan, real_batch, loss):
    tf.config.experimental.enable_op_determinism()
    unbroken, stopped, resumed = small_gan(loss), small_gan(loss), small_gan(loss)
    for number in range(6):
        unbroken.train_step(tf.constant(real_batch))
        if number < 3:
            stopped.train_step(tf.constant(real_batch))
    run.save(stopped)
    assert run.restore(resumed) == 3
    for _ in range(3):
        resumed.train_step(tf.constant(real_batch))
    expected = _state(unbroken)
    for name, variable in _state(resumed).items():
        assert np.array_equal(variable.numpy(), expected[name].numpy()), name


def test_same_settings_open_again(run):
    run.open({"image_size": 32, "crop": [1, 2, 3, 4]}, {"versions": "others"})
    assert run.settings == {"image_size": 32, "crop": [1, 2, 3, 4]}


def test_other_settings_are_each_named(run):
    with pytest.raises(ValueError, match=r"crop: \[1, 2, 3, 4\] there, None now; image_size: 32 there, 64 now; seed"):
        run.open({"image_size": 64, "crop": None, "seed": 1})


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="received a folder with other files and no settings.json"):
        Run(tmp_path).open({})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_damaged_settings_are_named(run):
    (run.folder / "settings.json").write_text('{"settings": {"image')
    with pytest.raises(ValueError, match="expected settings as JSON in '.*settings.json'; received a damaged file"):
        run.open({"image_size": 32})


@pytest.mark.parametrize("damage", ["cut", "zeroed", "emptied", "other"])
def test_damaged_checkpoint_is_named_and_passed_over(run, small_gan, real_batch, damage):
    gan = small_gan()
    for _ in range(2):
        gan.train_step(tf.constant(real_batch))
        run.save(gan)
    newest = run.folder / "checkpoints/step_00000002.npz"
    content = newest.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        newest.write_bytes(content[:middle])
    elif damage == "zeroed":
        newest.write_bytes(content[:middle] + bytes(4096) + content[middle + 4096 :])
    elif damage == "emptied":
        newest.write_bytes(b"")
    else:
        np.savez(newest, something=np.zeros(3))
    with pytest.warns(UserWarning, match="step_00000002.npz' is damaged and passed over"):
        assert run.restore(small_gan()) == 1


def test_never_starts_afresh_silently(run, small_gan, real_batch):
    gan = small_gan()
    gan.train_step(tf.constant(real_batch))
    run.save(gan)
    run.add_history(_row(1, 1))
    (run.folder / "checkpoints/step_00000001.npz").unlink()
    with pytest.raises(ValueError, match="expected a readable checkpoint in .*received 0 that cannot be read"):
        run.restore(small_gan())


def test_new_run_starts_at_zero(run, small_gan):
    assert run.restore(small_gan()) == 0


def test_keeps_the_newest_two(run, small_gan, real_batch):
    gan = small_gan()
    for _ in range(4):
        gan.train_step(tf.constant(real_batch))
        run.save(gan)
    assert sorted(os.listdir(run.folder / "checkpoints")) == ["step_00000003.npz", "step_00000004.npz"]


def test_history_survives_to_the_last_digit_and_is_cut_on_resume(run, small_gan, real_batch):
    gan = small_gan()
    gan.train_step(tf.constant(real_batch))
    run.add_history(_row(1, 1))
    run.save(gan)
    for epoch in (2, 3):
        run.add_history(_row(epoch, epoch))
    assert run.history()[1] == _row(2, 2)
    run.restore(small_gan())
    assert run.history() == [_row(1, 1)]
    (run.folder / "history.csv").unlink()
    run.restore(small_gan())
    assert run.history() == [_row(1, 1)]


def test_generator_loads_in_plain_keras(run, small_gan, real_batch):
    gan = small_gan()
    gan.train_step(tf.constant(real_batch))
    run.save(gan)
    latents = keras.random.normal((2, 10), seed=1)
    for loaded in (load_generator(run.folder), keras.models.load_model(run.generator_file)):
        assert np.array_equal(loaded(latents), gan.averaged_generator(latents))


def test_load_generator_refuses(run, tmp_path, small_gan):
    with pytest.raises(ValueError, match="received nothing; check the path, or train first"):
        load_generator(tmp_path / "missing.keras")
    with pytest.raises(ValueError, match="received a folder without generator.keras"):
        load_generator(run.folder)
    (tmp_path / "broken.keras").write_bytes(b"no model")
    with pytest.raises(ValueError, match="expected a whole Keras model"):
        load_generator(tmp_path / "broken.keras")
    small_gan().discriminator.save(tmp_path / "discriminator.keras")
    with pytest.raises(ValueError, match="expected a generator from"):
        load_generator(tmp_path / "discriminator.keras")
