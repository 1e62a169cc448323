"""What may be shown of an address, or kept: not who logs in, nor what is asked, often a key."""

import re

# In the path that follows sqlite: or file:, an @ is a letter like others.
_LOGIN = re.compile(r"(?<![\w+.-])(?!sqlite|file)([a-z][\w+.-]*://)\S*@", re.IGNORECASE)
_QUERY = re.compile(r"(?<![\w+.-])([a-z][\w+.-]*://[^\s?]*\?)[^\s'\")]+", re.IGNORECASE)
_PATH = re.compile(r"(\burl: /[^\s?]*\?)[^\s'\")]+")  # as urllib3 quotes what it asked a server for


def without_logins(text: str) -> str:
    """The text with three stars for each login and each query in the addresses in it."""
    return _PATH.sub(r"\1***", _QUERY.sub(r"\1***", _LOGIN.sub(r"\1***@", text)))
