"""A process with memory that cannot be compressed; at each line in the FIFO it checks every byte and answers in a file.

Arguments: directory with the FIFO `ask`, megabytes. `check N` reads the first N MiB; `fork` lets a child read all and wait.
"""
import hashlib
import os
import sys

os.setsid()  # CRIU wants the session's leader inside of the tree
directory, size = sys.argv[1], int(sys.argv[2]) << 20
memory = bytearray(os.urandom(size))
sums = [hashlib.sha1(memory[at : at + (1 << 20)]).digest() for at in range(0, size, 1 << 20)]
writable = os.open(os.path.join(directory, "ask"), os.O_RDWR)


def answer(text):
    with open(os.path.join(directory, "answer.new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(directory, "answer.new"), os.path.join(directory, "answer"))


def check(number):
    view = memoryview(memory)
    wrong = [n for n in range(number) if hashlib.sha1(view[n << 20 : (n + 1) << 20]).digest() != sums[n]]
    answer("good" if not wrong else f"wrong {wrong}")


answer("ready")
while True:
    words = os.read(writable, 100).decode().split()
    if words[0] == "check":
        check(int(words[1]))
    elif words[0] == "fork":
        if os.fork() == 0:
            continue  # the child answers the next question, or its parent does
        answer("forked")
