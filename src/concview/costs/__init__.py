"""What concurrency costs on this machine, on a given Python: measured, kept, and given to those who reckon with it.

`probe.py` runs inside the Python that is measured and knows nothing of the rest; `measure.py` starts it and reckons
medians with intervals; `constants.py` gives a rule its constant: measured here where that was done, else the one that
ships with concview, and says which.
"""
