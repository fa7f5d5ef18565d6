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
# # 00 Quick start: from noise to faces
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-username/Generate-faces-using-GANs/blob/main/notebooks/00_quick_start.ipynb)
#
# Press **Run all**, and a few minutes later a network that began with pure noise draws faces. This is what the
# same code made of the drawn faces that it trains on by default:
#
# ![Faces from a generator that was trained on drawn faces](../images/drawn_faces.png)
#
# **The people in generated pictures do not exist.** No picture below shows a real person.
#
# | on | minutes for the whole notebook |
# |---|---|
# | a CPU with 2 cores | about 4½ |
# | a GPU | not measured |
#
# You need no knowledge of neural networks. The notebooks after this one explain each part.

# %% [markdown]
# ## Set up
#
# The first cell installs the project's library where it is missing, as on Colab. The second imports what we use,
# fixes the seed of all random numbers, and looks at the machine.

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
from IPython.display import clear_output
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image

from gan_helpers import (
    GAN,
    colab,
    discriminator_model,
    face_batches,
    generate_and_save_images,
    generate_images,
    generator_model,
    plot_history,
    prepare_images,
    sample_latents,
    show_images,
)
from gan_helpers.training.callbacks import ProgressBar, StopWhenTold

set_matplotlib_formats("jpeg", pil_kwargs={"quality": 90})  # many faces, small files
keras.utils.set_random_seed(0)
machine = colab.setup()

# %% [markdown]
# **Parameters** are the knobs of this notebook. To train on photographs of your own, put them into a folder and
# write its path in place of `"drawn"`. JPEG, PNG, WebP and BMP files of any size will do, in nested folders too;
# a thousand pictures are a fair start.

# %% tags=["parameters"] nbmake={"post_cell_execute": ["import os, tempfile", "os.chdir(tempfile.mkdtemp())", "count, image_size, base_filters, batch_size, minutes, every = 96, 32, 4, 32, 0.05, 1"]}
data = "drawn"  # or the path of a folder of photographs
count = 4000  # how many faces to draw; a folder is used whole
image_size = 64 if machine.gpu else 32  # pixels a side: 32, 64 or 128
base_filters = 64 if machine.gpu else 32  # width of the networks
batch_size = 64 if machine.gpu else 32  # images in a training step
minutes = 4  # of training
every = 1  # epochs between two pictures
where = machine.gpu or f"{machine.cores} processor cores"
print(f"{minutes} minutes of training on {where}, {base_filters} base filters")

# %% [markdown]
# ## The faces to learn from
#
# `prepare_images` draws the faces, or reads your folder, crops each picture to a square, and resizes it. It does so
# once; the next call finds the result on disk. Here are 24 of them. They were painted by a small program, so they
# belong to nobody and need no download.

# %%
prepared = prepare_images(data, image_size, count=count)
show_images(prepared.images[:24], columns=8, title="real_images: what the networks learn from")
plt.show()

# %% [markdown]
# ## Two networks
#
# A GAN (generative adversarial network; Goodfellow et al., 2014) is a game between two networks. The **generator**
# turns a list of 100 random numbers, called a *latent*, into a picture. The **discriminator** looks at a picture
# and says whether it is real or generated. Each learns from the other: one to forge, one to find forgeries.

# %%
generator = generator_model(z_dim=100, image_size=image_size, base_filters=base_filters)
discriminator = discriminator_model(image_size=image_size, base_filters=base_filters)
for network in (generator, discriminator):
    shapes = f"{network.input_shape[1:]} -> {network.output_shape[1:]}"
    print(f"{network.name}: {shapes}, {network.count_params():,} numbers to learn")

# %% [markdown]
# ## Before training: noise
#
# We draw 100 latents and keep them. Every picture of this notebook is made from the same ones, so that we watch the
# same 100 people appear. The picture is saved as `images/epoch_0.png`. It holds nothing but noise, too faint to see
# in the grid. The row below shows the first ten again with their contrast stretched.

# %%
test_input = sample_latents(100, 100)  # 100 latents, each 100 numbers wide
generate_and_save_images(generator, 0, test_input)
noise = np.asarray(generator(test_input[:10]))
show_images(noise / np.abs(noise).max(), columns=10, title="epoch 0, stretched")
plt.show()

# %% [markdown]
# ## Training
#
# `GAN` ties the two networks together as one Keras model, with `compile` and `fit`. An *epoch* is one pass over all
# faces. After each one the 100 latents are drawn again, saved as `images/epoch_1.png` and so on, and shown below. We
# draw with `averaged_generator`, a running average of the generator; its faces are smoother. Training stops when the
# minutes are over, or when you press stop; the cells below work with what has been learnt by then.

# %%
gan = GAN(generator, discriminator)
gan.compile(simultaneous=True)  # one pass updates both networks


def draw(epoch, logs):
    if (epoch + 1) % every == 0:
        clear_output(wait=True)
        generate_and_save_images(gan.averaged_generator, epoch + 1, test_input)


callbacks = [
    ProgressBar(batch_size, minutes=minutes),
    StopWhenTold(minutes),
    keras.callbacks.LambdaCallback(on_epoch_end=draw),
]
batches = face_batches(prepared.images, batch_size)
steps = len(prepared.images) // batch_size
history = gan.fit(batches, steps_per_epoch=steps, epochs=10_000, callbacks=callbacks, shuffle=False, verbose=0)
clear_output()  # the last picture comes next
print(f"{gan.step:,} steps of {batch_size} images")

# %% [markdown]
# ## After training: faces
#
# The same 100 latents as at the start. Compare with `epoch_0.png`: where there was noise, there are people. Seen
# from an arm's length they are faces; from close up you find crooked glasses, and hair that melts away. Longer
# training mends much of that.

# %%
epoch = len(history.history["d_loss"])
last = generate_and_save_images(gan.averaged_generator, epoch, test_input)
print(f"after {epoch} epochs: {last}")

# %% [markdown]
# The pictures on disk tell the whole story. We cut the first row out of up to six of them; time runs down. First
# come the place of a head and the colours around it, then eyes and a mouth, and last the small things.

# %%
numbers = np.unique(np.linspace(0, epoch // every, 6).astype(int)) * every
rows = [np.asarray(Image.open(f"images/epoch_{number}.png"))[:image_size] for number in numbers]
show_images(np.stack(rows), columns=1, title=f"ten latents after {', '.join(map(str, numbers))} epochs")
plt.show()

# %% [markdown]
# ## The curves
#
# On the left are the losses. They do not fall to zero as in other kinds of training, because each network's gain is
# the other's loss. On the right is how far the discriminator believes in real and in fake pictures. The nearer both
# curves are to the dotted line, the less it can tell them apart. Notebook 03 reads such curves closely.

# %%
plot_history(history.history)
plt.show()

# %% [markdown]
# ## Your turn
#
# **Exercise.** Make ten people that nobody has seen yet: uint8 pictures from ten latents of another seed than 0.
# Put them into `answer`. `sample_latents` and `generate_images` are all you need.

# %%
answer = None

# %%
if answer is None:
    print("unanswered: put ten pictures into `answer`")
elif np.shape(answer) != (10, image_size, image_size, 3) or np.asarray(answer).dtype != np.uint8:
    expected = (10, image_size, image_size, 3)
    print(f"not yet: expected uint8 pictures of shape {expected}; received {np.shape(answer)}")
elif np.array_equal(answer, generate_images(gan.averaged_generator, test_input[:10])):
    print("not yet: these ten are in the grid above already; choose another seed")
else:
    print("right: here they are")
    show_images(answer, columns=10)
    plt.show()

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer = generate_images(gan.averaged_generator, sample_latents(10, seed=7))
# ```
#
# `generate_images(gan.averaged_generator, 10, seed=7)` is a shorter way to say the same.
# </details>
#
# ## What we learned
#
# - A generator turns random latents into pictures; a discriminator tells real from generated.
# - Trained against each other, they go from noise to faces with nothing but pictures to learn from.
# - The same latents, drawn again and again, show the progress.
#
# ## Where to go next
#
# Keep your generator with `gan.averaged_generator.save("generator.keras")`. For longer training, and on your own
# photographs, use the command line. It saves as it goes, and the same command goes on where it stopped:
#
# ```
# python -m gan_helpers train --data FOLDER --minutes 60 --output runs/mine
# python -m gan_helpers generate --model runs/mine --count 100 --output more.png
# ```
#
# Minutes of it on a GPU, with wider networks and photographs of real faces, gave people like these, who do not exist:
#
# ![The first 64 generated faces of seed 0](../images/faces.png)
#
# The next notebooks take this one apart: `01_loading_faces` (the data), `02_building_the_networks`,
# `03_adversarial_training` (the game, step by step) and `04_visualising_faces` (what the generator has learnt).
#
# ## References
#
# - Goodfellow et al., "Generative Adversarial Networks", 2014.
# - Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
#   Networks", 2015. The networks used here.
# - Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", 2019.
