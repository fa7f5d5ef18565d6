"""Any file of a run's folder cut, zeroed or deleted: the run goes on right, or says exactly what is wrong."""

import shutil
import warnings

import numpy as np
import pytest

from gan_helpers import Recipe, Run, generate_images, load_generator, prepare_images, train
from gan_helpers.training.build import build_gan
from gan_helpers.training.checkpoints import state

RECIPE = Recipe(base_filters=4, latent_dim=10, batch_size=16, simultaneous=True)
FILES = (
    "settings.json", "history.csv", "timing.csv", "generator.keras", "faces.png", ".lock",
    "checkpoints/step_00000006.npz", "checkpoints/step_00000008.npz",
    "samples/epoch_0.png", "samples/epoch_1.png", "samples/epoch_2.png", "health.csv", "health.png",
)  # fmt: skip
DAMAGES = {
    "deleted": None,
    "emptied": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    **{f"cut at {n} tenths": lambda content, n=n: content[: len(content) * n // 10] for n in range(1, 10)},
    **{f"hole at {n} tenths": lambda content, n=n: _hole(content, len(content) * n // 10) for n in range(10)},
}


def _hole(content, start):
    """Zeros for a hundredth of the content, at least 16 bytes."""
    end = min(len(content), start + max(16, len(content) // 100))
    return content[:start] + bytes(end - start) + content[end:]


def _train(folder, **arguments):
    return train(
        _train.prepared, folder, epochs=2, recipe=RECIPE, precision="float32", deterministic=True,
        report=lambda line: None, **arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run of 8 steps with checkpoints of steps 6 and 8, and what is in them."""
    import keras

    folder = tmp_path_factory.mktemp("good")
    _train.prepared = prepare_images("drawn", 32, count=72, cache=folder / "cache")

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training |= self.model.step == 6

    states = {}
    for callbacks in ([Stop()], []):
        trained = _train(folder / "run", callbacks=callbacks)
        states[trained.gan.step] = {name: variable.numpy() for name, variable in state(trained.gan).items()}
    assert set(states) == {6, 8}
    files = {path.relative_to(folder / "run").as_posix() for path in (folder / "run").rglob("*") if path.is_file()}
    assert files == set(FILES)
    return folder / "run", states, generate_images(trained.gan.averaged_generator, 4)


@pytest.fixture(scope="module")
def gan(good):
    return build_gan(RECIPE, 32, 0, "float32", None)


def _same_files(before, folder):
    return before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore:checkpoint '.*step_0000000.*' is damaged and passed over")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damaged_file(name, damage, good, gan, tmp_path):
    source, states, faces = good
    folder = tmp_path / "run"
    shutil.copytree(source, folder)
    _damage(folder / name, DAMAGES[damage])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    if name == "generator.keras":
        try:
            assert np.array_equal(generate_images(load_generator(folder), 4), faces)
        except ValueError as error:
            assert "generator.keras" in str(error) or "'run'" in str(error) or str(folder) in str(error)
    else:
        assert np.array_equal(generate_images(load_generator(folder), 4), faces)
    assert _same_files(before, folder)

    # These by `train` itself, the rest by its first steps.
    wholly = name == "health.csv" or damage in ("deleted", "emptied", "cut at 5 tenths")
    if name == "settings.json":
        with pytest.raises(ValueError, match="settings.json"):
            _train(folder)
        before.pop(folder / ".lock"), (folder / ".lock").unlink(missing_ok=True)
        assert _same_files(before, folder)
    elif wholly:
        trained = _train(folder)
        _assert_same(trained.gan, states[8])
        assert trained.run.history() == Run(source).history()
        assert np.array_equal(generate_images(load_generator(folder), 4), faces)
    else:
        run = Run(folder)
        run.open(Run(source).settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step = run.restore(gan)
        run.close()
        assert step == (6 if name == FILES[7] and caught else 8)
        assert all(name in str(warning.message) for warning in caught)
        _assert_same(gan, states[step])
        if step == 8:
            assert run.history() == Run(source).history()


def _damage(file, change):
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))


def _assert_same(gan, expected):
    for name, variable in state(gan).items():
        assert np.array_equal(variable.numpy(), expected[name]), name


def test_all_checkpoints_gone_is_said_and_nothing_changed(good, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(good[0], folder)
    shutil.rmtree(folder / "checkpoints")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="expected a readable checkpoint in '.*checkpoints'; received 0"):
        _train(folder)
    assert _same_files(before, folder)


def test_two_trainings_of_one_run(good, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(good[0], folder)
    first = Run(folder)
    first.open(first.settings)
    with pytest.raises(ValueError, match="another process holds open; wait for it"):
        _train(folder)
    first.close()
    _train(folder)
