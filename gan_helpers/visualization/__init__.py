"""Pictures of what a generator makes."""
