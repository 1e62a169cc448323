"""The exceptions for input that a person has to mend."""


class InputError(Exception):
    """Says what was found, where, what was expected and what to do, in one line.

    The stages show it without a traceback.
    """


class ImageError(Exception):
    """A file that cannot be used as an image or mask, and why; it may be left out."""
