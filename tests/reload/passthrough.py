"""A file system of our own over /dev/fuse: shows a folder as it is, read only, and announces nothing.

`python passthrough.py SOURCE TARGET` mounts and serves until it is unmounted. It speaks as much of the protocol
(include/uapi/linux/fuse.h) as reading files takes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 1, 2, 3, 14, 15, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 26, 27, 28, 29, 36, 42
DIRECT: Final = 1
REQUEST: Final = struct.Struct("=IIQQIIII")
MOST: Final = 1 << 20
Answer = Callable[[int, bytes], bytes]


class Passthrough:
    """Answers the kernel's questions about one folder; nothing may be kept, so that every look is a fresh one."""

    def __init__(self, source: Path) -> None:
        self._paths = {1: source}
        self._answers: dict[int, Answer] = {
            INIT: self._init,
            LOOKUP: self._lookup,
            GETATTR: lambda node, _: struct.pack("=QII", 0, 0, 0) + self._attributes(node),
            OPEN: lambda _, __: struct.pack("=QII", 0, DIRECT, 0),
            OPENDIR: lambda _, __: struct.pack("=QII", 0, 0, 0),
            READ: self._read,
            READDIR: self._list,
            STATFS: lambda _, __: bytes(80),
            RELEASE: lambda _, __: b"",
            RELEASEDIR: lambda _, __: b"",
            FLUSH: lambda _, __: b"",
        }

    def serve(self, device: int) -> None:
        """Answer until it is unmounted."""
        while True:
            try:
                request = os.read(device, MOST + 4096)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                return
            _, kind, unique, node, *_ = REQUEST.unpack_from(request)
            if kind in {FORGET, BATCH_FORGET, INTERRUPT}:
                continue
            failure, answer = self._answer(kind, node, request[REQUEST.size :])
            os.write(device, struct.pack("=IiQ", 16 + len(answer), -failure, unique) + answer)

    def _answer(self, kind: int, node: int, body: bytes) -> tuple[int, bytes]:
        if kind not in self._answers:
            return errno.ENOSYS, b""
        try:
            return 0, self._answers[kind](node, body)
        except OSError as error:
            return error.errno or errno.EIO, b""

    def _init(self, _: int, __: bytes) -> bytes:
        return struct.pack("=IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0)

    def _lookup(self, node: int, body: bytes) -> bytes:
        path = self._paths[node] / os.fsdecode(body.split(b"\0")[0])
        found = path.lstat().st_ino + 1
        self._paths[found] = path
        return struct.pack("=QQQQII", found, 0, 0, 0, 0, 0) + self._attributes(found)

    def _attributes(self, node: int) -> bytes:
        found = self._paths[node].lstat()
        times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        seconds, rest = [time // 10**9 for time in times], [time % 10**9 for time in times]
        sizes = (found.st_ino, found.st_size, found.st_blocks)
        return struct.pack("=6Q10I", *sizes, *seconds, *rest, found.st_mode, 1, 0, 0, 0, 4096, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", body)
        return self._paths[node].read_bytes()[offset : offset + size]

    def _list(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", body)
        listing = b""
        for number, path in enumerate(sorted(self._paths[node].iterdir())):
            name, found = os.fsencode(path.name), path.lstat()
            entry = struct.pack("=QQII", found.st_ino, number + 1, len(name), stat.S_IFMT(found.st_mode) >> 12) + name
            entry += bytes(-len(entry) % 8)
            if number >= offset and len(listing) + len(entry) <= size:
                listing += entry
        return listing


def main(source: str, target: str) -> None:
    """Mount, say so, and serve."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40755,user_id=0,group_id=0".encode()
    if libc.mount(b"passthrough", os.fsencode(target), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    Passthrough(Path(source)).serve(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
