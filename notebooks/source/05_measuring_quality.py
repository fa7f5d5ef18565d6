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
# | a CPU with 2 cores | about 10 |
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
    generator_model,
    load_generator,
    metrics,
    prepare_images,
    sample_latents,
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

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "network, count, many, minutes, small_data, large_data, fakes, parrot_epochs = 'small', 40, 80, 0.03, 16, 128, 40, 5"]}
network = "inception"  # or "small": no download, but comparable with nothing
count = 2000 if machine.gpu else 400  # pictures in a set
many = 5000 if machine.gpu else 1200  # where the count itself is looked at
minutes = 2.5  # of training a GAN
small_data, large_data = 64, 2000  # faces to learn by heart, and to train on
parrot_epochs = 400  # of learning by heart
fakes = 300  # faces that each of the two makes
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
results = {"other (the floor)": metrics.fid(real_features, other_features, groups=5)}
results |= {name: metrics.fid(real_features, vectors, groups=5) for name, vectors in seen.items()}
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
# The resize alone moves the FID of the same blur from 65 to 91. Squashing adds 5, on faces that nobody changed.
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
# Two generators at 32 pixels. One is a GAN in training; while it trains, `MeasureQuality` writes KID against unseen
# faces into its history. The other is overfitted on purpose: it is taught a few faces by heart, one latent for each.

# %%
training = prepare_images("drawn", 32, count=large_data)
unseen = draw_faces(fakes, 32, seed=9)[0]
watch = metrics.MeasureQuality(unseen, measure="kid", every=2, count=fakes)
recipe = Recipe(base_filters=32, batch_size=32, simultaneous=True)
settings = {"recipe": recipe, "minutes": minutes, "sample_every": 10**6, "report": lambda line: None}
train(training, "runs/gan", callbacks=[watch], best_by="kid", progress=io.StringIO(), **settings)
gan_faces = generate_images(load_generator("runs/gan"), fakes, seed=seed)

# %%
by_heart = draw_faces(small_data, 32, seed=10)[0]
latents = sample_latents(small_data, seed=seed)
parrot = generator_model(100, image_size=32, base_filters=32)
parrot.compile(keras.optimizers.Adam(1e-3), "mse")
parrot.fit(latents, by_heart / np.float32(127.5) - 1, batch_size=small_data, epochs=parrot_epochs, verbose=0)
nearby = latents[np.arange(fakes) % small_data] + 0.1 * sample_latents(fakes, seed=1)
parrot_faces = generate_images(parrot, nearby)

# %%
unseen_features = metrics.features(unseen, **see)
for name, learnt, made in (("GAN", training.images, gan_faces), ("parrot", by_heart, parrot_faces)):
    learnt_features, made_features = metrics.features(learnt, **see), metrics.features(made, **see)
    result = metrics.memorisation(made_features, learnt_features, unseen_features)
    in_pixels = metrics.memorisation(made, learnt, unseen, by="pixels")
    print(
        f"{name:6} copied {result.copied.value:.2f}, in pixels {in_pixels.copied.value:.2f}; "
        f"FID to its training faces {metrics.fid(learnt_features, made_features, groups=0).value:5.1f}, "
        f"to unseen ones {metrics.fid(unseen_features, made_features, groups=0).value:5.1f}"
    )
    title = f"{name}: generated above, nearest training face below"
    show_images(np.concatenate([made[:8], learnt[in_pixels.nearest[:8]]]), 8, scale=2, title=title)
    plt.show()

# %% [markdown]
# `copied` is the share of fakes nearer to a training face than all but 5 % of unseen real faces are; 0.05 is what chance
# gives to perfect faces. The GAN copies nothing. The parrot does nothing else: in pixels all its faces are caught, in
# features, which blur disturbs, half of them. And yet its FID is better than the GAN's, even against unseen faces! FID
# does not see copying, so **measure memorisation beside it**. Both look better against their own training faces than
# against unseen ones: **the reference must be named, and best be unseen.**
#
# ## When to stop
#
# The GAN, measured as it went. The measure is KID with the small network, which costs a second or so.

# %%
rows = [row for row in Run("runs/gan").history() if np.isfinite(row["kid"])]
figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
seen_so_far = [32 * row["step"] / 1000 for row in rows]
axes[0].plot(seen_so_far, [row["kid"] for row in rows], marker=".")
axes[0].set_yscale("symlog", linthresh=0.1)  # linear below 0.1, for KID can be a little below 0
axes[0].set(xlabel="thousand pictures seen", ylabel="KID to unseen faces (small network)")
for loss in ("d_loss", "g_loss"):
    axes[1].plot(seen_so_far, [row[loss] for row in rows], label=loss)
axes[1].set(xlabel="thousand pictures seen", title="the losses of the same epochs")
axes[1].legend()
plt.show()

# %% [markdown]
# The first fifty thousand pictures bring most, then KID creeps towards 0 for as long as we train: train longer. Where it
# rises again, stop; `best_by="kid"` has kept the best generator as `best.keras`. The losses of the same epochs say
# nothing of this: the generator's even rises while its faces get better.
#
# ## A detector's view
#
# Inception was never taught faces. A face detector, MTCNN, was: in what share of pictures does it find one?

# %%
quarters = real.reshape(count, 2, 32, 2, 32, 3)[:, ::-1, :, ::-1].reshape(real.shape)  # each face cut in four
try:
    for name, images in {"drawn faces": real, "cut in four": quarters, "generated": gan_faces}.items():
        found = metrics.face_share(images[:200])
        low, high = found.interval
        print(f"{name:12} {found.value:.2f} (95 % interval {low:.2f} to {high:.2f})")
except ModuleNotFoundError as error:
    print(error)

# %% [markdown]
# MTCNN was taught photographs, and still finds most of the drawn faces; cut in four it finds none. Of the GAN's it finds
# about half. That number needs no reference and no thousand pictures, but it says nothing about variety.
#
# ## A real run
#
# `images/faces_measured.png` holds the first 64 faces of seed 0 of a run on photographs of CelebA: 64 pixels, recipe
# `quick`, 42 minutes on one busy CPU core, 27,682 steps of 32 pictures, trained on faces 1 to 6,000. Measured are 5,000
# faces of the averaged generator, seed 0, resize `clean`.
#
# ![64 generated faces of the measured run](../images/faces_measured.png)
#
# | measure | against | value | floor (real against real) |
# |---|---|---|---|
# | KID | faces 7,001 to 8,000, unseen | 0.0760 ± 0.0020 | 0.0000 |
# | FID | the same | 83.3 ± 0.3 | 14.4 |
# | KID | faces 1 to 6,000, trained on | 0.0760 ± 0.0015 | |
# | FID | the same | 73.4 ± 0.3 | |
# | precision, recall | 1,000 unseen | 0.144, 0.025 | |
# | copied (features) | 1,000 unseen | 0.0006 | 0.05 by chance |
# | face detector | | 0.986 | 0.989 |
#
# The detector finds a face nearly as often as in photographs, and nothing is copied. Yet FID is six times its floor,
# precision is low and recall lower: these are faces, but smooth ones with odd corners, and of too few kinds. The FID
# against training faces is 10 lower than against unseen ones although nothing is copied: there the reference has six
# times as many pictures. One number would have told none of this.
#
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
