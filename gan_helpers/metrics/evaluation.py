"""All measures of one generator at once, with what makes them comparable."""

import importlib.metadata
import platform
from dataclasses import asdict, replace

import numpy as np

from gan_helpers.metrics.detector import face_share
from gan_helpers.metrics.distances import fid, fid_infinity, inception_score, kid
from gan_helpers.metrics.feature_vectors import as_features, conditions_of
from gan_helpers.metrics.neighbours import duplicates, memorisation, precision_recall

MEASURES = ("kid", "fid", "precision_recall", "duplicates", "memorisation", "face_share")
FURTHER = ("fid_infinity", "inception_score")
PACKAGES = ("gan_helpers", "keras", "tensorflow", "numpy", "pillow")


def evaluate(fake, real, *, training=None, measures=MEASURES, seed=0, progress=None, say=None, **options):
    """Measures fake pictures against real ones; each feature is computed once and serves all measures.

    With `training`, the pictures that the generator learnt from, three things more: FID and KID against them
    (`fid_to_training`, `kid_to_training`, the figures that most papers state), those of the same number of them
    against `real` (`fid_floor`, `kid_floor`: what a perfect generator would get), and memorisation.

    Args:
        fake: uint8 pictures `(count, height, width, 3)`.
        real: uint8 pictures that the generator was not trained on, likewise.
        training: uint8 pictures that it was trained on, or `None`.
        measures: names of `MEASURES` (default, all of them) and `FURTHER`.
        seed: seed of random subsets. Defaults to `0`.
        progress: function that is called with the number of pictures whose features are done.
        say: function that is given the name of each measure as it begins.
        **options: of `features`: `network`, `resize`, `layer`, `weights`, `batch_size`.

    Returns:
        `dict` that `json` can write: `measures` (a list of `name`, `value`, `spread`, `interval`, `conditions`),
        `not_measured` (name: reason), `versions`.

    Raises:
        ValueError: a measure that there is not, or what the measures refuse.

    Example:
        >>> result = evaluate(fake_faces, unseen_faces, measures=("kid",), network="small")
        >>> result["measures"][0]["name"]
        'kid'
    """
    unknown = [name for name in measures if name not in MEASURES + FURTHER]
    if unknown:
        raise ValueError(f"expected measures of {', '.join(MEASURES + FURTHER)}; received {unknown[0]!r}")
    say = say or (lambda name: None)
    seen = {"real": real, "fake": fake} | ({} if training is None else {"training": training})
    known = conditions_of([fake], options)
    if set(measures) - {"face_share", "inception_score"}:
        seen = {name: as_features(images, name, progress=progress, **options) for name, images in seen.items()}
    found, left_out = [], {}

    def add(measure, name=None):
        conditions = {key: value for key, value in measure.conditions.items() if key != "features"}
        own = known | conditions if "features" in measure.conditions else conditions
        found.append(replace(measure, name=name or measure.name, conditions=own))

    for name in measures:
        say(name)
        if name in ("kid", "fid"):
            _distances(name, seen, seed, add)
        elif name == "fid_infinity":
            add(fid_infinity(seen["real"], seen["fake"], seed=seed))
        elif name == "precision_recall":
            same = min(len(real), len(fake))
            result = precision_recall(seen["real"][:same], seen["fake"][:same])
            for one in (result.precision, result.recall, result.density, result.coverage):
                add(one)
        elif name == "duplicates":
            add(duplicates(seen["fake"], seen["real"], seed=seed))
        elif name == "memorisation":
            if training is None:
                left_out[name] = "needs the training pictures"
                continue
            for by, parts in (("features", seen), ("pixels", {"fake": fake, "training": training, "real": real})):
                result = memorisation(parts["fake"], parts["training"], parts["real"], by=by)
                for one in (result.copied, result.nearer):
                    add(one, one.name if by == "features" else f"{one.name}_in_pixels")
        else:
            try:
                made = face_share(fake) if name == "face_share" else inception_score(fake, seed=seed, **options)
            except (ModuleNotFoundError, ValueError) as error:
                left_out[name] = " ".join(str(error).split())
                continue
            found.append(made)
            if name == "face_share":
                found.append(replace(face_share(real), name="face_share_of_real"))
    return {"measures": [asdict(one) for one in found], "not_measured": left_out, "versions": versions()}


def quality_table(result):
    """What `evaluate` returned, as text for a person."""
    lines = [f"{'measure':20}  {'value':>9}  {'± error':>8}  95 % interval"]
    for one in result["measures"]:
        spread = "" if one["spread"] is None else f"{one['spread']:.2g}"
        interval = "" if one["interval"] is None else "{:.4g} to {:.4g}".format(*one["interval"])
        lines.append(f"{one['name']:20}  {one['value']:9.4g}  {spread:>8}  {interval}".rstrip())
    lines += [f"not measured: {name}: {reason}" for name, reason in result["not_measured"].items()]
    return "\n".join(lines)


def versions():
    """Versions of what a figure depends on, as plain data."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        for name in (package, f"{package}-cpu"):
            try:
                found[name] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _distances(name, seen, seed, add):
    def measured(real, fake):
        return kid(real, fake, seed=seed) if name == "kid" else fid(real, fake)

    add(measured(seen["real"], seen["fake"]))
    if "training" in seen:
        training = seen["training"]
        count = min(len(training), len(seen["fake"]))
        chosen = np.sort(np.random.default_rng(seed).choice(len(training), count, replace=False))
        add(measured(seen["real"], training[chosen]), f"{name}_floor")
        add(measured(training, seen["fake"]), f"{name}_to_training")
