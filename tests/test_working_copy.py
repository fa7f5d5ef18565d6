import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_helpers import GAN, Recipe, Run, discriminator_model, generator_model, prepare_images, train
from gan_helpers.training import working_copy
from gan_helpers.training.checkpoints import state
from gan_helpers.training.working_copy import fetch, flush_to

TINY = Recipe(base_filters=4, latent_dim=10, batch_size=16, simultaneous=True)
SETTINGS = {"image_size": 32}


@pytest.fixture(scope="module")
def gan():
    shared = {"image_size": 32, "base_filters": 4}
    gan = GAN(generator_model(10, **shared), discriminator_model(**shared))
    gan.compile()
    return gan


@pytest.fixture
def local(tmp_path, gan):
    """A run with a checkpoint, as the working copy."""
    gan.g_updates.assign(0)
    run = Run(tmp_path / "local")
    run.open(SETTINGS)
    _go_on(run, gan)
    yield run
    run.close()


@pytest.fixture
def drive(tmp_path):
    return tmp_path / "drive" / "run"


def _go_on(run, gan):
    """One step as far as the files are concerned."""
    gan.g_updates.assign_add(1)
    for weight in gan.running_average.weights:
        weight.assign(weight + 0.01)
    gan.averages_changed()
    row = {"epoch": gan.step, "step": gan.step, "d_loss": 1.0, "g_loss": 0.5, "real_score": 0.5, "fake_score": 0.5}
    run.add_history(row)
    run.add_timing({"epoch": gan.step, "step": gan.step, "seconds": 1.0, "images_per_second": 2.0})
    (run.samples / f"epoch_{gan.step}.png").write_bytes(b"picture %d" % gan.step)
    run.save(gan)


def _contents(folder):
    """What stands in the folder, but for the lock."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _age(folder, seconds=100):
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)


def test_there_and_back(local, drive, tmp_path, gan):
    flush_to(local.folder, drive)
    assert _contents(drive) == _contents(local.folder)
    assert not (drive / ".lock").exists()
    assert fetch(drive, tmp_path / "another")
    assert _contents(tmp_path / "another") == _contents(local.folder)
    assert Run(tmp_path / "another").restore(gan) == 1


def test_a_new_run_is_nowhere_yet(drive, tmp_path):
    assert not fetch(drive, tmp_path / "local")
    assert not (tmp_path / "local").exists() and not drive.exists()


def test_only_what_changed_is_copied(local, drive, gan):
    _age(local.folder)
    flush_to(local.folder, drive)
    before = {name: (drive / name).stat() for name in _contents(drive)}
    for name, status in before.items():
        assert int(status.st_mtime) == int((local.folder / name).stat().st_mtime)
    (local.folder / "samples/epoch_1.png").write_bytes(b"another picture")
    flush_to(local.folder, drive)
    changed = {name for name in before if (drive / name).stat().st_ino != before[name].st_ino}
    assert changed == {"samples/epoch_1.png"}
    assert (drive / "samples/epoch_1.png").read_bytes() == b"another picture"


@pytest.mark.parametrize("later", [0, 300])
def test_what_is_written_again_within_its_second_is_copied(local, drive, monkeypatch, later):
    flush_to(local.folder, drive)
    picture = local.folder / "samples/epoch_1.png"
    times = picture.stat()
    picture.write_bytes(b"PICTURE 1")  # as long as it was
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    now = time.time()
    monkeypatch.setattr(working_copy.time, "time", lambda: now + later)
    flush_to(local.folder, drive)
    assert (drive / "samples/epoch_1.png").read_bytes() == b"PICTURE 1"


def test_old_checkpoints_leave_after_new_ones_came(local, drive, gan, monkeypatch):
    flush_to(local.folder, drive)
    for _ in range(3):
        _go_on(local, gan)
    (drive / "checkpoints/best.npz").write_bytes(b"kept")
    unlink = Path.unlink
    present = []

    def watched(path, missing_ok=False):
        if path.name.startswith("step_") and path.suffix == ".npz":
            present.append((path.name, {name for name in os.listdir(path.parent) if name.endswith(".npz")}))
        return unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    flush_to(local.folder, drive)
    news = {"step_00000003.npz", "step_00000004.npz", "best.npz"}
    assert present == [("step_00000001.npz", news | {"step_00000001.npz"})]
    assert set(os.listdir(drive / "checkpoints")) == news


def test_half_written_files_stay_behind(local, drive):
    whole = set(_contents(local.folder))
    for name in ("generator.writing.keras", "history.csv.writing", "checkpoints/step_00000009.npz.writing"):
        (local.folder / name).write_bytes(b"half")
    flush_to(local.folder, drive)
    assert (local.folder / ".lock").exists()
    assert {path.relative_to(drive).as_posix() for path in drive.rglob("*") if path.is_file()} == whole


def test_another_run_is_refused(local, drive, tmp_path):
    flush_to(local.folder, drive)
    other = Run(tmp_path / "other")
    other.open({"image_size": 64})
    with pytest.raises(ValueError, match="expected the working copy '.*other' to be one of the run '.*drive/run'; rec"):
        fetch(drive, other.folder)


@pytest.mark.parametrize("name", ["thesis.txt", "checkpoints/step_00000005.npz", "history.csv"])
def test_a_folder_of_other_things_is_left_alone(drive, tmp_path, name):
    (drive / name).parent.mkdir(parents=True)
    (drive / name).write_text("mine")
    with pytest.raises(ValueError, match="received a folder with other files and no settings.json"):
        fetch(drive, tmp_path / "local")
    assert _contents(drive) == {name: b"mine"}


def test_the_further_one_counts(local, drive, gan, tmp_path):
    flush_to(local.folder, drive)
    behind = tmp_path / "behind"
    shutil.copytree(drive, behind)
    assert not fetch(drive, local.folder)  # as far
    _go_on(local, gan)
    assert not fetch(drive, local.folder) and (local.folder / "checkpoints/step_00000002.npz").exists()
    flush_to(local.folder, drive)
    assert fetch(drive, behind) and Run(behind).restore(gan) == 2


def test_a_copy_killed_at_any_file(local, drive, gan, tmp_path, monkeypatch):
    _age(local.folder)
    flush_to(local.folder, drive)
    before = tmp_path / "before"
    shutil.copytree(drive, before)
    for _ in range(2):  # both checkpoints are others now
        _go_on(local, gan)
    names = [name for name, content in _contents(local.folder).items() if _contents(drive).get(name) != content]
    assert len(names) == 7  # two checkpoints, two tables, two samples, the generator
    copy, steps = working_copy._copy, []
    for allowed in range(len(names) + 1):
        shutil.rmtree(drive)
        shutil.copytree(before, drive)
        left = [allowed]

        def killed(source, target, left=left):
            if not left[0]:
                target.with_name(target.name + ".writing").write_bytes(source.read_bytes()[:10])
                raise KeyboardInterrupt
            left[0] -= 1
            copy(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(working_copy, "_copy", killed)
            if allowed < len(names):
                with pytest.raises(KeyboardInterrupt):
                    flush_to(local.folder, drive)
            else:
                flush_to(local.folder, drive)
        found = tmp_path / f"found_{allowed}"
        shutil.copytree(drive, found)
        run = Run(found)
        run.open(SETTINGS)
        steps.append(run.restore(gan))
        assert [row["step"] for row in run.history()] == list(range(1, steps[-1] + 1))
        run.close()
        flush_to(local.folder, drive)  # the next one mends it
        whole = {name: content for name, content in _contents(drive).items() if not name.endswith(".writing")}
        assert whole == _contents(local.folder)
    assert steps == [1, 2, *[3] * 6]


# The whole of it


@pytest.fixture
def drawn(tmp_path):
    return prepare_images("drawn", 32, count=48, cache=tmp_path / "cache")  # 3 steps an epoch


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)  # a handful of steps takes less time than tracing one
    yield
    tf.config.run_functions_eagerly(False)


class End(keras.callbacks.Callback):
    """Ends training at a step: in good order, or as a disconnect would."""

    def __init__(self, step, error=None):
        super().__init__()
        self.at, self.error = step, error

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step >= self.at:
            if self.error:
                raise self.error
            self.model.stop_training = True


@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
def test_disconnected_and_gone_on_equals_never_stopped(drawn, tmp_path, eagerly):
    tf.config.experimental.enable_op_determinism()
    lines = []

    def go_on(output, callback=None, **arguments):
        given = [callback] if callback else []
        return train(drawn, output, recipe=TINY, epochs=2, callbacks=given, report=lines.append, **arguments)

    whole = go_on(tmp_path / "whole")
    drive, local = tmp_path / "drive", tmp_path / "local"
    both = {"working_copy": local, "checkpoint_seconds": 0, "flush_seconds": 0}
    go_on(drive, End(1), **both)
    assert _contents(drive) == _contents(local)
    shutil.rmtree(local)
    with pytest.raises(ConnectionError):
        go_on(drive, End(4, ConnectionError("gone")), **both)
    shutil.rmtree(local)
    lines.clear()
    parts = go_on(drive, **both)
    assert lines[0] == f"copied {drive} to {local}" and f"run: {drive} (goes on at step 2, epoch 0)" in lines[1]
    expected = state(whole.gan)
    for name, variable in state(parts.gan).items():
        assert np.array_equal(variable.numpy(), expected[name].numpy()), name
    on_drive, at_once = _contents(drive), _contents(tmp_path / "whole")
    checkpoints = {name for name in on_drive if name.startswith("checkpoints/")}
    assert checkpoints == {"checkpoints/step_00000005.npz", "checkpoints/step_00000006.npz"}
    assert on_drive.keys() - checkpoints == {name for name in at_once if not name.startswith("checkpoints/")}
    for name in ("history.csv", "faces.png", *(name for name in at_once if name.startswith("samples/"))):
        assert on_drive[name] == at_once[name], name


def test_only_a_run_on_drive_gets_a_working_copy(tmp_path, monkeypatch):
    from gan_helpers.training import train as module

    monkeypatch.setattr(module, "COLAB_DRIVE", tmp_path / "mounted")
    monkeypatch.setattr(module, "COLAB_DISK", tmp_path / "disk")
    assert module._working_copy(tmp_path / "runs/first", None) is None
    assert module._working_copy(tmp_path / "mounted/MyDrive/first", None) == tmp_path / "disk/first"
    assert module._working_copy(tmp_path / "mounted/MyDrive/first", "here") == Path("here")
