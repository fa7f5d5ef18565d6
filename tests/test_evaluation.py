import json
from types import SimpleNamespace

import numpy as np
import pytest

from gan_helpers import draw_faces, metrics, train
from gan_helpers.__main__ import main
from gan_helpers.metrics.evaluation import evaluate, quality_table

SMALL = {"network": "small"}
WITHOUT_DETECTOR = ("kid", "fid", "precision_recall", "duplicates", "memorisation")


@pytest.fixture(scope="module")
def sets():
    images = draw_faces(160, 32, seed=4)[0]
    return images[:60], images[60:120], images[120:]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "measured"
    images = draw_faces(96, 32, seed=5)[0]
    measure = metrics.MeasureQuality(images[64:], every=2, count=20)
    from gan_helpers import Recipe

    recipe = Recipe(base_filters=2, batch_size=16)
    data = {"image_size": 32, "count": 64, "epochs": 5}
    train("drawn", folder, recipe=recipe, callbacks=[measure], best_by="kid", report=lambda line: None, **data)
    return folder


def test_evaluate_tells_everything(sets):
    fake, real, training = sets
    told, said = [], []
    result = evaluate(
        fake, real, training=training, measures=WITHOUT_DETECTOR, progress=told.append, say=said.append, **SMALL
    )
    names = [one["name"] for one in result["measures"]]
    assert names == [
        "kid", "kid_floor", "kid_to_training", "fid", "fid_floor", "fid_to_training",
        "precision", "recall", "density", "coverage", "duplicates",
        "copied", "nearer", "copied_in_pixels", "nearer_in_pixels",
    ]  # fmt: skip
    assert sum(told) == 160 and said == list(WITHOUT_DETECTOR)
    read = json.loads(json.dumps(result))
    assert [one["value"] for one in read["measures"]] == [one["value"] for one in result["measures"]]
    by_name = {one["name"]: one for one in result["measures"]}
    assert by_name["fid"]["value"] == pytest.approx(metrics.fid(real, fake, **SMALL).value, rel=1e-4)
    assert by_name["kid"]["value"] == pytest.approx(metrics.kid(real, fake, **SMALL).value, abs=1e-4)
    assert by_name["fid"]["conditions"]["features"].startswith("small")
    assert by_name["fid_floor"]["conditions"]["fake_count"] == 40
    assert result["not_measured"] == {} and {"python", "keras", "numpy"} <= result["versions"].keys()
    table = quality_table(result)
    assert len(table.splitlines()) == 16 and "fid_to_training" in table


def test_what_cannot_be_measured_is_named(sets):
    fake, real, _ = sets
    result = evaluate(fake, real, measures=("memorisation", "kid"), **SMALL)
    assert result["not_measured"] == {"memorisation": "needs the training pictures"}
    assert "not measured: memorisation: needs" in quality_table(result)
    with pytest.raises(ValueError, match="expected measures of kid, fid, .*; received 'lpips'"):
        evaluate(fake, real, measures=("lpips",), **SMALL)


def test_callback_measures_and_keeps_the_best(run):
    from gan_helpers import Run

    rows = Run(run).history()
    measured = [row["kid"] for row in rows]
    assert np.isnan(measured).tolist() == [True, False, True, False, True]
    assert (run / "best.keras").exists()
    best = metrics.kid(
        draw_faces(96, 32, seed=5)[0][64:],
        _faces_of(run / "best.keras", 20),
        **SMALL,
    ).value
    assert best == pytest.approx(np.nanmin(measured), rel=1e-3)


def _faces_of(file, count):
    from gan_helpers import generate_images, load_generator

    return generate_images(load_generator(file), count)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "lpips"}, "expected a measure of fid, kid or a function; received 'lpips'"),
        ({"every": 0}, "expected every of at least 1"),
        ({"count": 1}, "count of at least 2"),
    ],
)
def test_callback_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.MeasureQuality(np.zeros((4, 8, 8, 3), np.uint8), **arguments)


def recall(real, fake):
    return metrics.precision_recall(real, fake).recall


def test_callback_takes_fid_and_functions(sets, run):
    from gan_helpers import load_generator

    vectors = [metrics.features(images, **SMALL) for images in (sets[1], _faces_of(run / "generator.keras", 20))]
    for measure, expected in (("fid", metrics.fid(*vectors)), (recall, recall(*vectors))):
        callback = metrics.MeasureQuality(sets[1], measure=measure, count=20)
        callback.set_model(SimpleNamespace(averaged_generator=load_generator(run)))
        logs = {}
        callback.on_epoch_end(0, logs)
        assert logs == {expected.name: pytest.approx(expected.value, rel=1e-4)}


def test_command_line(run, capsys, tmp_path):
    words = ["evaluate", "--model", run, "--data", "drawn", "--slice", "0:50", "--count", 30, "--features", "small"]
    words += ["--training-data", "drawn", "--training-slice", "50:100", "--measures", ",".join(WITHOUT_DETECTOR)]
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert result["count"] == 30 and result["step"] == 20 and result["seed"] == 0 and result["weights"] == "averaged"
    assert result["data"]["real"]["count"] == 50 and result["data"]["real"]["fingerprint"].endswith("[0:50]")
    assert result["data"]["training"]["fingerprint"].endswith("[50:100]")
    assert "precision" in said.err and "95 % interval" in said.err
    assert json.loads((run / "quality.json").read_text()) == result


def test_raw_weights_are_those_that_played(run, capsys):
    from gan_helpers import load_generator

    with np.load(max((run / "checkpoints").glob("step_*.npz"))) as stored:
        first = stored["generator/000"]
    assert not np.array_equal(load_generator(run).get_weights()[0], first)
    np.testing.assert_array_equal(load_generator(run, averaged=False).get_weights()[0], first)
    before = (run / "generator.keras").read_bytes()
    words = ["evaluate", "--model", run, "--data", "drawn", "--slice", ":40", "--count", 20, "--features", "small"]
    assert main([*map(str, words), "--measures", "kid", "--raw"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == "raw"
    assert (run / "generator.keras").read_bytes() == before
    with pytest.raises(ValueError, match="expected a run's folder with a checkpoint"):
        load_generator(run / "generator.keras", averaged=False)


def test_command_line_measures_pictures(photographs, capsys):
    words = ["evaluate", "--samples", photographs, "--data", "drawn", "--slice", ":40", "--image-size", 32]
    assert main([*map(str, words), "--features", "small", "--measures", "kid,fid"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["count"] == 40 and [one["name"] for one in result["measures"]] == ["kid", "fid"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "one of the arguments --model --samples is required"),
        (["--model", "nothing", "--count", "1"], 1, "expected --count of at least 2"),
        (["--model", "nothing"], 1, "expected a run's folder or a .keras file at 'nothing'"),
        (["--samples", "nowhere"], 1, "nowhere"),
        (["--model", "nothing", "--slice", "a:b"], 2, "expected START:STOP, such as 7000:8000; received 'a:b'"),
        (["--model", "nothing", "--features", "vgg"], 2, "invalid choice: 'vgg'"),
    ],
)
def test_command_line_refuses(words, code, message, capsys):
    words = ["evaluate", "--data", "drawn", *words]
    if code == 2:
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
    else:
        assert main(words) == code
    assert message in capsys.readouterr().err


def test_a_part_of_prepared_pictures(run):
    from gan_helpers import prepare_images

    prepared = prepare_images("drawn", 32, count=64)
    part = prepared.part(10, -4)
    assert len(part.images) == 50 and part.fingerprint == prepared.fingerprint + "[10:60]"
    np.testing.assert_array_equal(part.images[0], prepared.images[10])
    with pytest.raises(ValueError, match="expected a part of 64 pictures with at least one; received 64:None"):
        prepared.part(64, None)
