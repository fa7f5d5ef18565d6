"""Does the monitor name what is wrong? `python -m benchmarks.health collect`, then `table`; `cost` for its price.

Trainings that fail on purpose, each for one known reason, and healthy ones, on drawn faces and on real ones, at 32 and
64 pixels, of both kinds of network. `collect` trains them, at most two minutes each on one core, and keeps what the
monitor saw; `table` counts how often it named the reason. Thresholds were set on the runs of the set `tune`, and one of
them anew after a first hundred, of seeds 0 to 19, with two false alarms; they were frozen before the runs of the set
`fresh` were made, which have other seeds. The first alarm counts, right or wrong. Seconds are the processor's, so that
other work on the machine changes nothing.

A table goes to stderr, JSON to stdout. Runs that the folder holds already are not made again.
"""

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from gan_helpers.data.batches import face_batches
from gan_helpers.data.drawn_faces import draw_faces
from gan_helpers.data.images import prepare_images
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.models.recipes import quick
from gan_helpers.training.conditions import THRESHOLDS, diagnose
from gan_helpers.training.fused import FusedAdam, for_training
from gan_helpers.training.gan import GAN
from gan_helpers.training.health import HealthMonitor
from gan_helpers.training.precision import hardware_precision
from gan_helpers.visualization.plots import generate_images, image_grid

SECONDS = 120  # a fifth of a run of ten minutes
FIRST_SEED = 20  # of the fresh runs; those of seeds below it have had a say in the thresholds
CROP = (9, 25, 79, 95)  # of half-size CelebA
# What is done wrong, and the one right name for it, fixed before any run was made.
EXPECTED = {
    "images in [0, 1]": "wrong data range",
    "learning rate x50": "learning rate too high",
    "no normalisation": "vanishing signal",
    "strong discriminator": "discriminator wins",
    "tiny data set": "overfitting discriminator",
    "batch of 2": "batch too small",
    "leaky end": "samples out of range",
    "labels swapped": "labels swapped",
    "none": "healthy",
}
SOON = ("labels swapped", "leaky end", "learning rate x50", "images in [0, 1]", "batch of 2")
# The set "tune": what is done wrong, data, size, networks, seed, and seconds, fewer where they tell all.
TUNE = (
    ("tiny data set", "real", 32, "resnet", 102, 45),
    ("tiny data set", "real", 64, "dcgan", 101, 45),
    ("tiny data set", "drawn", 64, "resnet", 103, 60),
    ("none", "drawn", 64, "resnet", 104, 60),
    ("none", "real", 32, "dcgan", 105, 60),
    ("none", "real", 32, "resnet", 102, 60),
    ("none", "drawn", 64, "dcgan", 103, 60),
    ("none", "real", 32, "light", 106, 45),
    ("none", "real", 64, "dcgan", 100, 60),
    ("no normalisation", "real", 128, "dcgan", 102, 110),
    ("no normalisation", "drawn", 64, "dcgan", 100, 20),
    ("no normalisation", "real", 64, "dcgan", 101, 20),
    ("strong discriminator", "drawn", 32, "dcgan", 100, 15),
    ("strong discriminator", "real", 64, "dcgan", 101, 30),
    ("strong discriminator", "real", 32, "resnet", 102, 40),
    *((name, "drawn", 32, "dcgan", 100, 10) for name in SOON),
    *((name, "real", 64, "dcgan", 101, 20) for name in SOON),
    *((name, "real", 32, "resnet", 102, 20) for name in SOON),
)


@dataclass(frozen=True)
class Case:
    """One training: what is done wrong, on what, and how long at most."""

    failure: str
    data: str
    size: int
    architecture: str
    seed: int
    seconds: int = SECONDS

    @property
    def name(self):
        words = self.failure, self.data, f"{self.size}px", self.architecture, f"seed{self.seed}"
        return "-".join(words).replace(" ", "_").replace("[0,_1]", "01")


def cases(group):
    """The trainings of a set, `"tune"` or `"fresh"`."""
    if group == "tune":
        return [Case(*words) for words in TUNE]
    common = list(itertools.product(("drawn", "real"), (32, 64), ("dcgan", "resnet")))
    deep = [("drawn", 64, "dcgan"), ("real", 64, "dcgan"), ("drawn", 128, "dcgan"), ("real", 128, "dcgan")]
    light = list(itertools.product(("drawn", "real"), (32, 64), ("light",)))
    found = []
    for failure in EXPECTED:
        kinds = {"none": 2 * common + light, "no normalisation": deep}.get(failure, common)
        count = 20 if failure == "none" else 10
        found += [Case(failure, *kinds[number % len(kinds)], FIRST_SEED + number) for number in range(count)]
    return found


def main(arguments=None):
    options = _parser().parse_args(arguments)
    options.do(options)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/health"), help="of all runs (default: %(default)s)")
    parser.add_argument("--set", choices=("tune", "fresh"), default="fresh", help="which runs (default: %(default)s)")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("collect", help="train, and keep what the monitor saw")
    command.add_argument(
        "--faces", default=os.environ.get("GAN_FACES_DIR"), help="folder of real faces, half-size CelebA"
    )
    command.add_argument("--cache", default=None, help="folder of prepared pictures (default: $GAN_FACES_CACHE)")
    command.add_argument("--cores", default="0", help="processor cores, one training on each (default: %(default)s)")
    command.add_argument("--one", type=int, default=None, help=argparse.SUPPRESS)
    command.set_defaults(do=collect)
    command = commands.add_parser("table", help="what was named, from the runs that are there")
    command.set_defaults(do=table)
    command = commands.add_parser("cost", help="how much longer training takes with the monitor")
    command.add_argument("--rounds", type=int, default=5, help="turns of each, with and without (default: %(default)s)")
    command.set_defaults(do=cost)
    return parser


def collect(options):
    """Trains what is missing, one process a training, each on its own core."""
    if options.one is not None:
        return run(cases(options.set)[options.one], options)
    waiting = [n for n, case in enumerate(cases(options.set)) if not _file(options, case).exists()]
    bar = tqdm(total=len(waiting), desc="trainings", unit="")
    free, running = [int(core) for core in options.cores.split(",")], {}
    while waiting or running:
        while free and waiting:
            core, number = free.pop(), waiting.pop(0)
            command = [sys.executable, "-m", "benchmarks.health", "--folder", options.folder, "--set", options.set]
            command += ["collect", "--one", number, *(["--faces", options.faces] if options.faces else [])]
            command += ["--cores", core, *(["--cache", options.cache] if options.cache else [])]
            running[core] = subprocess.Popen([str(word) for word in command])
        time.sleep(0.5)
        for core in [core for core, process in running.items() if process.poll() is not None]:
            if running.pop(core).returncode:
                tqdm.write(f"a training on core {core} failed", file=sys.stderr)
            free.append(core)
            bar.update()
    bar.close()


def run(case, options):
    """One training; what the monitor saw is written as a line a look."""
    if _file(options, case).exists():
        return
    os.sched_setaffinity(0, {int(options.cores)})
    images, unseen = faces(case, options)
    recipe = dataclasses.replace(quick, batch_size=2 if case.failure == "batch of 2" else quick.batch_size)
    gan = build(case, recipe)
    batches = face_batches(images, recipe.batch_size, seed=case.seed)
    if case.failure == "images in [0, 1]":
        batches = batches.map(lambda batch: (batch + 1) / 2)
    monitor = HealthMonitor(images, unseen=unseen, batch_size=recipe.batch_size, report=lambda line: None)
    watch = Watch(monitor, case.seconds, options.set == "fresh" and case.failure != "none")
    gan.fit(batches, steps_per_epoch=10**9, shuffle=False, callbacks=[monitor, watch], verbose=0)
    file = _file(options, case)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_grid(generate_images(gan.generator, 64, seed=1))).save(file.with_suffix(".png"))
    file.write_text("".join(json.dumps(look) + "\n" for look in watch.looks))


def table(options):
    """Counts what was named first in each run, right or wrong, and after how many seconds."""
    rows = {}
    for case in cases(options.set):
        if _file(options, case).exists():
            rows.setdefault(case.failure, []).append((case, *first_alarm(_looks(options, case))))
    found = {}
    for failure, named in rows.items():
        alarms = Counter(condition for _, condition, _, _ in named)
        right = [seconds for _, condition, _, seconds in named if condition == EXPECTED[failure]]
        found[failure] = {"expected": EXPECTED[failure], "runs": len(named), "right": len(right), "named": dict(alarms)}
        found[failure]["median_seconds"] = None if failure == "none" else round(float(np.median(right or [np.nan])), 1)
    wrong = [
        {"run": case.name, "named": condition, "step": step, "seconds": seconds}
        for failure, named in rows.items()
        for case, condition, step, seconds in named
        if condition != EXPECTED[failure]
    ]
    print(_as_text(found, wrong), file=sys.stderr)
    settings = {"set": options.set, "seconds": SECONDS, "thresholds": dataclasses.asdict(THRESHOLDS)}
    json.dump(settings | {"failures": found, "wrong": wrong}, sys.stdout, indent=1)


def first_alarm(looks):
    """What the monitor named first, at which step and second; `"healthy"` and the last ones where it kept silent."""
    for count in range(1, len(looks) + 1):
        condition = diagnose(looks[:count]).condition
        if condition != "healthy":
            break
    return condition, looks[count - 1]["step"], round(looks[count - 1]["seconds"], 1)


def _as_text(found, wrong):
    """The confusion matrix: a row for what was done wrong, a column for what was named."""
    names = sorted({name for row in found.values() for name in row["named"]}, key=str.lower)
    lines = [f"{'done wrong':22} {'right':>7} {'seconds':>8}   named: how often"]
    for failure, row in found.items():
        seconds = "" if row["median_seconds"] is None else f"{row['median_seconds']:.0f}"
        named = ", ".join(f"{name}: {row['named'][name]}" for name in names if name in row["named"])
        lines.append(f"{failure:22} {row['right']:3}/{row['runs']:<3} {seconds:>8}   {named}")
    lines += [f"wrong: {one['run']} named {one['named']} at step {one['step']}, {one['seconds']} s" for one in wrong]
    return "\n".join(lines)


def cost(options):
    """The monitor's share of the training time of recipe `quick`, with and without it in turns, by processor time."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    result = {}
    for size, steps in ((32, 500), (64, 100)):
        images, unseen = draw_faces(512, size, seed=1)[0], draw_faces(200, size, seed=2)[0]
        monitor = HealthMonitor(images, unseen=unseen, batch_size=quick.batch_size, report=lambda line: None)
        sides = []
        for callbacks in ([ReadsStep()], [ReadsStep(), monitor]):
            gan = build(Case("none", "drawn", size, "dcgan", 0), quick)
            sides.append((gan, face_batches(images, quick.batch_size), callbacks))
            gan.fit(sides[-1][1], steps_per_epoch=60, shuffle=False, callbacks=callbacks, verbose=0)
        rounds = [
            [_seconds(*side, steps) for side in sides] for _ in tqdm(range(options.rounds), desc=f"{size} pixels")
        ]
        shares = [after / before - 1 for before, after in rounds]
        result[size] = {"rounds": rounds, "steps": steps, "share": float(np.median(shares)), "shares": shares}
        print(f"{size} pixels: {result[size]['share']:.2%} of training time", file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


class ReadsStep(keras.callbacks.Callback):
    """Looks at the step after each, as the progress bar of `train` does, whether there is a monitor or not."""

    def on_train_batch_end(self, batch, logs=None):
        return self.model.step


def _seconds(gan, batches, callbacks, steps):
    began = time.process_time()
    gan.fit(batches, steps_per_epoch=steps, shuffle=False, callbacks=callbacks, verbose=0)
    return time.process_time() - began


class Watch(keras.callbacks.Callback):
    """Ends a training when its time is over, or at the first alarm, and notes the time of each look."""

    def __init__(self, monitor, seconds, until_alarm):
        super().__init__()
        self.monitor, self.seconds, self.until_alarm, self.looks = monitor, seconds, until_alarm, []
        self.began = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        seconds = time.process_time() - self.began
        self.looks += [look | {"seconds": seconds} for look in self.monitor.looks[len(self.looks) :]]
        alarm = self.until_alarm and self.monitor.diagnosis.condition != "healthy"
        self.model.stop_training = bool(alarm or seconds > self.seconds)


def faces(case, options):
    """Pictures to train on, and others."""
    if case.data == "drawn":
        prepared = prepare_images("drawn", case.size, count=8000, cache=options.cache)
        images, unseen = prepared.images, draw_faces(200, case.size, seed=1000 + case.seed)[0]
    else:
        if not options.faces:
            sys.exit("expected a folder of real faces; received none; give --faces, or set GAN_FACES_DIR")
        prepared = prepare_images(options.faces, case.size, crop=CROP, cache=options.cache)
        images, unseen = prepared.images[:6000], prepared.images[6000:7000]
    count = (40, 64, 100)[case.seed % 3] if case.failure == "tiny data set" else len(images)
    return images[:count], unseen


def build(case, recipe):
    """The GAN of recipe `quick`, with what is done wrong."""
    keras.utils.set_random_seed(case.seed)
    strong = case.failure == "strong discriminator"
    filters = 16 if case.architecture != "dcgan" and case.size > 32 else recipe.base_filters
    shared = {"image_size": case.size, "architecture": case.architecture}
    if case.failure == "no normalisation":
        shared["normalisation"] = "none"
    networks = [
        generator_model(base_filters=filters // 4 if strong else filters, **shared),
        discriminator_model(base_filters=filters, **shared),
    ]
    if case.failure == "leaky end":
        networks[0].layers[-1].activation = (keras.activations.leaky_relu, keras.activations.linear)[case.seed % 2]
    penalty = {"r1_weight": 1.0, "penalty_every": 4} if case.architecture == "light" else {}
    precision = hardware_precision()[0]
    gan = GAN(*(for_training(network, precision) for network in networks), seed=case.seed, **penalty)
    rates = {"learning rate x50": (1e-2, 1e-2), "strong discriminator": (2e-5, 2e-3)}.get(case.failure, (2e-4, 2e-4))
    gan.compile(*(FusedAdam(rate, beta_1=recipe.beta_1) for rate in rates), simultaneous=recipe.simultaneous)
    if case.failure == "labels swapped":
        d_loss = gan.d_loss
        gan.d_loss = lambda real_logits, fake_logits: d_loss(fake_logits, real_logits)
    return gan


def _looks(options, case):
    return [json.loads(line) for line in _file(options, case).read_text().splitlines()]


def _file(options, case):
    return options.folder / options.set / f"{case.name}.jsonl"


if __name__ == "__main__":
    main()
