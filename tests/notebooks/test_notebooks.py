"""What every committed notebook promises. The runs at small size are nbmake's, over `notebooks/*.ipynb`."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ABSOLUTE = re.compile(r"(?<![\w/.:])/(home|root|work|tmp|Users|private|var)/")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def book(path):
    return nbformat.read(path, as_version=4)


def _code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def _texts(book):
    for cell in _code(book):
        for output in cell.outputs:
            yield output.get("text", "")
            yield from (str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/"))


def test_every_source_has_its_notebook():
    sources = [path.stem for path in sorted((ROOT / "notebooks/source").glob("*.py"))]
    assert [path.stem for path in NOTEBOOKS] == sources and len(sources) >= 5


def test_in_step_with_its_source(path, book):
    source = jupytext.read(ROOT / "notebooks/source" / f"{path.stem}.py")
    assert [(cell.cell_type, cell.source) for cell in book.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ], "run: python notebooks/build.py sync, or make notebooks"


def test_holds_the_outputs_of_one_real_run(book):
    counts = [cell.execution_count for cell in _code(book)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [output for cell in _code(book) for output in cell.outputs if output.output_type == "error"]
    assert set(book.metadata["gan_helpers"]) == {"executed", "seconds", "versions"}


def test_is_light_and_without_widgets(path, book):
    assert path.stat().st_size < 2_000_000
    assert "widgets" not in book.metadata
    assert not any("widget" in text[:200] for text in _texts(book))
    assert not any(
        "widget" in kind for cell in _code(book) for output in cell.outputs for kind in output.get("data", ())
    )


def test_names_no_place_of_the_machine_it_ran_on(book):
    for text in _texts(book):
        assert not ABSOLUTE.search(text), text


def test_has_the_rhythm(path, book):
    first = book.cells[0].source
    assert first.startswith(f"# {path.stem[:2]} ") and f"notebooks/{path.name})" in first and "not measured" in first
    parameters = [cell for cell in _code(book) if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1 and parameters[0].metadata["nbmake"]["post_cell_execute"]
    kinds = "".join(cell.cell_type[0] for cell in book.cells)
    assert "cccc" not in kinds
    if path.stem == "00_quick_start":
        assert kinds.count("c") <= 12
    for picture in re.findall(r"\]\((\.\./[^)]+)\)", "\n".join(cell.source for cell in book.cells)):
        assert (path.parent / picture).exists(), picture


def test_kernel_says_its_language(book):
    assert book.metadata["kernelspec"]["language"] == "python"
