"""A run on several machines: its directory in shared storage, its shards, and one rate limit for all of them.

Only the modules about Dask need Dask, and only the modules about addresses need fsspec; nothing is imported before it
is used.
"""
