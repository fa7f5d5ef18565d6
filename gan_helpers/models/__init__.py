"""Networks, losses and recipes: plain Keras 3, no TensorFlow."""
