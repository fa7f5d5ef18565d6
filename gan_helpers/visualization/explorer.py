"""Panels to play with a trained generator in a notebook: walk, morph, play attributes against each other, look back."""

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_helpers.data.labels import place_of
from gan_helpers.training.runs import check_generator, load_generator
from gan_helpers.visualization.panel import Panel, button, widgets
from gan_helpers.visualization.plots import (
    attributes_for,
    generate_images,
    image_grid,
    interpolate,
    latent_dim_of,
    sample_latents,
)

LAST_SEED = 2**31 - 1
STRONGEST = 2.0
STEPS = 20  # of an attribute's slider
_FONT, _PAD = 14, 6  # pixels


def explore_latents(generator, *, seed=0, strength=1.0, attributes=None, directory="images"):
    """A face to turn into others: by another seed, a walk from it, a longer latent, and by its attributes.

    The walk leads over the sphere that latents lie near, in a circle from the seed's latent through people that are
    made from no other seed, and back after 360 degrees. `strength` makes the latent shorter or longer than those of
    training: below 1 faces become more typical and alike, above 1 louder and more faulty. At 0 degrees and strength 1
    it is the first face that `generate` makes of the seed. A generator with attributes has a slider for each.

    Args:
        generator: a `keras.Model`, or path of a run's folder or of a `.keras` file.
        seed: which latent to begin with, 0 to 2,147,483,647. Defaults to `0`.
        strength: what the latent is multiplied with, 0 to 2. Defaults to `1.0`.
        attributes: where the sliders of a generator with attributes begin: a dict such as `{"Smiling": 1}`. What is
            not wished for begins as in the data. Defaults to `None`, no wishes.
        directory: folder of the pictures that one saves. Defaults to `"images"`.

    Returns:
        A `Panel`; as the last line of a cell it is shown.

    Raises:
        ModuleNotFoundError: there is no ipywidgets.
        ValueError: no such generator, an attribute that it does not have, or a value out of its range.

    Example:
        >>> explore_latents("runs/mine", seed=4, attributes={"Smiling": 1})

    Reference: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2018 (truncation).
    """
    generator = _generator(generator)
    kit, seed = widgets(), _seed_box("seed", seed)
    if not 0 <= strength <= STRONGEST:
        raise ValueError(f"expected a strength from 0 to {STRONGEST:g}; received {strength}; 1 is as in training")
    walk = kit.IntSlider(value=0, min=0, max=360, step=3, description="walk")
    strength = kit.FloatSlider(value=strength, min=0, max=STRONGEST, step=0.05, description="strength")
    known = _attributes(generator)
    row = attributes_for(generator, 1, attributes, seed=seed.value)
    sliders = [_slider(*one) for one in zip(known, row[0], strict=True)] if known else []

    def draw():
        latents = strength.value * _on_the_circle(seed.value, latent_dim_of(generator), walk.value)
        row = [[one.scaled(slider.value) for one, slider in zip(known, sliders, strict=True)]]
        faces = generate_images(generator, latents[None], attributes=np.array(row, np.float32) if known else None)
        return _grid(faces, shown=256)

    another = button("Another face", lambda: setattr(seed, "value", seed.value % LAST_SEED + 1))
    return Panel(draw, [seed, walk, strength, *sliders], "latents", directory=directory, buttons=[another])


def explore_morph(generator, first=0, second=1, *, attributes=None, directory="images"):
    """One face turned into another: both, and between them what lies at a position on the way.

    The way is that of `interpolate`, over the sphere; attributes go straight from those of one face to the other's.

    Args:
        generator: as for `explore_latents`.
        first: seed of the left face. Defaults to `0`.
        second: seed of the right face. Defaults to `1`.
        attributes: what both are to have, as for `generate_images`: a dict such as `{"Smiling": 1}`. Defaults to
            `None`, each has what the data gives its seed.
        directory: folder of the pictures that one saves. Defaults to `"images"`.

    Returns:
        A `Panel`; as the last line of a cell it is shown.

    Raises:
        ModuleNotFoundError: there is no ipywidgets.
        ValueError: no such generator, an attribute that it does not have, or a value out of its range.

    Example:
        >>> explore_morph("runs/mine", 4, 9)

    Reference: White, "Sampling Generative Networks", 2016.
    """
    generator = _generator(generator)
    first, second = _seed_box("first", first), _seed_box("second", second)
    position = widgets().IntSlider(value=50, min=0, max=100, description="position")

    def draw():
        seeds = first.value, second.value
        ends = [sample_latents(1, latent_dim_of(generator), seed=seed)[0] for seed in seeds]
        latents = np.stack([ends[0], interpolate(*ends, position.max + 1)[position.value], ends[1]])
        rows = [attributes_for(generator, 1, attributes, seed=seed) for seed in seeds]
        if rows[0] is not None:
            share = position.value / position.max
            rows = np.concatenate([rows[0], (1 - share) * rows[0] + share * rows[1], rows[1]])
        return _grid(generate_images(generator, latents, attributes=rows if known else None), 3, shown=224)

    known = _attributes(generator)
    return Panel(draw, [first, second, position], "morph", directory=directory)


def explore_attributes(generator, across=None, down=None, *, seed=0, steps=5, directory="images"):
    """One attribute against another: the same latent with each combination of some values of both.

    All else stays: the latent, and the other attributes, which are as the data gives them to the seed.

    Args:
        generator: as for `explore_latents`; one with at least two attributes.
        across: name of the attribute that changes from left to right. Defaults to the generator's first other one.
        down: name of the one that changes from top to bottom. Defaults to the generator's first other one.
        seed: of the latent, and of the other attributes. Defaults to `0`.
        steps: values of each, from the least to the greatest, 2 to 9. Defaults to `5`.
        directory: folder of the pictures that one saves. Defaults to `"images"`.

    Returns:
        A `Panel`; as the last line of a cell it is shown.

    Raises:
        ModuleNotFoundError: there is no ipywidgets.
        ValueError: no such generator, fewer than two attributes, one that it does not have (the nearest are named),
            the same one twice, or a number out of its range.

    Example:
        >>> explore_attributes("runs/mine", "Smiling", "Eyeglasses")
    """
    generator = _generator(generator)
    known = _attributes(generator)
    names = [one.name for one in known]
    if len(names) < 2:
        raise ValueError(
            f"expected a generator with at least two attributes; received one with {len(names)}; train one with "
            "--attributes A,B, or take explore_latents"
        )
    for name in (across, down):
        if name is not None:
            place_of(name, names, "the generator")
    if not (isinstance(steps, int) and 2 <= steps <= 9):
        raise ValueError(f"expected 2 to 9 steps; received {steps}; 5 show enough")
    across = across or next(name for name in names if name != down)
    down = down or next(name for name in names if name != across)
    kit, seed = widgets(), _seed_box("seed", seed)
    # Not menus: JupyterLab takes their arrow keys to go from cell to cell.
    across, down = (
        kit.SelectionSlider(options=names, value=name, description=text)
        for name, text in ((across, "across"), (down, "down"))
    )

    def draw():
        places = names.index(across.value), names.index(down.value)
        if places[0] == places[1]:
            raise ValueError(f"expected two different attributes; received {across.value} twice; choose another")
        rows = np.repeat(attributes_for(generator, 1, seed=seed.value), steps**2, axis=0)
        values = np.linspace(-1, 1, steps, dtype=np.float32)
        rows[:, places[0]], rows[:, places[1]] = np.tile(values, steps), np.repeat(values, steps)
        latents = np.repeat(sample_latents(1, latent_dim_of(generator), seed=seed.value), steps**2, axis=0)
        grid = _grid(generate_images(generator, latents, attributes=rows), steps, shown=128)
        return _with_values(grid, *((known[place], known[place].unscaled(values)) for place in places))

    return Panel(draw, [across, down, seed], "attributes", directory=directory)


def _generator(generator):
    if not isinstance(generator, keras.Model):
        return load_generator(generator)
    check_generator(generator)
    return generator


def _attributes(generator):
    """The generator's `Attribute`s, none for one without; what sliders say is in their own units."""
    if attributes_for(generator, 1) is None:  # which refuses one that does not know its data's
        return ()
    return generator.labels.attributes


def _seed_box(name, seed):
    if not (isinstance(seed, int | np.integer) and 0 <= seed <= LAST_SEED):
        raise ValueError(f"expected a {name} that is a whole number from 0 to {LAST_SEED}; received {seed!r}")
    return widgets().BoundedIntText(value=int(seed), min=0, max=LAST_SEED, description=name)


def _slider(attribute, scaled):
    """A slider in the attribute's own unit, on one of its steps: what it says is then what is drawn."""
    step = (attribute.high - attribute.low) / STEPS
    value = attribute.low + step * round((float(scaled) + 1) / 2 * STEPS)
    return widgets().FloatSlider(
        value=value, min=attribute.low, max=attribute.high, step=step, description=attribute.name
    )


def _on_the_circle(seed, latent_dim, degrees):
    """The seed's latent, turned towards a second one that is perpendicular and as long; float32 `(latent_dim,)`."""
    first, second = sample_latents(2, latent_dim, seed=seed)
    second -= first * (first @ second) / (first @ first)
    second *= np.linalg.norm(first) / np.linalg.norm(second)
    angle = np.float32(np.radians(degrees))
    return np.cos(angle) * first + np.sin(angle) * second


def _grid(images, columns=1, *, shown):
    """The pictures in rows, each about `shown` pixels wide."""
    return image_grid(images, columns, scale=max(1, shown // images.shape[1]))


def _with_values(grid, across, down):
    """A square grid with the values of its columns and rows; `across` and `down` are an attribute and its values."""
    font = ImageFont.load_default(_FONT)
    texts = [[f"{value:.3g}" for value in values] for _, values in (across, down)]
    left = _PAD + max(int(font.getlength(text)) + _PAD for text in [down[0].name, *texts[1]])
    top = 2 * (_FONT + _PAD) + _PAD
    sheet = Image.new("RGB", (left + grid.shape[1], top + grid.shape[0]), "white")
    sheet.paste(Image.fromarray(grid), (left, top))
    pen, side = ImageDraw.Draw(sheet), grid.shape[0] / len(texts[0])
    pen.text((left + grid.shape[1] / 2, _PAD), across[0].name, "black", font, anchor="mt")
    pen.text((left - _PAD, top - _PAD), down[0].name, "black", font, anchor="rs")
    for number, (column, row) in enumerate(zip(*texts, strict=True)):
        middle = (number + 0.5) * side
        pen.text((left + middle, top - _PAD), column, "black", font, anchor="ms")
        pen.text((left - _PAD, top + middle), row, "black", font, anchor="rm")
    return np.asarray(sheet)
