"""A process whose memory is missing, as CRIU would leave one after a lazy restore; does what it is told on standard input, line by line.

Arguments: CRIU's work directory, the pid to announce, address and length in pages of the memory.
Commands and answers are JSON lines. A page is answered by its CRC-32, or 0 when all its bytes are zero.
"""
import array
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import threading
import zlib

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mremap.restype = ctypes.c_void_p
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
libc.prctl(1, 9, 0, 0, 0)  # die with the test

work_dir, vpid, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def restore():
    flags = 0x100022  # MAP_FIXED_NOREPLACE, MAP_ANONYMOUS, MAP_PRIVATE
    assert libc.mmap(first * PAGE, count * PAGE, 3, flags, -1, 0) == first * PAGE
    uffd = libc.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK)
    assert uffd >= 0, "userfaultfd"
    fcntl.ioctl(uffd, 0xC018AA3F, struct.pack("QQQ", 0xAA, 0x4E, 0))
    os.chdir(work_dir)
    lazy = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    lazy.connect("lazy-pages.socket")
    lazy.send(struct.pack("i", -99))
    lazy.send(struct.pack("i", vpid))
    lazy.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [uffd]))])
    fcntl.ioctl(uffd, 0xC020AA00, struct.pack("QQQQ", first * PAGE, count * PAGE, 1, 0))
    os.close(uffd)
    lazy.send(struct.pack("I", 0x52535446))
    lazy.close()


def digest(page):
    data = ctypes.create_string_buffer(PAGE)
    libc.memcpy(data, page * PAGE, PAGE)  # without the interpreter's lock, unlike string_at()
    return 0 if not any(data.raw) else zlib.crc32(data.raw)


def read(page, number):
    return [digest(page + n) for n in range(number)]


def read_threads(pages, threads):
    results = {}

    def work(part):
        for page in part:
            results[page] = digest(page)

    workers = [threading.Thread(target=work, args=(pages[n::threads],)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results[page] for page in pages]


later = []


def read_later(pages, threads):
    """Reads in the background; `later_results` waits for all that was begun."""
    results = []
    worker = threading.Thread(target=lambda: results.extend(read_threads(pages, threads)))
    worker.start()
    later.append((worker, results))
    return True


def later_results():
    for worker, _ in later:
        worker.join()
    found = [results for _, results in later]
    later.clear()
    return found


def fork(commands):
    """Runs commands in a child and answers with its answers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answers = [execute(command) for command in commands]
        os.write(writer, json.dumps(answers).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return json.loads(text)


children = {}


def fork_child():
    """A child that goes on; `ask_child` talks to it."""
    down, up = socket.socketpair()
    child = os.fork()
    if child == 0:
        libc.prctl(1, 9, 0, 0, 0)
        with up.makefile("r") as lines:
            for line in lines:
                up.sendall((json.dumps(execute(json.loads(line))) + "\n").encode())
        os._exit(0)
    children[child] = (down, down.makefile("r"))
    return child


def ask_child(child, command):
    connection, answers = children[child]
    connection.sendall((json.dumps(command) + "\n").encode())
    return json.loads(answers.readline())


def write(page, byte):
    ctypes.memset(page * PAGE, byte, PAGE)
    return True


def dontneed(page, number):
    return libc.madvise(page * PAGE, number * PAGE, 4)


def unmap(page, number):
    return libc.munmap(page * PAGE, number * PAGE)


def remap(page, number, to):
    return libc.mremap(page * PAGE, number * PAGE, number * PAGE, 3, to * PAGE) == to * PAGE


commands = {
    "read": read,
    "readThreads": read_threads,
    "readLater": read_later,
    "laterResults": later_results,
    "fork": fork,
    "forkChild": fork_child,
    "askChild": ask_child,
    "write": write,
    "dontneed": dontneed,
    "unmap": unmap,
    "remap": remap,
}


def execute(command):
    name, *arguments = command
    return commands[name](*arguments)


restore()
print(json.dumps("restored"), flush=True)
for line in sys.stdin:
    print(json.dumps(execute(json.loads(line))), flush=True)
