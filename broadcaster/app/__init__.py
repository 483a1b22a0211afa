"""Use cases: one module each, composed of the rooms below. They share :mod:`broadcaster.app.parts` and nothing else."""
