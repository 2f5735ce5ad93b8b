# cheat: writes nonsense to every descriptor, then closes them
# exercise: double
import os


def double(n):
    for number in range(3, 50):
        try:
            os.write(number, b"\xff" * 100)
        except OSError:
            pass
    os.closerange(3, 200)
