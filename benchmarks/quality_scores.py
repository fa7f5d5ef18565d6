"""What the race's samples are worth: `benchmarks.quality` scores them here, and draws its table and pictures."""

import contextlib
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from gan_helpers.training.files import write_whole

GOAL = {"kid_ratio": 0.5, "fid_ratio": 0.75}  # of the best peer's at the same budget, at most
DETECTED = 1000  # samples that the face detector looks at
PARTS = {"tune": 0, "score": 1}  # which of `--parts` begins it
COLUMNS = 12  # faces of a row of the sheet


def scored(options, jobs, prepared):
    """Every figure of the jobs' samples, against one of the parts kept apart."""
    from gan_helpers.metrics.evaluation import versions

    number = PARTS[options.against]
    parts = {"training": (0, options.parts[0]), "real": options.parts[number : number + 2]}
    if options.against == "score":
        warn_of_the_end(options.folder / "score" / "result.json")
    (options.folder / options.against).mkdir(parents=True, exist_ok=True)
    total = parts["training"][1] + parts["real"][1] - parts["real"][0] + options.samples * len(jobs)
    runs = []
    with tqdm(desc="features", total=total, unit=" pictures", dynamic_ncols=True) as bar:
        real, training = (prepared.part(*parts[name]).images for name in ("real", "training"))
        store = Store(options.folder / "features", options.network, real, training, bar.update)
        floor = store.floor(options.samples)
        for job in jobs:
            bar.set_postfix_str(job["label"])
            images = enlarged(np.load(job["samples"], mmap_mode="r"), options.image_size)
            run = {"system": job["name"]} | {name: job[name] for name in ("minutes", "seed", "ours")}
            run |= json.loads(Path(job["samples"]).with_suffix(".json").read_text())
            runs.append(run | store.scores(images))
    conditions = {name: getattr(options, name) for name in ("against", "samples", "image_size", "crop", "network")}
    conditions |= {**parts, "resize": "clean", "fingerprint": prepared.fingerprint, "cores": options.cores}
    conditions |= {"detected": DETECTED, "versions": versions(), "processor": processor()}
    return {"conditions": conditions, "floor": floor, "rows": summarised(runs, floor), "runs": runs, "goal": GOAL}


def processor():
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def warn_of_the_end(file):
    print("warning: these faces are for the end: score once, and choose settings with --against tune", file=sys.stderr)
    if file.exists():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        print(f"warning: they were scored against before, on {when}", file=sys.stderr)


class Store:
    """Features and figures of pictures, kept in a folder by the pictures' checksums.

    Args:
        folder: where they are kept; the features of 5,000 pictures take 41 MB.
        network: see `features`.
        real: uint8 pictures to compare with.
        training: uint8 pictures that were trained on.
        advance: function that is called with the number of pictures whose features are there.
    """

    def __init__(self, folder, network, real, training, advance=lambda count: None):
        from gan_helpers.metrics.distances import statistics

        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.network, self.advance = folder, network, advance
        self.names = f"{name_of(network, real)[:8]}-{name_of(network, training)[:8]}"
        self.share_of_real = share_with_a_face(real)
        self.real, self.training = self.features(real), self.features(training)
        self.of_real, self.of_training = statistics(self.real), statistics(self.training)

    def features(self, images):
        return np.load(kept_features(self.folder, self.network, images, self.advance), mmap_mode="r")

    def scores(self, images):
        """KID, FID, detector share and share of copies of one job's pictures."""
        from gan_helpers.metrics.distances import fid

        fake, file = self.features(images), self.folder / f"{name_of(self.network, images)}-{self.names}-scores.json"
        if not file.exists():
            found = self._distances(fake) | {"fid_to_training": fid(self.of_training, fake, groups=0).value}
            found |= {"face_share": share_with_a_face(images), "copied": share_copied(fake, self.training, self.real)}
            write_whole(file, json.dumps(found).encode())
        return json.loads(file.read_text())

    def floor(self, count):
        """What real faces get: as many training faces as there are samples (or all), against the scored part."""
        count = min(count, len(self.training))
        chosen = np.sort(np.random.default_rng(0).choice(len(self.training), count, replace=False))
        counts = {"training_faces": count, "scored_faces": len(self.real)}
        return self._distances(self.training[chosen]) | counts | {"face_share": self.share_of_real}

    def _distances(self, fake):
        from gan_helpers.metrics.distances import fid, kid

        measured = kid(self.real, fake)
        return {"kid": measured.value, "kid_spread": measured.spread, "fid": fid(self.of_real, fake, groups=0).value}


def kept_features(folder, network, images, advance=lambda count: None):
    """The file with pictures' features, made where there is none yet."""
    from gan_helpers.metrics.feature_vectors import features

    file = folder / f"{name_of(network, images)}.npy"
    if file.exists():
        advance(len(images))
    else:
        made = np.asarray(features(images, network, progress=advance))
        write_whole(file, lambda opened: np.lib.format.write_array(opened, made))
    return file


def name_of(network, images):
    """What pictures' features are called: the beginning of a checksum."""
    return hashlib.sha256(repr((network, images.shape)).encode() + images.tobytes()).hexdigest()[:24]


def share_with_a_face(images):
    """Of the first pictures; `None` without the detector, which is an extra."""
    from gan_helpers.metrics.detector import face_share

    with contextlib.suppress(ModuleNotFoundError):
        return face_share(images[:DETECTED]).value


def share_copied(fake, training, unseen):
    """See `memorisation`: 0.05 is expected of who does not copy; `None` where fewer than 20 faces are unseen."""
    from gan_helpers.metrics.neighbours import memorisation

    return memorisation(fake, training, unseen).copied.value if len(unseen) >= 20 else None


def enlarged(images, image_size):
    """Pictures of that side, by bicubic interpolation where they are smaller."""
    if images.shape[1] == image_size:
        return np.asarray(images)
    side = (image_size, image_size)
    return np.stack([np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC)) for image in images])


def summarised(runs, floor):
    """Rows of the table: means over the seeds of each system and budget, and how ours stand to the best peer.

    The best peer is looked for in each measure apart: the least KID, and the least FID, of all peers at that budget.
    """
    groups = {}
    for run in runs:
        groups.setdefault((run["minutes"], run["system"]), []).append(run)
    rows = [_row(*key, groups[key], floor) for key in sorted(groups)]
    for row in rows:
        row |= {"kid_ratio": None, "fid_ratio": None, "goal_met": None}
        peers = [other for other in rows if other["minutes"] == row["minutes"] and not other["ours"]]
        if row["ours"] and peers:
            for name in ("kid", "fid"):
                best = min(peer[name] for peer in peers)
                row[f"{name}_ratio"] = row[name] / best if best > 0 else None
            ratios = [row[name] is not None and row[name] <= most for name, most in GOAL.items()]
            row["goal_met"] = all(ratios)
    return rows


def _row(minutes, system, group, floor):
    def mean(name):
        values = [run[name] for run in group]
        return None if None in values else statistics.fmean(values)

    def spread(name):
        return statistics.stdev(run[name] for run in group) if len(group) > 1 else None

    names = ("kid", "fid", "fid_to_training", "face_share", "copied", "images_per_second", "steps")
    row = {"system": system, "minutes": minutes, "seeds": len(group), "ours": group[0]["ours"]}
    row |= {name: mean(name) for name in names} | {f"{name}_spread": spread(name) for name in ("kid", "fid")}
    return row | {"fid_excess": row["fid"] - floor["fid"]}


def table(result):
    """The result as text for a person."""
    conditions, floor = result["conditions"], result["floor"]
    width = max(len("system"), *(len(row["system"]) for row in result["rows"]))
    start, stop = conditions["real"]
    lines = [
        f"{conditions['samples']} samples of {conditions['image_size']} pixels against faces {start + 1} to {stop} "
        f"({conditions['against']}), features of {conditions['network']}, resize {conditions['resize']}",
        f"the floor, {floor['training_faces']} training faces against the same {floor['scored_faces']}: KID "
        f"{floor['kid']:.5f}, FID {floor['fid']:.2f}; faces found in {_or_dash(floor['face_share'], '.3f')} of these",
        f"{'system':{width}}  minutes  seeds  KID      ± seeds  FID     ± seeds  excess  to training  faces  copied  "
        "images/s  KID ratio  FID ratio  goal",
    ]
    for row in result["rows"]:
        goal = {None: "-", True: "met", False: "missed"}[row["goal_met"]]
        lines.append(
            f"{row['system']:{width}}  {row['minutes']:7g}  {row['seeds']:5}  {row['kid']:.5f}  "
            f"{_or_dash(row['kid_spread'], '.5f'):7}  {row['fid']:6.2f}  {_or_dash(row['fid_spread'], '.2f'):>7}  "
            f"{row['fid_excess']:6.2f}  {row['fid_to_training']:11.2f}  {_or_dash(row['face_share'], '.3f'):>5}  "
            f"{_or_dash(row['copied'], '.3f'):>6}  {row['images_per_second']:8.1f}  "
            f"{_or_dash(row['kid_ratio'], '.2f'):>9}  {_or_dash(row['fid_ratio'], '.2f'):>9}  {goal}"
        )
    lines.append(f"goal: at most {GOAL['kid_ratio']} of the best peer's KID and {GOAL['fid_ratio']} of its FID")
    for kind in ("skipped", "failed"):
        lines += [f"{kind}: {name}: {reason}" for name, reason in result.get(kind, {}).items()]
    return "\n".join(lines)


def _or_dash(value, form):
    return "-" if value is None else format(value, form)


# Pictures


def draw_race(result, file):
    """KID and FID against minutes: a line for each system, a point for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    names = list(dict.fromkeys(run["system"] for run in result["runs"]))
    for axes, measure in zip(figure.subplots(1, 2), ("kid", "fid"), strict=True):
        for number, name in enumerate(names):
            rows = [row for row in result["rows"] if row["system"] == name]
            runs = [run for run in result["runs"] if run["system"] == name]
            style = "-" if rows[0]["ours"] else "--"
            axes.plot([r["minutes"] for r in rows], [r[measure] for r in rows], style, color=f"C{number}", label=name)
            axes.plot([r["minutes"] for r in runs], [r[measure] for r in runs], ".", color=f"C{number}")
        axes.axhline(result["floor"][measure], color="grey", linewidth=0.8, label="real faces")
        axes.set(xlabel="minutes of training on one core", ylabel=measure.upper(), xscale="log", ylim=(0, None))
        minutes = sorted({row["minutes"] for row in result["rows"]})
        axes.set_xticks(minutes, [f"{m:g}" for m in minutes])
        axes.minorticks_off()
    axes.legend()
    write_whole(file, lambda opened: figure.savefig(opened, format="png", dpi=120))


def draw_faces_of_all(jobs, image_size, file):
    """A row of faces of the same latents for each system and budget, its first seed, all of the size that is scored."""
    from matplotlib.figure import Figure

    from gan_helpers import image_grid

    jobs = sorted((job for job in jobs if job["seed"] == 0), key=lambda job: (job["minutes"], job["name"]))
    figure = Figure(figsize=(COLUMNS + 1, max(1, len(jobs))), layout="constrained")
    for axes, job in zip(figure.subplots(max(1, len(jobs)), 1, squeeze=False)[:, 0], jobs, strict=False):
        images = enlarged(np.load(job["samples"], mmap_mode="r")[:COLUMNS], image_size)
        axes.imshow(image_grid(images, COLUMNS), interpolation="bicubic")
        axes.set_ylabel(f"{job['name']}\n{job['minutes']:g} min", rotation=0, ha="right", va="center", fontsize=8)
        axes.set(xticks=[], yticks=[], frame_on=False)
    write_whole(file, lambda opened: figure.savefig(opened, format="png", dpi=120))
