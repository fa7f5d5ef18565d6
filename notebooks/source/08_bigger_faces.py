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
# # 08 Bigger faces: small pictures first
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/08_bigger_faces.ipynb)
#
# Twice the side is four times the pixels. What does that cost in operations, memory and time, and how does one pay less?
# Here you count it, measure it, and train faces of 128 pixels by way of 32 and 64. At the end you know what your budget
# buys, on one device or on several, and how faces like these were made:
#
# ![64 generated faces of 128 pixels, the first of seed 0](../images/faces_128.png)
#
# The people in generated pictures do not exist.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about 14 |
# | a GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers[detector] @ {repository}"')

# %%
import dataclasses
import io
import resource
import subprocess
import sys
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib_inline.backend_inline import set_matplotlib_formats

from gan_helpers import (
    RECIPES,
    Run,
    build_gan,
    colab,
    discriminator_model,
    draw_faces,
    face_batches,
    generate_images,
    generator_model,
    load_generator,
    metrics,
    plot_history,
    prepare_images,
    read_recipe,
    sample_latents,
    show_images,
    train,
)
from gan_helpers.training.bench import seconds_a_step
from gan_helpers.training.growing import grow, smaller_pictures, stages
from gan_helpers.training.precision import hardware_precision

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
seed = 0
keras.utils.set_random_seed(seed)
machine = colab.setup()
precision, found = hardware_precision()

# %% [markdown]
# **Parameters.** A CPU takes smaller batches and, with them, lower learning rates, the discriminator's lowest; why, we see
# below.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "own_recipe = recipe + ',base_filters=1,batch_size=8'", "image_size, count, unseen_count, detected, network, sizes, length = 64, 16, 16, 2, 'small', (32,), {'epochs': 4}"]}
recipe = "best"
slim = "batch_size=16,g_learning_rate=3e-4,d_learning_rate=1e-4,label_smoothing=0.1"
slim += ",augmentation=none,augmentation_target=none"
own_recipe = recipe if machine.gpu else f"{recipe},{slim}"
image_size = 128
count = 10_000 if machine.gpu else 1_500  # drawn faces to train on
length = {"minutes": 20 if machine.gpu else 10}  # of training; or {"epochs": 100}
network = "inception"  # which sees the faces that KID compares; "small" needs no download
unseen_count, detected = 1000 if machine.gpu else 150, 60  # faces to measure with, and to show to the detector
sizes = (32, 64, 128, 256)  # pixels, to count and to measure
print(f"{own_recipe}, {length}, in {precision} ({found})")

# %%
faces = prepare_images("drawn", image_size, count=count)
show_images(faces.images[:6], 6, title=f"what a generator should make: {image_size} pixels")
plt.show()

# %% [markdown]
# ## What a step costs, on paper
#
# A convolution uses each weight once at each place of its smaller map, for a product and a sum. A generator therefore
# makes $g = 2 \sum_l k_l^2\, c_l\, c'_l\, h_l w_l$ operations for a picture, a discriminator $d$ likewise. Going back costs
# as much twice: for the gradient of the weights, and of what came in. In a one-pass step (notebook 03) the generator
# goes forward and back; the discriminator does so for real and fake faces, and once more, without its weights, to tell
# the generator: $3g + 8d$.
#
# Memory holds the **weights**, their gradients and Adam's two means, and all **maps**, for going back needs them.


# %%
def cost(network):
    """Operations of one picture's forward pass, weights, and numbers in maps."""
    operations, maps = 0, 0
    for layer in network.layers:
        maps += np.prod(layer.output.shape[1:])
        if hasattr(layer, "kernel"):
            smaller = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
            operations += 2 * np.prod(layer.kernel.shape) * np.prod(smaller.shape[1:-1])
    return np.array([operations, network.count_params(), maps])


def step_cost(size, architecture, base_filters):
    """Of a step for one picture: billions of operations, MB for the weights, MB of maps in float32."""
    shape = {"image_size": size, "architecture": architecture, "base_filters": base_filters}
    (g, g_weights, g_maps), (d, d_weights, d_maps) = (
        cost(generator_model(100, **shape)),
        cost(discriminator_model(**shape)),
    )
    weights = 4 * (g_weights + d_weights) + g_weights  # and the generator's average
    return (3 * g + 8 * d) / 1e9, 4 * weights / 1e6, 4 * (g_maps + 2 * d_maps) / 1e6


families = {
    "same width": lambda size: ("dcgan", 32),
    "halved": lambda size: ("growing", 64),  # at 16x16; half of it at 32x32, and so on
}
for name, family in families.items():
    print(f"{name:12}{'pixels':>8}{'filters':>9}{'GFLOP':>8}{'weights, MB':>13}{'maps, MB':>10}")
    for size in sizes:
        architecture, filters = family(size)
        operations, weights, maps = step_cost(size, architecture, filters)
        print(f"{architecture:12}{size:8}{filters:9}{operations:8.2f}{weights:13.1f}{maps:10.2f}")

# %% [markdown]
# With the same filters at the pictures' side, twice the pixels cost four times the maps, up to four times the weights (the
# layers at the bottom are twice as wide, up to 16 times the base filters), and four to six times the operations. That is
# the DCGAN of this course.
#
# With half the filters for twice the side, a layer costs the same in all networks: where maps have 32x32 places, they have
# as many filters. A doubling adds thin layers at the top, and hardly any weights. Those are the networks that we grow.
#
# ## What it costs, measured
#
# Now the step that `train` makes, in float32 and in what this machine is made for. On a processor we count processor
# time, which other programs disturb less than the clock.

# %%
batch_size = 16
clock = time.perf_counter if machine.gpu else time.process_time


def memory():
    """MB at the peak so far."""
    if machine.gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measured(size, architecture, base_filters, precision):
    shape = {"architecture": architecture, "base_filters": base_filters, "batch_size": batch_size}
    gan = build_gan(dataclasses.replace(RECIPES["quick"], **shape), size, precision=precision)
    pictures = np.random.default_rng(seed).integers(0, 256, (4 * batch_size, size, size, 3), np.uint8)
    return seconds_a_step(gan, face_batches(pictures, batch_size), 1.0, clock) / batch_size


# %%
speeds, before = {}, memory()
print(f"{'':12}{'pixels':>8}{'':>16}{'ms a picture':>14}{'GFLOP/s':>9}{'MB, peak':>10}{'on paper':>10}")
for name, size, kind in [
    *(("same width", size, kind) for size in sizes for kind in dict.fromkeys(("float32", precision))),
    *(("halved", size, precision) for size in sizes),
]:
    operations, weights, maps = step_cost(size, *families[name](size))
    speeds[name, size, kind] = seconds = measured(size, *families[name](size), kind)
    line = f"{name:12}{size:8}{kind:>16}{1e3 * seconds:14.2f}{operations / seconds:9.0f}"
    if (name, kind) == ("same width", "float32"):  # each needs more than those before it
        line += f"{memory() - before:10.0f}{weights + batch_size * maps:10.0f}"
    print(line)

# %% [markdown]
# From 32 to 256 pixels, a DCGAN's picture takes about eighty times as long. The halved networks take seven times as long at 256
# pixels as at 32, although they make but four times the operations: thin layers leave a processor's units idle, and
# GFLOP/s fall. Counting tells what is possible, measuring what you get. Memory at its peak is 1.2 to 1.4 times what we
# counted (at 32 pixels more, where TensorFlow's own start shows): gradients of maps, and what convolutions put aside, need
# room too. This processor has no 16-bit products, so all is in float32; on one with AVX512-BF16, 16 bits saved a fifth of a
# DCGAN's time at 32 pixels and two fifths at 256.
#
# ## 16 bits
#
# **bfloat16** has float32's range and 8 bits of precision, **float16** 11 bits and a small range. Weights, sums and Adam
# stay in float32; only products take 16 bits: *mixed* precision. In float16 small gradients vanish, so the loss is first
# multiplied by a large number, and the gradients divided by it again (Micikevicius et al., 2018).

# %%
gradient = 1e-8
print("float16 ", np.float16(gradient), "but scaled", float(np.float16(gradient * 2**15)) / 2**15)
print("bfloat16", float(ops.cast(gradient, "bfloat16")))
fine = 1 + 1 / 512
print(f"{fine} is {float(ops.cast(fine, 'bfloat16'))} in bfloat16, {np.float16(fine)} in float16")

# %% [markdown]
# Which of them pays is the hardware's matter: bfloat16 on GPUs from the A100 on and processors with AVX512-BF16 or AMX, float16
# on a T4, neither elsewhere. `precision="auto"` looks it up.
#
# ## Small pictures first
#
# Most of what makes a face, where eyes and mouth are, is there at 32 pixels, where a step is cheap. So learn that first,
# then go on with networks of twice the side (Karras et al., 2018). Ours write the picture as a **sum over sizes**
# (as in StyleGAN2, Karras et al., 2020): with maps $h_s$ of side $s$, and $U$ for enlarging,
#
# $$p_{32} = T(h_{16}), \qquad p_{2s} = U p_s + C_{2s}(d_{2s}), \qquad d_{2s} = \mathrm{ReLU}(\mathrm{BN}(U K_{2s} d_s)), \qquad
# d_{32} = h_{32}, \qquad \text{picture} = \tanh p.$$
#
# Beyond 64 pixels $d_{2s}$ passes through one more convolution, BN and ReLU, at the full side.
#
# A convolution $C_{2s}$ **begins with zeros**, so at the moment of growing nothing changes: the face is the smaller one,
# enlarged. Its gradient is not zero, so it learns at once.
#
# Why not simply $C_{2s}(U h_s)$, as it was in this library at first? $U$ is smooth, and no 3x3 convolution makes fine
# detail of a smooth map. The discriminator saw that it was missing and grew surer of itself, and the faces got worse instead
# of sharper. $d_{2s}$ has a bend at every pixel of the larger picture, and a bend makes edges. On CelebA, from the same
# networks of 32 pixels, after six minutes of 64 pixels on a core: KID 0.049 without it, 0.033 with it. A transposed
# convolution instead of $U$ makes detail as well, but leaves its grid in the faces: 0.077 (500 faces, one seed). For the same
# reason $d_{128}$ comes from $d_{64}$, not from a further $h_{64}$ by a transposed convolution: there the grid lay over the faces
# as a weave of four pixels. On FFHQ, from the same networks of 64 pixels, after 1,203 steps of 128: KID 0.144 with the
# weave, 0.081 without (500 faces, one seed; README). Written out:


# %%
def doubled(x):
    return ops.image.resize(x, [2 * side for side in x.shape[1:3]], "bilinear")


def terms(network, latents, size):
    """What each size adds to the picture, before tanh."""
    layer, side = network.get_layer, 32
    x = ops.reshape(layer("map_4")(latents), (len(latents), 4, 4, -1))
    x = ops.relu(layer("map_4_norm")(x))
    for larger in (8, 16):
        x = ops.relu(layer(f"map_{larger}_norm")(layer(f"map_{larger}")(x)))
    added = [layer("images_32")(x)]
    if size > 32:
        x = ops.relu(layer("map_32_norm")(layer("map_32")(x)))
    while side < size:
        side *= 2
        x = ops.relu(layer(f"detail_{side}_norm")(doubled(layer(f"detail_{side}")(x))))
        if side > 64:
            x = ops.relu(layer(f"fine_{side}_norm")(layer(f"fine_{side}")(x)))
        added = [doubled(term) for term in added] + [layer(f"images_{side}")(x)]
    return added


latents = sample_latents(8, seed=seed)
untrained = generator_model(100, image_size=128, base_filters=16, architecture="growing")
ours, library = ops.tanh(sum(terms(untrained, latents, 128))), untrained(latents)
print(f"largest difference to the library's generator: {float(ops.max(ops.abs(ours - library))):.1e}")
assert np.allclose(ours, library, atol=1e-5)

# %% [markdown]
# The discriminator is built alike: it sees the picture at each size, and what comes from the larger size is multiplied by
# a batch normalisation's $\gamma$, which begins at zero. `grow` carries the weights over. We let a GAN of 32 pixels make some
# steps, so that it has something to lose, and look at both networks before and after.

# %%
narrow = dataclasses.replace(RECIPES[recipe], base_filters=16)
smaller = build_gan(narrow, 32, seed)
larger = build_gan(narrow, 64, seed)
pictures = draw_faces(64, 64, seed=3)[0] / np.float32(127.5) - 1
few = smaller_pictures(pictures, 2)
for start in (0, 32):
    smaller.train_step(tf.constant(few[start : start + 32]))
grow(smaller, larger)
enlarged_before = ops.tanh(doubled(ops.arctanh(smaller.averaged_generator(latents))))
for name, old, new in (
    ("faces", enlarged_before, larger.averaged_generator(latents)),
    ("logits", smaller.discriminator(few), larger.discriminator(pictures)),
):
    print(f"{name}: of size {float(ops.max(ops.abs(old))):.3f}, changed by {float(ops.max(ops.abs(old - new))):.1e}")
    assert np.allclose(old, new, atol=1e-4)

# %% [markdown]
# ## Training
#
# `train` plans its steps by the speed that it measures; then each stage begins from the one before.

# %%
folder = machine.folder / "runs/bigger"
settings = {"recipe": own_recipe, "sample_every": 10**6, "progress": io.StringIO()}
trained = train(faces, folder, **length, **settings)
plan = stages(read_recipe(own_recipe), image_size, trained.run.settings["planned_steps"])
for stage in plan:
    print(f"{stage.image_size:4} pixels: from step {stage.first:,} on")

# %%
folders = {stage.image_size: folder / f"{stage.image_size}px" for stage in plan[:-1]} | {image_size: folder}
reached = {size: own for size, own in folders.items() if (own / "generator.keras").exists()}
figure = plot_history(Run(reached[max(reached)]).history())  # a history holds that of the smaller sizes too
for axis in figure.axes:
    for stage in plan[1:]:
        axis.axvline(stage.first / trained.steps_per_epoch, color="grey", linewidth=0.8)
plt.show()

# %% [markdown]
# Grey lines: from there on in twice the size. The game goes on as if nothing had happened: at each size the discriminator is
# as sure as before, and no surer. The loss that jumps at 128 pixels holds a penalty: beyond 64, `best` takes R1 (notebook 06);
# why, see below. Before the bend it was not so: a run of this notebook, half as wide and with the recipe's own rates (5e-4), was
# lost at 64 pixels. The monitor named "discriminator wins" at step 6,450 and "mode collapse" at step 6,800, and all faces were
# one. Hence the slower discriminator and the smoothed labels of the parameters (notebook 06); whether they are still needed was
# not tried. What the monitor names now is true, too: there are 1,500 pictures, augmentation is off to save time, and the
# discriminator begins to know them by heart.
#
# Now the same six latents at the end of each stage, all enlarged to the same side.


# %%
def enlarged(images):
    bigger = ops.image.resize(images.astype("float32"), (image_size, image_size), "bilinear")
    return np.asarray(ops.round(bigger)).astype("uint8")


grown = {}
for size, own in reached.items():
    grown[size] = enlarged(generate_images(load_generator(own), unseen_count, seed=seed))
rows = np.concatenate([images[:6] for images in grown.values()])
show_images(rows, 6, title=f"from top to bottom: {', '.join(map(str, grown))} pixels")
plt.show()

# %% [markdown]
# In each column a person keeps hair, skin and background while the picture grows; eyes, brows, mouths and collars become
# clearer. At 128 pixels eyes have pupils and glasses sharp rims; some hair and outlines are doubled. That stage had about 1,000 steps.
#
# What does each size add to the last faces? The terms of the sum, by `terms` from above, each around grey:

# %%
final = load_generator(folder)
parts = terms(final, latents[:6], final.output_shape[1])
as_pictures = [np.asarray(ops.tanh(part)) for part in (*parts, sum(parts))]
shown = np.clip(127.5 * (np.concatenate(as_pictures) + 1), 0, 255).astype("uint8")
show_images(shown, 6, title="from top to bottom: what each size adds, from 32 pixels on; their sum")
plt.show()

# %% [markdown]
# The first row holds the person: pose, colours, light. The second paints eyes, mouth, collar and outlines, the third fine
# edges alone. It was grey when it began, and nobody told the layers to share the work like that.
#
# ## Are they better?
#
# KID against unseen faces of full size (notebook 05), and the share of pictures in which a detector finds a face. Beside
# them real faces made small and enlarged again: the best that a generator of that size can do.

# %%
unseen, other = (draw_faces(unseen_count, image_size, seed=one)[0] for one in (1, 2))
as_floats = other.astype("float32")
sets = {
    f"real, of {image_size // times}": enlarged(smaller_pictures(as_floats, times))
    for times in (image_size // 32, 2, 1)
}
sets |= {f"generated, {size}": images for size, images in grown.items()}
reference = metrics.features(unseen, network=network)
for name, images in sets.items():
    kid = metrics.kid(reference, metrics.features(images, network=network), seed=seed)
    try:
        share = f"{metrics.face_share(images[:detected]).value:.2f}"
    except ModuleNotFoundError:
        share = "needs mtcnn"
    print(f"{name:16} KID ({network}) {kid.value:8.3f} ± {kid.spread:.3f}   a face found in {share}")

# %% [markdown]
# The real faces say what resolution is worth: losing half of it costs 0.03, three quarters 0.10. Our generators are further
# off than that, so sharpness is not their first problem. From 32 to 64 pixels KID falls by nine times its error; what
# 128 change (0.172 to 0.167) is about as large as its error: to the eye much, to KID in minutes nothing yet. The detector's
# shares, of 60 faces, are uncertain by about 0.12.
#
# Does growing pay at all? On CelebA at 64 pixels networks that grow had a KID of 0.067 after 7 minutes of one core, where
# `quick`, which sees 64 pixels from the start, had 0.076 after 42 minutes of a faster one (one seed each; 1,000 and 5,000
# faces against the same 1,000; README).
#
# ## What a budget buys
#
# Pictures an hour that the discriminator can be shown. For this machine it follows from the measured steps; for GPUs it is
# an **estimate**: a tenth of the peak of 16-bit products that the maker publishes. Measured was one case: three trainings
# shared an H200, and the one of recipe `best` was shown 6,160 pictures a second at 64 pixels beside the other two.

# %%
rates = {"T4": 65e12, "A100": 312e12, "H100": 989e12}  # operations a second, published
cores = 1 if machine.gpu else machine.cores  # at best; other programs want some too
print(f"thousand pictures an hour{'this machine':>16}" + "".join(f"{name + ', estimate':>18}" for name in rates))
for name, size, kind in speeds:
    if kind == precision:
        operations = 1e9 * step_cost(size, *families[name](size))[0]
        here = 3.6 * cores / speeds[name, size, kind]
        guesses = "".join(f"{3.6 * 0.1 * rate / operations:18,.0f}" for rate in rates.values())
        print(f"{name:12}{size:4} pixels{here:19,.0f}  {guesses}")

# %% [markdown]
# Karras et al. (2018) show their networks 1.6 million pictures at each size. Here, at 128 pixels and halved filters, that
# is ten hours of a core; multiply with what an hour costs you. The estimates are hopes: our layers are thin, and a
# GPU that waits for its next operation reaches far less than a tenth. On it, take larger batches and wider networks: they
# cost little more time.
#
# ## Several devices
#
# ```bash
# python -m gan_helpers train --data FOLDER --image-size 128 --distribute mirrored      # all GPUs of this machine
# python -m gan_helpers train --data FOLDER --image-size 128 --distribute multiworker \
#     --output /shared/run                                                          # the same on each machine
# ```
#
# Each device holds both networks and takes its slice of the batch; the gradient of the whole batch is the mean of
# theirs. So two devices make the step that one would make. Here are two, cut out of one processor, in a process
# of its own, since TensorFlow must be told before it computes.

# %%
script = """
import tensorflow as tf
[processor] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
import functools, keras, numpy as np
from gan_helpers import build_gan, draw_faces, face_batches, read_recipe
from gan_helpers.training.distribute import open_devices

faces, found = draw_faces(32, 32)[0], []
for devices in (open_devices(), open_devices("mirrored")):
    with devices.scope():
        gan = build_gan(read_recipe("quick,base_filters=4,g_normalisation=none,d_normalisation=none"), 32)
        gan.d_optimizer = keras.optimizers.SGD(1.0)  # a step is then minus the gradient
        gan.d_optimizer.build(gan.discriminator.trainable_variables)
    before = gan.discriminator.get_weights()
    batches = devices.stream(functools.partial(face_batches, faces, 32))(start_step=0)
    devices.fit(gan)(batches, steps_per_epoch=1, epochs=1, shuffle=False, verbose=0)
    found.append(np.concatenate([(b - a).ravel() for b, a in zip(before, gan.discriminator.get_weights())]))
    print(devices, "length of the gradient %.6f" % np.linalg.norm(found[-1]))
print("difference, as a share of it: %.1e" % (np.linalg.norm(found[0] - found[1]) / np.linalg.norm(found[0])))
"""
done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
print(done.stdout or done.stderr[-1000:])
assert done.returncode == 0 and float(done.stdout.split()[-1]) < 1e-4

# %% [markdown]
# Batch normalisation is off here, for it sees each device's images alone (`--synchronised` makes it one over all).
#
# Several machines find each other by `TF_CONFIG`, alike on all but for the index; `--output` lies on a disk that they
# share:
#
# ```bash
# export TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
# ```
#
# On **Kubernetes** an indexed Job behind a headless service gives each pod its name and `JOB_COMPLETION_INDEX`:
#
# ```yaml
# command: [sh, -c]
# args:
#   - >-
#     TF_CONFIG='{"cluster": {"worker": ["faces-0.faces:2222", "faces-1.faces:2222"]},
#     "task": {"type": "worker", "index": '$JOB_COMPLETION_INDEX'}}'
#     exec python -m gan_helpers train --data /shared/faces --cache /shared/cache
#     --output /shared/run --distribute multiworker --epochs 100
# ```
#
# README has the whole file. **Vertex AI** sets `TF_CONFIG` itself, with a chief, which is worker 0. Neither was tried.
#
# **What it costs.** In every step all gradients, four bytes a weight, travel between the devices, and everybody waits. Two
# processes on a core each that share batches of 32 (64 pixels, recipe `quick`) make 0.88 times the images/s of one: 54 % of
# their time is exchange and waiting for one another. **When it pays**: where much is computed for each weight. As a model
# on paper, not measured (`python -m benchmarks.scaling --parts model`: 30 TFLOP/s, 100 GB/s within a machine of 8 GPUs, 10
# GB/s between machines), 256 pixels with 64 base filters gain 7.7 times on 8 GPUs and 45 times on 64; 64 pixels with 32
# base filters 3.8 and 5.6 times. And more devices want a larger batch, with another learning rate (Goyal et al., 2017),
# which is another training. The faces of this course stay on one.
#
# ## A long run
#
# The faces at the top come from photographs: the first 3,500 of 4,000 thumbnails of FFHQ (Karras et al., 2019), recipe
# `best` with growth 0.6, in float32 on two CPU cores, seed 0:
#
# ```bash
# python -m gan_helpers train --data FFHQ --slice 0:3500 --image-size 128 --minutes 75 --recipe best,growth=0.6 --output RUN
# python -m gan_helpers evaluate --model RUN --data FFHQ --slice 3500:4000 --count 1000
# ```
#
# It made 5,967 steps of 32 pictures at 32 pixels and 5,968 at 64 in 38 minutes, then 1,489 of the 7,956 that were planned at
# 128, in 28 minutes of one core, when it was stopped (`--epochs 123 --recipe best,growth=0.89` plans as many). Measured are
# 1,000 faces of the averaged generator, seed 0, against the 500 that it never saw (Inception of 2015, resize `clean`):
#
# | measure | value | real faces |
# |---|---|---|
# | KID | 0.075 ± 0.003 | |
# | FID (few pictures: too high for any) | 107.2 ± 0.7 | |
# | a face detector finds a face | 0.989 | 0.998 |
#
# The detector takes nearly all for faces, and so will you; eyes, teeth and hair have the detail of 128 pixels. But KID is far
# from 0: backgrounds are smears, some mouths are crooked, a few faces fall apart, and there is a fine texture, as of brush
# strokes, that no photograph has.
#
# **A run that was lost, and why.** Without R1 and the further map the same run, from the same networks of 64 pixels, ended with one
# face: the discriminator was surer from step 900 of 128 on; at 2,235 eyes and mouths had become alike, at 3,325 all faces were
# one. To see why, it was shown mixtures: the coarse part of one picture with the detail below four pixels of another. Unseen faces
# with generated detail had logits of -1.1 after 850 steps of 128 and -8.5 after 4,001, generated faces with real detail -0.3 and
# 1.4. It had come to judge by detail alone, and so taught nothing else. The discriminator's mean score for real faces, in the epoch
# that ended after so many steps of 128:
#
# | at 128 pixels | 491 steps | 1,036 | 1,472 | 2,126 | 2,671 |
# |---|---|---|---|---|---|
# | as at 32 and 64 | 0.74 | 0.80 | 0.87 | 0.84 | 0.89 |
# | a quarter of the learning rates | 0.75 | 0.71 | 0.72 | 0.74 | 0.78 |
# | R1 and a further map: `best` | 0.65 | 0.68 | 0.67 | 0.65 | 0.63 |
#
# R1 asks for a discriminator that is not steep at real pictures, and fine detail, which is of small size, can only be judged by a
# steep one. With R1 the mixtures have logits of -0.6 (unseen faces, generated detail) and -1.0 (generated faces, real detail)
# after 1,489 steps, between 0.1 of unseen and -1.0 of generated faces: it keeps its eyes on the face. Longer is still not
# better: KID of 500 faces was 0.077 when 128 pixels began, 0.074 after 1,489 steps and 0.086 after 2,917. At 64 pixels it is otherwise: 0.019 after 2.5 million pictures of CelebA.
#
# ## Exercises
#
# **1.** A GPU has 16,000 MB. Which is the largest power of two that you can take as a batch for a DCGAN of 256 pixels and
# 32 base filters in float32, on paper? Put it into `answer`.

# %%
answer = None

# %%
_, weights, maps = step_cost(256, "dcgan", 32)
if answer is None:
    print("unanswered: put a number into `answer`")
elif answer == 2 ** int(np.log2((16_000 - weights) / maps)):
    print(f"right: it takes {weights + answer * maps:,.0f} MB")
else:
    print(f"not yet: {answer} pictures take {weights + answer * maps:,.0f} MB; use the last two numbers of `step_cost`")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# _, weights, maps = step_cost(256, "dcgan", 32)
# answer = 2 ** int(np.log2((16_000 - weights) / maps))
# ```
# </details>
#
# **2.** Write the heart of `grow`: `carry(smaller, larger)` gives each layer of the larger network that the smaller one has
# too (by name, where there are weights) the smaller one's weights.

# %%
carry = None  # def carry(smaller, larger): ...

# %%
if carry is None:
    print("unanswered: write the function `carry`")
else:
    shape = {"architecture": "growing", "base_filters": 8}
    old, new = (generator_model(100, image_size=side, **shape) for side in (32, 64))
    carry(old, new)
    difference = np.abs(np.tanh(doubled(np.arctanh(old(latents)))) - new(latents)).max()
    if difference < 1e-4:
        print("right: nothing changes at the moment of growing")
    else:
        print(f"not yet: a face changed by {difference:.3f}; try larger.get_layer(name), get_weights and set_weights")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def carry(smaller, larger):
#     for layer in smaller.layers:
#         if layer.weights:
#             larger.get_layer(layer.name).set_weights(layer.get_weights())
# ```
# </details>
#
# **3.** A step computes for 40 ms, and on four GPUs, each with a whole batch, the exchange takes 10 ms more. How many
# times as many images a second do the four make as one alone?

# %%
times = None

# %%
if times is None:
    print("unanswered: put a number into `times`")
elif abs(times - 4 * 40 / 50) < 0.01:
    print("right: four batches in 50 ms, where one took 40")
elif abs(times - 4) < 0.01:
    print("not yet: that would be an exchange that takes no time")
else:
    print("not yet: how many batches in how many milliseconds?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# times = 4 * 40 / (40 + 10)
# ```
# </details>
#
# ## What we learned
#
# - Count before you train: operations are $3g + 8d$, and memory is four times the weights, and all maps.
# - With the same filters a doubling costs more than four times as much; with half the filters, little more than a layer.
# - What is common to all faces is cheap to learn on small pictures. A layer that begins at zero lets a network grow without
#   a jump.
# - 16 bits pay where the hardware is made for them. Several devices pay where a step is long for its weights.
#
# ## References
#
# - Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017.
# - Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", 2018.
# - Micikevicius et al., "Mixed Precision Training", 2018.
# - Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", 2019.
# - Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020.
