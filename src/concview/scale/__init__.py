"""How a program scales: throughput at several worker counts, with Amdahl's law and the Universal Scalability Law.

`runs.py` runs a command at every worker count; `models.py` fits. Needs SciPy: the extra `concview[scale]`.
"""
