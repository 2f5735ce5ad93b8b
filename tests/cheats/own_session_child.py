# cheat: a child in a session of its own holds a port and outlives everything
# exercise: double
import subprocess
import sys

HOLD = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", HOLD, "cheat-own-session-child"], start_new_session=True)


def double(n):
    return n
