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
# # 05 Measuring quality: numbers that mean something
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/05_measuring_quality.ipynb)
#
# Losses do not tell whether faces are good, and eyes tire after the tenth grid. Here you write FID yourself, find out
# what moves it and what it cannot see, and put KID, precision, recall, memorisation and a face detector beside it. At
# the end you can measure a generator like the one of these faces, and report the number so that others can compare it:
#
# ![64 generated faces, the first of seed 0](../images/faces.png)
#
# The people in generated pictures do not exist.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about MINUTES_HERE |
# | a GPU | not measured |

# %%
try:
    from gan_helpers import colab
except ImportError:
    from IPython import get_ipython

    repository = "git+https://github.com/your-username/Generate-faces-using-GANs"
    get_ipython().run_line_magic("pip", f'install -q "gan_helpers[detector] @ {repository}"')

# %%
import io
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image, ImageFilter

from gan_helpers import (
    Recipe,
    Run,
    colab,
    draw_faces,
    generate_images,
    load_generator,
    metrics,
    prepare_images,
    show_images,
    train,
)

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
seed = 0
keras.utils.set_random_seed(seed)
machine = colab.setup()

# %% [markdown]
# **Parameters.** Inception is a large network: a CPU sees some dozens of pictures a second, a GPU thousands. Published
# figures use 10,000 to 50,000 pictures; on a CPU we make do with a few hundred, and see below what that costs.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "network, count, many, minutes, small_data, large_data, fakes = 'small', 40, 80, 0.03, 64, 128, 40"]}
network = "inception"  # or "small": no download, but comparable with nothing
count = 2000 if machine.gpu else 400  # pictures in a set
many = 5000 if machine.gpu else 1200  # where the count itself is looked at
minutes = 1.5  # of training, for each of two generators
small_data, large_data = 64, 2000  # faces that they learn from
fakes = 300  # faces that each of them makes
print(f"{count} pictures in a set, seen by {network}, suited to {machine.gpu or f'{machine.cores} processor cores'}")

# %% [markdown]
# Two sets of drawn faces from the same source: `real`, our reference, and `other`, which a perfect generator could have
# made. Whatever a measure says of these two is the best it can say: its **floor**.

# %%
real, _ = draw_faces(count, 64, seed=1)
other, kinds = draw_faces(count, 64, seed=2)
show_images(np.concatenate([real[:8], other[:8]]), 8, title="above: real; below: other")
plt.show()

# %% [markdown]
# ## What a network sees
#
# Comparing pixels says little: a face that is moved by a pixel differs everywhere. So pictures are first shown to a
# network that was trained to recognise a thousand kinds of things, Inception of December 2015, and what its last layer
# answers, 2,048 numbers a picture, is compared instead. The weights are fetched once (about 90 MB) and kept.

# %%
began = time.monotonic()
see = {"network": network}
real_features = metrics.features(real, **see)
seconds = time.monotonic() - began
other_features = metrics.features(other, **see)
print(f"{len(real)} pictures became features of shape {real_features.shape} in {seconds:.0f} s")

# %% [markdown]
# ## FID from its definition
#
# Take the features of the real pictures for a normal distribution with mean $\mu_r$ and covariance $\Sigma_r$, those of
# the fake ones for another. The Fréchet distance between the two (Heusel et al., 2017) is
#
# $$\mathrm{FID} = \lVert\mu_r - \mu_f\rVert^2 + \mathrm{tr}\left(\Sigma_r + \Sigma_f - 2\,(\Sigma_r\Sigma_f)^{1/2}\right)$$
#
# The last term is the sum of the square roots of the eigenvalues of $\Sigma_r\Sigma_f$. That product is not symmetric,
# so a textbook's square root of it can come out complex. $\Sigma_r^{1/2}\Sigma_f\Sigma_r^{1/2}$ has the same
# eigenvalues, is symmetric, and never does.


# %%
def my_fid(real, fake):
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    distance = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    s_real, s_fake = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    values, vectors = np.linalg.eigh(s_real)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ s_fake @ root).clip(0)).sum()
    return distance + np.trace(s_real) + np.trace(s_fake) - 2 * cross


mine, library = my_fid(real_features, other_features), metrics.fid(real_features, other_features, groups=0).value
print(f"ours {mine:.6f}, the library's {library:.6f}")
assert np.isclose(mine, library, rtol=1e-5)

# %% [markdown]
# The same number, and it is not 0, although both sets come from one source. Keep this floor in mind.
#
# ## What moves FID
#
# Let us damage `other` in known ways and watch. Two of them are not damage to the eye: `copies` *is* the reference, and
# `repeated` holds a tenth of the faces, ten times each. `no glasses` leaves out everybody who wears them.


# %%
def filtered(change):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in other])


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


noise = np.random.default_rng(seed).normal(0, 1, other.shape)
bare = other[np.asarray(kinds["eyeglasses"]) == 0]
damaged = {
    "blur, radius 1": filtered(lambda image: image.filter(ImageFilter.GaussianBlur(1))),
    "blur, radius 2": filtered(lambda image: image.filter(ImageFilter.GaussianBlur(2))),
    "noise, 5 grey values": np.clip(other + 5 * noise, 0, 255).astype(np.uint8),
    "noise, 20 grey values": np.clip(other + 20 * noise, 0, 255).astype(np.uint8),
    "JPEG, quality 75": filtered(lambda image: jpeg(image, 75)),
    "JPEG, quality 20": filtered(lambda image: jpeg(image, 20)),
    "no glasses": bare[np.arange(count) % len(bare)],
    "repeated": other[np.arange(count) % (count // 10)],
    "copies": real,
}
show_images(np.concatenate([images[:6] for images in damaged.values()]), 6, title="from top to bottom as in the chart")
plt.show()

# %%
seen = {name: metrics.features(images, **see) for name, images in damaged.items()}
results = {"other (the floor)": metrics.fid(real_features, other_features)}
results |= {name: metrics.fid(real_features, vectors) for name, vectors in seen.items()}
figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
names = list(results)[::-1]
errors = [1.96 * results[name].spread for name in names]
axis.barh(names, [results[name].value for name in names], xerr=errors, color="C0", ecolor="grey")
axis.set(xlabel=f"FID to {count} real pictures; lines: 95 % confidence")
plt.show()
print("\n".join(f"{name:22} {result.value:6.1f} ± {result.spread:.1f}" for name, result in results.items()))

# %% [markdown]
# Blur and noise that you would overlook count for much, for Inception looks at texture. Compression to JPEG, which
# nobody sees, is worse than leaving out everybody with glasses: **measure PNG against PNG.** And `copies`, the worst
# generator of all, gets 0. FID cannot tell a perfect generator from a photocopier.
#
# ## How many pictures
#
# FID is **biased**: with fewer pictures it comes out larger, whatever the generator. The bias falls as $1/n$, so over
# $1/n$ the points lie on a line, and where it meets 0 stands FID-infinity (Chong and Forsyth, 2020).

# %%
more = metrics.features(draw_faces(many, 64, seed=3)[0], **see)
counts = np.unique(np.linspace(many // 8, many, 8).astype(int))
values = [metrics.fid(real_features, more[:n], groups=0).value for n in counts]
infinity = metrics.fid_infinity(real_features, more)
figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
axes[0].plot(counts, values, marker=".")
axes[0].set(xlabel="fake pictures", ylabel="FID", title="the same generator, more and more pictures")
axes[1].plot(1 / counts, values, ".")
axes[1].plot([0, 1 / counts[0]], np.polyval(np.polyfit(1 / counts, values, 1), [0, 1 / counts[0]]), linewidth=1)
axes[1].plot(0, infinity.value, "C3o", label=f"FID-infinity {infinity.value:.1f} ± {infinity.spread:.1f}")
axes[1].set(xlabel="1 / fake pictures", title="over 1/n a line")
axes[1].legend()
plt.show()
print(
    f"{counts[0]} pictures: FID {values[0]:.1f}; {counts[-1]}: {values[-1]:.1f}; endlessly many: {infinity.value:.1f}"
)

# %% [markdown]
# A paper's 50,000 pictures against your thousand: the difference can be the count alone. What is left at infinity is the
# bias of the *reference*, which has only so many pictures too. Compare at equal counts, of both sides.
#
# **KID** (Bińkowski et al., 2018) needs no line: it averages a kernel over pairs of pictures, leaves out the pairs of a
# picture with itself, and is so free of bias. With few pictures it varies, but around the right value, and its floor is
# 0. For a reference of a thousand faces it is the better headline.

# %%
for n in (count // 8, count // 2, count):
    fid = metrics.fid(real_features[:n], other_features[:n], groups=0).value
    kid = metrics.kid(real_features[:n], other_features[:n], seed=seed)
    low, high = kid.interval
    print(f"{n:5} against {n:5}: FID {fid:6.1f}   KID {kid.value:8.5f} (95 % interval {low:.5f} to {high:.5f})")

# %% [markdown]
# ## Resize, crop, reference
#
# Inception takes 299 pixels, and everybody enlarges differently: `clean` (antialiased, clean-fid), `tf1` (the original)
# and `torch` (pytorch-fid). Then there is the crop: many notebooks squash CelebA's 178x218 pixels into a square. Here a
# set that was squashed is compared with one that was cut, both of the same faces.

# %%
few = min(count, 250)
for resize in ("clean", "tf1", "torch"):
    pair = [metrics.features(images[:few], resize=resize, **see) for images in (real, damaged["blur, radius 1"])]
    print(f"resize {resize:6} FID of the slight blur {metrics.fid(*pair, groups=0).value:6.1f}")
squashed = np.stack([np.asarray(Image.fromarray(image).crop((6, 0, 58, 64)).resize((64, 64))) for image in other[:few]])
for name, images in {"as they are": other[:few], "squashed": squashed}.items():
    print(f"{name:12} FID {metrics.fid(real_features[:few], metrics.features(images, **see), groups=0).value:6.1f}")

# %% [markdown]
# The resize alone moves the number; a crop of another shape moves it by far more than most papers' improvements.
#
# ## Precision and recall
#
# FID mixes two questions. *Are the pictures like real ones?* is precision, *are all kinds of real ones there?* recall
# (Kynkäänniemi et al., 2019). Around each real picture one draws a neighbourhood up to its third nearest fellow;
# precision is the share of fakes inside. Recall asks the other way round. Two generators that fail differently:

# %%
halves = other.copy()
halves[:, 32:] = other[np.random.default_rng(seed).permutation(count), 32:]  # the lower half of somebody else
failing = {"patched": halves, "repeated": damaged["repeated"]}
show_images(np.concatenate([images[:8] for images in failing.values()]), 8, title="above: patched; below: repeated")
plt.show()
failing_features = {"other": other_features, "repeated": seen["repeated"], "patched": metrics.features(halves, **see)}
for name, vectors in failing_features.items():
    pr = metrics.precision_recall(real_features, vectors)
    shown = "  ".join(f"{one.name} {one.value:.2f}" for one in (pr.precision, pr.recall, pr.density, pr.coverage))
    print(f"{name:9} {shown}  FID {metrics.fid(real_features, vectors, groups=0).value:5.1f}")

# %% [markdown]
# Faces patched together lose precision; repeated ones lose recall and coverage, while every single one is perfect.
#
# ## Memorisation
#
# Now two real generators, trained for equally long: one on a handful of faces, one on many. While they train,
# `MeasureQuality` writes KID against unseen faces into the history.

# %%
unseen = draw_faces(fakes, 32, seed=9)[0]
recipe = Recipe(base_filters=32, batch_size=32, simultaneous=True)
generators = {}
for faces in (small_data, large_data):
    data = prepare_images("drawn", 32, count=faces)
    every = max(1, 8000 // faces)  # epochs: the same number of pictures between two measurements
    watch = [metrics.MeasureQuality(unseen, measure="kid", every=every, count=fakes)]
    settings = {"recipe": recipe, "minutes": minutes, "sample_every": 10**6, "report": lambda line: None}
    train(data, f"runs/{faces}", callbacks=watch, best_by="kid", progress=io.StringIO(), **settings)
    generators[faces] = data.images, generate_images(load_generator(f"runs/{faces}"), fakes, seed=seed)

# %%
unseen_features = metrics.features(unseen, **see)
for faces, (training, made) in generators.items():
    training_features, made_features = metrics.features(training, **see), metrics.features(made, **see)
    copied = metrics.memorisation(made_features, training_features, unseen_features)
    in_pixels = metrics.memorisation(made, training, unseen, by="pixels")
    print(
        f"trained on {faces:5} faces: copied {copied.copied.value:.2f} (in pixels {in_pixels.copied.value:.2f}), "
        f"FID to training {metrics.fid(training_features, made_features, groups=0).value:5.1f}, "
        f"to unseen {metrics.fid(unseen_features, made_features, groups=0).value:5.1f}"
    )
    nearest = training[in_pixels.nearest[:8]]
    title = f"trained on {faces}: generated above, nearest training face below"
    show_images(np.concatenate([made[:8], nearest]), 8, scale=2, title=title)
    plt.show()

# %% [markdown]
# `copied` is the share of fakes nearer to a training face than all but 5 % of unseen real faces are; 0.05 is what chance
# gives. The generator that saw few faces has learnt them by heart. Against its training faces it looks better than
# against unseen ones, and that is why **the reference must be named, and best be unseen**.
#
# ## When to stop
#
# The same two runs, measured as they went. The measure is KID with the small network, which costs a second.

# %%
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for faces in generators:
    rows = [row for row in Run(f"runs/{faces}").history() if np.isfinite(row["kid"])]
    axis.plot(
        [32 * row["step"] / 1000 for row in rows], [row["kid"] for row in rows], marker=".", label=f"{faces} faces"
    )
axis.set(xlabel="thousand pictures seen", ylabel="KID to unseen faces (small network)", yscale="log")
axis.legend()
plt.show()

# %% [markdown]
# With many faces the curve falls, and goes on falling: train longer. With few it stops falling early, since what is
# unseen cannot be learnt by heart. `best_by="kid"` kept each run's best generator as `best.keras`. The losses showed
# nothing of this.
#
# ## A detector's view
#
# Inception was never taught faces. A face detector, MTCNN, was: in what share of pictures does it find one?

# %%
quarters = real.reshape(count, 2, 32, 2, 32, 3)[:, ::-1, :, ::-1].reshape(real.shape)  # each face cut in four
try:
    for name, images in {"drawn faces": real, "cut in four": quarters, "generated": generators[large_data][1]}.items():
        found = metrics.face_share(images[:200])
        low, high = found.interval
        print(f"{name:12} {found.value:.2f} (95 % interval {low:.2f} to {high:.2f})")
except ModuleNotFoundError as error:
    print(error)

# %% [markdown]
# DETECTOR_TEXT
#
# ## A real run
#
# REAL_RUN_TEXT
#
# ## A checklist for reporting
#
# State the data, its crop and size; the count of fake and of reference pictures, and which split the latter are; the
# feature network, its weights and the resize; averaged or raw weights, step and seed; the floor of real against real;
# the error. `python -m gan_helpers evaluate --model RUN --data DIR` writes all of it into one JSON document.
#
# ## Exercises
#
# **1.** What is the FID between two sets whose features have equal covariances, and means that differ by 2 in each of 10
# features?

# %%
answer = None

# %%
if answer is None:
    print("unanswered: put a number into `answer`")
elif abs(answer - 10 * 2**2) < 1e-6:
    print("right: with equal covariances the trace is 0, and the squared distance of the means is left")
elif abs(answer - np.sqrt(40)) < 0.01:
    print("not yet: FID is the squared distance")
else:
    print("not yet: with equal covariances, what is left of the equation?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = 10 * 2**2
# ```
# </details>
#
# **2.** Which of the pictures in `halves` is the least realistic? `metrics.realism(real_features, …)` gives each picture a
# score. Put its index into `worst`.

# %%
worst = None

# %%
if worst is None:
    print("unanswered: put an index into `worst`")
else:
    scores = metrics.realism(real_features, failing_features["patched"])
    if worst not in range(count):
        print(f"not yet: expected an index from 0 to {count - 1}; received {worst}")
    elif worst == scores.argmin():
        print(f"right: picture {worst} has a realism of {scores[worst]:.2f}")
    else:
        print(f"not yet: {(scores < scores[worst]).sum()} pictures are less realistic than picture {worst}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# worst = int(metrics.realism(real_features, failing_features["patched"]).argmin())
# ```
# </details>
#
# ## What we learned
#
# - FID compares two normal distributions of Inception's features. It sees texture before it sees faces.
# - It is biased by the count, moved by resize, crop and compression, and blind to copying: report the conditions.
# - KID is unbiased, and the better figure for small references.
# - Precision and recall tell unrealistic pictures from missing ones. Memorisation needs unseen faces as its yardstick.
# - A measure against unseen faces says when to stop. The losses do not.
#
# **Next:** measure your own run: `python -m gan_helpers evaluate --model RUN --data FOLDER`.
#
# ## References
#
# - Salimans et al., "Improved Techniques for Training GANs", 2016. Inception Score.
# - Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017. FID.
# - Bińkowski et al., "Demystifying MMD GANs", 2018. KID.
# - Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", 2019.
# - Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020. Density and coverage.
# - Chong, Forsyth, "Effectively Unbiased FID and Inception Score and Where to Find Them", 2020.
# - Meehan et al., "A Non-Parametric Test to Detect Data-Copying in Generative Models", 2020.
# - Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", 2022. clean-fid.
