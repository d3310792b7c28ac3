"""What is said of an end that nobody foresaw, and where its traceback is kept."""

import errno
import os
import tempfile
import traceback

from bench import __version__

# Errors of a disk, or of a system that has no more to give: no fault of this program
DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EFBIG),
    *(errno.EMFILE, errno.ENFILE),
}


def is_of_disk(error: OSError) -> bool:
    """Whether an error is of a disk that is full or gone, or of no place for temporary files."""
    return error.errno in DISK or "No usable temporary directory" in str(error)


def disk(error: OSError) -> str:
    """`/tmp/x: cannot be written (No space left on device): free some, or …`."""
    place = f"{error.filename}: " if error.filename else ""
    remedy = "free some, or name other places by --out, TMPDIR and XDG_CACHE_HOME"
    return f"{place}{error.strerror or error}: {remedy}"


def unforeseen(error: BaseException) -> str:
    """One line for an error that is a fault of this program; its traceback goes to a file."""
    first = (str(error).splitlines() or [""])[0][:300]
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    try:
        kept = f"the traceback is in {_keep(error)}"
    except OSError:
        traceback.print_exception(error)
        kept = "its traceback could not be kept and is above"
    return f"{what}; this is a fault of resnet-bench, please report it: {kept}"


def _keep(error: BaseException) -> str:
    handle, name = tempfile.mkstemp(prefix="resnet-bench-traceback-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"resnet-bench {__version__}\n")
        traceback.print_exception(error, file=file)
    return name
