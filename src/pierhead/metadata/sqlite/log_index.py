"""The header of the index of SQLite's log: 48 bytes of memory that every connection of every process shares.

Each commit changes them (a counter, the length of the log, its check sum), and SQLite itself tells by them whether its
cache is of today (`walIndexTryHdr`). `PRAGMA data_version` does the same between a lock and an unlock of a file, which
costs thirty times as much. Format: https://www.sqlite.org/walformat.html, section 2.1. The memory is asked for through
the public methods of the open file (sqlite3_io_methods, version 2): to open the file a second time, and to close it,
would let go of all locks that this process holds on it.
"""

import ctypes
import sys
from typing import Any

import apsw

_HEADER_BYTES = 48
_FORMAT = 3007000
_REGION_BYTES = 32 * 1024
_SHARED_MEMORY = 2  # the version of the methods that has it

_MAP = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)
)
_BEFORE = (
    "xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock", "xCheckReservedLock",
    "xFileControl", "xSectorSize", "xDeviceCharacteristics",
)  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in _BEFORE),
        ("xShmMap", _MAP),
    )


class _File(ctypes.Structure):
    _fields_ = (("pMethods", ctypes.POINTER(_Methods)),)


Header = ctypes.Array[ctypes.c_char]  # `raw` is a copy


def header(connection: apsw.Connection) -> Header | None:
    """Of a connection that has read in WAL mode, and outlives what is returned; None where it has no such index."""
    file: Any = ctypes.POINTER(_File)()
    if not connection.filecontrol("main", apsw.SQLITE_FCNTL_FILE_POINTER, ctypes.addressof(file)):
        return None
    if not file or not file.contents.pMethods or file.contents.pMethods.contents.iVersion < _SHARED_MEMORY:
        return None
    memory = ctypes.c_void_p()
    methods = file.contents.pMethods.contents
    result = methods.xShmMap(ctypes.cast(file, ctypes.c_void_p), 0, _REGION_BYTES, 0, ctypes.byref(memory))
    if result != apsw.SQLITE_OK or not memory.value:
        return None
    found = (ctypes.c_char * _HEADER_BYTES).from_address(memory.value)
    return found if int.from_bytes(found.raw[:4], sys.byteorder) == _FORMAT else None
