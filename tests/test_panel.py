import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_helpers.visualization import panel as panels
from gan_helpers.visualization.panel import VIEW, Panel, widgets

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be moved by hand."""
    now = [100.0]
    monkeypatch.setattr(panels.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def panel(tmp_path, clock):
    """A panel whose picture is as red and as green as its two sliders say; blue beyond 200 is refused."""
    kit = widgets()
    red = kit.IntSlider(value=10, max=255, description="red")
    green = kit.BoundedIntText(value=20, max=255, description="green")

    def draw():
        if red.value > 200:
            raise ValueError("expected less red; received more; move it back")
        return np.full((8, 12, 3), (red.value, green.value, 0), np.uint8)

    return Panel(draw, [red, green], "colours", directory=tmp_path / "made/images")


def _colour(panel):
    return panel.picture[0, 0, :2].tolist()


def test_the_picture_follows_the_controls(panel):
    assert _colour(panel) == [10, 20] and panel.values == {"red": 10, "green": 20}
    panel.controls[0].value = 50
    assert _colour(panel) == [50, 20]
    with Image.open(io.BytesIO(panel._image.value)) as shown:
        assert shown.size == (12, 8) and np.abs(np.asarray(shown)[0, 0] - np.array([50, 20, 0])).max() <= 2


def test_back_and_forward(panel, clock):
    for place, value in ((0, 50), (1, 60), (0, 70)):
        clock[0] += 5
        panel.controls[place].value = value
    seen = []
    for go in (panel.back, panel.back, panel.back, panel.back, panel.forward):
        go()
        seen.append(_colour(panel))
    assert seen == [[50, 60], [50, 20], [10, 20], [10, 20], [50, 20]]
    assert not panel._back.disabled and not panel._forward.disabled


def test_a_change_after_going_back_forgets_what_came_then(panel, clock):
    panel.controls[0].value = 50
    panel.back()
    assert panel._back.disabled and not panel._forward.disabled
    panel.controls[1].value = 60
    panel.forward()
    assert _colour(panel) == [10, 60] and panel._forward.disabled


@pytest.mark.parametrize(
    ("place", "seconds", "left"),
    [(0, 0.1, [10, 20]), (0, 2, [52, 20]), (1, 0.1, [10, 52])],
    ids=["a slider's drag is one step", "after a pause another", "each number typed is one"],
)
def test_what_is_one_step_of_the_history(panel, clock, place, seconds, left):
    for value in (50, 51, 52, 53):
        panel.controls[place].value = value
        clock[0] += seconds
    panel.back()
    assert _colour(panel) == left


def test_back_in_the_middle_of_a_drag_does_not_join_what_follows(panel, clock):
    panel.controls[0].value = 50
    clock[0] += 5
    panel.controls[0].value = 60
    panel.back()
    panel.controls[0].value = 70
    panel.back()
    assert _colour(panel) == [50, 20]


def test_what_cannot_be_drawn_is_said_and_the_picture_stays(panel):
    panel.controls[0].value = 250
    assert "expected less red" in panel.message and _colour(panel) == [10, 20]
    panel.controls[0].value = 30
    assert panel.message == panels.HINT and _colour(panel) == [30, 20]


def test_saving_never_replaces_a_picture(panel, tmp_path):
    first = panel.save()
    assert first == tmp_path / "made/images/colours_1.png"
    first.write_bytes(b"mine now")
    panel.controls[0].value = 50
    second = panel.save()
    assert second.name == "colours_2.png" and first.read_bytes() == b"mine now"
    with Image.open(second) as picture:
        assert picture.info["Description"] == "red 50, green 20"
        assert (np.asarray(picture) == panel.picture).all()


def test_a_folder_that_cannot_be_made_is_said(panel, tmp_path):
    (tmp_path / "made").write_text("a file")
    panel._save()
    assert panel.message.startswith("not saved: ") and (tmp_path / "made").read_text() == "a file"


def test_the_output_holds_view_and_picture(panel):
    panel.controls[0].value = 90
    bundle = panel._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/png", VIEW}
    assert bundle[VIEW]["model_id"] == panel.widget.model_id
    assert bundle["text/plain"] == "Panel of colours: red 90, green 20"
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))) as picture:
        assert (np.asarray(picture) == panel.picture).all()


def test_where_no_kernel_runs_the_picture_is_shown_once(panel):
    """nbviewer makes its pages with nbconvert."""
    import nbformat
    from nbconvert import HTMLExporter

    bundle = panel._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("panel", outputs=[nbformat.v4.new_output("display_data", bundle)])
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert page.count("data:image/png;base64," + bundle["image/png"][:40]) == 1
    assert panel.widget.model_id not in page


def test_without_ipywidgets_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ModuleNotFoundError, match=r"received none; pip install 'ipywidgets>=7.7,<9'.*\[explorer\]"):
        Panel(lambda: None, [], "none")


def test_ipywidgets_is_loaded_for_panels_alone():
    code = "import sys, gan_helpers; gan_helpers.explore_latents; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
