# cheat: crashes the interpreter
# exercise: double
import ctypes


def double(n):
    return ctypes.string_at(0)
