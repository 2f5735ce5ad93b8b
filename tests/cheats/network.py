# cheat: asks a server outside for the answer (here: a port of this machine that the test opened)
# exercise: double
import socket

PORT = 0  # the test writes a real one here


def double(n):
    with socket.create_connection(("127.0.0.1", PORT), timeout=0.5) as helper:
        helper.sendall(b"%d" % n)
        return int(helper.recv(100))
