# cheat: an endless loop that swallows KeyboardInterrupt and ignores signals
# exercise: double
import signal

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)


def double(n):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
