import shutil

import numpy as np
import pytest
from PIL import Image

from gan_helpers import explore_run, train
from gan_helpers.visualization import timeline


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of three epochs at 32 pixels."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train("drawn", folder, image_size=32, count=32, recipe="quick,base_filters=4,batch_size=16", epochs=3)
    return folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def _sample(run, epoch):
    with Image.open(run / f"samples/epoch_{epoch}.png") as picture:
        return np.asarray(picture).repeat(2, axis=0).repeat(2, axis=1)


def _columns(panel):
    """Where the mark stands, in the curves' part of the picture."""
    curves = panel.picture[:, -timeline._WIDTH :]
    return np.flatnonzero((curves == timeline._GREY).all(axis=-1).sum(axis=0) > 0.5 * 400)


def test_the_slider_goes_over_the_samples_beside_the_curves(run):
    panel = explore_run(run)
    slider, marks = panel.controls[0], []
    assert slider.options == (0, 1, 2, 3) and slider.value == 3
    for epoch in slider.options:
        slider.value = epoch
        sample = _sample(run, epoch)
        assert (panel.picture[: len(sample), : sample.shape[1]] == sample).all()
        marks.append(_columns(panel))
    assert all(len(columns) == 2 for columns in marks)  # one line through both charts
    distances = np.diff([columns[0] for columns in marks])
    assert distances.min() > 50 and np.ptp(distances) <= 1


def test_epochs_are_in_their_order_and_other_files_passed_over(run):
    (run / "samples/epoch_3.png").rename(run / "samples/epoch_12.png")
    (run / "samples/epoch_last.png").write_bytes(b"not one of them")
    assert explore_run(run).controls[0].options == (0, 1, 2, 12)


def test_a_run_without_a_finished_epoch_has_samples_alone(run):
    (run / "history.csv").unlink()
    panel = explore_run(run)
    assert (panel.picture == _sample(run, 3)).all()


def test_a_sample_that_goes_away_is_said(run):
    panel = explore_run(run)
    (run / "samples/epoch_1.png").unlink()
    panel.controls[0].value = 1
    assert "expected a whole picture in" in panel.message and "epoch_1.png" in panel.message


def test_no_samples(run):
    shutil.rmtree(run / "samples")
    with pytest.raises(ValueError, match="expected samples epoch_0.png.*received none; train with this run again"):
        explore_run(run)


def test_a_damaged_sample(run):
    (run / "samples/epoch_3.png").write_bytes((run / "samples/epoch_3.png").read_bytes()[:900])
    with pytest.raises(ValueError, match="expected a whole picture in .*epoch_3.png"):
        explore_run(run)


def test_no_run(tmp_path):
    with pytest.raises(ValueError, match="expected the folder of a run"):
        explore_run(tmp_path)
