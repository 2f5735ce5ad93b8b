# cheat: pretends not to have been attempted
# exercise: double
def double(n):
    raise NotImplementedError("double is not written yet")
