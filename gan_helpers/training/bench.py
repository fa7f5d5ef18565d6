"""Speed on this machine, and what to set."""

import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from gan_helpers.data.batches import face_batches
from gan_helpers.data.workers import usable_cores
from gan_helpers.models.networks import discriminator_model, generator_model
from gan_helpers.training.fused import PRECISIONS, FusedAdam, for_training
from gan_helpers.training.gan import GAN
from gan_helpers.training.precision import hardware_precision

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n}/{total} turns [{elapsed}<{remaining}{postfix}]"


def bench(image_size=64, base_filters=32, batch_size=32, *, seconds=3.0, rounds=3, everything=False, progress=None):
    """Measures how many images a second a training step takes here, and says what to give `train`.

    The function timed is the one that `fit` calls, on a batch that stands ready, waited for by reading a loss. All
    take turns (A B C A B C), so that a machine that slows down slows all of them; a figure is the median of its turns.
    Tried are both kinds of step, float32 and the precision that the hardware is made for, and stock layers beside
    fused ones, all with XLA as `train` has it here. The fastest of those is then tried again beside itself with XLA the
    other way round, and with ten steps in a call; not the others, since XLA takes long to compile. The stream of images
    takes its turn too: a step that is faster than it waits for data.

    Args:
        image_size: side of the images in pixels, one of 32, 64, 128, 256. Defaults to `64`.
        base_filters: width of both networks. Defaults to `32`.
        batch_size: images in a step. Defaults to `32`.
        seconds: how long a turn takes, about. A configuration whose step takes over ten times as long (16 bits that
            a processor emulates) keeps the figure of its first turn. Defaults to `3`.
        rounds: turns of each. Defaults to `3`.
        everything: try all precisions, also those that the hardware is not made for. Defaults to `False`.
        progress: file to draw the progress bar to. Defaults to stderr.

    Returns:
        `dict` that `json` can write: `machine`, `settings`, `configurations` (each with `images_per_second` and
        `rounds`), `best` (a configuration's name), `input` (the stream alone, and its `ratio` to the best),
        `recommend` (options of `train`) and `interrupted` (Ctrl-C ends it early; what was measured stands).

    Raises:
        ValueError: a size, width, time or count that there is not.

    Example:
        >>> bench(32, 16, 16, seconds=1)["recommend"]
        '--precision float32 --simultaneous'
    """
    for name, value in {"batch_size": batch_size, "seconds": seconds, "rounds": rounds}.items():
        if value <= 0:
            raise ValueError(f"expected {name} above 0; received {value}; leave it out for the default")
    best_precision = hardware_precision()[0]
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    configurations = [
        {"simultaneous": kind, "precision": precision, "fused": fused, "xla": on_gpu, "steps_per_execution": 1}
        for precision in (PRECISIONS if everything else dict.fromkeys(("float32", best_precision)))
        for fused in (True, False)
        if fused or precision == "float32"  # stock networks are float32
        for kind in (True, False)
    ]
    images = np.random.default_rng(0).integers(0, 256, (16 * batch_size, image_size, image_size, 3), "uint8")
    stream = _Contender("input alone", _stream(images, batch_size), batch_size)
    tried, interrupted = [], False

    def contender(configuration):
        run = _training(configuration, image_size, base_filters, images[:batch_size])
        count = batch_size * configuration["steps_per_execution"]
        tried.append(_Contender(_name(configuration), run, count, configuration))
        return tried[-1]

    turns = (len(configurations) + 4) * (rounds + 1)
    with tqdm(desc="bench", total=turns, file=progress or sys.stderr, bar_format=BAR, dynamic_ncols=True) as bar:
        try:
            first = [contender(configuration) for configuration in configurations]
            _take_turns([*first, stream], seconds, rounds, bar)
            best = _fastest([one for one in first if one.settings["fused"]])
            tried.append(replace(best, name=f"{best.name}, again", rounds=[]))
            changes = {"xla": not on_gpu}, {"steps_per_execution": 10}
            _take_turns([tried[-1], *(contender(best.settings | change) for change in changes)], seconds, rounds, bar)
        except KeyboardInterrupt:
            interrupted = True
    measured = [one for one in tried if one.rounds]
    if not measured:
        raise KeyboardInterrupt
    best = _fastest(measured)
    # What `train` can be given: fused, as it always is, among those that took turns with one another.
    chosen = _fastest([one for one in tried[: len(configurations)] if one.rounds and one.settings["fused"]]).settings
    ratio = stream.speed / best.speed if stream.rounds else None
    return {
        "machine": _machine(),
        "settings": {"image_size": image_size, "base_filters": base_filters, "batch_size": batch_size}
        | {"seconds": seconds, "rounds": rounds},
        "configurations": [{"name": one.name} | one.settings | one.figures() for one in measured],
        "best": best.name,
        "input": stream.figures() | {"ratio": ratio},
        "recommend": f"--precision {chosen['precision']} --{'' if chosen['simultaneous'] else 'no-'}simultaneous",
        "interrupted": interrupted,
    }


def seconds_a_step(gan, batches, seconds, clock=time.perf_counter):
    """How long a training step takes: the mean of steps watched for so long, the first two apart.

    Args:
        gan: a compiled `GAN`, which is trained by it.
        batches: a stream of batches, see `face_batches`.
        seconds: how long to watch, about; at least two steps are.
        clock: function that gives the time in seconds. Defaults to `time.perf_counter`.

    Returns:
        Seconds, a `float`.
    """
    return start_and_step(gan, batches, seconds, clock)[1]


def start_and_step(gan, batches, seconds, clock=time.perf_counter):
    """The same with the seconds of the first two steps before it, which trace, compile and settle: two `float`s."""
    train, began, ends = tf.function(gan.train_step, jit_compile=gan.jit_compile), clock(), []
    for batch in batches:
        float(train(batch)["d_loss"])  # waits for the step
        ends.append(clock())
        if len(ends) > 3 and ends[-1] - ends[1] >= seconds:
            return ends[1] - began, (ends[-1] - ends[1]) / (len(ends) - 2)


def table(result):
    """What `bench` returned, as text for a person; its last line is the recommendation."""
    machine, settings = result["machine"], result["settings"]
    rows = [(one["name"], one["images_per_second"]) for one in result["configurations"]]
    best = max(speed for _, speed in rows)
    rows = sorted(rows, key=lambda row: -row[1])
    if result["input"]["rounds"]:
        rows.append(("input alone", result["input"]["images_per_second"]))
    width = max(len(name) for name, _ in rows)
    on = f"GPU {machine['gpu']}" if machine["gpu"] else f"{machine['cores']} processor cores"
    return "\n".join(
        [
            f"{on} ({machine['precision_reason']}); {settings['image_size']} pixels, "
            f"{settings['base_filters']} base filters, batch {settings['batch_size']}",
            f"{'step':{width}}  images/s  of the best",
            *(f"{name:{width}}  {speed:8.1f}  {speed / best:11.2f}" for name, speed in rows),
            f"recommended: python -m gan_helpers train {result['recommend']}",
        ]
    )


@dataclass
class _Contender:
    """Who takes turns: `run(calls)` makes so many calls, of `images` each, and waits for the last one's end."""

    name: str
    run: callable
    images: int
    settings: dict = field(default_factory=dict)
    rounds: list = field(default_factory=list)

    @property
    def speed(self):
        return statistics.median(self.rounds)

    def figures(self):
        rounds = [round(speed, 2) for speed in self.rounds]
        return {"images_per_second": round(self.speed, 2) if rounds else None, "rounds": rounds}


def _take_turns(contenders, seconds, rounds, bar):
    for number in range(rounds + 1):
        for one in contenders:
            bar.set_postfix_str(one.name)
            if number == 0:  # traces and compiles
                one.run(1)
            elif not _is_slow(one, seconds):
                one.rounds.append(_images_per_second(one, seconds))
            bar.update()


def _images_per_second(one, seconds):
    """Doubles the calls that it makes at once until the time is over, so that waiting for their end costs nothing."""
    began, done, calls = time.perf_counter(), 0, 1
    while True:
        one.run(calls)
        done += calls
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            return done * one.images / elapsed
        calls = max(1, min(done, int(done * (seconds / elapsed - 1))))


def _is_slow(one, seconds):
    steps = one.settings.get("steps_per_execution", 1)
    return bool(one.rounds) and one.images / steps / one.rounds[0] > 10 * seconds


def _fastest(contenders):
    return max(contenders, key=lambda one: one.speed)


def _training(configuration, image_size, base_filters, images):
    """A function that makes so many calls of what `fit` calls, and waits."""
    shared, precision = {"image_size": image_size, "base_filters": base_filters}, configuration["precision"]
    networks = [generator_model(**shared), discriminator_model(**shared)]
    if configuration["fused"]:
        networks = [for_training(network, precision) for network in networks]
    gan = GAN(*networks)
    optimizers = [FusedAdam(2e-4, beta_1=0.5) for _ in networks]
    if precision == "mixed_float16":
        optimizers = [keras.optimizers.LossScaleOptimizer(optimizer) for optimizer in optimizers]
    gan.compile(
        *optimizers,
        simultaneous=configuration["simultaneous"],
        jit_compile=configuration["xla"],
        steps_per_execution=configuration["steps_per_execution"],
    )
    gan.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(images.astype("float32") / 127.5 - 1).repeat())

    def run(calls):
        for _ in range(calls):
            results = gan.train_function(batches)
        float(results["d_loss"])

    return run


def _stream(images, batch_size):
    batches = iter(face_batches(images, batch_size))

    def run(calls):
        for _ in range(calls):
            next(batches)

    return run


def _name(configuration):
    words = ["simultaneous" if configuration["simultaneous"] else "alternating", configuration["precision"]]
    words += ["fused" if configuration["fused"] else "stock layers"]
    words += ["XLA"] if configuration["xla"] else []
    words += [f"{configuration['steps_per_execution']} steps a call"] * (configuration["steps_per_execution"] > 1)
    return ", ".join(words)


def _machine():
    gpus = tf.config.list_physical_devices("GPU")
    precision, reason = hardware_precision()
    return {
        "cores": usable_cores(),
        "gpu": tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else None,
        "precision": precision,
        "precision_reason": reason,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "versions": {"python": platform.python_version(), "numpy": np.__version__}
        | {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
