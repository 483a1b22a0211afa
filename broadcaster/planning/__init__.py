"""From a list to a frozen plan: read, normalise, exclude, group, batch.

Columnar throughout: no Python object per row. Decides over arrays; knows neither network nor person.
"""
