# cheat: right answers, but a destructor breaks
# exercise: double
class Handle:
    def __del__(self):
        raise OSError("not closed")


def double(n):
    Handle()
    return 2 * n
