"""The corpus: a module per resource, each with `steps()`."""
