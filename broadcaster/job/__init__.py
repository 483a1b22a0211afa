"""The job: what is to be sent to whom, read from a TOML file and the environment, checked whole before anything else.

Knows neither lists nor numbers nor the API; what a value means is decided by whoever uses it.
"""
