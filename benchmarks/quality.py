"""The best faces for the time one has: `python -m benchmarks.quality --data FOLDER`, a race on the processor.

Each system trains on the same faces for the same minutes, in processes of their own, each on one core, two at a time
so that they share their conditions (the last of an odd number runs alone). Ours are recipes (`--ours quick
best=quick,loss=hinge`). The peers are TensorFlow's DCGAN tutorial scaled to 64 pixels; PyTorch's DCGAN faces tutorial,
in bfloat16 and channels last where that is fastest; and the script origin's networks at 32 pixels (recipe script_32, as
`train` makes it, averaged generator included), enlarged for scoring.

The minutes are training alone: the core's time from the end of a process's first step to the end of its last, alike for
all (see `benchmarks.quality_peers`). A run goes on from budget to budget, so the 30 minutes of a seed contain its 10,
but for recipes that depend on a planned length (growth, falling rates): those are trained anew for each. Nothing of the
parts kept apart enters training, so that what is trained once can be scored against either.

    python -m benchmarks.quality --data FOLDER --against tune    # while choosing settings
    python -m benchmarks.quality --data FOLDER --against score   # once, at the end

Stopped at any instant, the same command goes on; a minute of each running job at most is lost. `--folder` holds
`runs/`, `samples/` (uint8 pictures of the same latents, and a small JSON each), `features/`, and for each part scored
against `result.json`, `race.png` and `faces.png` (generated faces alone). A table goes to stderr, JSON to stdout.

The floor is what real faces get: as many of the training faces as there are samples, against the scored part. The
excess is a system's FID less that of the floor. FID falls with more pictures: compare within one table alone. Copied
are samples that are nearer to a training face than 95 % of the scored faces are: 0.05 by chance.

Little data: `--parts 100,7000,8000 --ours best plain=quick --peers` trains on the first 100 faces alone.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from benchmarks.quality_peers import STOPPED
from benchmarks.quality_scores import PARTS, draw_faces_of_all, draw_race, scored, table
from benchmarks.speed import NO_TORCH, ROOT, _has_torch
from gan_helpers.models.recipes import read_recipe
from gan_helpers.training.files import write_whole

PEERS = {
    "tf_tutorial": {"kind": "tf_tutorial", "batch_size": 256},
    "torch_tutorial": {"kind": "torch_tutorial", "batch_size": 128},
    "script_32": {"kind": "recipe", "recipe": "script_32", "image_size": 32},
}
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    "1",
)


def main():
    result = alone_in_folder(race, read_options())
    json.dump(result, sys.stdout, indent=1)


def alone_in_folder(work, options):
    """What `work(options)` gives, with `options.folder` locked; where it fails or is stopped, one line and the end."""
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(options.folder / ".lock", timeout=0):
            return work(options)
    except filelock.Timeout:
        name, folder = work.__name__, options.folder
        sys.exit(f"error: expected a {name} that nobody else runs in '{folder}'; received one that is running")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")


def read_options(words=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    add_shared(parser)

    def add(name, words, **more):
        parser.add_argument(name, help=words, **more)

    budgets = [(10.0, 3), (30.0, 3), (90.0, 1)]
    add("--against", "part to measure against; score is for the end (default: tune)", choices=PARTS, default="tune")
    add("--ours", "recipes, also NAME=RECIPE, as best=quick,loss=hinge (default: quick)", nargs="*", default=["quick"])
    peers = f"of {', '.join(PEERS)} (default: all)"
    add("--peers", peers, nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER")
    add("--budgets", "minutes and seeds (default: 10x3 30x3 90x1)", nargs="+", type=_budget, default=budgets)
    add("--only", "one of the two steps alone; score takes what there is", choices=("train", "score"))
    add("--folder", "(default: %(default)s)", type=Path, default=Path("runs/quality"))
    add("--torch-python", "interpreter that has torch (default: this one, if it has)")
    add("--samples", "pictures of each job (default: %(default)s)", type=int, default=5000)
    add("--peer-filters", "width of the tutorials' networks, for tests (default: theirs, 64)", type=int, default=64)
    add("--peer-batch", "batch of the tutorials, for tests (default: theirs)", type=int)
    options = parser.parse_args(words)
    check_shared(parser, options)
    given = [options.samples, options.peer_filters, *([] if options.peer_batch is None else [options.peer_batch])]
    if min(given) <= 0:
        parser.error(
            f"expected --samples, --peer-filters and --peer-batch above 0; received {min(given)}; leave it out"
        )
    try:
        options.systems, options.skipped = systems(options)
    except ValueError as error:
        parser.error(str(error))
    return options


def add_shared(parser):
    """Options that the search has too: the faces, their parts, and where and how processes run."""

    def add(name, words, **more):
        parser.add_argument(name, help=words, **more)

    add("--data", "folder of faces (default: $GAN_FACES_DIR)", default=os.environ.get("GAN_FACES_DIR"))
    add("--image-size", "side of the faces in pixels (default: 64)", type=int, choices=(32, 64, 128), default=64)
    crop = "l,t,r,b of each picture, or none (default: 9,25,79,95, of half-size CelebA)"
    add("--crop", crop, type=_crop, default=(9, 25, 79, 95))
    parts = "in the order of names, ends of the faces to train on, tune on, score on (default: 6000,7000,8000)"
    add("--parts", parts, type=_parts, default=(6000, 7000, 8000))
    network = "whose features are compared; small is for trials (default: inception)"
    add("--network", network, choices=("inception", "small"), default="inception")
    add("--cores", "core of each process at a time (default: the first two)", type=_numbers, default=usual_cores())
    add("--checkpoint-seconds", "what a kill may cost (default: 60)", type=float, default=60.0)


def check_shared(parser, options):
    if not options.data or not Path(options.data).is_dir():
        given = options.data or "none"
        parser.error(f"expected a folder of faces; received {given}; give --data, or set GAN_FACES_DIR")
    if options.checkpoint_seconds <= 0:
        parser.error(f"expected --checkpoint-seconds above 0; received {options.checkpoint_seconds}; try 60")
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(options.cores)
    if not set(options.cores) <= allowed:
        parser.error(f"expected --cores of {sorted(allowed)}; received {options.cores}; leave it out for the first two")


def usual_cores():
    """Two of this process's cores; where processes cannot be pinned, two places without a core."""
    return sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [None, None]


def systems(options):
    """`({name: what a job of it needs}, {name: why it is not here})`."""
    found, skipped, python = {}, {}, options.torch_python or sys.executable
    for text in options.ours:
        name, equals, recipe = text.partition("=")
        if not equals or "," in name:
            name = recipe = text
        if name in found or name in PEERS:
            raise ValueError(f"expected systems of different names; received {name!r} again; write NAME=RECIPE")
        read_recipe(recipe)
        found[name] = {"kind": "recipe", "recipe": recipe, "ours": True, "image_size": options.image_size}
    for name in options.peers:
        if name == "torch_tutorial" and not _has_torch(python):
            if options.torch_python:
                raise ValueError(f"expected an interpreter that has torch; received {python}; install torch there")
            skipped[name] = NO_TORCH
            continue
        found[name] = {"ours": False, "image_size": options.image_size, "python": python} | PEERS[name]
        if found[name]["kind"] != "recipe":
            found[name] |= {"base_filters": options.peer_filters}
            found[name]["batch_size"] = options.peer_batch or found[name]["batch_size"]
    return found, skipped


def race(options):
    """Trains what is not trained yet, then measures all: a `dict` for JSON."""
    prepared = prepare(options)
    jobs, failed = all_jobs(options, prepared), {}
    if options.only != "score":
        failed = run_jobs([job for job in jobs if not finished(job)], options.cores)
    if options.only == "train":
        return {"trained": sorted(job["label"] for job in jobs if finished(job)), "failed": failed}
    found = [job for job in jobs if finished(job)]
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items()) or "none was trained"
        raise ValueError(f"expected samples to score in '{options.folder}'; received none ({reasons}); train first")
    result = scored(options, found, prepared[options.image_size])
    result |= {"skipped": options.skipped, "failed": failed}
    folder = options.folder / options.against
    write_whole(folder / "result.json", json.dumps(result, indent=1).encode())
    draw_race(result, folder / "race.png")
    draw_faces_of_all(found, options.image_size, folder / "faces.png")
    print(table(result), file=sys.stderr)
    return result


def prepare(options):
    """`{image_size: PreparedImages}` of the whole folder, checked to hold every part."""
    from gan_helpers import prepare_images

    sizes = {one["image_size"] for one in options.systems.values()} | {options.image_size}
    prepared = {size: prepare_images(options.data, size, crop=options.crop) for size in sorted(sizes)}
    for one in prepared.values():
        if one.skipped:
            file, reason = one.skipped[0]
            raise ValueError(
                f"expected faces that can all be used, since parts go by their order; received {len(one.skipped)} that "
                f"cannot, such as {file}: {reason}; mend or remove them, or give another --crop"
            )
        if len(one.images) < options.parts[-1]:
            raise ValueError(
                f"expected at least {options.parts[-1]} faces; received {len(one.images)} in '{options.data}'; give "
                "another folder, or smaller --parts"
            )
    return prepared


# Jobs -------------------------------------------------------------------------------------------------------------


def all_jobs(options, prepared):
    """A job for each system, budget and seed, the shortest first, as plain data for its process."""
    from gan_helpers import sample_latents

    latents = options.folder / "latents.npy"
    write_whole(latents, lambda file: np.lib.format.write_array(file, sample_latents(options.samples, seed=0)))
    jobs = []
    for minutes, seeds in sorted(options.budgets):
        for seed in range(seeds):
            for name, system in options.systems.items():
                images = prepared[system["image_size"]]
                shared = {"data": str(options.data), "crop": options.crop, "part": [0, options.parts[0]]}
                shared |= {"images": str(images.folder / "images.npy"), "latents": str(latents.resolve())}
                shared |= {"fingerprint": images.fingerprint, "checkpoint_seconds": options.checkpoint_seconds}
                job = make_job(options.folder, name, system, minutes, seed)
                jobs.append(job | shared | {"count": options.samples})
    return jobs


def make_job(folder, name, system, minutes, seed, *, planned_minutes=None):
    """A job: its run goes on from budget to budget, unless its recipe depends on its length, which is not given."""
    word = re.sub(r"[^\w.-]+", "-", name)
    run, label = f"{word}-seed{seed}", f"{word}-{minutes:g}min-seed{seed}"
    falls = system["kind"] == "recipe" and read_recipe(system["recipe"]).planned(system["image_size"])
    if falls and planned_minutes is None:
        run = label
    paths = {"run": str((folder / "runs" / run).resolve())}
    paths["samples"] = str((folder / "samples" / f"{label}.npy").resolve())
    shared = {"name": name, "label": label, "minutes": minutes, "seed": seed}
    return system | paths | shared | {"planned_minutes": planned_minutes or minutes}


def finished(job):
    return Path(job["samples"]).with_suffix(".json").exists()


def run_jobs(jobs, cores):
    """Runs jobs, one on each core at a time, jobs of the same run one after the other: `{label: why it failed}`."""
    for job in jobs:
        begin(job)
    waiting, running, failed = list(jobs), {}, {}
    total = sum(60 * minutes for minutes in _longest(jobs).values())
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of training [{elapsed}<{remaining}{postfix}]"
    with tqdm(desc="race", total=total, initial=_used(jobs), bar_format=layout, dynamic_ncols=True) as bar:
        try:
            while waiting or running:
                for core in [core for core in range(len(cores)) if core not in running]:
                    busy = {job["run"] for job, _ in running.values()}
                    job = next((job for job in waiting if job["run"] not in busy), None)
                    if job is not None:
                        waiting.remove(job)
                        running[core] = job, start(job, cores[core])
                time.sleep(0.5)
                for core, (job, process) in list(running.items()):
                    if process.poll() is not None:
                        del running[core]
                        _note_end(job, process, waiting, failed)
                show(bar, min(total, _used(jobs)), ", ".join(job["label"] for job, _ in running.values()))
        finally:
            stop([process for _, process in running.values()])
    return failed


def begin(job):
    """Makes a job's folders, or checks that its run was begun with the same settings."""
    folder, names = Path(job["run"]), ("kind", "recipe", "image_size", "base_filters", "batch_size", "part", "crop")
    folder.mkdir(parents=True, exist_ok=True)
    Path(job["samples"]).parent.mkdir(parents=True, exist_ok=True)
    file, names = folder / "job.json", (*names, "fingerprint", "seed")
    made_of = json.loads(json.dumps({name: job[name] for name in names if name in job}))
    if not file.exists():
        write_whole(file, json.dumps(made_of, indent=1).encode())
    found = json.loads(file.read_text())
    differing = [name for name in names if found.get(name) != made_of.get(name)]
    if differing:
        listed = "; ".join(f"{name}: {found.get(name)} there, {made_of.get(name)} now" for name in differing)
        raise ValueError(
            f"expected the settings that '{folder}' was begun with; received others ({listed}); give the system "
            "another name (NAME=RECIPE), or another --folder"
        )


def start(job, core):
    """The process of a job on a core; all that it says goes to its run's `log.txt`."""
    command = [sys.executable, "-m", "benchmarks.quality_peers"]
    if job["kind"] == "torch_tutorial":
        command = [job["python"], str(ROOT / "benchmarks/torch_race.py")]
    environment = os.environ | ONE_THREAD | {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONUNBUFFERED": "1"}
    with open(Path(job["run"]) / "log.txt", "ab") as log:
        # A session of its own: Ctrl-C comes to this process alone, which then asks its jobs to stop.
        return subprocess.Popen(
            [*command, json.dumps(job | {"core": core})], cwd=ROOT, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip


def _note_end(job, process, waiting, failed):
    if process.returncode == 0 and finished(job):
        return
    if process.returncode == STOPPED:
        failed[job["label"]] = "it was asked to stop; the same command goes on"
    else:
        failed[job["label"]] = last_words(job)
    for later in [other for other in waiting if other["run"] == job["run"]]:
        waiting.remove(later)
        failed[later["label"]] = f"{job['label']} came before it"


def last_words(job):
    """The last line that a job's process left in its log."""
    lines = (Path(job["run"]) / "log.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("ValueError: ") if lines else "it ended and said nothing"


def show(bar, done, words):
    """Moves the bar: on a terminal at once, in a log file every ten seconds."""
    now, bar.n = time.monotonic(), done
    if sys.stderr.isatty() or now - getattr(bar, "shown_at", -10) >= 10:
        bar.shown_at = now
        bar.set_postfix_str(words, refresh=False)
        bar.refresh()


def stop(processes, patience=30):
    """Asks processes to stop, which saves what `train` has, and ends those that do not."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _longest(jobs):
    """`{run: minutes}` of each run's longest budget."""
    longest = {}
    for job in jobs:
        longest[job["run"]] = max(longest.get(job["run"], 0), job["minutes"])
    return longest


def _used(jobs):
    """Seconds of training that the runs of these jobs have used."""
    return sum(min(60 * minutes, _last_second(Path(run, "clock.csv"))) for run, minutes in _longest(jobs).items())


def _last_second(file):
    if not file.exists():
        return 0.0
    with open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - 100))
        rows = opened.read().decode().split("\n")
    return float(rows[-2].split(",")[1]) if len(rows) > 1 else 0.0


# Words of the command line ----------------------------------------------------------------------------------------


def _budget(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+)", text)
    if not found or float(found[1]) <= 0 or int(found[2]) < 1:
        raise argparse.ArgumentTypeError(f"expected minutes and seeds, such as 10x3; received {text!r}")
    return float(found[1]), int(found[2])


def _numbers(text):
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"expected whole numbers, such as 0,1; received {text!r}")
    return [int(word) for word in text.split(",")]


def _crop(text):
    if text == "none":
        return None
    crop = _numbers(text)
    if len(crop) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers l,t,r,b, or none; received {text!r}")
    return tuple(crop)


def _parts(text):
    parts = _numbers(text)
    if len(parts) != 3 or not 0 < parts[0] < parts[1] < parts[2]:
        raise argparse.ArgumentTypeError(f"expected three growing numbers, such as 6000,7000,8000; received {text!r}")
    return tuple(parts)


if __name__ == "__main__":
    main()
