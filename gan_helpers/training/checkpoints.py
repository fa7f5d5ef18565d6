"""Everything that the next step depends on, as one file."""

import json
import zipfile

import numpy as np

from gan_helpers.training.files import write_arrays

TABLES = "tables"


def state(gan):
    """Every variable that the next step depends on, by its owner and number; Keras' own names count up in a process.

    Args:
        gan: a compiled `GAN`.

    Returns:
        `dict` from names such as `"g_optimizer/003"` to `keras.Variable`s.
    """
    owners = {
        "generator": gan.generator.variables,
        "discriminator": gan.discriminator.variables,
        "averaged_generator": gan.running_average.variables,
        "g_optimizer": gan.g_optimizer.variables,
        "d_optimizer": gan.d_optimizer.variables,
        "means": [variable for mean in gan.means for variable in mean.variables],
        "updates": [gan.d_updates, gan.g_updates, *gan.adaptive],
    }
    return {
        f"{owner}/{number:03d}": variable
        for owner, variables in owners.items()
        for number, variable in enumerate(variables)
    }


def write_checkpoint(file, gan, tables):
    """Writes a checkpoint whole: the GAN's state, and the run's tables, so that each stands with the other.

    Args:
        file: path, `.npz`; every array in it has a checksum.
        gan: a compiled `GAN`.
        tables: plain data.
    """
    arrays = {name: variable.numpy() for name, variable in state(gan).items()}
    arrays[TABLES] = np.frombuffer(json.dumps(tables).encode(), np.uint8)
    write_arrays(file, arrays)


def read_checkpoint(file, gan):
    """Loads a checkpoint into a GAN built alike, or leaves the GAN as it is.

    Args:
        file: path of a checkpoint.
        gan: a compiled `GAN`.

    Returns:
        The tables that were stored with it.

    Raises:
        ValueError: it is damaged, or of a GAN built otherwise.
    """
    variables = state(gan)
    try:
        with open(file, "rb") as opened, np.load(opened) as stored:
            arrays = {name: stored[name] for name in stored.files}  # reads all, which checks every checksum
        tables = json.loads(arrays.pop(TABLES).tobytes())
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {name: tuple(variable.shape) for name, variable in variables.items()}:
        raise ValueError("it holds other variables than this GAN")
    for name, variable in variables.items():
        variable.assign(arrays[name])
    gan.broken_at.assign(-1)
    gan.averages_changed()
    return tables
