"""Who sits at the keyboard, for the record of decisions and orders."""

import getpass
import socket


def who() -> str:
    """Return the user's name at the machine's; unprintable signs are left out."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        user = "unknown"
    return "".join(sign for sign in f"{user}@{socket.gethostname()}" if sign.isprintable())
