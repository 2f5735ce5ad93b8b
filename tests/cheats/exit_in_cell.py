# cheat: ends the process while the cell runs
# exercise: double
import os

os._exit(0)
