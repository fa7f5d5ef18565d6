"""What do several devices bring? `python -m benchmarks.scaling --parts workers,model,input`, on the processor.

- **workers**: images/s of one process and of two that share each batch, each pinned to a core of its own, in turn (A B
  C A B C while the others wait), and of one process with the half of the batch that each of the two computes. What the
  two take longer than that is the exchange, and waiting for one another. Processor time is given beside, which other
  work on the machine disturbs less.
- **model**: on paper, up to 64 GPUs: bytes that each sends in a step, and the step's time from assumed speeds. A model,
  not a measurement.
- **input**: the time of a batch, and of a whole step, from caches of 10 thousand to 10 million pictures (sparse files,
  in turn), and memory.

A table goes to stderr, JSON to stdout.
"""

import argparse
import contextlib
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("workers", "model", "input")
SETTINGS = {"one": (1, 1), "half": (1, 2), "two": (2, 1)}  # processes, and what the batch is divided by
GPUS = (1, 2, 4, 8, 16, 32, 64)
ON_ONE_MACHINE = 8


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), type=_parts, help="which (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="in pixels (default: %(default)s)")
    parser.add_argument("--base-filters", type=int, default=32, help="of both networks (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps of a turn (default: %(default)s)")
    parser.add_argument(
        "--counts", type=_counts, default="10000,100000,1000000,10000000", help="pictures of the caches"
    )
    parser.add_argument(
        "--gpu-flops", type=float, default=30e12, help="model: a GPU's in training (default: %(default)g)"
    )
    parser.add_argument(
        "--near", type=float, default=100e9, help="model: bytes/s within a machine (default: %(default)g)"
    )
    parser.add_argument(
        "--far", type=float, default=10e9, help="model: bytes/s between machines (default: %(default)g)"
    )
    parser.add_argument(
        "--latency", type=float, default=20e-6, help="model: seconds of a message (default: %(default)g)"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(json.loads(options.worker))
        return
    if min(options.rounds, options.steps, options.base_filters) < 1 or options.batch_size % 2:
        parser.error(
            "expected --rounds, --steps and --base-filters above 0 and an even --batch-size; received "
            f"{options.rounds}, {options.steps}, {options.base_filters} and {options.batch_size}"
        )
    measures = {"workers": measure_workers, "model": model, "input": measure_input}
    result = {part: measures[part](options) for part in options.parts}
    print(table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def _parts(text):
    parts = text.split(",")
    if not set(parts) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"expected parts of {', '.join(PARTS)}; received {text!r}")
    return parts


def _counts(text):
    return [int(count) for count in text.split(",")]


# Workers


def measure_workers(options):
    """Figures of one process, of one with half of the batch, and of two; a `dict`."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit(f"expected two cores for two processes; received {len(cores)}; leave --parts workers out")
    turns = {name: [] for name in SETTINGS}
    with contextlib.ExitStack() as stack:
        teams = {}
        for name, (count, divisor) in SETTINGS.items():
            shared = {"image_size": options.image_size, "base_filters": options.base_filters}
            shared["batch_size"] = options.batch_size // divisor
            teams[name] = stack.enter_context(_Team(shared, cores[:count]))
        for _ in range(options.rounds):
            for name, team in teams.items():
                time.sleep(0.25)  # the last one's threads spin for up to 0.2 s after their work
                turns[name].append(team.run(options.steps))
    figures = {}
    for name, taken in turns.items():
        seconds, processor = (statistics.median(kind) / options.steps for kind in zip(*taken, strict=True))
        batch = options.batch_size // SETTINGS[name][1]
        figures[name] = {"images_per_second": batch / seconds, "step_seconds": seconds, "step_processor": processor}
    one, half, two = (figures[name] for name in SETTINGS)
    shares = {clock: 1 - half[clock] / (two[clock] / by) for clock, by in (("step_seconds", 1), ("step_processor", 2))}
    return {
        "settings": {name: getattr(options, name) for name in ("image_size", "base_filters", "batch_size")},
        "figures": figures,
        "speedup": one["step_seconds"] / two["step_seconds"],
        "exchange_share": shares["step_seconds"],
        "exchange_share_of_processor": shares["step_processor"],
    }


class _Team:
    """Processes that make steps together when told to, each pinned to a core."""

    def __init__(self, settings, cores):
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in cores]
            addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
        self.said, self.processes = tempfile.TemporaryFile("w+"), []  # noqa: SIM115  closed at the processes' end
        for index, core in enumerate(cores):
            environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
            if len(cores) > 1:
                task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                environment["TF_CONFIG"] = json.dumps(task)
            job = json.dumps(settings | {"core": core, "workers": len(cores)})
            command = [sys.executable, "-m", "benchmarks.scaling", "--worker", job]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.said, "text": True}
            self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))

    def __enter__(self):
        try:
            self._answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate()
        self.said.close()

    def run(self, steps):
        """Seconds that so many steps took, and seconds of processor time of all processes."""
        for process in self.processes:
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        answers = self._answers()
        return max(one["seconds"] for one in answers), sum(one["processor"] for one in answers)

    def _answers(self):
        lines = [process.stdout.readline() for process in self.processes]
        if not all(lines):
            self.said.seek(0)
            last = (self.said.read().strip().splitlines() or ["nothing"])[-1]
            raise RuntimeError(f"expected an answer of {len(lines)} processes; received an end; one said: {last}")
        return [json.loads(line) for line in lines]


def work(settings):
    """A worker: builds, makes some steps, then as many as each line of stdin says."""
    os.sched_setaffinity(0, [settings["core"]])  # before TensorFlow counts cores
    import keras
    import numpy as np

    from gan_helpers import Recipe, face_batches
    from gan_helpers.training.build import build_gan
    from gan_helpers.training.distribute import open_devices

    devices = open_devices("multiworker" if settings["workers"] > 1 else None)
    with devices.scope():
        gan = build_gan(Recipe(base_filters=settings["base_filters"]), settings["image_size"])
    side, batch_size = settings["image_size"], settings["batch_size"]
    images = np.random.default_rng(0).integers(0, 256, (4 * batch_size, side, side, 3), np.uint8)
    stream = devices.stream(functools.partial(face_batches, images, batch_size))
    fit = functools.partial(
        devices.fit(gan), initial_epoch=0, epochs=1, shuffle=False, callbacks=[keras.callbacks.Callback()], verbose=0
    )
    fit(stream(start_step=0), steps_per_epoch=3)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        # The first step of a `fit` makes its stream; with it the time of all is that of a few more steps.
        began, processor = time.perf_counter(), time.process_time()
        fit(stream(start_step=0), steps_per_epoch=int(line))
        taken = {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}
        print(json.dumps(taken), flush=True)


# A model


def model(options):
    """A step's time by the number of GPUs, each with a whole batch of its own, from assumed speeds; a `dict`.

    Every weight's gradient, 4 bytes, goes round a ring: each GPU sends `2 (n - 1) / n` of all, in `2 (n - 1)` messages.
    Two exchanges a step, the discriminator's and the generator's, of which none is hidden behind the computing.
    """
    from benchmarks.speed import step_flops
    from gan_helpers import discriminator_model, generator_model

    shape = {"image_size": options.image_size, "base_filters": options.base_filters}
    networks = generator_model(**shape), discriminator_model(**shape)
    weights = sum(int(weight.numpy().size) for network in networks for weight in network.trainable_variables)
    computing = step_flops(*networks, True) * options.batch_size / options.gpu_flops
    rows = [model_row(count, 4 * weights, computing, options) for count in GPUS]
    assumed = {name: getattr(options, name) for name in ("gpu_flops", "near", "far", "latency", "batch_size")}
    return {"assumed": assumed | shape, "weights": weights, "rows": rows}


def model_row(count, size, computing, options):
    """What `model` says of `count` GPUs.

    Args:
        count: GPUs, at most 8 in each machine.
        size: bytes of all gradients.
        computing: seconds that a GPU computes in a step.
        options: with `near` and `far`, bytes/s within and between machines, and `latency`, seconds of a message.

    Returns:
        A `dict`.
    """
    sent = 2 * (count - 1) / count * size
    rate = options.near if count <= ON_ONE_MACHINE else options.far  # the slowest link of the ring counts
    exchange = sent / rate + 2 * 2 * (count - 1) * options.latency
    return {
        "gpus": count,
        "sent_bytes": sent,
        "step_seconds": computing + exchange,
        "exchange_share": exchange / (computing + exchange),
        "speedup": count * computing / (computing + exchange),
    }


# Input


def measure_input(options):
    """Processor time and time of a batch and of a step by the number of pictures in the cache, and memory; a `dict`."""
    import numpy as np
    import tensorflow as tf

    from gan_helpers import Recipe, face_batches
    from gan_helpers.training.build import build_gan

    side, taken = options.image_size, {count: [] for count in options.counts}
    step = tf.function(build_gan(Recipe(base_filters=options.base_filters), side).train_step)

    def timed(stream, work):
        began, processor = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            work(next(stream))
        return (time.perf_counter() - began) / options.steps, (time.process_time() - processor) / options.steps

    with tempfile.TemporaryDirectory() as folder:
        streams = {}
        for count in taken:
            file = Path(folder) / f"{count}.npy"
            np.lib.format.open_memmap(file, "w+", np.uint8, (count, side, side, 3))  # a hole, no bytes
            streams[count] = iter(face_batches(np.load(file, mmap_mode="r"), options.batch_size))
            for _ in range(5):
                step(next(streams[count]))
        before = _own_memory()
        for _ in range(options.rounds):
            for count, stream in streams.items():
                taken[count].append((*timed(stream, lambda batch: None), *timed(stream, step)))
        grown = _own_memory() - before
    names, rows = ("batch_seconds", "batch_processor", "step_seconds", "step_processor"), []
    for count, figures in taken.items():
        medians = map(statistics.median, zip(*figures, strict=True))
        rows.append({"pictures": count} | dict(zip(names, medians, strict=True)))
    return {"batch_size": options.batch_size, "image_size": side, "rows": rows, "memory_grown_mib": grown / 2**20}


def _own_memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def table(result):
    """The figures as text."""
    lines = []
    if "workers" in result:
        found = result["workers"]
        lines.append(f"{'workers':10}{'images/s':>10}{'ms a step':>12}{'processor ms':>14}")
        for name, one in found["figures"].items():
            times = f"{1e3 * one['step_seconds']:12.1f}{1e3 * one['step_processor']:14.1f}"
            lines.append(f"{name:10}{one['images_per_second']:10.1f}{times}")
        lines.append(
            f"two: {found['speedup']:.2f} times one; exchange and waiting {100 * found['exchange_share']:.0f} % of the "
            f"time, {100 * found['exchange_share_of_processor']:.0f} % of the processor time"
        )
    if "model" in result:
        lines.append(f"a model, not measured: {result['model']['weights']:,} weights")
        lines.append(f"{'GPUs':>4}{'MB sent':>10}{'ms a step':>12}{'exchange':>10}{'speedup':>9}")
        for row in result["model"]["rows"]:
            sent, share = f"{row['sent_bytes'] / 1e6:10.1f}", f"{100 * row['exchange_share']:8.0f} %"
            lines.append(f"{row['gpus']:4}{sent}{1e3 * row['step_seconds']:12.2f}{share}{row['speedup']:9.1f}")
    if "input" in result:
        lines.append(f"{'pictures':>10}{'ms a batch':>12}{'processor ms':>14}{'ms a step':>12}{'processor ms':>14}")
        for row in result["input"]["rows"]:
            batch = f"{1e3 * row['batch_seconds']:12.2f}{1e3 * row['batch_processor']:14.2f}"
            step = f"{1e3 * row['step_seconds']:12.1f}{1e3 * row['step_processor']:14.1f}"
            lines.append(f"{row['pictures']:10,}{batch}{step}")
        lines.append(f"memory grown by {result['input']['memory_grown_mib']:.0f} MiB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
