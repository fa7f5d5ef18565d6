"""The race and the search run small, survive kills, and count right."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks import quality, quality_peers, quality_scores, search
from benchmarks.quality import begin, make_job, read_options, start, stop
from benchmarks.quality_peers import Clock, tutorial_networks
from benchmarks.quality_scores import enlarged, summarised, table
from gan_helpers import Recipe

ROOT = Path(__file__).resolve().parent.parent
TORCH = os.environ.get("TORCH_PYTHON") or (sys.executable if importlib.util.find_spec("torch") else None)
needs_torch = pytest.mark.skipif(TORCH is None, reason="no torch here, and TORCH_PYTHON names no interpreter with it")
SYSTEMS = {
    "recipe": {"kind": "recipe", "recipe": "quick,base_filters=2,batch_size=8"},
    "tf_tutorial": {"kind": "tf_tutorial", "base_filters": 2, "batch_size": 8},
    "torch_tutorial": {"kind": "torch_tutorial", "base_filters": 2, "batch_size": 8, "python": TORCH},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces):
    """A folder of 48 faces of 32 pixels."""
    folder = tmp_path_factory.mktemp("faces")
    for number, image in enumerate(faces[:48]):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def job(folder, tmp_path):
    """A function that makes a tiny job of a kind."""
    from gan_helpers import prepare_images, sample_latents

    prepared = prepare_images(folder, 32)
    np.save(tmp_path / "latents.npy", sample_latents(8))
    shared = {"data": str(folder), "crop": None, "part": [0, 32], "count": 8, "fingerprint": prepared.fingerprint}
    shared |= {"images": str(prepared.folder / "images.npy"), "latents": str(tmp_path / "latents.npy")}
    shared |= {"checkpoint_seconds": 0.3, "image_size": 32, "ours": True}

    def make(kind, seconds):
        return make_job(tmp_path, kind, SYSTEMS[kind] | shared, seconds / 60, 0)

    return make


def _options(folder, *words):
    return read_options(["--data", str(folder), "--peers", *map(str, words)])


# Jobs


@pytest.mark.parametrize("kind", ["recipe", "tf_tutorial", pytest.param("torch_tutorial", marks=needs_torch)])
def test_a_job_that_is_killed_goes_on(job, kind):
    one = job(kind, 1.5)
    begin(one)
    process, clock = start(one, None), Path(one["run"], "clock.csv")
    deadline = time.monotonic() + 120
    while quality._last_second(clock) < 0.8 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if kind == "recipe":
        process.kill()
    else:
        process.stdin.close()  # as when the process that started it is killed
    assert process.wait(60)
    killed_at = quality._last_second(clock)
    assert 0.8 <= killed_at < 1.5 and not quality.finished(one), Path(one["run"], "log.txt").read_text()
    assert start(one, None).wait() == 0, Path(one["run"], "log.txt").read_text()
    made = json.loads(Path(one["samples"]).with_suffix(".json").read_text())
    images = np.load(one["samples"])
    assert images.shape == (8, 32, 32, 3) and images.dtype == np.uint8 and images.std() > 0
    assert (images[0] != images[1]).any()  # of different latents
    rows = [line.split(",") for line in clock.read_text().splitlines()]
    steps, before, last = [int(step) for step, _ in rows], float(rows[-2][1]), float(rows[-1][1])
    assert made["steps"] == steps[-1] > 2
    assert before <= 1.5 <= made["seconds"] == pytest.approx(last, abs=0.01)  # a busy machine's last step may be long
    assert made["images_per_second"] == pytest.approx((made["steps"] - 1) * 8 / made["seconds"], rel=0.01)
    assert sorted(set(steps)) == list(range(1, steps[-1] + 1))  # none left out; it went on from a checkpoint


def test_stop_ends_jobs(job):
    one = job("tf_tutorial", 60)
    begin(one)
    process = start(one, None)
    stop([process])
    assert process.returncode


def test_runs_go_on_from_budget_to_budget_unless_rates_fall(tmp_path):
    plain = {"kind": "recipe", "recipe": "quick", "image_size": 32}
    falling = plain | {"recipe": "quick,final_learning_rate=0.1"}
    assert make_job(tmp_path, "a", plain, 10, 0)["run"] == make_job(tmp_path, "a", plain, 30, 0)["run"]
    assert make_job(tmp_path, "a", falling, 10, 0)["run"] != make_job(tmp_path, "a", falling, 30, 0)["run"]
    growing = plain | {"recipe": "best", "image_size": 64}
    assert make_job(tmp_path, "a", growing, 10, 0)["run"] != make_job(tmp_path, "a", growing, 30, 0)["run"]
    shared = [make_job(tmp_path, "a", falling, minutes, 0, planned_minutes=30) for minutes in (10, 30)]
    assert shared[0]["run"] == shared[1]["run"] and shared[0]["samples"] != shared[1]["samples"]
    assert "/" not in Path(make_job(tmp_path, "quick,loss=hinge", plain, 10, 0)["samples"]).name


def test_falling_rates_are_planned_once_by_the_speed(job, monkeypatch):
    one, images = job("recipe", 1), np.zeros((32, 32, 32, 3), np.uint8)
    begin(one)
    monkeypatch.setattr("gan_helpers.training.build.start_and_step", lambda gan, batches, seconds, clock: (0, 0.5))
    recipe = Recipe(base_filters=1, batch_size=8)
    assert quality_peers.planned_epochs(one | {"planned_minutes": 0.1}, recipe, images) == 3  # 12 steps, 4 an epoch
    assert quality_peers.planned_epochs(one | {"planned_minutes": 9}, recipe, images) == 3


def test_a_run_keeps_its_settings(job):
    begin(job("recipe", 1))
    begin(job("recipe", 1))
    with pytest.raises(ValueError, match="recipe: quick,.* there, quick now.*another name"):
        begin(job("recipe", 1) | {"recipe": "quick"})


def test_jobs_that_fail_are_told(job):
    bad = job("recipe", 1) | {"recipe": "quick,batch_size=64"}
    later = bad | {"label": "later"}
    failed = quality.run_jobs([bad, later], [None])
    assert "expected at least one batch of 64 pictures; received 32" in failed[bad["label"]]
    assert failed["later"] == f"{bad['label']} came before it"


# The clock


def test_clock_forgets_what_came_after_the_checkpoint(tmp_path):
    file = tmp_path / "clock.csv"
    file.write_text("1,0.000\n2,1.500\n3,3.000\n4,4.5")  # a kill cut the last row
    clock = Clock(file)
    assert [clock.at(step) for step in (0, 1, 2, 3, 9)] == [0, 0, 1.5, 3, 3]
    clock.start(2)
    assert clock.tick(3) == pytest.approx(1.5, abs=0.1)  # a process's first step is not counted
    used = time.process_time() + 0.05
    while time.process_time() < used:
        pass
    time.sleep(0.1)  # costs the processor nothing
    assert 1.55 <= clock.tick(4) < 1.65
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["1", "2", "3", "4"]


def test_clock_goes_on_when_a_training_grows(tmp_path):
    """Each size is a training of its own to Keras."""
    clock = Clock(tmp_path / "clock.csv")
    clock.start(0)
    for step in (1, 2):
        used = time.process_time() + 0.05
        while time.process_time() < used:
            pass
        before = clock.tick(step)
    clock.start(2)
    assert before <= clock.tick(3) < before + 0.05 and before >= 0.05
    assert [line.split(",")[0] for line in (tmp_path / "clock.csv").read_text().splitlines()] == ["1", "2", "3"]


def test_clock_tells_whether_time_is_left(tmp_path):
    (tmp_path / "clock.csv").write_text("1,0\n2,30\n3,61\n4,95\n")
    clock = Clock(tmp_path / "clock.csv")
    assert clock.owes(0, 60) and clock.owes(2, 60) and not clock.owes(3, 60)
    with pytest.raises(ValueError, match="at most 1 minutes; received one of 1.58.*another --folder"):
        clock.owes(4, 60)


# The peers


def test_tutorial_networks_at_64_pixels():
    generator, discriminator = tutorial_networks(64)
    assert generator.output_shape == (None, 64, 64, 3) and discriminator.output_shape == (None, 1)
    convolutions = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert [(c.filters, c.strides[0]) for c in convolutions] == [(256, 1), (128, 2), (64, 2), (3, 2)]
    assert [c.filters for c in discriminator.layers if isinstance(c, keras.layers.Conv2D)] == [64, 128, 256]
    assert generator.layers[2].negative_slope == pytest.approx(0.3)


@needs_torch
def test_torch_networks_are_the_tutorials():
    lines = ["import sys, torch_race as r", "for n in (r.generator(), r.discriminator()):"]
    lines += [" print(sum(p.numel() for p in n.parameters()))"]
    done = subprocess.run([TORCH, "-c", "\n".join(lines)], cwd=ROOT / "benchmarks", capture_output=True, text=True)
    assert done.stdout.split() == ["3576704", "2765568"], done.stderr


def test_torch_race_needs_nothing_of_ours():
    source = (ROOT / "benchmarks/torch_race.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))}
    assert imported <= {"torch", "numpy", *sys.stdlib_module_names}


# Scores


def _run(system, seed, kid, fid, minutes=10.0, **more):
    run = {"system": system, "minutes": minutes, "seed": seed, "ours": system.startswith("our"), "kid": kid, "fid": fid}
    run |= {"fid_to_training": fid + 1, "face_share": 0.5, "copied": 0.04}
    return run | {"images_per_second": 100.0, "steps": 10} | more


def test_summary_by_hand():
    runs = [_run("ours", 0, 0.02, 30), _run("ours", 1, 0.04, 34), _run("our_other", 0, 0.05, 30, face_share=None)]
    runs += [_run("peer_a", 0, 0.06, 50), _run("peer_b", 0, 0.08, 40), _run("ours", 0, 0.01, 20, minutes=30.0)]
    rows = {(row["system"], row["minutes"]): row for row in summarised(runs, {"fid": 12, "kid": 0})}
    ours = rows["ours", 10]
    assert ours["seeds"] == 2 and ours["kid"] == pytest.approx(0.03) and ours["fid"] == pytest.approx(32)
    assert ours["kid_spread"] == pytest.approx(0.02 / 2**0.5) and ours["fid_excess"] == pytest.approx(20)
    # the best peer in each measure apart: KID of a, FID of b
    assert ours["kid_ratio"] == pytest.approx(0.5) and ours["fid_ratio"] == pytest.approx(0.8)
    assert ours["goal_met"] is False
    assert rows["our_other", 10]["kid_spread"] is None and rows["our_other", 10]["face_share"] is None
    assert rows["peer_a", 10]["goal_met"] is None and rows["peer_a", 10]["kid_ratio"] is None
    assert rows["ours", 30]["goal_met"] is None  # no peer to compare with
    met = summarised([_run("ours", 0, 0.03, 30), _run("peer", 0, 0.06, 40)], {"fid": 0})
    assert met[0]["goal_met"] is True


def test_table_holds_all_rows():
    floor = {"kid": 0.0001, "fid": 12.0, "training_faces": 5000, "scored_faces": 1000, "face_share": 0.99}
    conditions = {"samples": 5000, "image_size": 64, "real": [6000, 7000], "against": "tune", "network": "inception"}
    rows = summarised([_run("ours", 0, 0.03, 30), _run("peer", 0, 0.06, 40, face_share=None)], floor)
    result = {"conditions": conditions | {"resize": "clean"}, "floor": floor, "rows": rows}
    text = table(result | {"skipped": {"torch_tutorial": "no torch"}, "failed": {}})
    assert "against faces 6001 to 7000 (tune)" in text and "skipped: torch_tutorial: no torch" in text
    ours = next(line for line in text.splitlines() if line.startswith("ours"))
    assert " ".join(ours.split()) == "ours 10 1 0.03000 - 30.00 - 18.00 31.00 0.500 0.040 100.0 0.50 0.75 met"


def test_enlarged(faces):
    assert enlarged(faces[:2], 32) is not None and (enlarged(faces[:2], 32) == faces[:2]).all()
    assert enlarged(faces[:2], 64).shape == (2, 64, 64, 3)


def test_scores_are_computed_once(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(quality_scores, "share_with_a_face", lambda images: 0.5)
    store = quality_scores.Store(tmp_path, "small", faces[:30], faces[30:90])
    first = store.scores(faces[40:90])
    assert first.keys() == {"kid", "kid_spread", "fid", "fid_to_training", "face_share", "copied"}
    assert first["copied"] == 1  # all of them are training faces
    assert store.scores(255 - faces[40:90])["copied"] < 0.5
    floor = store.floor(5000)
    assert floor["training_faces"] == 60 and floor["scored_faces"] == 30
    from gan_helpers.metrics import distances, feature_vectors

    for module, name in ((feature_vectors, "features"), (distances, "fid")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed again"))
    assert quality_scores.share_copied(np.zeros((5, 3)), np.ones((5, 3)), np.ones((19, 3))) is None
    assert quality_scores.Store(tmp_path, "small", faces[:30], faces[30:90]).scores(faces[40:90]) == first


# The commands


def test_race_of_nothing_new_scores_what_is_there(folder, tmp_path):
    words = ["--data", folder, "--crop", "none", "--image-size", 32, "--parts", "32,40,48", "--network", "small"]
    words += ["--ours", "tiny=quick,base_filters=2,batch_size=8", "--peers", "tf_tutorial", "--budgets", "0.01x1"]
    words += ["--samples", 20, "--peer-filters", 2, "--peer-batch", 8, "--folder", tmp_path]
    command = [sys.executable, "-m", "benchmarks.quality", *map(str, words)]
    shared = {"cwd": ROOT, "env": os.environ, "capture_output": True, "text": True, "timeout": 600}
    done = subprocess.run([*command, "--only", "train"], **shared)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"trained": ["tf_tutorial-0.01min-seed0", "tiny-0.01min-seed0"], "failed": {}}
    done = subprocess.run([*command, "--against", "score"], **shared)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [row["system"] for row in result["rows"]] == ["tf_tutorial", "tiny"] and result["conditions"]["real"] == [
        40,
        48,
    ]
    assert result["rows"][1]["goal_met"] in (True, False) and "these faces are for the end" in done.stderr
    assert {path.name for path in (tmp_path / "score").iterdir()} == {"result.json", "race.png", "faces.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/no/folder"], "expected a folder of faces; received /no/folder; give --data"),
        (["--budgets", "10"], "expected minutes and seeds, such as 10x3; received '10'"),
        (["--budgets", "0x3"], "expected minutes and seeds"),
        (["--crop", "1,2,3"], "expected four numbers l,t,r,b, or none; received '1,2,3'"),
        (["--parts", "10,5,20"], "expected three growing numbers"),
        (["--cores", "x"], "expected whole numbers, such as 0,1; received 'x'"),
        (["--cores", "999"], "expected --cores of"),
        (["--samples", "0"], "expected --samples, --peer-filters and --peer-batch above 0; received 0"),
        (["--ours", "best=quick", "best=quick,loss=hinge"], "expected systems of different names; received 'best'"),
        (["--ours", "script_32"], "expected systems of different names; received 'script_32'"),
        (["--ours", "a=quick,los=hinge"], "expected a field of Recipe, such as loss"),
        (["--peers", "torch_tutorial", "--torch-python", "/bin/false"], "expected an interpreter that has torch"),
    ],
)
def test_race_refuses(folder, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        _options(folder, *words)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_torch_is_left_out_with_a_reason(folder, monkeypatch):
    monkeypatch.setattr(quality, "_has_torch", lambda python: False)
    options = _options(folder, "torch_tutorial", "script_32")
    assert "give --torch-python" in options.skipped["torch_tutorial"] and "torch_tutorial" not in options.systems
    assert options.systems["script_32"]["image_size"] == 32 and options.systems["quick"]["image_size"] == 64


def test_parts_must_be_there(folder):
    options = _options(folder, "--crop", "none", "--image-size", "32")
    with pytest.raises(ValueError, match="expected at least 8000 faces; received 48"):
        quality.prepare(options)


# The search


class Chosen:
    """A trial that proposes what it is told."""

    def __init__(self, **values):
        self.values = values

    def suggest_categorical(self, name, choices):
        assert self.values[name] in choices
        return self.values[name]

    def suggest_float(self, name, low, high, log):
        return self.values[name]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"loss": "hinge", "beta_1": 0.5}, "quick,loss=hinge"),
        ({"g_learning_rate": 0.000123456, "minibatch_std": True}, "quick,g_learning_rate=0.00012,minibatch_std=true"),
        ({"r1_weight": 0.0, "penalty_every": 16}, "quick"),
        ({"r1_weight": 1.0, "penalty_every": 16}, "quick,r1_weight=1.0,penalty_every=16"),
        ({"d_normalisation": None, "augmentation": "none"}, "quick"),
        ({"d_normalisation": "none", "augmentation": "colour+translation"},
         "quick,d_normalisation=none,augmentation=colour+translation"),
    ],
)  # fmt: skip
def test_recipe_of_a_trial(values, text):
    options = SimpleNamespace(recipe="quick", fields=list(values))
    assert search.recipe_of(Chosen(**values), options) == text


def test_search_keeps_why_a_recipe_is_refused():
    assert search.refusal("quick", 32) is None
    assert "expected normalisation" in search.refusal("quick,architecture=light,d_normalisation=batch", 32)


def test_the_search_begins_with_the_recipe_as_it_is():
    start = search._as_it_is(SimpleNamespace(recipe="quick", fields=list(search.SPACE)))
    assert start.keys() == search.SPACE.keys() and start["augmentation"] == "none" and start["base_filters"] == 32


def test_search_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match="received no module 'optuna'; pip install optuna"):
        search.open_study(SimpleNamespace(folder=tmp_path))


def test_table_of_trials():
    trials = [
        {"number": 0, "state": "pruned", "kid": {"2": 0.1}, "recipe": "quick", "reason": "not among the best"},
        {"number": 1, "state": "complete", "kid": {"2": 0.3, "5": 0.2}, "recipe": "quick,loss=hinge", "reason": None},
        {"number": 2, "state": "pruned", "kid": {}, "recipe": "quick,loss=x", "reason": "expected a loss"},
    ]
    lines = search.table({"conditions": {"minutes": [2.0, 5.0]}, "trials": trials}).splitlines()
    assert [line.split()[0] for line in lines] == ["trial", "1", "0", "refused:"]  # who came further stands first


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="no Optuna here")
def test_search_runs_and_goes_on(folder, tmp_path):
    words = ["--data", folder, "--crop", "none", "--image-size", 32, "--parts", "32,40,48", "--network", "small"]
    words += ["--recipe", "quick,base_filters=2,batch_size=8", "--fields", "loss", "--samples", 16]
    words += ["--minutes", 0.005, 0.01, "--reduction", 2, "--folder", tmp_path, "--trials"]
    for trials in (1, 2):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.search", *map(str, words), str(trials)],
            cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["trials"]) == trials
    first = json.loads(done.stdout)["trials"][0]
    assert first["state"] == "complete" and list(first["kid"]) == ["0.005", "0.01"]
