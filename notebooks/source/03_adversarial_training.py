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
# # 03 Adversarial training: the game, step by step
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/03_adversarial_training.ipynb)
#
# Two networks play against each other, and faces come out. Here you write one step of that game yourself, train a
# pair while you watch, read its curves, and stop a run and go on without losing a bit. At the end you know what
# happened between the top and the bottom of this picture:
#
# ![The same latents from noise to faces](../images/noise_to_face.png)
#
# The people in generated pictures do not exist.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about 5 |
# | a GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers @ {repository}"')

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from IPython.display import display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

from gan_helpers import (
    GAN,
    Recipe,
    colab,
    discriminator_model,
    draw_faces,
    face_batches,
    generate_images,
    generator_model,
    image_grid,
    plot_history,
    prepare_images,
    sample_latents,
    show_images,
    train,
)
from gan_helpers.models.losses import non_saturating_d_loss, non_saturating_g_loss
from gan_helpers.training.callbacks import ProgressBar, StopWhenTold

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
seed = 0
keras.utils.set_random_seed(seed)
machine = colab.setup()

# %% [markdown]
# **Parameters.** On a CPU we train at 32 pixels for a few minutes. On a GPU the same minutes are enough for 64.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "image_size, base_filters, count, minutes, every, small_count, small_epochs = 32, 4, 96, 0.05, 2, 64, 3"]}
image_size = 64 if machine.gpu else 32  # pixels a side
base_filters = 64 if machine.gpu else 32  # width of both networks
batch_size = 32
count = 4000  # drawn faces to train on
minutes = 4  # of training
every = 50  # steps between two live pictures
small_count, small_epochs = 512, 4  # the runs that we stop and go on with
where = machine.gpu or f"{machine.cores} processor cores"
print(f"{minutes} minutes of training at {image_size} pixels, suited to {where}")

# %% [markdown]
# The data are drawn faces, as in notebook 01: float32 batches of `real_images` in [-1, 1].

# %%
prepared = prepare_images("drawn", image_size, count=count)
real_images = next(iter(face_batches(prepared.images, batch_size, seed=seed)))
show_images(real_images[:8], 8, scale=2, title="real_images")
plt.show()

# %% [markdown]
# ## The game
#
# The generator $G$ turns latents $z$, drawn from a normal distribution, into pictures. The discriminator $D$ gives
# each picture $x$ a probability that it is real. One wants to raise the following value, the other to lower it
# (Goodfellow et al., 2014):
#
# $$\min_G \max_D \; V(D, G) = \mathbb{E}_{x \sim p_\text{data}}\big[\log D(x)\big]
#   + \mathbb{E}_{z \sim \mathcal{N}(0, I)}\big[\log(1 - D(G(z)))\big]$$
#
# Suppose the generator stands still, and call the distribution of its pictures $p_g$. Then the best possible
# discriminator answers, at each picture, with the share of the real ones among all that look like it:
#
# $$D^*(x) = \frac{p_\text{data}(x)}{p_\text{data}(x) + p_g(x)}$$
#
# We call $-V$ the discriminator's loss, `d_loss`. With $D^*$ it is $2 \log 2 - 2\,\mathrm{JSD}(p_\text{data}, p_g)$,
# where JSD, the Jensen-Shannon divergence, measures how far apart two distributions are; it is 0 where they are
# equal. Let us look at this for pictures of a single pixel, so that a distribution is a curve.

# %%
x = np.linspace(-8, 12, 2001)


def bell(centre):
    return np.exp(-((x - centre) ** 2) / 2) / np.sqrt(2 * np.pi)


def best_d_loss(p_data, p_g, tiny=1e-30):
    best = p_data / (p_data + p_g + tiny)
    return np.trapezoid(-p_data * np.log(best + tiny) - p_g * np.log(1 - best + tiny), x)


figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
axes[0].plot(x, bell(0), label="$p_{data}$")
axes[0].plot(x, bell(2), label="$p_g$")
axes[0].plot(x, bell(0) / (bell(0) + bell(2)), label="$D^*$")
axes[0].set(xlim=(-4, 6), xlabel="brightness of the only pixel", title="the best discriminator")
axes[0].legend()
distances = np.linspace(0, 4, 41)
axes[1].plot(distances, [best_d_loss(bell(0), bell(distance)) for distance in distances])
axes[1].axhline(2 * np.log(2), color="grey", linestyle=":", label="2 log 2 = 1.386")
axes[1].set(xlabel="distance between the two bells", ylabel="d_loss", ylim=(0, 1.5))
axes[1].set_title("the lowest loss within its reach")
axes[1].legend()
plt.show()

# %% [markdown]
# On the left, $D^*$ falls from 1 to 0 where the generator's pictures take over, and is exactly one half where both
# are equally common. On the right, the nearer the generator comes, the higher is the loss that even the best
# discriminator must bear, up to $2 \log 2$. So a `d_loss` of 1.386 means "cannot tell", and 0 means "always right".
#
# ## Two losses, from logits
#
# Our discriminator ends in a plain number, the *logit* $\ell$, with $D = \sigma(\ell) = 1 / (1 + e^{-\ell})$. With
# $\mathrm{softplus}(\ell) = \log(1 + e^\ell)$ the discriminator's loss becomes
#
# $$\text{d\_loss} = \mathbb{E}\big[\mathrm{softplus}(-\ell_\text{real})\big]
#   + \mathbb{E}\big[\mathrm{softplus}(\ell_\text{fake})\big].$$
#
# For the generator there are two choices. The game says: make $\log(1 - D)$ small. The *non-saturating* loss says:
# make $-\log D$ small. Both want fakes to be called real. Their gradients differ:
#
# $$\frac{d}{d\ell} \log(1 - \sigma(\ell)) = -\sigma(\ell),
#   \qquad \frac{d}{d\ell}\big({-\log \sigma(\ell)}\big) = -\sigma(-\ell).$$

# %%
logits = tf.linspace(-8.0, 8.0, 161)
figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
choices = {
    "saturating": lambda logits: -tf.nn.softplus(logits),
    "non-saturating": lambda logits: tf.nn.softplus(-logits),
}
for name, loss in choices.items():
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss(logits)
    gradients = tape.gradient(losses, logits)
    axes[0].plot(logits, losses, label=name)
    axes[1].plot(logits, gradients, label=name)
    print(f"{name:15} gradient at logit -5: {gradients[30]:.4f}")
axes[0].set(xlabel="logit of a fake image", title="loss of the generator")
axes[1].set(xlabel="logit of a fake image", title="gradient")
axes[0].legend()
plt.show()

# %% [markdown]
# Early in training fakes are easy to spot and their logits are far below zero: the left end of both figures. There
# the saturating loss is flat. Its gradient has all but vanished, just when the generator has most to learn. The
# non-saturating one pushes hardest there, and rests where the generator has won.
#
# Why logits, and not probabilities? Because float32 runs out of digits. We compute the loss of a real image,
# $-\log \sigma(\ell)$, and of a fake one, $-\log(1 - \sigma(\ell))$, as they stand here (naive) and with softplus.

# %%
print(" logit | real: naive   softplus | fake: naive   softplus | gradients: naive  softplus")
for logit in (-100.0, -20.0, 0.0, 20.0, 100.0):
    logit = tf.constant(logit)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logit)
        real = -tf.math.log(tf.sigmoid(logit)), tf.nn.softplus(-logit)
        fake = -tf.math.log(1 - tf.sigmoid(logit)), tf.nn.softplus(logit)
    slopes = [tape.gradient(value, logit) for value in fake]
    print(f"{logit:6.0f} | {real[0]:11.4f} {real[1]:10.4f} | {fake[0]:11.4f} {fake[1]:10.4f} ", end="")
    print(f"| {slopes[0]:16.4f} {slopes[1]:9.4f}")

# %% [markdown]
# The naive form gives `inf`, and then `nan` ("not a number") as its gradient, which spreads to every weight at once.
# Softplus is exact on the whole range. The library's losses are these softplus means:

# %%
real_logits, fake_logits = tf.random.stateless_normal((2, batch_size, 1), [seed, 1], stddev=5.0)
mean, softplus = tf.reduce_mean, tf.nn.softplus
d_loss = mean(softplus(-real_logits)) + mean(softplus(fake_logits))
g_loss = mean(softplus(-fake_logits))
print(f"d_loss {d_loss:.6f}, the library's {non_saturating_d_loss(real_logits, fake_logits):.6f}")
print(f"g_loss {g_loss:.6f}, the library's {non_saturating_g_loss(fake_logits):.6f}")

# %% [markdown]
# ## One step, written out
#
# A step is two updates. First the discriminator learns from a batch of real images and one of fakes. Then the generator
# learns from the improved discriminator, with fresh latents. A `GradientTape` records what is computed and gives the
# gradient. The latents are a function of the seed and the step, so that a run can be repeated to the bit.


# %%
def one_step(generator, discriminator, g_optimizer, d_optimizer, real_images, step):
    shape = (len(real_images), generator.input_shape[-1])

    latents = tf.random.stateless_normal(shape, [seed, 2 * step])
    fake_images = generator(latents, training=True)
    with tf.GradientTape() as tape:
        real_logits = discriminator(real_images, training=True)
        fake_logits = discriminator(fake_images, training=True)
        d_loss = mean(softplus(-real_logits)) + mean(softplus(fake_logits))
    weights = discriminator.trainable_variables
    d_optimizer.apply(tape.gradient(d_loss, weights), weights)

    latents = tf.random.stateless_normal(shape, [seed, 2 * step + 1])
    with tf.GradientTape() as tape:
        fake_logits = discriminator(generator(latents, training=True), training=True)
        g_loss = mean(softplus(-fake_logits))
    weights = generator.trainable_variables
    g_optimizer.apply(tape.gradient(g_loss, weights), weights)


# %% [markdown]
# We take two identical tiny pairs, train one with this function and the other with the library's `train_step`, and
# compare all weights after three steps.


# %%
def tiny_pair():
    keras.utils.set_random_seed(1)
    size = {"image_size": image_size, "base_filters": 4}
    return generator_model(100, **size), discriminator_model(**size)


mine, its = tiny_pair(), tiny_pair()
optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
gan = GAN(*its, seed=seed)
gan.compile()
for step in range(3):
    one_step(*mine, *optimizers, real_images, step)
    gan.train_step(real_images)
for ours, theirs in zip(mine, its, strict=True):
    pairs = zip(ours.get_weights(), theirs.get_weights(), strict=True)
    largest = max(np.abs(a - b).max() for a, b in pairs)
    print(f"{ours.name:13} largest difference of any weight: {largest}")

# %% [markdown]
# ### One pass for both
#
# In `one_step` the generator draws two batches of images, one for each network's lesson. One batch can serve both: the
# discriminator learns from it, then judges the same images once more to teach the generator. `train_simultaneously` does
# so and saves a generator pass. What differs is that the generator learns from the very images that the discriminator
# has just learnt from, not from others. We measure both kinds in turn.


# %%
def images_per_second(step, repeat=8):
    step(real_images)  # the first call builds the graph
    began = time.perf_counter()
    for _ in range(repeat):
        loss = step(real_images)["g_loss"]
    float(loss)  # wait until it is done
    return repeat * len(real_images) / (time.perf_counter() - began)


kinds = {}
for name in ("alternating", "simultaneous"):
    width = {"image_size": image_size, "base_filters": base_filters}
    gan = GAN(generator_model(100, **width), discriminator_model(**width), seed=seed)
    gan.compile(simultaneous=name == "simultaneous")
    kinds[name] = tf.function(gan.train_step)
speeds = {name: [] for name in kinds}
for _ in range(5):
    for name, step in kinds.items():
        speeds[name].append(images_per_second(step))
for name, measured in speeds.items():
    print(f"{name:13} {np.median(measured):6.0f} images/s")

# %% [markdown]
# ## Two optimisers with a short memory
#
# Each network has an Adam optimiser (Kingma and Ba, 2015) of its own, since Adam keeps running means of the gradients
# of *its* weights. Their memory is set by `beta_1`: Keras' default of 0.9 remembers about 10 steps, the 0.5 that GANs
# use (Radford et al., 2015) about 2. The reason shows in the smallest of all games, $V(x, y) = x\,y$, where one player
# moves $x$ to lower it and the other moves $y$ to raise it. The goal is $(0, 0)$.


# %%
def play(beta_1, steps=600, rate=0.02, beta_2=0.999):
    position, m, v, path = np.array([1.0, 0.0]), np.zeros(2), np.zeros(2), []
    for step in range(1, steps + 1):
        for player, sign in ((1, 1), (0, -1)):  # y moves up the gradient, then x down
            gradient = position[1 - player]
            m[player] += (1 - beta_1) * (gradient - m[player])
            v[player] += (1 - beta_2) * (gradient**2 - v[player])
            move = m[player] / (1 - beta_1**step) / (np.sqrt(v[player] / (1 - beta_2**step)) + 1e-7)
            position[player] += sign * rate * move
        path.append(position.copy())
    return np.array(path)


figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for beta_1, colour in ((0.9, "C3"), (0.5, "C0")):
    path = play(beta_1)
    so_far = np.cumsum(path, axis=0) / np.arange(1, len(path) + 1)[:, None]
    for points, style, name in ((path, "-", ""), (so_far, "--", "average, ")):
        axes[0].plot(*points.T, colour + style, linewidth=1)
        axes[1].plot(np.hypot(*points.T), colour + style, label=f"{name}beta_1 = {beta_1}")
axes[0].plot(0, 0, "k+", markersize=12)
axes[0].set(xlabel="x", ylabel="y", aspect="equal", title="paths of the players; + is the goal")
axes[1].set(xlabel="step", title="distance from the goal", ylim=(0, None))
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# The players chase each other in circles. With the long memory each still pushes where the other was some steps ago,
# and the circle widens faster. Now look at the dashed lines: the *average* of all positions is much nearer to the
# goal than any of them. A real GAN is no such simple circle, but both lessons carry over.
#
# ## The averaged generator
#
# So `GAN` keeps a third network, whose weights $\bar\theta$ follow the generator's weights $\theta$ after each step:
#
# $$\bar\theta \leftarrow k\,\bar\theta + (1 - k)\,\theta, \qquad k = 2^{-\text{batch size}\,/\,\text{half-life}}$$
#
# After as many images as the half-life, a past generator counts half as much. That is 10,000 images, and fewer early in
# a run, so that the first noise is soon forgotten. The averaged generator plays no part in the game. We only look at
# it, and save it.
#
# ## Compile and fit
#
# `GAN` is a Keras model, so we `compile` and `fit`. A small callback redraws 32 faces every few steps: watch the
# picture below change as it trains.


# %%
class LiveSamples(keras.callbacks.Callback):
    latents = sample_latents(32, seed=seed)

    def picture(self):
        grid = Image.fromarray(image_grid(generate_images(self.model.averaged_generator, self.latents), 8))
        return grid.resize((512, 512 * grid.height // grid.width))

    def on_train_begin(self, logs=None):
        self.shown = display(self.picture(), display_id=True)

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step % every == 0:
            self.shown.update(self.picture())


keras.utils.set_random_seed(seed)
shape = {"image_size": image_size, "base_filters": base_filters}
gan = GAN(generator_model(100, **shape), discriminator_model(**shape), seed=seed)
gan.compile(
    g_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
    d_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
)

# %% [markdown]
# An epoch is one pass over all faces. `StopWhenTold` ends the training cleanly when the minutes are over, or when
# you press stop.

# %%
history = gan.fit(
    face_batches(prepared.images, batch_size, seed=seed),
    steps_per_epoch=count // batch_size,
    epochs=10_000,
    callbacks=[LiveSamples(), ProgressBar(batch_size, minutes=minutes), StopWhenTold(minutes)],
    shuffle=False,  # the batches come shuffled
    verbose=0,
)
print(f"{gan.step:,} steps, {gan.step * batch_size:,} images")

# %% [markdown]
# ## How to read the curves
#
# The left figure shows the losses. We add a dotted line at $2 \log 2$, where the discriminator cannot tell. The
# right one shows `real_score` and `fake_score`, the probability of "real" that it gives to real and to fake images.

# %%
figure = plot_history(history.history)
figure.axes[0].axhline(2 * np.log(2), color="grey", linewidth=0.8, linestyle=":")
plt.show()
last = {name: values[-1] for name, values in history.history.items()}
print("last epoch:", ", ".join(f"{name} {value:.2f}" for name, value in last.items()))

# %% [markdown]
# - **`d_loss` between 0 and 1.386 and moving slowly** is a game in progress. Near 1.386 for long: the discriminator
#   has learnt nothing, or the generator fools it. At 0: it always wins, and may have learnt the images by heart.
# - **`g_loss` above 0.693** ($\log 2$) is the usual state. It rises while the discriminator gets better, even as
#   the faces improve. It is no measure of quality; look at the faces.
# - **Both scores at 0.5** would be the end of the game. Hardly any GAN gets there. Scores that stay apart, but do not
#   stick to 1 and 0, leave the generator something to learn from.
#
# Behind each mean stands a distribution. Let us ask the discriminator for its logits of training images, of faces
# drawn anew that it has never seen, and of fakes.

# %%
amount = min(512, count)
unseen, _ = draw_faces(amount, image_size, seed=1)
fakes = generate_images(gan.generator, amount, seed=1)
groups = {"training images": prepared.images[:amount], "unseen real images": unseen, "fake images": fakes}
figure, axis = plt.subplots(figsize=(10, 2.8), layout="constrained")
for name, images in groups.items():
    images = images / np.float32(127.5) - 1
    parts = [images[start : start + batch_size] for start in range(0, amount, batch_size)]
    logits = np.concatenate([gan.discriminator(part, training=True) for part in parts])
    axis.hist(logits[:, 0], bins=40, histtype="step", linewidth=2, label=f"{name}, mean {logits.mean():.1f}")
axis.axvline(0, color="grey", linestyle=":")
axis.set(xlabel="logit; right of the dotted line means real", ylabel="images")
axis.legend()
plt.show()

# %% [markdown]
# Where the hills of fakes and real images overlap, the generator fools the discriminator. As long as training and
# unseen images lie on top of each other, the discriminator judges faces. Should they part, it has begun to know its
# training images by heart.
#
# ## Raw against averaged
#
# The same eight latents, through the generator that plays and through its average.

# %%
latents = sample_latents(8, seed=2)
networks = {"raw": gan.generator, "averaged": gan.averaged_generator}
before = {name: generate_images(network, latents) for name, network in networks.items()}
title = "above: the raw generator; below: the averaged one"
show_images(np.concatenate(list(before.values())), 8, scale=64 / image_size, title=title)
plt.show()

# %% [markdown]
# The averaged faces have fewer blotches and clearer outlines. How restless is the raw generator? We train 20 steps
# more, and measure how much each network's eight pictures have changed.

# %%
more = face_batches(prepared.images, batch_size, seed=seed, start_step=gan.step)
gan.fit(more, steps_per_epoch=20, epochs=1, shuffle=False, verbose=0)
for name, network in networks.items():
    change = np.abs(generate_images(network, latents) - before[name].astype(float)).mean()
    print(f"{name:9} pictures changed by {change:.1f} grey values of 255 in 20 steps")

# %% [markdown]
# ## Stop, and go on
#
# Colab disconnects, laptops run out of power. `train` does what we did above, and keeps everything the next step
# depends on in a run's folder: the weights of all three networks, the optimisers' running means, the count of steps.
# Called again with the same folder, it goes on. To see that nothing is lost, we train one small run without a stop,
# and stop a second one in the middle of an epoch before we go on with it. Parallel sums may be added in changing order
# and so be rounded differently; we ask TensorFlow for a fixed order.


# %%
class StopAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.last = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step >= self.last:
            self.model.stop_training = True


tf.config.experimental.enable_op_determinism()
steps = small_count // batch_size
settings = {
    "image_size": 32,
    "count": small_count,
    "epochs": small_epochs,
    "recipe": Recipe(base_filters=8, batch_size=batch_size),
}
whole = train("drawn", "runs/never_stopped", **settings)
stopped = train("drawn", "runs/stopped", callbacks=[StopAt(steps + steps // 2)], **settings)
stopped_at = stopped.gan.step
resumed = train("drawn", "runs/stopped", **settings)

# %%
print(f"stopped at step {stopped_at}; in the end {whole.gan.step} and {resumed.gan.step} steps")
for name in ("generator", "discriminator", "averaged_generator", "g_optimizer", "d_optimizer"):
    pairs = zip(getattr(whole.gan, name).variables, getattr(resumed.gan, name).variables, strict=True)
    same = [np.array_equal(a.numpy(), b.numpy()) for a, b in pairs]
    print(f"{name:18} {sum(same)} of {len(same)} arrays are equal to the bit")
print(f"history equal: {whole.run.history() == resumed.run.history()}")

# %% [markdown]
# The run that was stopped ends exactly where the other one does: order, mirroring and latents are functions of seed and
# step, so there is no hidden state to lose. The same holds after `kill -9` at any instant: every file is written aside
# and renamed only when it is whole, and a checkpoint that is damaged all the same is named and passed over.
#
# In Colab, mount Drive with `machine = colab.setup(drive=True)` and give `machine.folder / "first"` as the folder: `train`
# then works on Colab's own disk and copies the run to Drive every five minutes. After a disconnect, the same cell goes on.
#
# ## After minutes on a GPU
#
# The same game, played on 6,000 photographs of real faces at 64 pixels by the recipe that notebook 07 builds, 39,060
# steps on a GPU. These are the first 64 faces of seed 0, none picked. None of these people exists.
#
# ![64 generated faces, the first of seed 0](../images/faces.png)
#
# ## What goes wrong
#
# - **Mode collapse**: many latents give nearly the same face. Look at a whole grid, never at one good picture.
# - **A discriminator that wins**: its loss sticks at 0 and the generator gets no direction. Few training images bring
#   it about; augmentation and penalties on its gradient help.
# - **Losses that become `nan`**: mostly a learning rate that is too high, or logarithms of probabilities. `train` stops
#   at that very step, names the tensor, and keeps the last good checkpoint.
# - **Stopping by the loss**: the losses do not say which epoch was best. Pictures do, and so do measures such as FID.
#
# ## Exercises
#
# **1.** At some picture $p_\text{data} = 0.3$ and $p_g = 0.1$. What does the best discriminator answer there?

# %%
answer = None

# %%
if answer is None:
    print("unanswered: put a number into `answer`")
elif abs(answer - 0.3 / (0.3 + 0.1)) < 1e-3:
    print("right: three of four such pictures are real")
elif abs(answer - np.log(3)) < 1e-2:
    print("not yet: that is the logit; the question asks for the probability")
else:
    print("not yet: what share do the real ones have among all pictures like this one?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = 0.3 / (0.3 + 0.1)
# ```
#
# That is 0.75: three of four such pictures are real. As a logit it is $\log(p_\text{data} / p_g) = \log 3$.
# </details>
#
# **2.** Write one update of the averaged weights: a function of `average`, `current` (two arrays), `batch_size` and
# `half_life` that returns the new average. Put the function into `averaged`.

# %%
averaged = None  # def averaged(average, current, batch_size, half_life): ...

# %%
if averaged is None:
    print("unanswered: write the function `averaged`")
else:
    value = np.array([0.0, 8.0])
    for _ in range(100):  # 3,200 images in all
        value = averaged(value, np.array([4.0, 4.0]), 32, 3200)
    if np.allclose(value, [2.0, 6.0], atol=1e-3):
        print("right: after one half-life the old weights count half")
    else:
        print(f"not yet: after 3,200 images expected [2. 6.], half way to [4. 4.]; received {value}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def averaged(average, current, batch_size, half_life):
#     keep = 0.5 ** (batch_size / half_life)
#     return keep * average + (1 - keep) * current
# ```
# </details>
#
# ## What we learned
#
# - GAN training is a game for two. Its value tells how well the discriminator can do: at 1.386 it cannot tell.
# - The non-saturating loss gives the generator a direction while it is losing; logits keep the numbers finite.
# - One step is two updates, 16 lines in all. Two optimisers with a short memory drive it.
# - The average of the generator's weights makes better faces than the generator itself, at almost no cost.
# - A run in its folder can be stopped at any step, and goes on to the bit.
#
# **Next:** `04_visualising_faces`, what has the generator learnt?
#
# ## References
#
# - Goodfellow et al., "Generative Adversarial Networks", 2014.
# - Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
#   Networks", 2015.
# - Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015.
# - Gidel et al., "Negative Momentum for Improved Game Dynamics", 2019.
# - Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", 2019.
