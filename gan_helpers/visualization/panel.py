"""A picture and the controls that it depends on, live in a notebook: what the explorer's panels have in common."""

import base64
import io
import time
from pathlib import Path

from PIL import Image, PngImagePlugin

PAUSE = 1.0  # seconds; changes of a slider that follow each other faster are one step of the history
HINT = "Tab goes from control to control, arrow keys move a slider."
VIEW = "application/vnd.jupyter.widget-view+json"


def widgets():
    """The module `ipywidgets`, which only those who open a panel need.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import ipywidgets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected ipywidgets, which panels are made of; received none; pip install 'ipywidgets>=7.7,<9', or "
            "'gan_helpers[explorer]', then restart the kernel",
            name="ipywidgets",
        ) from error
    return ipywidgets


class Panel:
    """A picture that follows its controls, with a history to go back in and a button that saves it.

    As the last line of a cell it is shown: with its controls where a kernel runs, and else (a notebook on the web) as
    the picture that it had when the cell ran. Both are one output in two forms, of which a viewer takes the one that it
    can show, so that no picture is there twice. All of it works with the mouse and with the keyboard alone.

    Args:
        draw: function without arguments that gives the picture of what the controls say, uint8 `(height, width, 3)`. A
            ValueError or OSError of it is shown in the panel, and the last picture stays.
        controls: list of ipywidgets with a `value` and a `description`, in reading order.
        name: how names of saved pictures begin.
        directory: folder of saved pictures, made where missing. Defaults to `"images"`.
        buttons: further buttons, before those of every panel. Defaults to none.

    Attributes:
        controls: as given. Setting the `value` of one moves it on the screen too.
        picture: what is shown, uint8.
        message: the line below the buttons.
        widget: the ipywidget of it all.

    Raises:
        ModuleNotFoundError: there is no ipywidgets.
        ValueError: the first picture cannot be drawn.
    """

    def __init__(self, draw, controls, name, *, directory="images", buttons=()):
        self.controls, self._draw, self._name, self._directory = list(controls), draw, name, Path(directory)
        self._image = widgets().Image(format="jpeg", layout={"flex": "0 0 auto", "max_width": "calc(100% - 4px)"})
        self._line = widgets().Label(HINT)
        self._show(draw())
        self._history, self._place = [self._state()], 0
        self._moved, self._when, self._going = None, 0.0, False
        self._back, self._forward = button("Back", self.back), button("Forward", self.forward)
        self._mark_ends()
        for control in self.controls:
            control.observe(self._changed, "value")
        self.widget = self._laid_out([*buttons, self._back, self._forward, button("Save picture", self._save)])

    @property
    def values(self):
        """What the controls say, a dict by their descriptions."""
        return {control.description: control.value for control in self.controls}

    @property
    def message(self):
        """The line below the buttons."""
        return self._line.value

    def back(self):
        """Takes the last change back; at the beginning nothing happens."""
        self._go(max(self._place - 1, 0))

    def forward(self):
        """Makes a change again that was taken back; at the end nothing happens."""
        self._go(min(self._place + 1, len(self._history) - 1))

    def save(self):
        """Saves the picture as PNG under the first free number; what the controls say stands in it as `Description`.

        Returns:
            `pathlib.Path` of the picture.
        """
        said = PngImagePlugin.PngInfo()
        said.add_itxt("Description", self._said())
        content = _encoded(self.picture, "PNG", pnginfo=said)
        self._directory.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self._directory / f"{self._name}_{number}.png").exists():
            number += 1
        with open(path, "xb") as file:  # never one that came in between
            file.write(content)
        return path

    def __repr__(self):
        return f"Panel of {self._name}: {self._said()}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        # Written out: ipywidgets 7 and 8 show themselves by different methods, and both without a picture.
        return {
            "text/plain": repr(self),
            "image/png": base64.b64encode(_encoded(self.picture, "PNG")).decode(),
            VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id},
        }

    def _laid_out(self, buttons):
        kit, names = widgets(), [control.description for control in self.controls]
        for control in self.controls:
            control.style.description_width = f"{max(map(len, names)) + 1}ch"
            control.layout.width = "auto"
        columns = {"grid_template_columns": "repeat(auto-fill, minmax(min(22em, 100%), 1fr))", "width": "100%"}
        side = [
            kit.GridBox(self.controls, layout=columns),
            kit.HBox(buttons, layout={"flex_flow": "row wrap"}),
            self._line,
        ]
        side = kit.VBox(side, layout={"flex": "1 1 22em", "max_width": "60em"})
        flow = {"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "12px"}
        return kit.HBox([self._image, side], layout=flow)

    def _said(self):
        return ", ".join(
            f"{name} {value if isinstance(value, str) else format(value, 'g')}" for name, value in self.values.items()
        )

    # Changes and history

    def _state(self):
        return [control.value for control in self.controls]

    def _changed(self, change):
        if self._going:
            return
        control, now = change["owner"], time.monotonic()
        slides = getattr(control, "continuous_update", False)
        same_move = slides and control is self._moved and now - self._when < PAUSE
        self._moved, self._when = control, now
        del self._history[self._place + (not same_move) :]
        self._history.append(self._state())
        self._place = len(self._history) - 1
        self._redraw()

    def _go(self, place):
        self._place, self._moved, self._going = place, None, True
        try:
            for control, value in zip(self.controls, self._history[place], strict=True):
                control.value = value
        finally:
            self._going = False
        self._redraw()

    def _redraw(self):
        try:
            self._show(self._draw())
            self._line.value = HINT
        except (OSError, ValueError) as error:  # raised in a callback, it would end in a log that nobody reads
            self._line.value = str(error)
        self._mark_ends()

    def _show(self, picture):
        self.picture = picture
        # What moves is JPEG of full colour, a twentieth of the work of PNG; what stays and what is saved is PNG.
        self._image.value = _encoded(picture, "JPEG", quality=95, subsampling=0)

    def _save(self):
        try:
            self._line.value = f"saved as {self.save()}"
        except OSError as error:
            self._line.value = f"not saved: {error}"

    def _mark_ends(self):
        self._back.disabled = self._place == 0
        self._forward.disabled = self._place == len(self._history) - 1


def button(text, action):
    """A button that does something when it is pressed.

    Args:
        text: what stands on it.
        action: function without arguments.
    """
    made = widgets().Button(description=text, layout={"width": "auto"})
    made.on_click(lambda _: action())
    return made


def _encoded(picture, kind, **options):
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, kind, **options)
        return file.getvalue()
