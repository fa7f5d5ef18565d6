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
# # 06 When training fails: eight runs broken on purpose
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/06_when_training_fails.ipynb)
#
# Why is my output noise? Why is it always the same face? Why is it suddenly broken? Here you break a training in eight
# ways, let the library's `HealthMonitor` name what is wrong, and mend it. At the end you have this picture, of your own
# runs, and know what to try first when one of yours looks like it:
#
# ![Samples of a healthy training and of eight broken ones](../images/when_training_fails.png)
#
# The people in generated pictures do not exist.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about 8 |
# | a GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers @ {repository}"')

# %%
import dataclasses
import textwrap
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats

from gan_helpers import (
    RECIPES,
    colab,
    draw_faces,
    face_batches,
    generate_images,
    generator_model,
    image_grid,
    prepare_images,
    sample_latents,
    show_images,
)
from gan_helpers.metrics import kid
from gan_helpers.training.conditions import diagnose
from gan_helpers.training.health import HealthMonitor
from gan_helpers.training.precision import hardware_precision
from gan_helpers.training.train import build_gan

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
seed = 0
machine = colab.setup()
precision, found = hardware_precision()

# %% [markdown]
# **Parameters.** All runs have the same length in steps, whatever the machine, so that they fail everywhere alike.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "import tensorflow", "tensorflow.config.run_functions_eagerly(True)", "base_filters, count, few, steps, deep_steps, every = 2, 64, 32, 3, 2, 1"]}
base_filters = 32  # width of the networks
count, few = 4000, 100  # drawn faces to train on, and too few of them
steps = 1500  # of a run at 32 pixels
deep_steps = 500  # of a run at 64 pixels
every = 50  # steps between two looks of the monitor
print(f"runs of {steps:,} and {deep_steps:,} steps in {precision} ({found})")

# %% [markdown]
# The data are drawn faces, at 32 pixels, and at 64 for one failure that needs deeper networks.

# %%
faces = prepare_images("drawn", 32, count=count).images
large_faces = prepare_images("drawn", 64, count=count // 2).images
show_images(faces[:12], 12, scale=2, title="what a generator should make")
plt.show()

# %% [markdown]
# ## Healthy
#
# First a run as it should be, so that we know what health looks like. `attempt` trains recipe `quick`, with changes, and
# with whatever spoils its batches or networks. Every 50 steps the monitor takes a look at losses, gradients, weights and
# samples; when its diagnosis changes, it says so.


# %%
def attempt(steps, images, *, spoil_batches=None, spoil_gan=None, **changes):
    recipe = dataclasses.replace(RECIPES["quick"], **{"base_filters": base_filters} | changes)
    gan = build_gan(recipe, images.shape[1], seed, precision)
    if spoil_gan:
        spoil_gan(gan)
    batches = face_batches(images, recipe.batch_size, seed=seed)
    if spoil_batches:
        batches = batches.map(spoil_batches)
    watch = {"unseen": draw_faces(200, images.shape[1], seed=1)[0], "every": every, "batch_size": recipe.batch_size}
    monitor = HealthMonitor(images, **watch, report=lambda line: print(textwrap.fill(line, 110)))
    began = time.monotonic()
    gan.fit(batches, steps_per_epoch=steps, shuffle=False, callbacks=[monitor], verbose=0)
    print(f"{gan.step:,} steps in {time.monotonic() - began:.0f} s; at the end: {monitor.diagnosis.headline}")
    return gan, monitor


healthy = attempt(steps, faces)
healthy[1].figure()

# %% [markdown]
# What to see in a healthy panel:
#
# - **Scores** are apart (here the discriminator leads), but do not stick to 1 and 0; **losses** wander slowly.
# - **Gradients** settle at an order of magnitude. **Weights** grow by a percent or so from look to look.
# - **Diversity** and **detail**, as a share of real pictures', are near 1; the checkerboard of the first steps fades.
# - **Seen and unseen** pictures get nearly the same score: the discriminator judges faces, not memories.
#
# For the failures a smaller figure is enough: samples, what the monitor saw, samples of the mended run.


# %%
def samples(run, amount):
    return generate_images(run[0].generator, sample_latents(amount, seed=seed))


def first_alarm(monitor):
    for number, look in enumerate(monitor.looks):
        diagnosis = diagnose(monitor.looks[: number + 1])
        if diagnosis.condition != "healthy":
            return f"{diagnosis.condition}, named at step {look['step']:,}"
    return "healthy throughout"


def beside(broken, mended, columns, scale="linear"):
    figure, axes = plt.subplots(1, 3, figsize=(11, 2.9), layout="constrained", width_ratios=(1, 1.2, 1))
    for axis, run, title in ((axes[0], broken, first_alarm(broken[1])), (axes[2], mended, "mended")):
        axis.imshow(image_grid(samples(run, 20), 5))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    for number, column in enumerate(columns):
        for (_, monitor), style, name in ((broken, "-", "broken"), (mended, ":", "mended")):
            shown = [(look["step"], look.get(column, np.nan)) for look in monitor.looks]
            axes[1].plot(*zip(*shown, strict=True), f"C{number}{style}", label=f"{column}, {name}")
    axes[1].set(xlabel="step", yscale=scale)
    axes[1].legend(fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    plt.show()


# %% [markdown]
# ## Wrong data range
#
# The generator ends in $\tanh$, whose values lie in $(-1, 1)$. Real pictures must fill the same range: $x = p / 127.5 - 1$
# for a pixel $p$ from 0 to 255. A common slip is $x = p / 255$.

# %%
wrong_range = attempt(steps, faces, spoil_batches=lambda images: (images + 1) / 2)
beside(wrong_range, healthy, ("contrast", "real_low"))

# %% [markdown]
# Nothing breaks down: no loss tells. But the generator learns what it is shown, and that is pale: its samples have half
# the contrast of real pictures, and its tanh works in one half of its range. **Mend:** scale the pictures. That leads
# back to the healthy run, so we show that one on the right (dotted).
#
# ## Learning rate too high
#
# Adam (Kingma and Ba, 2015) moves each weight by about the learning rate $\eta$, however small its gradient:
# $\Delta w = -\eta\,\hat m / (\sqrt{\hat v} + \epsilon)$, where $|\hat m| \lesssim \sqrt{\hat v}$. Our weights begin with
# a standard deviation of 0.02. With $\eta = 2 \cdot 10^{-4}$ a step is a hundredth of that; 50 times as much is half of it.
# We try it at 64 pixels, beside a run with the usual rate.

# %%
deep = attempt(deep_steps, large_faces)
too_fast = attempt(deep_steps, large_faces, g_learning_rate=1e-2, d_learning_rate=1e-2)
beside(too_fast, deep, ("g_weight_norm", "d_weight_norm"), "log")

# %%
unseen = draw_faces(500, 64, seed=2)[0]
for name, run in (("50 times", too_fast), ("usual", deep)):
    distance = kid(unseen, generate_images(run[0].generator, 500, seed=seed), network="small")
    print(f"{name:8} rate: KID of the small network {distance.value:.1f}")

# %% [markdown]
# Within 50 steps the weights outgrow what they were; the alarm is for that moment. Batch normalisation keeps such a run
# alive, as it divides by what has grown. That makes this failure a treacherous one: its faces are there sooner and
# have more contrast, but they are harsh, lie under a grid, and KID (notebook 05) puts them much further from drawn faces.
# **Mend:** $2 \cdot 10^{-4}$, on the right. It is a safe rate, not the best one: a few times as much can be better
# in a short run. Measure.
#
# ## Vanishing signal
#
# A layer with $n$ inputs to each output and weights of variance $s^2$ turns a signal of mean square $q$ into one of
# $n s^2 q$. Ten layers of a factor of 0.3 leave nothing. **Batch normalisation** (Ioffe and Szegedy, 2015) sets each
# channel right, $\hat x = (x - \mu_B) / \sigma_B$. **Balanced initial weights**, $s^2 = 2 / ((1 + 0.2^2)\,n)$ for leaky ReLU
# (He et al., 2015), keep the size from the start; with residual blocks they make our `light` networks, which need no
# statistics of the batch. How strong are the pictures of untrained generators?

# %%
untrained = {
    "dcgan, batch": {"normalisation": "batch"},
    "dcgan, none": {"normalisation": "none"},
    "light, none": {"architecture": "light"},
}
for name, choices in untrained.items():
    keras.utils.set_random_seed(seed)
    generator = generator_model(100, image_size=64, base_filters=base_filters, **choices)
    pictures = generator(sample_latents(32, seed=seed), training=True)
    print(f"{name:13} standard deviation of the pictures' values: {np.std(pictures):.5f}")

# %%
deep_and_bare = {"g_normalisation": "none", "d_normalisation": "none"}
faded = attempt(deep_steps, large_faces, **deep_and_bare)
beside(faded, deep, ("contrast", "diversity"))

# %% [markdown]
# Where hardly any signal arrives, the gradient that comes back is no better. Contrast comes and
# goes, but diversity stays near 0: all latents give the same. **Mend:** batch normalisation in
# both networks, the usual run on the right, or light ones, with R1 (next section).
#
# ## Discriminator wins
#
# A discriminator that is sure of everything teaches nothing: its logits are so far out that they hardly depend on what
# the generator changes. We give it fifty times the generator's learning rate.

# %%
one_sided = {"g_learning_rate": 2e-5, "d_learning_rate": 1e-3}
crushed = attempt(steps // 2, faces, **one_sided)
crushed[1].figure()

# %% [markdown]
# Scores stick to 1 and 0, `d_loss` is 0, `g_loss` climbs, diversity stays low and the checkerboard
# grows. Four ingredients help:
#
# - **Two time scales** (Heusel et al., 2017): choose the two learning rates apart; the discriminator may be faster, but
#   four times, not fifty.
# - **R1** (Mescheder et al., 2018) pulls it towards being flat at real images:
#   $\frac{\gamma}{2}\,\mathbb{E}_x\lVert\nabla_x D(x)\rVert^2$ is added to its loss.
# - **Spectral normalisation** (Miyato et al., 2018) divides each kernel by its largest singular value, $W / \sigma(W)$, so
#   that no layer is steep. The **hinge loss** goes with it: $\mathbb{E}[\max(0, 1 - \ell_\text{real})] +
#   \mathbb{E}[\max(0, 1 + \ell_\text{fake})]$, where what is told apart by a margin teaches nothing more.
# - **One-sided label smoothing** (Salimans et al., 2016) aims at 0.9 for real images instead of 1.

# %%
tamed = {"g_learning_rate": 1e-4, "d_learning_rate": 4e-4, "d_normalisation": "spectral", "loss": "hinge"}
freed = attempt(steps, faces, **tamed)
beside(crushed, freed, ("real_score", "fake_score"))

# %% [markdown]
# With spectral normalisation, hinge loss and two time scales of 1 to 4, the scores (dotted) leave 1 and 0 early, and faces
# appear; this run went on for twice as long.
#
# ## Overfitting discriminator
#
# With few pictures, the discriminator learns them by heart.

# %%
by_heart = attempt(steps, faces[:few])
by_heart[1].figure()

# %% [markdown]
# Losses and samples look well! The chart of seen and unseen pictures tells: new faces of the same kind are scored like
# fakes. The only way left for the generator is to copy what it was shown. **Differentiable augmentation** (Zhao et al.,
# 2020) shows the discriminator real and fake images alike only through random changes $T$, $D(T(x))$ and $D(T(G(z)))$:
# colours, shifts, blanked squares. Gradients pass through $T$, so that it does not leak into the samples.

# %%
augmented = attempt(steps, faces[:few], augmentation=("colour", "translation", "cutout"))
beside(by_heart, augmented, ("seen_score", "unseen_score"))

# %% [markdown]
# Seen and unseen (dotted) now stay near each other. After as many steps the samples are rougher around the eyes:
# augmentation makes the game harder, and pays in long runs. It delays learning by heart; more pictures are the better
# mend. `augmentation_target=0.6` lets the strength follow the need (Karras et al., 2020).
#
# ## Batch too small
#
# Batch normalisation takes $\mu_B$ and $\sigma_B$ from the batch. From two faces they are mostly chance: each face is
# normalised by its one neighbour, and at the end, with running means instead, the generator meets other numbers than it
# trained with.

# %%
pairs = attempt(steps, faces, batch_size=2)
beside(pairs, healthy, ("diversity", "sharpness"))

# %% [markdown]
# The samples are dark and blotched (after as many steps, though a sixteenth of the images). **Mend:** a batch of 32, the
# healthy run. Where memory allows no more than a few large pictures, take light networks, which have no batch
# normalisation.
#
# ## Samples out of range
#
# Some scripts end the generator in a leaky ReLU. Then nothing holds its values in the range of real pictures, and the
# discriminator needs but look at the range.


# %%
def leaky_end(gan):
    for network in (gan.generator, gan.averaged_generator):
        network.layers[-1].activation = keras.activations.leaky_relu


leaking = attempt(steps, faces, spoil_gan=leaky_end)
beside(leaking, healthy, ("fake_low", "fake_high"))

# %% [markdown]
# Samples reach far beyond [-1, 1] (dotted: the healthy ones). Cut off to be shown, they are speckled with burnt-out
# pixels. **Mend:** end in tanh, the healthy run.
#
# ## Labels swapped
#
# The discriminator's loss with real and fake logits exchanged rewards calling real images fake. The generator still
# wants to be called real, and is, at once. Everybody is content.


# %%
def swapped(gan):
    d_loss = gan.d_loss
    gan.d_loss = lambda real_logits, fake_logits: d_loss(fake_logits, real_logits)


confused = attempt(steps // 3, faces, spoil_gan=swapped)
beside(confused, healthy, ("real_score", "fake_score"))

# %% [markdown]
# Both losses fall to 0, which looks like success; the scores are upside down, and the samples are noise. **Mend:** real
# logits first, the healthy run.
#
# ## What the monitor said
#
# For each run, what was named first, and when. An alarm stands until 20 looks in a row were healthy.

# %%
runs = {
    "healthy": healthy, "images in [0, 1]": wrong_range, "learning rate x50": too_fast, "no normalisation": faded,
    "strong discriminator": crushed, f"{few} pictures": by_heart, "batch of 2": pairs, "leaky end": leaking,
    "labels swapped": confused,
}  # fmt: skip
for name, (_, monitor) in runs.items():
    print(f"{name:21} {first_alarm(monitor)}")

# %%
figure, axes = plt.subplots(1, len(runs), figsize=(14, 3.6), layout="constrained")
for axis, (name, run) in zip(axes, runs.items(), strict=True):
    axis.imshow(image_grid(samples(run, 10), 2))
    axis.set_title(name, fontsize=9, color="C2" if run is healthy else "C3")
    axis.axis("off")
plt.show()

# %% [markdown]
# From left to right the healthy run, and the eight broken ones in the order of their sections. Five of them make faces of
# a kind; without the monitor you would have trained on.
#
# Six more conditions come without a run of their own.
#
# ## Generator wins
#
# **Sign:** both scores near 0.5 while samples are far from real ones. **Cause:** a discriminator that is too weak, too
# slow, or blinded by strong augmentation. **Remedy:** a higher `d_learning_rate` (two time scales), more filters.
#
# ## Mode collapse
#
# **Sign:** diversity falls towards 0; always the same face. **Cause:** one face that fools the discriminator pays for
# every latent. **Remedy:** go back to a checkpoint, lower the generator's rate, and give the discriminator eyes for
# sameness. `minibatch_std=True` (Karras et al., 2018) hands it the standard deviation over groups of four images,
# $\frac{1}{N}\sum_i \sigma_i$ of all $N$ features, as one more channel. The relativistic loss, which judges each fake against
# a real image, $\mathbb{E}[\mathrm{softplus}(\ell_\text{fake} - \ell_\text{real})]$, with R1 and R2 (Huang et al., 2024), helps too.
#
# ## Oscillation
#
# **Sign:** scores swing up and down again and again; samples change their looks all together. **Cause:** each network
# overshoots what the other did (the circles of notebook 03). **Remedy:** lower rates, `beta_1=0.5` or 0, R1; and use the
# averaged generator (Yazıcı et al., 2019), $\bar\theta \leftarrow k\,\bar\theta + (1 - k)\,\theta$, which stays in the middle.
#
# ## Checkerboard
#
# **Sign:** a grid of every second pixel that does not fade. **Cause:** transposed convolutions that reach pixels unevenly
# (Odena et al., 2016), or a rate too high. **Remedy:** kernels whose size is a multiple of the stride, or
# `architecture="resnet"`, which repeats pixels and convolves, beside a skip: $x + F(x)$.
#
# ## Saturated tanh
#
# **Sign:** samples of black and white, or full colours, alone. **Cause:** values far out on the tanh, whose slope
# $1 - \tanh^2$ is nearly 0 there, so that no gradient brings them back. **Remedy:** a lower generator's rate, pictures in
# [-1, 1], and a new start.
#
# ## NaN ahead
#
# **Sign:** losses in the thousands, or no longer finite. **Cause:** too high a rate, a Wasserstein loss without a bound on
# the slope, 16 bits. **Remedy:** lower rates, `precision="float32"`; for the Wasserstein loss the gradient penalty
# $\lambda\,\mathbb{E}(\lVert\nabla D\rVert - 1)^2$ (Gulrajani et al., 2017). `train` stops at the very step, and keeps the last good checkpoint.
#
# ## From sign to remedy
#
# | sign | condition | first thing to try | ingredient |
# |---|---|---|---|
# | pale samples | wrong data range | `p / 127.5 - 1` | |
# | weights that jump, harsh faces | learning rate too high | 2e-4 | two time scales |
# | samples all alike from the start | vanishing signal | batch normalisation | light or resnet networks |
# | scores at 1 and 0, noise | discriminator wins | lower `d_learning_rate` | R1, spectral, label smoothing |
# | unseen pictures scored as fake | overfitting discriminator | more pictures | augmentation |
# | blotches, batch below 8 | batch too small | 32 | light networks |
# | speckled, burnt-out samples | samples out of range | end in tanh | |
# | real score below fake score, noise | labels swapped | order of the loss' arguments | |
# | scores at 0.5, poor samples | generator wins | higher `d_learning_rate` | two time scales |
# | always the same face | mode collapse | go back, lower `g_learning_rate` | minibatch standard deviation, relativistic loss |
# | scores swing | oscillation | `beta_1=0.5` | averaged generator, R1 |
# | a grid that stays | checkerboard | kernel 4, stride 2 | resnet |
# | only full colours | saturated tanh | lower `g_learning_rate` | |
# | losses in the thousands | NaN ahead | lower rates, float32 | gradient penalty |
#
# `train` has the monitor on unless told otherwise; its panel is `health.png` in the run's folder.
#
# ## Exercises
#
# **1.** A friend sends numbers: for ten looks `real_score` was 0.52, `fake_score` 0.49, and the sharpness of samples a
# third of real pictures'. `d_loss` is 1.37. What is it? Put the name of a condition into `answer`.

# %%
answer = None

# %%
if answer is None:
    print("unanswered: put the name of a condition into `answer`")
elif answer.strip().lower() == "generator wins":
    print("right: it is called real, though it is blurred, by a discriminator that can hardly tell")
elif answer.strip().lower() == "healthy":
    print("not yet: scores of one half would be the end of the game, but only with samples as sharp as real ones")
elif answer.strip().lower() == "discriminator wins":
    print("not yet: that one would be sure, with scores near 1 and 0")
else:
    print("not yet: who of the two can hardly do its work, if both scores are near one half?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = "generator wins"
# ```
#
# A `d_loss` of $2 \log 2 = 1.386$ means "cannot tell". As the samples are blurred, they are not that good: the
# discriminator is that weak.
# </details>
#
# **2.** Write the heart of a monitor: `collapsed_since(looks)` returns the step of the first of at least four looks in a
# row, *up to the last look*, whose `"diversity"` is below 0.2, or `None`.

# %%
collapsed_since = None  # def collapsed_since(looks): ...

# %%
stories = {
    "0.9 0.1 0.1 0.1 0.1": 50,
    "0.9 0.1 0.1 0.1": None,
    "0.1 0.1 0.1 0.1 0.9": None,
    "0.1 0.9 0.1 0.1 0.1 0.1 0.1": 100,
}
if collapsed_since is None:
    print("unanswered: write the function `collapsed_since`")
else:
    for story, expected in stories.items():
        given = [{"step": 50 * n, "diversity": float(value)} for n, value in enumerate(story.split())]
        received = collapsed_since(given)
        if received != expected:
            print(f"not yet: for diversities {story}, a look every 50 steps: expected {expected}; received {received}")
            break
    else:
        print("right: one bad look is no alarm, and what has passed is none either")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def collapsed_since(looks):
#     first = len(looks)
#     while first > 0 and looks[first - 1]["diversity"] < 0.2:
#         first -= 1
#     return looks[first]["step"] if len(looks) - first >= 4 else None
# ```
# </details>
#
# **3.** With one-sided label smoothing of $s = 0.1$ the loss of a real image is
# $0.9\,\mathrm{softplus}(-\ell) + 0.1\,\mathrm{softplus}(\ell)$. For which logit $\ell$ is it least?

# %%
logit = None

# %%
if logit is None:
    print("unanswered: put a number into `logit`")
elif abs(logit - np.log(9)) < 0.01:
    print("right: beyond it, being surer costs; without smoothing, the best logit is infinite")
elif abs(logit - 0.9) < 0.01:
    print("not yet: that is the best probability; which logit gives it?")
else:
    print("not yet: set the slope to zero; the derivative of softplus is the sigmoid")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# logit = np.log(0.9 / 0.1)
# ```
#
# The slope is $\sigma(\ell) - 0.9$, so the best probability is 0.9, and its logit $\log 9 = 2.197$.
# </details>
#
# ## What we learned
#
# - Losses alone tell little: swapped labels have perfect ones. Scores, weights, gradients and samples together tell.
# - Know what health looks like; then look for causes (range, rates, batch, labels) before ingredients.
# - A discriminator may be sure for three reasons: it is too strong, it knows its pictures by heart, or the generator
#   cannot help being told. Each has its own mend.
# - Compare a mend from the same seed, one change at a time.
#
# ## References
#
# - He et al., "Delving Deep into Rectifiers", 2015.
# - Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015.
# - Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015.
# - Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016.
# - Salimans et al., "Improved Techniques for Training GANs", 2016.
# - Gulrajani et al., "Improved Training of Wasserstein GANs", 2017.
# - Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
# - Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018.
# - Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018.
# - Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.
# - Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", 2019.
# - Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020.
# - Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020.
# - Huang et al., "The GAN is dead; long live the GAN! A Modern Baseline GAN", 2024.
