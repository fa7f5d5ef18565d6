import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gan_helpers import Recipe, generate_images, load_generator, prepare_images, train
from gan_helpers.visualization.compare import compare_runs

MEASURE = {"name": "kid", "value": 0.12, "spread": 0.002, "interval": [0.116, 0.124], "conditions": {"resize": "clean"}}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two short runs that differ in their seed and width."""
    folder = tmp_path_factory.mktemp("runs")
    drawn = prepare_images("drawn", 32, count=48, cache=folder / "cache")
    for name, filters in (("narrow", 4), ("wide", 6)):
        recipe = Recipe(base_filters=filters, latent_dim=10, batch_size=16)
        train(drawn, folder / name, recipe=recipe, epochs=2, seed=filters, report=lambda line: None)
    return folder / "narrow", folder / "wide"


@pytest.fixture
def runs(two_runs, tmp_path):
    """The two runs, to change."""
    return [shutil.copytree(run, tmp_path / run.name) for run in two_runs]


def _page(runs, tmp_path, **arguments):
    return compare_runs(runs, tmp_path / "compare.html", **arguments).read_text(encoding="utf-8")


def _measured(run, *measures, **more):
    (run / "quality.json").write_text(json.dumps({"measures": list(measures), "step": 6, "count": 5000} | more))


def test_page_holds_everything_itself(two_runs, tmp_path):
    page = _page(two_runs, tmp_path, count=5)
    assert "<script" not in page and "http" not in page and re.findall(r'src="(?!data:image/png;base64,)', page) == []
    assert page.count('alt=""') == 2 * 5 and page.count("of each run over its steps") == 4
    assert "color-scheme" in page and "width=device-width" in page


def test_faces_are_the_averaged_generators(two_runs, tmp_path):
    page = _page(two_runs, tmp_path, count=3, seed=7)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt=""', page)
    shown = np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))) for picture in pictures])
    expected = [generate_images(load_generator(run), 3, seed=7) for run in two_runs]
    assert np.array_equal(shown, np.concatenate(expected))


def test_settings_that_differ_and_no_others(two_runs, tmp_path):
    page = _page(two_runs, tmp_path, count=1)
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th>(.*?)</tr>', page))
    assert rows["base_filters"] == "<td>4</td><td>6</td>" and rows["seed"] == "<td>4</td><td>6</td>"
    assert "batch_size" not in rows and "latent_dim" not in rows
    assert rows["epoch"] == "<td>2</td><td>2</td>" and rows["step"] == "<td>6</td><td>6</td>"
    assert "d_loss" in rows and "fake_score" in rows


def test_one_run_alone(two_runs, tmp_path):
    page = _page(two_runs[:1], tmp_path, count=2)
    assert "Settings in which they differ" not in page and "Where training stands" in page


def test_measures_and_their_conditions(runs, tmp_path):
    _measured(runs[0], MEASURE, MEASURE | {"name": "fid", "value": 20.5, "spread": None, "interval": None})
    _measured(runs[1], MEASURE | {"conditions": {"resize": "tf1"}}, not_measured={"fid": "no network"})
    page = _page(runs, tmp_path, count=1)
    assert "0.12 ± 0.002<small>95 %: 0.116 to 0.124</small><small>resize: clean</small>" in page
    assert "<small>resize: tf1</small>" in page  # where conditions differ, they stand with the figures
    assert "<td>20.5</td><td>not measured<small>no network</small></td>" in page
    assert "<td>5000</td><td>5000</td>" in page


def test_what_is_not_there_yet_is_noted(runs, tmp_path):
    (runs[0] / "history.csv").unlink()
    (runs[0] / "generator.keras").unlink()
    page = _page(runs, tmp_path, count=2)
    assert page.count("no faces") == 1 and page.count('alt=""') == 2 and "not measured" in page
    for run in runs:
        (run / "history.csv").unlink(missing_ok=True)
    page = _page(runs, tmp_path, overwrite=True)
    assert "no curves" in page and "none finished" in page


def test_further_columns_are_curves_too(runs, tmp_path):
    table = (runs[0] / "history.csv").read_text().splitlines()
    kid = ["kid", "nan", "0.25"]
    (runs[0] / "history.csv").write_text("".join(f"{row},{value}\n" for row, value in zip(table, kid, strict=True)))
    page = _page(runs, tmp_path, count=1)
    assert 'alt="kid of each run over its steps"' in page and "<td>0.25</td><td>none</td>" in page


def test_everything_is_escaped(runs, tmp_path):
    run = runs[0].rename(tmp_path / "_$^$<b>&amp;")
    evil = "<img src=x onerror=alert(1)>"
    _measured(run, MEASURE | {"name": evil, "conditions": {evil: evil}}, count=evil, not_measured={"fid": evil})
    settings = json.loads((run / "settings.json").read_text())
    settings["settings"] |= {evil: evil}
    (run / "settings.json").write_text(json.dumps(settings))
    page = _page([run, runs[1]], tmp_path, count=1)
    assert "<img src=x" not in page and "<b>" not in page and "&lt;b&gt;&amp;amp;" in page
    compare_runs([run, runs[1]], tmp_path / "compare.png", count=1)


def test_names_tell_runs_apart(runs, tmp_path):
    (tmp_path / "other").mkdir()
    twin = shutil.copytree(runs[0], tmp_path / "other" / runs[0].name)
    page = _page([runs[0], twin], tmp_path, count=1)
    assert f"{tmp_path.name}/narrow" in page and "other/narrow" in page


@pytest.mark.parametrize("count", [1, 5, 32])
def test_picture(runs, tmp_path, count):
    _measured(runs[0], MEASURE)
    output = compare_runs(runs, tmp_path / "new/compare.png", count=count)
    with Image.open(output) as picture:
        assert picture.format == "PNG" and 1000 < picture.width < 2000 and picture.height > 1000
        assert len(picture.convert("RGB").resize((99, 99)).getcolors(99 * 99)) > 50


def test_an_existing_output_stays(two_runs, tmp_path):
    output = tmp_path / "compare.html"
    output.write_text("mine")
    with pytest.raises(ValueError, match="does not exist.*received.*--overwrite"):
        compare_runs(two_runs, output)
    assert output.read_text() == "mine"
    compare_runs(two_runs, output, count=1, overwrite=True)
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "compare.pdf"}, "ends in .html or .png"),
        ({"runs": []}, "at least one run"),
        ({"count": 0}, "count of at least 1"),
    ],
)
def test_refused(two_runs, tmp_path, change, message):
    given = {"runs": two_runs, "output": "compare.html", "count": 1} | change
    with pytest.raises(ValueError, match=message):
        compare_runs(given["runs"], tmp_path / given["output"], count=given["count"])
    assert not any(tmp_path.iterdir())


def test_a_run_twice_and_no_run(two_runs, tmp_path):
    with pytest.raises(ValueError, match="each once"):
        compare_runs([two_runs[0], two_runs[0] / "../narrow"], tmp_path / "compare.html")
    with pytest.raises(ValueError, match="folder of a run"):
        compare_runs([two_runs[0], tmp_path], tmp_path / "compare.html")


@pytest.mark.parametrize(
    "change", [{"value": "low"}, {"interval": [1]}, {"spread": "?"}, {"conditions": None}, {"name": []}]
)
def test_a_damaged_measure_is_refused(runs, tmp_path, change):
    _measured(runs[0], MEASURE | change)
    with pytest.raises(ValueError, match="expected measures.*received a damaged file.*measure the run again"):
        compare_runs(runs, tmp_path / "compare.html", count=1)


@pytest.mark.parametrize("file", ["settings.json", "history.csv", "generator.keras", "quality.json"])
@pytest.mark.parametrize("content", [b"a\n1\n", b"[1, 2]", b'{"measures": [{"name": "kid"}]}', b"\xff\xfe broken\n"])
def test_a_damaged_file_is_named(runs, tmp_path, file, content):
    (runs[1] / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"expected.*{file}.*received.*; "):
        compare_runs(runs, tmp_path / "compare.html", count=1)
    assert not (tmp_path / "compare.html").exists()
