"""Runs side by side: their faces, what they differ in, their figures and curves, as one page or one picture."""

import base64
import html
import io
import json
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from gan_helpers.training.files import write_whole
from gan_helpers.training.runs import Run, load_generator
from gan_helpers.visualization.plots import generate_images, image_grid

CURVES = ("d_loss", "g_loss", "real_score", "fake_score")
NOT_MEASURED = "not measured"
NO_FACES = "no generator.keras yet: no faces"
GREY = "#808080"  # of a chart's text and axes: readable on white as on black


@dataclass(frozen=True)
class _Seen:
    """What is shown of a run; `faces` and `quality` are `None` where it has none."""

    name: str
    colour: str
    settings: dict
    history: list
    faces: np.ndarray | None
    quality: dict | None


def compare_runs(runs, output, *, count=32, seed=0, overwrite=False):
    """Puts runs side by side: a page that needs nothing but itself, to look at and to send, or one picture.

    Of each run it shows the first faces of `seed` from the averaged generator, the settings in which the runs differ,
    the last row of `history.csv`, the measures of `quality.json`, and all runs' curves over their steps. A measure
    compares only under equal conditions; those in which the runs differ stand with each figure. What a run does not
    have yet is noted; what is damaged is refused.

    Args:
        runs: paths of the runs' folders, each once.
        output: `.html` for one page without scripts, light or dark as its reader's device is, or `.png` for one
            picture. Its folder is made where missing.
        count: faces of each run, at least 1. Defaults to `32`.
        seed: seed of their latents. Defaults to `0`.
        overwrite: replace a file of that name. Defaults to `False`.

    Returns:
        `pathlib.Path` of the page or picture.

    Raises:
        ValueError: no runs, one of them twice, a folder that is no run, a damaged file in one, another ending, a count
            below 1, or an output that exists.

    Example:
        >>> compare_runs(["runs/first", "runs/second"], "compare.html")
        PosixPath('compare.html')
    """
    output, folders = Path(output), [Path(run) for run in runs]
    if output.suffix.lower() not in (".html", ".png"):
        raise ValueError(f"expected an output that ends in .html or .png; received '{output}'; name it so")
    if output.exists() and not overwrite:
        raise ValueError(
            f"expected an output that does not exist; received '{output}', which does; choose another, or allow "
            "overwriting (overwrite=True, --overwrite)"
        )
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        listed = ", ".join(map(str, folders)) or "none"
        raise ValueError(f"expected at least one run, and each once; received {listed}; give their folders")
    if count < 1:
        raise ValueError(f"expected a count of at least 1; received {count}; 32 show enough to judge by")
    for folder in folders:
        Run(folder).settings  # noqa: B018  what is no run is refused before any faces are made
    names = _names(folders)
    seen = [_look(folder, name, f"C{n % 10}", count, seed) for n, (folder, name) in enumerate(names.items())]
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix.lower() == ".png":
        write_whole(output, lambda file: _picture(seen, seed).savefig(file, format="png"))
    else:
        write_whole(output, _page(seen, count, seed).encode())
    return output


def _names(folders):
    """The folders' last parts, or as many of their parts as tell them apart."""
    for parts in range(1, max(len(folder.resolve().parts) for folder in folders) + 1):
        names = ["/".join(folder.resolve().parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return dict(zip(folders, names, strict=True))


def _look(folder, name, colour, count, seed):
    run = Run(folder)
    history = run.history()
    if not all("step" in row for row in history):
        raise ValueError(
            f"expected a column 'step' in '{folder / 'history.csv'}'; received a table without it; train with this run "
            "again, which restores it from the checkpoint"
        )
    faces = None
    if run.generator_file.exists():
        faces = generate_images(load_generator(folder), count, seed=seed)
    return _Seen(name, colour, run.settings, history, faces, _quality(folder / "quality.json"))


def _quality(file):
    """What `quality.json` says, its measures by their names; `None` without the file."""
    if not file.exists():
        return None
    try:
        quality = json.loads(file.read_bytes())
        measures = {one["name"]: one | {"conditions": dict(one["conditions"])} for one in quality["measures"]}
        for one in measures.values():
            _figure(one, one["conditions"])
        return quality | {"measures": measures, "not_measured": dict(quality.get("not_measured", {}))}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected measures as JSON in '{file}'; received a damaged file ({type(error).__name__}: {error}); "
            "measure the run again, or delete the file"
        ) from error


# Tables: (title, rows); a row is a label and a cell for each run, texts whose further lines are notes.


def _tables(seen):
    tables = [("Settings in which they differ", _settings(seen)), ("Where training stands", _state(seen))]
    tables.append(("Quality", _measures(seen)))
    return [(title, rows) for title, rows in tables if rows]


def _settings(seen):
    missing = object()
    rows = []
    for name in dict.fromkeys(name for one in seen for name in one.settings):
        values = [one.settings.get(name, missing) for one in seen]
        if any(value != values[0] for value in values):
            rows.append((name, ["not set" if value is missing else _text(value) for value in values]))
    return rows


def _state(seen):
    """The last row of each history."""
    last = [one.history[-1] if one.history else {} for one in seen]
    names = dict.fromkeys(name for row in last for name in row)
    rows = [(name, [_text(row.get(name)) for row in last]) for name in names]
    return rows or [("epoch", ["none finished"] * len(seen))]


def _measures(seen):
    """A row for each measure, and what was measured when; conditions that differ stand with each figure."""
    rows = [
        (label, [_text(one.quality.get(key)) if one.quality else NOT_MEASURED for one in seen])
        for key, label in (("step", "measured at step"), ("count", "generated pictures"))
        if any(one.quality and key in one.quality for one in seen)
    ]
    qualities = [one.quality or {"measures": {}, "not_measured": {}} for one in seen]
    for name in dict.fromkeys(
        name for quality in qualities for part in ("measures", "not_measured") for name in quality[part]
    ):
        found = [quality["measures"][name]["conditions"] for quality in qualities if name in quality["measures"]]
        keys = dict.fromkeys(key for conditions in found for key in conditions)
        differing = [key for key in keys if any(one.get(key) != found[0].get(key) for one in found)]
        same = [f"{key}: {_text(found[0][key])}" for key in keys if key not in differing]
        rows.append(("\n".join([name, *same]), [_measured(quality, name, differing) for quality in qualities]))
    return rows or [("measures", [NOT_MEASURED] * len(seen))]


def _measured(quality, name, differing):
    if name in quality["measures"]:
        return _figure(quality["measures"][name], differing)
    reason = quality["not_measured"].get(name)
    return f"{NOT_MEASURED}\n{reason}" if reason else NOT_MEASURED


def _figure(measure, differing):
    value = f"{measure['value']:.4g}"
    if measure["spread"] is not None:
        value += f" ± {measure['spread']:.2g}"
    notes = [] if measure["interval"] is None else ["95 %: {:.4g} to {:.4g}".format(*measure["interval"])]
    return "\n".join([value, *notes, *(f"{key}: {_text(measure['conditions'].get(key))}" for key in differing)])


def _text(value):
    """A value as a person reads it; fingerprints are cut short."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):  # an attribute that a run was trained with
        return str(value.get("name", value))
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    text = str(value)
    return f"{text[:12]}…" if len(text) >= 40 and " " not in text else text


# Curves


def _curves(seen):
    """The names of what the histories hold over the steps."""
    logged = {name for one in seen for row in one.history for name, value in row.items() if math.isfinite(value)}
    return [name for name in (*CURVES, *sorted(logged - {*CURVES, "epoch", "step"})) if name in logged]


def _draw_curve(axis, name, seen):
    drawn = []
    for one in seen:
        points = [(row["step"], row[name]) for row in one.history if math.isfinite(row.get(name, math.nan))]
        if points:
            axis.plot(*zip(*points, strict=True), one.colour, label="run", marker="." if len(points) < 40 else "")
            drawn.append(one.name if len(one.name) <= 28 else f"…{one.name[-27:]}")
    if name in ("real_score", "fake_score"):
        axis.set_ylim(0, 1)
        axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_title(name, fontsize=11, parse_math=False)
    axis.set_xlabel("step")
    axis.set_xlim(left=0)
    axis.ticklabel_format(axis="x", useOffset=False, style="plain")
    axis.locator_params(axis="x", nbins=5, integer=True)
    for text, label in zip(axis.legend(fontsize=9).get_texts(), drawn, strict=True):
        text.set(text=label, parse_math=False)  # as it is: matplotlib reads $ as formulas, and leaves out _names


def _chart(name, seen):
    """One curve's chart on a transparent ground, as PNG."""
    figure = Figure(figsize=(4.2, 2.9), dpi=160, layout="constrained")
    axis = figure.add_subplot()
    _draw_curve(axis, name, seen)
    axis.set_facecolor("none")
    axis.tick_params(colors=GREY)
    for text in (axis.title, axis.xaxis.label, *axis.get_legend().get_texts()):
        text.set_color(GREY)
    axis.get_legend().get_frame().set(facecolor="none", edgecolor="none")
    for spine in axis.spines.values():
        spine.set_color(GREY)
    return _png(lambda file: figure.savefig(file, format="png", transparent=True))


def _png(save):
    with io.BytesIO() as file:
        save(file)
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


# The page

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 0.25rem; }
h2, caption { font-size: 1.1rem; font-weight: 600; text-align: left; margin: 0; padding: 0.3rem 0; }
p { margin: 0 0 1rem; }
.side { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
section { container-type: inline-size; min-width: 0; }
.faces { display: grid; gap: 2px; grid-template-columns: repeat(4, 1fr); }
@container (min-width: 28rem) { .faces { grid-template-columns: repeat(8, 1fr); } }
img { display: block; width: 100%; height: auto; }
.dot { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 50%; margin-right: 0.4em; }
.charts { display: grid; gap: 0.5rem; margin: 1.5rem 0; }
@media (min-width: 36rem) { .charts { grid-template-columns: repeat(2, 1fr); } }
@media (min-width: 70rem) { .charts { grid-template-columns: repeat(4, 1fr); } }
.tables { display: flex; flex-wrap: wrap; gap: 1.5rem 3rem; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 1rem 0.3rem 0; min-width: 5.5rem; max-width: 22rem; }
tr { border-bottom: 1px solid #8885; }
small { display: block; }
small, summary { font-size: 0.8rem; opacity: 0.75; }
tbody th { font-weight: 400; overflow-wrap: normal; position: sticky; left: 0; background: Canvas; }
"""


def _page(seen, count, seed):
    sections = "\n".join(f"<section><h2>{_named(one)}</h2>{_faces(one)}</section>" for one in seen)
    charts = "\n".join(
        f'<img src="{_chart(name, seen)}" alt="{html.escape(name)} of each run over its steps">'
        for name in _curves(seen)
    )
    tables = "\n".join(_table(title, rows, seen) for title, rows in _tables(seen))
    return f"""<!doctype html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Runs compared</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Runs compared</h1>
<p>The first {count} faces of seed {seed} from each run’s averaged generator. These people do not exist.</p>
<div class="side">
{sections}
</div>
<div class="charts">
{charts or "<p>No run has finished an epoch yet: no curves.</p>"}
</div>
<div class="tables">
{tables}
</div>
</body>
</html>
"""


def _named(one):
    return f'<span class="dot" style="background:{to_hex(one.colour)}"></span>{html.escape(one.name)}'


def _faces(one):
    if one.faces is None:
        return f"<p>{NO_FACES}</p>"
    pictures = [_png(lambda file, face=face: Image.fromarray(face).save(file, "PNG")) for face in one.faces]
    return '<div class="faces">' + "".join(f'<img src="{picture}" alt="">' for picture in pictures) + "</div>"


def _table(title, rows, seen):
    names = "".join(f'<th scope="col">{_named(one)}</th>' for one in seen)
    body = "\n".join(
        f'<tr><th scope="row">{_label(label)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in cells)}</tr>'
        for label, cells in rows
    )
    return (
        f'<div class="wide"><table><caption>{html.escape(title)}</caption>\n'
        f"<thead><tr><td></td>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cell(text):
    first, *notes = map(html.escape, text.split("\n"))
    return first + "".join(f"<small>{note}</small>" for note in notes)


def _label(text):
    name, *notes = text.split("\n", 1)
    folded = f"<details><summary>conditions</summary>{_cell(chr(10) + notes[0])}</details>" if notes else ""
    return html.escape(name) + folded


# The picture

MARGIN, LABEL, LINE, CHART = 0.3, 2.3, 0.17, 2.8  # inches


def _picture(seen, seed):
    """The same as the page, top to bottom, placed in inches."""
    cell = max(3.2, 7.0 / len(seen))
    width = 2 * MARGIN + LABEL + cell * len(seen)
    grids = [None if one.faces is None else image_grid(one.faces, min(8, len(one.faces))) for one in seen]
    tall = max([0.3, *(cell * grid.shape[0] / grid.shape[1] for grid in grids if grid is not None)])
    blocks = [(title, [_wrapped(row, cell) for row in rows]) for title, rows in _tables(seen)]
    lines = sum(2.2 + sum(max(map(len, row)) + 0.4 for row in rows) for _, rows in blocks)
    curves = _curves(seen)
    across = 4 if width > 12 else 2
    chart_wide = (width - 2 * MARGIN) / across
    height = 2 * MARGIN + 0.4 + tall + LINE * lines + CHART * -(-len(curves) // across)
    figure = Figure(figsize=(width, height), dpi=150)
    columns = [MARGIN, *(MARGIN + LABEL + cell * n for n in range(len(seen)))]

    def write(left, top, text, **style):
        style = {"fontsize": 9, "va": "top", "parse_math": False} | style
        figure.text(left / width, 1 - top / height, text, **style)

    def axes(left, top, wide, high):
        return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))

    top = MARGIN
    write(MARGIN, top, f"Faces of seed {seed}", fontsize=11)
    for left, one in zip(columns[1:], seen, strict=True):
        write(left, top, textwrap.shorten(one.name, 40), fontsize=11, color=one.colour, weight="bold")
    top += 0.3
    for left, grid in zip(columns[1:], grids, strict=True):
        if grid is None:
            write(left, top, NO_FACES)
            continue
        axis = axes(left, top, cell - 0.15, (cell - 0.15) * grid.shape[0] / grid.shape[1])
        axis.imshow(grid)
        axis.axis("off")
    top += tall + 0.1
    for title, rows in blocks:
        write(MARGIN, top + LINE, title, fontsize=11, weight="bold")
        top += 2.2 * LINE
        for row in rows:
            for left, text in zip(columns, row, strict=True):
                write(left, top, "\n".join(text), linespacing=1.2)
            top += LINE * (max(map(len, row)) + 0.4)
    for n, name in enumerate(curves):
        row, column = divmod(n, across)
        axis = axes(MARGIN + chart_wide * column + 0.4, top + CHART * row + 0.4, chart_wide - 0.6, CHART - 0.9)
        _draw_curve(axis, name, seen)
    return figure


def _wrapped(row, cell):
    """A row as lists of lines that are as wide as their columns."""
    label, cells = row
    name, *conditions = label.split("\n")
    label = [name, *textwrap.wrap("; ".join(conditions), int(LABEL * 14))]
    return [
        label,
        *([line for part in text.split("\n") for line in textwrap.wrap(part, int(cell * 14))] for text in cells),
    ]
