"""Whole files by name, in a folder or an object store, through fsspec.

A file appears whole or not at all. `create` succeeds for exactly one of several that create the same name at
once: on a local disk by a hard link, which fails where the name is taken; on an object store by its own
conditional write (fsspec's mode "create").
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.registry.errors import RegistryError, RegistryFullError, RegistryNotFoundError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MEMORY_LOCK: Final = threading.Lock()
"""fsspec's memory looks for a name and takes it in two steps."""


class Store:
    """The files below one url.

    Parameters
    ----------
    url
        A folder, or any url that fsspec takes: `s3://bucket/prefix`, `memory://name`.

    Raises
    ------
    RegistryError
        The url's protocol is unknown, or its package is not installed.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        try:
            fs, root = fsspec.core.url_to_fs(str(url))
        except (ImportError, ValueError, OSError) as error:
            raise RegistryError(
                f"`registry` (={self.url!r}) cannot be opened: {error}; a folder needs nothing, an s3:// url"
                " the extra `s3` (pip install 'cs3g[s3]')"
            ) from error
        self._fs: Any = fs
        self._root = root.rstrip("/")

    @property
    def folder(self) -> Path | None:
        """The folder, if the files are on a local disk."""
        return Path(self._root) if isinstance(self._fs, LocalFileSystem) else None

    def location(self, name: str) -> str:
        """Return a file's name as a person would look for it."""
        return f"{self.url.rstrip('/')}/{name}"

    def read(self, name: str, limit_bytes: int) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        RegistryNotFoundError
            There is no such file.
        RegistryError
            It is larger than `limit_bytes`, or cannot be read.
        """
        path = self._path(name)
        with self._reported(name, "read"):
            try:
                size = self._fs.size(path)
                if size is not None and size > limit_bytes:
                    raise RegistryError(f"{self.location(name)} has {size} bytes, {limit_bytes} are allowed")
                data: bytes = self._fs.cat_file(path)
            except FileNotFoundError as error:
                raise RegistryNotFoundError(f"{self.location(name)} does not exist") from error
        return data

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies directly in a folder, sorted; none if it is not there."""
        with self._reported(folder, "listed"):
            # A long-lived reader must see what others have written since.
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return sorted(name for name in names if name and not name.startswith("."))

    def exists(self, name: str) -> bool:
        """Return whether a file is there."""
        with self._reported(name, "read"):
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._path(name)))

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, over one that is there.

        Raises
        ------
        RegistryFullError
            There is no room.
        """
        path = self._path(name)
        with self._reported(name, "written"):
            if self.folder is None:
                self._fs.pipe_file(path, data)
                return
            with _temporary(Path(path), data) as temporary:
                os.replace(temporary, path)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file whole unless the name is taken; return whether it was free.

        Raises
        ------
        RegistryFullError
            There is no room.
        """
        path = self._path(name)
        with self._reported(name, "written"):
            try:
                if self.folder is not None:
                    with _temporary(Path(path), data) as temporary:
                        os.link(temporary, path)
                elif isinstance(self._fs, MemoryFileSystem):
                    with _MEMORY_LOCK:
                        self._fs.pipe_file(path, data, mode="create")
                else:
                    self._fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _reported(self, name: str, verb: str) -> Iterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except OSError as error:
            what = f"{self.location(name)} cannot be {verb}: {error.strerror or error}"
            if error.errno in _FULL:
                raise RegistryFullError(f"{what}; make room and try again, nothing was activated") from error
            raise RegistryError(what) from error


@contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    """Yield a file beside `target` that holds `data` on the disk, not only in its cache; gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide a shared registry from its readers
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
