# cheat: takes all memory
# exercise: double
def double(n):
    return len(bytearray(8 * 2**30)) and n
