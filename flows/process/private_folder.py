"""A folder that nobody but this user can write: who writes recovery files (pickles) runs code.

Refused with the cure: a folder or file of another user, one that group or others may write, a symbolic link.
A folder that others may only read is closed to them. One exception: a volume as Kubernetes mounts it for a
pod with an `fsGroup`, root's own mount point that a group of this process may write.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transforms.errors import CollectorError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ForeignFolderError(CollectorError):
    """Somebody else could have written the state, or could write it now. Exit 1."""


def require_private(folder: Path, names: Iterable[str]) -> None:
    """See that a folder is this user's alone, and the files in it that fit `names` (glob patterns), too.

    Raises ForeignFolderError; OSError where the folder cannot be looked at.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if folder.is_symlink() and error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise _is_link(folder) from None
        raise
    try:
        found = os.fstat(opened)
        if found.st_uid != os.geteuid() and not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not _is_pod_volume(folder, found):
            _require_own(folder, found, "700")
            if found.st_mode & _OTHERS:
                os.fchmod(opened, stat.S_IMODE(found.st_mode) & ~_OTHERS)
    finally:
        os.close(opened)
    for file in sorted(path for name in names for path in folder.glob(name)):
        if file.is_symlink():
            raise _is_link(file)
        with suppress(FileNotFoundError):  # a journal, removed meanwhile by who writes it
            _require_own(file, file.lstat(), "700" if file.is_dir() else "600")


def open_own(path: Path, flags: int) -> int:
    """Open a file of this user's alone, made when it is missing; a symbolic link is not followed."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def private_umask() -> Iterator[None]:
    """Make what the block makes this user's alone. For the start: the mask is the whole process's."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _require_own(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise ForeignFolderError(
            f"the state belongs to another user (uid {found.st_uid}, this is {os.geteuid()})",
            str(path),
            f"if you trust what is in it: chown -R {os.geteuid()} it; else name another directory",
        )
    if found.st_mode & _OTHERS_WRITE:
        raise ForeignFolderError(
            f"others can write the state (mode {stat.S_IMODE(found.st_mode):04o})",
            str(path),
            f"if you trust what is in it: chmod {mode} it; else name another directory",
        )


def _is_link(path: Path) -> ForeignFolderError:
    return ForeignFolderError(
        "the state is a symbolic link", str(path), "name the directory itself that it leads to"
    )


def _is_pod_volume(folder: Path, found: os.stat_result) -> bool:
    """Tell whether it is a mount point of root's that others than root and our groups cannot write."""
    ours = found.st_gid in {os.getegid(), *os.getgroups()}
    return found.st_uid == 0 and ours and not found.st_mode & stat.S_IWOTH and folder.is_mount()
