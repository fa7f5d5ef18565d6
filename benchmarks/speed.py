"""How fast is a training step beside its peers? `python -m benchmarks.speed`, on the processor.

The same DCGAN, the same batch, in processes of their own that take turns (A B C A B C) while the others wait: this
library's steps, the fastest also with `--deterministic`; the step of TensorFlow's DCGAN tutorial, with TensorFlow's own
settings and with oneDNN switched on; and PyTorch's alternating step in several configurations. Matrix products take
turns too: they are the machine's peak.

A table goes to stderr, JSON to stdout. A figure is the median over the rounds, a ratio that of two such.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
PEAK_SIDE = 2048
NO_TORCH = "no torch in this interpreter: make a virtual environment with torch and give --torch-python ITS/bin/python"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=_sizes, default=(32, 64, 128), help="in pixels (default: 32,64,128)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each system (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn, about (default: %(default)s)")
    parser.add_argument("--base-filters", type=int, default=64, help="width of the networks (default: %(default)s)")
    parser.add_argument("--torch-python", help="interpreter that has torch (default: this one, if it has)")
    parser.add_argument("--every-precision", action="store_true", help="also what the processor is not made for: slow")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker)
    if min(options.rounds, options.seconds, options.base_filters) <= 0:
        parser.error("expected --rounds, --seconds and --base-filters above 0; received one that is not; leave it out")
    torch_python = options.torch_python or (sys.executable if importlib.util.find_spec("torch") else None)
    if torch_python and not _has_torch(torch_python):
        parser.error(f"expected an interpreter that has torch; received {torch_python}; install torch there")
    try:
        result = measure(options, torch_python)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    print(table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def measure(options, torch_python):
    """All figures, as a `dict` for JSON."""
    facts = _call({"system": "facts", "sizes": options.sizes, "base_filters": options.base_filters})
    machine = facts["machine"]
    made_for_16_bits = machine["precision"] == "mixed_bfloat16"
    systems, skipped = _systems(machine["cores"], made_for_16_bits, options.every_precision, torch_python)
    result = {"machine": machine, "skipped": skipped, "batch": {}, "systems": {}, "ratios": {}, "peak": {}}
    result |= {"peak_share": None, "memory": None, "base_filters": options.base_filters}
    for size in options.sizes:
        batch = 32 if size == 128 else 64
        shared = {"image_size": size, "batch_size": batch, "base_filters": options.base_filters}
        figures, peaks, failed = _one_size(systems, shared, torch_python, options)
        skipped |= failed
        result["batch"][str(size)], result["systems"][str(size)] = batch, figures
        result["ratios"][str(size)] = {
            "torch_best": _ratio(_fastest(figures, "ours"), _fastest(figures, "torch")),
            "tf_tutorial": _ratio(_fastest(figures, "ours"), figures.get("tf_tutorial")),
            "deterministic": _ratio(figures[f"ours_{machine['precision']}_simultaneous"], figures["deterministic"]),
        }
        shares = _shares(figures, peaks, facts["step_gflop"][str(size)])
        result["peak"][str(size)] = {"gflop_per_second": peaks, "step_gflop": facts["step_gflop"][str(size)]}
        result["peak"][str(size)]["shares"] = shares
        if size == 64:
            result["peak_share"] = max(shares.values())
            result["memory"] = _memory(figures)
    starts = [_start(options.base_filters, machine["precision"]) for _ in range(min(3, options.rounds))]
    return result | {"start_seconds": round(statistics.median(starts), 2)}


def _has_torch(python):
    command = [python, "-c", "import torch"]
    return shutil.which(python) and not subprocess.run(command, capture_output=True).returncode


def _systems(cores, made_for_16_bits, every_precision, torch_python):
    """`({name: settings}, {name: why it is not here})`."""
    bfloat16 = made_for_16_bits or every_precision
    precisions = ["float32", *["mixed_bfloat16"] * bfloat16, *["mixed_float16"] * every_precision]
    systems = {
        f"ours_{precision}_{'simultaneous' if simultaneous else 'alternating'}": {
            "system": "ours", "precision": precision, "simultaneous": simultaneous,
        }
        for precision in precisions for simultaneous in (True, False)
    }  # fmt: skip
    precision = precisions[1] if made_for_16_bits else "float32"
    systems["deterministic"] = {"system": "ours", "precision": precision, "simultaneous": True, "deterministic": True}
    systems["tf_tutorial"] = {"system": "tf_tutorial", "onednn": None}
    systems["tf_tutorial_onednn"] = {"system": "tf_tutorial", "onednn": "1"}
    for precision in precisions[:2]:
        systems[f"peak_{precision}"] = {"system": "peak", "precision": precision}
    if torch_python is None:
        return systems, {"torch": NO_TORCH}
    compiler, skipped = shutil.which("c++") or shutil.which("g++"), {}
    torch = {"system": "torch", "threads": cores, "channels_last": True, "compile": False, "dtype": "float32"}
    systems["torch_float32"] = torch | {"channels_last": False}
    systems["torch_float32_channels_last"] = torch
    systems["torch_float32_channels_last_compiled"] = torch | {"compile": True}
    systems["torch_bfloat16_channels_last"] = torch | {"dtype": "bfloat16"}
    systems["torch_bfloat16_channels_last_compiled"] = torch | {"dtype": "bfloat16", "compile": True}
    for name in list(systems):
        if "bfloat16" in name and not bfloat16:
            skipped[name] = "this processor emulates bfloat16, which is very slow; --every-precision measures it"
        elif systems[name].get("compile") and not compiler:
            skipped[name] = "torch.compile needs a C++ compiler; there is none"
    return {name: settings for name, settings in systems.items() if name not in skipped}, skipped


def _one_size(systems, shared, torch_python, options):
    """`({name: figures}, {precision: peak in GFLOP/s}, {name: why it failed})` of one size of image."""
    workers, rounds, turns, failed = {}, {name: [] for name in systems}, {}, {}
    label = f"{shared['image_size']} pixels"
    total = len(systems) * (1 + options.rounds)
    with contextlib.ExitStack() as stack, tqdm(desc=label, total=total, file=sys.stderr, dynamic_ncols=True) as bar:
        for name, settings in systems.items():
            bar.set_postfix_str(f"starting {name}")
            try:
                workers[name] = stack.enter_context(Worker(settings | shared, torch_python))
                turns[name] = max(1, round(options.seconds / workers[name].run(1)))
            except RuntimeError as error:
                if not name.startswith("torch"):
                    raise
                failed[name] = str(error)
                workers.pop(name, None)
                bar.update(options.rounds)
            bar.update()
        for _ in range(options.rounds):
            for name, worker in workers.items():
                bar.set_postfix_str(name)
                time.sleep(0.25)  # the last one's OpenMP threads spin for up to 0.2 s after their work
                rounds[name].append(turns[name] / worker.run(turns[name]))
                bar.update()
    figures = {
        name: _figures([shared["batch_size"] * rate for rate in rounds[name]]) | {"memory_mib": round(worker.memory)}
        for name, worker in workers.items()
        if not name.startswith("peak_")
    }
    gflop = 2 * PEAK_SIDE**3 / 1e9
    peaks = {name[5:]: round(gflop * statistics.median(rounds[name]), 1) for name in workers if name[:5] == "peak_"}
    return figures, peaks, failed


class Worker:
    """A process that builds one system, makes five steps, and then makes steps when told to."""

    def __init__(self, settings, torch_python=None):
        command = [sys.executable, "-m", "benchmarks.speed", "--worker"]
        if settings["system"] == "torch":
            command = [torch_python, str(ROOT / "benchmarks/torch_worker.py")]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}  # the processor is what is compared
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed at the process's end
        self.process = subprocess.Popen(
            [*command, json.dumps(settings)], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said,
        )  # fmt: skip
        self.name = settings["system"]

    def __enter__(self):
        try:
            self.memory = self._answer()["memory_mib"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.said.close()

    def run(self, steps):
        """Seconds that so many steps took."""
        with contextlib.suppress(BrokenPipeError):  # it died; `_answer` says of what
            self.process.stdin.write(json.dumps({"run": steps}) + "\n")
            self.process.stdin.flush()
        return self._answer()["seconds"]

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            last = (self.said.read().strip().splitlines() or ["nothing"])[-1]
            raise RuntimeError(f"expected an answer of a process ({self.name}); received its end; it said: {last}")
        return json.loads(line)


def _call(settings):
    """The one answer of a process that is asked once. This process loads no TensorFlow: what it starts would inherit
    its peak memory."""
    command = [sys.executable, "-m", "benchmarks.speed", "--worker", json.dumps(settings)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"expected an answer of a process ({settings['system']}); received its end; it said: {last}")
    return json.loads(done.stdout)


def _start(base_filters, precision):
    """Seconds from a command to the end of the first step, imports included, at 64 pixels."""
    settings = {"system": "start", "precision": precision, "simultaneous": True, "image_size": 64}
    began = time.perf_counter()
    _call(settings | {"batch_size": 64, "base_filters": base_filters})
    return time.perf_counter() - began


def work(settings):
    """What a worker's process does; TensorFlow is imported here only, after its environment was set."""
    if settings.get("onednn", "") is None:
        os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)  # TensorFlow's own default, not this library's
    elif "onednn" in settings:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = settings["onednn"]
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if settings["system"] == "facts":
        print(json.dumps(_facts(settings)), file=answers, flush=True)
        return
    makers = {
        "ours": our_step,
        "start": our_step,
        "recipe": recipe_step,
        "tf_tutorial": tutorial_step,
        "peak": matrix_product,
    }
    step = makers[settings["system"]](settings)
    for _ in range(1 if settings["system"] == "start" else 5):
        float(step())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"memory_mib": memory}), file=answers, flush=True)
    for line in sys.stdin if settings["system"] != "start" else ():
        began = time.perf_counter()
        for _ in range(json.loads(line)["run"]):
            result = step()
        float(result)
        print(json.dumps({"seconds": time.perf_counter() - began}), file=answers, flush=True)


def our_step(settings):
    """A function that makes one step of this library and returns a loss."""
    import keras
    import tensorflow as tf

    from gan_helpers import GAN
    from gan_helpers.training.fused import FusedAdam, for_training

    if settings.get("deterministic"):
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(0)  # without a seed it refuses to draw
    gan = GAN(*(for_training(network, settings["precision"]) for network in _networks(settings)))
    optimizers = [FusedAdam(2e-4, beta_1=0.5) for _ in range(2)]
    if settings["precision"] == "mixed_float16":
        optimizers = [keras.optimizers.LossScaleOptimizer(optimizer) for optimizer in optimizers]
    gan.compile(*optimizers, simultaneous=settings["simultaneous"])
    real_images, train = _real_images(settings), tf.function(gan.train_step)
    return lambda: train(real_images)["d_loss"]


def recipe_step(settings):
    """`our_step` for a recipe, as `train` builds it."""
    import tensorflow as tf

    from gan_helpers.models.recipes import read_recipe
    from gan_helpers.training.build import build_gan

    gan = build_gan(read_recipe(settings["recipe"]), settings["image_size"], precision=settings["precision"])
    if settings.get("signals"):
        gan.keep_signals()
    real_images, train = _real_images(settings), tf.function(gan.train_step)
    return lambda: train(real_images)["d_loss"]


def tutorial_step(settings):
    """The step of TensorFlow's tutorial "Deep Convolutional Generative Adversarial Network", in our own words."""
    import keras
    import tensorflow as tf

    generator, discriminator = _networks(settings)
    real_images = _real_images(settings)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    g_optimizer, d_optimizer = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)

    @tf.function
    def train(real_images):
        latents = tf.random.normal([settings["batch_size"], 100])
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake_images = generator(latents, training=True)
            real_logits = discriminator(real_images, training=True)
            fake_logits = discriminator(fake_images, training=True)
            g_loss = cross_entropy(tf.ones_like(fake_logits), fake_logits)
            d_loss = cross_entropy(tf.ones_like(real_logits), real_logits)
            d_loss += cross_entropy(tf.zeros_like(fake_logits), fake_logits)
        g_gradients = g_tape.gradient(g_loss, generator.trainable_variables)
        d_gradients = d_tape.gradient(d_loss, discriminator.trainable_variables)
        g_optimizer.apply_gradients(zip(g_gradients, generator.trainable_variables, strict=True))
        d_optimizer.apply_gradients(zip(d_gradients, discriminator.trainable_variables, strict=True))
        return d_loss

    return lambda: train(real_images)


def matrix_product(settings):
    """A function that multiplies two square matrices and returns one element: the machine's peak."""
    import tensorflow as tf

    dtype = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[settings["precision"]]
    matrices = [tf.cast(tf.random.normal((PEAK_SIDE, PEAK_SIDE)), dtype) for _ in range(2)]
    return lambda: tf.matmul(*matrices)[0, 0]


def step_flops(generator, discriminator, simultaneous):
    """Floating-point operations of one image's share of a step: a product and a sum for each weight's use.

    A layer costs the same three times: forward, its input's gradient, its weights' gradient. Left out are gradients
    that nobody asks for: of the latents, of the real images, of the fake ones in the discriminator's loss.
    """
    g, d = ([layer_flops(layer) for layer in network.layers] for network in (generator, discriminator))
    g_first, d_first = (next(flops for flops in layers if flops) for layers in (g, d))
    g, d = sum(g), sum(d)
    d_update = 2 * d + 2 * d + 2 * (d - d_first)  # real and fake: forward, weights' gradients, inputs' gradients
    g_update = (
        2 * d + g + (g - g_first)
    )  # forward and back through the discriminator; the generator's weights and inputs
    passes = 1 if simultaneous else 2  # of the generator
    return passes * g + d_update + g_update


def layer_flops(layer):
    """Floating-point operations of one image's forward pass through a Keras layer; 0 where there are no products."""
    kinds = {"Dense": None, "Conv2D": "output", "Conv2DTranspose": "input"}
    kind = type(layer).__name__
    if kind not in kinds:
        return 0
    flops = 2
    for side in layer.kernel.shape:
        flops *= side
    if kinds[kind]:  # a kernel is used once for each place of the smaller of its two sides
        _, height, width, _ = getattr(layer, kinds[kind]).shape
        flops *= height * width
    return flops


def _networks(settings):
    from gan_helpers import discriminator_model, generator_model

    shared = {"image_size": settings["image_size"], "base_filters": settings["base_filters"]}
    return generator_model(100, **shared), discriminator_model(**shared)


def _real_images(settings):
    import tensorflow as tf

    size = settings["image_size"]
    return tf.random.uniform((settings["batch_size"], size, size, 3), -1, 1)


def _facts(settings):
    import platform

    import keras
    import tensorflow as tf

    from gan_helpers.data.workers import usable_cores
    from gan_helpers.training.precision import hardware_precision

    precision, reason = hardware_precision()
    cores = usable_cores()
    versions = {"python": platform.python_version(), "keras": keras.__version__, "tensorflow": tf.__version__}
    gflop = {}
    for size in settings["sizes"]:
        networks = _networks({"image_size": size, "base_filters": settings["base_filters"]})
        gflop[size] = {
            "simultaneous": step_flops(*networks, simultaneous=True) / 1e9,
            "alternating": step_flops(*networks, simultaneous=False) / 1e9,
        }
    machine = {"cores": cores, "precision": precision, "precision_reason": reason, "versions": versions}
    return {"machine": machine, "step_gflop": gflop}


def _figures(speeds):
    speeds = [round(speed, 2) for speed in speeds]
    return {"images_per_second": round(statistics.median(speeds), 2), "rounds": speeds}


def _fastest(figures, family):
    found = [one for name, one in figures.items() if name.startswith(family)]
    return max(found, key=lambda one: one["images_per_second"], default=None)


def _ratio(ours, theirs):
    return round(ours["images_per_second"] / theirs["images_per_second"], 3) if theirs else None


def _shares(figures, peaks, gflop):
    """Of each of our systems: its arithmetic a second over the peak of its precision."""
    shares = {}
    for name, one in figures.items():
        if name.startswith("ours"):
            precision, kind = name.removeprefix("ours_").rsplit("_", 1)
            if precision in peaks:
                shares[name] = round(one["images_per_second"] * gflop[kind] / peaks[precision], 3)
    return shares


def _memory(figures):
    """Peak memory: of our fastest system, of the leanest of PyTorch's, and their ratio."""
    torch = [one["memory_mib"] for name, one in figures.items() if name.startswith("torch")]
    ours = _fastest(figures, "ours")["memory_mib"]
    least = min(torch, default=None)
    return {"ours_mib": ours, "torch_mib": least, "ratio": round(ours / least, 3) if least else None}


def table(result):
    """The result as text for a person."""
    machine = result["machine"]
    lines = [
        f"{machine['cores']} processor cores, {machine['precision_reason']}; {result['base_filters']} base filters"
    ]
    width = max(len(name) for figures in result["systems"].values() for name in figures)
    for size, figures in result["systems"].items():
        lines += ["", f"{f'{size} pixels, batch ' + str(result['batch'][size]):{width}}  images/s  MiB   of the peak"]
        for name, one in sorted(figures.items(), key=lambda item: -item[1]["images_per_second"]):
            share = result["peak"][size]["shares"].get(name)
            share = "" if share is None else f"{share:.2f}"
            lines.append(f"{name:{width}}  {one['images_per_second']:8.1f}  {one['memory_mib']:5}  {share}".rstrip())
        ratios = ", ".join(f"{ratio:.2f}x {name}" for name, ratio in result["ratios"][size].items() if ratio)
        lines.append(f"ours is {ratios}")
    lines += ["", *(f"left out: {name}: {reason}" for name, reason in result["skipped"].items())]
    if result["peak_share"] is not None:
        lines.append(f"of the machine's peak at 64 pixels: {result['peak_share']:.2f}")
    if result["memory"] and result["memory"]["ratio"]:
        lines.append(f"memory at 64 pixels, of the leanest of PyTorch's: {result['memory']['ratio']:.2f}")
    lines.append(f"start to first step: {result['start_seconds']:.1f} s")
    return "\n".join(lines)


def _sizes(text):
    sizes = [int(word) if word.isdigit() else word for word in text.split(",")]
    if not sizes or not set(sizes) <= {32, 64, 128}:
        raise argparse.ArgumentTypeError(f"expected sizes of 32, 64 and 128, such as 32,64; received {text!r}")
    return tuple(dict.fromkeys(sizes))


if __name__ == "__main__":
    main()
