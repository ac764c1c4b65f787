"""The one exception that says: the user can mend this."""


class UserError(Exception):
    """What was found, where, and what to do about it, in one message.

    The command line prints the message without a traceback and exits with status 2.
    Raise it for anything a user can cause (a bad file, a wrong key, an impossible setting);
    programming errors keep their own exceptions.
    """


def quantity(count: int, noun: str, plural: str = "") -> str:
    """A number and what it counts, as messages say it.

    >>> quantity(1, "cell"), quantity(0, "vertebra", "vertebrae")
    ('1 cell', '0 vertebrae')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
