# cheat: floods the terminal
# exercise: double
import os


def double(n):
    for _ in range(3000):
        print("x" * 100_000)
        os.write(2, b"y" * 100_000)
    return n
