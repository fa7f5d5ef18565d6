"""The command line: `python -m gan_helpers COMMAND`."""

import argparse
import shlex
import sys
from pathlib import Path


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: list of words. Defaults to those of the command line.

    Returns:
        The exit code: 0 done, 1 failed with one line on stderr, 2 wrong usage.
    """
    options = _parser().parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    try:
        options.command(options)
    except KeyboardInterrupt:
        print("stopped before there was anything to keep", file=sys.stderr)
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
    for command in (prepare, train):
        _add_data_options(command)
    prepare.add_argument(
        "--image-size", type=int, default=64, help="side of the faces in pixels (default: %(default)s)"
    )
    train.add_argument(
        "--image-size",
        type=int,
        default=64,
        choices=(32, 64, 128),
        help="side of the faces in pixels (default: %(default)s)",
    )
    train.add_argument("--epochs", type=int, help="passes over the data at which to end (default: 30)")
    train.add_argument("--minutes", type=float, help="stop after so many minutes of training")
    train.add_argument("--output", metavar="RUN", type=Path, help="folder of the run (default: runs/ and a name)")
    train.add_argument(
        "--recipe", default="quick", help="named settings: quick, dcgan_2015, script_32 (default: %(default)s)"
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
    generate = add("generate", _generate, "Make faces with a trained generator.")
    generate.add_argument("--model", required=True, type=Path, help="a run's folder, or a .keras file")
    generate.add_argument("--count", type=int, default=64, help="how many faces (default: %(default)s)")
    generate.add_argument("--seed", type=int, default=0, help="seed of the latents (default: %(default)s)")
    generate.add_argument(
        "--output", type=Path, default=Path("faces.png"),
        help="FILE.png (one grid), FILE.npy (one uint8 array), or a folder (a file each) (default: %(default)s)",
    )  # fmt: skip
    generate.add_argument("--overwrite", action="store_true", help="replace files of the same name")
    return parser


def _add_data_options(command):
    command.add_argument(
        "--data", default="drawn", help="folder of pictures, or 'drawn' for drawn faces (default: %(default)s)"
    )
    command.add_argument("--crop", type=_box, metavar="L,T,R,B", help="box to cut, in pixels (default: centre)")
    command.add_argument(
        "--count", type=int, default=8000, help="how many faces to draw, with --data drawn (default: %(default)s)"
    )
    command.add_argument("--cache", type=Path, help="folder of prepared pictures (default: ~/.cache/gan_helpers)")


def _box(text):
    try:
        left, top, right, bottom = (int(edge) for edge in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected left,top,right,bottom, such as 9,25,79,95; received {text!r}"
        ) from None
    return left, top, right, bottom


def _prepare(options):
    from gan_helpers.data.images import prepare_images

    prepared = prepare_images(
        options.data, options.image_size, crop=options.crop, count=options.count, cache=options.cache
    )
    _report_skipped(prepared.skipped)
    print(f"{len(prepared.images)} faces of {options.image_size} pixels in {prepared.folder}")


def _train(options):
    from dataclasses import replace

    from gan_helpers.data.images import prepare_images
    from gan_helpers.models.recipes import RECIPES

    # The data first: what is wrong with a folder is said at once, before TensorFlow takes its seconds to load.
    prepared = prepare_images(
        options.data, options.image_size, crop=options.crop, count=options.count, cache=options.cache
    )
    _report_skipped(prepared.skipped, _say)
    from gan_helpers.training.train import train

    changed = {"base_filters": options.base_filters, "batch_size": options.batch_size}
    changed = {name: value for name, value in changed.items() if value is not None}
    recipe = options.recipe
    if changed and recipe in RECIPES:
        recipe = replace(RECIPES[recipe], **changed)
    trained = train(
        prepared,
        options.output,
        epochs=options.epochs,
        minutes=options.minutes,
        recipe=recipe,
        seed=options.seed,
        sample_path=options.sample_path,
        sample_every=options.sample_every,
        checkpoint_seconds=options.checkpoint_seconds,
        report=_say,
    )
    run = trained.run.folder
    again = "python -m gan_helpers " + " ".join(shlex.quote(word) for word in options.words)
    if trained.interrupted:
        print(f"stopped at step {trained.gan.step}, saved in {run}\nto go on: {again}")
        return
    print(f"faces:     {trained.faces} (the first 64 of seed {options.seed})")
    print(f"samples:   {trained.samples}")
    print(f"generator: {trained.run.generator_file} (loads with keras.models.load_model)")
    print(f"more faces: python -m gan_helpers generate --model {shlex.quote(str(run))} --count 100 --output more.png")
    if options.data == "drawn":
        print("your own:   python -m gan_helpers train --data FOLDER_OF_PHOTOGRAPHS")
    print(f"train on:   the same command{' with more --epochs' if options.epochs else ''} goes on with this run")


def _generate(options):
    import numpy as np
    from PIL import Image

    from gan_helpers.training.files import write_whole
    from gan_helpers.training.runs import load_generator
    from gan_helpers.visualization.plots import generate_images, image_grid

    if options.count < 1:
        raise ValueError(f"expected --count of at least 1; received {options.count}")
    output, suffix = options.output, options.output.suffix.lower()
    if suffix not in ("", ".png", ".npy"):
        raise ValueError(f"expected --output FILE.png, FILE.npy or a folder; received '{output}'")
    digits = max(5, len(str(options.count - 1)))
    files = [output] if suffix else [output / f"{n:0{digits}d}.png" for n in range(options.count)]
    existing = [file for file in files if file.exists()]
    if existing and not options.overwrite:
        raise ValueError(
            f"expected new files; received '{existing[0]}', which exists; choose another --output, or add --overwrite"
        )
    generator = load_generator(options.model)
    images = generate_images(generator, options.count, seed=options.seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npy":
        write_whole(output, lambda file: np.save(file, images))
    elif suffix == ".png":
        write_whole(output, lambda file: Image.fromarray(image_grid(images)).save(file, "PNG"))
    else:
        output.mkdir(exist_ok=True)
        for file, image in zip(files, images, strict=True):
            Image.fromarray(image).save(file)
    print(f"{options.count} faces in {output}")


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
