"""The one exception type that the command line turns into one clear line and exit status 1."""


class SelfguideError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do, in one line."""
