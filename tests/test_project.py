"""The project as a newcomer finds it: a fresh clone, its Makefile, its front door."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gan_helpers

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path):
    """A fresh clone; its environment is the one that runs the tests, so that nothing is installed twice."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None or shutil.which("make") is None:
        pytest.skip("needs git, make and a checkout")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--local", "--no-hardlinks", ROOT, folder], check=True)
    (folder / ".venv").mkdir()
    (folder / ".venv/.installed").touch()
    return folder


def _make(clone, *words):
    words = [f"BIN={Path(sys.executable).parent}", *words]
    environment = os.environ | {"PYTHONPATH": str(clone)}
    return subprocess.run(["make", *words], cwd=clone, env=environment, capture_output=True, text=True, timeout=400)


def test_make_faces_makes_faces_and_goes_on(clone):
    done = _make(clone, "faces", "MINUTES=0.05")
    assert done.returncode == 0, done.stderr
    runs = list((clone / "runs").iterdir())
    assert len(runs) == 1 and (runs[0] / "faces.png").stat().st_size > 10_000
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True)
    assert status.stdout == ""  # what a run leaves is ignored
    done = _make(clone, "faces", "MINUTES=0.02")
    assert done.returncode == 0 and "goes on at step" in done.stderr


def test_make_help_names_every_target(clone):
    done = _make(clone, "help")
    targets = re.findall(r"^([a-z-]+):", (clone / "Makefile").read_text(), re.MULTILINE)
    assert all(f"make {name} " in done.stdout for name in targets if name != "help")


@pytest.mark.parametrize("name", gan_helpers.__all__)
def test_front_door(name):
    value = getattr(gan_helpers, name)
    assert value is not None and name in dir(gan_helpers)
    if callable(value):
        assert value.__doc__ and len(value.__doc__) > 40


def test_front_door_says_what_there_is():
    with pytest.raises(AttributeError, match="has no attribute 'draw_cats'; it offers GAN"):
        gan_helpers.draw_cats  # noqa: B018


def test_import_does_not_load_tensorflow():
    code = "import sys, gan_helpers; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_models_do_not_import_tensorflow_themselves():
    for path in [*(ROOT / "gan_helpers/models").glob("*.py"), *(ROOT / "gan_helpers/visualization").glob("*.py")]:
        assert not re.search(r"^\s*(import|from) tensorflow", path.read_text(), re.MULTILINE), path


def test_tensorflow_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [name for name in project["dependencies"] if name.startswith("tensorflow")]
    assert project["optional-dependencies"]["cpu"] == ["tensorflow-cpu>=2.18"]


def test_colab_pins_stand():
    """In the environment made to match Colab, installing the package moved no pin."""
    pins = dict(
        line.strip().split("==") for line in (ROOT / "colab-requirements.txt").read_text().splitlines() if "==" in line
    )
    version = importlib.import_module("importlib.metadata").version
    if f"{sys.version_info[0]}.{sys.version_info[1]}" != "3.13" or version("keras") != pins["keras"]:
        pytest.skip("not the environment of make test-colab")
    assert {name: version(name) for name in pins} == pins


def test_setup_says_what_it_found(capsys):
    from gan_helpers.colab import setup

    machine = setup(drive=True)
    said = capsys.readouterr().out
    assert "TensorFlow" in said and "GPU" in said
    assert machine.cores >= 1 and not machine.colab and machine.folder == Path()
