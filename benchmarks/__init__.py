"""Speed and quality measured, one command each."""

import gan_helpers  # noqa: F401  first of all: it sets what TensorFlow reads when it starts
