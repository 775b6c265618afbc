"""A TCP server with 16 MiB of memory. A line to port 80 makes it read the first 2 MiB, one to port 81 the last."""
import mmap
import os
import selectors
import socket

MIB = 1 << 20
memory = mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, 16 * MIB, MIB):
    memory[at : at + MIB] = os.urandom(MIB)
poll = selectors.DefaultSelector()
for port, start in ((80, 0), (81, 14 * MIB)):
    poll.register(socket.create_server(("0.0.0.0", port)), selectors.EVENT_READ, ("listener", start))
while True:
    for key, _ in poll.select():
        kind, start = key.data
        if kind == "listener":
            poll.register(key.fileobj.accept()[0], selectors.EVENT_READ, ("connection", start))
        elif key.fileobj.recv(4096):
            key.fileobj.sendall(b"%d\n" % sum(memory[start : start + 2 * MIB : 4096]))
        else:
            poll.unregister(key.fileobj)
            key.fileobj.close()
