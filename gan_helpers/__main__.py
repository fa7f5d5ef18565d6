"""The command line: `python -m gan_helpers COMMAND`."""

import argparse
import shlex
import sys
import warnings
from pathlib import Path

from gan_helpers import quiet_start
from gan_helpers.models.recipes import RECIPES


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: list of words. Defaults to those of the command line.

    Returns:
        The exit code: 0 done, 1 failed with one line on stderr, 2 wrong usage.
    """
    options = _parser().parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
    try:
        options.command(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on, or begins anew", file=sys.stderr)
        return 1
    except Exception as error:
        if options.debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ValueError | ImportError):
            print(f"error: {text}", file=sys.stderr)
        elif isinstance(error, OSError):
            print(f"error: {text}; check that the path can be written and that the disk has room", file=sys.stderr)
        else:
            print(f"error: {type(error).__name__}: {text}; --debug shows where", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m gan_helpers",
        description="Generate human faces with GANs.",
        epilog="The people in generated pictures do not exist.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show a traceback where something fails")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name, run, text):
        command = commands.add_parser(name, parents=[shared], help=text, description=text)
        command.set_defaults(command=run)
        return command

    prepare = add("prepare", _prepare, "Scan, decode, crop and cache a folder of pictures; list what was skipped.")
    train = add("train", _train, "Train on a folder of faces; called again with the same run, go on with it.")
    add("sources", _sources, "List the faces that --data fetches by name: who is in them, licence, size.")
    report = add("report", _report, "Look through a set of faces: sizes, colour, blur, duplicates, attributes.")
    for command in (prepare, train, report):
        _add_data_options(command)
    for command in (prepare, report):
        command.add_argument(
            "--image-size", type=int, default=64, help="side of the faces in pixels (default: %(default)s)"
        )
    report.add_argument(
        "--output", type=Path, default=Path("report"), metavar="DIR",
        help="folder for report.json and contact_sheet.png (default: %(default)s)",
    )  # fmt: skip
    report.add_argument("--overwrite", action="store_true", help="replace files of the same name")
    train.add_argument(
        "--image-size",
        type=int,
        default=64,
        choices=(32, 64, 128, 256),
        help="side of the faces in pixels (default: %(default)s)",
    )
    train.add_argument(
        "--slice", type=_slice, metavar="START:STOP", help="train on these faces only, in order of names; keep the rest"
    )
    train.add_argument(
        "--attributes", type=_names, metavar="A,B", default=(),
        help="make faces to order by these, such as Smiling,Eyeglasses,Male; of drawn faces eyeglasses,smile,hat,…",
    )  # fmt: skip
    train.add_argument(
        "--labels", metavar="FILE", type=Path,
        help="table of the attributes: CelebA's, or a CSV file with a column `file` and one for each attribute "
        "(default: labels.csv or CelebA's in or beside the folder of pictures)",
    )  # fmt: skip
    train.add_argument("--epochs", type=int, help="passes over the data at which to end (default: 30)")
    train.add_argument("--minutes", type=float, help="stop after so many minutes of training")
    train.add_argument("--output", metavar="RUN", type=Path, help="folder of the run (default: runs/ and a name)")
    train.add_argument(
        "--recipe",
        default="best",
        metavar="NAME[,FIELD=VALUE…]",
        help=f"named settings: {', '.join(RECIPES)}; fields of it may be changed, as in "
        "quick,loss=hinge,d_normalisation=spectral (default: %(default)s)",
    )
    train.add_argument("--base-filters", type=int, help="width of both networks (default: the recipe's)")
    train.add_argument("--batch-size", type=int, help="images in a step (default: the recipe's)")
    train.add_argument("--seed", type=int, default=0, help="seed of weights, latents and order (default: %(default)s)")
    train.add_argument(
        "--sample-path", metavar="PATH", help="where sample grids go, e.g. 'images/epoch_{epoch}.png' or "
        "'generate_face/epochs{epoch}batch_{batch}.jpg' (default: the run's samples/)",
    )  # fmt: skip
    train.add_argument("--sample-every", type=int, default=1, help="epochs between sample grids (default: %(default)s)")
    train.add_argument(
        "--checkpoint-seconds", type=float, default=120, help="seconds between checkpoints (default: %(default)s)"
    )
    train.add_argument("--keep", type=int, default=2, help="newest checkpoints to keep (default: %(default)s)")
    train.add_argument(
        "--simultaneous", action=argparse.BooleanOptionalAction,
        help="update both networks from one generator pass, which is faster (default: the recipe's)",
    )  # fmt: skip
    train.add_argument(
        "--precision", default="auto", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        help="arithmetic; auto takes what the hardware is made for, and a run keeps its own (default: %(default)s)",
    )  # fmt: skip
    train.add_argument(
        "--steps-per-execution", type=int, metavar="N",
        help="steps between two looks at clock, signals and losses (default: 1, on a GPU 10)",
    )  # fmt: skip
    train.add_argument(
        "--deterministic", action="store_true",
        help="the same bits each time, and after a stop those of a run never stopped",
    )  # fmt: skip
    train.add_argument(
        "--distribute", choices=("mirrored", "multiworker"),
        help="train on all GPUs of this machine together, or on several machines: the same command on each, with "
        "TF_CONFIG saying which is which and --output on a disk that they share (default: one device)",
    )  # fmt: skip
    train.add_argument(
        "--synchronised", action="store_true",
        help="with --distribute, normalise batches over all devices together (default: each device's images by itself)",
    )  # fmt: skip
    train.add_argument(
        "--health", action=argparse.BooleanOptionalAction, default=True,
        help="watch over the training and name what goes wrong (default: on)",
    )  # fmt: skip
    train.add_argument("--tensorboard", action="store_true", help="also write curves and samples for TensorBoard")
    train.add_argument(
        "--working-copy", metavar="DIR", type=Path,
        help="local folder to train in where RUN is on a slow or distant disk; copied to RUN every five minutes",
    )  # fmt: skip
    generate = add("generate", _generate, "Make faces with a trained generator.")
    generate.add_argument("--model", required=True, type=Path, help="a run's folder, or a .keras file")
    generate.add_argument("--count", type=int, default=64, help="how many faces (default: %(default)s)")
    generate.add_argument("--seed", type=int, default=0, help="seed of the latents (default: %(default)s)")
    generate.add_argument(
        "--output", type=Path, default=Path("faces.png"),
        help="FILE.png (one grid), FILE.npy (one uint8 array), or a folder (a file each) (default: %(default)s)",
    )  # fmt: skip
    generate.add_argument(
        "--set", metavar="NAME=VALUE,…", dest="wishes",
        help="what the faces are to have, such as Smiling=1,Eyeglasses=0, of a generator that was trained with "
        "--attributes; the rest comes as in its data (default: all of it)",
    )  # fmt: skip
    generate.add_argument("--overwrite", action="store_true", help="replace files of the same name")
    evaluate = add("evaluate", _evaluate, "Measure generated faces against real ones: KID, FID, precision, recall, …")
    made = evaluate.add_mutually_exclusive_group(required=True)
    made.add_argument("--model", type=Path, help="a run's folder, or a .keras file")
    made.add_argument("--samples", metavar="DIR", help="measure the pictures of a folder instead of a model's")
    evaluate.add_argument("--data", required=True, help="real faces that it was not trained on, as for train")
    evaluate.add_argument("--slice", type=_slice, metavar="START:STOP", help="only these of them, in order of names")
    evaluate.add_argument("--training-data", help="folder of the faces that it was trained on, for memorisation")
    evaluate.add_argument("--training-slice", type=_slice, metavar="START:STOP", help="only these of them")
    _add_crop_options(evaluate)
    evaluate.add_argument(
        "--image-size", type=int, default=64, help="side of the faces, with --samples (default: %(default)s)"
    )
    evaluate.add_argument("--count", type=int, default=5000, help="faces to generate (default: %(default)s)")
    evaluate.add_argument("--seed", type=int, default=0, help="seed of the latents (default: %(default)s)")
    evaluate.add_argument(
        "--raw", action="store_true", help="the generator that played, instead of its average (with --model RUN)"
    )
    evaluate.add_argument(
        "--measures", metavar="A,B", type=lambda text: tuple(text.split(",")),
        help="kid, fid, precision_recall, duplicates, memorisation, face_share; fid_infinity and inception_score only "
        "when asked for (default: all of the first six)",
    )  # fmt: skip
    evaluate.add_argument(
        "--features", default="inception", choices=("inception", "small"),
        help="network that sees the faces; small needs no download and compares with nothing published "
        "(default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--resize", default="clean", choices=("clean", "tf1", "torch"),
        help="how faces become 299 pixels: as clean-fid, as the original, or as pytorch-fid (default: %(default)s)",
    )  # fmt: skip
    evaluate.add_argument("--weights", metavar="FILE", help="Inception's weights (default: fetched once and kept)")
    compare = add("compare", _compare, "Put runs side by side: faces, settings, figures and curves.")
    compare.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run")
    compare.add_argument(
        "--output", type=Path, default=Path("compare.html"),
        help="FILE.html (a page that needs nothing else) or FILE.png (default: %(default)s)",
    )  # fmt: skip
    compare.add_argument("--count", type=int, default=32, help="faces of each run (default: %(default)s)")
    compare.add_argument("--seed", type=int, default=0, help="seed of their latents (default: %(default)s)")
    compare.add_argument("--overwrite", action="store_true", help="replace a file of that name")
    bench = add("bench", _bench, "Measure the speed of training on this machine, and say what to set.")
    bench.add_argument(
        "--image-size", type=int, default=64, choices=(32, 64, 128, 256),
        help="side of the faces in pixels (default: %(default)s)",
    )  # fmt: skip
    bench.add_argument("--base-filters", type=int, default=32, help="width of both networks (default: %(default)s)")
    bench.add_argument("--batch-size", type=int, default=32, help="images in a step (default: %(default)s)")
    bench.add_argument("--seconds", type=float, default=3.0, help="of each turn, about (default: %(default)s)")
    bench.add_argument("--everything", action="store_true", help="also precisions that the hardware is not made for")
    return parser


def _add_data_options(command):
    command.add_argument(
        "--data", default="drawn", metavar="NAME|DIR|FILE",
        help="drawn, congress, lfw or celeba, a dataset of Hugging Face as hf:OWNER/NAME, or a folder or a zip or tar "
        "archive of pictures; the command `sources` says who is in which, its licence and size (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--count", type=int, default=8000, help="how many faces to draw, with --data drawn (default: %(default)s)"
    )
    _add_crop_options(command)


def _add_crop_options(command):
    command.add_argument(
        "--crop", type=_box, metavar="L,T,R,B|faces",
        help="box to cut, in pixels; or faces: each face in ordinary photographs is found, turned upright and aligned "
        "(pip install 'gan_helpers[detector]') (default: the source's box, or the centre)",
    )  # fmt: skip
    command.add_argument("--cache", type=Path, help="folder of prepared pictures (default: ~/.cache/gan_helpers)")
    command.add_argument(
        "--agree",
        action="store_true",
        help="you accept the licence of the data where that is asked for (celeba, some of hf:)",
    )


def _box(text):
    if text == "faces":
        return text
    try:
        left, top, right, bottom = (int(edge) for edge in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected left,top,right,bottom, such as 9,25,79,95; received {text!r}; or faces, to have them found"
        ) from None
    return left, top, right, bottom


def _names(text):
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _slice(text):
    try:
        start, stop = (int(end) if end else None for end in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected START:STOP, such as 7000:8000; received {text!r}") from None
    return start, stop


def _sources(options):
    from gan_helpers.data.sources import describe_sources

    print(describe_sources())


def _prepare(options):
    from gan_helpers.data.images import prepare_images

    prepared = prepare_images(options.data, options.image_size, count=options.count, **_preparing(options))
    _report_skipped(prepared.skipped)
    print(f"{len(prepared.images)} faces of {options.image_size} pixels in {prepared.folder}")


def _report(options):
    from gan_helpers.data.report import data_report
    from gan_helpers.training.files import write_whole

    files = [options.output / name for name in ("report.json", "contact_sheet.png")]
    _refuse_existing(files, options)
    report = data_report(options.data, options.image_size, count=options.count, **_preparing(options))
    print(report.table)
    options.output.mkdir(parents=True, exist_ok=True)
    write_whole(files[0], report.as_json.encode())
    write_whole(files[1], lambda file: report.figure().savefig(file, format="png", dpi="figure"))
    print(f"in {options.output}: {' and '.join(file.name for file in files)}")


def _train(options):
    distribute = options.distribute
    if distribute == "multiworker":  # before the data, which may take one worker longer than another
        from gan_helpers.training.meeting import Meeting

        distribute = Meeting()
    # The data first: what is wrong with a folder is said at once, before TensorFlow takes its seconds to load.
    whole = _faces(options.data, None, options.image_size, options, options.count)
    prepared, unseen = whole, None
    if options.slice:
        prepared = whole.part(*options.slice)
        start, stop, _ = slice(*options.slice).indices(len(whole.images))
        kept_back = max(whole.images[:start], whole.images[stop:], key=len)
        unseen = kept_back if len(kept_back) >= 16 else None
    with quiet_start():
        from gan_helpers.training.train import train

    changed = {name: getattr(options, name) for name in ("base_filters", "batch_size", "simultaneous")}
    changed = {name: value for name, value in changed.items() if value is not None}
    recipe = ",".join([options.recipe, *(f"{name}={value}" for name, value in changed.items())])
    trained = train(
        prepared,
        options.output,
        epochs=options.epochs,
        minutes=options.minutes,
        recipe=recipe,
        seed=options.seed,
        precision=options.precision,
        steps_per_execution=options.steps_per_execution,
        deterministic=options.deterministic,
        distribute=distribute,
        synchronised=options.synchronised,
        keep=options.keep,
        working_copy=options.working_copy,
        tensorboard=options.tensorboard,
        health=options.health,
        unseen=unseen,
        attributes=options.attributes,
        labels=options.labels,
        sample_path=options.sample_path,
        sample_every=options.sample_every,
        checkpoint_seconds=options.checkpoint_seconds,
        report=_say,
    )
    run = trained.folder
    if options.distribute == "multiworker" and distribute.index:
        print(f"worker {distribute.index} is done at step {trained.gan.step}; worker 0 wrote {run}")
        return
    again = "python -m gan_helpers " + " ".join(shlex.quote(word) for word in options.words)
    if trained.interrupted:
        print(f"stopped at step {trained.gan.step}, saved in {run}\nto go on: {again}")
        return
    print(f"faces:     {trained.faces} (the first 64 of seed {options.seed})")
    print(f"samples:   {trained.samples}")
    print(f"generator: {run / 'generator.keras'} (loads with keras.models.load_model)")
    order = f" --set {options.attributes[0]}=1" if options.attributes else ""
    more = f"--model {shlex.quote(str(run))} --count 100{order} --output more.png"
    print(f"more faces: python -m gan_helpers generate {more}")
    if options.data == "drawn":
        print("your own:   python -m gan_helpers train --data FOLDER_OF_PHOTOGRAPHS")
    print(f"train on:   the same command{' with more --epochs' if options.epochs else ''} goes on with this run")


def _generate(options):
    import numpy as np
    from PIL import Image

    with quiet_start():
        from gan_helpers.data.label_tables import read_wishes, write_labels
        from gan_helpers.training.files import write_whole
        from gan_helpers.training.runs import load_generator
        from gan_helpers.visualization.plots import attributes_for, generate_images, image_grid

    if options.count < 1:
        raise ValueError(f"expected --count of at least 1; received {options.count}")
    output, suffix = options.output, options.output.suffix.lower()
    if suffix not in ("", ".png", ".npy"):
        raise ValueError(f"expected --output FILE.png, FILE.npy or a folder; received '{output}'")
    wishes = read_wishes(options.wishes) if options.wishes else None
    generator = load_generator(options.model)
    rows = attributes_for(generator, options.count, wishes, seed=options.seed)
    digits = max(5, len(str(options.count - 1)))
    files = [output] if suffix else [output / f"{n:0{digits}d}.png" for n in range(options.count)]
    table = output.with_suffix(".labels.csv") if suffix else output / "labels.csv"
    _refuse_existing(files if rows is None else [*files, table], options)
    images = generate_images(generator, options.count, seed=options.seed, attributes=rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npy":
        write_whole(output, lambda file: np.save(file, images))
    elif suffix == ".png":
        write_whole(output, lambda file: Image.fromarray(image_grid(images)).save(file, "PNG"))
    else:
        output.mkdir(exist_ok=True)
        for file, image in zip(files, images, strict=True):
            Image.fromarray(image).save(file)
    if rows is not None:
        names = range(options.count) if suffix else [file.name for file in files]
        write_whole(table, lambda file: write_labels(file, names, generator.labels, rows))
    print(f"{options.count} faces in {output}" + ("" if rows is None else f", their attributes in {table}"))


def _bench(options):
    import json

    with quiet_start():
        from gan_helpers.training.bench import bench, table

    result = bench(
        options.image_size,
        options.base_filters,
        options.batch_size,
        seconds=options.seconds,
        everything=options.everything,
    )
    print(json.dumps(result, indent=1))
    _say(table(result))


def _evaluate(options):
    import json

    from tqdm import tqdm

    with quiet_start():
        from gan_helpers.metrics.evaluation import MEASURES, evaluate, quality_table
        from gan_helpers.training.files import write_whole
        from gan_helpers.training.runs import load_generator, newest_step
        from gan_helpers.visualization.plots import generate_images

    if options.count < 2:
        raise ValueError(f"expected --count of at least 2; received {options.count}")
    about = {"seed": options.seed, "weights": "raw" if options.raw else "averaged"}
    if options.model:
        generator = load_generator(options.model, averaged=not options.raw)
        size = generator.output_shape[1]
        about |= {"model": options.model.name, "step": newest_step(options.model), "image_size": size}
    else:
        size = options.image_size
        samples = _faces(options.samples, None, size, options)
    real = _faces(options.data, options.slice, size, options)
    training = options.training_data and _faces(options.training_data, options.training_slice, size, options)
    if options.model:
        _say(f"generating {options.count} faces")
        fake = generate_images(generator, options.count, seed=options.seed)
    else:
        fake, about = samples.images, {"samples": samples.source, "image_size": size}
    sets = {"real": real} | ({"training": training} if training else {})
    total = len(fake) + sum(len(one.images) for one in sets.values())
    with tqdm(desc="features", total=total, unit="faces", file=sys.stderr, dynamic_ncols=True) as bar:
        result = evaluate(
            fake,
            real.images,
            training=training.images if training else None,
            measures=options.measures or MEASURES,
            seed=options.seed,
            progress=bar.update,
            say=bar.set_postfix_str,
            network=options.features,
            resize=options.resize,
            weights=options.weights,
        )
    data = {
        name: {"source": one.source, "count": len(one.images), "crop": one.crop, "fingerprint": one.fingerprint}
        for name, one in sets.items()
    }
    result = about | {"count": len(fake), "data": data} | result
    text = json.dumps(result, indent=1)
    if options.model and options.model.is_dir() and not options.raw:  # beside the run, where `compare` looks for it
        write_whole(options.model / "quality.json", text.encode())
    print(text)
    _say(quality_table(result))


def _compare(options):
    with quiet_start():
        from gan_helpers.visualization.compare import compare_runs

    output = compare_runs(
        options.runs, options.output, count=options.count, seed=options.seed, overwrite=options.overwrite
    )
    print(f"{len(options.runs)} runs side by side in {output}")


def _preparing(options):
    """What `_add_crop_options` asked for, as arguments of `prepare_images`."""
    return {"crop": options.crop, "cache": options.cache, "agree": options.agree}


def _faces(data, chosen, image_size, options, count=8000):
    """Prepared pictures, or a part of them; what had to be skipped is said."""
    from gan_helpers.data.images import prepare_images

    prepared = prepare_images(data, image_size, count=count, **_preparing(options))
    _report_skipped(prepared.skipped, _say)
    return prepared.part(*chosen) if chosen else prepared


def _refuse_existing(files, options):
    existing = [file for file in files if file.exists()]
    if existing and not options.overwrite:
        raise ValueError(
            f"expected new files; received '{existing[0]}', which exists; choose another --output, or add --overwrite"
        )


def _report_skipped(skipped, say=print):
    if skipped:
        width = max(len(file) for file, _ in skipped)
        say(f"{'skipped file':{width}}  reason")
        for file, reason in skipped:
            say(f"{file:{width}}  {reason}")


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
