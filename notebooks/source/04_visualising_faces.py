# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 Visualising faces: what has the generator learnt?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/04_visualising_faces.ipynb)
#
# A trained generator is a map from 100 numbers to a face. In this notebook we walk over that map. We watch faces
# come into being, turn one person into another, make skin lighter or darker by adding numbers, and check that the
# generator has not just copied its training faces. These are the kind of faces that it is about:
#
# ![Faces that a generator made after it was trained on drawn ones](../images/drawn_faces.png)
#
# The people in generated pictures do not exist.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about 4½ |
# | a GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers[explorer] @ {repository}"')

# %%
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image as Picture
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

from gan_helpers import (
    colab,
    draw_faces,
    explore_latents,
    explore_morph,
    generate_images,
    image_grid,
    interpolate,
    load_generator,
    prepare_images,
    sample_latents,
    save_animation,
    show_images,
    train,
)
from gan_helpers.visualization.plots import nearest_neighbours

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
keras.utils.set_random_seed(0)
machine = colab.setup()

# %% [markdown]
# **Parameters.** With `model = None` the notebook first trains a generator for a few minutes. If you have one
# already, give its run's folder (such as `"runs/mine"`) or its `.keras` file, and in `data` the folder of faces that
# it was trained on.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "from gan_helpers import Recipe", "os.chdir(tempfile.mkdtemp())", "image_size, count, minutes, many, recipe = 32, 96, 0.1, 64, Recipe(base_filters=4, batch_size=32)"]}
model = None  # or your own: a run's folder or a .keras file
data = "drawn"  # or the folder of photographs that your model was trained on
count = 4000  # drawn faces to train on
image_size = 64 if machine.gpu else 32  # pixels a side
recipe = "quick"  # named settings of the training
minutes = 4  # of training, where there is no model
many = 2000  # generated faces to measure
where = machine.gpu or f"{machine.cores} processor cores"
print(f"{minutes} minutes of training at {image_size} pixels, suited to {where}")

# %% [markdown]
# `train` writes a picture of the same 64 latents before the training and after every epoch (a pass over all faces)
# into the run's folder, and at its end the averaged generator. Notebook 03 explains what happens inside. If you run
# the cell again, it goes on with the same run for a few minutes more.

# %%
if model is None:
    settings = {"image_size": image_size, "count": count, "recipe": recipe}
    trained = train(data, "runs/to_look_at", minutes=minutes, **settings)
    model = trained.run.folder
generator = load_generator(model)
latent_dim, image_size = generator.input_shape[-1], generator.output_shape[1]
prepared = prepare_images(data, image_size, count=count)
faces = generate_images(generator, 64, seed=0)
show_images(faces[:32], 8, scale=64 / image_size, title="generated faces")
plt.show()

# %% [markdown]
# These 32 people do not exist. Look for variety (skin, hair, direction of the head) and for faults (eyes of two
# sizes, glasses without a rim, a neck that melts into the background). Longer training leaves fewer of them.
#
# ## The same latents through the epochs
#
# A *latent* is the list of random numbers that a face is made from. The 64 latents of the sample pictures never
# changed, only the generator did. The pictures lie on disk as grids, and a grid can be cut with NumPy.


# %%
def cut(grid, gap=2):
    """The faces of a grid, row by row."""
    step = image_size + gap
    tops, lefts = range(0, grid.shape[0], step), range(0, grid.shape[1], step)
    corners = [(top, left) for top in tops for left in lefts]
    return np.stack([grid[top : top + image_size, left : left + image_size] for top, left in corners])


files = (Path(model) / "samples").glob("epoch_*.png")
files = {int(file.stem.split("_")[1]): file for file in files}
epochs = sorted(files)
frames = np.stack([cut(np.asarray(Image.open(files[epoch]))) for epoch in epochs] + [faces])
chosen = np.unique(np.geomspace(1, len(frames), 9).round().astype(int)) - 1
strip = frames[chosen, :5].swapaxes(0, 1).reshape(-1, image_size, image_size, 3)
title = "epoch " + ", ".join(str([*epochs, "now"][place]) for place in chosen)
show_images(strip, len(chosen), scale=64 / image_size, title=title)
plt.show()

# %% [markdown]
# Each row is one latent, time runs to the right, in growing leaps. At first all rows look alike: the generator learns
# what all faces share, an oval on a plain ground. Then the rows part, and each settles on a person. The later, the less
# a person changes. As an animation, which plays in an endless loop:

# %%
moments = np.unique(np.linspace(0, len(frames) - 1, 10).astype(int))
film = [image_grid(frames[moment, :6], 3) for moment in moments]
Picture(filename=save_animation(film, "images/through_the_epochs.gif", milliseconds=400), width=420)

# %% [markdown]
# ## Where latents live
#
# A latent is drawn from the standard normal distribution $\mathcal{N}(0, I)$ in $d = 100$ dimensions. Its squared
# length is a sum of $d$ squares that are 1 on average, so the length, or *norm*, is near $\sqrt{d} = 10$:
#
# $$\lVert z \rVert = \sqrt{z_1^2 + \dots + z_d^2} \approx \sqrt{d}.$$
#
# Latents lie in a thin shell around a sphere, and hardly any near its centre. What is half-way between two of them?
# On a straight line, $(1 - t)\,z_0 + t\,z_1$, the half-way point lies inside, where training never went. *Spherical*
# interpolation (White, 2016) keeps to the shell. With the angle $\omega$ between the two,
#
# $$z(t) = \frac{\sin((1 - t)\,\omega)\,z_0 + \sin(t\,\omega)\,z_1}{\sin \omega}.$$
#
# Written out, it takes four lines. We compare it with the library's `interpolate`.


# %%
def on_the_sphere(first, second, steps):
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    angle = np.arccos(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    return (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)


first, second = sample_latents(2, latent_dim, seed=4)
difference = np.abs(on_the_sphere(first, second, 9) - interpolate(first, second, 9)).max()
print(f"largest difference from the library's: {difference:.1e}")

# %% [markdown]
# Now the norms: of ten thousand latents, and along both ways.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
axes[0].hist(np.linalg.norm(sample_latents(10_000, latent_dim, seed=1), axis=1), bins=80)
axes[0].set(xlim=(0, None), xlabel="norm", ylabel="latents", title="norms of 10,000 latents")
share = np.linspace(0, 1, 33)
for method in ("spherical", "straight"):
    path = interpolate(first, second, 33, method=method)
    axes[1].plot(share, np.linalg.norm(path, axis=1), label=method)
axes[1].set(ylim=(0, None), xlabel="share of the way", title="norm along the way")
axes[1].legend()
plt.show()

# %% [markdown]
# The left figure shows the shell: not one of the latents comes near the centre. On the right, the straight way dips
# far below anything that occurs on the left; the spherical way does not. What do the faces say?

# %%
rows = []
for pair_seed in (4, 9):
    pair = sample_latents(2, latent_dim, seed=pair_seed)
    rows += [interpolate(*pair, 9), interpolate(*pair, 9, method="straight")]
ways = generate_images(generator, np.concatenate(rows))
title = "two pairs; of each: spherical above, straight below"
show_images(ways, 9, scale=64 / image_size, title=title)
plt.show()

# %% [markdown]
# Every step is a face, and neighbours resemble each other. That is worth a pause: no training face stood between
# these two people, so the generator has learnt a map and not a list. The middle of the straight way tends to be paler
# and more average than that of the spherical way. The difference is small to the eye, so we measure it on many pairs:
# *contrast* is the spread of a picture's pixels, *sharpness* the mean step from a pixel to its neighbour.


# %%
def contrast(images):
    return images.std(axis=(1, 2, 3))


def sharpness(images):
    return np.abs(np.diff(images.astype(np.float32), axis=2)).mean(axis=(1, 2, 3))


pairs = sample_latents(2 * 48, latent_dim, seed=3).reshape(48, 2, latent_dim)
figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
for method in ("spherical", "straight"):
    paths = np.concatenate([interpolate(*pair, 9, method=method) for pair in pairs])
    pictures = generate_images(generator, paths)
    for measure, axis in zip((contrast, sharpness), axes, strict=True):
        along = measure(pictures).reshape(48, 9).mean(axis=0)
        axis.plot(np.linspace(0, 1, 9), along / along[0], marker=".", label=method)
        axis.set(xlabel="share of the way", title=f"{measure.__name__}, compared with the start")
axes[0].legend()
plt.show()

# %% [markdown]
# Read the middle of both figures. Where the straight line sags and the spherical one stays level, the straight way
# leads through duller faces than those that the generator was trained to make.
#
# ## A walk in a circle
#
# Two perpendicular directions $u$ and $v$ of length 1 span a circle on the sphere, and a walk along it ends where it
# began: $z(t) = \sqrt{d}\,(u \cos t + v \sin t)$.

# %%
turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
walks = []
for walk_seed in (5, 6):
    u, v = np.linalg.qr(sample_latents(2, latent_dim, seed=walk_seed).T)[0].T
    circle = np.sqrt(latent_dim) * (np.cos(turns) * u + np.sin(turns) * v)
    walks.append(generate_images(generator, circle))
film = [image_grid(faces_now, 2) for faces_now in np.stack(walks, axis=1)]
Picture(filename=save_animation(film, "images/walk.gif", milliseconds=150, hold=150), width=280)

# %% [markdown]
# Two walks, each through people that exist nowhere else. A face never jumps to another one. Head, hair and
# background change together, and no single number of the latent stands for one of them alone.
#
# ## Arithmetic with latents
#
# If the map is smooth, a property may have a *direction*: the mean latent of faces with it minus the mean latent of
# those without it (Radford et al., 2015),
#
# $$v = \operatorname{mean}\{z : G(z) \text{ has it}\} - \operatorname{mean}\{z : G(z) \text{ has it not}\}.$$
#
# We need to know who has it. Three brightnesses are easy to measure in the pixels: of the skin around the nose, of
# the hair above the forehead, of the background in the upper corners. For drawn faces we know what was drawn, so we
# can check these rulers before we trust them.


# %%
def brightness(images, top, bottom, left, right):
    side = images.shape[1]
    box = images[:, int(top * side) : int(bottom * side), int(left * side) : int(right * side)]
    return box.mean(axis=(1, 2, 3))


def corners(images):
    return (brightness(images, 0, 0.2, 0, 0.12) + brightness(images, 0, 0.2, 0.88, 1)) / 2


rulers = {
    "skin": lambda images: brightness(images, 0.47, 0.62, 0.4, 0.6),
    "hair": lambda images: brightness(images, 0.12, 0.22, 0.4, 0.6),
    "background": corners,
}
drawn_as = {"skin": "skin_tone", "hair": "hair_colour", "background": "background_light"}
known, table = draw_faces(1000, image_size, seed=1)
for name, ruler in rulers.items():
    agreement = np.corrcoef(ruler(known), table[drawn_as[name]])[0, 1]
    print(f"brightness of the {name}: correlation {agreement:+.2f} with {drawn_as[name]}")

# %% [markdown]
# A correlation near 1 or −1 means that the ruler measures what it should (skin tone counts from pale to deep, so its
# sign is negative). The ruler for hair is the weakest: hats and bald heads confuse it. With these rulers we sort many
# generated faces, subtract the mean latent of the darkest quarter from that of the lightest, and add the result to
# the latents of six new people.

# %%
latents = sample_latents(many, latent_dim, seed=11)
generated = generate_images(generator, latents)
directions = {}
for name, ruler in rulers.items():
    value = ruler(generated)
    dark, light = np.quantile(value, [0.25, 0.75])
    directions[name] = latents[value >= light].mean(axis=0) - latents[value <= dark].mean(axis=0)

people = sample_latents(6, latent_dim, seed=12)
amounts = (-2, -1, 0, 1, 2)
for name, direction in directions.items():
    moved = np.concatenate([people + amount * direction for amount in amounts])
    changed = generate_images(generator, moved)
    title = f"{name}: -2, -1, 0, 1, 2 times its direction"
    show_images(changed, 6, scale=48 / image_size, title=title)
    plt.show()

# %% [markdown]
# The middle row of each figure shows the six people as they are. From top to bottom the property gets lighter. Is it
# only that property? We add each direction to 256 new latents, and hold all three rulers to the result.

# %%
fresh = sample_latents(min(256, many), latent_dim, seed=13)
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", sharey=True)
for axis, (name, direction) in zip(axes, directions.items(), strict=True):
    moved = [generate_images(generator, fresh + amount * direction) for amount in amounts]
    for measured, ruler in rulers.items():
        axis.plot(amounts, [ruler(images).mean() for images in moved], marker=".", label=measured)
    axis.set(xlabel=f"times the direction of {name}", title=f"{name} added")
axes[0].set(ylabel="mean brightness, 0 to 255")
axes[0].legend()
plt.show()

# %% [markdown]
# In each figure one curve should rise. The other two should stay level, and they do not quite: whoever adds light to
# the skin moves the hair too. The directions are *entangled*. In part that is true to the data, where deep skin goes
# with dark hair more often than not. But backgrounds were drawn independently of the person, so whatever moves along
# with them is the generator's own mixing. And at ±2 faces turn into caricatures, for such latents are rare in training.
#
# ## Are they copies?
#
# A generator could cheat and learn its training faces by heart. So we look up, for generated faces, the training
# faces with the smallest root mean squared difference of pixels.

# %%
neighbours, _ = nearest_neighbours(faces[:8], prepared.images, 3)
columns = [faces[:8], *(prepared.images[neighbours[:, rank]] for rank in range(3))]
title = "first row: generated; below each the three nearest training faces"
show_images(np.concatenate(columns), 8, scale=64 / image_size, title=title)
plt.show()

# %% [markdown]
# The neighbours share the colours and the pose, and are other people: other eyes, other hair, other glasses. Eight
# faces are few, so we measure 64 of them. As a yardstick we take how far training faces lie from *their* nearest
# other training face. A copy would lie at distance 0.

# %%
_, to_training = nearest_neighbours(faces, prepared.images, 1)
_, among = nearest_neighbours(prepared.images[:64], prepared.images, 2)  # the first is itself
groups = {"generated faces": to_training[:, 0], "training faces": among[:, 1]}
bins = np.linspace(0, max(values.max() for values in groups.values()), 40)
figure, axis = plt.subplots(figsize=(10, 2.8), layout="constrained")
for name, values in groups.items():
    label = f"{name}, median {np.median(values):.1f}"
    axis.hist(values, bins, histtype="step", linewidth=2, label=label)
axis.set(xlabel="distance to the nearest (other) training face, in grey values", ylabel="faces")
axis.legend()
plt.show()

# %% [markdown]
# No generated face stands at 0, so none is a copy. Do not read too much into *which* curve lies further left: soft
# pictures are near to everything, and a copy that is shifted by two pixels would count as far away. Notebook 05
# measures memorisation with features as well as pixels, beside unseen faces.
#
# ## Truncation: typical or varied
#
# What if we make latents shorter, or longer, than training ever saw? Scaling them by a factor a little below 1 draws all
# faces towards the middle of the map. That is a simple form of *truncation* (Brock et al., 2018): typical faces,
# bought with variety.

# %%
scales = (0.0, 0.4, 0.7, 1.0, 1.4)
eight = sample_latents(8, latent_dim, seed=14)
pictures = generate_images(generator, np.concatenate([scale * eight for scale in scales]))
title = f"latents times {', '.join(map(str, scales))}, from top to bottom"
show_images(pictures, 8, scale=64 / image_size, title=title)
plt.show()

# %% [markdown]
# At 0 all eight are one and the same picture, and hardly a face: training never came near this place. At 0.7 they are
# calm and rather alike, at 1 as usual, at 1.4 loud, with more faults. In numbers: *variety* is the mean difference
# between two generated faces, and *distance* the mean difference of a generated face from its nearest training face.

# %%
fifty = sample_latents(50, latent_dim, seed=15)
steps = np.linspace(0, 1.6, 9)
variety, distance = [], []
for step in steps:
    images = generate_images(generator, step * fifty)
    pairwise = images[:25].astype(np.float32) - images[25:]
    variety.append(np.sqrt((pairwise**2).mean(axis=(1, 2, 3))).mean())
    distance.append(nearest_neighbours(images, prepared.images, 1)[1].mean())
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
axis.plot(steps, variety, marker=".", label="variety: between generated faces")
axis.plot(steps, distance, marker=".", label="distance to the nearest training face")
axis.set(xlabel="latents times", ylabel="grey values", ylim=(0, None))
axis.legend()
plt.show()

# %% [markdown]
# Variety begins at nothing and grows with the scale, as the contrast does. The distance from the training faces
# grows more slowly: the longer the latent, the further the pictures leave the ground that training covered. For a
# gallery, 0.7 to 0.9 is a fair choice. To measure a model, leave its latents alone.
#
# ## In your own hands
#
# Now you choose. The next cell makes a *panel*: `seed` names a person, `walk` leads them around a circle, in degrees, and
# `strength` is the factor of truncation. Drag the sliders, or go to them with Tab and move them with the arrow keys.
# *Back* returns to a face that you passed. On the web you see the picture alone; the controls need a running notebook.

# %%
explore_latents(generator, seed=12)

# %% [markdown]
# Turn `walk` slowly and look for the place where one person becomes another: there is none. At `strength` 0 all seeds
# and walks end in one picture. The second panel goes the spherical way between two seeds; their faces stand at its sides.

# %%
explore_morph(generator, 4, 9)

# %% [markdown]
# Halfway the face takes after both. Two more panels wait: `explore_run(model)` shows a run's samples beside its curves,
# and `explore_attributes` plays attributes against each other, where a generator was trained with some.
#
# ## Exercises
#
# **1.** Two latents are drawn independently. About how long is the latent half-way between them on the *straight*
# line? Give the number for this generator's `latent_dim`.

# %%
answer = None

# %%
if answer is None:
    print("unanswered: put a number into `answer`")
elif abs(answer - np.sqrt(latent_dim / 2)) < 0.03 * np.sqrt(latent_dim):
    print("right: the squares add up, and each half counts a quarter of d")
elif abs(answer - np.sqrt(latent_dim)) < 0.03 * np.sqrt(latent_dim):
    print("not yet: that is the length of its two ends; look at the dip in the figure of the norms")
else:
    print("not yet: what is the variance of (a + b) / 2, if a and b are independent with variance 1?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = np.sqrt(latent_dim / 2)
# ```
#
# Each number of the half-way point has variance $\frac14 + \frac14 = \frac12$, so the norm is near $\sqrt{d / 2}$:
# about 7.07 for $d = 100$.
# </details>
#
# **2.** Which of the 64 generated `faces` lies nearest to a training face? Put its index, 0 to 63, into `nearest`.

# %%
nearest = None

# %%
if nearest is None:
    print("unanswered: put an index into `nearest`")
elif nearest == np.argmin(to_training[:, 0]):
    print(f"right: face {nearest}, at {to_training[nearest, 0]:.1f} grey values from its neighbour")
elif nearest in range(64):
    better = (to_training[:, 0] < to_training[nearest, 0]).sum()
    print(f"not yet: {better} of the 64 faces lie nearer to a training face than face {nearest}")
else:
    print(f"not yet: expected an index from 0 to 63; received {nearest}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# _, distances = nearest_neighbours(faces, prepared.images, 1)
# nearest = int(distances[:, 0].argmin())
# ```
# </details>
#
# ## After a longer training
#
# Everything here works with any generator. These faces come from 420 passes over 6,000 photographs. Give
# such a run as `model`, and its photographs as `data`, to walk among people like these, who do not exist either.
#
# ![64 generated faces, the first of seed 0](../images/faces.png)
#
# ## What we learned
#
# - Followed through the epochs, the same latents first show what all faces share, and then persons.
# - Latents lie in a shell. Spherical interpolation keeps to it; the straight way leads through duller faces.
# - Properties have directions, which can be added. They are entangled, and large steps spoil the face.
# - The nearest training faces are other people: the generator did not copy in any face that we looked at.
# - Shorter latents give typical faces, and longer ones varied and faulty faces.
#
# **Next:** `05_measuring_quality`, how good are these faces? Or a longer training on faces of your own,
# `python -m gan_helpers train --data FOLDER`; then come back with that run as `model`.
#
# ## References
#
# - Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
#   Networks", 2015. Arithmetic with latents.
# - White, "Sampling Generative Networks", 2016. Spherical interpolation.
# - Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2018. Truncation.
