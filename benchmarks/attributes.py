"""Is what was asked for in the faces? `python -m benchmarks.attributes RUN --data FOLDER`.

A judge that no GAN ever saw answers: a small network that learns the attributes from real faces (for drawn ones from
others than those trained on) and is tried on real faces that it has not seen. Three measures, each beside its floor:

- accuracy: half of the samples are asked for with an attribute, half without, the rest as in the data; the mean of both
  halves' shares of right ones, which real faces' labels get too, and a generator without attributes (`--plain RUN`).
- combinations: each combination of the values of three attributes is asked for. How often is what was asked for there?
- switching: the same latents and attributes, with one of them changed. How far do the scores of the others move?

Scores go from 0 to 100 points. Of an attribute that is a number, off and on are the 5th and 95th percentile of the
data, the score is the place in its range that the judge sees, and what is nearer to the wanted end is right. A table
goes to stderr, JSON to stdout.
"""

import argparse
import itertools
import json
import sys

import keras
import numpy as np
from keras import layers

from gan_helpers.data.batches import face_batches
from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.data.images import prepare_images
from gan_helpers.data.label_tables import find_labels, labels_of
from gan_helpers.data.labels import drawn_labels
from gan_helpers.training.runs import Run, load_generator
from gan_helpers.visualization.plots import generate_images, sample_latents

JUDGE_SEED, UNSEEN_SEED = 2**31 + 1, 2**31 + 2  # drawn faces that no run trains on


def main(words=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attributes", description=__doc__.split("\n")[0])

    def add(name, words, **more):
        parser.add_argument(name, help=words, **more)

    add("run", "folder of a run with attributes", metavar="RUN")
    add("--plain", "folder of a run of the same data without attributes", metavar="RUN")
    add("--data", "folder of real faces, or drawn (default: drawn)", default="drawn")
    add("--labels", "their table (default: the one in or beside the folder)")
    parts = "faces to learn from, and end of those to be tried on (default: 7000,8000)"
    add("--parts", parts, type=lambda text: [int(word) for word in text.split(",")], default=[7000, 8000])
    add("--epochs", "passes of the judge over them (default: %(default)s)", type=int, default=15)
    add("--count", "samples of each question (default: %(default)s)", type=int, default=1000)
    add("--each", "samples of each combination (default: %(default)s)", type=int, default=48)
    options = parser.parse_args(words)
    result = measure(options)
    print(table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def measure(options):
    """All measures of a run: a `dict` for JSON."""
    settings, generator = Run(options.run).settings, load_generator(options.run)
    names = generator.labels.names
    learnt, unseen = real_faces(options, settings, names)
    judge = trained_judge(*learnt, options.epochs)
    result = {"run": str(options.run), "names": names, "count": options.count, "each": options.each}
    result["share"] = dict(zip(names, (learnt[1].values > 0).mean(0).round(4).tolist(), strict=True))
    result["real"] = dict(zip(names, on_real(judge, *unseen), strict=True))
    for kind, folder in (("ordered", options.run), ("plain", options.plain)):
        if folder:
            found = accuracy(judge, load_generator(folder), generator.labels, options.count)
            result[kind] = dict(zip(names, found, strict=True))
    result["combinations"] = combinations(judge, generator, options.each)
    result["moved"] = switching(judge, generator, options.count)
    return result


def real_faces(options, settings, names):
    """Two pairs of images and `Labels`: what the judge learns from, and what it is tried on."""
    size, (first, last) = settings["image_size"], options.parts
    if options.data == "drawn":
        sets = (first, JUDGE_SEED), (last - first, UNSEEN_SEED)
        return [(draw_faces(n, size, seed=seed)[0], drawn_labels(n, names, seed=seed)) for n, seed in sets]
    whole = prepare_images(options.data, size, crop=settings["crop"] and tuple(settings["crop"]))
    given = options.labels or find_labels(options.data)
    parts = whole.part(0, first), whole.part(first, last)
    return [(part.images, labels_of(part, names, given)) for part in parts]


# The judge ------------------------------------------------------------------------------------------------------------


def trained_judge(images, labels, epochs, batch_size=32):
    """A network from images in [-1, 1] to a score in [0, 1] of each attribute."""
    keras.utils.set_random_seed(0)
    steps = len(images) // batch_size
    judge = judge_model(images.shape[1], len(labels.attributes))
    falling = keras.optimizers.schedules.CosineDecay(1e-3, epochs * steps)
    judge.compile(keras.optimizers.Adam(falling), balanced_loss(labels))
    stream = face_batches(images, batch_size, labels=labels)  # shuffled already; Keras would warn that it cannot
    judge.fit(stream, epochs=epochs, steps_per_epoch=steps, shuffle=False, verbose=0)
    return judge


def judge_model(image_size, attributes):
    x = inputs = layers.Input((image_size, image_size, 3))
    side, filters = image_size, 32
    while side > 32:  # where most of the arithmetic would be
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 4, 2, "same", use_bias=False)(x)))
        side //= 2
    while side > 4:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
        side, filters = side // 2, min(2 * filters, 128)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(attributes, activation="sigmoid")(x), name="judge")


def balanced_loss(labels):
    """Cross-entropy in which on and off of a binary attribute weigh the same, however rare; unknown ones nothing.

    A number's place in its range is a soft target: the score learns its mean.
    """
    on = np.nanmean(labels.values > 0, axis=0).clip(1e-3, 1 - 1e-3)
    binary = np.array([one.kind == "binary" for one in labels.attributes])
    when_on, when_off = (np.where(binary, 0.5 / share, 1.0).astype(np.float32) for share in (on, 1 - on))

    def loss(wanted, scores):
        target = keras.ops.where(keras.ops.isnan(wanted), 0.0, (wanted + 1) / 2)
        scores = keras.ops.clip(scores, 1e-6, 1 - 1e-6)
        entropy = -when_on * target * keras.ops.log(scores) - when_off * (1 - target) * keras.ops.log(1 - scores)
        return keras.ops.mean(keras.ops.where(keras.ops.isnan(wanted), 0.0, entropy))

    return loss


def scores_of(judge, images):
    """The judge's scores of uint8 images, `(count, attributes)` in [-1, 1], as labels are."""
    parts = [images[start : start + 256] / np.float32(127.5) - 1 for start in range(0, len(images), 256)]
    return 2 * np.concatenate([judge.predict_on_batch(part) for part in parts]) - 1


# The measures ---------------------------------------------------------------------------------------------------------


def ends_of(labels):
    """What is asked for: rows of off and on, `(2, attributes)`; of a number the 5th and 95th percentile of the data."""
    binary = [one.kind == "binary" for one in labels.attributes]
    return np.where(binary, [[-1.0], [1.0]], np.nanpercentile(labels.values, [5, 95], axis=0))


def balanced(on, off, middle):
    """Mean of the shares of right scores where the attribute is on, and where it is off."""
    return round(float((on > middle).mean() + (off < middle).mean()) / 2, 4)


def on_real(judge, images, labels):
    """The judge's balanced accuracy of each attribute on real faces; of a number, on those nearer to an end than to the
    middle."""
    found, columns = [], (scores_of(judge, images).T, labels.values.T, ends_of(labels).T)
    for scores, values, (off, on) in zip(*columns, strict=True):
        middle, clear = (off + on) / 2, (on - off) / 4
        found.append(balanced(scores[values > middle + clear], scores[values < middle - clear], middle))
    return found


def accuracy(judge, generator, labels, count):
    """The same of samples asked for with and without each attribute, half of `count` each.

    A generator without attributes makes whatever it makes.
    """
    found = []
    for place, ends in enumerate(ends_of(labels).T):
        halves = []
        for number, value in enumerate(ends):
            wishes = None if len(generator.inputs) == 1 else wished(labels, [place], [value])
            images = generate_images(generator, count // 2, seed=2 * place + number, attributes=wishes)
            halves.append(scores_of(judge, images)[:, place])
        found.append(balanced(*reversed(halves), ends.mean()))
    return found


def wished(labels, places, values):
    """Values in [-1, 1] of the attributes at these places, as `generate_images` takes wishes."""
    some = [labels.attributes[place] for place in places]
    return {one.name: float(one.unscaled(value)) for one, value in zip(some, values, strict=True)}


def combinations(judge, generator, each, size=3):
    """Every combination of the values of three attributes is asked for; the rest comes as in the data.

    Returns:
        `dict` of `present`: name: share of samples in which it is as asked for, over all combinations; `all`: share in
        which all three are; and `worst`: the five combinations with the least of that, each a dict of what was asked.
    """
    labels, ends, right, found = generator.labels, ends_of(generator.labels), {}, []
    chosen = itertools.combinations(range(len(labels.names)), min(size, len(labels.names)))
    for number, places in enumerate(map(list, chosen)):
        for on in itertools.product((0, 1), repeat=len(places)):
            wishes = wished(labels, places, ends[on, places])
            images = generate_images(generator, each, seed=10_000 + number, attributes=wishes)
            there = (scores_of(judge, images)[:, places] > ends.mean(0)[places]) == np.array(on, bool)
            for name, column in zip(wishes, there.T, strict=True):
                right.setdefault(name, []).append(column.mean())
            found.append({"share": round(float(there.all(1).mean()), 4), "asked": wishes})
    present = {name: round(float(np.mean(right[name])), 4) for name in labels.names}
    found.sort(key=lambda one: one["share"])
    return {"present": present, "all": round(float(np.mean([one["share"] for one in found])), 4), "worst": found[:5]}


def switching(judge, generator, count):
    """The same latents and attributes but for one, off and then on: how far each score moves, in points.

    Returns:
        `{switched: {judged: mean over faces of the absolute difference}}`.
    """
    names, latents = generator.labels.names, sample_latents(count, generator.inputs[0].shape[-1], seed=77)
    rows, found = generator.labels.sample(count, seed=77), {}
    for place, ends in enumerate(ends_of(generator.labels).T):
        both = []
        for value in ends:
            changed = rows.copy()
            changed[:, place] = value
            both.append(scores_of(judge, generate_images(generator, latents, attributes=changed)))
        moved = 50 * np.abs(both[1] - both[0]).mean(0, dtype=np.float64)
        found[names[place]] = dict(zip(names, moved.round(1).tolist(), strict=True))
    return found


def table(result):
    """The measures as text for a person."""
    names = result["names"]
    width, plain = max(map(len, names)), result.get("plain", {})
    head = f"{'':{width}}  in data  real  ordered  of real  plain  combined"
    lines = ["balanced accuracy by a judge, %; combined: there in all combinations of three", head]
    for name in names:
        real, ordered = result["real"][name], result["ordered"][name]
        beside = f"{100 * plain[name]:5.1f}" if plain else "    -"
        lines.append(
            f"{name:{width}}  {100 * result['share'][name]:7.1f}  {100 * real:4.1f}  {100 * ordered:7.1f}  "
            f"{100 * ordered / real:7.1f}  {beside}  {100 * result['combinations']['present'][name]:8.1f}"
        )
    columns = "  ".join(f"{name:>5}" for name in names)
    lines += ["", "points by which scores move when one attribute is switched", f"{'':{width}}  others  {columns}"]
    for name in names:
        row = result["moved"][name]
        others = [value for other, value in row.items() if other != name]
        moved = "  ".join(f"{row[one]:{max(5, len(one))}.1f}" for one in names)
        lines.append(f"{name:{width}}  {sum(others) / max(1, len(others)):6.1f}  {moved}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
