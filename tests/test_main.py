"""The command line as its users meet it: another process."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_helpers.__main__ import main
from gan_helpers.data import images
from gan_helpers.data import report as reports

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--image-size", "32", "--base-filters", "4", "--batch-size", "16"]


def _command(*words, cwd, **arguments):
    command = [sys.executable, "-m", "gan_helpers", *map(str, words)]
    arguments = {"capture_output": True, "text": True, "timeout": 300} | arguments
    return subprocess.run(command, cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, **arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that the command line made, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    done = _command("train", *SMALL, "--count", 64, "--epochs", 2, "--output", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done


def test_help_is_quick_and_complete(tmp_path):
    began = time.perf_counter()
    done = _command("--help", cwd=tmp_path)
    seconds = time.perf_counter() - began
    assert done.returncode == 0 and all(name in done.stdout for name in ("prepare", "train", "generate", "bench"))
    assert seconds < 2  # 0.1 s where nothing else runs


@pytest.mark.parametrize("command", ["prepare", "report", "train", "generate", "bench"])
def test_every_command_has_help(command, tmp_path):
    done = _command(command, "--help", cwd=tmp_path)
    assert done.returncode == 0 and "--" in done.stdout
    assert done.stdout.count("default:") >= 3 and "None" not in done.stdout


def test_train_says_where_everything_is(trained):
    run, done = trained
    for word in ("run/faces.png", "run/samples", "run/generator.keras", "generate --model run", "goes on"):
        assert word in done.stdout
    assert "training: 100%" in done.stderr and "images/s" in done.stderr and "<" in done.stderr
    with Image.open(run / "faces.png") as picture:  # small faces are shown at twice their size
        assert picture.size == (2 * (8 * 34 - 2), 2 * (8 * 34 - 2))


def test_train_again_goes_on(trained, tmp_path):
    run, _ = trained
    done = _command("train", *SMALL, "--count", 64, "--epochs", 2, "--output", run, cwd=tmp_path)
    assert done.returncode == 0 and "goes on at step 8" in done.stderr
    assert "has its 2 epochs already" in done.stderr


def test_generate_grid_array_and_files(trained, tmp_path):
    run, _ = trained
    for output in ("grid.png", "faces.npy", "folder"):
        done = _command("generate", "--model", run, "--count", 5, "--seed", 7, "--output", output, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    array = np.load(tmp_path / "faces.npy")
    assert array.shape == (5, 32, 32, 3) and array.dtype == np.uint8
    files = sorted((tmp_path / "folder").iterdir())
    assert [file.name for file in files] == [f"{n:05d}.png" for n in range(5)]
    for file, image in zip(files, array, strict=True):
        assert (np.asarray(Image.open(file)) == image).all()
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (3 * 34 - 2, 2 * 34 - 2)


def test_generate_from_a_file_never_overwrites(trained, tmp_path):
    run, _ = trained
    (tmp_path / "mine.png").write_text("mine")
    words = ["generate", "--model", run / "generator.keras", "--count", 2, "--output", "mine.png"]
    done = _command(*words, cwd=tmp_path)
    assert done.returncode == 1 and "mine.png', which exists; choose another --output" in done.stderr
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert _command(*words, "--overwrite", cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "mine.png") as picture:
        assert picture.format == "PNG"


def test_script_origin_to_the_letter(photographs, tmp_path):
    (tmp_path / "img").symlink_to(photographs)
    words = ["--epochs", "1", "--base-filters", "4", "--batch-size", "16"]
    done = subprocess.run(
        [sys.executable, ROOT / "main.py", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "generate_face/epochs0batch_1.jpg") as picture:
        assert picture.format == "JPEG"
    run = re.search(r"run: (runs/\S+)", done.stderr).group(1)
    assert (tmp_path / run / "generator.keras").exists()
    assert len((ROOT / "main.py").read_text().splitlines()) <= 12


def test_prepare_lists_what_it_skips(photographs, tmp_path):
    (tmp_path / "img").mkdir()
    for path in sorted(photographs.rglob("*.png"))[:3]:
        (tmp_path / "img" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "img/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    done = _command("prepare", "--data", "img", "--image-size", 32, "--cache", "cache", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"broken.jpg +not a picture, or damaged", done.stdout)
    assert "3 faces of 32 pixels in cache" in done.stdout


def test_report_prints_a_table_and_leaves_json_and_a_sheet(photographs, tmp_path):
    words = ["report", "--data", photographs, "--image-size", 32, "--output", "seen"]
    done = _command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^faces +40 from photographs", done.stdout) and "near-duplicates" in done.stdout
    assert "looking: 100%" in done.stderr and "sizes: 100%" in done.stderr
    assert json.loads((tmp_path / "seen/report.json").read_text())["count"] == 40
    with Image.open(tmp_path / "seen/contact_sheet.png") as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 300
    before = (tmp_path / "seen/report.json").stat().st_mtime_ns
    again = _command(*words, cwd=tmp_path)
    assert again.returncode == 1 and "report.json', which exists; choose another --output" in again.stderr
    assert (tmp_path / "seen/report.json").stat().st_mtime_ns == before
    assert _command(*words, "--overwrite", cwd=tmp_path).returncode == 0
    assert (tmp_path / "seen/report.json").stat().st_mtime_ns > before


@pytest.mark.parametrize("words", [
    ["prepare"], ["report", "--output", "none"], ["train", "--output", "none"], ["evaluate", "--samples", "made"],
], ids=lambda words: words[0])  # fmt: skip
def test_options_of_preparing_mean_the_same_everywhere(words, tmp_path, monkeypatch, capsys):
    asked = []

    def prepare(data, image_size, **given):
        asked.append((data, image_size, given))
        raise ValueError("expected to be asked")

    for module in (images, reports):
        monkeypatch.setattr(module, "prepare_images", prepare)
    monkeypatch.chdir(tmp_path)
    command = [*words, "--data", "mine", "--image-size", "32", "--crop", "9,25,79,95", "--cache", "kept", "--agree"]
    assert main([*command, "--count", "77"]) == 1 and capsys.readouterr().err == "error: expected to be asked\n"
    [(data, image_size, given)] = asked
    assert data == words[-1] if words[0] == "evaluate" else data == "mine"
    assert image_size == 32 and given.pop("crop") == (9, 25, 79, 95)
    assert given.pop("cache") == Path("kept") and given.pop("agree") is True
    drawn = given.pop("count")
    assert drawn == (8000 if words[0] == "evaluate" else 77)  # where it counts generated faces
    assert given.pop("seed", 0) == 0 and not given


def test_report_of_nothing_leaves_nothing(tmp_path):
    done = _command("report", "--data", "missing", cwd=tmp_path)
    assert done.returncode == 1 and "expected a folder of pictures at 'missing'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _texts(folder):
    for n in range(3):
        (folder / f"{n}.txt").write_text("text")


def _one_dot(folder):
    Image.new("RGB", (1, 1)).save(folder / "dot.png")


def _few(folder):
    for n in range(3):
        Image.new("RGB", (40, 40), (80 * n, 9, 9)).save(folder / f"{n}.png")


@pytest.mark.parametrize(
    ("fill", "words", "code", "message"),
    [
        (
            None,
            ["--data", "missing"],
            1,
            "expected a folder of pictures at 'missing'; received nothing; check the path",
        ),
        (None, ["--data", "img"], 1, "received no file at all; put photographs there"),
        (_texts, ["--data", "img"], 1, "received 3 other files (.txt)"),
        (_one_dot, ["--data", "img"], 1, "dot.png: too small: 1 pixels a side, at least 8 needed"),
        (_few, ["--data", "img"], 1, "expected at least one batch of 16 pictures; received 3; add pictures, or make"),
        (None, ["--image-size", "48"], 2, "invalid choice: '?48'? \\(choose from '?32'?, '?64'?, '?128'?, '?256'?\\)"),
        (None, ["--crop", "1,2,3"], 2, "expected left,top,right,bottom, such as 9,25,79,95; received '1,2,3'"),
        (None, ["--crop", "0,0,9,20"], 1, "make both sides equal"),
        (None, ["--recipe", "magic"], 1, "expected a recipe of quick, .*; received 'magic'"),
        (None, ["--recipe", "quick,lose=hinge"], 1, "expected a field of Recipe, such as loss"),
        (None, ["--recipe", "quick,loss=wasserstein"], 1, "expected a discriminator of bounded slope with wasserstein"),
        (None, ["--epochs", "0"], 1, "expected epochs above 0; received 0"),
        (None, ["--epochs", "many"], 2, "invalid int value: 'many'"),
        (None, ["--output", "/proc/nowhere"], 1, "check that the path can be written"),
        (None, ["--sample-path", "same.png"], 1, "a sample path whose file name holds {epoch}"),
    ],
)
def test_bad_input_is_one_clear_line(fill, words, code, message, tmp_path):
    (tmp_path / "img").mkdir()
    if fill:
        fill(tmp_path / "img")
    before = sorted(path.name for path in (tmp_path / "img").iterdir())
    done = _command("train", *SMALL, "--count", 64, "--output", "run", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert re.search(message, done.stderr) or message in done.stderr
    assert "Traceback" not in done.stderr
    assert code == 2 or len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert sorted(path.name for path in (tmp_path / "img").iterdir()) == before
    assert not (tmp_path / "run/checkpoints").exists()


def test_debug_shows_where(tmp_path):
    done = _command("train", "--data", "missing", "--debug", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_run_with_other_settings_is_refused_and_kept(trained, tmp_path):
    run, _ = trained
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = _command("train", *SMALL, "--count", 64, "--seed", 5, "--output", run, cwd=tmp_path)
    assert done.returncode == 1 and "seed: 0 there, 5 now" in done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_full_disk_keeps_the_run(trained, tmp_path):
    run, _ = trained
    before = sorted((run / "checkpoints").iterdir())

    def limit():  # the kernel refuses to let any file grow past this, as a full disk would
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = ["train", *SMALL, "--count", 64, "--epochs", 3, "--output", run]
    done = _command(*words, cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stderr and "disk has room" in done.stderr and "Traceback" not in done.stderr
    assert sorted((run / "checkpoints").iterdir()) == before
    done = _command(*words, cwd=tmp_path)  # with room again it goes on
    assert done.returncode == 0 and "goes on at step 8" in done.stderr


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, "step_00000000"), (signal.SIGINT, "step_*[1-9]*"), (signal.SIGTERM, "step_*[1-9]*"),
     (signal.SIGKILL, "step_*[1-9]*")],
)  # fmt: skip
def test_stopped_by_a_signal_goes_on(number, after, tmp_path):
    words = ["train", *SMALL, "--count", "64", "--epochs", "100000", "--output", "run", "--checkpoint-seconds", "0.3"]
    command = [sys.executable, "-m", "gan_helpers", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(f"run/checkpoints/{after}.npz")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(number)
        out, error = process.communicate(timeout=120)
    if number != signal.SIGKILL:
        assert process.returncode == 0, error
        assert "stopped at step" in out and "to go on: python -m gan_helpers train" in out
    done_steps = max(int(path.stem[5:]) for path in tmp_path.glob("run/checkpoints/step_*.npz"))
    done = _command(*words[:-2], "--minutes", "0.01", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"goes on at step {done_steps}" in done.stderr
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    assert settings["settings"]["base_filters"] == 4 and "tensorflow" in settings["notes"]["versions"]


def test_real_photographs(real_faces, tmp_path):
    done = _command("train", "--data", real_faces, *SMALL, "--minutes", "0.05", "--output", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/faces.png").exists()
