"""The report of a run: plan, journal and manifest in; one page for people, one table for machines out.

Nothing here decides what is sent, and nothing of it names a recipient: numbers are masked, cells are shown by shape.
"""
