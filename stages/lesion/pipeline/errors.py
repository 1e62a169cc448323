"""What a person has to mend: the exceptions for input, and the system's own for files."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_ROOM = "make room there and run it again"
_RIGHTS = "give this user the rights to it and to its folder (chown, chmod)"
_NAME = "something else has this name, or that of its folder; move it away"
_LIMIT = "raise the limit of open files (ulimit -n)"
_DISK = "the disk, or the way to it, fails; look at it before you go on"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit (ulimit -f), or use a disk that takes files so large",
    errno.EROFS: "expected a disk that may be written to",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOENT: "run `dvc repro`, which makes what is missing",
    errno.ENOTDIR: _NAME,
    errno.EISDIR: _NAME,
    errno.EEXIST: _NAME,
    errno.ENOTEMPTY: _NAME,
    errno.ENAMETOOLONG: "expected a shorter name, or a shorter path of the project",
    errno.ELOOP: "a link leads to itself; remove it",
    errno.EMFILE: _LIMIT,
    errno.ENFILE: _LIMIT,
    errno.EBUSY: "another program uses it",
    errno.EIO: _DISK,
    errno.ENXIO: _DISK,
    errno.ESTALE: _DISK,
}


class InputError(Exception):
    """Says what was found, where, what was expected and what to do, in one line.

    The stages show it without a traceback.
    """


class ImageError(Exception):
    """A file that cannot be used as an image or mask, and why; it may be left out."""


def of_file(error: OSError) -> str | None:
    """The same of a file that cannot be read or written; None of any other error of the system.

    One that names no file is of a server, or of a bug, unless it can be of nothing but a file.
    """
    nameless = error.filename is None
    if error.errno not in _ADVICE or (nameless and _ADVICE[error.errno] not in (_ROOM, _LIMIT)):
        return None
    where = "" if nameless else f"{error.filename}: "
    return f"{where}{error.strerror}; {_ADVICE[error.errno]}"
