"""Better settings for the time one has: `python -m benchmarks.search --data FOLDER`, successive halving over recipes.

Each trial is a recipe with changes out of `SPACE`, trained by `train` as an ordinary run in a process of its own, two
at a time on a core each. At each rung (2, 5 and 10 minutes of training) its KID against the faces kept for tuning is
measured on its own core, the clock standing still; the best third goes on with its run to the next rung, the others
stop there (asynchronously: Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020). What the library
refuses, and what breaks in training, counts as pruned, with the reason kept. Optuna proposes the changes; it is no
dependency of the library: `pip install optuna`.

Stopped at any instant, the same command goes on: `--folder` holds `search.db`, and `runs/` as `benchmarks.quality` has
them. A table of the best goes to stderr, JSON of all trials to stdout. The faces for the end are never looked at.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.quality import (
    add_shared,
    alone_in_folder,
    begin,
    check_shared,
    finished,
    last_words,
    make_job,
    prepare,
    show,
    start,
    stop,
)
from benchmarks.quality_scores import kept_features
from gan_helpers.models.recipes import read_recipe

# Fields of `Recipe`: a list of choices (None: as the recipe has it), or a pair, between which the logarithm is uniform.
SPACE = {
    "architecture": ["dcgan", "light", "resnet"],
    "base_filters": [16, 24, 32, 48, 64],
    "batch_size": [16, 32, 64],
    "g_learning_rate": (1e-4, 2e-3),
    "d_learning_rate": (1e-4, 2e-3),
    "beta_1": [0.0, 0.5],
    "loss": ["non_saturating", "least_squares", "hinge", "relativistic"],
    "simultaneous": [True, False],
    "r1_weight": [0.0, 0.1, 1.0, 10.0],
    "penalty_every": [1, 4, 16],
    "augmentation": ["none", "translation", "colour+translation", "colour+translation+cutout"],
    "averaging_half_life": [2_000, 5_000, 10_000, 20_000],
    "final_learning_rate": [1.0, 0.1],
    "d_normalisation": [None, "batch", "spectral", "none"],
    "minibatch_std": [False, True],
}
NO_OPTUNA = "expected Optuna, which proposes the settings; received no module 'optuna'; pip install optuna"


def main():
    result = alone_in_folder(search, read_options())
    print(table(result), file=sys.stderr)
    json.dump(result, sys.stdout, indent=1)


def read_options(words=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.split("\n")[0])
    add_shared(parser)

    def add(name, words, **more):
        parser.add_argument(name, help=words, **more)

    add("--trials", "how many recipes in all (default: %(default)s)", type=int, default=40)
    add("--minutes", "rungs, in growing minutes (default: 2 5 10)", nargs="+", type=float, default=[2.0, 5.0, 10.0])
    add("--reduction", "of so many trials one goes on (default: %(default)s)", type=int, default=3)
    add("--recipe", "recipe to change (default: %(default)s)", default="quick")
    add("--fields", "fields to change (default: all)", nargs="+", choices=SPACE, default=list(SPACE), metavar="FIELD")
    add("--samples", "pictures that a KID is of (default: %(default)s)", type=int, default=2000)
    add("--seed", "of the proposals and the runs (default: %(default)s)", type=int, default=0)
    add("--folder", "(default: %(default)s)", type=Path, default=Path("runs/search"))
    options = parser.parse_args(words)
    check_shared(parser, options)
    if options.trials < 1 or options.samples < 4 or options.reduction < 2:
        parser.error("expected at least 1 trial, 4 samples and a reduction of 2; received less; leave them out")
    if options.minutes[0] <= 0 or sorted(set(options.minutes)) != options.minutes:
        parser.error(f"expected --minutes above 0 that grow, such as 2 5 10; received {options.minutes}")
    try:
        read_recipe(options.recipe)
    except ValueError as error:
        parser.error(str(error))
    options.systems = {}
    return options


def search(options):
    """Runs trials until there are as many as wanted: all of them, as a `dict` for JSON."""
    study = open_study(options)
    prepared = prepare(options)[options.image_size]
    shared = shared_by_jobs(options, prepared)
    running, best = {}, "none at the last rung yet"
    with tqdm(desc="trials", total=options.trials, initial=_done(study), dynamic_ncols=True) as bar:
        try:
            while _done(study) < options.trials:
                for core in [core for core in range(len(options.cores)) if core not in running]:
                    trial = _next(study, options, shared)
                    if trial is not None:
                        running[core] = trial, *_climb(trial, 0, options, shared, options.cores[core])
                time.sleep(0.5)
                for core, (trial, rung, process) in list(running.items()):
                    if process.poll() is not None:
                        del running[core]
                        goes_on = _judge(study, trial, rung, process, options, shared)
                        if goes_on:
                            running[core] = trial, *_climb(trial, rung + 1, options, shared, options.cores[core])
                with contextlib.suppress(ValueError):  # no trial is through yet
                    best = f"best KID {study.best_value:.5f}"
                show(bar, _done(study), best)
        finally:
            stop([process for *_, process in running.values()])
    conditions = {name: getattr(options, name) for name in ("recipe", "minutes", "samples", "network", "seed", "parts")}
    return {"conditions": conditions, "trials": [_as_data(trial, options) for trial in study.get_trials()]}


def open_study(options):
    """The study in `search.db`. Trials that a stop left under way are proposed again first, and their runs go on."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise ModuleNotFoundError(NO_OPTUNA, name="optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{options.folder.resolve() / 'search.db'}",
        study_name="recipes",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=options.reduction),
        load_if_exists=True,
    )
    asked = {"recipe": options.recipe, "minutes": options.minutes, "samples": options.samples}
    asked |= {"network": options.network, "seed": options.seed, "fields": options.fields}
    found = study.user_attrs.get("asked", asked)
    if found != asked:
        differing = "; ".join(f"{n}: {found[n]} there, {asked[n]} now" for n in asked if found[n] != asked[n])
        raise ValueError(
            f"expected the options that the search in '{options.folder}' was begun with; received others "
            f"({differing}); give the same ones, or another --folder"
        )
    if not study.get_trials():
        study.set_user_attr("asked", asked)
        study.enqueue_trial(_as_it_is(options))
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.enqueue_trial(trial.params)
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def shared_by_jobs(options, prepared):
    """What all jobs have in common. The real faces' features are computed here, once."""
    store = options.folder / "features"
    store.mkdir(exist_ok=True)
    real = kept_features(store, options.network, prepared.part(*options.parts[:2]).images)
    shared = {"data": str(options.data), "crop": options.crop, "part": [0, options.parts[0]]}
    shared |= {"fingerprint": prepared.fingerprint, "count": options.samples}
    shared |= {"checkpoint_seconds": options.checkpoint_seconds}
    return shared | {"judge": {"real": str(real.resolve()), "network": options.network}}


def _as_it_is(options):
    """The recipe without changes, as far as the space holds it: where the search begins."""
    recipe, found = dataclasses.asdict(read_recipe(options.recipe)), {}
    for field in options.fields:
        value = recipe[field]
        value = "+".join(value) or "none" if isinstance(value, tuple) else value
        choices = SPACE[field]
        inside = value in choices if isinstance(choices, list) else choices[0] <= value <= choices[1]
        found |= {field: value} if inside else {}
    return found


def _next(study, options, shared):
    """A new trial whose recipe can be trained, or `None`; one that cannot is told so, with the reason."""
    from optuna.trial import TrialState

    under_way = study.get_trials(states=[TrialState.RUNNING])
    if _done(study) + len(under_way) >= options.trials:
        return None
    trial = study.ask()
    text = recipe_of(trial, options)
    trial.set_user_attr("recipe", text)
    same = [other.number for other in study.get_trials() if other.number != trial.number
            and other.state != TrialState.FAIL and other.user_attrs.get("recipe") == text]  # fmt: skip
    reason = f"the same as trial {same[0]}" if same else refusal(text, options.image_size)
    if reason:
        trial.set_user_attr("reason", reason)
        study.tell(trial, state=TrialState.PRUNED)
        return None
    return trial


def recipe_of(trial, options):
    """The trial's recipe as text, of the changes that make a difference."""
    recipe, text = read_recipe(options.recipe), options.recipe
    values = {}
    for field in options.fields:
        choices = SPACE[field]
        if isinstance(choices, list):
            values[field] = trial.suggest_categorical(field, choices)
        else:
            values[field] = float(f"{trial.suggest_float(field, *choices, log=True):.2g}")
    if not values.get("r1_weight", recipe.r1_weight or recipe.r2_weight or recipe.gradient_penalty_weight):
        values.pop("penalty_every", None)
    for field, value in values.items():
        word = str(value).lower() if isinstance(value, bool) else str(value)
        changed = None if value is None else read_recipe(f"{options.recipe},{field}={word}")
        if changed not in (None, recipe):
            text += f",{field}={word}"
    return text


def refusal(text, image_size):
    """Why the library refuses a recipe, or `None`: its narrowest networks are built to see."""
    from gan_helpers.training.build import build_gan

    try:
        build_gan(dataclasses.replace(read_recipe(text), base_filters=1), image_size)
    except ValueError as error:
        return " ".join(str(error).split())


def _job(trial, rung, options, shared):
    text = trial.user_attrs["recipe"]
    system = {"kind": "recipe", "recipe": text, "image_size": options.image_size, "ours": True}
    name, minutes = hashlib.sha256(text.encode()).hexdigest()[:10], options.minutes[rung]
    planned = options.minutes[-1]
    return make_job(options.folder, name, system, minutes, options.seed, planned_minutes=planned) | shared


def _climb(trial, rung, options, shared, core):
    """`(rung, process)` of a trial that goes on to a rung."""
    job = _job(trial, rung, options, shared)
    begin(job)
    return rung, start(job, core)


def _judge(study, trial, rung, process, options, shared):
    """Notes what a rung gave, and tells whether the trial goes on."""
    from optuna.trial import TrialState

    job = _job(trial, rung, options, shared)
    if process.returncode or not finished(job):
        words = last_words(job)
        if not words.startswith("expected"):  # nothing that the recipe is to blame for
            raise ValueError(f"expected trial {trial.number} to run; received '{words}'; see {job['run']}/log.txt")
        trial.set_user_attr("reason", words)
        study.tell(trial, state=TrialState.PRUNED)
        return False
    kid = json.loads(Path(job["samples"]).with_suffix(".json").read_text())["kid"]
    trial.report(kid, options.reduction**rung)
    if rung == len(options.minutes) - 1:
        study.tell(trial, kid)
    elif trial.should_prune():
        trial.set_user_attr("reason", f"not among the best of {options.minutes[rung]:g} minutes")
        study.tell(trial, state=TrialState.PRUNED)
    else:
        return True
    return False


def _done(study):
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def _as_data(trial, options):
    rungs = {f"{options.minutes[rung]:g}": trial.intermediate_values[options.reduction**rung]
             for rung in range(len(trial.intermediate_values))}  # fmt: skip
    known = {name: trial.user_attrs.get(name) for name in ("recipe", "reason")}
    return {"number": trial.number, "state": trial.state.name.lower(), "kid": rungs} | known


def table(result, most=10):
    """The best trials as text for a person: those that came furthest first, then the least KID."""
    reached = [trial for trial in result["trials"] if trial["kid"] and trial["state"] != "fail"]
    reached.sort(key=lambda trial: (-len(trial["kid"]), list(trial["kid"].values())[-1]))
    rungs = [f"{minutes:g}" for minutes in result["conditions"]["minutes"]]
    lines = ["trial  " + "  ".join(f"KID {rung:>2} min" for rung in rungs) + "  recipe"]
    for trial in reached[:most]:
        values = [f"{trial['kid'][rung]:10.5f}" if rung in trial["kid"] else f"{'-':>10}" for rung in rungs]
        lines.append(f"{trial['number']:5}  {'  '.join(values)}  {trial['recipe']}")
    refused = [trial for trial in result["trials"] if trial["state"] == "pruned" and not trial["kid"]]
    lines += [f"refused: trial {trial['number']}: {trial['reason']}" for trial in refused[:most]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
