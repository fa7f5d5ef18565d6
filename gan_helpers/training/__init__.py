"""The training step, the folder of a run, and the callbacks between them."""
