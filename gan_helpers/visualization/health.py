"""A panel of small charts: how a GAN's training fares, and where it began to fail."""

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

# Title, whether on a logarithmic axis, where health lies (a dotted line), and the lines: column, label.
CHARTS = (
    ("scores (1: real)", False, 0.5, (("real_score", "real"), ("fake_score", "fake"))),
    ("losses", False, None, (("d_loss", "discriminator"), ("g_loss", "generator"))),
    ("gradients' size", True, None, (("d_gradient_norm", "discriminator"), ("g_gradient_norm", "generator"))),
    ("weights' size, of the start's", False, 1, (("d_growth", "discriminator"), ("g_growth", "generator"))),
    ("diversity, of real pictures'", False, 1, (("diversity", "samples"),)),
    ("detail and grid, of real pictures'", True, 1, (("sharpness", "sharpness"), ("nyquist", "checkerboard"))),
    ("scores, in inference", False, None,
     (("seen_score", "real, seen"), ("unseen_score", "real, unseen"), ("sample_score", "samples"))),
    ("share of saturated values", False, None, (("saturated", "samples"), ("real_saturated", "real"))),
)  # fmt: skip


def plot_health(looks, diagnosis):
    """The looks of a `HealthMonitor` as eight small charts, the diagnosis above them.

    Args:
        looks: its `looks`, or rows of a `health.csv`.
        diagnosis: its `diagnosis`; where it is an alarm, a red line marks the step since which it holds.

    Returns:
        The `matplotlib` figure.

    Raises:
        ValueError: there are no looks.
    """
    if not looks:
        raise ValueError("expected at least one look; received none; train some steps with the monitor")
    first = looks[0]
    grown = {f"{name}_growth": f"{name}_weight_norm" for name in "gd"}
    rows = [look | {name: look[norm] / first[norm] for name, norm in grown.items()} for look in looks]
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    for axes, (title, logarithmic, goal, lines) in zip(figure.subplots(2, 4, sharex=True).flat, CHARTS, strict=True):
        for number, (column, label) in enumerate(lines):
            values = [row.get(column, float("nan")) for row in rows]
            axes.plot(
                [row["step"] for row in rows], values, f"C{number}", label=label, marker="." if len(rows) < 20 else ""
            )
        _finish(axes, title, logarithmic, goal)
        if diagnosis.condition != "healthy":
            axes.axvline(diagnosis.since_step, color="C3", linewidth=1.2)
    colour = "C2" if diagnosis.condition == "healthy" else "C3"
    figure.supxlabel("step", fontsize=8)
    figure.suptitle(diagnosis.headline, fontsize=11, color=colour, fontweight="bold")
    return figure


def _finish(axes, title, logarithmic, goal):
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if title.startswith("scores"):
        axes.set_ylim(-0.03, 1.03)
    elif not logarithmic:
        axes.set_ylim(bottom=0)
    if goal is not None:
        axes.axhline(goal, color="grey", linewidth=0.8, linestyle=":")
    if len(axes.lines) > 1 + (goal is not None):
        axes.legend(fontsize=7)
