"""What does each ingredient cost? `python -m benchmarks.ingredients`, on the processor.

The plain step (recipe `quick`) and the same with one ingredient more, in processes of their own that take turns
(A B C A B C) while the others wait. The ratio is that of the time of a step, a median over the rounds of what stands
beside the plain step of the same round; memory is the peak of the whole process, TensorFlow included.

A table goes to stderr, JSON to stdout.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time

from tqdm import tqdm

from benchmarks.speed import Worker, _call

PLAIN = "quick"
INGREDIENTS = {
    "alternating halves": "quick,simultaneous=false",
    "least squares": "quick,loss=least_squares",
    "hinge": "quick,loss=hinge",
    "relativistic": "quick,loss=relativistic",
    "label smoothing": "quick,label_smoothing=0.1",
    "R1": "quick,r1_weight=1",
    "R1 and R2": "quick,r1_weight=1,r2_weight=1",
    "R1, one step in 16": "quick,r1_weight=1,penalty_every=16",
    "Wasserstein, gradient penalty, no normalisation": (
        "quick,loss=wasserstein,gradient_penalty_weight=10,d_normalisation=none"),
    "spectral normalisation": "quick,d_normalisation=spectral",
    "no normalisation in the discriminator": "quick,d_normalisation=none",
    "augmentation": "quick,augmentation=colour+translation+cutout",
    "adaptive augmentation": "quick,augmentation=colour+translation+cutout,augmentation_target=0.6",
    "minibatch standard deviation": "quick,minibatch_std=true",
    "health signals": "quick",
    "resnet": "quick,architecture=resnet",
    "light": "quick,architecture=light",
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingredients", description=__doc__.split("\n")[0])
    parser.add_argument("--image-size", type=int, default=64, help="in pixels (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each step (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, about (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=INGREDIENTS, metavar="NAME", help="these ingredients only")
    options = parser.parse_args()
    result = measure(options, {name: INGREDIENTS[name] for name in options.only or INGREDIENTS})
    print(table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def measure(options, ingredients):
    """All figures, as a `dict` for JSON."""
    machine = _call({"system": "facts", "sizes": [], "base_filters": 1})["machine"]
    shared = {"system": "recipe", "image_size": options.image_size, "batch_size": options.batch_size}
    shared["precision"] = machine["precision"]
    settings = {"plain": shared | {"recipe": PLAIN}}
    for name, recipe in ingredients.items():
        settings[name] = shared | {"recipe": recipe, "signals": name == "health signals"}
    workers, seconds = {}, {name: [] for name in settings}
    total = len(settings) * (1 + options.rounds)
    with contextlib.ExitStack() as stack, tqdm(desc="ingredients", total=total, dynamic_ncols=True) as bar:
        for name, one in settings.items():
            bar.set_postfix_str(f"starting {name}")
            workers[name] = stack.enter_context(Worker(one))
            bar.update()
        steps = max(1, round(options.seconds / workers["plain"].run(1)))
        for _ in range(options.rounds):
            for name, worker in workers.items():
                bar.set_postfix_str(name)
                time.sleep(0.25)  # the last one's OpenMP threads spin for up to 0.2 s after their work
                seconds[name].append(worker.run(steps) / steps)
                bar.update()
    plain = workers["plain"].memory
    figures = {}
    for name, worker in workers.items():
        ratios = [mine / theirs for mine, theirs in zip(seconds[name], seconds["plain"], strict=True)]
        figures[name] = {
            "recipe": settings[name]["recipe"],
            "step_ms": round(1000 * statistics.median(seconds[name]), 2),
            "time_ratio": round(statistics.median(ratios), 3),
            "memory_mib": round(worker.memory),
            "memory_ratio": round(worker.memory / plain, 3),
        }
    return {"machine": machine, "image_size": options.image_size, "batch_size": options.batch_size, "steps": figures}


def table(result):
    """The result as text for a person."""
    machine, width = result["machine"], max(map(len, result["steps"]))
    lines = [
        f"{machine['cores']} processor cores, {machine['precision']}; {result['image_size']} pixels, "
        f"batch {result['batch_size']}",
        f"{'ingredient':{width}}  ms a step  of the plain   MiB  of the plain",
    ]
    for name, one in result["steps"].items():
        lines.append(
            f"{name:{width}}  {one['step_ms']:9.1f}  {one['time_ratio']:12.2f}  {one['memory_mib']:4}  "
            f"{one['memory_ratio']:12.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
