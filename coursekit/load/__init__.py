"""Measure it: how right a server is, and how fast.

    conformance   score("toy"), side_by_side("toy", "gunicorn"): rows of HTTP/1.1 and PEP 3333
    bench         python -m coursekit.load.bench: speed, memory, ratios, side by side
    client        many clients at once, in a process of its own, every body checked
"""
# Nothing is imported here: the client's process has to start fast and light.
