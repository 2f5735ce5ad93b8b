# cheat: right answers, but a thread of it breaks
# exercise: double
import threading


def double(n):
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    return 2 * n
