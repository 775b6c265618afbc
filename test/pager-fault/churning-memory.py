"""Threads that change their mappings all the time and know every byte: drop, move, shrink, grow, unmap, map, write, fork, read.

Arguments: directory with the FIFO `ask`, threads. At `check` they stop, all of their memory is compared, and the answer is `good` with what
was done since the last time, or what was wrong. They stand and fall with what they expect of each page: the number it is filled with, or 0.
"""
import ctypes
import os
import random
import struct
import sys
import threading

os.setsid()  # CRIU wants the session's leader inside of the tree
directory, thread_count = sys.argv[1], int(sys.argv[2])
PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)  # calls leave the interpreter's lock, so that threads fault at the same time
for name, result, arguments in (
    ("mmap", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]),
    ("mremap", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]),
    ("munmap", ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t]),
    ("madvise", ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]),
    ("memcpy", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]),
    ("memcmp", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]),
):
    getattr(libc, name).restype, getattr(libc, name).argtypes = result, arguments

wrong = []
done = {}
running = threading.Event()
idle = threading.Semaphore(0)
go_on = threading.Semaphore(0)


def content(tag):
    return struct.pack("<Q", tag) * (PAGE // 8)


def map_pages(count):
    address = libc.mmap(None, count * PAGE, 3, 0x22, -1, 0)
    assert address not in (None, 2**64 - 1), "mmap"
    return address


class Region:
    def __init__(self, count):
        self.address, self.tags = map_pages(count), [0] * count

    def is_right(self, number):
        return libc.memcmp(self.address + number * PAGE, content(self.tags[number]), PAGE) == 0


class Churner(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        self.random = random.Random(number)
        self.regions = [Region(self.random.randint(16, 128)) for _ in range(8)]
        for region in self.regions:
            for page in range(len(region.tags)):
                self.write(region, page)

    def run(self):
        while True:
            if not running.is_set():
                self.check_all()
                idle.release()
                go_on.acquire()
                continue
            deed = self.random.choices((self.read, self.write, self.drop, self.move, self.resize, self.replace, self.fork), (40, 20, 10, 6, 6, 3, 1))[0]
            region = self.random.choice(self.regions)
            deed(region, self.random.randrange(len(region.tags)))
            done[deed.__name__] = done.get(deed.__name__, 0) + 1

    def expect(self, region, page, what):
        if not region.is_right(page):
            wrong.append(f"{what}: page {page} of {len(region.tags)} at {region.address:x} is not {region.tags[page]}")

    def read(self, region, page):
        self.expect(region, page, "read")

    def write(self, region, page):
        region.tags[page] = self.random.getrandbits(60) + 1
        libc.memcpy(region.address + page * PAGE, content(region.tags[page]), PAGE)

    def drop(self, region, page):
        count = min(self.random.randint(1, 24), len(region.tags) - page)
        libc.madvise(region.address + page * PAGE, count * PAGE, 4)
        region.tags[page : page + count] = [0] * count

    def move(self, region, page):
        """To a place of its own, which is unmapped by that; often one that another thread has just left."""
        size = len(region.tags) * PAGE
        region.address = libc.mremap(region.address, size, size, 3, map_pages(len(region.tags)))

    def resize(self, region, page):
        count = self.random.randint(16, 128)
        region.address = libc.mremap(region.address, len(region.tags) * PAGE, count * PAGE, 1, None)
        region.tags = region.tags[:count] + [0] * (count - len(region.tags))

    def replace(self, region, page):
        libc.munmap(region.address, len(region.tags) * PAGE)
        region.__init__(self.random.randint(16, 128))
        self.write(region, 0)

    def fork(self, region, page):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(region.is_right(page) for region in self.regions for page in range(len(region.tags))) else 1)
        if os.waitpid(child, 0)[1] != 0:
            wrong.append("fork: the child read something else")

    def check_all(self):
        for region in self.regions:
            for page in range(len(region.tags)):
                self.expect(region, page, "check")


def answer(text):
    with open(os.path.join(directory, "answer.new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(directory, "answer.new"), os.path.join(directory, "answer"))


questions = os.open(os.path.join(directory, "ask"), os.O_RDWR)
threads = [Churner(number) for number in range(thread_count)]
running.set()
for thread in threads:
    thread.start()
answer("ready")
while True:
    os.read(questions, 100)
    running.clear()
    for _ in threads:
        idle.acquire()
    answer(f"wrong {wrong[:5]}" if wrong else f"good {sum(done.values())}")
    done.clear()
    running.set()
    for _ in threads:
        go_on.release()
