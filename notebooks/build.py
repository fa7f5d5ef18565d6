"""Keeps `notebooks/*.ipynb` in step with `notebooks/source/*.py`, runs them, and stamps addresses into them.

python notebooks/build.py sync            source text into the .ipynb, outputs of unchanged cells kept
python notebooks/build.py run [NAME ...]  run at full size, outputs into the .ipynb, date and versions stamped
python notebooks/build.py links           the repository's address from pyproject.toml into badges and set-up cells
"""

import argparse
import datetime
import importlib.metadata
import platform
import re
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

HERE = Path(__file__).resolve().parent
REPOSITORY = r"[\w.-]+/[\w.-]+?"
ADDRESSES = (
    (rf"(colab\.research\.google\.com/github/){REPOSITORY}(/blob/)", r"\g<1>{name}\g<2>"),
    (rf"(git\+https://github\.com/){REPOSITORY}(?=[\"'\s@])", r"\g<1>{name}"),
)
VIEW = "application/vnd.jupyter.widget-view+json"
STAMPED_PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "numpy", "pillow", "matplotlib")


def sources(names=()):
    """Source files, all or those whose names begin with one of `names`."""
    found = sorted((HERE / "source").glob("*.py"))
    chosen = [path for path in found if not names or path.name.startswith(tuple(names))]
    if not chosen:
        raise SystemExit(f"expected notebooks of {[path.stem for path in found]}; received {list(names)}")
    return chosen


def sync(names=()):
    """Writes each source into its notebook; a cell whose code is unchanged keeps its outputs."""
    for source in sources(names):
        target = HERE / f"{source.stem}.ipynb"
        fresh = jupytext.read(source)
        if target.exists():
            written = nbformat.read(target, as_version=4)
            fresh = jupytext.combine.combine_inputs_with_outputs(fresh, written)
            fresh.metadata.update({k: v for k, v in written.metadata.items() if k == "gan_helpers"})
        _write(fresh, target)


def run(names=()):
    """Executes each notebook in an empty folder, as a learner meets it, and keeps what it shows."""
    for source in sources(names):
        book = jupytext.read(source)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            resources = {"metadata": {"path": folder}}
            NotebookClient(book, timeout=None, kernel_name="python3", resources=resources).execute()
        CoalesceStreamsPreprocessor().preprocess(book, {})
        seconds = time.monotonic() - began
        book.metadata.pop("widgets", None)
        _keep_pictures(book)
        book.metadata["gan_helpers"] = {
            "executed": datetime.date.today().isoformat(),
            "seconds": round(seconds),
            "versions": {"python": platform.python_version()} | dict(_versions()),
        }
        _write(book, HERE / f"{source.stem}.ipynb")
        print(f"{source.stem}: {seconds:.0f} s", file=sys.stderr)


def links(names=()):
    """Stamps the repository's address, which stands in pyproject.toml alone, into the sources and README."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = project["urls"]["Repository"].removeprefix("https://github.com/")
    for path in [*sources(), HERE.parent / "README.md"]:
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in ADDRESSES:
            text = re.sub(pattern, replacement.format(name=name), text)
        path.write_text(text, encoding="utf-8")
    sync()


def _versions():
    for package in STAMPED_PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


def _keep_pictures(book):
    """Of a panel leaves the picture alone: without its kernel the other form is but an error to who opens the file."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"].pop(VIEW, None)


def _write(book, target):
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number:02d}"  # steady, so that a diff shows what changed
        for name in ("execution", "lines_to_next_cell"):  # of one run's clock, and of jupytext's layout
            cell.metadata.pop(name, None)
    nbformat.validate(book)
    nbformat.write(book, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("sync", "run", "links"))
    parser.add_argument("names", nargs="*", help="beginnings of notebook names, e.g. 03")
    chosen = parser.parse_args()
    {"sync": sync, "run": run, "links": links}[chosen.command](chosen.names)
