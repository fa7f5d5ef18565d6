import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.health import EXPECTED, cases, first_alarm
from gan_helpers.data.batches import face_batches
from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.training import health
from gan_helpers.training.conditions import CONDITIONS, THRESHOLDS, Diagnosis, diagnose
from gan_helpers.training.health import CALM, HealthMonitor
from gan_helpers.visualization.health import plot_health

STATE = {"batch_size": 32.0, "g_batch_norm": 1.0, "d_batch_norm": 1.0, "real_saturated": 0.0, "saturated": 0.01}
SIGNALS = {"d_loss": 0.5, "g_loss": 4.0, "real_score": 0.85, "fake_score": 0.15, "d_gradient_norm": 20.0}
SIGNALS |= {"g_gradient_norm": 30.0, "real_low": -1.0, "real_high": 1.0, "fake_low": -0.99, "fake_high": 0.99}
NETWORKS = {"g_weight_norm": 12.0, "d_weight_norm": 8.0, "diversity": 0.9, "sharpness": 1.2, "contrast": 1.0}
NETWORKS |= {"nyquist": 5.0, "grid": 0.02, "seen_score": 0.9, "unseen_score": 0.88, "sample_score": 0.1}
NETWORKS |= {"seen_logit": 2.0, "unseen_logit": 1.9, "sample_logit": -2.0, "unseen_errors": 0.5}
HEALTHY_LOOK = STATE | SIGNALS | NETWORKS


def _looks(count=20, **changed):
    """A healthy training's looks, the last ones changed: a number for the newest, a list for as many."""
    looks = [HEALTHY_LOOK | {"step": 50 * n, "images": 1600 * n, "epochs": 0.2 * n} for n in range(count)]
    for look in looks[:1]:
        look |= dict.fromkeys(SIGNALS, float("nan"))
    for name, values in changed.items():
        values = values if isinstance(values, list) else [values]
        for look, value in zip(looks[-len(values) :], values, strict=True):
            look[name] = value
    return looks


# Conditions


@pytest.mark.parametrize("count", [0, 1, 2, 20, 200])
def test_a_healthy_training(count):
    assert diagnose(_looks(count)) == Diagnosis()
    assert str(diagnose(_looks(count))) == "healthy"


@pytest.mark.parametrize(
    ("name", "changed", "looks"),
    [
        ("wrong data range", {"real_low": 0.0}, 1),
        ("wrong data range", {"real_low": 0.0, "real_high": 255.0}, 1),
        ("samples out of range", {"fake_high": 1.3}, 1),
        ("samples out of range", {"fake_low": -1.1}, 1),
        ("batch too small", {"batch_size": 2.0}, 1),
        ("learning rate too high", {"g_weight_norm": 60.0}, 1),
        ("learning rate too high", {"d_weight_norm": 20.0}, 1),
        ("NaN ahead", {"d_loss": float("nan")}, 1),
        ("NaN ahead", {"g_gradient_norm": float("inf")}, 1),
        ("NaN ahead", {"g_loss": -5000.0}, 1),
        ("labels swapped", {"real_score": [0.1] * 2, "fake_score": [0.9] * 2}, 2),
        ("vanishing signal", {"g_batch_norm": [0.0] * 20, "diversity": [0.1] * 20}, 20),
        ("overfitting discriminator", {"unseen_logit": [-1.0] * 8, "unseen_errors": [6.0] * 8}, None),
        ("discriminator wins", {"real_score": [0.999] * 4, "fake_score": [0.001] * 4}, 4),
        ("mode collapse", {"diversity": [0.1] * 4}, 4),
        ("generator wins", {"real_score": [0.5] * 8, "fake_score": [0.55] * 8, "contrast": [0.1] * 8}, 8),
        ("oscillation", {"fake_score": [0.1, 0.6] * 4, "real_score": [0.9, 0.6] * 4}, None),
        ("saturated tanh", {"saturated": [0.8] * 3}, 3),
    ],
)
def test_each_condition_is_named_as_soon_as_it_lasts(name, changed, looks):
    found = diagnose(_looks(**changed))
    assert found.condition == name
    if looks:
        assert found.looks == looks and found.since_step == 50 * (20 - looks)
        shorter = {key: values[1:] if isinstance(values, list) else [] for key, values in changed.items()}
        assert looks == 20 or diagnose(_looks(**{k: v for k, v in shorter.items() if v})).condition == "healthy"
    assert name in str(found) and "; try " in str(found)
    assert str(found).endswith(f"see notebook 06_when_training_fails, section '{found.section}'")


def test_a_grid_counts_when_samples_are_no_longer_young():
    grid = {"grid": 0.5, "nyquist": 800.0}
    assert diagnose([look | grid for look in _looks(50)]).condition == "healthy"
    assert diagnose([look | grid for look in _looks(100)]).condition == "checkerboard"


def test_the_cause_is_named_before_what_it_leads_to():
    found = diagnose(_looks(batch_size=[2.0] * 20, diversity=[0.05] * 6, fake_high=1.5))
    assert found.condition == "samples out of range"


@pytest.mark.parametrize(
    ("unseen_logit", "epochs", "named"),
    [
        (1.5, 0.2, False),  # an eighth of the way from 2 for seen pictures to -2 for samples
        (1.5, 500.0, False),
        (1.2, 30.0, False),  # a fifth
        (1.2, float("nan"), False),
        (1.2, 150.0, True),
        (0.6, 30.0, True),  # a third
        (0.6, float("nan"), True),
    ],
)
def test_a_small_gap_counts_after_many_passes(unseen_logit, epochs, named):
    looks = _looks(unseen_logit=[unseen_logit] * 8, unseen_errors=[2.0] * 8, epochs=[epochs] * 8)
    assert diagnose(looks).condition == ("overfitting discriminator" if named else "healthy")


def test_a_gap_within_chance_does_not_count():
    looks = _looks(unseen_logit=[-1.0] * 8, unseen_errors=[1.1] * 8, epochs=[500.0] * 8)
    assert diagnose(looks).condition == "healthy"


def test_a_condition_passes():
    looks = _looks(diversity=[0.1] * 5 + [0.6])
    assert diagnose(looks[:-1]).condition == "mode collapse" and diagnose(looks).condition == "healthy"


def test_scores_that_tremble_do_not_oscillate():
    scores = [0.2, 0.35] * 6
    assert diagnose(_looks(fake_score=scores)).condition == "healthy"


def test_what_was_not_given_is_not_judged():
    looks = _looks(batch_size=float("nan"))
    for look in looks:
        del look["unseen_logit"], look["unseen_errors"], look["unseen_score"]
    assert diagnose(looks).condition == "healthy"


def test_thresholds_can_be_others():
    strict = type(THRESHOLDS)(collapsed=0.95)
    assert diagnose(_looks(), strict).condition == "mode collapse"


def test_names_are_told_apart():
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names) == 14
    assert {condition.section for condition in CONDITIONS} >= {"Mode collapse", "NaN ahead", "Wrong data range"}


# The monitor


@pytest.fixture(scope="module")
def unseen():
    return draw_faces(24, 32, seed=77)[0]


def _fit(gan, faces, steps, *callbacks, batches=None):
    batches = face_batches(faces, 16, start_step=gan.step) if batches is None else batches
    gan.fit(batches, steps_per_epoch=steps, shuffle=False, callbacks=callbacks, verbose=0)
    return gan


def _monitor(faces, unseen, **arguments):
    lines = []
    arguments = {"every": 4, "batch_size": 16, "report": lines.append} | arguments
    return HealthMonitor(faces, unseen=unseen, **arguments), lines


def test_looks_are_taken_and_hold_the_steps_means(small_gan, faces, unseen):
    monitor, lines = _monitor(faces, unseen)
    gan = _fit(small_gan(), faces, 9, monitor)
    assert [look["step"] for look in monitor.looks] == [0, 4, 8] and lines == []
    look, signals = monitor.looks[-1], gan.signals.numpy()
    assert look["images"] == 128 and look["epochs"] == pytest.approx(128 / 96)
    assert look["d_loss"] == pytest.approx(signals[4:8, 0].mean(), rel=1e-5)
    assert look["d_loss_spread"] == pytest.approx(signals[4:8, 0].std(), rel=1e-3)
    assert look["real_low"] == signals[4:8, 6].min() and look["real_high"] == signals[4:8, 7].max()
    assert np.isnan(monitor.looks[0]["d_loss"]) and monitor.looks[0]["g_weight_norm"] > 0
    assert look["g_batch_norm"] == look["d_batch_norm"] == 1 and 0 <= look["unseen_score"] <= 1


def test_training_stays_the_same_bit_by_bit(small_gan, faces, unseen, tmp_path):
    tf.config.experimental.enable_op_determinism()
    plain = _fit(small_gan(), faces, 12)
    watched = _fit(small_gan(), faces, 12, _monitor(faces, unseen, folder=tmp_path)[0])
    for name in ("generator", "discriminator", "averaged_generator"):
        for one, other in zip(getattr(plain, name).weights, getattr(watched, name).weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize(
    ("change", "name"),
    [(lambda batch: (batch + 1) / 2, "wrong data range"), (lambda batch: batch[:2], "batch too small")],
)
def test_an_alarm_is_reported_once(small_gan, faces, unseen, tmp_path, change, name):
    size = 2 if name == "batch too small" else 16
    monitor, lines = _monitor(faces, unseen, batch_size=size, folder=tmp_path)
    _fit(small_gan(), faces, 12, monitor, batches=face_batches(faces, 16).map(change))
    assert monitor.diagnosis.condition == name
    assert len(lines) == 1 and lines[0].startswith(f"health: {name} since step ") and "\n" not in lines[0]
    assert (tmp_path / "health.png").stat().st_size > 10_000


def test_swapped_labels_are_found_in_training(small_gan, faces, unseen):
    gan = small_gan()
    d_loss = gan.d_loss
    gan.d_loss = lambda real_logits, fake_logits: d_loss(fake_logits, real_logits)
    gan.d_optimizer.learning_rate = 2e-3
    monitor, lines = _monitor(faces, unseen, every=10)
    _fit(gan, faces, 60, monitor)
    assert monitor.diagnosis.condition == "labels swapped" and len(lines) == 1


def test_a_run_goes_on(small_gan, faces, unseen, tmp_path):
    gan = _fit(small_gan(), faces, 10, _monitor(faces, unseen, folder=tmp_path)[0])
    with open(tmp_path / "health.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "4", "8"] and list(rows[0])[:2] == ["step", "images"]
    gan.g_updates.assign(6)  # restored from a checkpoint before the newest look
    monitor, _ = _monitor(faces, unseen, folder=tmp_path)
    _fit(gan, faces, 4, monitor)
    assert [look["step"] for look in monitor.looks] == [0, 4, 8]
    assert monitor.looks[-1]["d_loss"] == pytest.approx(gan.signals.numpy()[6:8, 0].mean(), rel=1e-5)
    assert monitor.looks[1] == {name: pytest.approx(float(value), nan_ok=True) for name, value in rows[1].items()}


def test_a_damaged_table_is_said_and_left_behind(small_gan, faces, unseen, tmp_path):
    (tmp_path / "health.csv").write_bytes(b"step,images\n1,")
    monitor, lines = _monitor(faces, unseen, folder=tmp_path)
    _fit(small_gan(), faces, 4, monitor)
    assert len(lines) == 1 and "the looks begin anew" in lines[0] and len(monitor.looks) == 2


def test_the_table_is_written_less_often_as_it_grows(small_gan, faces, unseen, tmp_path):
    monitor, _ = _monitor(faces, unseen, every=1, folder=tmp_path)
    _fit(small_gan(), faces, 1, monitor)
    file = tmp_path / "health.csv"
    for count, written in ((100, True), (102, False), (103, True)):
        file.unlink()
        monitor.looks = [monitor.looks[0]] * count
        monitor.on_epoch_end(0)
        assert file.exists() == written
        file.touch()


@pytest.mark.parametrize(("calm", "expected"), [(CALM - 1, "mode collapse"), (CALM, "healthy")])
def test_an_alarm_stands_until_all_has_been_calm(small_gan, faces, unseen, monkeypatch, calm, expected):
    """Also for a monitor that reads the looks from a table."""
    alarm = Diagnosis("mode collapse", 1, 4)
    monkeypatch.setattr(health, "diagnose", lambda looks: alarm if len(looks) == 3 else Diagnosis())
    monitor, lines = _monitor(faces, unseen, every=1)
    _fit(small_gan(), faces, 2 + calm, monitor)  # the first look is before the first step
    assert len(monitor.looks) == 3 + calm and monitor.diagnosis.condition == expected
    assert [line[:21] for line in lines] == ["health: mode collapse", "health: healthy"][: 1 + (calm >= CALM)]
    again, _ = _monitor(faces, unseen)
    again.looks = monitor.looks
    again._find_again()
    assert again.diagnosis.condition == expected


def test_without_unseen_pictures(small_gan, faces):
    monitor, _ = _monitor(faces, None, batch_size=None)
    _fit(small_gan(), faces, 4, monitor)
    assert "unseen_logit" not in monitor.looks[-1] and monitor.diagnosis.condition == "healthy"
    assert monitor.figure() is not None


def test_steps_that_float16_skips_are_no_alarm(small_gan, faces, unseen):
    def overflow(batch, logs):
        signals = gan.signals.numpy()
        signals[1, 4:6] = float("inf")
        gan.signals.assign(signals)

    gan, (monitor, lines) = small_gan(), _monitor(faces, unseen)
    _fit(gan, faces, 4, keras.callbacks.LambdaCallback(on_train_batch_end=overflow), monitor)
    assert np.isfinite(monitor.looks[-1]["g_gradient_norm"]) and lines == []


def test_a_second_fit_goes_on_with_the_same_looks(small_gan, faces, unseen):
    gan, (monitor, _) = small_gan(), _monitor(faces, unseen)
    for _ in range(2):
        _fit(gan, faces, 3, monitor)
    assert [look["step"] for look in monitor.looks] == [0, 4]
    assert monitor.looks[-1]["g_loss"] == pytest.approx(gan.signals.numpy()[:4, 1].mean(), rel=1e-5)


@pytest.mark.parametrize("loss", ["probability", "hinge"])
def test_other_losses(small_gan, faces, unseen, loss):
    monitor, _ = _monitor(faces, unseen)
    _fit(small_gan(loss), faces, 4, monitor)
    assert all(0 <= monitor.looks[-1][f"{part}_score"] <= 1 for part in ("seen", "unseen", "sample"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "expected every as a whole number from 1 to 256; received 0"),
        ({"every": 300}, "expected every as a whole number from 1 to 256; received 300"),
        ({"unseen": np.zeros((4, 32, 32, 3), np.uint8)}, r"expected unseen as uint8 of shape \(at least 16"),
        ({"real_images": np.zeros((4, 32, 32, 3))}, r"expected real_images as uint8 .*; received float64"),
    ],
)
def test_what_it_cannot_use_is_refused(faces, arguments, message):
    with pytest.raises(ValueError, match=message):
        HealthMonitor(**({"real_images": faces} | arguments))


# The benchmark


def test_failures_of_the_benchmark_have_names():
    names = {condition.name for condition in CONDITIONS}
    assert set(EXPECTED.values()) - names == {"healthy"} and len(EXPECTED) == 9
    for group in ("tune", "fresh"):
        assert len({case.name for case in cases(group)}) == len(cases(group))
    fresh = [case.failure for case in cases("fresh")]
    assert {name: fresh.count(name) for name in EXPECTED} == {name: 20 if name == "none" else 10 for name in EXPECTED}
    assert not {case.seed for case in cases("fresh")} & {case.seed for case in cases("tune")}


def test_the_first_alarm_counts():
    looks = [look | {"seconds": 2.0 * number} for number, look in enumerate(_looks(diversity=[0.1] * 6))]
    assert first_alarm(looks) == ("mode collapse", 50 * 17, 34.0)
    assert first_alarm(looks[:12]) == ("healthy", 50 * 11, 22.0)


# The panel


@pytest.mark.parametrize("changed", [{}, {"diversity": [0.1] * 6}])
def test_the_panel_marks_where_it_began(changed):
    looks = _looks(**changed)
    found = diagnose(looks)
    figure = plot_health(looks, found)
    assert len(figure.axes) == 8 and figure.get_suptitle() == found.headline
    marks = [line for axes in figure.axes for line in axes.lines if line.get_color() == "C3"]
    assert len(marks) == (8 if changed else 0)
    assert all(set(line.get_xdata()) == {found.since_step} for line in marks)


def test_no_panel_of_nothing():
    with pytest.raises(ValueError, match="expected at least one look; received none"):
        plot_health([], Diagnosis())


def test_the_model_is_told_to_keep_signals_before_it_is_traced(small_gan, faces):
    gan = small_gan()
    assert gan.signals is None
    keras.callbacks.CallbackList([HealthMonitor(faces)], model=gan)
    assert gan.signals is not None
