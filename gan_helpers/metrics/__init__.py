"""How good generated faces are: FID, KID, Inception Score, precision and recall, memorisation, a face detector's view.

>>> from gan_helpers import metrics
>>> metrics.fid(real_faces, fake_faces).value

The names are loaded when first used: features need TensorFlow, and weights are fetched on the first use of Inception.
"""

import importlib

_HOME_OF = {
    "Measure": "results",
    "features": "feature_vectors",
    "Statistics": "distances",
    "statistics": "distances",
    "fid": "distances",
    "fid_infinity": "distances",
    "frechet_distance": "distances",
    "kid": "distances",
    "inception_score": "distances",
    "precision_recall": "neighbours",
    "realism": "neighbours",
    "memorisation": "neighbours",
    "duplicates": "neighbours",
    "face_share": "detector",
    "diversity": "pixels",
    "sharpness": "pixels",
    "nyquist_power": "pixels",
    "saturated_share": "pixels",
    "contrast": "pixels",
    "inception_network": "inception",
    "inception_weights": "weights",
    "MeasureQuality": "callback",
    "evaluate": "evaluation",
    "quality_table": "evaluation",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'gan_helpers.metrics' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"gan_helpers.metrics.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
