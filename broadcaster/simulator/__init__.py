"""A local Sent API: another house at the same address.

It judges the client, so it shares nothing with it: its own JSON, constants, validation and number rule. It knows
nothing of the rest of this package, and the rest knows it by its URL and its ledger file only. Start it as a process:
``python -m broadcaster.simulator --help``.
"""
