# cheat: the cell itself never ends
# exercise: double
while True:
    try:
        while True:
            pass
    except BaseException:
        continue
