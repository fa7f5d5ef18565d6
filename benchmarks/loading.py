"""How fast and how large is loading? `python -m benchmarks.loading --data FOLDER`, on the processor.

Preparing a folder once is set against what a Keras user has, `keras.utils.image_dataset_from_directory`, over the same
files: as it is, which skips pixels (no filter against aliasing), and with an antialiased bicubic resize of the whole
pictures behind it, which does what preparing does. Later epochs read our cache, and its files again. All take turns
(A B C A B C) in processes of their own. A figure is the median over the turns, in images a second of the clock and in
images for each second of processor time, which other work on the machine disturbs less.

`--memory N` prepares N drawn faces and trains from them in a process of its own, beside one that does the same with
256: the difference of their peaks is what the data costs. A table goes to stderr, JSON to stdout.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from gan_helpers.data.workers import usable_cores

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = ("prepare", "keras", "keras_antialiased", "epoch")
FEW = 256


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__.split("\n")[0])
    parser.add_argument("--data", action="append", default=[], help="folder of pictures of one size; may be repeated")
    parser.add_argument("--image-size", type=int, default=64, help="pixels (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--memory", type=int, metavar="N", help="also the memory that N drawn faces cost")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker)
    if options.rounds < 1 or not (options.data or options.memory):
        parser.error("expected --data FOLDER or --memory N, and --rounds above 0")
    shared = {"image_size": options.image_size, "batch_size": options.batch_size}
    result = {"cores": usable_cores(), **shared, "folders": [_folder(one, shared, options) for one in options.data]}
    if options.memory:
        result["memory"] = _memory(options.memory, shared)
    print(_table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def _folder(data, shared, options):
    """What each system makes of a folder, turn by turn."""
    figures = {name: {"rounds": [], "of_processor": []} for name in SYSTEMS}
    pictures = None
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(shared | {"system": name, "data": data})) for name in SYSTEMS}
        for _ in tqdm(range(options.rounds), desc=data, file=sys.stderr):
            for name, worker in workers.items():
                time.sleep(0.25)  # the last one's threads come to rest
                turn = worker.turn()
                pictures = turn["images"] if name == "prepare" else pictures
                figures[name]["rounds"].append(round(turn["images"] / turn["seconds"]))
                figures[name]["of_processor"].append(round(turn["images"] / turn["processor_seconds"]))
    for one in figures.values():
        one["images_per_second"] = statistics.median(one["rounds"])
        one["images_per_processor_second"] = statistics.median(one["of_processor"])
    seconds = pictures / figures["prepare"]["images_per_second"]
    found = {
        "data": data,
        "images": pictures,
        "seconds_to_prepare": round(seconds, 2),
        "systems": figures,
        "ratios": {},
    }
    for name, ours, theirs in (
        ("prepare", "prepare", "keras_antialiased"),
        ("prepare, to a resize that skips pixels", "prepare", "keras"),
        ("later epochs", "epoch", "keras_antialiased"),
    ):
        keys = ("images_per_second", "images_per_processor_second")
        found["ratios"][name] = {key: round(figures[ours][key] / figures[theirs][key], 2) for key in keys}
    return found


def _memory(count, shared):
    """Peak memory in MiB of preparing and training with many faces and with few."""
    with tempfile.TemporaryDirectory() as cache:
        peaks = {}
        for faces in (FEW, count):
            with Worker(shared | {"system": "train", "count": faces, "cache": cache}) as worker:
                peaks[faces] = worker.turn()
    many, few = peaks[count], peaks[FEW]
    beyond = {name: round(many[name] - few[name]) for name in ("peak_mib", "peak_without_files_mib")}
    return {"faces": count, "many": many, "few": few, "beyond": beyond}


def _table(result):
    lines = []
    for one in result["folders"]:
        size = result["image_size"]
        lines.append(f"{one['data']}: {one['images']:,} pictures, {size} pixels, {result['cores']} cores")
        for name, figures in one["systems"].items():
            lines.append(
                f"  {name:20} {figures['images_per_second']:>9,} images/s, for each second of processor time "
                f"{figures['images_per_processor_second']:>9,}"
            )
        for name, ratio in one["ratios"].items():
            lines.append(
                f"  {name}: {ratio['images_per_second']} times, {ratio['images_per_processor_second']} of both"
            )
    if memory := result.get("memory"):
        beyond = memory["beyond"]
        lines.append(
            f"{memory['faces']:,} drawn faces: {beyond['peak_mib']:,} MiB more at the peak, of which "
            f"{beyond['peak_without_files_mib']:,} MiB are not the mapped file's"
        )
    return "\n".join(lines)


class Worker:
    """A process that makes turns when told to."""

    def __init__(self, settings):
        command = [sys.executable, "-m", "benchmarks.loading", "--worker", json.dumps(settings)]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    def __enter__(self):
        self.process.stdout.readline()  # it is ready
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or "null")


def work(settings):
    """What a worker's process does: a turn for every line that it reads."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    turn = {"prepare": prepare, "epoch": epoch, "keras": keras, "keras_antialiased": keras, "train": train}
    turn = turn[settings["system"]](settings)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        begun, processor = time.perf_counter(), _processor_seconds()
        found = turn()
        found = found if isinstance(found, dict) else {"images": found}
        found |= {"seconds": time.perf_counter() - begun, "processor_seconds": _processor_seconds() - processor}
        print(json.dumps(found), file=answers, flush=True)


def _processor_seconds():
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def prepare(settings):
    """A function that prepares the folder into a new cache."""
    from gan_helpers.data.images import prepare_images

    def turn():
        with tempfile.TemporaryDirectory() as cache:
            return len(prepare_images(settings["data"], settings["image_size"], cache=cache).images)

    return turn


def epoch(settings):
    """A function that reads all prepared pictures once, as training does."""
    from gan_helpers.data.batches import face_batches, steps_per_epoch
    from gan_helpers.data.images import prepare_images

    cache = tempfile.mkdtemp()  # the system's folder for such; the process ends by a kill
    images = prepare_images(settings["data"], settings["image_size"], cache=cache).images
    stream = iter(face_batches(images, settings["batch_size"]))
    steps = steps_per_epoch(len(images), settings["batch_size"])

    def turn():
        repeat = max(1, 400 // steps)  # long enough to be timed
        for _ in range(repeat * steps):
            next(stream)
        return repeat * steps * settings["batch_size"]

    return turn


def keras(settings):
    """A function that reads the folder once by `keras.utils.image_dataset_from_directory`."""
    import keras
    import tensorflow as tf
    from PIL import Image

    from gan_helpers.data.sources import find_faces

    side, antialiased = settings["image_size"], settings["system"] == "keras_antialiased"
    shared = {"labels": None, "shuffle": False, "verbose": False, "interpolation": "bicubic"}

    def square(picture):
        height, width = picture.shape[:2]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        picture = picture[top : top + edge, left : left + edge]
        return tf.image.resize(picture, (side, side), method="bicubic", antialias=True)

    if antialiased:
        with Image.open(find_faces(settings["data"])[0]) as first:
            whole = first.size[::-1]
        dataset = keras.utils.image_dataset_from_directory(
            settings["data"], image_size=whole, batch_size=None, **shared
        )
        dataset = dataset.map(square, num_parallel_calls=tf.data.AUTOTUNE)
        dataset = dataset.batch(settings["batch_size"]).prefetch(tf.data.AUTOTUNE)
    else:
        dataset = keras.utils.image_dataset_from_directory(
            settings["data"], image_size=(side, side), crop_to_aspect_ratio=True, batch_size=settings["batch_size"],
            **shared,
        )  # fmt: skip
    return lambda: sum(len(batch) for batch in dataset)


def train(settings):
    """A function that prepares drawn faces, reads all of them as batches, and makes steps; says its peak memory."""
    from gan_helpers import GAN, discriminator_model, generator_model
    from gan_helpers.data.batches import face_batches, steps_per_epoch
    from gan_helpers.data.images import prepare_images

    def turn():
        size, batch_size = settings["image_size"], settings["batch_size"]
        images = prepare_images("drawn", size, count=settings["count"], cache=settings["cache"]).images
        gan = GAN(
            generator_model(image_size=size, base_filters=8), discriminator_model(image_size=size, base_filters=8)
        )
        gan.compile()
        gan.fit(face_batches(images, batch_size), epochs=1, steps_per_epoch=20, verbose=0)
        peak_without_files = _without_files()
        steps = steps_per_epoch(len(images), batch_size)
        for step, _ in zip(range(steps), face_batches(images, batch_size), strict=False):
            if step % 100 == 0:
                peak_without_files = max(peak_without_files, _without_files())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"images": len(images), "peak_mib": peak, "peak_without_files_mib": peak_without_files}

    return turn


def _without_files():
    """MiB that this process holds now, pages of mapped files aside, which the system may take back at any time."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    main()
