"""The run directory: plan, journal, manifest, lock, and the registry beside the runs.

Commands meet only here. Nothing in this room knows the network or asks a person.
"""
