"""The one exception that says: the user can mend this."""


class UserError(Exception):
    """What was found, where, and what to do about it, in one message.

    The command line prints the message without a traceback and exits with status 2.
    Raise it for anything a user can cause (a bad file, a wrong key, an impossible setting);
    programming errors keep their own exceptions.
    """


class CannotWrite(UserError):
    """A file cannot be written: the disk is full, or the folder is not ours.

    Where the error of one case leaves that case out and goes on, this one ends the run: the next
    case would fail alike, or be missing from what is written.
    """


def in_short(error: BaseException) -> str:
    """Type and beginning of the text of an error, in one line.

    >>> in_short(ValueError("not  so"))
    'ValueError: not so'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def quantity(count: int, noun: str, plural: str = "") -> str:
    """A number and what it counts, as messages say it.

    >>> quantity(1, "cell"), quantity(0, "vertebra", "vertebrae")
    ('1 cell', '0 vertebrae')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
