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
# # 01 Loading faces
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/01_loading_faces.ipynb)
#
# A GAN learns from pictures alone, so whatever is wrong with the pictures ends up in its faces. At the end
# you will have turned a folder of files, good and broken, into batches, and know what happened to every pixel on the
# way. From such batches a generator learns to make these:
#
# ![Faces that a generator made after it was trained on drawn ones](../images/drawn_faces.png)
#
# | machine | minutes |
# |---|---|
# | CPU with 2 cores | about half a minute |
# | GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers @ {repository}"')

# %%
import importlib.util
import time
from itertools import islice
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps

from gan_helpers import colab, data_report, draw_faces, face_batches, find_faces, prepare_images, show_images
from gan_helpers.data.decoding import load_image
from gan_helpers.data.drawn_faces import ATTRIBUTES
from gan_helpers.data.sources import describe_sources
from gan_helpers.visualization.plots import to_uint8

seed = 0
keras.utils.set_random_seed(seed)
machine = colab.setup()

# %% [markdown]
# ## Parameters
#
# Nothing is trained here, so the defaults suit every machine. For your own photographs, set `folder` to where they are:
# in Colab, drop them into the file panel on the left, or call `colab.setup(drive=True)` above.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import tempfile", "image_size, count, batch_size, seconds_each = 32, 128, 16, 0.2", "work_folder = Path(tempfile.mkdtemp())"]}
image_size = 64  # pixels, a side
count = 8000 if machine.gpu else 2000  # how many faces to draw
batch_size = 64
folder = None  # your own photographs, such as "img"
crop = None  # (left, top, right, bottom) in pixels of each photograph; None cuts the central square
seconds_each = 1.0  # how long each speed is measured
work_folder = Path("loading_faces")  # where this notebook writes its pictures
print(f"{count} drawn faces of {image_size} pixels, suited to", machine.gpu or f"{machine.cores} processor cores")

# %% [markdown]
# ## Drawn faces
#
# Photographs have owners, and the people in them have rights. The course therefore begins with faces that belong to
# nobody: `draw_faces` paints them from random numbers, at any size, as many as you like, without a download.

# %%
faces, table = draw_faces(16, image_size, seed=seed)
print(faces.shape, faces.dtype, faces.min(), faces.max())
show_images(faces, 8, scale=64 / image_size)
plt.show()

# %% [markdown]
# See how they differ in skin, hair, age, mood, pose and light. The shape is `(count, height, width, 3)`: red, green and
# blue for every pixel, each a whole number from 0 to 255 (`uint8`, one byte). Face number $i$ depends on the seed and on
# $i$ alone, so everybody who draws it gets the same bytes.
#
# With the pictures comes a table, the **attributes** that each face was drawn with: `smile`, `eyeglasses`, `hat` and 31
# more. One can be set by hand; everything else then stays. Below, each row is one person, and from left to right one
# attribute goes from its lowest value to its highest.


# %%
def person(number, **attributes):
    return draw_faces(1, max(64, image_size), seed=seed, start=number, attributes=attributes)[0][0]


switched = {"smile": 10, "head_turn": 2, "light_direction": 3, "age_lines": 36, "hair_colour": 9}
switched |= {"hair_style": 23, "eyeglasses": 16, "beard": 19}  # attribute: number of the person
figure, axes = plt.subplots(len(switched), 7, figsize=(5.6, 5.3), layout="constrained")
for (name, number), row in zip(switched.items(), axes, strict=True):
    kind, low, high, _ = ATTRIBUTES[name]
    for value, cell in zip(np.linspace(low, high, 7), row, strict=True):
        cell.imshow(person(number, **{name: value if kind == "number" else round(value)}))
        cell.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")

# %% [markdown]
# Only the named attribute moves along a row; what is on or off switches halfway.
#
# ## Faces by name
#
# Photographs come by name too. Before you take any, ask who is in them and what their licence permits:

# %%
print(describe_sources())
try:
    prepare_images("celeba", image_size, cache=work_folder / "cache")
except ValueError as error:
    print("\nasked for celeba without agreeing:", error, sep="\n")

# %% [markdown]
# Any of these names goes where `"drawn"` stands in this notebook, and behind `--data` on the command line. A download
# that breaks off goes on where it stopped, is checked, and is never half there. CelebA (Liu et al. 2015) binds you to
# **non-commercial research**, so nothing comes before you agree.
#
# ## A folder of your own
#
# Real folders are untidy: wide and tall pictures, phones that store a portrait on its side, folders in folders. Let us
# write one. Each "photograph" is a drawn face whose edge colours continue to the borders of a larger picture.


# %%
def photograph(number, width, height, **attributes):
    side = min(width, height, 256)
    face = draw_faces(1, side, seed=seed, start=number, attributes=attributes)[0][0]
    left, top = (width - side) // 2, (height - side) // 2
    return np.pad(face, ((top, height - side - top), (left, width - side - left), (0, 0)), "edge")


samples = work_folder / "photographs"
(samples / "holiday").mkdir(parents=True, exist_ok=True)
Image.fromarray(photograph(30, 480, 320)).save(samples / "landscape.jpg", quality=92)
Image.fromarray(photograph(31, 256, 384)).save(samples / "portrait.png")
Image.fromarray(photograph(32, 640, 256)).save(samples / "holiday" / "panorama.webp", quality=92)
Image.fromarray(photograph(33, 200, 200)).convert("L").save(samples / "grey.png")
turn_right = Image.Exif()
turn_right[0x0112] = 6  # "orientation": show this picture turned by 90 degrees
Image.fromarray(np.rot90(photograph(34, 300, 400))).save(samples / "phone.jpg", exif=turn_right, quality=92)

# %% [markdown]
# Now the trouble: a download that broke off, a log-in page and a letter that somebody named `.jpg`, a picture of a
# single pixel, and a text file. `find_faces` walks through the folder and lists what its ending calls a picture. It
# leaves the text file out; the others deceive it.

# %%
whole = (samples / "landscape.jpg").read_bytes()
(samples / "broken_off.jpg").write_bytes(whole[: len(whole) // 2])
(samples / "letter.jpg").write_text("Dear reader, I am not a picture.")
(samples / "log_in.jpg").write_text("<!DOCTYPE html><html><body>Please log in.</body></html>")
Image.new("RGB", (1, 1)).save(samples / "dot.png")
(samples / "notes.txt").write_text("Taken in spring.")

source = Path(folder or samples)
files = find_faces(source)
print(f"{len(files)} files, among them", *(path.relative_to(source).as_posix() for path in files[:12]), sep="\n  ")

# %% [markdown]
# `prepare_images` opens each file, turns it upright, converts it to RGB, cuts its central square and resizes it. The
# result is kept on disk as one array. A file that cannot be used is skipped and
# named with the reason.

# %%
cache = work_folder / "cache" if folder is None else None
own = prepare_images(source, image_size, crop=crop, cache=cache)
print(f"{len(own.images)} usable, {len(own.skipped)} skipped")
for path, reason in own.skipped:
    print(f"  {Path(path).name:<16} {reason}")
show_images(own.images[:24], min(8, len(own.images)), scale=96 / image_size)
plt.show()

# %% [markdown]
# All faces are upright squares of one size, the phone's included. Always read the list of skipped files: a long one
# means that something is wrong.
#
# ## Cropping against squashing
#
# The networks take squares, and photographs are seldom square. To resize the whole picture deforms every face:
# $W \times H$ pixels are squeezed in width by $H/W$. Cutting a square first leaves the face as it was.
#
# We can measure this. Drawn with pale and with deep skin, a person differs only where skin is. The box around that
# difference gives the width of the face for its height.


# %%
def squashed(pixels):
    return np.asarray(Image.fromarray(pixels).resize((image_size, image_size), Image.Resampling.BICUBIC))


def cropped(pixels):
    Image.fromarray(pixels).save(work_folder / "one.png")
    return load_image(work_folder / "one.png", image_size)


def width_for_height(way):
    both = (photograph(36, 448, 256, skin_tone=tone, hair_style=2) for tone in (0.0, 1.0))
    pale, deep = (way(pixels).astype(int) for pixels in both)
    rows, columns = np.nonzero(np.abs(pale - deep).max(axis=-1) > 30)
    return (np.ptp(columns) + 1) / (np.ptp(rows) + 1)


wide = photograph(36, 448, 256, skin_tone=0.3, hair_style=2)
figure, axes = plt.subplots(1, 3, figsize=(9, 3), width_ratios=(1.75, 1, 1), layout="constrained")
ways = {"photograph": np.asarray, "squashed": squashed, "cropped": cropped}
for cell, (name, way) in zip(axes, ways.items(), strict=True):
    cell.imshow(way(wide))
    cell.set_title(f"{name}\nskin's width / height {width_for_height(way):.2f}", fontsize=10)
    cell.axis("off")

# %% [markdown]
# The squashed face is too narrow, and its number says by how much. A generator trained on such pictures makes narrow
# people.
#
# ## A box for aligned sets
#
# The centre is a guess. Some sets are **aligned**: moved and turned until the eyes stood at the same place. Then one
# box, given as `(left, top, right, bottom)` in pixels, cuts every face alike.
#
# CelebA's pictures are 178 pixels wide and 218 high, and its faces lie in the box `18,50,158,190`, which `celeba` takes
# by itself; elsewhere give it as `crop` or `--crop`.
#
# Here it is on a drawn stand-in; a smaller picture lies beside it.

# %%
box = (18, 50, 158, 190)
aligned = work_folder / "aligned"
aligned.mkdir(exist_ok=True)
Image.fromarray(photograph(38, 178, 218)).save(aligned / "000001.png")
Image.fromarray(photograph(39, 100, 100)).save(aligned / "000002.png")
boxed = prepare_images(aligned, image_size, crop=box, cache=work_folder / "cache")
for path, reason in boxed.skipped:
    print(Path(path).name, "skipped:", reason)

figure, axes = plt.subplots(1, 3, figsize=(7, 3), layout="constrained")
axes[0].imshow(photograph(38, 178, 218))
axes[0].add_patch(plt.Rectangle(box[:2], box[2] - box[0], box[3] - box[1], fill=False, color="white", linewidth=2))
axes[1].imshow(load_image(aligned / "000001.png", image_size))
axes[2].imshow(boxed.images[0])
for cell, name in zip(axes, ("178 x 218, with the box", "central square", "the box"), strict=True):
    cell.set_title(name, fontsize=10)
    cell.axis("off")

# %% [markdown]
# The box spends the pixels on the face. A picture that it does not fit is reported, since padding would teach the
# generator black bars.
#
# ## Faces anywhere
#
# In ordinary photographs faces stand anywhere, several at once, and lean. With `crop="faces"` a detector (MTCNN, Zhang
# et al. 2016) finds their eyes and mouths; each face is turned upright and cut so that they have the places that FFHQ
# gave them. Below is a scene of three drawn faces.

# %%
scenes = work_folder / "scenes"
scenes.mkdir(exist_ok=True)
scene = Image.new("RGB", (640, 300), (120, 140, 150))
for place, (number, degrees) in enumerate([(3, 0), (4, -20), (5, 15)]):
    face = Image.fromarray(draw_faces(1, 256, seed=seed, start=number, attributes={"hat": 0})[0][0]).resize((190, 190))
    turned = face.convert("RGBA").rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    scene.paste(turned, (105 + 215 * place - turned.width // 2, 150 - turned.height // 2), turned)
scene.save(scenes / "three.png")

if importlib.util.find_spec("mtcnn"):
    found = prepare_images(scenes, image_size, crop="faces", cache=work_folder / "cache")
    print(f"{len(found.images)} faces in 1 picture; skipped: {found.skipped}")
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), width_ratios=(2.13, 1, 1, 1), layout="constrained")
    for cell, picture in zip(axes, [np.asarray(scene), *found.images[:3]], strict=False):
        cell.imshow(picture)
    for cell in axes:
        cell.axis("off")
else:
    print("the detector is not installed: %pip install mtcnn, then run this cell again")

# %% [markdown]
# One picture gave three, upright and alike in size. Where no face is found, or only small or cut ones, the file is
# skipped and named.
#
# ## The core, written out
#
# Decode, turn upright, crop, resize: this is what `load_image` does, apart from its messages and rarer kinds of file.
# `BICUBIC` is **antialiased**: each new pixel is a weighted mean of all old ones beneath it. To keep every eighth pixel
# would be quicker, and thin lines would show or vanish by chance; even measures of a GAN depend on it (Parmar 2022).


# %%
def load(path, size):
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=square))


good = [samples / name for name in ("landscape.jpg", "portrait.png", "grey.png", "phone.jpg", "holiday/panorama.webp")]
for path in good:
    difference = np.abs(load(path, image_size).astype(int) - load_image(path, image_size)).mean()
    print(f"{path.name:<14} differs from load_image by {difference:.2f} of 255")
    assert difference < 3

# %% [markdown]
# The large JPEG files differ a little: that format can be decoded at a half or a quarter of its size, which is faster,
# and `load_image` does so where enough pixels remain.
#
# ## Look before you train
#
# A generator learns what it is shown: grey, blurred and doubled pictures too. We spoil a folder on purpose and ask
# `data_report`, on the command line `python -m gan_helpers report`, what is in it.

# %%
spoiled = work_folder / "spoiled"
spoiled.mkdir(exist_ok=True)
for number, face in enumerate(draw_faces(40, 2 * image_size, seed=seed, start=200)[0]):
    picture = Image.fromarray(face)
    picture = picture.convert("L") if number in (3, 11) else picture
    picture = picture.resize((image_size // 4,) * 2).resize((2 * image_size,) * 2) if number in (5, 17) else picture
    picture.save(spoiled / f"{number:02}.png")
picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(spoiled / "39_again.jpg")
(spoiled / "broken_off.jpg").write_bytes(whole[: len(whole) // 2])

report = data_report(spoiled, image_size, cache=work_folder / "cache")
print(report.table)
report.figure()

# %% [markdown]
# The table counts and the sheet shows: both grey pictures, both blurred ones, and the mirrored copy.
#
# ## What is in a batch
#
# A network learns from a few dozen pictures at a time, a **batch**. We prepare the drawn faces of the course and take
# one batch from `face_batches`, which never ends: after every **epoch**, one pass over all pictures, it shuffles anew.

# %%
prepared = prepare_images("drawn", image_size, count=count, seed=seed)
print("on disk:", prepared.images.shape, prepared.images.dtype, "as", type(prepared.images).__name__)

real_images = next(iter(face_batches(prepared.images, batch_size, seed=seed))).numpy()
print("a batch:", real_images.shape, real_images.dtype, f"from {real_images.min():.2f} to {real_images.max():.2f}")

unflipped = next(iter(face_batches(prepared.images, batch_size, seed=seed, flip=False))).numpy()
flipped = (real_images != unflipped).any(axis=(1, 2, 3))
print(f"{flipped.sum()} of {batch_size} are mirrored")
show_images(np.concatenate([unflipped[:8], real_images[:8]]), 8, scale=64 / image_size, title="as drawn, and as given")
plt.show()

# %% [markdown]
# A memory map (`memmap`) looks like an array, but its bytes stay on disk until they are asked for, so the set may be
# larger than memory. In the lower row some faces are mirrored: still faces, so the data doubles at no cost.
#
# To see the order, let twelve pictures hold nothing but their number, in batches of four.

# %%
numbered = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 8, 8, 3))


def numbers(steps, **settings):
    stream = face_batches(numbered, 4, flip=False, **settings)
    return [np.rint((batch.numpy()[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist() for batch in islice(stream, steps)]


for step, in_batch in enumerate(numbers(6, seed=1)):
    print(f"epoch {step // 3}  step {step}  pictures {in_batch}")
print("the same seed, the same batches:", numbers(6, seed=1) == numbers(6, seed=1))
print("another seed, other batches:    ", numbers(6, seed=1) != numbers(6, seed=2))
print("start_step=4 jumps to step 4:   ", numbers(2, seed=1, start_step=4) == numbers(6, seed=1)[4:])

# %% [markdown]
# Each epoch of three steps holds every number once, in a new order. Each batch depends on `(seed, step)` alone: a
# training stopped at step 1,000 goes on with precisely the batches that it would have seen.
#
# ## Why the range is [-1, 1]
#
# On disk a pixel is a byte $p$ from 0 to 255. The networks get
#
# $$x = \frac{p}{127.5} - 1 \in [-1, 1],$$
#
# because the generator ends in $\tanh(a) = \frac{e^a - e^{-a}}{e^a + e^{-a}}$, whose values lie between -1 and 1. If
# real pixels went to 255 where the generator ends at 1, the discriminator would tell them apart by brightness alone and
# teach nothing about faces.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
pixels = prepared.images[:1000] / 127.5 - 1.0
for channel, colour in enumerate(("red", "green", "blue")):
    axes[0].hist(pixels[..., channel].ravel(), bins=64, range=(-1, 1), density=True, histtype="step", color=colour)
axes[0].set(xlabel="pixel in [-1, 1]", ylabel="density", title="pixels of the drawn faces")
axes[0].set_xticks(np.linspace(-1, 1, 5))
axes[0].secondary_xaxis("top", functions=(lambda x: (x + 1) * 127.5, lambda p: p / 127.5 - 1))
before = np.linspace(-4, 4, 200)
axes[1].plot(before, np.tanh(before))
axes[1].set(xlabel="before the last activation", ylabel="pixel", title="tanh")
axes[1].grid(alpha=0.3)
print(f"mean {pixels.mean():.2f}; {np.mean(np.abs(pixels) > 0.98):.1%} of the values lie beyond ±0.98")
print(f"without scaling, tanh could reach {np.mean(prepared.images[:1000] <= 1):.2%} of the bytes, those of 0 and 1")

# %% [markdown]
# On the left, the pixels spread over most of the range; the upper axis counts the same values as bytes. On the right,
# tanh is flat at its ends: black and white can only be approached. Tall spikes at both ends of your own histogram would
# mean over-exposed pictures or black bars.
#
# ## Fast enough?
#
# If loading is slow, the networks wait for their batch and an expensive GPU idles. So files are decoded once, on all
# cores, into a **cache**, and the next batches are made while the networks compute. Its key is the files and the
# settings: change one and it is made anew. Stopped halfway, it goes on where it was. How fast is each way here?


# %%
def images_per_second(do, images_each):
    do()  # the first time includes start-up
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds_each:
        do()
        done += images_each
    return done / (time.perf_counter() - start)


stream = iter(face_batches(prepared.images, batch_size, seed=seed))
speeds = {
    "decode one file after another": images_per_second(lambda: [load_image(path, image_size) for path in good], 5),
    "draw faces": images_per_second(lambda: draw_faces(48, image_size), 48),
    "open the cache again": images_per_second(lambda: prepare_images("drawn", image_size, count=count), count),
    "batches from the cache": images_per_second(lambda: next(stream), batch_size),
}
for name, speed in speeds.items():
    print(f"{name:<30} {speed:>10,.0f} images/s")

# %% [markdown]
# The last line is what training gets. As long as training takes far fewer (notebook 03 says how many), the input never
# holds it up.
#
# ## Exercises
#
# **1. Back to bytes.** `real_images` is a batch of floats in [-1, 1]. Make the `uint8` pictures from 0 to 255 that it
# came from.

# %%
answer = None  # an expression with real_images

# %%
if answer is None:
    print("Exercise 1 is unanswered.")
elif getattr(answer, "dtype", None) != np.uint8:
    print(f"Not yet: expected an array of uint8, received {getattr(answer, 'dtype', type(answer).__name__)}.")
elif answer.shape != real_images.shape:
    print(f"Not yet: expected the shape {real_images.shape}, received {answer.shape}.")
else:
    off = np.abs(answer.astype(int) - to_uint8(real_images).astype(int))
    if off.max() == 0:
        print("Right: every byte is back.")
    elif off.max() == 1:
        print(f"Nearly: {np.mean(off > 0):.1%} of the bytes are off by one. uint8 cuts decimals off; round first.")
    else:
        print(f"Not yet: bytes are off by up to {off.max()}. Solve x = p / 127.5 - 1 for p.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = np.rint((real_images + 1) * 127.5).astype(np.uint8)`. Without `np.rint` some values such as 41.99999 become
# 41.
#
# </details>
#
# **2. The central square.** A photograph is 1,024 pixels wide and 683 high. Which box
# `(left, top, right, bottom)` is its largest central square?

# %%
answer = None  # four whole numbers in parentheses

# %%
if answer is None:
    print("Exercise 2 is unanswered.")
elif np.shape(answer) != (4,):
    print(f"Not yet: expected four numbers, received {answer!r}.")
else:
    left, top, right, bottom = answer
    if right - left != bottom - top:
        print(f"Not yet: your box is {right - left} wide and {bottom - top} high; a square has equal sides.")
    elif left < 0 or top < 0 or right > 1024 or bottom > 683:
        print("Not yet: your box reaches beyond the photograph.")
    elif bottom - top != 683:
        print(f"Not yet: a square larger than {bottom - top} pixels fits.")
    elif abs(left - (1024 - right)) > 1:
        print(f"Not yet: {left} pixels are left over on the left and {1024 - right} on the right.")
    else:
        print("Right: the whole height, and as much cut from the left as from the right.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The side is the smaller of both, 683. Left over are 1024 - 683 = 341 columns, of which 341 // 2 = 170 go on the left:
# `answer = (170, 0, 853, 683)`.
#
# </details>
#
# ## What we learned
#
# - An image batch is `(batch, height, width, 3)`: bytes on disk, floats in [-1, 1] for the networks.
# - Ask who is in a set and what its licence permits, and look through it before you train.
# - Crop, never squash; resize with an antialiased filter; and read which files were skipped.
# - Files are decoded once. After that, a batch is a function of the seed and the step.
#
# Next: [02 Building the networks](02_building_the_networks.ipynb), which turn a hundred random numbers into such a
# picture, and judge it.
#
# ## References
#
# - Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015 (CelebA).
# - Parmar, Zhang, Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", 2022.
# - Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
#   Networks", 2015 (pictures scaled to tanh's range).
# - Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", 2016
#   (MTCNN).
