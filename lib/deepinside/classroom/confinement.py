"""Confine a process to one folder, some memory and no network, as an ordinary user can.

`deepinside.classroom.grading` runs students' notebooks, whose code may do anything by
accident: delete a folder, fill the memory, kill what it finds. Three layers stand in its
way, and each works without the others:

- `namespaces`, a command to start a process with: no network, no process but its own;
- `confine_to`: Landlock, by which Linux itself refuses changes outside of one folder;
- `guard`, an audit hook of Python on every system: the same for what Python does itself.

None of them is meant for an attacker.
"""

import ctypes
import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# from the widest to the narrowest; the last that works on a system is the empty one
_NAMESPACES = (
    ("--user", "--map-current-user", "--net", "--pid", "--fork", "--kill-child"),
    ("--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"),
    ("--user", "--map-root-user", "--net"),
)
# Linux's numbers, the same on all processors: see landlock(7)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES = 38
_WRITE_FILE = 1 << 1
# write, remove and make files and folders; ABI 2 adds moving and linking, 3 truncating
_CHANGES = {1: 0b1_1111_1111_0010, 2: 1 << 13, 3: 1 << 14}

# what Python reports before it changes files: which of the arguments are paths, each with
# the place of the folder's descriptor that it is relative to, if it has one
_PATHS = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
}
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn")
_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")


def namespaces() -> list[str]:
    """Return the beginning of a command that cuts the network, or [] where none works."""
    program, python = shutil.which("unshare"), [sys.executable, "-S", "-c", ""]
    for options in _NAMESPACES if program else ():
        command = [program, *options]
        try:
            done = subprocess.run([*command, *python], capture_output=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return command
    return []


def limit(memory: int, file_size: int = 2**28) -> None:
    """Let this process and its children have so many bytes of memory, and of a file.

    On Linux what is counted is memory that can be written. Other systems count the
    address space, and some of them do not hold to it.
    """
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    limits = {kind: memory, resource.RLIMIT_FSIZE: file_size, resource.RLIMIT_CORE: 0}
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))


def confine_to(folder: Path) -> bool:
    """Have Linux refuse changes to files outside of a folder, and return whether it does.

    Holds for the calling thread and what it starts, so it comes before any thread; cannot
    be undone. Where the kernel is new enough it refuses TCP (6.7) and signals to
    processes outside (6.12) as well.
    """
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    changes = sum(bits for first, bits in _CHANGES.items() if first <= version)
    handled = (changes, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    count = 1 if version < 4 else 2 if version < 6 else 3
    attributes = (ctypes.c_uint64 * count)(*handled[:count])
    rules = call(_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    if rules < 0:
        return False
    try:
        for path, allowed in ((folder, changes), (Path("/dev"), _WRITE_FILE)):
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _Beneath(allowed, beneath)
                if call(_ADD_RULE, rules, 1, ctypes.byref(rule), 0):
                    return False
            finally:
                os.close(beneath)
        prctl = ctypes.CDLL(None).prctl
        return prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and call(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def guard(folder: Path, *, programs: bool) -> None:
    """Have Python refuse changes outside of a folder, connections and, unless allowed, programs.

    What is refused raises PermissionError. Holds for this process until it ends, for all
    that goes through Python's own functions. `programs` is to be true only where
    `confine_to` holds, which binds them, too.
    """
    allowed = os.path.realpath(folder)

    def hook(event: str, arguments: tuple) -> None:
        if event in _PROGRAMS and not programs:
            raise PermissionError(f"no program is started here, got {event}")
        # an address that is a path is a local one, and none that of an earlier connect
        if event in _SENDS and isinstance(arguments[1], tuple):
            raise PermissionError(f"there is no network here, got {arguments[1]}")
        if event == "socket.getaddrinfo":
            raise PermissionError(f"there is no network here, got {arguments[0]}")
        for path in _changed(event, arguments):
            if not (path + os.sep).startswith(allowed + os.sep):
                raise PermissionError(f"only {allowed} may be changed here, got {path}")

    sys.addaudithook(hook)


def _changed(event: str, arguments: tuple) -> Iterator[str]:
    """Yield the real path of each file that is about to be changed."""
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        writes = writes or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        # a number is a file that is open already; devices are no files that can be lost
        if writes and not isinstance(path, int) and not os.fsdecode(path).startswith("/dev/"):
            yield os.path.realpath(os.fsdecode(path))  # a link is followed
    for place, descriptor in _PATHS.get(event, ()):
        if not isinstance(arguments[place], int):
            path = Path(os.fsdecode(arguments[place]))
            if not path.is_absolute():
                path = _folder(-1 if descriptor is None else arguments[descriptor]) / path
            # a link is what is removed or moved, not what it points to
            yield os.path.realpath(path.parent) + os.sep + path.name


def _folder(descriptor: int) -> Path:
    """Return the folder that a path is relative to."""
    if descriptor < 0:
        return Path.cwd()
    if hasattr(fcntl, "F_GETPATH"):
        found = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return Path(os.fsdecode(found.rstrip(b"\0")))
    return Path(f"/proc/self/fd/{descriptor}").readlink()
