"""Run a command that ends when its parent does, however the parent ends.

    python servers/_child.py FD FOLDER COMMAND...

FD is a socket to hand on, or "-"; FOLDER is what to remove if the parent cannot.

The parent holds the other end of our standard input and never writes to it. When the
parent goes, even by SIGKILL, the system closes that end, we read end-of-file, and the
command is ended. This needs no signal from anybody and works on Linux and macOS.

Start it in a session of its own: then the Interrupt button of a notebook, which signals
the kernel's whole process group, does not reach the server.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading

GRACE = 5.0  # seconds between the polite request to end and the end


def main(arguments: list[str]) -> None:
    """Run the command until it ends, or until standard input does; exit as it did."""
    fd, folder, *command = arguments
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    if fd != "-":
        # A second copy of a listening socket would keep the port open after the server.
        os.close(int(fd))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    # httpd passes a HUP on to its whole process group, and this is a part of it.
    signal.signal(signal.SIGHUP, lambda *_: None)
    alone = threading.Event()
    threading.Thread(target=end_with_parent, args=(child, alone), daemon=True).start()
    status = child.wait()
    if alone.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    if os.getpgrp() == os.getpid():
        # A master that was killed leaves workers: they go too.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGKILL if alone.is_set() else signal.SIGTERM)
    exit_like(status)


def end_with_parent(child: subprocess.Popen[bytes], alone: threading.Event) -> None:
    """Wait for end-of-file on standard input, then set `alone` and end the child."""
    os.read(0, 1)  # not sys.stdin: its lock, held here, would abort the interpreter's exit
    alone.set()
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def exit_like(status: int) -> None:
    """End with the child's exit status, or by the signal that ended it."""
    if status < 0:
        if -status not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
