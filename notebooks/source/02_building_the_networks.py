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
# # 02 Building the networks
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/02_building_the_networks.ipynb)
#
# A GAN is two networks: a **generator** that turns random numbers into a picture, and a **discriminator** that judges
# pictures. At the end of this notebook you will have built both, know why each layer is there and how many numbers it
# learns, and have looked at what they do before any training. The strip begins with what you will have built; the rest
# of it is what training makes of that in the next notebook.
#
# ![The same latents from noise to face, as training goes on](../images/noise_to_face.png)
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
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers

from gan_helpers import colab, discriminator_model, draw_faces, generator_model, sample_latents, show_images

seed = 0
keras.utils.set_random_seed(seed)
machine = colab.setup()

# %% [markdown]
# ## Parameters
#
# Nothing is trained here; each network runs a few times. `base_filters` sets how wide the networks are.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["image_size, base_filters, count = 32, 8, 16"]}
image_size = 64  # pixels, a side: 32, 64 or 128
base_filters = 64
latent_dim = 100  # random numbers for each picture
count = 256 if machine.gpu else 64  # pictures to generate and to judge
print(f"{count} pictures of {image_size} pixels, suited to", machine.gpu or f"{machine.cores} processor cores")

# %% [markdown]
# ## From latents to pixels
#
# The generator $G$ gets a vector $z$ of random numbers from the standard normal distribution, the **latents**, and
# returns a picture. One vector, one face. The design is that of the DCGAN (Radford et al. 2015): a dense layer makes a
# tiny picture of 4 by 4 "pixels" with many channels, and each further block doubles the side and halves the channels:
#
# $$z \in \mathbb{R}^{100} \;\to\; 4 \times 4 \times 8f \;\to\; 8 \times 8 \times 4f \;\to\; 16 \times 16 \times 2f
# \;\to\; 32 \times 32 \times f \;\to\; 64 \times 64 \times 3$$
#
# for 64 pixels and $f$ base filters. Here it is, layer by layer; the first axis, the batch, is left out.


# %%
def print_layers(model):
    for layer in model.layers[1:]:
        shape = " x ".join(map(str, layer.output.shape[1:]))
        print(f"{type(layer).__name__:<20} {shape:>15} {layer.count_params():>11,} parameters")
    print(f"{'together':<20} {'':>15} {model.count_params():>11,} parameters")


generator = generator_model(latent_dim, image_size=image_size, base_filters=base_filters)
print_layers(generator)

# %% [markdown]
# The same as a drawing. A stack's height grows with the side of its picture, the number of its sheets with the
# channels.


# %%
def draw_stacks(model):
    sizes = [layer.output.shape[1:] for layer in model.layers if len(layer.output.shape) == 4]
    sizes = [size for size, before in zip(sizes, [None, *sizes], strict=False) if size != before]
    figure, axes = plt.subplots(figsize=(10, 2.6), layout="constrained")
    left, style = 0.0, {"facecolor": "#dbe9f6", "edgecolor": "#2b5c8a", "linewidth": 0.7}
    for side, _, channels in sizes:
        height, sheets = side**0.6, 1 + int(1.5 * np.log2(channels))
        for sheet in reversed(range(sheets)):
            corner = (left + 0.3 * sheet, 0.25 * sheet - height / 2)
            axes.add_patch(plt.Rectangle(corner, height, height, **style))
        label = f"{side} x {side}\nx {channels}"
        axes.text(left + height / 2, -height / 2 - 0.7, label, ha="center", va="top", fontsize=9)
        left += height + 0.3 * sheets + 3
    tallest = max(side for side, _, _ in sizes) ** 0.6
    axes.set(xlim=(-2, left), ylim=(-tallest / 2 - 4, tallest / 2 + 2), aspect="equal", title=model.name)
    axes.axis("off")


draw_stacks(generator)

# %% [markdown]
# From left to right the sheets get larger and fewer: the first stack says roughly what is where, the last one paints.
#
# ## Transposed convolution, by hand
#
# Which layer makes a picture larger? In a **transposed convolution**, each input pixel stamps a copy of the kernel,
# weighted with its own value, onto the output; the stamps lie `stride` pixels apart and add up where they overlap. In
# one dimension, with input $x$, kernel $w$ and stride $s$:
#
# $$y_{s i + a} \mathrel{+}= x_i \, w_a .$$
#
# A row of $n$ pixels becomes $(n - 1)\,s + k$ long for a kernel of $k$; with `padding="same"` Keras cuts the borders
# until $n\,s$ are left. With several channels, each pixel is a vector and each entry of the kernel a matrix.


# %%
def transposed_convolution(x, kernel, stride=2):
    """x is (height, width, channels in); kernel is (k, k, channels out, channels in), as Keras keeps it."""
    height, width, _ = x.shape
    k = len(kernel)
    y = np.zeros(((height - 1) * stride + k, (width - 1) * stride + k, kernel.shape[2]), np.float32)
    for row in range(height):
        for column in range(width):
            stamp = kernel @ x[row, column]
            y[row * stride : row * stride + k, column * stride : column * stride + k] += stamp
    cut = (k - stride) // 2
    return y[cut : cut + height * stride, cut : cut + width * stride]


x = np.random.default_rng(seed).standard_normal((5, 5, 6), np.float32)
for k in (3, 4):
    layer = layers.Conv2DTranspose(7, k, strides=2, padding="same", use_bias=False)
    by_keras = keras.ops.convert_to_numpy(layer(x[None]))[0]
    by_hand = transposed_convolution(x, keras.ops.convert_to_numpy(layer.kernel))
    print(f"kernel {k}: {x.shape} -> {by_hand.shape}, largest difference {np.abs(by_keras - by_hand).max():.1e}")
    assert np.allclose(by_keras, by_hand, atol=1e-2)

# %% [markdown]
# The two agree up to rounding. Now watch the stamps fall, with one channel, an input of 2 by 2 and a kernel of 4 by 4.

# %%
tiny, stamp = np.array([[1, 2], [3, 4]]), np.outer([1, 3, 3, 1], [1, 3, 3, 1])
canvas = np.zeros((6, 6), int)
steps = [("input", tiny, None), ("kernel", stamp, None), ("empty output", canvas.copy(), None)]
for row, column in np.ndindex(2, 2):
    canvas[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += tiny[row, column] * stamp
    steps.append((f"+ {tiny[row, column]} x kernel", canvas.copy(), (2 * column, 2 * row)))
steps.append(("borders cut: 4 x 4", canvas[1:5, 1:5], None))

figure, axes = plt.subplots(2, 4, figsize=(10, 5.2), layout="constrained")
for cell, (title, values, corner) in zip(axes.flat, steps, strict=True):
    cell.axis("off")
    cell.imshow(values, cmap="Blues", vmin=0, vmax=60)
    cell.set_title(title, fontsize=10)
    for (row, column), value in np.ndenumerate(values):
        cell.text(column, row, value, ha="center", va="center", fontsize=9, color="white" if value > 35 else "black")
    if corner:
        cell.add_patch(plt.Rectangle((corner[0] - 0.5, corner[1] - 0.5), 4, 4, fill=False, color="C1", linewidth=3))

# %% [markdown]
# The orange frame is the newest stamp. Neighbouring stamps overlap by two pixels and blend, so a coarse 2 by 2 picture
# becomes a smooth 4 by 4 one. This kernel, divided by 16, does what is called bilinear interpolation; the generator
# learns its kernels.
#
# ## The generator, written out
#
# Two things stand between the transposed convolutions. **Batch normalisation** (Ioffe and Szegedy 2015) gives each
# channel mean 0 and variance 1 over the batch, then lets the network choose its own scale $\gamma$ and shift $\beta$:
#
# $$\hat{x} = \gamma \, \frac{x - \mu_\text{batch}}{\sqrt{\sigma^2_\text{batch} + \epsilon}} + \beta .$$
#
# It keeps the signal alive through many layers. While training it uses the batch's own mean and variance; afterwards,
# running averages of them. Then comes **ReLU**, $\max(0, x)$, or in the discriminator **leaky ReLU**, which lets a
# fifth of the negative part through: $\max(x, 0.2\,x)$. It has a slope everywhere, so the
# discriminator can always tell the generator in which direction to change its picture. All kernels begin as random
# numbers from $\mathcal{N}(0, 0.02^2)$.


# %%
def written_generator(latent_dim, image_size, base_filters, kernel_size=4):
    def normal():
        return keras.initializers.RandomNormal(0.0, 0.02)

    filters = base_filters * image_size // 8
    x = latents = keras.Input((latent_dim,))
    x = layers.Dense(4 * 4 * filters, use_bias=False, kernel_initializer=normal())(x)
    x = layers.Reshape((4, 4, filters))(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    while filters > base_filters:
        filters //= 2
        x = layers.Conv2DTranspose(filters, kernel_size, 2, "same", use_bias=False, kernel_initializer=normal())(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    x = layers.Conv2DTranspose(3, kernel_size, 2, "same", kernel_initializer=normal())(x)
    return keras.Model(latents, layers.Activation("tanh")(x))


latents = sample_latents(count, latent_dim, seed=seed)
written = written_generator(latent_dim, image_size, base_filters)
written.set_weights(generator.get_weights())
fake_images = keras.ops.convert_to_numpy(generator(latents, training=True))
difference = np.abs(fake_images - keras.ops.convert_to_numpy(written(latents, training=True))).max()
print(f"parameters {written.count_params():,} and {generator.count_params():,}, largest difference {difference:.1e}")
assert written.count_params() == generator.count_params() and difference < 1e-3

# %% [markdown]
# With the same weights, the same latents give the same pictures as the library's `generator_model`.
#
# ## Checkerboards
#
# Why kernels of 4? Count how many stamps reach each output pixel. Where the stride does not divide the
# kernel, some pixels get more than their neighbours, and the picture shows a grid like a checkerboard (Odena et al.
# 2016).

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for cell, k in zip(axes, (3, 4), strict=True):
    stamps = transposed_convolution(np.ones((5, 5, 1), np.float32), np.ones((k, k, 1, 1), np.float32))[..., 0]
    cell.imshow(stamps, cmap="Blues", vmin=0, vmax=6)
    for (row, column), value in np.ndenumerate(stamps):
        cell.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=9)
    cell.set_title(f"kernel {k}, stride 2: stamps for each pixel", fontsize=10)
    cell.axis("off")

# %% [markdown]
# On the left one, two or four stamps fall on a pixel, in turn. On the right it is four everywhere but at the border.
# What does that do to a whole generator? We build it with kernels of 3 and of 4, leave both untrained, and ask how
# strongly each pixel varies from picture to picture. A regular grid of every second pixel is the highest frequency
# that a picture can hold, the **Nyquist frequency**; the Fourier transform measures how strong it is.


# %%
def nyquist(values):
    """The strength of "every second row, column or both", relative to the mean, away from the border."""
    spectrum = np.abs(np.fft.fft2(values[4:-4, 4:-4]))
    half = len(spectrum) // 2
    return max(spectrum[half, 0], spectrum[0, half], spectrum[half, half]) / spectrum[0, 0]


figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
many = sample_latents(256, latent_dim, seed=1)
for cell, k in zip(axes, (3, 4), strict=True):
    images = written_generator(latent_dim, image_size, base_filters, kernel_size=k)(many, training=True)
    spread = keras.ops.convert_to_numpy(images).std(axis=0).mean(axis=-1)
    cell.imshow(spread, cmap="magma", vmin=0, vmax=spread.max())
    cell.set_title(f"kernel {k}, stride 2: spread of each pixel\nNyquist strength {nyquist(spread):.3f}", fontsize=10)
    cell.axis("off")

# %% [markdown]
# With kernels of 3, bright and dark pixels alternate before anything has been learnt, and training would have to work
# against it. With kernels of 4 the middle is even; a little unevenness is left, since random kernels weigh their four
# stamps by chance. The other remedy is to enlarge the picture first and then convolve.
#
# ## The discriminator
#
# The discriminator $D$ is the generator in reverse: convolutions with stride 2 halve the side and double the channels
# until 4 by 4 are left, and a dense layer makes one number of them, the **logit** $\ell$. Above 0 means "real". The
# sigmoid turns it into a probability, $p = 1 / (1 + e^{-\ell})$. The first block has no batch normalisation, so that
# the raw colours come through.

# %%
discriminator = discriminator_model(image_size=image_size, base_filters=base_filters)
print_layers(discriminator)
draw_stacks(discriminator)

# %% [markdown]
# How much of the picture does one of the last 4 by 4 units see? That square is its **receptive field**. A unit
# of the first convolution sees $k = 4$ pixels. Every later layer adds $k - 1$ steps, each as long as the strides
# before it multiply to:
#
# $$r_{l} = r_{l-1} + (k - 1) \prod_{m < l} s_m , \qquad r_0 = 1 .$$
#
# To check, we ask a unit in the middle for its gradient: the pixels outside its receptive field have none.

# %%
convolutions = [layer for layer in discriminator.layers if isinstance(layer, layers.Conv2D)]
field, jump = 1, 1
for layer in convolutions:
    field, jump = field + (layer.kernel_size[0] - 1) * jump, jump * layer.strides[0]

features = keras.Model(discriminator.inputs, convolutions[-1].output)
noise = tf.random.stateless_uniform((1, image_size, image_size, 3), (seed, 0), -1, 1)
with tf.GradientTape() as tape:
    tape.watch(noise)
    unit = tf.reduce_sum(features(noise, training=False)[0, 1, 1])
seen = np.abs(tape.gradient(unit, noise).numpy()[0]).max(axis=-1)
rows = np.flatnonzero(seen.max(axis=1))
print(f"receptive field: {field} pixels by the formula, {rows[-1] - rows[0] + 1} by the gradient")

faces, _ = draw_faces(1, image_size, seed=seed, start=10)
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.2), layout="constrained")
axes[0].imshow(faces[0])
axes[0].add_patch(plt.Rectangle((rows[0] - 0.5, rows[0] - 0.5), field, field, fill=False, color="C1", linewidth=2))
axes[1].imshow(seen, cmap="magma")
for cell, title in zip(axes, ("what one unit sees", "its gradient"), strict=True):
    cell.set_title(title, fontsize=10)
    cell.axis("off")

# %% [markdown]
# One unit sees most of a face, so it can notice that two eyes do not match. The dense layer then sees all units.
#
# ## Counting parameters
#
# A dense layer has $n_\text{in}\, n_\text{out}$ weights, a convolution of either kind $k^2 c_\text{in} c_\text{out}$,
# and a bias adds one for each output channel. Batch normalisation has four numbers a channel: $\gamma$ and $\beta$,
# which are learnt, and the running mean and variance, which are measured.


# %%
def generator_parameters(latent_dim, image_size, f):
    channels = f * image_size // 8
    total = latent_dim * 4 * 4 * channels + 4 * channels
    while channels > f:
        total += 4 * 4 * channels * (channels // 2) + 4 * (channels // 2)
        channels //= 2
    return total + 4 * 4 * f * 3 + 3


def discriminator_parameters(image_size, f):
    channels, total = f, 4 * 4 * 3 * f + f
    while channels < f * image_size // 8:
        total += 4 * 4 * channels * (2 * channels) + 4 * (2 * channels)
        channels *= 2
    return total + 4 * 4 * channels + 1


by_hand = generator_parameters(latent_dim, image_size, base_filters), discriminator_parameters(image_size, base_filters)
by_keras = generator.count_params(), discriminator.count_params()
print("by hand ", by_hand, "\nby Keras", by_keras)
assert by_hand == by_keras

# %% [markdown]
# The formulas tell us what width and size cost, without building anything.

# %%
print("parameters in millions: generator + discriminator")
print(f"{'base_filters':<14}" + "".join(f"{f'{side} pixels':>18}" for side in (32, 64, 128)))
for f in (16, 32, 64, 128):
    pairs = [(generator_parameters(100, side, f), discriminator_parameters(side, f)) for side in (32, 64, 128)]
    print(f"{f:<14}" + "".join(f"{g / 1e6:>9.2f} + {d / 1e6:>6.2f}" for g, d in pairs))

# %% [markdown]
# Twice the filters are about four times the parameters, since a kernel has channels in *and* out. Twice the side adds
# one block, the widest of all. Wider networks can paint finer and take longer; on a CPU, begin with 32
# base filters.
#
# ## An untrained pair, looked at
#
# Before training a network, look at what it does. The weights should be spread as asked for, the generator should make
# noise about a middle grey, and the discriminator should not know real from fake.

# %%
real_images = draw_faces(count, image_size, seed=seed)[0] / np.float32(127.5) - 1.0
fakes_later = keras.ops.convert_to_numpy(generator(latents, training=False))
show_images(np.concatenate([fake_images[:8], fakes_later[:8], real_images[:8]]), 8, scale=64 / image_size)
plt.show()
print(f"first row, as in training:   mean {fake_images.mean():+.3f}, standard deviation {fake_images.std():.3f}")
print(f"second row, as when used:    mean {fakes_later.mean():+.3f}, standard deviation {fakes_later.std():.3f}")
print(f"third row, real images:      mean {real_images.mean():+.3f}, standard deviation {real_images.std():.3f}")

# %% [markdown]
# In the first row batch normalisation used each batch's own statistics, and you see coloured noise. In the second it
# used running averages that have hardly been updated, so the signal fades layer by layer to plain grey. The third row
# is where training shall lead.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
kernel = keras.ops.convert_to_numpy(convolutions[-1].kernel)
axes[0].hist(kernel.ravel(), bins=60, density=True)
axes[0].set(xticks=(-0.06, 0, 0.06), title=f"weights: mean {kernel.mean():.4f}, deviation {kernel.std():.4f}")
for images, name in ((real_images, "real"), (fake_images, "fake")):
    logits = keras.ops.convert_to_numpy(discriminator(images, training=True))
    axes[1].hist(images.ravel(), bins=50, range=(-1, 1), density=True, histtype="step", label=name)
    axes[2].hist(logits.ravel(), bins=20, histtype="step", label=name)
    size, probability = np.sqrt(np.mean(logits**2)), np.mean(1 / (1 + np.exp(-logits)))
    print(f"{name} logits: typical size {size:.2f}, mean {logits.mean():+.2f}; mean probability {probability:.2f}")
for cell, title in zip(axes[1:], ("pixels", "logits"), strict=True):
    cell.set_title(title)
    cell.legend()
features_in = discriminator.layers[-2].input.shape[-1]
print(f"0.02 x sqrt({features_in}) x 0.72 = {0.02 * np.sqrt(features_in) * 0.72:.2f}")

# %% [markdown]
# On the left the bell of the initial weights; in the middle, fake pixels crowd around grey where real ones spread. On
# the right both kinds of logits lie mixed on both sides of 0. Their size needs no training: a sum of $n$ terms, each a
# weight of about 0.02 times a feature of typical size $\sqrt{(1 + 0.2^2) / 2} \approx 0.72$ (unit variance after leaky
# ReLU), is about $0.02 \sqrt{n} \cdot 0.72$ large, the last line printed. So far the discriminator's opinions are
# chance.
#
# ## The script's networks
#
# This course grew out of a small script for 32 pixels. Its networks are kept as `architecture="script_32"`: leaky ReLU
# in the generator, dropout in the discriminator, and a sigmoid at the end, so that it gives probabilities and needs a
# loss that expects them (`loss="probability"`). Two faults are mended: pictures are scaled to [-1, 1] and the
# generator ends in tanh, and all layers of the discriminator are connected. The course itself works with logits, whose
# loss never overflows.

# %%
script_generator = generator_model(latent_dim, image_size=32, base_filters=32, architecture="script_32")
script_discriminator = discriminator_model(image_size=32, base_filters=32, architecture="script_32")
probabilities = keras.ops.convert_to_numpy(script_discriminator(script_generator(latents)))
print(f"{script_generator.count_params():,} + {script_discriminator.count_params():,} parameters")
print(f"probabilities from {probabilities.min():.3f} to {probabilities.max():.3f}")

# %% [markdown]
# ## Exercises
#
# **1. Count.** How many parameters has `layers.Conv2DTranspose(128, 4, 2, "same", use_bias=False)` on an input of
# 8 x 8 x 256?

# %%
answer = None  # a whole number

# %%
if answer is None:
    print("Exercise 1 is unanswered.")
elif answer == 524288:
    print("Right: and the 8 x 8 does not matter, since every pixel uses the same stamp.")
elif answer == 524288 + 128:
    print("Not yet: these 128 too many are biases, and use_bias is False.")
elif answer == 524288 * 64:
    print("Not yet: every pixel stamps with the same kernel; it is counted once.")
else:
    print(f"Not yet: {answer} is {answer / 524288:.3g} times the right number. Multiply kernel, channels in and out.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# `answer = 4 * 4 * 256 * 128`, which is 524,288.
#
# </details>
#
# **2. Size.** A transposed convolution has a kernel of 5, stride 3 and `padding="valid"`, which cuts nothing. How wide
# is its output for an input 7 pixels wide?

# %%
answer = None  # a whole number

# %%
right = layers.Conv2DTranspose(1, 5, 3, "valid").compute_output_shape((1, 7, 7, 1))[1]
if answer is None:
    print("Exercise 2 is unanswered.")
elif answer == right:
    print(f"Right: Keras makes {right} pixels, too.")
elif answer == 21:
    print("Not yet: 7 * 3 is what padding='same' would leave after cutting.")
else:
    print(f"Not yet: {answer} is {'too few' if answer < right else 'too many'}. Where does the last stamp begin?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The last of the 7 stamps begins at pixel (7 - 1) * 3 = 18 and is 5 long: `answer = (7 - 1) * 3 + 5`, which is 23.
#
# </details>
#
# **3. Build.** Build the discriminator for 32 pixels and 16 base filters yourself, from Keras layers: three
# convolutions (kernel 4, stride 2, "same") of 16, 32 and 64 filters, each followed by a `LeakyReLU` layer;
# batch normalisation and no bias in all but the first; a dense layer at the end.

# %%
answer = None  # a keras.Model or keras.Sequential that begins with keras.Input((32, 32, 3))

# %%
if answer is None:
    print("Exercise 3 is unanswered.")
elif not isinstance(answer, keras.Model) or not answer.built:
    print("Not yet: expected a Keras model that begins with keras.Input((32, 32, 3)).")
elif answer.input_shape != (None, 32, 32, 3) or answer.output_shape != (None, 1):
    print(f"Not yet: expected (None, 32, 32, 3) to (None, 1), received {answer.input_shape} to {answer.output_shape}.")
else:
    library = discriminator_model(image_size=32, base_filters=16)
    wrong = 0
    for kind in (layers.Conv2D, layers.BatchNormalization, layers.LeakyReLU, layers.Dense):
        yours, theirs = (
            [layer.count_params() for layer in model.layers if isinstance(layer, kind)] for model in (answer, library)
        )
        if yours != theirs:
            wrong += 1
            print(f"Not yet: expected {kind.__name__} layers of {theirs} parameters, received {yours}.")
    if not wrong:
        print(f"Right: {answer.count_params():,} parameters; by the formula {discriminator_parameters(32, 16):,}.")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = keras.Sequential([
#     keras.Input((32, 32, 3)),
#     layers.Conv2D(16, 4, 2, "same"),
#     layers.LeakyReLU(negative_slope=0.2),
#     layers.Conv2D(32, 4, 2, "same", use_bias=False),
#     layers.BatchNormalization(),
#     layers.LeakyReLU(negative_slope=0.2),
#     layers.Conv2D(64, 4, 2, "same", use_bias=False),
#     layers.BatchNormalization(),
#     layers.LeakyReLU(negative_slope=0.2),
#     layers.Flatten(),
#     layers.Dense(1),
# ])
# ```
#
# </details>
#
# ## What we learned
#
# - A transposed convolution stamps its kernel once for each input pixel; a kernel that the stride divides covers all
#   pixels alike.
# - Generator and discriminator mirror each other: double the side and halve the channels, and back.
# - Untrained, the generator makes noise about grey, and the discriminator judges by chance. Look before you train.
#
# Next: [03 Adversarial training](03_adversarial_training.ipynb), where the two learn from each other.
#
# ## References
#
# - Goodfellow et al., "Generative Adversarial Networks", 2014.
# - Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
#   Networks", 2015.
# - Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
#   2015.
# - Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016.
