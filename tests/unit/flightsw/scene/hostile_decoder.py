"""What a decoder does after a file has subverted it; the scene's name says what.

Written as ``sitecustomize`` into a folder from which only the decoders' parent imports.
"""

from __future__ import annotations

HOOK = """
import ctypes, fcntl, json, mmap, os, resource, signal, socket, sys, time
from pathlib import Path

import msgspec
from flightsw.errors import CorruptImage
from flightsw.scene import decoder, jp2
from flightsw.scene.decoder_messages import BeginDecode, Completion, OpenedScene

LIBC = ctypes.CDLL(None, use_errno=True)
read_area, work, answer = jp2.Jp2Band.read_area, decoder._work, decoder._answer
lie = ""


def libc(name, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def attempts(scene, targets):
    key, service = targets["key"], targets["service"]
    iov = ctypes.create_string_buffer(16)
    plain = next(scene.rglob("*.xml"))
    yield "read a key", lambda: open(key, "rb").read(1)
    yield "list the keys", lambda: os.listdir(os.path.dirname(key))
    yield "read another's environment", lambda: open(f"/proc/{service}/environ", "rb").read(1)
    yield "read another's memory", lambda: open(f"/proc/{service}/mem", "rb")
    yield "write a file", lambda: open(scene / "new", "wb")
    yield "write a shared file", lambda: open("/dev/shm/flightsw-attack", "wb")
    yield "change a file", lambda: open(plain, "r+b")
    yield "truncate a file", lambda: os.truncate(plain, 0)
    yield "remove a file", lambda: os.unlink(plain)
    yield "rename a file", lambda: os.rename(plain, scene / "other")
    yield "link a file", lambda: os.symlink(plain, scene / "link")
    yield "make a folder", lambda: os.mkdir(scene / "folder")
    yield "change a mode", lambda: os.chmod(plain, 0o777)
    for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"):
        kind = socket.SOCK_RAW if family == "AF_NETLINK" else socket.SOCK_STREAM
        yield family, lambda: socket.socket(getattr(socket, family), kind)
    yield "make a pair of sockets", socket.socketpair
    yield "execute", lambda: os.execv("/bin/true", ["true"])
    yield "fork", lambda: os.fork() or os._exit(0)
    yield "start a program", lambda: os.posix_spawn("/bin/true", ["true"], {})
    for process in (service, os.getppid()):
        yield "signal", lambda: os.kill(process, 0)
        yield "signal a thread", lambda: libc("tgkill", process, process, 0)
        yield "have a signal sent", lambda: fcntl.fcntl(3, fcntl.F_SETOWN, process)
        yield "trace", lambda: libc("ptrace", 0x4206, process, None, None)
        yield "read memory", lambda: libc("process_vm_readv", process, iov, 1, iov, 1, 0)
        yield "limit", lambda: resource.prlimit(process, resource.RLIMIT_CPU)
        yield "get a file of", lambda: os.pidfd_open(process)
    yield "raise a limit", lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    yield "make a namespace", lambda: libc("unshare", 0x10000000)
    yield "use another call", lambda: libc("syscall", 425, 1, iov)  # io_uring_setup


def attack(scene):
    done = []
    for name, attempt in attempts(scene, json.loads((scene / "targets.json").read_bytes())):
        try:
            attempt()
        except (OSError, ValueError):
            continue
        done.append(name)
    files = []
    for number in range(1024):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        files.append((number, oct(mode >> 12)))
    raise CorruptImage("attack", json.dumps({"done": done, "files": files, "names": [*os.environ]}))


def hostile_read(band, *arguments):
    if lie == "attack":
        attack(next(one for one in band.path.parents if one.name.startswith("attack")))
    if lie == "memory":
        bytearray(3 << 30)
    if lie == "crash":
        ctypes.string_at(0)
    return read_area(band, *arguments)


def hostile_answer(stream, given, *blocks):
    changes = CHANGES.get(lie)
    if isinstance(given, OpenedScene) and changes:
        given = changes(given)
    if isinstance(given, OpenedScene) and lie == "length":
        stream.sendall(b"\\xff" * 64)
        time.sleep(60)
    if isinstance(given, OpenedScene) and lie == "garbage":
        stream.sendall(b"\\0\\0\\0\\4\\xc1\\xc1\\xc1\\xc1")
        time.sleep(60)
    if isinstance(given, OpenedScene) and lie == "silence":
        time.sleep(60)
    if isinstance(given, OpenedScene) and lie == "exit":
        os._exit(3)
    if blocks and lie == "early":
        blocks = ()
    if blocks and lie == "unsealed":
        blocks = (os.memfd_create("loose"),)
        os.ftruncate(blocks[0], 1 << 24)
    if blocks and lie == "small":
        os.close(blocks[0])
        decoder._shared((1, 1, 1), found := [])
        blocks = (found[0],)
    if blocks and lie == "file":
        blocks = (os.open(jp2.__file__, os.O_RDONLY),)
    if not blocks and lie == "more" and not isinstance(given, OpenedScene):
        if (began := globals().setdefault("began", [])):
            decoder._shared((1, 1, 1), found := [])
            blocks = (found[0],)
        began.append(1)
    answer(stream, given, *blocks)


def known(**changes):
    def change(opened):
        fields = {name: value for name, value in vars(opened.metadata).items()} | changes
        return OpenedScene(type(opened.metadata)(**fields), opened.rows, opened.columns)
    return change


def placed(opened):
    place = opened.metadata.georeference
    return known(georeference=type(place)("/etc/passwd", place.transform))(opened)


CHANGES = {
    "height": known(height=1 << 40),
    "decodes": lambda opened: OpenedScene(known(height=1 << 20)(opened).metadata, 1, 1),
    "rows": lambda opened: OpenedScene(opened.metadata, 0, opened.columns),
    "bands": known(bands=("B02",)),
    "offsets": known(offsets={}),
    "infinite": known(quantification=float("inf")),
    "name": known(name="a\\nb"),
    "remarks": known(remarks=("x",) * 100_000),
    "crs": placed,
    "integrity": known(integrity="perfect"),
}


def hostile_work(task, stream):
    global lie
    order = getattr(task, "order", task)
    lie = next((one[5:] for one in Path(order.path).parts if one.startswith("evil-")), "")
    work(task, stream)


jp2.Jp2Band.read_area = hostile_read
decoder._work, decoder._answer = hostile_work, hostile_answer
"""
